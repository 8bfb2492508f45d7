"""Data with one label a row: what every reader of them gives, and what it asks of the labels."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from replica.data.sets.patterns import refuse, shown

if TYPE_CHECKING:
    import pandas as pd

NUMBERS = "numbers are predicted by replica compare regression"
"""What does for numbers what is done here for classes."""


@dataclass(frozen=True)
class Labelled:
    """Rows with one label each.

    Args:
        features: A table, one row a sample: columns of numbers (NaN where one is missing) or of categories
            (pandas' category type). Or an array of finite numbers, ``(count, *shape)``, of images or signals.
        labels: Class numbers from 0, int64, shape ``(count,)``.
        classes: What each class is called.
        notes: What the reader decided on its own, such as leaving out rows without a label.
        groups: The number of each row's group, such as its domain, where the user named a column of them.
        group_names: What each group is called.
        tests: Which rows are there to test and not to learn from, where the user said so, bool.
    """

    features: pd.DataFrame | NDArray[Any] = field(repr=False)
    labels: NDArray[np.int64] = field(repr=False)
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()
    groups: NDArray[np.int64] | None = field(default=None, repr=False)
    group_names: tuple[str, ...] = ()
    tests: NDArray[np.bool_] | None = field(default=None, repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one image or signal; empty for the rows of a table."""
        return self.features.shape[1:] if isinstance(self.features, np.ndarray) else ()

    def __len__(self) -> int:
        return len(self.labels)

    def tested(self, tests: NDArray[np.bool_] | None, rows: NDArray[np.intp]) -> Labelled:
        """The same rows, told which of them are there to test; these are the ``rows`` of all that were read."""
        return self if tests is None else replace(self, tests=tests[rows])


def encode_labels(
    path: Path | str, labels: pd.Series, what: str, tests: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.int64], tuple[str, ...], list[str]]:
    """Number the classes from 0, in numerical order where they are whole numbers, else by name; −1 for rows that are left out.

    These are rows without a label, and classes with one row (none to learn from and to test too); where the user said which rows
    are to test, those that have no other row. Also the classes' names, and notes on what was left out. Measurements, and fewer
    than two classes, are refused; ``what`` is the labels in the user's terms.
    """
    import pandas as pd

    notes: list[str] = []
    there = labels[labels.notna()]
    if len(there) < len(labels):
        notes.append(f"{len(labels) - len(there):,} rows without a label left out")
    if pd.api.types.is_float_dtype(there):
        fraction = there[there != there.round()]
        if len(fraction):
            wrong = f"{what} holds numbers such as {float(fraction.iloc[0]):g}"
            raise refuse(path, wrong, f"wanted classes, as words or whole numbers; {NUMBERS}")
        there = there.astype(np.int64)
    elif not pd.api.types.is_numeric_dtype(there):
        there = there.map(lambda label: label.decode("utf-8", "replace") if isinstance(label, bytes) else str(label))
    codes, found_names = pd.factorize(there, sort=True)
    names = [str(name) for name in found_names]
    if len(names) > 20 and len(names) > len(there) / 4:
        wrong = f"{what} holds {len(names):,} different values in {len(there):,} rows"
        numeric = pd.api.types.is_numeric_dtype(there)
        raise refuse(path, wrong, f"wanted few classes{f'; {NUMBERS}' if numeric else ''}")
    learned = codes if tests is None else codes[~tests[labels.notna().to_numpy(bool)]]
    kept = np.bincount(learned, minlength=len(names)) >= (2 if tests is None else 1)
    lone = [shown(names[i]) for i in np.flatnonzero(~kept)]
    if lone:
        many, why = (
            "class" if len(lone) == 1 else "classes",
            "one row each" if tests is None else "no row to learn from",
        )
        notes.append(f"{many} {', '.join(lone[:3])}{' …' * (len(lone) > 3)} of {what} left out, with {why}")
    if kept.sum() < 2:
        held = " and ".join([f"{shown(names[i])} in every row" for i in np.flatnonzero(kept)][:1] + notes) or "nothing"
        raise refuse(path, f"{what} holds {held}", "wanted two classes or more")
    numbers = np.where(kept, np.cumsum(kept) - 1, -1)
    found = np.full(len(labels), -1, np.int64)
    found[labels.notna().to_numpy(bool)] = numbers[codes]
    return found, tuple(name for name, stays in zip(names, kept, strict=True) if stays), notes
