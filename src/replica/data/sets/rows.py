"""Rows with something to predict: what all readers and sets of them give."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Rows:
    """Rows, and what was told of them; a subclass says what is to be predicted.

    Args:
        features: A table, one row a sample: columns of numbers (NaN where one is missing) or of categories
            (pandas' category type). Or an array of finite numbers, ``(count, *shape)``, of images or signals.
        notes: What the reader decided on its own, such as leaving out rows without anything to predict.
        groups: The number of each row's group, such as its domain, where the user named a column of them.
        group_names: What each group is called.
        tests: Which rows are there to test and not to learn from, where the user said so, bool.
    """

    features: pd.DataFrame | NDArray[Any] = field(repr=False)
    notes: tuple[str, ...] = field(default=(), kw_only=True)
    groups: NDArray[np.int64] | None = field(default=None, repr=False, kw_only=True)
    group_names: tuple[str, ...] = field(default=(), kw_only=True)
    tests: NDArray[np.bool_] | None = field(default=None, repr=False, kw_only=True)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one image or signal; empty for the rows of a table."""
        return self.features.shape[1:] if isinstance(self.features, np.ndarray) else ()

    def __len__(self) -> int:
        return len(self.features)
