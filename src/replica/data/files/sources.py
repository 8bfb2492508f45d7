"""What every reader does first: find the user's file, or take what is in memory, and turn any failure into one line."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from replica.data.sets import patterns as limits
from replica.data.sets.patterns import refuse, shown
from replica.errors import ReplicaError

if TYPE_CHECKING:
    import pandas as pd

InMemory: TypeAlias = "pd.DataFrame | Mapping[str, NDArray[Any]] | NDArray[Any]"
"""Data handed over in Python: a table, arrays by name, or one array."""

MEMORY = "data"
"""What data in memory are called in messages."""


@contextmanager
def reading(path: Path | str, wanted: str, wrong: str = "cannot be read") -> Iterator[None]:
    """Turn whatever a library raises on a damaged or odd file into one line that names the file."""
    try:
        yield
    except ReplicaError:
        raise
    except Exception as error:  # what NumPy, pandas, Arrow, Pillow, lzma … raise on odd bytes is no closed list
        reason = " ".join(str(error).split()) or type(error).__name__
        raise refuse(path, f"{wrong} ({shown(reason)})", wanted) from error


def user_file(path: str | os.PathLike[str], formats: Sequence[str], wanted: str = "") -> Path:
    """Find the file, or folder where a format says ``"folder …"``, that is to be read; text may be packed (``.csv.gz``)."""
    wanted = wanted or "wanted " + ", ".join(formats)
    with reading(os.fspath(path), "wanted a readable file"):
        file = Path(path).expanduser()
        if file.is_dir() and any(known.startswith("folder") for known in formats):
            return file
        if not file.exists():
            raise refuse(file, *_missing(file))
        if not file.is_file():
            raise refuse(file, "is a folder" if file.is_dir() else "is neither a file nor a folder", wanted)
        if ending(file) not in formats:
            raise refuse(file, f"the ending {file.suffix!r} is not known", wanted)
        if file.stat().st_size == 0:
            raise refuse(file, "is empty", "wanted one pattern or sample a row")
    return file


def ending(file: Path) -> str:
    """The ending that tells the format, in small letters: ``.csv`` for ``a.CSV.gz``."""
    name = file.name.lower().removesuffix(".gz")
    return Path(name).suffix


def check_bytes(path: Path | str, size: float, what: str = "it") -> None:
    """See that what is about to be read fits the memory."""
    if size > limits.LIMIT_BYTES:
        most = f"wanted at most {limits.LIMIT_BYTES / 2**30:g} GiB: bring fewer rows or samples"
        raise refuse(path, f"{what} needs {size / 2**30:.1f} GiB", most)


def _missing(file: Path) -> tuple[str, str]:
    """What is wrong with a path where nothing is, and what might be meant."""
    seen_from = f"is the path right, seen from {shown(Path.cwd())}?"
    if not file.parent.is_dir():
        return "does not exist, and neither does its folder", seen_from
    near = difflib.get_close_matches(file.name, sorted(os.listdir(file.parent)), n=3, cutoff=0.6)
    return "does not exist", f"did you mean {' or '.join(map(shown, near))}?" if near else seen_from


def in_memory(data: Any) -> InMemory:
    """Bring data handed over in Python into one of three forms: a table, arrays by name, one array.

    A pair ``(X, y)`` becomes arrays X and y, or a table with a column ``target`` where X is a table. Tensors of PyTorch and
    nested lists become arrays; arrays of words are texts.
    """
    import pandas as pd

    if isinstance(data, pd.DataFrame):
        return data
    if isinstance(data, Mapping):
        return {str(name): _array(values, f"array {str(name)!r:.60}") for name, values in data.items()}
    if isinstance(data, tuple) and len(data) == 2:
        features, labels = data
        if not isinstance(features, pd.DataFrame):
            return {"X": _array(features, "X"), "y": _array(labels, "y")}
        if "target" in features or len(features) != len(labels):
            raise refuse(
                MEMORY, f"the table has {len(features):,} rows, y has {len(labels):,}", "wanted one label a row"
            )
        return features.assign(target=np.asarray(labels))
    return _array(data, "the array")


def _array(values: Any, what: str) -> NDArray[Any]:
    with reading(MEMORY, f"wanted numbers in {what}"):
        if hasattr(values, "detach"):  # a tensor; NumPy knows no bfloat16
            values = values.detach().cpu()
            values = (values.float() if "bfloat16" in str(values.dtype) else values).numpy()
        array = np.asarray(values)
        if array.dtype.hasobject and array.ndim and all(isinstance(value, str) for value in array.flat):
            array = array.astype(str)
    if array.dtype.kind not in "fiubUS" or array.ndim == 0:
        raise refuse(
            MEMORY, f"{what} holds {shown(array.dtype)}", "wanted numbers or words, in an array, tensor or table"
        )
    return array
