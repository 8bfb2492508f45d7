"""The problem shift: which learner keeps its accuracy when a spurious cue turns?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from replica.data import ColouredDigits, Labelled
from replica.errors import ReplicaError
from replica.lab.claims import Proportion, Scale, Trial
from replica.lab.problems import own_rows
from replica.lab.problems.classification import data as classification_data
from replica.lab.problems.fit_predict import FitPredict, Measured, Rows, Sample
from replica.lab.problems.problem import VALIDATION_SHARE, Dataset, Metric, Option, Options, Split
from replica.lab.problems.protocol import numbers
from replica.lab.problems.shift.data import FEWEST, coloured, groups_of, parted, tested

_SUM_TOLERANCE = 1e-3
"""How far probabilities of a row may add up to something else than 1."""


class Shift(own_rows.LabelledData, FitPredict):
    """Learn from rows of several environments, and predict the labels in one that was not seen.

    The digits' labels are told a little by their shape, the same everywhere, and more by their colour, as long as it holds: with
    the default ``flips`` it misleads in 10 % and 20 % of the environments to learn from, and in 90 % of the one that is
    tested. Of a table of your own ``--domain COLUMN`` names the environments (hospitals, years). The last in the order of their
    names is tested, the newest year; or the one of ``--test-domain NAME``, and one after another with
    ``--sweep test_domain=A,B,C``.

    ``fit`` is given float64 arrays of shape ``(rows, features)``, prepared as in classification by the rows to learn from, labels
    0, 1, … and by name each row's ``environment``, 0, 1, …; a learner whose ``fit`` has no ``environment``, such as any
    classifier of scikit-learn, is given all rows as one. One that has ``shape`` is told that of an image, such as ``(2, 8, 8)``.

    What is measured:

    - ``accuracy``: the share of labels predicted right in the environment that is tested.
    - ``worst_accuracy``: the least accuracy over all environments; of those learned from, a share of rows is held out.
    - ``in_distribution``: the mean accuracy over the environments learned from, on these rows.
    - ``fit_seconds``: wall-clock time of ``fit``.

    **What tuning sees.** Nothing of the environment that is tested: who looks at it has learned from it. For validation
    (``--tune``) one of three or more environments to learn from, drawn anew for each seed, is held out whole in its place; where
    there are two only, a fifth of the rows of each, and ``accuracy`` is the lesser of the two: it cannot tell a cue that holds
    there from one that holds everywhere, and tends to choose learners that lean on the cue. Defaults of the entries are
    published ones, or were settled on rows held out of environments that are learned from.
    """

    name = "shift"
    question = "Which learner keeps its accuracy when a spurious cue turns?"
    protocol = (
        'fit(X: Float[ndarray, "rows features"], y: Int[ndarray, " rows"], environment: Int[ndarray, " rows"]) -> Self',
        'predict_proba(X: Float[ndarray, "rows features"]) -> Float[ndarray, "rows classes"]',
    )
    protocol_note = ", and fit may do without environment"
    metrics = (
        Metric("accuracy", "share of rows", "higher", "Accuracy in the unseen environment"),
        Metric("worst_accuracy", "share of rows", "higher", "Accuracy in the worst environment"),
        Metric("in_distribution", "share of rows", "higher", "Accuracy in environments learned from"),
        Metric("fit_seconds", "s", "lower", "Fit time"),
    )
    options = (
        Option("flips", "0.1,0.2,0.9", "how often the colour misleads, in each environment of the coloured digits",
               reads="named"),
        Option("label_noise", 0.25, "share of the coloured digits' labels that are turned", minimum=0, maximum=1,
               reads="named"),
        *own_rows.READ,
        Option("domain", "", "the column (or array of an .npz file) that names the environments of your own rows",
               reads="own"),
        Option("test_domain", "", "the environment that is tested, by name; the last where this is empty",
               label="Environment that is tested"),
        Option("train", 0, "rows of each environment to learn from at most; 0 for all", minimum=0,
               label="Rows of each environment to learn from"),
        Option("test", 0.2, "share of rows of environments learned from that are held out", minimum=0.01, maximum=0.9),
    )  # fmt: skip
    default_data = "coloured-digits"  # type: ignore[misc]
    data_names: ClassVar[Mapping[str, str]] = {
        "coloured-digits": "1,797 digits of 8 × 8 pixels, above 4 or not, in a colour that tells more until it turns",
        "coloured-mnist": "the same of MNIST's 10,000 test digits, 14 × 14 pixels (11 MB, downloaded once)",
    }
    drawn = ("coloured-digits", "coloured-mnist")
    grouped_by = "domain"

    def named(self, name: str, seed: int | None, options: Options) -> Labelled:
        """See `Problem.named`."""
        return coloured(name, seed, str(options["flips"]), float(options["label_noise"]))

    def asked(self, options: Options) -> dict[str, Any]:
        """See `OwnRows.asked`: no rows are told to be tested."""
        return super().asked({**options, "test_data": ""})

    def read(self, path: Path, options: Options) -> Labelled:
        """See `Problem.read`, and `replica.data.read_labelled`.

        Raises:
            ReplicaError: If no column of environments is named.
        """
        if not options["domain"]:
            raise ReplicaError("Data of your own need a column that names the environments; give --domain COLUMN.")
        found: Labelled = super().read(path, options)
        return found

    def check(self, dataset: Dataset, options: Options) -> None:
        """See that there is something to learn from: two environments, and every class in them.

        Raises:
            ReplicaError: If not.
        """
        content = dataset.content
        if content.groups is None or len(content.group_names) <= FEWEST:
            there = len(content.group_names) or "no"
            raise ReplicaError(
                f"{dataset.name} has {there} environments; wanted {FEWEST + 1} or more, of which one is tested."
            )
        target = tested(content, str(options["test_domain"]))
        known = np.unique(content.labels[groups_of(content) != target])
        if len(known) < len(content.classes):
            lone = next(name for i, name in enumerate(content.classes) if i not in known)
            raise ReplicaError(
                f"Class {lone!r:.40} of {dataset.name} is in {content.group_names[target]!r:.40} alone, which is tested; "
                "wanted every class in an environment to learn from."
            )

    def used(self, dataset: Dataset, options: Options, scale: Scale) -> Mapping[str, str]:
        """See `Problem.used`."""
        told = dict(super().used(dataset, options, scale))
        name = dataset.content.group_names[tested(dataset.content, str(options["test_domain"]))]
        train = self.rows(Trial(0, scale), dataset.content, options, "test")[0]
        if not isinstance(dataset.content, ColouredDigits):
            told |= {"flips": "", "label_noise": ""}
        return told | {"test_domain": name, "train": f"{len(train):,} rows in all"}

    def rows(self, trial: Trial, content: Any, options: Options, split: Split) -> tuple[Rows, Rows]:
        """Rows to learn from; and those of the environment that is tested, before rows held out of the others."""
        groups, share, most = groups_of(content), float(options["test"]), int(options["train"])
        target = tested(content, str(options["test_domain"]))
        learned = [int(number) for number in np.unique(groups) if number != target]
        train, held_out = parted(content, learned, share, most, trial.rng("split"))
        unseen = trial.rng("test").permutation(np.flatnonzero(groups == target))
        if split == "validation":
            rng = trial.rng("validation")
            if len(learned) > FEWEST:
                unseen = train[groups[train] == rng.choice(learned)]
                train = np.setdiff1d(train, unseen)
                held_out = train[:0]
            else:
                keep = np.sort(rng.permutation(len(train))[round(VALIDATION_SHARE * len(train)) :])
                unseen, held_out, train = train[:0], np.delete(train, keep), train[keep]
        if trial.scale == "smoke":
            few = max(1, self.smoke_rows[0] // len(learned))
            train = np.concatenate([train[groups[train] == number][:few] for number in learned])
            unseen, held_out = (
                rows[: self.smoke_rows[1]] for rows in (unseen, trial.rng("smoke").permutation(held_out))
            )
        return train, np.concatenate([unseen, held_out])

    def sample(self, trial: Trial, content: Any, options: Options, train: Rows, test: Rows) -> Sample:
        """Float64 arrays of numbers; see `classification_data.prepare`."""
        known, unknown = classification_data.prepare(content, train, test)
        numbered = np.unique(groups_of(content)[train], return_inverse=True)[1]
        keywords = {"environment": numbered, "shape": content.shape}
        return Sample(train, test, known, content.labels[train], unknown, keywords)

    def score(
        self, trial: Trial, method: Any, sample: Sample, dataset: Dataset, options: Options, fit_seconds: float
    ) -> Measured:
        """Ask for probabilities; see the class for the measures."""
        content = dataset.content
        name = f"{type(method).__name__}.predict_proba"
        given = method.predict_proba(sample.queries.copy())
        right = predicted(name, given, len(sample.test), sample.targets) == content.labels[sample.test]
        groups = groups_of(content)[sample.test]
        target = tested(content, str(options["test_domain"]))
        found = {int(number): right[groups == number] for number in np.unique(groups)}
        shares = {number: float(part.mean()) for number, part in found.items()}
        learned = [number for number in shares if number in groups_of(content)[sample.train]]
        # In validation an environment stands in for the one that is tested, or the worst of those learned from does.
        unseen = (
            target
            if target in found
            else next((n for n in found if n not in learned), min(shares, key=shares.__getitem__))
        )
        metrics: dict[str, float | Proportion] = {
            "accuracy": Proportion(int(found[unseen].sum()), len(found[unseen])),
            "worst_accuracy": min(shares.values()),
            "in_distribution": float(np.mean([shares[number] for number in learned or shares])),
            "fit_seconds": fit_seconds,
        }
        order = [number for number in shares if number != unseen] + [unseen]
        shown = {
            "environments": [content.group_names[n] for n in order],
            "accuracy": [round(shares[n], 4) for n in order],
        }
        return metrics, lambda: shown


def predicted(name: str, output: Any, rows: int, learned: NDArray[np.int64]) -> NDArray[np.int64]:
    """The class to which each row is given the greatest probability.

    Args:
        name: What gave them, such as ``"MyLearner.predict_proba"``.
        output: Probabilities of the classes that were learned from, in order, shape ``(rows, classes)``.
        rows: How many were asked for.
        learned: The labels that were learned from.

    Raises:
        ReplicaError: If these are no probabilities of these classes.
    """
    classes = np.unique(learned)
    array = numbers(name, output, (rows, len(classes))).astype(np.float64)
    if not np.isfinite(array).all() or array.min() < -_SUM_TOLERANCE:
        raise ReplicaError(f"{name} returned {array[~np.isfinite(array) | (array < 0)][0]}; wanted probabilities.")
    sums = array.sum(axis=1)
    if np.abs(sums - 1).max() > _SUM_TOLERANCE:
        row = int(np.abs(sums - 1).argmax())
        raise ReplicaError(f"{name} gives row {row} (from 0) probabilities that add up to {sums[row]:.4g}; wanted 1.")
    best: NDArray[np.int64] = classes[array.argmax(axis=1)]
    return best
