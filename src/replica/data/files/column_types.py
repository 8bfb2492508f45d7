"""What a column's cells are: numbers in their many spellings, true and false, dates, durations, or words."""

from __future__ import annotations

import datetime
import decimal as decimals
import re
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from replica.data.sets.patterns import shown

if TYPE_CHECKING:
    import pandas as pd

_PLAIN = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_GROUPED = r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d*)?"
_COMMA = r"[+-]?(?:\d+|\d{1,3}(?:\.\d{3})+)?,\d+(?:[eE][+-]?\d+)?"
_EUROPEAN = rf"{_COMMA}|[+-]?\d{{1,3}}(?:\.\d{{3}})+|[+-]?\d+(?:[eE][+-]?\d+)?"
_DATE = r"\d{1,4}[-/. ](?:\d{1,2}|[A-Za-z]{3,9})[-/. ]\d{1,4}(?:[ T].*)?|[A-Za-z]{3,9}\.? \d{1,2},? \d{4}(?: .*)?"
_DURATION = r"-?(?:\d+ days?,? )?\+?\d+:\d\d(?::\d\d(?:\.\d+)?)?|-?\d+ days?"
_VALUE = re.compile(
    rf"(?:{_PLAIN}|{_GROUPED})\s*%?|[+-]?inf(?:inity)?|nan|true|false|{_DATE}|{_DURATION}", re.IGNORECASE
)
_VALUE_COMMA = re.compile(rf"(?:{_EUROPEAN})\s*%?")
_DATE_FORMATS = ("%m/%d/%Y", "%d/%m/%Y", "%Y/%m/%d", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%d-%b-%Y", "%d %b %Y", "%d %B %Y",
                 "%b %d, %Y", "%B %d, %Y", "%m/%d/%y", "%d/%m/%y", "%d-%b-%y")  # fmt: skip
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p")
_SCALARS = (str, bool, int, float, np.generic, decimals.Decimal, datetime.date, datetime.time, datetime.timedelta)
_CALLED = {"ndarray": "list", "dict": "struct"}
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_SECONDS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}


def is_value(cell: str, decimal: str = ".") -> bool:
    """Whether a cell is a number, a truth, a date or a duration, and no word."""
    return bool(_VALUE.fullmatch(cell) or (decimal == "," and _VALUE_COMMA.fullmatch(cell)))


def typed(column: pd.Series, name: str, decimal: str = ".") -> tuple[dict[str, pd.Series], str]:
    """Turn a column into columns of numbers (float64, NaN where one is missing) or of categories, and a note on what was done.

    Numbers may be spelt with percent signs (12% is 0.12), thousands or decimal commas, or be of Python's Decimal; true and
    false are 1 and 0. Dates become days since the first one, with the weekday as a category and the hour where these vary;
    durations become seconds. All else is a category. Cells that are no single values (lists, bytes …) raise a ValueError.
    """
    import pandas as pd

    kind = column.dtype
    if isinstance(kind, pd.CategoricalDtype):
        return {name: words(column).astype("category")}, ""
    if pd.api.types.is_datetime64_any_dtype(kind):
        return _date_columns(_ticks(column), name)
    if pd.api.types.is_timedelta64_dtype(kind):
        return {name: pd.Series(_ticks(column), column.index)}, f"{shown(name)} read as seconds"
    numbers, note = as_numbers(column, decimal)
    if numbers is not None:
        return {name: numbers}, f"{shown(name)}: {note}" * bool(note)
    text = words(column)
    there = text.dropna()
    if len(there) and there.head(100).str.fullmatch(_DURATION).all() and there.str.fullmatch(_DURATION).all():
        clock = text.str.replace(r"(^|\s)(\d+:\d\d)$", r"\1\2:00", regex=True)
        found = pd.to_timedelta(clock, errors="coerce")
        if bool((found.notna() == text.notna()).all()):
            return {name: pd.Series(_ticks(found), column.index)}, f"{shown(name)} read as seconds"
    dates, spelling = _as_dates(text)
    if dates is not None:
        columns, note = _date_columns(_ticks(dates), name)
        return columns, note + spelling
    return {name: text.astype("category")}, ""


def words(column: pd.Series) -> pd.Series:
    """A column's cells as texts without blanks around them, missing where they are; no single values, no texts."""
    import pandas as pd

    if column.dtype.kind == "O" and not isinstance(column.dtype, pd.StringDtype):
        column = column.astype(object)
        odd = {type(value) for value in column[column.notna().to_numpy(bool)] if not isinstance(value, _SCALARS)}
        if odd:
            kinds = sorted(_CALLED.get(kind.__name__, kind.__name__) for kind in odd)
            raise ValueError(f"it holds values of type {', '.join(kinds)}")
    elif column.dtype.kind == "c":
        raise ValueError("it holds complex numbers")
    elif pd.api.types.is_float_dtype(column.dtype) and bool((column.dropna() == column.dropna().round()).all()):
        column = column.astype("Float64").round().astype("Int64")  # 3, not 3.0
    text = column.astype(str).where(column.notna()).str.strip()
    return text.where(text != "")


def as_numbers(column: pd.Series, decimal: str = ".") -> tuple[pd.Series | None, str]:
    """A column as float64, and how its cells were spelt; None where some are no numbers."""
    import pandas as pd

    kind = column.dtype
    if (pd.api.types.is_numeric_dtype(kind) and kind.kind != "c") or pd.api.types.is_bool_dtype(kind):
        return pd.Series(column.to_numpy(np.float64, na_value=np.nan), column.index), ""
    if not (pd.api.types.is_object_dtype(kind) or pd.api.types.is_string_dtype(kind)):
        words(column)
        return None, ""
    text = words(column)
    text = text.where(text != "-")  # a gap beside numbers, a word beside words
    there = text.dropna()
    if not len(there):
        return pd.Series(np.nan, column.index), ""
    if set(there.str.lower().unique()[:3]) <= {"true", "false"} and there.str.lower().isin(["true", "false"]).all():
        return text.str.lower().map({"true": 1.0, "false": 0.0}).astype(np.float64), ""
    percent = bool(there.str.endswith("%").all())
    if percent:
        text = text.str.slice(stop=-1).str.strip()
        there = text.dropna()

    def match(pattern: str) -> bool:
        return bool(there.head(100).str.fullmatch(pattern).all() and there.str.fullmatch(pattern).all())

    european, grouped = match(_EUROPEAN), match(f"{_PLAIN}|{_GROUPED}")
    if match(f"{_PLAIN}|[+-]?inf|nan") and not (decimal == "," and european and match(r"[+-]?\d{1,3}(\.\d{3})+")):
        note = ""
    elif european and (decimal == "," or not grouped):
        text = text.str.replace(".", "", regex=False).str.replace(",", ".", regex=False)
        note = "" if decimal == "," else "commas read as decimal points"
    elif grouped:
        text, note = text.str.replace(",", "", regex=False), "commas read as thousands"
    else:
        return None, ""
    numbers = pd.to_numeric(text).astype(np.float64) / (100 if percent else 1)
    return numbers, "; ".join(["percent read as hundredths"] * percent + [note] * bool(note))


def first_word(column: pd.Series) -> tuple[int, str] | None:
    """The row of the first cell that is no number, and its text; None where all are numbers or missing."""
    text = words(column)
    wrong = (
        text.notna() & ~text.astype(object).fillna("0").astype(str).str.fullmatch(f"{_PLAIN}|{_GROUPED}|{_COMMA}")
    ).to_numpy(bool)
    row = int(np.argmax(wrong))
    return (row, str(text.iloc[row])) if wrong.any() else None


def _as_dates(text: pd.Series) -> tuple[pd.Series | None, str]:
    """Dates of one format, and which; None where they are none."""
    import pandas as pd

    there = text.dropna()
    if not len(there) or not there.head(100).str.fullmatch(_DATE).all():
        return None, ""
    for pattern in ("ISO8601", *(day + clock for day in _DATE_FORMATS for clock in _CLOCKS)):
        try:
            pd.to_datetime(there.head(20), format=pattern, utc=True)
            found = pd.to_datetime(text, format=pattern, utc=True)
        except (ValueError, OverflowError):
            continue
        other = {"%m": "%d", "%d": "%m"}.get(pattern[:2])
        order = {"%m": ", month before day", "%d": ", day before month"}.get(pattern[:2], "")
        return found, order if other and pattern[3:5] == other else ""
    return None, ""


def _ticks(column: pd.Series) -> NDArray[np.float64]:
    """Seconds since 1970, or of a duration, in float64; NaN where missing. Integers far out do not overflow."""
    if getattr(column.dtype, "tz", None) is not None:
        column = column.dt.tz_localize(None)  # the hour of the clock on the wall
    values = column.to_numpy()
    unit, step = np.datetime_data(values.dtype)
    if unit not in _SECONDS:
        values, unit, step = values.astype(f"{values.dtype.kind}8[s]"), "s", 1
    return np.where(np.isnat(values), np.nan, values.view(np.int64) / (_SECONDS[unit] / step))


def _date_columns(seconds: NDArray[np.float64], name: str) -> tuple[dict[str, pd.Series], str]:
    import pandas as pd

    there = np.isfinite(seconds)
    if not there.any():
        return {name: pd.Series(seconds)}, ""
    days = np.floor(seconds / 86400)
    hours = np.round((seconds - 86400 * days) / 3600, 6)
    columns: dict[str, Any] = {name: pd.Series((seconds - seconds[there].min()) / 86400)}
    weekday = (days + 3) % 7  # 1970 began on a Thursday
    if len(np.unique(weekday[there])) > 1:
        codes = np.where(there, weekday, -1).astype(np.int64)
        columns[f"{name} weekday"] = pd.Series(
            pd.Categorical.from_codes(codes, categories=pd.Index(_WEEKDAYS))
        ).cat.remove_unused_categories()
    if len(np.unique(hours[there])) > 1:
        columns[f"{name} hour"] = pd.Series(hours)
    parts = [part for part in ("weekday", "hour") if f"{name} {part}" in columns]
    return columns, f"{shown(name)} read as days since the first" + (f", with {' and '.join(parts)}" if parts else "")
