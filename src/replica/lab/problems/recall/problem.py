"""The problem recall: which memory gives a stored pattern back from a damaged cue?"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from replica.data import FORMATS
from replica.errors import ReplicaError
from replica.lab.claims import Proportion, Trial
from replica.lab.problems.footprint import kept_bytes
from replica.lab.problems.problem import Dataset, Metric, Option, Outcome, Problem, Split, Value, Watch
from replica.lab.problems.protocol import check_protocol, real_array, timed
from replica.lab.problems.recall import data as recall_data
from replica.lab.problems.recall.damage import Kind, damage_patterns, damaged_entries

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

REAL_TOLERANCE = 0.05
"""How far each value of a real pattern may be off and still count as recalled: a twentieth of the range."""

PSNR_CAP = 100.0
"""In dB: what a recall without any error is given, since infinity is no number to average."""

_EXACT = Metric("exact", "share of cues", "higher", "Exact recall")
_OVERLAP = Metric("overlap", "1", "higher", "Overlap with the stored pattern")
_PSNR = Metric("psnr", "dB", "higher", "PSNR")
_SECONDS = Metric("recall_seconds", "s a cue", "lower", "Recall time")
_BYTES = Metric("memory_bytes", "bytes", "lower", "Memory kept")

_WARM_UP_CUES = 2
_SHORT_SECONDS = 0.02
_REPEATS = 5
_EXAMPLES = 8


class Recall(Problem):
    """Store patterns, damage some of them, ask the memory for the originals.

    A trial draws ``stored`` distinct patterns, hands them to the method's ``store``, damages ``cues`` of
    them (each stored pattern in turn, in random order) and hands these to ``recall`` in one batch. Patterns
    are float32 tensors on the trial's device, ±1 (``values="binary"``) or in [0, 1] (``values="real"``).
    With one seed, fewer stored patterns are a subset of more, and less damage a subset of more, so the
    points of a sweep are paired.

    For validation (``--tune``) a trial stores as many patterns that it does not store for the test, under other damage, so
    that memories are tuned at the load and the damage they are tested at, on patterns they are not tested with.

    What is measured, by ``values``:

    - ``exact``, the share of cues recalled exactly. Binary: every entry of the output has the stored sign.
    Real: every value is
      within 0.05 of the stored one, and no other stored pattern is nearer to the output.
    - ``overlap`` (binary): the mean of stored · sign(output) over entries and cues; 1 is perfect, 0 is
    chance. - ``psnr`` (real): 10 log₁₀(1 / MSE) in dB, the mean squared error taken over all cues, and at
    most 100 dB. - ``recall_seconds``: wall-clock seconds a cue of one batched call, after a warm-up call;
    the median of five where one is short. - ``memory_bytes``: what the method keeps after storing (see
    `kept_bytes`).
    """

    name = "recall"
    question = "Which memory gives a stored pattern back from a damaged cue?"
    protocol = (
        'store(patterns: Float[Tensor, "count dim"]) -> None',
        'recall(cues: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]',
    )
    metrics = (_EXACT, _OVERLAP, _SECONDS, _BYTES)
    options = (
        Option("stored", 30, "how many patterns are stored", minimum=1),
        Option(
            "kind",
            "flip",
            "damage: flip entries, mask them (0), or add Gaussian noise",
            choices=("flip", "mask", "gaussian"),
        ),
        Option(
            "damage",
            0.1,
            "fraction of entries flipped or masked; for gaussian the noise's standard deviation over the values' range",
            minimum=0,
            maximum=1,
        ),
        Option("values", "binary", "patterns of ±1, or real values in [0, 1]", choices=("binary", "real")),
        Option("cues", 100, "damaged cues a trial", minimum=1),
    )
    default_data = "digits"
    data_names = recall_data.NAMED
    data_formats = FORMATS
    default_sweep = ("stored", (10, 30, 100, 300))

    def metrics_for(self, options: Mapping[str, Value]) -> tuple[Metric, ...]:
        """The metrics under these options: real patterns have a PSNR where ±1 patterns have an overlap."""
        return (_EXACT, _PSNR, _SECONDS, _BYTES) if options["values"] == "real" else self.metrics

    def load(self, source: str, options: Mapping[str, Value]) -> Dataset:
        """Read the digits, MNIST, or the user's file; the same for all options.

        The user's values are scaled to [0, 1] by the smallest and largest of the whole file. How they become
        ±1 is told in `recall_data.binarise`.

        Raises:
            ReplicaError: In one line, what is wrong with it and what is wanted.
        """
        return recall_data.load(source)

    def check(self, dataset: Dataset, options: Mapping[str, Value]) -> None:
        """See that the data holds enough distinct patterns, and that the damage does something.

        Raises:
            ReplicaError: If it does not.
        """
        values = cast(Literal["binary", "real"], options["values"])
        patterns = dataset.content.distinct(values)
        if int(options["stored"]) > len(patterns):
            form = "in ±1 form " if values == "binary" else ""
            raise ReplicaError(
                f"Option stored is {options['stored']}, but {dataset.name} {form}holds {len(patterns)} distinct "
                f"patterns; give --stored {len(patterns)} or less."
            )
        damage, dim = float(options["damage"]), patterns.shape[1]
        if options["kind"] != "gaussian" and damage > 0 and damaged_entries(damage, dim) == 0:
            raise ReplicaError(
                f"Option damage is {damage:g}, but that is none of {dim} entries; "
                f"give 0, or {0.5 / dim:.2g} or more, for patterns of {dim} entries."
            )

    def check_validation(self, dataset: Dataset, options: Mapping[str, Value]) -> None:
        """See that there are as many patterns that the test does not store.

        Raises:
            ReplicaError: If there are fewer.
        """
        count = len(dataset.content.distinct(cast(Literal["binary", "real"], options["values"])))
        if 2 * int(options["stored"]) > count:
            raise ReplicaError(
                f"Tuning stores {options['stored']} other patterns than the test, but {dataset.name} holds {count} in all; "
                f"give --stored {count // 2} or less, or leave --tune out."
            )

    def run(
        self,
        trial: Trial,
        make: Callable[[Trial], Any],
        dataset: Dataset,
        options: Mapping[str, Value],
        *,
        examples: bool = False,
        split: Split = "test",
        watch: Watch | None = None,
    ) -> Outcome:
        """Let the method store, recall once, and measure it; see the class for the protocol and the measures.

        Raises:
            ReplicaError: If the method breaks the protocol: a part missing, or an output of the wrong form.
                What the method itself raises passes through.
        """
        import torch

        values = cast(Literal["binary", "real"], options["values"])
        self.check(dataset, options)
        if split == "validation":
            self.check_validation(dataset, options)
        stored, targets, cues = draw_cues(trial, dataset.content.distinct(values), options, split)
        method = make(trial)
        check_protocol(
            method,
            ("store", "recall"),
            "an entry for recall has store(patterns) and recall(cues), both on tensors of shape (count, dim)",
        )

        def to_device(array: NDArray[np.float32]) -> Tensor:
            return torch.tensor(array, device=trial.device)  # a copy: a method may write into what it is given

        method.store(to_device(stored))
        _output(method, method.recall(to_device(cues[:_WARM_UP_CUES])), cues[:_WARM_UP_CUES].shape)
        kept = kept_bytes(method)
        recalled, seconds = _timed_recall(trial, method, to_device(cues))

        metrics: dict[str, float | Proportion] = {}
        truth = stored[targets]
        if values == "binary":
            signs = np.sign(recalled)
            exact = (signs == truth).all(axis=1)
            quality = {"overlap": float((signs * truth).mean(dtype=np.float64))}
        else:
            exact = recalled_exactly(recalled, stored, targets)
            quality = {"psnr": psnr(recalled, truth)}
        metrics["exact"] = Proportion(int(exact.sum()), len(exact))
        metrics |= quality | {"recall_seconds": seconds / len(cues), "memory_bytes": float(kept)}
        if not examples:
            return Outcome(metrics)
        shown = slice(0, _EXAMPLES)
        return Outcome(
            metrics,
            {
                "stored": _plain(truth[shown]),
                "damaged": _plain(cues[shown]),
                "recalled": _plain(recalled[shown]),
                "exact": [bool(hit) for hit in exact[shown]],
            },
        )

    def draw(self, figure: Figure, comparison: Any) -> None:
        """Draw the ranking metric (over the sweep, if there was one) and, beside it, examples of every
        method.
        """
        from replica.lab.problems.recall.figure import draw

        draw(
            figure,
            comparison,
            metric=self.metrics[0],
            baselines=frozenset(baseline.name for baseline in self.baselines()),
        )


def draw_cues(
    trial: Trial, patterns: NDArray[Any], options: Mapping[str, Value], split: Split = "test"
) -> tuple[NDArray[np.float32], NDArray[np.intp], NDArray[np.float32]]:
    """Draw the stored patterns, and damage some of them.

    Args:
        trial: Where randomness comes from.
        patterns: All distinct patterns, shape ``(count, dim)``.
        options: The problem's options.
        split: Which patterns are stored: the first of the trial's random order for the test, the last for validation.

    Returns:
        The stored patterns ``(stored, dim)``; for each cue the row of its original ``(cues,)``; the cues
        ``(cues, dim)``.
    """
    stored, cues = int(options["stored"]), int(options["cues"])
    order = trial.rng("stored").permutation(len(patterns))
    chosen, stream = (order[:stored], "") if split == "test" else (order[-stored:], "validation-")
    kept = patterns[chosen].astype(np.float32)
    # Every stored pattern is asked for equally often, up to one.
    rng = trial.rng(f"{stream}cues")
    rounds = [rng.permutation(stored) for _ in range(-(-cues // stored))]
    targets = np.concatenate(rounds)[:cues]
    damaged = damage_patterns(
        kept[targets],
        cast(Kind, options["kind"]),
        float(options["damage"]),
        binary=options["values"] == "binary",
        rng=trial.rng(f"{stream}damage"),
    )
    return kept, targets, damaged


def recalled_exactly(
    recalled: NDArray[np.float32], stored: NDArray[np.float32], targets: NDArray[np.intp]
) -> NDArray[np.bool_]:
    """Say for each real-valued output whether it is the right pattern.

    Every value must be within `REAL_TOLERANCE` of the original, and no other stored pattern nearer in the
    Euclidean metric.
    """
    near: NDArray[np.bool_] = np.abs(recalled - stored[targets]).max(axis=1) <= REAL_TOLERANCE
    for i in np.flatnonzero(near):
        distances = np.square(stored - recalled[i]).sum(axis=1)
        near[i] = distances[targets[i]] <= distances.min()
    return near


def psnr(recalled: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    """Peak signal-to-noise ratio in dB of values in [0, 1]: 10 log₁₀(1 / MSE) over all of them, at most
    `PSNR_CAP`.

    Example:
        >>> psnr(np.full((1, 4), 0.5), np.full((1, 4), 0.6))
        20.0
    """
    error = float(np.square(recalled.astype(np.float64) - truth).mean())
    return float(min(PSNR_CAP, -10 * np.log10(max(error, 10 ** (-PSNR_CAP / 10)))))


def _timed_recall(trial: Trial, method: Any, cues: Tensor) -> tuple[NDArray[np.float32], float]:
    """Recall all cues in one call, the first output counts; a short call's time is the median of several."""

    def once() -> tuple[Any, float]:
        given = cues.clone()
        return timed(trial, lambda: method.recall(given))

    output, seconds = once()
    recalled = _output(method, output, tuple(cues.shape))
    if seconds < _SHORT_SECONDS:
        seconds = statistics.median([seconds, *(once()[1] for _ in range(_REPEATS - 1))])
    return recalled, seconds


def _output(method: Any, output: Any, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Check what ``recall`` gave back and bring it to NumPy; see `real_array`."""
    return real_array(
        f"{type(method).__name__}.recall",
        output,
        shape,
        ", like its cues",
        lambda index: f"cue {index[0]}, entry {index[1]}",
    )


def _plain(patterns: NDArray[np.float32]) -> list[list[float]]:
    return [[round(float(value), 3) for value in row] for row in patterns]
