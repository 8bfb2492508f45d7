"""The problem scaling: which parametrisation lets a setting found on a small network serve a large one?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from replica.errors import ReplicaError
from replica.lab.claims import Proportion, Scale, Trial
from replica.lab.problems import own_rows
from replica.lab.problems.classification.data import TensorRows
from replica.lab.problems.labelled_rows import LabelledRows, labelled_options
from replica.lab.problems.problem import Dataset, Measured, Metric, Option, Options, Split, Start, rank_by
from replica.lab.problems.protocol import timed
from replica.lab.problems.scaling.sizes import SizeOption, sizes

if TYPE_CHECKING:
    from torch import Tensor

    from replica.lab.problems.scaling.built import Built

_REGRET = Metric("regret", "nats", "lower", "Loss lost by the small network's rate")
_DRIFT = Metric("drift", "octaves", "lower", "Drift of the best rate")
_LOSS = Metric("loss", "nats", "lower", "Training loss at the small network's rate")
_BEST = Metric("best_loss", "nats", "lower", "Training loss at its own best rate")
_ACCURACY = Metric("accuracy", "share of rows", "higher", "Accuracy at the small network's rate")
_DIVERGED = Metric("diverged", "share of runs", "lower", "Runs that diverge near the small network's rate")
_CENSORED = Metric("censored", "share of sizes", "lower", "Sizes whose best rate is at the grid's end")
_SECONDS = Metric("seconds", "s", "lower", "Time of all runs")

_RANGE = {"sgd": (-8.0, 6.0), "adam": (-14.0, 0.0)}
"""Rates tried by default, as powers of 2."""
_SMOKE = {"steps": 4, "rates": 5, "width": 16, "depth": 4}
"""The most of each at smoke scale."""
_NEAR = 2.0
"""Octaves from the small network's best rate within which runs of larger ones are asked to converge."""
_EXAMPLE_ROWS = 16
_UNLEARNED = 0.95
"""The share of the loss of equal odds above which a run counts as not having learned."""


class Scaling(own_rows.LabelledData, LabelledRows):
    """The best learning rate of a small network is used for a large one: a method says how networks start and how rates scale.

    The problem asks the method for a network at each size: widths, or depths where ``--depth`` names several. It trains
    each network at every rate of a logarithmic grid, for ``steps`` steps on the same minibatches from the same start, by
    gradient descent without momentum or by Adam (``--optimiser``).

    **What a method gives.** ``build`` returns a module that maps ``(batch, inputs)`` to ``(batch, outputs)``, scores of
    which the greatest wins; and parameter groups as `torch.optim` takes them, with a multiple of the swept rate in place
    of a rate::

        [{"params": [net.head.weight], "lr_scale": 1 / width}, {"params": others, "lr_scale": 1.0}]

    Every parameter that learns is in exactly one group; ``lr_scale`` is 1 where it is left out. ``width`` is the number of
    units of a hidden layer, ``depth`` that of hidden layers; what the layers are is the method's own. All randomness comes
    from the generator. Where ``build`` takes ``optimiser``, it is told ``"sgd"`` or ``"adam"``. The module's forward pass
    must work under `torch.vmap`.

    The loss of a run is the mean cross-entropy of its minibatches over the last fifth of steps; one above that of equal odds
    (the logarithm of the number of classes), or no number, counts as that. The best rate of a size is the vertex of the
    parabola through the best rate of the grid and its two neighbours, loss and rate in logarithms. At the grid's end
    there is no such vertex: the end counts, and is said (``censored``).

    What is measured:

    - ``regret``: the largest network's loss at the smallest one's best rate, less its least loss at any rate; it is trained
      anew at both best rates. A network that learns at no rate (5 % below equal odds) has the loss of equal odds as regret.
    - ``drift``: octaves that the best rate moves from the smallest to the largest size, on a line through all, without sign.
    - ``loss`` and ``accuracy``: of the largest network at the smallest one's best rate, in training and on test rows.
    - ``best_loss``: the largest network's least loss at any rate.
    - ``diverged``: of the runs of larger networks within a factor of 4 of the smallest one's best rate, the share above their
      own best that ends no better than equal odds (less 5 %): they blew up, or their units died.
    - ``censored``: the share of sizes whose best rate is at an end of the grid, or that learn at no rate; the grid is widened by
      ``--low`` and ``--high``.
    - ``seconds``: wall-clock time of all runs.

    Rows are drawn and standardised as the problem classification does. For validation (``--tune``) all is measured in the
    same way on a part of the rows to learn from, without the test rows.
    """

    name = "scaling"
    question = "Which parametrisation lets a setting found on a small network serve a large one?"
    protocol = (
        "build(inputs: int, outputs: int, width: int, depth: int, generator: torch.Generator) "
        "-> tuple[nn.Module, list[dict]]",
    )
    protocol_note = ", which gives a module and its parameter groups"
    metrics = (_REGRET, _DRIFT, _LOSS, _BEST, _ACCURACY, _DIVERGED, _CENSORED, _SECONDS)
    options = (
        SizeOption("width", "", "units of a hidden layer, small to large; 16,64,256, or 64 where the depth grows"),
        SizeOption("depth", "3", "hidden layers; several, such as 2,4,8,16, for networks that grow deeper"),
        Option("optimiser", "sgd", "gradient descent without momentum, or Adam", choices=("sgd", "adam")),
        Option("steps", 100, "steps of each run", minimum=1, label="Steps"),
        Option("batch", 32, "rows a step", minimum=1, label="Rows a step"),
        Option("rates", 15, "rates tried at each size", minimum=3, label="Rates tried"),
        Option("low", 0.0, "the lowest rate; 0 for 2⁻⁸, with Adam 2⁻¹⁴", minimum=0),
        Option("high", 0.0, "the highest rate; 0 for 2⁶, with Adam 1", minimum=0),
        *labelled_options(train=0),
        *own_rows.READ,
        *own_rows.SPLIT,
        rank_by(metrics),
    )  # fmt: skip
    smoke_rows = (64, 40)
    default_sweep = ("optimiser", ("sgd", "adam"))

    def check(self, dataset: Dataset, options: Options) -> None:
        """See that one of width and depth grows, and that the lowest rate is below the highest."""
        widths, depths = _shapes(options).values()
        if (len(widths) > 1) == (len(depths) > 1):
            many = "both" if len(widths) > 1 else "neither"
            raise ReplicaError(f"Of the options width and depth {many} names several sizes; wanted one that does.")
        low, high = _range(options)
        if low >= high:
            raise ReplicaError(f"Option low is {2**low:g}, which is not below the highest rate, {2**high:g}.")
        super().check(dataset, options)

    def used(self, dataset: Dataset, options: Options, scale: Scale) -> Mapping[str, str]:
        """See `Problem.used`."""
        plan = _Plan.of(options, scale)
        shape = {
            name: ", ".join(map(str, dict.fromkeys(each)))
            for name, each in (("width", plan.widths), ("depth", plan.depths))
        }
        low, high = (f"2^{exponent:g}" for exponent in (plan.log2_rates[0], plan.log2_rates[-1]))
        lengths = {**shape, "steps": str(plan.steps), "rates": str(len(plan.log2_rates)), "low": low, "high": high}
        return {**super().used(dataset, options, scale), **lengths}

    def measure(self, trial: Trial, start: Start, dataset: Dataset, options: Options, split: Split) -> Measured:
        """Search the best rate at every size, and measure the smallest one's at the largest; see the class."""
        from replica.lab.problems.scaling.search import best_rate, drift

        rows = _Rows.of(trial, dataset.content, self.rows(trial, dataset.content, options, split))
        plan = _Plan.of(options, trial.scale)
        method = start()
        networks = [plan.network(method, trial, rows, size) for size in range(len(plan.sizes))]
        course = _Course(trial, rows, plan)
        course.warm_up(networks[0])
        losses = np.array([course.losses(network, plan.log2_rates) for network in networks])
        best = [best_rate(list(plan.log2_rates), list(row)) for row in losses]
        log2_best = [each.log2_rate for each in best]
        reached = course.losses(networks[-1], [log2_best[0], log2_best[-1]])
        scores = course.runs.scores(0, rows.test_inputs)
        if reached[0] < rows.odds and not scores.isfinite().all():
            raise ReplicaError(f"{networks[-1].name}: the module gives scores of test rows that are no finite numbers.")
        least = min(losses[-1].min(), reached.min())
        near = np.abs(plan.log2_rates - log2_best[0]) <= _NEAR
        above = plan.log2_rates > np.array(log2_best[1:])[:, None]
        unlearned = losses >= _UNLEARNED * rows.odds
        ends = sum(each.censored or all(none) for each, none in zip(best, unlearned, strict=True))
        lost = unlearned[1:] & above
        metrics: dict[str, float | Proportion] = {
            "regret": float(reached[0] - least) if least < _UNLEARNED * rows.odds else rows.odds,
            "drift": abs(drift(plan.sizes, log2_best)),
            "loss": float(reached[0]),
            "best_loss": float(least),
            "accuracy": Proportion(int((scores.argmax(1) == rows.test_labels).sum()), len(scores)),
            "diverged": Proportion(int(lost[:, near].sum()), int(near.sum()) * len(lost)),
            "censored": Proportion(ends, len(best)),
            "seconds": course.seconds,
        }
        return metrics, lambda: {
            "optimiser": plan.optimiser,
            "grows": plan.grows,
            "sizes": list(plan.sizes),
            "log2_rates": [round(float(rate), 4) for rate in plan.log2_rates],
            "losses": [[round(float(loss), 5) for loss in row] for row in losses],
            "log2_best": [round(rate, 4) for rate in log2_best],
            "odds": rows.odds,
        }


def _shapes(options: Options) -> dict[str, tuple[int, ...]]:
    """The widths and the depths; one of the two is to name several."""
    depths = sizes(options["depth"] or "3")
    widths = options["width"] or ("64" if len(depths) > 1 else "16,64,256")
    return {"width": sizes(widths), "depth": depths}


def _range(options: Options) -> tuple[float, float]:
    """The lowest and the highest rate, as powers of 2."""
    usual = _RANGE[str(options["optimiser"])]
    given = (float(options["low"]), float(options["high"]))
    return tuple(math.log2(rate) if rate else by_default for rate, by_default in zip(given, usual, strict=True))  # type: ignore[return-value]


@dataclass(frozen=True)
class _Plan:
    """Networks of which widths and depths, at which rates, for how long."""

    grows: str
    widths: tuple[int, ...]
    depths: tuple[int, ...]
    log2_rates: NDArray[np.float64]
    steps: int
    batch: int
    optimiser: Literal["sgd", "adam"]

    @classmethod
    def of(cls, options: Options, scale: Scale) -> _Plan:
        shapes = _shapes(options)
        counts = {name: int(options[name]) for name in ("steps", "rates")}
        grows = max(shapes, key=lambda name: len(shapes[name]))
        if scale == "smoke":
            counts = {name: min(count, _SMOKE[name]) for name, count in counts.items()}
            shapes = {name: (min(values[0], _SMOKE[name]),) for name, values in shapes.items()}
            shapes[grows] = (max(1, shapes[grows][0] // 2), max(2, shapes[grows][0]))
        longest = len(shapes[grows])
        widths, depths = (values * (longest // len(values)) for values in shapes.values())
        grid = np.linspace(*_range(options), counts["rates"])
        return cls(grows, widths, depths, grid, counts["steps"], int(options["batch"]), options["optimiser"])  # type: ignore[arg-type]

    @property
    def sizes(self) -> tuple[int, ...]:
        """What grows."""
        return self.widths if self.grows == "width" else self.depths

    def network(self, method: Any, trial: Trial, rows: _Rows, number: int) -> Built:
        """The method's network of one size."""
        from replica.lab.problems.scaling.built import build

        width, depth = self.widths[number], self.depths[number]
        generator = trial.generator(f"network {width} × {depth}")
        return build(method, rows.inputs[:_EXAMPLE_ROWS], rows.classes, width, depth, generator, self.optimiser)


class _Course:
    """The minibatches that all runs of a trial are led along."""

    def __init__(self, trial: Trial, rows: _Rows, plan: _Plan) -> None:
        import torch

        self.trial, self.rows, self.optimiser = trial, rows, plan.optimiser
        rng, count = trial.rng("batches"), len(rows.inputs)
        size = min(plan.batch, count)
        self.batches: list[Tensor] = []
        while len(self.batches) < plan.steps:
            order = torch.as_tensor(rng.permutation(count), device=trial.device)
            self.batches += [order[i : i + size] for i in range(0, count - size + 1, size)]
        self.batches = self.batches[: plan.steps]
        self.seconds = 0.0

    def warm_up(self, network: Built) -> None:
        """One step that is not timed: the first takes in what PyTorch loads late."""
        from replica.lab.problems.scaling.search import train

        train(network, [0.0], self.rows.inputs, self.rows.labels, self.batches[:1], self.optimiser)

    def losses(self, network: Built, log2_rates: Any) -> NDArray[np.float64]:
        """Where each run ends, at most at the loss of equal odds, shape ``(rates,)``; the runs are kept."""
        from replica.lab.problems.scaling.search import train

        rates = [float(2.0**rate) for rate in log2_rates]
        self.runs, seconds = timed(
            self.trial,
            lambda: train(network, rates, self.rows.inputs, self.rows.labels, self.batches, self.optimiser),
        )
        self.seconds += seconds
        odds = self.rows.odds
        return np.minimum(np.nan_to_num(self.runs.losses, nan=odds, posinf=odds), odds)


class _Rows(TensorRows):
    @property
    def odds(self) -> float:
        """The loss of giving all classes equal odds."""
        return math.log(self.classes)
