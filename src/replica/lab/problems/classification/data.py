"""How rows become the numbers that a learner is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from replica.data import Labelled, RegressionRows
from replica.lab.claims import Trial
from replica.lab.problems.split_rows import Rows

if TYPE_CHECKING:
    from torch import Tensor

CATEGORIES = 50
"""The most frequent words of a column that get a number each; the rest share one."""


def prepare(
    content: Labelled | RegressionRows, train: NDArray[np.intp], test: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Turn rows to learn from and rows to test into float64 ``(rows, features)``; the first alone tell how.

    Images and signals: flat, minus the mean of all values, divided by their standard deviation (one number for all
    pixels, so that shapes stay). Tables: a missing number becomes its column's median, with a column of 0 and 1 that
    says so; numbers are standardised; a category becomes one column of 0 and 1 for each of its up to 50 most frequent
    values, a missing one being a value of its own and one never seen in training all zeros.
    """
    if isinstance(content.features, np.ndarray):
        flat = content.features.reshape(len(content), -1)
        centre, spread = float(flat[train].mean(dtype=np.float64)), float(flat[train].std(dtype=np.float64)) or 1.0
        return tuple((flat[rows].astype(np.float64) - centre) / spread for rows in (train, test))  # type: ignore[return-value]
    return _table_columns(content.features, train, test)


def _table_columns(
    frame: Any, train: NDArray[np.intp], test: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    words = [name for name in frame.columns if isinstance(frame[name].dtype, pd.CategoricalDtype)]
    numbers = [name for name in frame.columns if name not in words]
    filled = frame.assign(
        **{name: frame[name].astype(object).where(frame[name].notna(), "(missing)") for name in words}
    )
    columns = ColumnTransformer(
        [
            (
                "numbers",
                make_pipeline(
                    SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True), StandardScaler()
                ),
                numbers,
            ),
            (
                "categories",
                OneHotEncoder(max_categories=CATEGORIES, handle_unknown="ignore", sparse_output=False),
                words,
            ),
        ]
    )
    learned = columns.fit_transform(filled.iloc[train])
    return np.asarray(learned, np.float64), np.asarray(columns.transform(filled.iloc[test]), np.float64)


@dataclass(frozen=True)
class TensorRows:
    """Rows to learn from and rows to test as float32 tensors on the trial's device, with their labels."""

    inputs: Tensor
    labels: Tensor
    test_inputs: Tensor
    test_labels: Tensor
    classes: int

    @classmethod
    def of(
        cls,
        trial: Trial,
        content: Labelled,
        parts: tuple[Rows, Rows],
        arrange: Callable[[Tensor], Tensor] | None = None,
    ) -> Self:
        """Rows of a trial, as `prepare` makes them, and arranged as a network takes images, signals or rows of numbers."""
        import torch

        tensors: list[Tensor] = []
        for rows, values in zip(parts, prepare(content, *parts), strict=True):
            inputs = torch.tensor(values, dtype=torch.float32, device=trial.device)
            if arrange is not None:
                inputs = arrange(inputs.view(len(inputs), *content.shape) if content.shape else inputs)
            tensors += [inputs, torch.tensor(content.labels[rows], device=trial.device)]
        inputs, labels, test_inputs, test_labels = tensors
        return cls(inputs, labels, test_inputs, test_labels, len(content.classes))
