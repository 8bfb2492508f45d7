"""The problem classification: which learner predicts the label best?"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from replica.data import LABELLED_FORMATS
from replica.errors import ReplicaError
from replica.lab.claims import Proportion, Trial
from replica.lab.problems.classification import data as classification_data
from replica.lab.problems.classification.calibration import expected_calibration_error, log_loss
from replica.lab.problems.footprint import parameter_count
from replica.lab.problems.problem import (
    VALIDATION_SHARE,
    Dataset,
    Metric,
    Option,
    Outcome,
    Problem,
    Split,
    Value,
    Watch,
)
from replica.lab.problems.protocol import check_protocol, timed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SUM_TOLERANCE = 1e-3
"""How far a row of probabilities may add up to something else than 1: rounding in float16 and below."""


class Classification(Problem):
    """Learn from labelled rows, predict the labels of others.

    A trial draws the rows to test (``test``, each class by its share) and the rows to learn from (at most ``train``),
    turns both into numbers (see `classification_data.prepare`; nothing of it is estimated from test rows), and hands
    float64 arrays of shape ``(rows, features)`` with labels 0, 1, … to the method: scikit-learn's protocol. All methods
    get the same rows with the same seed. For validation (``--tune``) a fifth of the rows to learn from is held out, each class
    by its share; rows to test take no part.

    What is measured, on the test rows:

    - ``accuracy``: the share of labels predicted right.
    - ``log_loss``: mean −ln of the probability given to the true label, in nats (below 10⁻⁶ counts as 10⁻⁶).
    - ``calibration_error``: expected calibration error, 15 bins of equal width.
    - ``fit_seconds``, and ``predict_seconds`` a row: wall-clock time of `fit` and of `predict_proba`.
    - ``parameters``: numbers the fitted method keeps (see `parameter_count`).
    """

    name = "classification"
    question = "Which learner predicts the label best?"
    protocol = (
        'fit(X: Float[ndarray, "rows features"], y: Int[ndarray, " rows"]) -> Self',
        'predict(X: Float[ndarray, "rows features"]) -> Int[ndarray, " rows"]',
        'predict_proba(X: Float[ndarray, "rows features"]) -> Float[ndarray, "rows classes"]',
    )
    metrics = (
        Metric("accuracy", "share of rows", "higher", "Accuracy"),
        Metric("log_loss", "nats", "lower", "Log loss"),
        Metric("calibration_error", "share", "lower", "Calibration error"),
        Metric("fit_seconds", "s", "lower", "Fit time"),
        Metric("predict_seconds", "s a row", "lower", "Predict time"),
        Metric("parameters", "numbers", "lower", "Numbers kept"),
    )
    options = (
        Option("target", "", "the column that holds the labels, where the data are your own table"),
        Option("train", 5000, "rows to learn from at most; 0 for all that are not tested", minimum=0),
        Option("test", 0.25, "share of rows to test", minimum=0.01, maximum=0.95),
    )
    default_data = "digits"
    data_names = classification_data.NAMED
    data_formats = LABELLED_FORMATS
    data_options = ("target",)

    def load(self, source: str, options: Mapping[str, Value]) -> Dataset:
        """Read a named data set, or the user's table, arrays or folder of images.

        Raises:
            ReplicaError: In one line, what is wrong with it and what is wanted.
        """
        return classification_data.load(source, str(options.get("target", "")))

    def check(self, dataset: Dataset, options: Mapping[str, Value]) -> None:
        """See that there are rows enough to learn from.

        Raises:
            ReplicaError: If fewer training rows are asked for than there are classes.
        """
        train, classes = int(options["train"]), len(dataset.content.classes)
        if 0 < train < classes:
            raise ReplicaError(
                f"Option train is {train}, but {dataset.name} has {classes} classes; give --train {classes} or more."
            )

    def check_validation(self, dataset: Dataset, options: Mapping[str, Value]) -> None:
        """See that some class has two rows to learn from, one of which can be held out.

        Raises:
            ReplicaError: If none has.
        """
        train, _ = classification_data.split(
            dataset.content.labels, float(options["test"]), int(options["train"]), np.random.default_rng(0)
        )
        if np.bincount(dataset.content.labels[train]).max() < 2:
            raise ReplicaError(
                f"Tuning holds rows out of those to learn from, but {dataset.name} leaves {len(train)}, one a class; "
                f"give --train {2 * len(dataset.content.classes)} or more, a smaller --test, or leave --tune out."
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
        """Let the method learn and predict once; see the class for the protocol and the measures.

        Raises:
            ReplicaError: If the method breaks the protocol: a part missing, or an output of the wrong form. What the
                method itself raises passes through.
        """
        self.check(dataset, options)
        content = dataset.content
        train, test = classification_data.split(
            content.labels, float(options["test"]), int(options["train"]), trial.rng("split")
        )
        if trial.scale == "smoke":
            train, test = train[: max(100, 2 * len(content.classes))], test[:100]
        if split == "validation":
            self.check_validation(dataset, options)
            kept, held_out = classification_data.split(
                content.labels[train], VALIDATION_SHARE, 0, trial.rng("validation")
            )
            train, test = train[kept], train[held_out]
        known, unknown = classification_data.prepare(content, train, test)
        truth = content.labels[test]
        method = make(trial)
        check_protocol(
            method,
            ("fit", "predict", "predict_proba"),
            "an entry for classification has fit(X, y), predict(X) and predict_proba(X), as scikit-learn's classifiers",
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as a net that has not converged: its accuracy tells
            rows, answers, asked = known.copy(), content.labels[train].copy(), unknown.copy()
            fitted, fit_seconds = timed(trial, lambda: method.fit(rows, answers))
            method = fitted if hasattr(fitted, "predict_proba") else method
            given, predict_seconds = timed(trial, lambda: method.predict_proba(asked))
            labels = _predicted(method, method.predict(unknown.copy()), len(test), len(content.classes))
        probabilities = _probabilities(method, given, np.unique(content.labels[train]), len(test), len(content.classes))
        right = labels == truth
        metrics: dict[str, float | Proportion] = {
            "accuracy": Proportion(int(right.sum()), len(right)),
            "log_loss": log_loss(probabilities, truth),
            "calibration_error": expected_calibration_error(probabilities, truth),
            "fit_seconds": fit_seconds,
            "predict_seconds": predict_seconds / len(test),
            "parameters": float(parameter_count(method)),
        }
        if not examples:
            return Outcome(metrics)
        confused = np.zeros((len(content.classes),) * 2, np.int64)
        np.add.at(confused, (truth, labels), 1)
        return Outcome(metrics, {"confusion": confused.tolist()})

    def draw(self, figure: Figure, comparison: Any) -> None:
        """Draw the accuracy of every method and, beside it, of each class what share it finds."""
        from replica.lab.problems.classification.figure import draw

        draw(
            figure,
            comparison,
            metric=self.metrics[0],
            baselines=frozenset(baseline.name for baseline in self.baselines()),
        )


def _array(method: Any, name: str, output: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    """What a method gave back, in NumPy, of the shape that is wanted."""
    import torch

    if isinstance(output, torch.Tensor):
        output = output.detach().cpu().numpy()
    array = np.asarray(output)
    if array.dtype.kind not in "biuf":
        raise ReplicaError(f"{type(method).__name__}.{name} returned {array.dtype}; wanted numbers of shape {shape}.")
    if array.shape != shape:
        raise ReplicaError(f"{type(method).__name__}.{name} returned shape {array.shape}; wanted {shape}.")
    return array


def _predicted(method: Any, output: Any, rows: int, classes: int) -> NDArray[np.int64]:
    """Check what ``predict`` gave back.

    Raises:
        ReplicaError: If it is anything but one of the labels for each row.
    """
    array = _array(method, "predict", output, (rows,))
    wrong = ~np.isin(array, np.arange(classes))
    if wrong.any():
        raise ReplicaError(
            f"{type(method).__name__}.predict returned {array[wrong][0]} for row {int(wrong.argmax())} (from 0); "
            f"wanted labels from 0 to {classes - 1}."
        )
    return array.astype(np.int64)


def _probabilities(method: Any, output: Any, seen: NDArray[np.int64], rows: int, classes: int) -> NDArray[np.float64]:
    """Check what ``predict_proba`` gave back, and give every class its column, also one never seen in training.

    Raises:
        ReplicaError: If its shape is wrong, or its rows are no probabilities.
    """
    columns = np.asarray(getattr(method, "classes_", seen))
    if columns.dtype.kind not in "iuf" or not np.isin(columns, np.arange(classes)).all():
        raise ReplicaError(f"{type(method).__name__}.classes_ is {columns!r:.80}; wanted the labels given to fit.")
    array = _array(method, "predict_proba", output, (rows, len(columns))).astype(np.float64)
    name = f"{type(method).__name__}.predict_proba"
    if not np.isfinite(array).all() or array.min() < -_SUM_TOLERANCE:
        raise ReplicaError(f"{name} returned {array[~np.isfinite(array) | (array < 0)][0]}; wanted probabilities.")
    sums = array.sum(axis=1)
    if np.abs(sums - 1).max() > _SUM_TOLERANCE:
        row = int(np.abs(sums - 1).argmax())
        raise ReplicaError(f"{name} gives row {row} (from 0) probabilities that add up to {sums[row]:.4g}; wanted 1.")
    whole = np.zeros((rows, classes))
    whole[:, columns.astype(np.intp)] = np.clip(array, 0, None)
    result: NDArray[np.float64] = whole / whole.sum(axis=1, keepdims=True)
    return result
