"""Sehanobish, Choromanski, Zhao, Dubey, Likhosherstov 2024: Scalable Neural Network Kernels.

Layers as dot products of random features of inputs and of weights: do they approximate, do adapters made of them need fewer
parameters, and does a bundled network do without backpropagation?
"""

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from replica.data import mnist_1d
from replica.kernels import KernelAdapter, UniversalRandomFeatures, bundle
from replica.lab.claims import Paper, Trial
from replica.lab.studies import dots, lines
from replica.training import Minibatches, fit, mlp

paper = Paper("scalable_kernel_layers")
Rows = list[dict[str, Any]]


def errors_by_features(trial: Trial) -> Rows:
    """Root-mean-square error of sin(w · x) and cos(w · x), 50 inputs and 50 weights of norm 1, over draws of the features."""
    counts = trial.pick(smoke=(16, 64), laptop=(64, 256, 1024, 4096), full=(64, 256, 1024, 4096, 16_384))
    generator = trial.generator("points")
    inputs, weights = (nn.functional.normalize(torch.randn(50, 16, generator=generator), dim=1) for _ in range(2))
    rows = []
    waves: tuple[tuple[Literal["sin", "cos"], Any], ...] = (("sin", torch.sin), ("cos", torch.cos))
    for activation, function in waves:
        truth = function(inputs @ weights.T)
        for count in counts:
            drawn = []
            for _ in range(trial.pick(smoke=2, laptop=20, full=50)):
                layer = UniversalRandomFeatures(16, count, activation, generator=generator)
                drawn.append((layer(inputs) @ layer.of_weights(weights).T - truth).square().mean())
            rows.append({"activation": activation, "features": count, "error": math.sqrt(torch.stack(drawn).mean())})
    return rows


@paper.claim(
    errors_by_features, figure=lines("features", "error", "activation", log="xy", ylabel="root-mean-square error")
)
def approximates_layer(table):
    """Slopes of ln error in ln features; the sine's error with the most."""
    errors = table.pivot(index="features", columns="activation", values="error")
    logs = np.log(errors.index.to_numpy(float))
    slopes = {name: np.polyfit(logs, np.log(errors[name]), 1)[0] for name in errors}
    return {"sine": slopes["sin"], "cosine": slopes["cos"], "error_of_sine": errors["sin"].iloc[-1]}


class Bottleneck(nn.Module):
    """x + B relu(A x), 0 at the start (Houlsby et al. 2019)."""

    def __init__(self, dim: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.down = mlp((dim, width), generator=generator)
        self.up = nn.Parameter(torch.zeros(dim, width))

    def forward(self, x: Tensor) -> Tensor:
        """The adapted x."""
        return x + torch.relu(self.down(x)) @ self.up.T


class LowRank(nn.Module):
    """x + B A x (Hu et al. 2022, of what goes into the next layer)."""

    def __init__(self, dim: int, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.randn(rank, dim, generator=generator) / math.sqrt(dim))
        self.up = nn.Parameter(torch.zeros(dim, rank))

    def forward(self, x: Tensor) -> Tensor:
        """The adapted x."""
        return x + x @ self.down.T @ self.up.T


Make = Callable[[int, torch.Generator], nn.Module]
ADAPTERS: dict[str, tuple[float, Make]] = {
    "read-out alone": (3e-2, lambda dim, generator: nn.Identity()),
    "bottleneck, 20": (3e-3, lambda dim, generator: Bottleneck(dim, 20, generator)),
    "bottleneck, 4": (1e-2, lambda dim, generator: Bottleneck(dim, 4, generator)),
    "low rank, 4": (1e-2, lambda dim, generator: LowRank(dim, 4, generator)),
    "kernel, 8": (1e-2, lambda dim, generator: KernelAdapter(dim, 8, generator=generator)),
}
"""Learning rate and adapter of 64 units: 512 numbers, 516 in the small bottleneck with its biases, 2,580 in the large one."""


def cross_entropy(model: Any, inputs: Tensor, labels: Tensor) -> Tensor:
    return nn.functional.cross_entropy(model(inputs), labels)


def train(
    model: nn.Module, loss: Any, data: tuple[Tensor, ...], epochs: int, rate: float, order: torch.Generator
) -> None:
    """Adam on minibatches of 64, the rate falling to 0 as a cosine."""
    batches = Minibatches(*data, size=64, generator=order)
    optimiser = torch.optim.Adam([weight for weight in model.parameters() if weight.requires_grad], rate)
    steps = epochs * len(batches)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    fit(model, loss, batches, optimiser=optimiser, steps=steps, schedule=schedule)


def accuracy(model: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    with torch.no_grad():
        return float((model(inputs).argmax(1) == labels).float().mean())


def signals(trial: Trial) -> tuple[Tensor, Tensor]:
    """A fresh set of MNIST-1D, standardised."""
    data = mnist_1d(trial.seed)
    inputs = torch.from_numpy(data.features).float()
    return (inputs - inputs.mean()) / inputs.std(), torch.from_numpy(data.labels)


def adapted(trial: Trial) -> Rows:
    """Accuracy on five classes of MNIST-1D of a network trained on the other five, with adapters after its hidden layers."""
    epochs = trial.pick(smoke=1, laptop=30, full=100)
    inputs, labels = signals(trial)
    old, new = labels < 5, labels >= 5
    network = mlp((40, 64, 64, 5), generator=trial.generator("network"))
    train(network, cross_entropy, (inputs[old], labels[old]), epochs, 3e-3, trial.generator("first order"))
    network.requires_grad_(False)
    X, y = inputs[new], labels[new] - 5
    split = 3 * len(X) // 5
    rows = []
    for name, (rate, make) in ADAPTERS.items():
        generator = trial.generator(f"adapters {name}")
        adapters = [make(64, generator) for _ in range(2)]
        first, second = adapters
        head = mlp((64, 5), generator=generator)
        model = nn.Sequential(network[0], nn.ReLU(), first, network[2], nn.ReLU(), second, head)
        train(model, cross_entropy, (X[:split], y[:split]), epochs, rate, trial.generator("second order"))
        learned = sum(weight.numel() for adapter in adapters for weight in adapter.parameters())
        rows.append({"adapter": name, "accuracy": accuracy(model, X[split:], y[split:]), "parameters": learned})
    return rows


@paper.claim(adapted, figure=dots("adapter", "accuracy", xlabel="adapter", ylabel="test accuracy (%)", percent=True))
def fewer_parameters(table):
    """Accuracy of the kernel's adapter beside others."""
    by_adapter = table.set_index("adapter")
    score, learned = by_adapter["accuracy"], by_adapter["parameters"]
    return {
        "accuracy_lost": score["bottleneck, 20"] - score["kernel, 8"],
        "gain_over_small_bottleneck": score["kernel, 8"] - score["bottleneck, 4"],
        "gain_over_low_rank": score["kernel, 8"] - score["low rank, 4"],
        "gain_of_large_bottleneck": score["bottleneck, 20"] - score["read-out alone"],
        "share_of_parameters": learned["kernel, 8"] / learned["bottleneck, 20"],
    }


def squared(model: Any, inputs: Tensor, targets: Tensor) -> Tensor:
    return (model(inputs) - targets).square().mean()


def bundled(trial: Trial) -> Rows:
    """Accuracy on MNIST-1D of a bundled random network, solved and trained, and of a perceptron trained whole."""
    features, epochs = trial.pick(smoke=(32, 1), laptop=(512, 40), full=(2048, 200))
    inputs, labels = signals(trial)
    order = torch.randperm(len(inputs), generator=trial.generator("rows"))
    X, y = inputs[order[:4000]], labels[order[:4000]]
    test, truth = inputs[order[4000:]], labels[order[4000:]]
    targets = nn.functional.one_hot(y, 10).float()
    network = mlp((40, 128, 10), generator=trial.generator("network"))
    solved = bundle(network, features, "relu", generator=trial.generator("features")).solve(X, targets)
    descended = bundle(network, features, "relu", generator=trial.generator("features"))
    # Features of size 1 each: descent is given the conditioning that the solution does not need.
    scale = float(solved.features(X).square().mean().sqrt())
    train(descended, squared, (X, targets), epochs, 3e-3 / scale, trial.generator("order"))
    perceptron = mlp((40, 128, 10), generator=trial.generator("perceptron"))
    train(perceptron, cross_entropy, (X, y), epochs, 3e-3, trial.generator("order"))
    models = {"explicit optimum": solved, "trained by Adam": descended, "perceptron": perceptron}
    return [{"network": name, "accuracy": accuracy(model, test, truth)} for name, model in models.items()]


@paper.claim(bundled, figure=dots("network", "accuracy", xlabel="network", ylabel="test accuracy (%)", percent=True))
def bypasses_backpropagation(table):
    """Accuracy of the explicit optimum beside those of descent."""
    score = table.set_index("network")["accuracy"]
    return {
        "accuracy_behind_descent": score["trained by Adam"] - score["explicit optimum"],
        "accuracy_behind_perceptron": score["perceptron"] - score["explicit optimum"],
        "accuracy_of_descent": score["trained by Adam"],
    }
