"""The problem teacher: which learner finds a known structure from the fewest examples?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from replica.errors import ReplicaError
from replica.lab.claims import Scale, Trial
from replica.lab.problems.fit_predict import FitPredict, Measured, Rows, Sample
from replica.lab.problems.problem import VALIDATION_SHARE, Dataset, Metric, Option, Options, Split
from replica.lab.problems.protocol import real_array
from replica.lab.problems.teacher.targets import READ_BY_SOME, TARGETS, dimension, drawn, teacher, told

if TYPE_CHECKING:
    from replica.data.sets.teachers.teacher import Teacher as KnownTeacher

_GOAL = 0.1
"""What counts as found: this share of the excess that the trivial method has, which predicts 0 or guesses."""


@dataclass(frozen=True)
class Taught(Sample):
    """A sample of a known teacher.

    Args:
        teacher: Who taught.
        best: What predictions are measured against, shape ``(test,)``: E[y | x], or the targets of examples held out.
        held_out: Whether those are held out of the examples to learn from.
    """

    teacher: KnownTeacher = field(kw_only=True)
    best: NDArray[np.float64] = field(kw_only=True)
    held_out: bool = field(kw_only=True)


class Teacher(FitPredict):
    """Learn a structure that is known (``--target``), so that the error that nobody gets below is known, too.

    A trial draws a teacher, ``examples`` to learn from and ``test`` rows from its seed. ``fit`` gets inputs of shape
    ``(examples, features)`` and targets, float64 arrays; where it has a keyword ``shape`` it is told how a row is laid out:
    ``(patches, dim)``, or ``(dim,)`` where there are no patches. ``predict`` gives a number for each row; where targets are ±1
    its sign counts. With one seed, fewer examples are the first of more, and the test rows the same. For validation
    (``--tune``) the last fifth of the examples is held out.

    What is measured, over test rows:

    - ``excess``: the error beyond the floor, by the best prediction E[y | x], which the teacher tells: the mean of
      (ŷ − E[y | x])², where a target without noise has mean 0 and variance 1; with targets ±1 the mean of
      its size where the sign is wrong.
    - ``error``: the floor and the excess: the mean squared error, or the share of wrong signs.
    - ``fit_seconds``: wall-clock seconds of ``fit``.

    How many examples a learner needs is read off the curve over ``examples``: in the picture, for a tenth of the excess that
    guessing has.
    """

    name = "teacher"
    question = "Which learner finds this structure from the fewest examples?"
    protocol = (
        'fit(X: Float[ndarray, "examples features"], y: Float[ndarray, " examples"]) -> object',
        'predict(X: Float[ndarray, "rows features"]) -> Float[ndarray, " rows"]',
    )
    protocol_note = ", and fit may take shape, such as (patches, dim)"
    metrics = (
        Metric("excess", "1", "lower", "Excess error"),
        Metric("error", "1", "lower", "Error"),
        Metric("fit_seconds", "s", "lower", "Fit time"),
    )
    options = (
        Option("target", "dsd", f"the structure to find: {told()}", choices=tuple(TARGETS), reads="named"),
        Option("examples", 300, "examples to learn from", minimum=2, maximum=100_000, label="Examples"),
        Option("patches", 8, "patches of an input; keys beside the query", minimum=1, maximum=1024, label="Patches"),
        Option("dim", 0, "numbers a patch, or an input where there are no patches; 0 for as many as suit the target",
               minimum=0, maximum=10_000, label="Dimension"),
        Option("noise", 0.25, "standard deviation of the noise: of inputs in dsd, else of targets",
               minimum=0, maximum=100, label="Noise (standard deviation)"),
        Option("reach", 2, "patches side by side that one function sees, in local", minimum=1, label="Reach (patches)"),
        Option("degree", 2, "of the inner polynomial (polynomial), of how keys match (keys)", minimum=1, maximum=8,
               label="Degree"),
        Option("outer_degree", 3, "of the outer polynomial (polynomial)", minimum=1, maximum=8, label="Outer degree"),
        Option("test", 2000, "rows to test", minimum=1, maximum=100_000, label="Rows to test"),
    )  # fmt: skip
    default_data = "made"
    data_names: ClassVar[Mapping[str, str]] = {"made": "examples drawn anew for each seed from a teacher that is known"}
    data_formats: ClassVar[tuple[str, ...]] = ()
    default_sweep = ("examples", (30, 100, 300, 1000, 3000))

    def load(self, source: str, options: Options) -> Dataset:
        """Say what is drawn; trials draw it.

        Raises:
            ReplicaError: If the source is anything else: no floor would be known.
        """
        if source in TARGETS:
            raise ReplicaError(f"{source!r} is a target; give --target {source}.")
        if source not in self.data_names:
            raise ReplicaError(
                f"teacher draws its own examples, of which the best error is known; leave --data {source:.60} out "
                "(for rows of your own: replica compare regression, or classification)."
            )
        target = str(options.get("target", "dsd"))
        description = f"{TARGETS[target].description}: drawn anew for each seed"
        return Dataset(target, description, drawn, f"teacher {target}")

    def check(self, dataset: Dataset, options: Options) -> None:
        """See that the options make a teacher.

        Raises:
            ReplicaError: If not.
        """
        teacher(options, np.random.default_rng(0))

    def check_validation(self, dataset: Dataset, options: Options) -> None:
        """See that there are examples to hold out.

        Raises:
            ReplicaError: If there are fewer than 5.
        """
        if int(options["examples"]) < 5:
            raise ReplicaError(
                f"Tuning holds out a fifth of {options['examples']} examples; give --examples 5 or more."
            )

    def used(self, dataset: Dataset, options: Options, scale: Scale) -> Mapping[str, str]:
        """See `Problem.used`."""
        examples, test = self._sizes(Trial(0, scale), options)
        reads = TARGETS[str(options["target"])].reads
        unused = {name: "" for name in READ_BY_SOME if name not in reads}
        return {"examples": str(examples), "test": str(test), "dim": str(dimension(options)), **unused}

    def _sizes(self, trial: Trial, options: Options) -> tuple[int, int]:
        asked = int(options["examples"]), int(options["test"])
        if trial.scale != "smoke":
            return asked
        return min(asked[0], self.smoke_rows[0]), min(asked[1], self.smoke_rows[1])

    def rows(self, trial: Trial, content: Any, options: Options, split: Split) -> tuple[Rows, Rows]:
        """Examples are numbered: those to learn from, then those to test."""
        examples, test = self._sizes(trial, options)
        if split == "validation":
            kept = examples - max(1, round(VALIDATION_SHARE * examples))
            return np.arange(kept), np.arange(kept, examples)
        return np.arange(examples), np.arange(examples, examples + test)

    def sample(self, trial: Trial, content: Any, options: Options, train: Rows, test: Rows) -> Sample:
        """Draw the teacher and its examples; the content is `targets.drawn`."""
        examples, _ = self._sizes(trial, options)
        known = teacher(options, trial.rng("teacher"))
        held_out = bool(test[0] < examples)
        learned = content(known, "examples", examples, trial)
        inputs, targets = learned.inputs.reshape(examples, -1), learned.targets
        if held_out:
            queries, best = inputs[test], targets[test]
        else:
            tested = content(known, "test", len(test), trial)
            queries, best = tested.inputs.reshape(len(test), -1), tested.means
        told = {"shape": known.shape}
        return Taught(
            train, test, inputs[train], targets[train], queries, told, teacher=known, best=best, held_out=held_out
        )

    def score(
        self,
        trial: Trial,
        method: Any,
        sample: Sample,
        dataset: Dataset,
        options: Options,
        fit_seconds: float,
    ) -> Measured:
        """Compare predictions with the best; see the class for the measures."""
        assert isinstance(sample, Taught)
        output = method.predict(sample.queries.copy())
        name = f"{type(method).__name__}.predict"
        predicted = real_array(name, output, (len(sample.test),), ", a number a row", lambda index: f"row {index[0]}")
        floor, binary = sample.teacher.floor, sample.teacher.binary
        excess = losses(predicted.astype(np.float64), sample.best, binary).mean() - (floor if sample.held_out else 0)
        metrics = {"excess": float(excess), "error": float(floor + excess), "fit_seconds": fit_seconds}
        goal = _GOAL * (0.5 - floor if binary else 1.0)
        return metrics, lambda: {"floor": float(floor), "goal": float(goal)}


def losses(predicted: NDArray[np.float64], best: NDArray[np.float64], binary: bool) -> NDArray[np.float64]:
    """What each prediction loses beside the best: (ŷ − m)², or with targets ±1 |m| where the sign is wrong, half of it at 0.

    With m = y this is the squared error, or whether the sign is wrong.

    Args:
        predicted: ŷ, shape ``(rows,)``.
        best: m, same shape.
        binary: Whether targets are ±1.

    Example:
        >>> losses(np.array([2.0, -3.0, 0.0]), np.array([0.5, 0.5, 0.5]), True).tolist()
        [0.0, 0.5, 0.25]
    """
    if not binary:
        squares: NDArray[np.float64] = (predicted - best) ** 2
        return squares
    lost: NDArray[np.float64] = (np.abs(best) - np.sign(predicted) * best) / 2
    return lost
