"""Neural Tangent Kernel: Convergence and Generalization in Neural Networks (Jacot, Gabriel, Hongler 2018).

Networks in the tangent parametrisation with ReLU units and biases of scale 0.1, as in the paper's experiments, beside the
closed form of their limit: at the start, after training, and along it.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

from replica.data import digits
from replica.kernels import KernelClassifier, KernelRegressor, WideNetwork, kernel_gradient_flow, wide_kernel
from replica.lab.claims import Integer, LogUniform, Paper, Trial
from replica.lab.studies import lines
from replica.training import fit

paper = Paper("neural_tangent_kernel")
Rows = list[dict[str, Any]]
HIDDEN = 3
BETA = 0.1
LIMIT: dict[str, Any] = {"activation": torch.relu, "bias_variance": BETA**2}
SPACE: dict[str, Any] = {"depth": Integer(1, 5), "bias_variance": LogUniform(1e-3, 1.0)}


@paper.entry("regression", name="ntk", space=SPACE)
def regressor(trial: Trial, depth: int = 3, bias_variance: float = 0.1) -> KernelRegressor:
    """An infinitely wide ReLU network by its tangent kernel, the ridge chosen by leave-one-out error."""
    return KernelRegressor("ntk-relu", tolerance=0.01, depth=depth, bias_variance=bias_variance)


@paper.entry("classification", name="ntk-classifier", space=SPACE)
def classifier(trial: Trial, depth: int = 3, bias_variance: float = 0.1) -> KernelClassifier:
    """An infinitely wide ReLU network by its tangent kernel on one-hot labels, the ridge chosen by leave-one-out error."""
    return KernelClassifier("ntk-relu", depth=depth, bias_variance=bias_variance)


def network(inputs: int, width: int, generator: torch.Generator) -> WideNetwork:
    """Depth L = 4 in the paper's count: three hidden layers."""
    return WideNetwork(
        inputs, width, HIDDEN, torch.relu, bias_variance=BETA**2, divide_inputs=True, generator=generator
    )


def circle(count: int, device: torch.device) -> Tensor:
    """Evenly spaced points of the unit circle."""
    angles = torch.arange(count, dtype=torch.float64, device=device) * (2 * math.pi / count)
    return torch.stack([angles.cos(), angles.sin()], 1)


def relative(found: Tensor, wanted: Tensor) -> float:
    """‖found − wanted‖ / ‖wanted‖."""
    return float((found - wanted).norm() / wanted.norm())


def slope(x: Any, y: Any) -> float:
    """Of ln y over ln x, by least squares."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def train(
    module: WideNetwork,
    inputs: Tensor,
    targets: Tensor,
    rate: float,
    steps: int,
    after_step: Callable[[int], None] | None = None,
) -> list[float]:
    """Full-batch gradient descent on half the mean squared error; its losses."""

    def loss(model: WideNetwork, x: Tensor, y: Tensor) -> Tensor:
        return (model(x) - y).square().mean() / 2

    descent = torch.optim.SGD(module.parameters(), rate)
    return fit(module, loss, [(inputs, targets)], optimiser=descent, steps=steps, after_step=after_step).losses


def kernels_at_start(trial: Trial) -> Rows:
    """Root mean squared relative error of random networks' kernels on the circle."""
    widths = trial.pick(smoke=(16, 64), laptop=(64, 128, 256, 512, 1024, 2048), full=(64, 256, 1024, 4096, 10_000))
    networks = trial.pick(smoke=2, laptop=10, full=10)
    points = circle(trial.pick(smoke=8, laptop=36, full=100), trial.device)
    limit = wide_kernel(points, depth=HIDDEN, **LIMIT)
    shallow = wide_kernel(points, depth=HIDDEN - 1, **LIMIT)
    generator = trial.generator("weights")
    rows = []
    for width in widths:
        found = [network(2, width, generator).tangent_kernel(points.float()).double() for _ in range(networks)]
        errors = [relative(kernel, limit) for kernel in found]
        wrong = relative(torch.stack(found).mean(0), shallow)
        rows.append({"width": width, "error": math.sqrt(np.mean(np.square(errors))), "one_layer_less": wrong})
    return rows


@paper.claim(
    kernels_at_start,
    figure=lines(
        "width", "error", None, log="xy", xlabel="width (units a layer)", ylabel="relative error of the kernel"
    ),
)
def kernel_converges(table):
    """Slope of ln error over ln width; the error at both ends; distance of the widest from the limit of one layer less."""
    return {
        "rate": slope(table["width"], table["error"]),
        "error_at_widest": table["error"].iloc[-1],
        "error_at_narrowest": table["error"].iloc[0],
        "distance_of_one_layer_less": table["one_layer_less"].iloc[-1],
    }


def kernels_in_training(trial: Trial) -> Rows:
    """Kernels on the circle before and after 200 steps of rate 1 towards x₁x₂ on Gaussian inputs."""
    widths = trial.pick(smoke=(16, 32), laptop=(64, 128, 256, 512, 1024), full=(64, 256, 1024, 4096, 10_000))
    networks, steps = trial.pick(smoke=(1, 5), laptop=(2, 200), full=(10, 200))
    points = circle(trial.pick(smoke=8, laptop=36, full=100), trial.device).float()
    inputs = torch.randn(32, 2, generator=trial.generator("inputs"), device=trial.device)
    targets, generator = inputs[:, 0] * inputs[:, 1], trial.generator("weights")
    rows = []
    for width in widths:
        changes, inflations, removed = [], [], []
        for _ in range(networks):
            module = network(2, width, generator)
            before = module.tangent_kernel(points)
            losses = train(module, inputs, targets, 1.0, steps)
            after = module.tangent_kernel(points)
            changes.append(relative(after, before))
            inflations.append(float((after.trace() / before.trace()).log()))
            removed.append(1 - losses[-1] / losses[0])
        rows.append(
            {"width": width, "change": np.mean(changes), "inflation": np.mean(inflations), "removed": min(removed)}
        )
    return rows


@paper.claim(
    kernels_in_training,
    figure=lines(
        "width",
        "change",
        None,
        log="xy",
        xlabel="width (units a layer)",
        ylabel="relative change of the kernel in training",
    ),
)
def kernel_stays(table):
    """Slope of ln change over ln width; the change at both ends, and how much the narrow kernel grows; the least loss removed."""
    return {
        "rate": slope(table["width"], table["change"]),
        "change_at_widest": table["change"].iloc[-1],
        "change_at_narrowest": table["change"].iloc[0],
        "inflation_at_narrowest": table["inflation"].iloc[0],
        "loss_removed": table["removed"].min(),
    }


COMPONENTS = (2, 4, 7, 11, 16)
"""Without the first, nearly constant, which is far ahead of the others and would ask for small steps."""


def training_beside_the_equation(trial: Trial) -> Rows:
    """Networks on digits, aimed at their own start plus five kernel components of one size, beside the equation's solution."""
    widths = trial.pick(smoke=(16, 32), laptop=(32, 128, 512, 2048), full=(100, 1000, 10_000))
    count, asked, which = trial.pick(smoke=(12, 6, (2, 4)), laptop=(32, 32, COMPONENTS), full=(512, 512, COMPONENTS))
    order = trial.rng("digits").permutation(1797)[: count + asked]
    images = torch.from_numpy(digits().values[order].reshape(len(order), -1)).to(trial.device)
    kernels = {
        kind: wide_kernel(images.double(), images[:count].double(), depth=HIDDEN, kind=kind, **LIMIT)
        for kind in ("ntk", "nngp")
    }
    values, vectors = (part.flip(-1) for part in torch.linalg.eigh(kernels["ntk"][:count] / count))
    places = [place - 1 for place in which]
    components = vectors[:, places]
    goal = 0.5 * math.sqrt(count / len(which)) * components.sum(1)
    rate, records = 0.7 / float(values[0]), trial.pick(smoke=2, laptop=40, full=100)
    every = trial.pick(smoke=2, laptop=math.ceil(2 / float(values[places[-1]]) / rate / records), full=100)
    times = rate * every * torch.arange(1, records + 1, dtype=torch.float64, device=trial.device)
    # A last layer that learns alone is given the time in which its kernel has the other's trace.
    pace = {"ntk": 1.0, "nngp": float(kernels["ntk"][:count].trace() / kernels["nngp"][:count].trace())}
    flows = {
        kind: kernel_gradient_flow(kernel[:count], goal, pace[kind] * times / count, cross=kernel)
        for kind, kernel in kernels.items()
    }
    generator, rows = trial.generator("weights"), []
    for width in widths:
        moved = displacements(network(images.shape[1], width, generator), images, goal, rate, every, records)
        left = 1 - (moved[:, :count] @ components) / (goal @ components)
        gaps = {f"gap_{kind}": relative(moved, flow) for kind, flow in flows.items()}
        for place, rest in zip(places, left.T, strict=True):
            rows.append(
                {
                    "width": width,
                    "component": place + 1,
                    "eigenvalue": float(values[place]),
                    "rate": decay(times, rest),
                    **gaps,
                }
            )
    return rows


def displacements(module: WideNetwork, images: Tensor, goal: Tensor, rate: float, every: int, records: int) -> Tensor:
    """f_t − f_0 on all images, in training on the first of them towards f_0 + goal; shape (records, images)."""
    path: list[Tensor] = []

    def outputs() -> Tensor:
        with torch.no_grad():
            return module(images).double()

    start = outputs()
    targets = (start[: len(goal)] + goal).float()

    def record(step: int) -> None:
        if step % every == 0:
            path.append(outputs() - start)

    train(module, images[: len(goal)], targets, rate, every * records, record)
    return torch.stack(path)


def decay(times: Tensor, rest: Tensor) -> float:
    """Rate λ of rest = e^{−λt}, by least squares of the logarithm until a tenth is left."""
    seen = (rest > 0.1).cumprod(0).bool()
    seen[0] = True
    t, log = times[seen], rest[seen].clamp_min(1e-3).log()
    return float(-(t @ log) / (t @ t))


@paper.claim(
    training_beside_the_equation,
    figure=lines(
        "component",
        "rate",
        "width",
        theory="eigenvalue",
        log="xy",
        xlabel="kernel principal component",
        ylabel="rate of convergence along it",
    ),
)
def follows_linear_equation(table):
    """The gap of widest and narrowest network, and its slope; rates against eigenvalues at the widest."""
    by_width = table.groupby("width").first()
    widest = table[table["width"] == table["width"].max()]
    gap = by_width["gap_ntk"]
    return {
        "gap": gap.iloc[-1],
        "order": spearmanr(widest["rate"], widest["eigenvalue"]).statistic,
        "rate": slope(gap.index, gap),
        "gap_at_narrowest": gap.iloc[0],
        "gap_of_last_layer": by_width["gap_nngp"].iloc[-1],
    }
