"""Magnitude Invariant Parametrizations Improve Hypernetwork Learning (Gonzalez Ortiz, Guttag and Dalca 2023).

A plain hypernetwork's output grows in proportion to its input; encoded at constant norm, and as a change of learned
weights, it does not, and trains faster and more steadily.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from replica.architectures import Hypernetwork
from replica.architectures.primary_networks import BayesianNet, RescalingNet
from replica.data import digits, mnist
from replica.lab.claims import Paper, Trial
from replica.lab.studies import dots, lines
from replica.training import RateCurves, split_indices, sweep_rates

paper = Paper("magnitude_invariant")


# --- The tasks


class Task(NamedTuple):
    """A job for a hypernetwork.

    Attributes:
        primary: makes the primary network.
        draw: a minibatch with one condition for it, all that `loss` takes after the hypernetwork.
        held_out: what `loss` is measured on: fixed batches at conditions from 0 to 1.
        loss: of a hypernetwork (a callable) on a minibatch.
    """

    primary: Callable[[torch.Generator], nn.Module]
    draw: Callable[[torch.Generator], tuple[Any, ...]]
    held_out: Sequence[tuple[Any, ...]]
    loss: Callable[..., Tensor]


def split_images(trial: Trial) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Digits of shape ``(count, 1, side, side)`` and labels, 70 % to train on, and others (200 at laptop scale) held out."""
    data = mnist(split="test") if trial.scale == "full" else digits()
    images = torch.from_numpy(data.values).unsqueeze(1).to(trial.device)
    labels = torch.from_numpy(data.labels).to(trial.device)
    train, other = split_indices(len(labels), (0.7, 0.3), trial.generator("split"))
    other = other[: trial.pick(smoke=50, laptop=200, full=2000)]
    return images[train], labels[train], images[other], labels[other]


def bayesian_task(trial: Trial, conditions: int = 1, depth: int = 5) -> Task:
    """A Bayesian network as a function of how much its prior counts: loss = cross-entropy + γ KL / (10 · images).

    With several conditions, γ is their mean.
    """
    images, labels, other_images, other_labels = split_images(trial)
    count, width = len(labels), trial.pick(smoke=4, laptop=16, full=64)
    size = trial.pick(smoke=16, laptop=64, full=128)
    widths = [width] * (depth - 1) + [10]

    def noise(rows: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        return torch.randn(rows, sum(widths), generator=generator, device=generator.device).split(widths, dim=-1)

    def draw(generator: torch.Generator) -> tuple[Any, ...]:
        rows = torch.randint(count, (size,), generator=generator, device=generator.device)
        condition = torch.rand(conditions, generator=generator, device=generator.device)
        return images[rows], labels[rows], condition, noise(size, generator)

    def loss(hypernet: Callable[..., Any], images: Tensor, labels: Tensor, condition: Tensor, noise: Any) -> Tensor:
        scores, divergence = hypernet(images, condition, noise=noise)
        return nn.functional.cross_entropy(scores, labels) + condition.mean() * divergence / (10 * count)

    fixed = noise(len(other_labels), trial.generator("held-out noise"))
    levels = torch.linspace(0, 1, 4, device=trial.device)
    return Task(
        lambda generator: BayesianNet((images[0].numel(), *widths), generator),
        draw,
        [(other_images, other_labels, level.expand(conditions), fixed) for level in levels],
        loss,
    )


def rescaling_task(trial: Trial) -> Task:
    """A classifier as a function of how far it shrinks its feature maps: from a quarter of the side to all of it."""
    images, labels, other_images, other_labels = split_images(trial)
    side, count = images.shape[-1], len(labels)
    batch = trial.pick(smoke=16, laptop=32, full=128)
    channels = trial.pick(smoke=(2, 2, 4, 4), laptop=(4, 8, 8, 8), full=(16, 32, 64, 64))

    def size(condition: float) -> int:
        return round(side * (0.25 + 0.75 * condition))

    def draw(generator: torch.Generator) -> tuple[Any, ...]:
        rows = torch.randint(count, (batch,), generator=generator, device=generator.device)
        condition = torch.rand(1, generator=generator, device=generator.device)
        return images[rows], labels[rows], condition, size(float(condition))

    def loss(hypernet: Callable[..., Any], images: Tensor, labels: Tensor, condition: Tensor, size: int) -> Tensor:
        return nn.functional.cross_entropy(hypernet(images, condition, size=size), labels)

    levels = torch.linspace(0, 1, 4, device=trial.device)
    return Task(
        lambda generator: RescalingNet(channels, generator),
        draw,
        [(other_images, other_labels, level.unsqueeze(0), size(float(level))) for level in levels],
        loss,
    )


# --- Proportionality

FORMS: tuple[Literal["plain", "magnitude-invariant"], ...] = ("plain", "magnitude-invariant")


def output_scales(trial: Trial) -> list[dict[str, Any]]:
    """Standard deviation of θ(γ), and of it without the last bias, for γ from 0.1 to 1, around 600 steps of Adam at 0.001."""
    task = rescaling_task(trial)
    hidden = trial.pick(smoke=(4, 8), laptop=(16, 128), full=(16, 128))
    gammas = torch.logspace(-1, 0, 13, device=trial.device)
    rows = []
    for form in FORMS:
        hypernet = Hypernetwork(
            task.primary(trial.generator("primary weights")), form=form, hidden=hidden, generator=trial.generator("weights")
        )  # fmt: skip
        optimiser, generator = torch.optim.Adam(hypernet.parameters(), 1e-3), trial.generator("batches")
        for steps in (0, trial.pick(smoke=10, laptop=600, full=6000)):
            for _ in range(steps):
                optimiser.zero_grad()
                task.loss(hypernet, *task.draw(generator)).backward()
                optimiser.step()
            with torch.no_grad():
                written = hypernet.flat_weights(gammas.unsqueeze(-1))
                deviations = zip(gammas, written.std(dim=-1), (written - hypernet.base).std(dim=-1), strict=True)
            rows += [
                {"form": form, "line": f"{form}, {f'after {steps} steps' if steps else 'at the start'}", "step": steps,
                 "condition": condition, "deviation": deviation, "without_bias": without}
                for condition, deviation, without in deviations
            ]  # fmt: skip
    return rows


def slopes(table, steps, column="deviation"):
    """Slope of the log of the deviation against log γ, by form: 1 if proportional, 0 if independent."""
    return {
        form: np.polyfit(np.log(rows["condition"]), np.log(rows[column]), 1)[0]
        for form, rows in table[table["step"] == steps].groupby("form")
    }


draw_scales = lines("condition", "deviation", by="line", xlabel="condition γ", ylabel="deviation of weights", log="xy")


@paper.claim(output_scales, figure=draw_scales)
def proportionality_at_start(table):
    slope = slopes(table, 0)
    return {"plain": slope["plain"], "invariant": slope["magnitude-invariant"]}


@paper.claim(output_scales, figure=draw_scales)
def proportionality_in_training(table):
    slope, without = (slopes(table, table["step"].max(), column) for column in ("deviation", "without_bias"))
    return {
        "plain": slope["plain"],
        "invariant": slope["magnitude-invariant"],
        "plain_without_bias": without["plain"],
    }


# --- Training

RATES: Mapping[str, tuple[float, ...]] = {
    "adam": (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
    "sgd": (3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1),
}
SECOND_RATES = {kind: values[::2] for kind, values in RATES.items()}
IGNORANCE = math.log(10)
"""Loss of a guess among ten digits: a run that ends above it, or diverges, counts as this bad."""


def train(
    task: Task, trial: Trial, steps: int, *, rates: Mapping[str, Sequence[float]] = RATES, **options: Any
) -> RateCurves:
    """Train a hypernetwork at all learning rates; forms of a trial meet the same batches, from the same streams."""
    hypernet = Hypernetwork(
        task.primary(trial.generator("primary weights")),
        **{"hidden": trial.pick(smoke=(4, 8), laptop=(16, 32), full=(16, 128)), **options},
        generator=trial.generator("weights"),
    )
    return sweep_rates(
        hypernet, task.loss, partial(task.draw, trial.generator("batches")), task.held_out,
        rates=rates, steps=steps, every=max(1, steps // 30), worst=IGNORANCE,
    )  # fmt: skip


def beside_plain(
    task: Task, trial: Trial, steps: int, output_scale: str = "fan-out", **options: Any
) -> dict[str, float]:
    """The magnitude-invariant form beside a plain one whose output starts at a given scale."""
    ours = train(task, trial, steps, form="magnitude-invariant", **options)
    return ours.beside(train(task, trial, steps, form="plain", output_scale=output_scale, **options))


def table_of(found: Mapping[str, float]) -> list[dict[str, Any]]:
    """Rows: ratios of steps at the best learning rate and over all, and the gain in learning rates that end well."""
    return [
        {"learning_rates": "best", "ratio": found["fastest"], "usable_rates": found["usable_rates"]},
        {"learning_rates": "all", "ratio": found["average"]},
    ]


def judged(table):
    """The same as measures."""
    ratio = table.set_index("learning_rates")["ratio"]
    return {"fastest": ratio["best"], "average": ratio["all"], "usable_rates": table["usable_rates"].max()}


draw_ratios = dots("learning_rates", "ratio", ylabel="steps, magnitude-invariant / plain")


def bayesian(trial: Trial) -> list[dict[str, Any]]:
    """The Bayesian network."""
    return table_of(beside_plain(bayesian_task(trial), trial, trial.pick(smoke=6, laptop=450, full=6000)))


@paper.claim(bayesian, figure=draw_ratios)
def bayesian_network(table):
    return judged(table)


def rescaling(trial: Trial) -> list[dict[str, Any]]:
    """The network that rescales inside."""
    return table_of(beside_plain(rescaling_task(trial), trial, trial.pick(smoke=6, laptop=600, full=6000)))


@paper.claim(rescaling, figure=draw_ratios)
def rescaling_network(table):
    return judged(table)


def usual_scale(trial: Trial) -> list[dict[str, Any]]:
    """Both tasks at every second learning rate, beside a plain form that starts at the primary network's own scale."""
    one, other = (
        beside_plain(make(trial), trial, trial.pick(smoke=3, laptop=steps, full=6000), "primary", rates=SECOND_RATES)
        for make, steps in ((bayesian_task, 450), (rescaling_task, 600))
    )
    mean = {name: math.sqrt(one[name] * other[name]) for name in ("fastest", "average")}
    return table_of({**mean, "usable_rates": (one["usable_rates"] + other["usable_rates"]) / 2})


@paper.claim(usual_scale, figure=draw_ratios)
def beyond_initial_scale(table):
    return judged(table)


def halves(trial: Trial) -> list[dict[str, Any]]:
    """The Bayesian network in all four forms, two by two: ratio of the fewest steps."""
    task, steps = bayesian_task(trial), trial.pick(smoke=6, laptop=450, full=6000)
    curves = {form: train(task, trial, steps, form=form) for form in ("plain", "encoded", "additive", FORMS[1])}
    pairs = {"encoding_alone": ("encoded", "plain"), "additive_alone": ("additive", "plain"),
             "both_beside_encoding": (FORMS[1], "encoded"), "both_beside_additive": (FORMS[1], "additive")}  # fmt: skip
    return [
        {"comparison": name, "ratio": curves[ours].beside(curves[other])["fastest"]}
        for name, (ours, other) in pairs.items()
    ]


@paper.claim(halves, figure=dots("comparison", "ratio", ylabel="ratio of steps"))
def each_half(table):
    return dict(zip(table["comparison"], table["ratio"], strict=True))


# --- Other hypernetworks

SHALLOW = "primary of 2 layers (not judged)"
SCENARIOS: Mapping[str, Mapping[str, Any]] = {
    "LeakyReLU": {},
    "Tanh": {"activation": nn.Tanh},
    "SiLU": {"activation": nn.SiLU},
    "one hidden layer": {"hidden": (32,)},
    "three hidden layers": {"hidden": (16, 16, 32)},
    "two conditions": {"conditions": 2},
    SHALLOW: {},
}
"""Options of the hypernetwork in each scenario."""


def scenarios(trial: Trial) -> list[dict[str, Any]]:
    """The Bayesian network with Adam at six learning rates: ratio of the fewest steps."""
    steps, rates, rows = trial.pick(smoke=3, laptop=250, full=6000), {"adam": RATES["adam"]}, []
    for name, options in SCENARIOS.items():
        task = bayesian_task(trial, options.get("conditions", 1), depth=2 if name == SHALLOW else 5)
        found = beside_plain(task, trial, steps, rates=rates, **options)
        rows.append({"scenario": name, "ratio": found["fastest"]})
    return rows


@paper.claim(scenarios, figure=dots("scenario", "ratio", ylabel="steps, magnitude-invariant / plain"))
def every_scenario(table):
    ratio = table.set_index("scenario")["ratio"]
    hypernetworks = ratio.drop(SHALLOW)
    return {
        "slowest_scenario": hypernetworks.max(),
        "mean_scenario": math.exp(np.log(hypernetworks).mean()),
        "shallow_primary": ratio[SHALLOW],
    }
