"""The rows that a study returns: a table in columns, in the form that the store and the evidence keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Columns = dict[str, list[Any]]


def columns(rows: Any) -> Columns:
    """Bring a study's rows into columns of equal length.

    Numbers keep six significant digits, whole numbers all; a cell that a row lacks is None.

    Args:
        rows: A sequence of mappings (a row each), a mapping of columns, or one mapping of single values (one row).

    Raises:
        ValueError: If there is no row, columns differ in length, or a cell is no number, text, truth value or None.
    """
    if isinstance(rows, Mapping):
        if not any(_is_column(value) for value in rows.values()):
            rows = [rows]
        else:
            found = {str(name): list(values) for name, values in rows.items()}
            lengths = {name: len(values) for name, values in found.items()}
            if len(set(lengths.values())) != 1:
                raise ValueError(f"the columns of a study's rows must be of equal length, not {lengths}.")
            return {name: [_cell(name, value) for value in values] for name, values in found.items()}
    if not isinstance(rows, Sequence) or not rows or not all(isinstance(row, Mapping) and row for row in rows):
        raise ValueError(f"a study must return rows (mappings), at least one, not {rows!r:.80}.")
    names = list(dict.fromkeys(str(name) for row in rows for name in row))
    return {name: [_cell(name, row.get(name)) for row in rows] for name in names}


def _is_column(value: Any) -> bool:
    return not isinstance(value, str) and hasattr(value, "__len__")


def _cell(name: str, value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int):
        return value
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        return _cell(name, value.item())
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"column {name!r} holds {value!r:.60}; it may hold numbers, texts and truth values.") from None
    if not np.isfinite(number):
        raise ValueError(f"column {name!r} holds {number}: not a finite number.")
    return float(f"{number:.6g}")


def stacked(tables: Mapping[int, Columns]) -> Columns:
    """The rows of several seeds under each other, with a column ``seed`` in front."""
    names = list(dict.fromkeys(name for table in tables.values() for name in table))
    out: Columns = {"seed": [], **{name: [] for name in names}}
    for seed, table in tables.items():
        count = len(next(iter(table.values()), []))
        out["seed"].extend([seed] * count)
        for name in names:
            out[name].extend(table.get(name, [None] * count))
    return out


def unstacked(rows: Columns) -> dict[int, Columns]:
    """The rows of each seed, from rows with a column ``seed``."""
    tables: dict[int, Columns] = {}
    for index, seed in enumerate(rows["seed"]):
        table = tables.setdefault(int(seed), {name: [] for name in rows if name != "seed"})
        for name, values in table.items():
            values.append(rows[name][index])
    return tables
