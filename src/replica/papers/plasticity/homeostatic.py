"""Need is all you need: homeostatic neural networks adapt to concept shift (Man, Damasio and Neven 2022)."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from replica.data import digits, mnist
from replica.lab.claims import Choice, LogUniform, Paper, Trial
from replica.lab.studies import lines
from replica.plasticity.concept_shift import LabelSwaps
from replica.plasticity.homeostatic import HomeostaticLearner, Regulation, Simulation
from replica.plasticity.homeostatic_perceptrons import HomeostaticPerceptrons
from replica.plasticity.learning_rule import LearningRule

paper = Paper("homeostatic")

LEARNERS: Mapping[str, Regulation] = {"homeostatic": "foresight", "constant": "none", "random": "random"}
BATCH = 10
CLASSES = 10
RATES = (0.003, 0.01, 0.03, 0.1, 0.2, 0.4)
PROGRAMS_RATE = 0.001
SPACING = (0, 300, 100, 30, 10)
"""Batches from one swap to the next, from a world at rest to the highest rate of shift."""


@paper.entry(
    "credit",
    name="homeostatic",
    space={
        "learning_rate": LogUniform(1e-3, 0.2),
        "effect": LogUniform(0.02, 0.5),
        "simulate": Choice(("batch", "sample")),
    },
)
def homeostatic(
    trial: Trial, learning_rate: float = 0.05, effect: float = 0.1, simulate: Simulation = "sample"
) -> LearningRule:
    """Gradient descent with a rate that the classes raise and lower, by the paper's tenth of the first rate."""
    return descent(learning_rate=learning_rate, effect=effect, simulate=simulate)


@paper.entry("credit", name="gradient-descent", space={"learning_rate": LogUniform(1e-3, 0.2)})
def gradient_descent(trial: Trial, learning_rate: float = 0.05) -> LearningRule:
    """The same learner without homeostasis: plain gradient descent with a constant rate."""
    return descent(learning_rate=learning_rate, regulation="none")


def descent(**options: Any) -> LearningRule:
    """A homeostatic learner in the protocol of credit."""
    return LearningRule(lambda network, example, loss: HomeostaticLearner(network, loss, **options))


# --- Streams


class History(NamedTuple):
    """What became of learners: shares of rows right, each before it was learned, and rates before each batch."""

    correct: Float[Tensor, "batches learners streams rates"]
    rate: Float[Tensor, "batches learners streams rates"]


def data(trial: Trial) -> tuple[Float[Tensor, "rows inputs"], Int[Tensor, " rows"]]:
    """Digits of 8×8 values from 0 to 1; MNIST at full scale."""
    images = mnist("train") if trial.scale == "full" else digits()
    values = torch.from_numpy(np.asarray(images.values)).flatten(1).float()
    return values.to(trial.device), torch.from_numpy(np.asarray(images.labels)).long().to(trial.device)


def live(
    trial: Trial,
    name: str,
    swaps_at: np.ndarray,
    rates: Float[Tensor, "learners streams rates"],
    kinds: Sequence[Regulation] = tuple(LEARNERS.values()),
) -> History:
    """Let learners live through streams; all that share ``name`` meet the same rows, swaps and first weights.

    Args:
        trial: Where randomness comes from.
        name: Of the streams.
        swaps_at: Whether two labels are swapped before a batch, ``(batches, streams)``.
        rates: First rates of the learners on each stream.
        kinds: How learners treat their rate.
    """
    inputs, labels = data(trial)
    batches, streams = swaps_at.shape
    learners, tried = len(kinds), rates.shape[2]
    colony = HomeostaticPerceptrons(
        (inputs.shape[1], 80, 60, CLASSES), kinds, rates.to(trial.device).flatten(1),
        generator=trial.generator("network"), choices=trial.generator(f"{name}-choices"),
    )  # fmt: skip
    names = LabelSwaps(CLASSES, streams, generator=trial.generator(f"{name}-swaps"), device=trial.device)
    order, left = trial.generator(f"{name}-rows"), torch.empty(0, dtype=torch.long, device=trial.device)

    def replicas(of_streams: Tensor) -> Tensor:
        return of_streams.repeat_interleave(tried, 0).repeat(learners, 1)

    # Filled in place: small tensors kept one by one between the large ones of a step would tear the heap to pieces.
    correct, path = torch.empty(2, batches, rates.numel(), device=trial.device)
    for number, swaps in enumerate(swaps_at):
        if len(left) < BATCH:
            left = torch.randperm(len(inputs), generator=order, device=trial.device)
        rows, left = left[:BATCH], left[BATCH:]
        if swaps.any():
            colony.rename(replicas(names.swap(torch.as_tensor(swaps, device=trial.device))))
        path[number] = colony.rate
        correct[number] = colony.step(inputs[rows], replicas(names.rename(labels[rows])))
    return History(*(values.view(batches, learners, streams, tried).cpu() for values in (correct, path)))


def regular(batches: int, every: Sequence[int]) -> np.ndarray:
    """Streams with a swap before every so many batches, none where it is 0."""
    number = np.arange(batches)[:, None]
    spacing = np.array(every)[None]
    return (number > 0) & (spacing > 0) & (number % np.maximum(spacing, 1) == 0)


def rows_of(history: History, spacing: Sequence[int], stretch: int) -> list[dict[str, Any]]:
    """Accuracy and log rate of every learner on every stream, means over stretches of so many batches."""
    rows = []
    tables = (history.correct, history.rate.double().clamp(min=1e-8).log())
    for number in range(0, len(history.rate), stretch):
        correct, rate = (values[number : number + stretch, ..., 0].mean(0) for values in tables)
        for which, learner in enumerate(LEARNERS):
            for stream, every in enumerate(spacing):
                rows.append({
                    "learner": learner, "swaps": 1000 / (BATCH * every) if every else 0.0,
                    "batch": number + stretch // 2, "accuracy": correct[which, stream], "log_rate": rate[which, stream],
                })  # fmt: skip
    return rows


draw_by_shift = lines("swaps", "accuracy", by="learner", xlabel="label swaps in 1,000 rows", percent=True)
draw_by_time = lines("batch", "accuracy", by="learner", xlabel=f"batches of {BATCH} rows", percent=True)


# --- The authors' rate, and many choices


def long_streams(trial: Trial) -> list[dict[str, Any]]:
    """All learners with the first rate of the authors' program, at two rates of shift."""
    batches, spacing = trial.pick(smoke=24, laptop=10_000, full=300_000), (100, 10)
    rates = torch.full((len(LEARNERS), len(spacing), 1), PROGRAMS_RATE)
    return rows_of(live(trial, "streams", regular(batches, spacing), rates), spacing, batches // 8)


@paper.claim(long_streams, figure=draw_by_time, limit_seconds=3600)
def adapts_over_many_choices(table):
    accuracy = table.groupby("learner")["accuracy"].mean()
    own = table[table["learner"] == "homeostatic"]
    return {
        "gain_over_constant": accuracy["homeostatic"] - accuracy["constant"],
        "gain_over_random": accuracy["homeostatic"] - accuracy["random"],
        "constant_accuracy": accuracy["constant"],
        "rate_moved": np.abs(own["log_rate"] - np.log(PROGRAMS_RATE)).mean(),
    }


# --- Rates that suit


def begin_alike(trial: Trial) -> list[dict[str, Any]]:
    """All begin with the rate that is best for the constant learner at rest, as one sets it who expects no shift."""
    resting = live(trial, "at-rest", regular(tuned_on(trial), (0,)), torch.tensor([[RATES]]), ("none",))
    best = RATES[int(resting.correct.mean(0).argmax())]
    batches = trial.pick(smoke=24, laptop=4000, full=60_000)
    rates = torch.full((len(LEARNERS), len(SPACING), 1), best)
    return rows_of(live(trial, "streams", regular(batches, SPACING), rates), SPACING, batches)


def tuned_on(trial: Trial) -> int:
    """Batches of a stream where first rates are tried."""
    return trial.pick(smoke=24, laptop=2000, full=60_000)


@paper.claim(begin_alike, figure=draw_by_shift)
def greatest_at_highest(table):
    by_shift = table.pivot(index="swaps", columns="learner", values="accuracy")
    gain = by_shift["homeostatic"] - by_shift["constant"]
    return {
        "gain_at_highest": gain.iloc[-1],
        "gain_at_highest_over_lower": gain.iloc[-1] - gain.iloc[:-1].mean(),
        "gain_at_rest": gain.iloc[0],
    }


# --- Seasons


def alternating(trial: Trial) -> list[dict[str, Any]]:
    """Seasons of rest and of the highest rate of shift in turn; each learner's first rate is tuned on other such streams."""
    each, count = trial.pick(smoke=6, laptop=250, full=6000), trial.pick(smoke=4, laptop=8, full=50)
    shifting = np.repeat(np.arange(count) % 2 == 1, each)
    swaps = regular(count * each, SPACING[-1:]) & shifting[:, None]
    tried = torch.tensor(RATES).expand(len(LEARNERS), 1, -1)
    best = tried[0, 0][live(trial, "tuning", swaps, tried).correct.mean(0).argmax(-1)]
    rows = rows_of(live(trial, "streams", swaps, best[..., None]), SPACING[-1:], max(1, each // 10))
    return [{**row, "shifting": bool(shifting[row["batch"]]), "late": row["batch"] % each >= each // 2} for row in rows]


@paper.claim(alternating, figure=draw_by_time)
def seasons(table):
    accuracy = table.groupby("learner")["accuracy"].mean()
    late = table[(table["learner"] == "homeostatic") & table["late"]]
    log_rate = late.groupby("shifting")["log_rate"].mean()
    return {
        "gain_over_tuned_constant": accuracy["homeostatic"] - accuracy["constant"],
        "gain_over_tuned_random": accuracy["homeostatic"] - accuracy["random"],
        "log_rate_in_shift_over_rest": log_rate[True] - log_rate[False],
    }
