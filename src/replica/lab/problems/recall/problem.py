"""The problem recall: which memory gives a stored pattern back from a damaged cue?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import numpy as np
from numpy.typing import NDArray

from replica.data import FORMATS, digits, mnist, read_patterns
from replica.errors import ReplicaError
from replica.lab.claims import Proportion, Trial
from replica.lab.problems import own_rows
from replica.lab.problems.data_sources import column_names
from replica.lab.problems.problem import Dataset, Measured, Metric, Option, Options, Split
from replica.lab.problems.recall.damage import Kind, damage_patterns, damaged_entries
from replica.lab.problems.recall.data import PatternSets, pattern_sets
from replica.lab.problems.store_recall import Recalled, StoreRecall

REAL_TOLERANCE = 0.05
"""How far each value of a real pattern may be off and still count as recalled: a twentieth of the range."""

PSNR_CAP = 100.0
"""In dB: what a recall without any error is given, since infinity is no number to average."""

_EXAMPLES = 8
_DAMAGE = {
    "flip": "fraction of entries flipped",
    "mask": "fraction of entries masked",
    "gaussian": "noise over the values' range",
}


class Recall(StoreRecall):
    """Store patterns, damage some of them, ask the memory for the originals.

    A trial draws ``stored`` distinct patterns, hands them to the method's ``store``, damages ``cues`` of them (each stored
    pattern in turn, in random order) and hands these to ``recall`` in one batch. Patterns are float32 tensors on the device, ±1
    (``values="binary"``) or in [0, 1] (``values="real"``). With one seed, fewer stored patterns are a subset of more, and less
    damage a subset of more, so the points of a sweep are paired.

    For validation (``--tune``) a trial stores as many patterns that it does not store for the test, under other damage, so
    that memories are tuned at the load and the damage they are tested at, on patterns they are not tested with.

    What is measured, by ``values``:

    - ``exact``, the share of cues recalled exactly. Binary: every entry of the output has the stored sign. Real: every value is
      within 0.05 of the stored one, and no other stored pattern is nearer to the output.
    - ``overlap`` (binary): the mean of stored · sign(output) over entries and cues; 1 is perfect, 0 is chance.
    - ``psnr`` (real): 10 log₁₀(1 / MSE) in dB, the mean squared error taken over all cues, and at most 100 dB.
    - ``recall_seconds``: wall-clock seconds a cue of one batched call, after a warm-up call; the median of five if short.
    - ``memory_bytes``: what the method keeps after storing (see `kept_bytes`).
    """

    name = "recall"
    question = "Which memory gives a stored pattern back from a damaged cue?"
    protocol = (
        'store(patterns: Float[Tensor, "count dim"]) -> None',
        'recall(cues: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]',
    )
    protocol_note = ", both on tensors of shape (count, dim)"
    metrics = (
        Metric("exact", "share of cues", "higher", "Exact recall"),
        Metric(
            "overlap", "1", "higher", "Overlap with the stored pattern", lambda options: options["values"] == "binary"
        ),
        Metric("psnr", "dB", "higher", "PSNR", lambda options: options["values"] == "real"),
        Metric("recall_seconds", "s a cue", "lower", "Recall time"),
        Metric("memory_bytes", "bytes", "lower", "Memory kept"),
    )
    options = (
        Option("stored", 30, "how many patterns are stored", minimum=1, label="Stored patterns"),
        Option("kind", "flip", "damage: flip entries, mask them (0), or add Gaussian noise", choices=("flip", "mask", "gaussian"),
               label="Kind of damage"),
        Option("damage", 0.1, "fraction of entries flipped or masked; for gaussian the noise's standard deviation over the "
               "values' range", minimum=0, maximum=1),
        Option("values", "binary", "patterns of ±1, or real values in [0, 1]", choices=("binary", "real")),
        Option("cues", 100, "damaged cues a trial", minimum=1, label="Damaged cues"),
        *own_rows.COLUMNS,
        own_rows.COLOUR,
    )  # fmt: skip
    default_data = "digits"
    data_names: ClassVar[Mapping[str, str]] = {
        "digits": "1,797 handwritten digits of 8 × 8 pixels (ships with scikit-learn)",
        "mnist": "MNIST's 10,000 test digits of 28 × 28 pixels (11 MB, downloaded once)",
    }
    data_formats = FORMATS
    files = "a file or a folder of images"
    default_sweep = ("stored", (10, 30, 100, 300))

    def sweep_label(self, option: str, options: Options) -> str:
        """What the axis of a swept option is called: damage by its kind."""
        return (
            f"Damage ({_DAMAGE[str(options['kind'])]})" if option == "damage" else super().sweep_label(option, options)
        )

    def named(self, name: str, seed: int | None, options: Options) -> PatternSets:
        """See `Problem.named`."""
        images = digits() if name == "digits" else mnist(split="test")
        return pattern_sets(images.values, images.values.shape[1:], name)

    def read(self, path: Path, options: Options) -> PatternSets:
        """See `Problem.read`, and `replica.data.read_patterns`.

        Values are scaled to [0, 1] by the smallest and largest of the whole file; how they become ±1 is told in `binarise`.
        """
        keep, drop = (column_names(str(options[name])) for name in ("keep", "drop"))
        found = read_patterns(path, keep=keep, drop=drop, colour=options["colour"] == "kept")
        scaling = "scaled to [0, 1] by the smallest and largest value of the whole file"
        return pattern_sets(found.values, found.shape, str(path), (*found.notes, scaling))

    def size(self, content: PatternSets, options: Options) -> str:
        """See `Problem.size`."""
        return f"{len(content.real):,} distinct patterns of {' × '.join(map(str, content.shape))} values"

    def identity(self, content: PatternSets) -> tuple[Any, ...]:
        """See `Problem.identity`."""
        return (content.real.shape, content.binary.shape, content.shape), content.real, content.binary

    def check(self, dataset: Dataset, options: Options) -> None:
        """See that the data holds enough distinct patterns, and that the damage does something."""
        patterns = _patterns(dataset, options)
        if int(options["stored"]) > len(patterns):
            form = "in ±1 form " if options["values"] == "binary" else ""
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

    def check_validation(self, dataset: Dataset, options: Options) -> None:
        """See that there are as many patterns that the test does not store."""
        count = len(_patterns(dataset, options))
        if 2 * int(options["stored"]) > count:
            raise ReplicaError(
                f"Tuning stores {options['stored']} other patterns than the test, but {dataset.name} holds {count} in all; "
                f"give --stored {count // 2} or less, or leave --tune out."
            )

    def cues(
        self, trial: Trial, dataset: Dataset, options: Options, split: Split
    ) -> tuple[NDArray[np.float32], NDArray[np.intp], NDArray[np.float32]]:
        """Draw the stored patterns, the first of the trial's random order or for validation the last, and damage some of them."""
        patterns = _patterns(dataset, options)
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

    def score(self, found: Recalled, options: Options) -> Measured:
        """Say which cues were recalled exactly, and how near the others came."""
        truth = found.stored[found.targets]
        if options["values"] == "binary":
            signs = np.sign(found.recalled)
            exact = (signs == truth).all(axis=1)
            quality = {"overlap": float((signs * truth).mean(dtype=np.float64))}
        else:
            exact = recalled_exactly(found.recalled, found.stored, found.targets)
            quality = {"psnr": psnr(found.recalled, truth)}
        shown = slice(0, _EXAMPLES)
        return {
            "exact": Proportion(int(exact.sum()), len(exact)),
            **quality,
            "recall_seconds": found.seconds,
            "memory_bytes": float(found.kept),
        }, lambda: {
            "stored": _plain(truth[shown]),
            "damaged": _plain(found.cues[shown]),
            "recalled": _plain(found.recalled[shown]),
            "exact": [bool(hit) for hit in exact[shown]],
        }


def recalled_exactly(
    recalled: NDArray[np.float32], stored: NDArray[np.float32], targets: NDArray[np.intp]
) -> NDArray[np.bool_]:
    """Which outputs are near their pattern (see `REAL_TOLERANCE`) with no other stored pattern nearer in the Euclidean metric."""
    near: NDArray[np.bool_] = np.abs(recalled - stored[targets]).max(axis=1) <= REAL_TOLERANCE
    for i in np.flatnonzero(near):
        distances = np.square(stored - recalled[i]).sum(axis=1)
        near[i] = distances[targets[i]] <= distances.min()
    return near


def psnr(recalled: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    """Peak signal-to-noise ratio in dB of values in [0, 1]: 10 log₁₀(1 / MSE) over all of them, at most `PSNR_CAP`.

    Example:
        >>> psnr(np.full((1, 4), 0.5), np.full((1, 4), 0.6))
        20.0
    """
    error = float(np.square(recalled.astype(np.float64) - truth).mean())
    return float(min(PSNR_CAP, -10 * np.log10(max(error, 10 ** (-PSNR_CAP / 10)))))


def _patterns(dataset: Dataset, options: Options) -> NDArray[Any]:
    distinct: NDArray[Any] = dataset.content.distinct(cast(Literal["binary", "real"], options["values"]))
    return distinct


def _plain(patterns: NDArray[np.float32]) -> list[list[float]]:
    return [[round(float(value), 3) for value in row] for row in patterns]
