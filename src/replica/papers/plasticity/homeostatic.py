"""Need is all you need: homeostatic neural networks adapt to concept shift (Man, Damasio and Neven 2022)."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from replica.lab.claims import Choice, LogUniform, Paper, Reported, Trial, above
from replica.lab.claims.drawing import draw_spread
from replica.plasticity.concept_shift import LabelSwaps
from replica.plasticity.homeostatic import HomeostaticLearner, Loss, Regulation, Simulation
from replica.plasticity.learning_rule import LearningRule

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Result = tuple[dict[str, float], dict[str, list[Any]]]

LEARNERS: dict[str, Regulation] = {"homeostatic": "foresight", "constant": "none", "random": "random"}
STYLES = {
    "homeostatic": ("tab:blue", "o", "-"),
    "constant": ("tab:orange", "s", "--"),
    "random": ("tab:green", "^", ":"),
}
BATCH = 10
CLASSES = 10
RATES = (0.003, 0.01, 0.03, 0.1, 0.2, 0.4)
FIRST_RATES = (0.001, 0.0058, 0.03, 0.2)
"""The authors' program begins with the first, and names the second in a comment."""
SPACING = (0, 300, 100, 30, 10)
"""Batches from one swap to the next, from a world at rest to the highest rate of shift."""

paper = Paper(
    "homeostatic",
    departures=(
        "Data are scikit-learn's 1,797 digits of 8×8 pixels (MNIST at full scale) in place of MNIST and Fashion-MNIST; a "
        "stream has 2,000 to 4,000 batches of 10 at laptop scale, where the authors' program runs 50 epochs of 60,000 rows.",
        "The text of the paper beyond its abstract could not be had; the rule, network (ELU, 80 and 60 hidden units, their "
        "start), batch of 10, memory of 20, effect of a tenth of the first rate and the two controls are read from the "
        "authors' program. Its figures, swaps an epoch and lengths of seasons were not at hand: our rates of shift are ours, "
        "in MNIST's 60,000 rows 20 to 600 swaps.",
        "On the same rows, swaps and first weights our learner's rate was that of the authors' program after every batch of "
        "an epoch, its weights to 1e-15. One thing differs: the program lets the first three batches of each epoch pass "
        "without a choice, ours the first two of a stream.",
        "The part can also simulate its two futures with the gradient of the whole batch; the claims use the authors' way, the "
        "share in it of the perceived row. Lengths were set, and that choice made, after looking at one seed outside those "
        "judged, on which the whole batch's gradient lowered the rate too far and lost up to 74 points to the constant rate.",
        "A swap renames the rows that the learner remembers too, as in the authors' program: the homeostatic learner so learns "
        "of the shift before it has seen any of it, the controls, which have no memory, do not. In the problem credit, which "
        "names no swaps, remembered rows keep the labels they came with.",
        "Accuracy is that over the stream, each row asked before it is learned, over all batches from the first.",
        "The first rate of the authors' program is 0.001 (0.0058 in a comment) for all. One claim begins with it; in the others "
        "we tune it: for the constant learner in a world at rest where learners are to begin alike, for each learner on other "
        "streams of the same kind where each is to have its best. The claim with the authors' rate, and its rates and length, "
        "came after a look at seed 100, on which the homeostatic learner lost the claims that stood before it, which stay.",
        "Choices are many in the authors' program, 300,000 in 50 epochs, and few of them are taken, about 1 in 100 on digits "
        "(seed 101): in our 2,000 to 4,000 a rate of 0.001 hardly moves.",
        "A look at MNIST's 10,000 test images with first rates 0.001 and 0.0058 (seed 100, 8,000 batches) gave gains over the "
        "constant rate from -5 to 2 points, the lowest at the highest rate of shift, as on digits.",
        "For the problem credit the rule keeps plain gradient descent, which is the paper's, where others use Adam; the same "
        "learner without homeostasis is entered too, with the same rate, since that alone tells the two apart.",
    ),
)


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

    def learner(network: nn.Module, example: Tensor, *, loss: Loss) -> HomeostaticLearner:
        return HomeostaticLearner(network, loss, learning_rate, effect=effect, simulate=simulate)

    return LearningRule(learner)


@paper.entry("credit", name="gradient-descent", space={"learning_rate": LogUniform(1e-3, 0.2)})
def gradient_descent(trial: Trial, learning_rate: float = 0.05) -> LearningRule:
    """The same learner without homeostasis: plain gradient descent with a constant rate."""

    def learner(network: nn.Module, example: Tensor, *, loss: Loss) -> HomeostaticLearner:
        return HomeostaticLearner(network, loss, learning_rate, regulation="none")

    return LearningRule(learner)


class StackedPerceptron(nn.Module):
    """Equal perceptrons with ELU side by side, drawn as the authors do: normal, weights of variance 2/inputs, biases of 1."""

    def __init__(self, sizes: Sequence[int], replicas: int, generator: torch.Generator) -> None:
        super().__init__()
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for inputs, units in itertools.pairwise(sizes):
            weight = torch.randn(inputs, units, generator=generator, device=generator.device) * math.sqrt(2 / inputs)
            bias = torch.randn(1, units, generator=generator, device=generator.device)
            self.weights.append(weight.repeat(replicas, 1, 1))
            self.biases.append(bias.repeat(replicas, 1, 1))

    def forward(self, inputs: Float[Tensor, "replicas batch inputs"]) -> Float[Tensor, "replicas batch classes"]:
        """Scores of every replica."""
        last = len(self.weights) - 1
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            inputs = torch.baddbmm(bias, inputs, weight)
            inputs = inputs if number == last else nn.functional.elu(inputs)
        return inputs


@dataclass(frozen=True)
class History:
    """What became of learners on streams: right answers, and rates before each batch, ``(batches, streams, rates)``."""

    right: Float[Tensor, "batches streams rates"]
    rate: Float[Tensor, "batches streams rates"]

    @property
    def accuracy(self) -> Float[Tensor, "streams rates"]:
        """Share of rows named right, each before it was learned."""
        return self.right.mean(0)


def data(trial: Trial) -> tuple[Float[Tensor, "rows inputs"], Int[Tensor, " rows"]]:
    """Digits of 8×8 values from 0 to 1; MNIST at full scale."""
    from replica.data import digits, mnist

    images = mnist("train") if trial.scale == "full" else digits()
    values = torch.from_numpy(np.asarray(images.values)).flatten(1).float()
    return values.to(trial.device), torch.from_numpy(np.asarray(images.labels)).long().to(trial.device)


def live(
    trial: Trial,
    name: str,
    regulation: Regulation,
    swaps_at: np.ndarray,
    rates: Float[Tensor, "streams rates"],
) -> History:
    """Let learners of one kind live through streams; all that share ``name`` meet the same rows, swaps and first weights.

    Args:
        trial: Where randomness comes from.
        name: Of the streams.
        regulation: How they treat their learning rate.
        swaps_at: Whether two labels are swapped before a batch, ``(batches, streams)``.
        rates: First rates of the learners on each stream.
    """
    inputs, labels = data(trial)
    batches, streams = swaps_at.shape
    tried = rates.shape[1]
    replicas = streams * tried
    hidden = (80, 60)
    net = StackedPerceptron((inputs.shape[1], *hidden, CLASSES), replicas, trial.generator("network"))
    learner = HomeostaticLearner(
        net,
        nn.functional.cross_entropy,
        rates.flatten().to(trial.device),
        regulation=regulation,
        replicas=replicas,
        generator=trial.generator(f"{name}-choices"),
    )
    names = LabelSwaps(CLASSES, streams, generator=trial.generator(f"{name}-swaps"), device=trial.device)
    order, left = trial.generator(f"{name}-rows"), torch.empty(0, dtype=torch.long, device=trial.device)
    # Filled in place: small tensors kept one by one between the large ones of a step would tear the heap to pieces.
    right, path = torch.empty(2, batches, replicas, device=trial.device)
    for number, swaps in enumerate(swaps_at):
        if len(left) < BATCH:
            left = torch.randperm(len(inputs), generator=order, device=trial.device)
        rows, left = left[:BATCH], left[BATCH:]
        if swaps.any():
            becomes = names.swap(torch.as_tensor(swaps, device=trial.device))
            learner.rename(becomes.repeat_interleave(tried, 0))
        shown = inputs[rows].expand(replicas, -1, -1)
        called = names.rename(labels[rows]).repeat_interleave(tried, 0)
        path[number] = learner.rate
        right[number] = (learner.step(shown, called).argmax(-1) == called).float().mean(1)
    return History(*(values.view(batches, streams, tried).cpu() for values in (right, path)))


def regular(batches: int, every: Sequence[int]) -> np.ndarray:
    """Streams with a swap before every so many batches, none where it is 0."""
    number = np.arange(batches)[:, None]
    spacing = np.array(every)[None]
    return (number > 0) & (spacing > 0) & (number % np.maximum(spacing, 1) == 0)


def at_rest(trial: Trial) -> float:
    """The constant learner's best rate in a world at rest, on a stream of its own: how one sets it who expects no shift."""
    batches = tuning_length(trial)
    tried = torch.tensor([RATES])
    return RATES[int(live(trial, "at-rest", "none", regular(batches, (0,)), tried).accuracy[0].argmax())]


def length(trial: Trial) -> int:
    """Batches of a stream."""
    return trial.pick(smoke=24, laptop=4000, full=60_000)


def tuning_length(trial: Trial) -> int:
    """Batches of a stream where many first rates are tried."""
    return trial.pick(smoke=24, laptop=2000, full=60_000)


def begin_alike(trial: Trial, spacing: Sequence[int]) -> dict[str, History]:
    """All learners with the first rate that suits a world at rest, on one stream for every rate of shift."""
    swaps = regular(length(trial), spacing)
    rates = torch.full((len(spacing), 1), at_rest(trial))
    return {name: live(trial, "streams", regulation, swaps, rates) for name, regulation in LEARNERS.items()}


def at_their_best(trial: Trial, swaps_at: np.ndarray) -> dict[str, History]:
    """Every learner with the first rate that was its best on other streams with swaps at the same times."""
    streams = swaps_at.shape[1]
    lives = {}
    for name, regulation in LEARNERS.items():
        tuning = live(trial, "tuning", regulation, swaps_at, torch.tensor(RATES).repeat(streams, 1))
        best = torch.tensor(RATES)[tuning.accuracy.argmax(1)]
        lives[name] = live(trial, "streams", regulation, swaps_at, best[:, None])
    return lives


def swaps_a_thousand_rows(spacing: int) -> float:
    """Rate of shift, swaps every thousand rows."""
    return 1000 / (BATCH * spacing) if spacing else 0.0


def by_shift(lives: dict[str, History], spacing: Sequence[int]) -> dict[str, list[Any]]:
    """Accuracy and last rate of every learner at every rate of shift."""
    rows: dict[str, list[Any]] = {
        name: [] for name in ("learner", "swaps", "accuracy", "gain", "last_rate", "first_rate")
    }
    for name, history in lives.items():
        for stream, every in enumerate(spacing):
            accuracy = float(history.accuracy[stream, 0])
            values = (
                name, swaps_a_thousand_rows(every), accuracy, float(lives["homeostatic"].accuracy[stream, 0]) - accuracy,
                float(history.rate[-1, stream, 0]), float(history.rate[0, stream, 0]),
            )  # fmt: skip
            for key, value in zip(rows, values, strict=True):
                rows[key].append(value)
    return rows


def mark_shifts(axes: "Axes", table: "pd.DataFrame") -> None:
    """An axis of the rates of shift in the table, rest among them."""
    rates = sorted(set(table["swaps"]))
    axes.set_xscale("symlog", linthresh=0.3)
    axes.set_xticks(rates, [f"{rate:.2g}" for rate in rates])
    axes.minorticks_off()
    axes.set(xlabel="label swaps in 1,000 rows", xlim=(rates[0] - 0.05, 1.2 * rates[-1]))


def draw_by_shift(axes: "Axes", table: "pd.DataFrame") -> None:
    """Accuracy over the rate of shift, one line a learner."""
    for name, (colour, marker, line) in STYLES.items():
        part = table[table["learner"] == name]
        draw_spread(
            axes, part, "swaps", "accuracy", scale=100, color=colour, marker=marker, linestyle=line, markersize=5, label=name
        )  # fmt: skip
    mark_shifts(axes, table)
    axes.set(ylabel="rows named right on the stream / %")
    axes.legend(title="learning rate")


@paper.claim(
    "Under concept shift a network whose learning rate is exposed to what it classifies stays more accurate than the same "
    "network with a constant or a randomly changed rate.",
    expect={"gain_over_constant": above(0.0), "gain_over_random": above(0.0)},
    reported={
        "gain_over_constant": Reported("increased adaptability under concept shift", where="abstract"),
        "gain_over_random": Reported("the control of the authors' program", where="lrr.py; figures not at hand"),
    },
    why=(
        "Far ahead of a rate that changes at random, behind the constant one on most seeds. Only about one choice in a hundred "
        "is taken, mostly on misread rows, and there the true class often acts against what was foreseen (14 to 61 % of them "
        "on a seed that is not judged), so that the rate wanders instead of following the shift. Our learner's rate is that "
        "of the authors' program batch by batch; their streams and swaps could not be had."
    ),
)
def adapts_to_shift(trial: Trial) -> Result:
    """Means over four rates of shift; all begin with the rate that is best for the constant learner in a world at rest."""
    lives = begin_alike(trial, SPACING[1:])
    own = lives["homeostatic"].accuracy.mean()
    measures = {f"gain_over_{name}": float(own - lives[name].accuracy.mean()) for name in ("constant", "random")}
    return measures, by_shift(lives, SPACING[1:])


adapts_to_shift.figure(draw_by_shift)


@paper.claim(
    "With the first rate of the authors' program for all, the homeostatic network is the most accurate under concept shift.",
    expect={"gain_over_constant": above(0.0), "gain_over_random": above(0.0)},
    reported={
        "gain_over_constant": Reported("increased adaptability under concept shift", where="abstract"),
        "gain_over_random": Reported("the control of the authors' program", where="lrr.py; figures not at hand"),
    },
    why=(
        "From 0.001, with an effect of a tenth of it, 3,000 batches hardly move the rate: the constant learner is level, and "
        "a rate that wanders at random gains, since it is mostly higher. The authors' 300,000 choices remain untested."
    ),
)
def with_the_programs_rate(trial: Trial) -> Result:
    """Means over four rates of shift with the first rate 0.001; the figure has other first rates beside it."""
    spacing = SPACING[1:]
    swaps = regular(trial.pick(smoke=24, laptop=3000, full=300_000), spacing)
    rates = torch.tensor(FIRST_RATES).repeat(len(spacing), 1)
    accuracy = {name: live(trial, "streams", kind, swaps, rates).accuracy for name, kind in LEARNERS.items()}
    gain = {name: accuracy["homeostatic"] - accuracy[name] for name in ("constant", "random")}
    rows: dict[str, list[Any]] = {name: [] for name in ("swaps", "first_rate", "gain", "gain_over_random")}
    for (stream, every), (column, first) in itertools.product(enumerate(spacing), enumerate(FIRST_RATES)):
        values = (swaps_a_thousand_rows(every), first, *(float(gain[name][stream, column]) for name in gain))
        for key, value in zip(rows, values, strict=True):
            rows[key].append(value)
    return {f"gain_over_{name}": float(values[:, 0].mean()) for name, values in gain.items()}, rows


@with_the_programs_rate.figure
def draw_first_rates(axes: "Axes", table: "pd.DataFrame") -> None:
    """Gain over the constant learner over the first rate, one line a rate of shift."""
    styles = (("tab:blue", "o", "-"), ("tab:orange", "s", "--"), ("tab:green", "^", "-."), ("tab:purple", "D", ":"))
    for (swaps, part), (colour, marker, line) in zip(table.groupby("swaps"), styles, strict=True):
        draw_spread(
            axes, part, "first_rate", "gain", scale=100, color=colour, marker=marker, linestyle=line, markersize=5,
            label=f"{swaps:.2g}",
        )  # fmt: skip
    axes.axhline(0, color="gray", linewidth=1)
    axes.set_xscale("log")
    axes.set_xticks(FIRST_RATES, [f"{rate:g}" for rate in FIRST_RATES])
    axes.minorticks_off()
    axes.set(xlabel="first learning rate of all", ylabel="gain over the constant rate / percentage points")
    axes.legend(title="swaps in 1,000 rows")


@paper.claim(
    "The advantage of homeostasis is greatest at the highest rate of shift.",
    expect={"gain_at_highest": above(0.0), "gain_at_highest_over_lower": above(0.0)},
    reported={"gain_at_highest_over_lower": Reported("greatest advantages under the highest rates", where="abstract")},
    why=(
        "There is no advantage that could be greatest: the more often labels are swapped, the more choices are taken on rows "
        "that the network has just come to misread, and the further the rate wanders from one that suits."
    ),
)
def greatest_at_highest(trial: Trial) -> Result:
    """Gain over the constant learner at the highest rate, and how much more that is than the mean gain at all lower ones."""
    lives = begin_alike(trial, SPACING)
    gain = (lives["homeostatic"].accuracy - lives["constant"].accuracy)[:, 0]
    measures = {
        "gain_at_highest": float(gain[-1]),
        "gain_at_highest_over_lower": float(gain[-1] - gain[:-1].mean()),
    }
    return measures, by_shift(lives, SPACING)


@greatest_at_highest.figure
def draw_gain(axes: "Axes", table: "pd.DataFrame") -> None:
    """Gain over each control over the rate of shift."""
    for name in ("constant", "random"):
        colour, marker, line = STYLES[name]
        part = table[table["learner"] == name]
        draw_spread(
            axes, part, "swaps", "gain", scale=100, color=colour, marker=marker, linestyle=line, markersize=5,
            label=f"over {name}",
        )  # fmt: skip
    axes.axhline(0, color="gray", linewidth=1)
    mark_shifts(axes, table)
    axes.set(ylabel="gain of homeostasis / percentage points")
    axes.legend()


@paper.claim(
    "Vulnerability need not impair a learner: in a world at rest the homeostatic network is as accurate as the constant one.",
    expect={"gain_at_rest": above(-0.02)},
    reported={"gain_at_rest": Reported("does not necessarily impair performance", where="abstract")},
)
def no_harm_at_rest(trial: Trial) -> Result:
    """Both with the rate that is best for the constant learner; two points count as equal."""
    lives = begin_alike(trial, (0,))
    measures = {"gain_at_rest": float(lives["homeostatic"].accuracy - lives["constant"].accuracy)}
    return measures, by_time(trial, lives)


def by_time(trial: Trial, lives: dict[str, History]) -> dict[str, list[Any]]:
    """Accuracy and rate on the first stream, in stretches of the stream."""
    rows: dict[str, list[Any]] = {name: [] for name in ("learner", "batch", "accuracy", "rate_ratio")}
    stretch = trial.pick(smoke=6, laptop=50, full=2000)
    for name, history in lives.items():
        right, rate = (values[:, 0, 0].split(stretch) for values in (history.right, history.rate / history.rate[0]))
        for number, (accuracy, ratio) in enumerate(zip(right, rate, strict=True)):
            values = (name, number * stretch + len(accuracy) / 2, float(accuracy.mean()), float(ratio.mean()))
            for key, value in zip(rows, values, strict=True):
                rows[key].append(value)
    return rows


@no_harm_at_rest.figure
def draw_by_time(axes: "Axes", table: "pd.DataFrame") -> None:
    """Accuracy along the stream, one line a learner."""
    for name, (colour, marker, line) in STYLES.items():
        part = table[table["learner"] == name]
        if len(part):
            draw_spread(
                axes, part, "batch", "accuracy", scale=100, color=colour, marker=marker, linestyle=line, markersize=4, label=name
            )  # fmt: skip
    axes.set(xlabel=f"batches of {BATCH} rows seen", ylabel="rows named right / %")
    axes.legend(title="learning rate")


@paper.claim(
    "At high rates of shift homeostasis does better than the constant rate that is best for that very rate of shift.",
    expect={"gain_over_tuned_constant": above(0.0), "gain_over_tuned_random": above(0.0)},
    reported={
        "gain_over_tuned_constant": Reported("increased adaptability; tuning of controls not at hand", where="abstract")
    },
    why=(
        "Behind the tuned constant rate on average, with seeds on which the homeostatic learner's rate collapses: its rate "
        "follows a few choices on misread rows, and one long run of them can take it near zero, where it stays."
    ),
)
def beats_tuned_rates(trial: Trial) -> Result:
    """At the two highest rates of shift; the first rate of every learner is tuned for each on other streams."""
    spacing = SPACING[-2:]
    lives = at_their_best(trial, regular(tuning_length(trial), spacing))
    own = lives["homeostatic"].accuracy.mean()
    measures = {f"gain_over_tuned_{name}": float(own - lives[name].accuracy.mean()) for name in ("constant", "random")}
    return measures, by_shift(lives, spacing)


@beats_tuned_rates.figure
def draw_tuned(axes: "Axes", table: "pd.DataFrame") -> None:
    """Accuracy of every learner at its best, beside each other."""
    kinds = sorted(set(table["swaps"]))
    for place, (name, (colour, marker, _)) in enumerate(STYLES.items()):
        part = table[table["learner"] == name].assign(place=lambda rows: rows["swaps"].map(kinds.index))
        draw_spread(
            axes, part, "place", "accuracy", scale=100, shift=0.15 * (place - 1), color=colour, marker=marker, markersize=6,
            label=name,
        )  # fmt: skip
    axes.set(
        xlabel="label swaps in 1,000 rows", ylabel="rows named right, rates tuned / %", xlim=(-0.5, len(kinds) - 0.5)
    )
    axes.set_xticks(range(len(kinds)), [f"{value:.3g}" for value in kinds])
    axes.legend(title="learning rate")


def season(trial: Trial) -> int:
    """Batches of one season."""
    return trial.pick(smoke=6, laptop=250, full=6000)


@paper.claim(
    "Where seasons of rest and of rapid shift alternate, homeostasis does better than the constant rate that is best for "
    "these seasons, with a rate that is higher in the seasons of shift.",
    expect={
        "gain_over_tuned_constant": above(0.0), "gain_over_tuned_random": above(0.0), "log_rate_in_shift_over_rest": above(0.0),
    },
    reported={
        "gain_over_tuned_constant": Reported("superior under dynamically changing rates of shift", where="abstract")
    },
    why=(
        "The rate does not rise in the seasons of shift: most choices that are taken are on misread rows, where the true class "
        "acts and not the perceived one, so that the rate moves by chance rather than by need. A constant rate tuned for these "
        "seasons is better; the lengths of the paper's seasons were not at hand."
    ),
)  # fmt: skip
def seasons(trial: Trial) -> Result:
    """Eight seasons, of rest and of the highest rate of shift in turn; rates are compared over the second half of each."""
    each = season(trial)
    count = trial.pick(smoke=4, laptop=8, full=50)
    shifting = np.repeat(np.arange(count) % 2 == 1, each)
    lives = at_their_best(trial, regular(count * each, SPACING[-1:]) & shifting[:, None])
    own = lives["homeostatic"]
    late = np.tile(np.arange(each) >= each // 2, count)
    log_rate = own.rate[:, 0, 0].double().log()
    measures = {
        f"gain_over_tuned_{name}": float(own.accuracy - lives[name].accuracy) for name in ("constant", "random")
    }
    rest, shift = (torch.from_numpy(late & (shifting == which)) for which in (False, True))
    measures["log_rate_in_shift_over_rest"] = float(log_rate[shift].mean() - log_rate[rest].mean())
    rows = by_time(trial, lives)
    return measures, rows | {"shifting": [int(shifting[int(batch)]) for batch in rows["batch"]]}


@seasons.figure
def draw_seasons(axes: "Axes", table: "pd.DataFrame") -> None:
    """Accuracy along the seasons, those of shift shaded."""
    draw_by_time(axes, table)
    batches = table.groupby("batch")["shifting"].first()
    half = batches.index[0]
    for batch, shifting in batches.items():
        if shifting:
            axes.axvspan(batch - half, batch + half, color="gray", alpha=0.15, linewidth=0)
    axes.set(xlabel=f"batches of {BATCH} rows seen (shaded: labels swap)")
