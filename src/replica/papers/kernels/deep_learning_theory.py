"""Roberts, Yaida, Hanin 2021: The Principles of Deep Learning Theory.

At their start, networks are nearly Gaussian, layer by layer as recursions tell; depth over width says how nearly. Tuned to a
critical point, signals and gradients live through any depth.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from replica.data import digits
from replica.kernels import (
    CriticalInitialization,
    critical_initialization,
    initialize_critically,
    universality_class,
    vertex_recursion,
)
from replica.lab.claims import Choice, Paper, Trial
from replica.lab.problems.scaling.built import Built
from replica.lab.problems.scaling.search import train
from replica.lab.studies import dots, lines
from replica.training import mlp

paper = Paper("deep_learning_theory")
ACTIVATIONS: dict[str, type[nn.Module]] = {"ReLU": nn.ReLU, "tanh": nn.Tanh, "GELU": nn.GELU, "SiLU": nn.SiLU}
RATIO = 1 / 8
"""Layers beyond the first over width, at the end."""


def first_kernel(start: CriticalInitialization) -> float:
    """K of the first layer: the fixed point, or 1 where there is none above 0."""
    return start.kernel if start.kernel > 0 else 1.0


def preactivations(trial: Trial, width: int, depth: int, nets: int) -> tuple[Tensor, Tensor]:
    """Mean of z² and of z⁴ over neurons and networks of one input, both (layers, activations), all with the same weights."""
    starts = [critical_initialization(kind()) for kind in ACTIVATIONS.values()]
    functions = [kind() for kind in ACTIVATIONS.values()]
    gains = torch.tensor([[start.weight_variance, start.bias_variance] for start in starts]).sqrt()
    generator = trial.generator(f"weights of {width}")
    moments = torch.zeros(2, depth, len(starts), dtype=torch.float64)
    for part in torch.arange(nets).split(max(1, 2**22 // width**2)):
        layer = torch.randn(len(part), width, 1, generator=generator)
        layer = layer * torch.tensor([first_kernel(start) for start in starts]).sqrt()
        for number in range(depth):
            if number:
                weights = torch.randn(len(part), width, width, generator=generator) / math.sqrt(width)
                biases = torch.randn(len(part), width, 1, generator=generator)
                hidden = torch.stack([f(layer[..., i]) for i, f in enumerate(functions)], -1)
                layer = gains[:, 0] * (weights @ hidden) + gains[:, 1] * biases
            squares = layer.double().square()
            moments[:, number] += torch.stack([squares.sum((0, 1)), squares.square().sum((0, 1))])
    square, fourth = moments / (nets * width)
    return square, fourth


def ensembles(trial: Trial) -> list[dict[str, Any]]:
    """Variance and excess kurtosis of preactivations by layer, measured and predicted, widths 32 to 256."""
    neurons = trial.pick(smoke=2**10, laptop=3 * 2**16, full=2**20)
    rows = []
    for width in trial.pick(smoke=(16, 32), laptop=(32, 64, 128, 256), full=(32, 64, 128, 256, 512)):
        depth = 1 + int(RATIO * width)
        square, fourth = preactivations(trial, width, depth, neurons // width)
        for place, (name, kind) in enumerate(ACTIVATIONS.items()):
            start = critical_initialization(kind())
            flow = vertex_recursion(
                kind(), [width] * (depth - 1), first=first_kernel(start),
                weight_variance=start.weight_variance, bias_variance=start.bias_variance,
            )  # fmt: skip
            for layer in range(depth):
                variance = float(square[layer, place])
                rows.append({
                    "activation": name, "width": width, "layer": layer + 1, "ratio": layer / width, "variance": variance,
                    "predicted": float(flow.kernel[layer] + flow.correction[layer]), "infinite": float(flow.kernel[layer]),
                    "kurtosis": 3 * math.log(float(fourth[layer, place]) / (3 * variance**2)),
                    "vertex": float(flow.excess_kurtosis[layer]),
                })  # fmt: skip
    return rows


def draw_variances(axes, table):
    """The variance over depth at the largest width, by activation."""
    draw = lines("layer", "variance", "activation", theory="predicted", xlabel="layer", log="y")
    draw(axes, table[table["width"] == table["width"].max()])


@paper.claim(ensembles, figure=draw_variances)
def layer_equations(table):
    """How far variances at the largest width are from those predicted, mean over layers, the worst activation."""
    widest = table[table["width"] == table["width"].max()]
    groups = widest["activation"]
    predicted, infinite = (
        (widest["variance"] / widest[name] - 1).abs().groupby(groups).mean() for name in ("predicted", "infinite")
    )
    tanh = widest[groups == "tanh"]["variance"]
    return {
        "worst_deviation_of_variance": predicted.max(),
        "gain_of_the_correction": infinite["tanh"] - predicted["tanh"],
        "deviation_of_a_constant": (tanh / tanh.iloc[0] - 1).abs().mean(),
    }


def draw_kurtosis(axes, table):
    """Kurtosis over depth / width, a line a width: ReLU."""
    draw = lines("ratio", "kurtosis", "width", theory="vertex", xlabel="(layers − 1) / width, ReLU")
    draw(axes, table[table["activation"] == "ReLU"])


@paper.claim(ensembles, figure=draw_kurtosis)
def depth_over_width(table):
    """Slopes of kurtosis over theory's, and its logarithm at 32 units less that at 256."""
    deviations, by_ratio, by_depth = [], [], []
    for name in ("ReLU", "tanh"):
        rows = table[table["activation"] == name]
        narrow, wide = (rows[rows["width"] == width] for width in (rows["width"].min(), rows["width"].max()))
        deviations.append((rows["kurtosis"] @ rows["vertex"]) / (rows["vertex"] @ rows["vertex"]) - 1)
        end = narrow.iloc[-1]
        same_depth = wide[wide["layer"] == end["layer"]].iloc[0]
        by_ratio.append(_log_kurtosis(end) - _log_kurtosis(wide.iloc[-1]))
        by_depth.append(_log_kurtosis(end) - _log_kurtosis(same_depth))
    return {
        "worst_deviation_of_slope": max(map(abs, deviations)),
        "mismatch_at_equal_ratio": np.mean(by_ratio),
        "mismatch_at_equal_depth": np.mean(by_depth),
        "slope_relu": 15 * (1 + deviations[0]),
    }


def _log_kurtosis(row: Any) -> float:
    return math.log(max(row["kurtosis"], 1e-3))


@paper.entry("scaling", name="critical", space={"activation": Choice(tuple(ACTIVATIONS))})
class CriticalStart:
    """A critical start, with rates by which every layer counts alike in the tangent kernel at any width and depth.

    With λ the swept rate, weights learn at λ / inputs and biases at λ, times 1 / depth where gradients keep their size. In the
    class of tanh they fall as 1 / l on their way back through l layers, and weights make up for it by the kernel: there only the
    bias of layer l has a factor, 1 / l. Adam, whose steps do not shrink with the gradient, gets the roots of all these.
    """

    def __init__(self, trial: Trial, activation: str = "GELU") -> None:
        self.activation = ACTIVATIONS[activation]()

    def build(
        self, inputs: int, outputs: int, width: int, depth: int, generator: torch.Generator, optimiser: str = "sgd"
    ) -> tuple[nn.Module, list[dict[str, Any]]]:
        """See the problem scaling."""
        net = mlp((inputs, *[width] * depth, outputs), activation=lambda: self.activation, generator=generator)
        initialize_critically(net, self.activation, generator=generator)
        falls = universality_class(self.activation) == "zero"
        groups: list[dict[str, Any]] = []
        layers = [layer for layer in net.children() if isinstance(layer, nn.Linear)]
        for number, layer in enumerate(layers, start=1):
            scales = (64 / layer.in_features, 1 / number) if falls else (64 / layer.in_features / depth, 1 / depth)
            for parameter, scale in zip((layer.weight, layer.bias), scales, strict=True):
                groups.append({"params": [parameter], "lr_scale": scale if optimiser == "sgd" else math.sqrt(scale)})
        return net, groups


def network(trial: Trial, kind: type[nn.Module], start: str, width: int, depth: int, number: int = 0) -> nn.Sequential:
    """A network of digits with PyTorch's own start, or the critical one with weights of that many times its variance."""
    generator = trial.generator(f"network {number} of {depth} layers")
    net = mlp((64, *[width] * depth, 10), activation=kind, generator=generator)
    if start != "PyTorch":
        initialize_critically(net, kind(), generator=generator)
        for layer in [each for each in net.children() if isinstance(each, nn.Linear)][1:]:
            layer.weight.data.mul_(math.sqrt(GAINS[start]))
    return net


def gradient_growth(nets: list[nn.Sequential], inputs: Tensor, labels: Tensor) -> float:
    """Growth a layer of ln √E|∂loss/∂z|², z preactivations, from the last hidden layer back to the second; E over networks."""
    squares = []
    for net in nets:
        second = net[:3](inputs)
        last = net[3:-2](second)
        found = torch.autograd.grad(nn.functional.cross_entropy(net[-2:](last), labels), [second, last])
        squares.append([float(gradient.double().square().sum()) for gradient in found])
    first, last = np.mean(squares, axis=0)
    return 0.5 * math.log(first / last) / (len(nets[0]) // 2 - 2)


GAINS = {"critical": 1.0, "a quarter": 0.25, "four times": 4.0, "twice": 2.0}
"""Variances of weights over the critical one."""


def deep_training(trial: Trial) -> list[dict[str, Any]]:
    """Training loss on digits by start, thirty layers deep, at the best of the same rates; and growth of gradients before."""
    width, steps, count = trial.pick(smoke=(8, 2, 2), laptop=(96, 200, 32), full=(512, 2000, 256))
    images = digits()
    order = trial.rng("rows").permutation(len(images.labels))
    inputs = torch.tensor(images.values.reshape(len(order), -1)[order], dtype=torch.float32)
    inputs, labels = (inputs - inputs.mean()) / inputs.std(), torch.tensor(images.labels[order])
    batches = list(torch.randint(len(order), (steps, 32), generator=trial.generator("batches")))
    rates = [2.0**power for power in (-10, -8, -6, -4)]
    deep = [
        (name, start, 30) for name in ("ReLU", "tanh") for start in ("critical", "a quarter", "four times", "PyTorch")
    ]
    rows = []
    for name, start, depth in [*deep, ("tanh", "twice", 30), ("ReLU", "PyTorch", 3), ("tanh", "PyTorch", 3)]:
        nets = [network(trial, ACTIVATIONS[name], start, width, depth, i) for i in range(count)]
        growth = gradient_growth(nets, inputs[:32], labels[:32])
        built = Built(nets[0], dict.fromkeys((key for key, _ in nets[0].named_parameters()), 1.0), start)
        losses = train(built, rates, inputs, labels, batches, "sgd").losses
        # What blew up has learned no more than equal odds.
        loss = float(np.nan_to_num(losses, nan=math.log(10)).clip(max=math.log(10)).min())
        rows.append({"activation": name, "start": start, "depth": depth, "loss": loss, "growth": growth})
    return rows


def draw_losses(axes, table):
    """Training loss thirty layers deep by start."""
    draw = dots("start", "loss", "activation", xlabel="start, thirty layers", ylabel="training loss (nats)")
    draw(axes, table[table["depth"] == table["depth"].max()])


@paper.claim(deep_training, figure=draw_losses)
def criticality(table):
    """How much lower the critical start's loss is than the best of the others', and how gradients grow."""
    by_depth = {depth: rows.set_index(["activation", "start"]) for depth, rows in table.groupby("depth")}
    shallow, deep = by_depth[min(by_depth)], by_depth[max(by_depth)]
    twice = deep.loc[("tanh", "twice")]
    loss, growth = (deep.drop(("tanh", "twice"))[name].unstack() for name in ("loss", "growth"))
    others = [name for name in loss.columns if name != "critical"]
    return {
        "loss_gap": (loss[others].min(axis=1) - loss["critical"]).min(),
        "growth_of_gradient": growth.loc["ReLU", "critical"],
        "growth_of_gradient_tanh": growth.loc["tanh", "critical"],
        "least_growth_off_critical": growth[others].abs().min().min(),
        "loss_gap_to_twice_tanh": twice["loss"] - loss.loc["tanh", "critical"],
        "growth_of_gradient_twice_tanh": twice["growth"],
        "loss_shallow": shallow["loss"].max(),
        "loss_critical": loss["critical"].max(),
    }
