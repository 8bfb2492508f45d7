"""Data with one label a row: what every reader of them gives, and what it asks of the labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from replica.data.sets.patterns import refuse, shown

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Labelled:
    """Rows with one label each.

    Args:
        features: A table, one row a sample: columns of numbers (NaN where one is missing) or of categories
            (pandas' category type). Or an array of finite numbers, ``(count, *shape)``, of images or signals.
        labels: Class numbers from 0, int64, shape ``(count,)``.
        classes: What each class is called.
        notes: What the reader decided on its own, such as leaving out rows without a label.
    """

    features: pd.DataFrame | NDArray[Any] = field(repr=False)
    labels: NDArray[np.int64] = field(repr=False)
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one image or signal; empty for the rows of a table."""
        return self.features.shape[1:] if isinstance(self.features, np.ndarray) else ()

    def __len__(self) -> int:
        return len(self.labels)


def encode_labels(path: Path | str, labels: pd.Series, what: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Number the classes from 0: in numerical order where they are whole numbers, else by name.

    Args:
        path: The file, for messages.
        labels: One a row, none missing.
        what: What the labels are in the user's terms, such as ``"column 'species'"``.

    Raises:
        ReplicaError: If they are measurements instead of classes, all the same, or a class has one row only.
    """
    import pandas as pd

    if pd.api.types.is_float_dtype(labels) and not bool((labels == labels.round()).all()):
        value = labels[labels != labels.round()].iloc[0]
        raise refuse(path, f"{what} holds numbers such as {value:g}", "wanted classes, as words or whole numbers")
    if pd.api.types.is_float_dtype(labels):
        labels = labels.astype(np.int64)
    elif not pd.api.types.is_numeric_dtype(labels):
        labels = labels.astype(str)
    codes, names = pd.factorize(labels, sort=True)
    if len(names) < 2:
        raise refuse(
            path,
            f"{what} holds {shown(names[0]) if len(names) else 'nothing'} in every row",
            "wanted two classes or more",
        )
    counts = np.bincount(codes)
    if len(names) > 20 and len(names) > len(labels) / 4:
        raise refuse(
            path, f"{what} holds {len(names):,} different values in {len(labels):,} rows", "wanted few classes"
        )
    if counts.min() < 2:
        lone = names[int(counts.argmin())]
        raise refuse(
            path,
            f"class {shown(lone)!r:.60} of {what} has one row only",
            "wanted two or more, one to learn from and one to test: merge it or leave it out",
        )
    return codes.astype(np.int64), tuple(str(name) for name in names)
