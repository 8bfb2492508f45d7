"""Neural Tangent Kernel: Convergence and Generalization in Neural Networks (Jacot, Gabriel, Hongler 2018).

Networks in the tangent parametrisation with ReLU units and biases of scale 0.1, as in the paper's experiments, beside the
closed form of their limit: at the start, after training, and along it.
"""

import math
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

from replica.data import digits
from replica.kernels import KernelClassifier, KernelRegressor, WideNetwork, kernel_gradient_flow, wide_kernel
from replica.lab.claims import Integer, LogUniform, Paper, Trial, exponent
from replica.lab.studies import lines
from replica.training import fit

paper = Paper("neural_tangent_kernel")
Rows = list[dict[str, Any]]
HIDDEN = 3
LIMIT: dict[str, Any] = {"activation": torch.relu, "bias_variance": 0.1**2}
SPACE: dict[str, Any] = {"depth": Integer(1, 5), "bias_variance": LogUniform(1e-3, 1.0)}


@paper.entry("regression", name="ntk", space=SPACE)
def regressor(trial: Trial, depth: int = 3, bias_variance: float = 0.1) -> KernelRegressor:
    """An infinitely wide ReLU network by its tangent kernel, the ridge chosen by leave-one-out error on at most 4,000 rows."""
    return KernelRegressor("ntk-relu", tolerance=0.01, selection_rows=4000, depth=depth, bias_variance=bias_variance)


@paper.entry("classification", name="ntk-classifier", space=SPACE)
def classifier(trial: Trial, depth: int = 3, bias_variance: float = 0.1) -> KernelClassifier:
    """An infinitely wide ReLU network by its tangent kernel on one-hot labels, the ridge chosen by leave-one-out error."""
    return KernelClassifier("ntk-relu", depth=depth, bias_variance=bias_variance)


def network(inputs: int, width: int, generator: torch.Generator) -> WideNetwork:
    """Depth L = 4 in the paper's count: three hidden layers."""
    return WideNetwork(inputs, width, HIDDEN, divide_inputs=True, generator=generator, **LIMIT)


def circle(count: int, device: torch.device) -> Tensor:
    """Evenly spaced points of the unit circle."""
    angles = torch.arange(count, dtype=torch.float64, device=device) * (2 * math.pi / count)
    return torch.stack([angles.cos(), angles.sin()], 1)


def relative(found: Tensor, wanted: Tensor) -> float:
    """‖found − wanted‖ / ‖wanted‖."""
    return float((found - wanted).norm() / wanted.norm())


def half_squared(model: Any, inputs: Tensor, targets: Tensor) -> Tensor:
    """Half the mean squared error, whose gradient flow is the kernel's with times over the number of inputs."""
    return (model(inputs) - targets).square().mean() / 2


def kernels_at_start(trial: Trial) -> Rows:
    """Root mean squared relative error of ten random networks' kernels on the circle."""
    widths = trial.pick(smoke=(16, 64), laptop=(64, 128, 256, 512, 1024, 2048), full=(64, 256, 1024, 4096, 10_000))
    points = circle(trial.pick(smoke=8, laptop=36, full=100), trial.device)
    limit, shallow = (wide_kernel(points, depth=depth, **LIMIT) for depth in (HIDDEN, HIDDEN - 1))
    networks, generator, rows = range(trial.pick(smoke=2, laptop=10, full=10)), trial.generator("weights"), []
    for width in widths:
        found = [network(2, width, generator).tangent_kernel(points.float()).double() for _ in networks]
        error = math.sqrt(np.mean([relative(kernel, limit) ** 2 for kernel in found]))
        wrong = relative(torch.stack(found).mean(0), shallow)
        rows.append({"width": width, "error": error, "one_layer_less": wrong})
    return rows


@paper.claim(kernels_at_start, figure=lines("width", "error", None, log="xy", ylabel="relative error of the kernel"))
def kernel_converges(table):
    """Slope of ln error over ln width; the error at both ends; distance of the widest from the limit of one layer less."""
    return {
        "rate": -exponent(table["width"], table["error"]),
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
    batches, generator, rows = [(inputs, inputs[:, 0] * inputs[:, 1])], trial.generator("weights"), []
    for width in widths:
        found = []
        for _ in range(networks):
            module = network(2, width, generator)
            before = module.tangent_kernel(points)
            descent = torch.optim.SGD(module.parameters(), 1.0)
            losses = fit(module, half_squared, batches, optimiser=descent, steps=steps).losses
            after = module.tangent_kernel(points)
            grown = float((after.trace() / before.trace()).log())
            found.append((relative(after, before), grown, 1 - losses[-1] / losses[0]))
        change, inflation, removed = zip(*found, strict=True)
        rows.append(
            {"width": width, "change": np.mean(change), "inflation": np.mean(inflation), "removed": min(removed)}
        )
    return rows


@paper.claim(
    kernels_in_training, figure=lines("width", "change", None, log="xy", ylabel="relative change of the kernel")
)
def kernel_stays(table):
    """Slope of ln change over ln width; the change at both ends, and how much the narrow kernel grows; the least loss removed."""
    return {
        "rate": -exponent(table["width"], table["change"]),
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
    ntk, nngp = (
        wide_kernel(images.double(), images[:count].double(), depth=HIDDEN, kind=kind, **LIMIT)
        for kind in ("ntk", "nngp")
    )
    values, vectors = (part.flip(-1) for part in torch.linalg.eigh(ntk[:count] / count))
    places = [place - 1 for place in which]
    goal = 0.5 * math.sqrt(count / len(which)) * vectors[:, places].sum(1)
    rate, records = 0.7 / float(values[0]), trial.pick(smoke=2, laptop=40, full=100)
    every = trial.pick(smoke=2, laptop=math.ceil(2 / float(values[places[-1]]) / rate / records), full=100)
    times = rate * every * torch.arange(1, records + 1, dtype=torch.float64, device=trial.device)
    flow = kernel_gradient_flow(ntk[:count], goal, times / count, cross=ntk)
    # A last layer that learns alone is given the time in which its kernel has the other's trace.
    pace = float(ntk[:count].trace() / nngp[:count].trace())
    last_layer = kernel_gradient_flow(nngp[:count], goal, pace * times / count, cross=nngp)
    generator, rows = trial.generator("weights"), []
    for width in widths:
        moved = displacements(network(images.shape[1], width, generator), images, goal, rate, every, records)
        gaps = {"gap_ntk": relative(moved, flow), "gap_nngp": relative(moved, last_layer)}
        for place in places:
            left = 1 - moved[:, :count] @ vectors[:, place] / (goal @ vectors[:, place])
            found = {"eigenvalue": float(values[place]), "rate": decay(times, left)}
            rows.append({"width": width, "component": place + 1, **found, **gaps})
    return rows


def displacements(module: Any, images: Tensor, goal: Tensor, rate: float, every: int, records: int) -> Tensor:
    """f_t − f_0 on all images, in training on the first of them towards f_0 + goal; shape (records, images)."""
    start = module(images).double().detach()
    path: list[Tensor] = []

    def record(step: int) -> None:
        if step % every == 0:
            path.append(module(images).double().detach() - start)

    batches = [(images[: len(goal)], (start[: len(goal)] + goal).float())]
    descent = torch.optim.SGD(module.parameters(), rate)
    fit(module, half_squared, batches, optimiser=descent, steps=every * records, after_step=record)
    return torch.stack(path)


def decay(times: Tensor, rest: Tensor) -> float:
    """Rate λ of rest = e^{−λt}, by least squares of the logarithm until a tenth is left."""
    seen = (rest > 0.1).cumprod(0).bool()
    seen[0] = True
    t, log = times[seen], rest[seen].clamp_min(1e-3).log()
    return float(-(t @ log) / (t @ t))


@paper.claim(
    training_beside_the_equation,
    figure=lines("component", "rate", "width", theory="eigenvalue", log="xy", xlabel="kernel principal component"),
)
def follows_linear_equation(table):
    """The gap of widest and narrowest network, and its slope; rates against eigenvalues at the widest."""
    by_width = table.groupby("width").first()
    widest = table[table["width"] == table["width"].max()]
    gap = by_width["gap_ntk"]
    return {
        "gap": gap.iloc[-1],
        "order": spearmanr(widest["rate"], widest["eigenvalue"]).statistic,
        "rate": -exponent(gap.index, gap),
        "gap_at_narrowest": gap.iloc[0],
        "gap_of_last_layer": by_width["gap_nngp"].iloc[-1],
    }
