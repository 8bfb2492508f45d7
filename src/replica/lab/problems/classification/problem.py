"""The problem classification: which learner predicts the label best?"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from replica.errors import ReplicaError
from replica.lab.claims import Proportion, Trial
from replica.lab.problems import own_rows
from replica.lab.problems.classification import data as classification_data
from replica.lab.problems.classification.calibration import expected_calibration_error, log_loss
from replica.lab.problems.classification.class_metrics import auroc, balanced_accuracy, confusion_matrix, macro_f1
from replica.lab.problems.fit_predict import FitPredict, Measured, Rows, Sample
from replica.lab.problems.footprint import parameter_count
from replica.lab.problems.labelled_rows import LabelledRows, labelled_options
from replica.lab.problems.problem import Dataset, Metric, Options, rank_by
from replica.lab.problems.protocol import numbers, timed

_SUM_TOLERANCE = 1e-3
"""How far a row of probabilities may add up to something else than 1: rounding in float16 and below."""


class Classification(own_rows.LabelledData, LabelledRows, FitPredict):
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
    - ``balanced_accuracy``, ``macro_f1``, ``auroc``: every class counts alike, however rare; see `class_metrics`.

    ``rank_by`` says which of them ranks. Of your own data, ``test_data`` names the rows to test; of ``groups`` (patients, sites)
    none has rows both to learn from and to test. A validation part is drawn in the same way.
    """

    name = "classification"
    question = "Which learner predicts the label best?"
    protocol = (
        'fit(X: Float[ndarray, "rows features"], y: Int[ndarray, " rows"]) -> Self',
        'predict(X: Float[ndarray, "rows features"]) -> Int[ndarray, " rows"]',
        'predict_proba(X: Float[ndarray, "rows features"]) -> Float[ndarray, "rows classes"]',
    )
    protocol_note = ", as scikit-learn's classifiers"
    metrics = (
        Metric("accuracy", "share of rows", "higher", "Accuracy"),
        Metric("log_loss", "nats", "lower", "Log loss"),
        Metric("calibration_error", "share", "lower", "Calibration error"),
        Metric("fit_seconds", "s", "lower", "Fit time"),
        Metric("predict_seconds", "s a row", "lower", "Predict time"),
        Metric("parameters", "numbers", "lower", "Numbers kept"),
        Metric("balanced_accuracy", "share of rows", "higher", "Balanced accuracy"),
        Metric("macro_f1", "1", "higher", "Macro F1"),
        Metric("auroc", "1", "higher", "Area under the ROC curve"),
    )
    options = (
        *own_rows.READ,
        *own_rows.SPLIT,
        *labelled_options(train=5000),
        rank_by(metrics),
    )

    def sample(self, trial: Trial, content: Any, options: Options, train: Rows, test: Rows) -> Sample:
        """Float64 arrays of numbers; see `classification_data.prepare`."""
        known, unknown = classification_data.prepare(content, train, test)
        return Sample(train, test, known, content.labels[train], unknown)

    def score(
        self, trial: Trial, method: Any, sample: Sample, dataset: Dataset, options: Options, fit_seconds: float
    ) -> Measured:
        """Ask for labels and probabilities; see the class for the measures."""
        count, classes, truth = len(sample.test), len(dataset.content.classes), dataset.content.labels[sample.test]
        queries = sample.queries.copy()
        given, predict_seconds = timed(trial, lambda: method.predict_proba(queries))
        labels = _predicted(method, method.predict(sample.queries.copy()), count, classes)
        probabilities = _probabilities(method, given, np.unique(sample.targets), count, classes)
        correct = labels == truth

        confusion = confusion_matrix(truth, labels, classes)
        return {
            "accuracy": Proportion(int(correct.sum()), count),
            "log_loss": log_loss(probabilities, truth),
            "calibration_error": expected_calibration_error(probabilities, truth),
            "fit_seconds": fit_seconds,
            "predict_seconds": predict_seconds / count,
            "parameters": float(parameter_count(method)),
            "balanced_accuracy": balanced_accuracy(confusion),
            "macro_f1": macro_f1(confusion),
            "auroc": auroc(probabilities, truth),
        }, lambda: {"confusion": confusion.tolist()}


def _predicted(method: Any, output: Any, rows: int, classes: int) -> NDArray[np.int64]:
    """Check that ``predict`` gave one of the labels for each row."""
    array = numbers(f"{type(method).__name__}.predict", output, (rows,))
    wrong = ~np.isin(array, np.arange(classes))
    if wrong.any():
        raise ReplicaError(
            f"{type(method).__name__}.predict returned {array[wrong][0]} for row {int(wrong.argmax())} (from 0); "
            f"wanted labels from 0 to {classes - 1}."
        )
    return array.astype(np.int64)


def _probabilities(method: Any, output: Any, seen: NDArray[np.int64], rows: int, classes: int) -> NDArray[np.float64]:
    """Check that ``predict_proba`` gave probabilities, and give every class its column, also one never seen in training."""
    columns = np.asarray(getattr(method, "classes_", seen))
    if columns.dtype.kind not in "iuf" or not np.isin(columns, np.arange(classes)).all():
        raise ReplicaError(f"{type(method).__name__}.classes_ is {columns!r:.80}; wanted the labels given to fit.")
    name = f"{type(method).__name__}.predict_proba"
    array = numbers(name, output, (rows, len(columns))).astype(np.float64)
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
