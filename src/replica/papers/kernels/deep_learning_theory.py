"""Roberts, Yaida, Hanin 2021: The Principles of Deep Learning Theory.

At their start, networks are nearly Gaussian, layer by layer as recursions tell; depth over width says how nearly. Tuned to a
critical point, signals and gradients live through any depth.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from replica.kernels import (
    CriticalInitialization,
    critical_initialization,
    initialize_critically,
    universality_class,
    vertex_recursion,
)
from replica.lab.claims import Choice, Paper, Trial
from replica.lab.studies import lines

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
    nets = trial.pick(smoke=2**10, laptop=2**18, full=2**20)
    rows = []
    for width in trial.pick(smoke=(16, 32), laptop=(32, 64, 128, 256), full=(32, 64, 128, 256, 512)):
        depth = 1 + int(RATIO * width)
        square, fourth = preactivations(trial, width, depth, nets // width)
        for place, (name, kind) in enumerate(ACTIVATIONS.items()):
            start = critical_initialization(kind())
            flow = vertex_recursion(
                kind(), [width] * (depth - 1), first=first_kernel(start),
                weight_variance=start.weight_variance, bias_variance=start.bias_variance,
            )  # fmt: skip
            for layer in range(depth):
                variance = float(square[layer, place])
                rows.append(
                    {
                        "activation": name,
                        "width": width,
                        "layer": layer + 1,
                        "ratio": layer / width,
                        "variance": variance,
                        "predicted": float(flow.kernel[layer] + flow.correction[layer]),
                        "infinite": float(flow.kernel[layer]),
                        "kurtosis": 3 * math.log(float(fourth[layer, place]) / (3 * variance**2)),
                        "vertex": float(flow.excess_kurtosis[layer]),
                    }
                )
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
        (widest["variance"] / widest[name] - 1).abs().groupby(groups).mean().max() for name in ("predicted", "infinite")
    )
    tanh = widest[groups == "tanh"]["variance"]
    return {
        "worst_deviation_of_variance": predicted,
        "deviation_at_infinite_width": infinite,
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
