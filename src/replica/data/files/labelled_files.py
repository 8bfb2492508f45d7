"""The user's own labelled data: tables with a column of labels, ``.npz`` files, folders of images by class."""

from __future__ import annotations

import csv
import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from replica.data.sets import patterns as limits
from replica.data.files.image_folders import read_image_folder
from replica.data.sets.labelled import Labelled, encode_labels
from replica.data.files.numpy_files import DAMAGED, check_array, check_kind, read_array, read_header
from replica.data.sets.patterns import check_shape, refuse, shown
from replica.data.files.user_files import missing_file

if TYPE_CHECKING:
    import pandas as pd

LABELLED_FORMATS: tuple[str, ...] = (".csv", ".tsv", ".parquet", ".npz", "folder of images by class")
"""What `read_labelled` reads."""

TARGET_NAMES = ("target", "label", "class", "y")
"""Columns that are taken for the labels where the user names none."""

_ARCHIVE = "wanted a file written by numpy.savez with arrays 'X' (one row a sample) and 'y' (one label a row)"
_SCANNED = 1 << 16
"""Bytes from which a text table's layout is seen."""
_MISSING_MARKS = ["?", "-", " "]
"""Marks of a missing value beside those that pandas knows (empty, NA, NaN, null, …)."""


def read_labelled(path: str | os.PathLike[str], target: str = "") -> Labelled:
    """Read labelled data from a file or a folder.

    - ``.csv``, ``.tsv``, ``.parquet``: one row a sample, with or without column names (then numbered from 1). Columns of
      numbers stay numbers, of true and false become 1 and 0, of dates become days; columns of words are categories.
      Cells may be missing (empty, NA, ?). A column that is the same in every row, and one of words that are nearly all
      different (a name, an id), tell nothing and are left out, as are rows without a label.
    - ``.npz``: arrays ``X`` (``(count, features)``, or images or signals with more axes) and ``y``.
    - A folder whose sub-folders are the classes, with images of one size in each.

    Args:
        path: The file or folder; ``~`` is the home folder.
        target: The column of the labels, by name or by number from 1; where empty, one called target, label, class or y.

    Raises:
        ReplicaError: In one line that names the file, what is wrong with it and what is wanted.
    """
    file = Path(path).expanduser()
    wanted = "wanted " + ", ".join(LABELLED_FORMATS)
    try:
        if file.is_dir():
            _refuse_target(file, target, "its folders' names are the labels")
            return _read_folder(file)
        if not file.exists():
            raise refuse(file, *missing_file(file))
        if not file.is_file():
            raise refuse(file, "is neither a file nor a folder", wanted)
        ending = file.suffix.lower()
        if ending not in LABELLED_FORMATS:
            raise refuse(file, f"the ending {file.suffix!r} is not known", wanted)
        if file.stat().st_size == 0:
            raise refuse(file, "is empty", "wanted one sample a row")
        if ending == ".npz":
            _refuse_target(file, target, "its array 'y' holds the labels")
            return _read_archive(file)
        _check_size(file, file.stat().st_size)
        return _from_table(file, _read_parquet(file) if ending == ".parquet" else _read_text(file), target)
    except (OSError, ValueError) as error:  # ValueError: a name no file can have
        raise refuse(file, f"cannot be opened ({error})", "wanted a readable file") from error


def _refuse_target(path: Path, target: str, reason: str) -> None:
    if target:
        raise refuse(
            path, f"takes no column to predict, but got {shown(target)!r:.60}", f"leave --target out: {reason}"
        )


def _check_size(path: Path, size: int) -> None:
    if size > limits.LIMIT_BYTES:
        wanted = f"wanted at most {limits.LIMIT_BYTES / 2**30:g} GiB: bring fewer rows"
        raise refuse(path, f"has {size / 2**30:.1f} GiB", wanted)


def _read_text(path: Path) -> pd.DataFrame:
    import pandas as pd

    wanted = "wanted a table in UTF-8 text, one sample a row"
    try:
        with path.open("rb") as stream:
            head = stream.read(_SCANNED)
        # The cut may part a letter's bytes.
        start = head.decode("utf-8-sig", errors="strict" if len(head) < _SCANNED else "ignore")
        if "\0" in start:
            raise refuse(path, "is no text", wanted)
        delimiter = "\t" if path.suffix.lower() == ".tsv" else _delimiter(start)
        first = next(csv.reader(start.splitlines()[:1], delimiter=delimiter), [])
        named = not all(map(_is_number, first))
        frame = pd.read_csv(
            path,
            sep=delimiter,
            header=0 if named else None,
            skipinitialspace=True,
            na_values=_MISSING_MARKS,
            encoding="utf-8-sig",
            low_memory=False,
            index_col=False,
        )
    except (ValueError, csv.Error, pd.errors.ParserError) as error:
        raise refuse(path, f"cannot be read as a table ({' '.join(str(error).split())})", wanted) from error
    if delimiter == ";":  # where semicolons part the cells, commas are decimal points
        frame = frame.apply(_decimal_commas)
    if not named:
        frame.columns = [f"column {i + 1}" for i in range(frame.shape[1])]
    return frame


def _delimiter(start: str) -> str:
    """The sign that parts the cells: of the usual four, the one of which the first lines hold most, and equally many."""
    lines = [line for line in start.splitlines() if line.strip()][:20]
    if len(lines) > 2:
        lines = lines[:-1]  # the last may be cut off
    counts = {sign: [line.count(sign) for line in lines] for sign in ",;\t|"}
    steady = {sign: found[0] for sign, found in counts.items() if found and found[0] and min(found) == max(found)}
    usual = steady or {sign: found[0] for sign, found in counts.items() if found and found[0]}
    return max(usual, key=lambda sign: usual[sign], default=",")


def _decimal_commas(column: pd.Series) -> pd.Series:
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column):
        return column
    numbers = pd.to_numeric(
        column.astype(str).where(column.notna()).str.replace(",", ".", regex=False), errors="coerce"
    )
    return numbers if bool((numbers.notna() == column.notna()).all()) else column


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_parquet(path: Path) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            groups = range(file.metadata.num_row_groups)
            _check_size(path, sum(file.metadata.row_group(i).total_byte_size for i in groups))
            frame: pd.DataFrame = file.read().to_pandas().reset_index(drop=True)
    except (pa.ArrowException, OSError, ValueError, NotImplementedError) as error:
        raise refuse(path, f"cannot be read as Parquet ({error})", "wanted a Parquet table") from error
    return frame


def _from_table(path: Path, frame: pd.DataFrame, target: str) -> Labelled:
    import pandas as pd

    frame.columns = [str(name).strip() for name in frame.columns]
    doubled = frame.columns[frame.columns.duplicated()]
    if len(doubled):
        raise refuse(path, f"two columns are called {shown(doubled[0])!r:.60}", "wanted a name of its own for each")
    name = _target_column(path, list(frame.columns), target)
    notes = []
    labelled = frame[name].notna()
    if not labelled.all():
        notes.append(f"{int((~labelled).sum()):,} rows without a label left out")
        frame = frame[labelled].reset_index(drop=True)
    if frame.empty:
        raise refuse(path, "holds no row with a label", "wanted one sample a row")
    labels, classes = encode_labels(path, frame[name], f"column {shown(name)!r:.60}")
    columns: dict[str, pd.Series] = {}
    left_out: dict[str, list[str]] = {}
    for other in frame.columns.drop(name):
        column = frame[other]
        if column.nunique(dropna=False) < 2:
            left_out.setdefault("the same in every row", []).append(other)
        elif other.startswith("Unnamed: ") and column.equals(pd.Series(range(len(column)))):
            left_out.setdefault("only counts the rows", []).append(other)
        elif pd.api.types.is_datetime64_any_dtype(column):
            columns[other] = (column - column.min()) / pd.Timedelta(days=1)
            notes.append(f"{shown(other)} read as days")
        elif pd.api.types.is_numeric_dtype(column):
            columns[other] = _finite(path, column.astype(np.float64), other)
        else:
            column = column.astype(str).where(column.notna())
            if column.nunique() > 20 and column.nunique() > 0.5 * column.notna().sum():
                left_out.setdefault("words nearly all different", []).append(other)
            else:
                columns[other] = column.astype("category")
    notes += [
        f"left out, as {why}: {', '.join(map(shown, names[:3]))}{' …' * (len(names) > 3)}"
        for why, names in left_out.items()
    ]
    if not columns:
        raise refuse(
            path, f"holds no column to learn from beside {shown(name)!r:.60}", "wanted numbers or categories that vary"
        )
    missing = int(sum(column.isna().sum() for column in columns.values()))
    if missing:
        notes.append(f"{missing:,} cells missing")
    return Labelled(pd.DataFrame(columns), labels, classes, tuple(notes))


def _finite(path: Path, column: pd.Series, name: str) -> pd.Series:
    infinite = np.isinf(column.to_numpy())
    if infinite.any():
        row = int(infinite.argmax()) + 1
        raise refuse(
            path, f"row {row}, column {shown(name)!r:.60} is infinite", "wanted finite numbers, or an empty cell"
        )
    return column


def _target_column(path: Path, names: list[str], target: str) -> str:
    import difflib

    listed = ", ".join(map(shown, names[:12])) + (" …" if len(names) > 12 else "")
    if not target:
        usual = [name for wanted in TARGET_NAMES for name in names if name.lower() == wanted]
        if not usual:
            raise refuse(path, f"it is not clear which column to predict: {listed}", "name it, as in --target COLUMN")
        return usual[0]
    if target in names:
        return target
    if target.isdecimal() and 1 <= int(target) <= len(names):
        return names[int(target) - 1]
    near = difflib.get_close_matches(target, names, n=1, cutoff=0.5)
    hint = f"did you mean {shown(near[0])}?" if near else f"it has {listed}"
    raise refuse(path, f"has no column {shown(target)!r:.60}", hint)


def _read_archive(path: Path) -> Labelled:
    import pandas as pd

    check_kind(path, b"PK", _ARCHIVE)
    arrays: dict[str, NDArray[Any]] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
            for name in ("X", "y"):
                if name not in names:
                    held = ", ".join(map(repr, names[:6])) or "nothing"
                    raise refuse(path, f"holds {held}, but no {name!r}", _ARCHIVE)
                with archive.open(f"{name}.npy") as stream:
                    shape, dtype = read_header(path, stream)
                if name == "X":
                    check_array(path, shape, dtype, "array 'X'")
                elif dtype.kind not in "buifUS":
                    raise refuse(path, f"array 'y' holds {shown(dtype)}", "wanted classes, as whole numbers or words")
                elif len(shape) != 1 or shape[0] * dtype.itemsize > limits.LIMIT_BYTES:
                    raise refuse(path, f"array 'y' has shape {shape}", "wanted one label a row")
                with archive.open(f"{name}.npy") as stream:
                    arrays[name] = read_array(path, stream)
    except DAMAGED as error:
        raise refuse(path, f"cannot be read as a NumPy archive ({error})", _ARCHIVE) from error
    features, labels = arrays["X"], arrays["y"]
    if len(features) != len(labels):
        raise refuse(path, f"'X' has {len(features):,} rows, 'y' has {len(labels):,}", "wanted one label a row")
    if labels.dtype.kind == "f" and np.isnan(labels).any():
        raise refuse(path, "array 'y' holds NaN", "wanted a label in every row: leave such rows out")
    if features.ndim > 2 and not np.isfinite(features).all():
        raise refuse(path, "array 'X' holds NaN or infinity", "wanted finite images or signals")
    text = labels.astype(str) if labels.dtype.kind in "US" else labels
    codes, classes = encode_labels(path, pd.Series(text), "array 'y'")
    if features.ndim > 2:
        return Labelled(features.astype(np.float32), codes, classes)
    if np.isinf(features.astype(np.float64)).any():
        raise refuse(path, "array 'X' holds infinity", "wanted finite numbers, or NaN where one is missing")
    missing = int(np.isnan(features.astype(np.float64)).sum())
    frame = pd.DataFrame(features.astype(np.float64), columns=[f"feature {i + 1}" for i in range(features.shape[1])])
    return Labelled(frame, codes, classes, (f"{missing:,} values missing",) if missing else ())


def _read_folder(folder: Path) -> Labelled:
    import pandas as pd

    below = sorted(part for part in folder.iterdir() if part.is_dir() and not part.name.startswith("."))
    if len(below) < 2:
        raise refuse(
            folder, f"has {len(below)} folders in it", "wanted one folder of images for each class, two or more"
        )
    stacks: list[NDArray[np.float32]] = []
    names: list[str] = []
    for part in below:
        found = read_image_folder(part)
        if stacks and found.shape != stacks[0].shape[1:]:
            first = " × ".join(map(str, stacks[0].shape[1:]))
            here = " × ".join(map(str, found.shape))
            raise refuse(
                folder, f"images of {part.name} have {here} pixels, of {below[0].name} {first}", "wanted one size"
            )
        stacks.append((found.values.reshape(-1, *found.shape) / 255).astype(np.float32))
        names += [part.name] * len(found.values)
    check_shape(folder, (len(names), *stacks[0].shape[1:]), np.dtype(np.float32), "the stack of images")
    labels, classes = encode_labels(folder, pd.Series(names), "the folder")
    return Labelled(np.concatenate(stacks), labels, classes)
