"""The problem regression: which learner predicts a number best, and knows how sure it is?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from replica.data import (
    REGRESSION_FORMATS,
    REGRESSION_TABLES,
    RegressionRows,
    read_regression,
    regression_table,
    uci_table,
)
from replica.errors import ReplicaError
from replica.lab.claims import Proportion, Scale, Trial
from replica.lab.problems import own_rows
from replica.lab.problems.classification.data import prepare
from replica.lab.problems.fit_predict import FitPredict, Measured, Rows, Sample
from replica.lab.problems.footprint import parameter_count
from replica.lab.problems.problem import Dataset, Metric, Option, Options, Split, rank_by
from replica.lab.problems.protocol import numbers
from replica.lab.problems.regression import data as regression_data
from replica.lab.problems.regression.scores import FLOOR, HIGHEST, LEVELS, LOWEST, coverage_curve, crps, farthest

SHIFTED = 0.2
"""The share of the test rows, farthest from the training mean, on which ``--shift`` measures again."""
MOST_SHOWN = 150
"""Test rows whose predictions are drawn."""

_MEASURES = (
    Metric("rmse", "target deviations", "lower", "RMSE"),
    Metric("nll", "nats", "lower", "Negative log density"),
    Metric("crps", "target deviations", "lower", "CRPS"),
    Metric("coverage", "share of rows", "near 0.9", "Coverage of 90 % intervals"),
    Metric("width", "target deviations", "lower", "Width of 90 % intervals"),
)
_SHIFTED = tuple(
    Metric(
        f"shift_{metric.name}",
        metric.unit,
        metric.better,
        f"{metric.label}, far rows",
        when=lambda options: options["shift"] == "far",
    )
    for metric in _MEASURES
)
_COSTS = (
    Metric("fit_seconds", "s", "lower", "Fit time"),
    Metric("parameters", "numbers", "lower", "Numbers kept"),
)


class Regression(own_rows.OwnRows, FitPredict):
    """Learn from rows with a number each, predict the number of others.

    A trial draws the rows to test (``test``) and the rows to learn from (at most ``train``) and turns both into numbers (see
    `classification_data.prepare`). Targets lose the mean of those that are learned from and are divided by their deviation. The
    method is given float64 arrays of shape ``(rows, features)`` and ``(rows,)`` and need not scale anything; nothing is estimated
    from test rows. The standard splits of the UCI tables belong to seeds 0 to 19; later seeds, or ``--test``, draw their own.
    For validation (``--tune``) a fifth of the rows to learn from is held out.

    A method may tell how sure it is: by the quantiles of its distribution, or the natural log of its density at targets as they
    are given, or by both.

    What is measured, on the test rows, in units of the deviation of the targets, those to learn from and to test together:

    - ``rmse``: root of the mean squared error of ``predict``; about 1 where that is the mean.
    - ``nll``: mean of −ln of the density given to the truth, of methods with ``log_density``; below e^−10,000 counts as that.
    - ``crps``: continuous ranked probability score, of methods with ``predict_quantiles``, which is asked for 50 levels;
      quantiles that cross are sorted. It is the mean absolute error of a method that is sure.
    - ``coverage``, ``width``: the share of rows between the quantiles 0.05 and 0.95, and how far these are apart.
    - ``fit_seconds``: wall-clock time of ``fit``. ``parameters``: numbers the fitted method keeps (see `parameter_count`).

    What a method does not tell has no ``nll``, or no ``crps``, ``coverage`` and ``width``. With ``--shift`` the first five are
    measured also on the fifth of the test rows that is farthest from the mean of the rows to learn from. ``rank_by``
    says what ranks. Of your own data, ``test_data`` names the rows to test; of ``groups`` (patients, sites) none is split.
    """

    name = "regression"
    question = "Which learner predicts a number best, and knows how sure it is?"
    protocol = (
        'fit(X: Float[ndarray, "rows features"], y: Float[ndarray, " rows"]) -> Self',
        'predict(X: Float[ndarray, "rows features"]) -> Float[ndarray, " rows"]',
    )
    optional = (
        'predict_quantiles(X: Float[ndarray, "rows features"], levels: Float[ndarray, " k"]) -> Float[ndarray, "rows k"]',
        'log_density(X: Float[ndarray, "rows features"], y: Float[ndarray, " rows"]) -> Float[ndarray, " rows"]',
    )
    protocol_note = ", as scikit-learn's regressors, and may have predict_quantiles(X, levels) and log_density(X, y)"
    metrics = (*_MEASURES, *_SHIFTED, *_COSTS)
    options = (
        Option("target", "", "the column to predict, where the data are your own table", reads="own"),
        *own_rows.COLUMNS,
        Option("test_data", "", "a file of your own whose rows are tested, all of them and no others", reads="own"),
        own_rows.GROUPS,
        Option("train", 5000, "rows to learn from at most; 0 for all that are not tested", minimum=0,
               label="Rows to learn from"),
        Option("test", 0.0, "share of rows to test; 0 for a standard split where the data have some, else a quarter",
               minimum=0, maximum=0.95, label="Share of rows to test"),
        Option("shift", "no", "whether to measure also on the test rows farthest from the training mean",
               choices=("no", "far"), alone="far"),
        rank_by(tuple(metric for metric in metrics if metric.name in
                      ("rmse", "nll", "crps", "fit_seconds", "parameters", "shift_rmse", "shift_nll", "shift_crps"))),
    )  # fmt: skip
    default_data = "diabetes"
    data_names: ClassVar[Mapping[str, str]] = {
        "diabetes": "442 patients, 10 measures, how far diabetes went in a year (ships with scikit-learn)",
        "concrete": "1,030 mixtures of concrete, 8 columns, compressive strength; 20 standard splits (UCI, $REPLICA_DATA)",
        "energy": "768 buildings, 8 columns, heating load; 20 standard splits (UCI, $REPLICA_DATA)",
        "power": "9,568 hours of a power plant, 4 columns, electrical output; 20 standard splits (UCI, $REPLICA_DATA)",
        "wine": "1,599 red wines, 11 columns, quality; 20 standard splits (UCI, $REPLICA_DATA)",
        "yacht": "308 towings of yachts, 6 columns, resistance; 20 standard splits (UCI, $REPLICA_DATA)",
        "airfoil": "1,503 measurements of airfoils, 5 columns, sound pressure (UCI, extra tables)",
        "auto-mpg": "392 cars, 5 columns, miles per gallon (UCI, extra tables)",
        "insurance": "1,338 people, 6 columns of numbers and words, medical charges (extra tables)",
    }
    data_formats = REGRESSION_FORMATS

    def named(self, name: str, seed: int | None, options: Options) -> RegressionRows:
        """See `Problem.named`."""
        return regression_table(name) if name in REGRESSION_TABLES else uci_table(name)

    def read(self, path: Path, options: Options) -> RegressionRows:
        """See `Problem.read`, and `replica.data.read_regression`."""
        return read_regression(path, **self.asked(options))

    def answers(self, content: RegressionRows) -> tuple[Any, ...]:
        """See `OwnRows.answers`."""
        form = content.target, len(content.splits)
        return f"{content.target} to predict", form, content.targets, *content.splits

    def check(self, dataset: Dataset, options: Options) -> None:
        """See that there are two rows to learn from and one to test.

        Raises:
            ReplicaError: If not.
        """
        train, test = self.rows(Trial(0), dataset.content, options, "test")
        if int(options["train"]) == 1:
            raise ReplicaError("Option train is 1; wanted two rows or more to learn from, or 0 for all.")
        if dataset.content.groups is not None and dataset.content.tests is None and not len(test):
            raise ReplicaError(f"All rows of {dataset.name} are of one group; wanted two groups or more.")
        if len(train) < 2 or not len(test):
            raise ReplicaError(
                f"{dataset.name} leaves {len(train)} rows to learn from and {len(test)} to test; wanted 2 and 1 or more."
            )

    def check_validation(self, dataset: Dataset, options: Options) -> None:
        """See that rows can be held out.

        Raises:
            ReplicaError: If there are too few of them, or too few groups.
        """
        train, held_out = self.rows(Trial(0), dataset.content, options, "validation")
        if len(train) < 2 or not len(held_out):
            wanted = (
                "three groups or more" if dataset.content.groups is not None else "three rows or more to learn from"
            )
            raise ReplicaError(f"Tuning holds rows of {dataset.name} out of those to learn from; wanted {wanted}.")

    def used(self, dataset: Dataset, options: Options, scale: Scale) -> Mapping[str, str]:
        """See `Problem.used`."""
        told = super().used(dataset, options, scale)
        return told if options["shift"] == "far" else {**told, "shift": ""}

    def rows(self, trial: Trial, content: Any, options: Options, split: Split) -> tuple[Rows, Rows]:
        """The rows to learn from and to test of one trial, or of its training part alone for validation."""
        train, test = regression_data.draw_rows(content, float(options["test"]), trial.seed, trial.rng("split"))
        train = train[: int(options["train"]) or None]
        if trial.scale == "smoke":
            train, test = train[: self.smoke_rows[0]], trial.rng("smoke").permutation(test)[: self.smoke_rows[1]]
        if split == "validation":
            return regression_data.hold_out(content, train, trial.rng("validation"))
        return train, test

    def sample(self, trial: Trial, content: Any, options: Options, train: Rows, test: Rows) -> Sample:
        """Float64 arrays of numbers; see the class."""
        known, unknown = prepare(content, train, test)
        centre, scale, _ = _scaling(content, train, test)
        return Sample(train, test, known, (content.targets[train] - centre) / scale, unknown)

    def score(
        self, trial: Trial, method: Any, sample: Sample, dataset: Dataset, options: Options, fit_seconds: float
    ) -> Measured:
        """Ask for predictions, quantiles and densities; see the class for the measures."""
        content: RegressionRows = dataset.content
        (centre, scale, unit), count = _scaling(content, sample.train, sample.test), len(sample.test)
        truth = (content.targets[sample.test] - centre) / scale
        errors = _asked(method, "predict", (count,), sample.queries.copy()) - truth
        density = quantiles = None
        if callable(getattr(method, "log_density", None)):
            density = _asked(method, "log_density", (count,), sample.queries.copy(), truth.copy())
        if callable(getattr(method, "predict_quantiles", None)):
            shape = (count, len(LEVELS))
            quantiles = np.sort(
                _asked(method, "predict_quantiles", shape, sample.queries.copy(), LEVELS.copy()), axis=1
            )

        def measures(rows: NDArray[np.bool_]) -> dict[str, float | Proportion]:
            found: dict[str, float | Proportion] = {"rmse": unit * float(np.sqrt(np.square(errors[rows]).mean()))}
            if density is not None:
                found["nll"] = math.log(unit) - float(np.maximum(density[rows], FLOOR).mean())
            if quantiles is not None:
                low, high, true = quantiles[rows, LOWEST], quantiles[rows, HIGHEST], truth[rows]
                found["crps"] = unit * crps(quantiles[rows], true)
                found["coverage"] = Proportion(int(((low <= true) & (true <= high)).sum()), len(true))
                found["width"] = unit * float((high - low).mean())
            return found

        found = measures(np.ones(count, bool))
        if options["shift"] == "far":
            far = farthest(sample.queries, sample.inputs, SHIFTED)
            found |= {f"shift_{name}": value for name, value in measures(far).items()}
        found |= {"fit_seconds": fit_seconds, "parameters": float(parameter_count(method))}
        return found, lambda: _shown(truth, truth + errors, quantiles, centre, scale)


def _shown(
    truth: NDArray[np.float64],
    predicted: NDArray[np.float64],
    quantiles: NDArray[np.float64] | None,
    centre: float,
    scale: float,
) -> dict[str, Any]:
    """Predictions of the first test rows in the target's own unit, and the share of all that is inside of intervals."""
    first = slice(MOST_SHOWN)
    ends: list[list[float]] = [[], []]
    nominal = inside = np.zeros(0)
    if quantiles is not None:
        ends = [(centre + scale * quantiles[first, at]).tolist() for at in (LOWEST, HIGHEST)]
        nominal, inside = coverage_curve(quantiles, truth)
    return {
        "truth": (centre + scale * truth[first]).tolist(),
        "predicted": (centre + scale * predicted[first]).tolist(),
        "low": ends[0],
        "high": ends[1],
        "nominal": nominal.tolist(),
        "inside": inside.tolist(),
    }


def _scaling(content: RegressionRows, train: Rows, test: Rows) -> tuple[float, float, float]:
    """Mean and deviation of targets that are learned from, and this deviation in units of that of all of a trial's targets."""
    known = content.targets[train]
    spread = _deviation(np.concatenate([known, content.targets[test]])) or 1.0
    scale = _deviation(known) or spread
    return float(known.mean()), scale, scale / spread


def _deviation(values: NDArray[np.float64]) -> float:
    """The standard deviation; 0 of equal values, whatever rounding makes of their mean."""
    return float(values.std()) if values.min() < values.max() else 0.0


def _asked(method: Any, name: str, shape: tuple[int, ...], *given: Any) -> NDArray[np.float64]:
    """What a method gives back, in NumPy; a density may be 0, anything else must be finite."""
    called = f"{type(method).__name__}.{name}"
    result = numbers(called, getattr(method, name)(*given), shape, "iuf").astype(np.float64)
    wrong = ~np.isfinite(result) & ~((name == "log_density") & np.isneginf(result))
    if wrong.any():
        row = int(np.argwhere(wrong)[0][0])
        raise ReplicaError(f"{called} returned {result[wrong][0]} for row {row} (from 0); wanted finite numbers.")
    return result
