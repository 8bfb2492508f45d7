"""Data with one label a row: what every reader of them gives, and what it asks of the labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from replica.data.sets.patterns import refuse, shown
from replica.data.sets.rows import Rows

if TYPE_CHECKING:
    import pandas as pd

NUMBERS = "numbers are predicted by replica compare regression"
"""What does for numbers what is done here for classes."""


@dataclass(frozen=True)
class Labelled(Rows):
    """Rows with one label each; see `replica.data.sets.rows.Rows` for ``features``, ``notes``, ``groups`` and ``tests``.

    Args:
        labels: Class numbers from 0, int64, shape ``(count,)``.
        classes: What each class is called.
    """

    labels: NDArray[np.int64] = field(repr=False)
    classes: tuple[str, ...]


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
