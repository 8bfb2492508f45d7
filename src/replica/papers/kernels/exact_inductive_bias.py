"""Boopathy, Yue, Hwang, Iyer, Fiete 2024: Towards Exact Computation of Inductive Bias.

How many bits single out the hypotheses that generalise among those that fit: do they grow with the task's dimension, is their
estimate right where the law is known, and how many does a neural network come with?
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torch import nn

from replica.kernels import KernelHypotheses, inductive_bias
from replica.lab.claims import Paper, Trial
from replica.lab.studies import against, dots, lines
from replica.training import Replicas, mlp, train_replicas

paper = Paper("exact_inductive_bias")
Rows = list[dict[str, Any]]
DIGITS_WIDTH = 6.0
"""Of the kernel on digits: the one with the fewest bits on seeds from 100 on."""
TENTH, NEAR = "a tenth of the variance", "that of one hypothesis in a hundred"


def rbf_hypotheses(
    inputs: NDArray[np.float64], tests: NDArray[np.float64], y: Any, test_y: Any, width: float
) -> KernelHypotheses:
    """Functions of the space of exp(−‖x − x'‖² / 2 w²) that interpolate."""

    def kernel(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
        squares = (first**2).sum(1)[:, None] + (second**2).sum(1) - 2 * first @ second.T
        return np.exp(-np.maximum(squares, 0) / (2 * width**2))

    return KernelHypotheses(kernel(inputs, inputs), kernel(tests, inputs), kernel(tests, tests), y, test_y)


def spheres(trial: Trial) -> Rows:
    """Bits for a tenth of the variance of a random network on spheres, 100 training points, four teachers each."""
    dims = trial.pick(smoke=(2, 6), laptop=(2, 4, 6, 8, 10, 12), full=tuple(range(2, 31, 2)))
    drawn = trial.pick(smoke=200, laptop=4000, full=10_000)
    rows = []
    for dim in dims:
        rng = trial.rng(f"sphere {dim}")
        points = rng.standard_normal((1300, dim + 1))
        points /= np.linalg.norm(points, axis=1, keepdims=True)
        for teacher in range(4):
            values = np.maximum(points @ rng.standard_normal((dim + 1, 50)), 0) @ rng.standard_normal((50, 1))
            values = (values - values.mean()) / values.std()
            space = rbf_hypotheses(points[:100], points[100:300], values[:100], values[100:300], 1.0)
            errors = space.errors(drawn, rng)
            near = float(np.quantile(errors, 0.01))
            for error, target in ((TENTH, 0.1), (NEAR, near)):
                bits = {"estimated": inductive_bias(errors, target), "exact": space.bits(target)}
                rows.append({"dimension": dim, "teacher": teacher, "error": error, **bits})
    return rows


def draw_dimensions(axes, table):
    """Estimated bits against the dimension."""
    draw = lines("dimension", "estimated", None, xlabel="dimension of the sphere", ylabel="estimated bits")
    draw(axes, table[table["error"] == TENTH])


@paper.claim(spheres, figure=draw_dimensions)
def dimension(table):
    """Slopes of estimated and exact bits in the dimension; the least that four more dimensions add."""
    bits = table[table["error"] == TENTH].groupby("dimension")[["estimated", "exact"]].mean()
    dims = bits.index.to_numpy(float)
    return {
        "bits_a_dimension": np.polyfit(dims, bits["estimated"], 1)[0],
        "exact_bits_a_dimension": np.polyfit(dims, bits["exact"], 1)[0],
        "smallest_rise": bits["estimated"].diff(min(2, len(bits) - 1)).min(),
    }


@paper.claim(spheres, figure=against("exact", "estimated", "error", xlabel="exact bits", ylabel="estimated bits"))
def direct_estimate(table):
    """Largest relative error of the estimate among tasks of a bit or more, and the mean one at the hundredth."""
    told = table[table["exact"] >= 1]
    off = (told["estimated"] / told["exact"] - 1).abs()
    return {"largest_relative_error": off.max(), "relative_error_near_the_samples": off[told["error"] == NEAR].mean()}


def digits(trial: Trial) -> Rows:
    """Bits for the error of a network that saw three times as many digits: of a kernel's space, and of networks'.

    Every hypothesis fits the same 100 digits, in squared error on their one-hot labels; 697 others are asked for.
    """
    count, steps, reference_steps = trial.pick(smoke=(12, 3, 3), laptop=(40, 400, 400), full=(1000, 2000, 2000))
    images, labels = load_digits(return_X_y=True)
    order = trial.rng("digits").permutation(len(images))
    X = torch.from_numpy(images[order] / 16 - 0.5).float()
    Y = nn.functional.one_hot(torch.from_numpy(labels[order]), 10).float()
    test_X, test_Y = X[1100:], Y[1100:]

    def squared(model: Any, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return (model(inputs) - targets).square().mean()

    def trained(name: str, rows: int, nets: int, passes: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Training and test errors of networks from random starts: Adam on all rows at once."""
        generator = trial.generator(name)
        replicas = Replicas([perceptron(generator) for _ in range(nets)])
        batch = (X[:rows], Y[:rows])
        train_replicas(replicas, squared, [batch], steps=passes, rates=5e-3, optimiser="adam")
        with torch.no_grad():
            return replicas.losses(squared, batch), replicas.losses(squared, (test_X, test_Y))

    _, goal = trained("reference", 300, 1, reference_steps)
    target = float(goal)
    inputs, tests, y, test_y = (part.double().numpy() for part in (X[:100], test_X, Y[:100], test_Y))
    space = rbf_hypotheses(inputs, tests, y, test_y, DIGITS_WIDTH)
    rows = [{"space": "kernel", "bits": space.bits(target), "train_error": 0.0}]
    train_error, errors = trained("perceptrons", 100, count, steps)
    rows.append(
        {"space": "perceptron", "bits": inductive_bias(errors, target), "train_error": float(train_error.max())}
    )
    return rows


def perceptron(generator: torch.Generator) -> nn.Module:
    """Two hidden layers of 32."""
    return mlp((64, 32, 32, 10), generator=generator)


@paper.claim(digits, figure=dots("space", "bits", xlabel="space of hypotheses", ylabel="bits to a good one"))
def networks_encode(table):
    """Bits of the kernel's space less those of the networks'."""
    bits = table.set_index("space")["bits"]
    return {
        "bits_of_network": bits["kernel"] - bits["perceptron"],
        "bits_of_kernel": bits["kernel"],
        "train_error_of_networks": table["train_error"].max(),
    }
