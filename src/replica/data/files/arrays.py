"""Arrays from files of NumPy and MATLAB or from memory: never unpickled, sizes checked before content is read."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from replica.data.files.matlab import open_matlab
from replica.data.files.sources import MEMORY, InMemory, check_bytes, in_memory, reading, user_file
from replica.data.sets.patterns import refuse, shown


@dataclass(frozen=True)
class Arrays:
    """The arrays of a file or of memory, of which shapes and types are known by name before any is read by ``load``.

    The only array of an ``.npy`` file is called ``""``.
    """

    source: Path | str
    headers: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]]
    load: Callable[[str], NDArray[Any]] = field(repr=False)

    def need(self, names: Iterable[str], wanted: str) -> None:
        """See that arrays of these names are there; where not, the error lists what there is."""
        missing = [name for name in names if name not in self.headers]
        if missing:
            held = ", ".join(map(repr, list(self.headers)[:6])) or "nothing"
            raise refuse(self.source, f"holds {held:.200}, but no {' and no '.join(map(repr, missing))}", wanted)

    def called(self, name: str) -> str:
        """The array in a message's words."""
        return f"array {name!r:.60}" if name else "the array"

    def read(self, names: Iterable[str], kinds: str = "buif", wanted: str = "real numbers") -> dict[str, NDArray[Any]]:
        """Read arrays by name, of NumPy's ``kinds`` (``wanted`` in words) and together small enough for the memory."""
        names, total = list(names), 0
        for name in names:
            shape, dtype = self.headers[name]
            self._check_kind(name, dtype, kinds, wanted)
            total += math.prod(shape) * dtype.itemsize
        check_bytes(self.source, total, " with ".join(map(self.called, names)))
        with reading(self.source, "wanted a whole file: write it again", "is cut off or damaged"):
            found = {name: self.load(name) for name in names}
        for name, array in found.items():
            self._check_kind(name, array.dtype, kinds, wanted)  # MATLAB's headers call complex numbers double
        return found

    def _check_kind(self, name: str, dtype: np.dtype[Any], kinds: str, wanted: str) -> None:
        if dtype.hasobject:
            matlab = Path(self.source).suffix.lower() == ".mat"
            what = "a cell, a struct or a sparse matrix" if matlab else "Python objects, which are never loaded"
            raise refuse(self.source, f"{self.called(name)} holds {what}", f"wanted {wanted}")
        if dtype.kind not in kinds:
            raise refuse(self.source, f"{self.called(name)} holds {shown(dtype)}", f"wanted {wanted}")


def open_arrays(source: Path | InMemory, wanted: str) -> Arrays:
    """Read shapes and types of all arrays of an ``.npy``, ``.npz`` or ``.mat`` file, of arrays by name, or of one array."""
    if isinstance(source, np.ndarray):
        source = {"": source}
    if isinstance(source, Mapping):
        return Arrays(MEMORY, {name: (array.shape, array.dtype) for name, array in source.items()}, source.__getitem__)
    if not isinstance(source, Path):
        raise refuse(MEMORY, "holds a table", wanted)
    if source.suffix.lower() == ".mat":
        return Arrays(source, *open_matlab(source, wanted))
    path = source

    def load(name: str) -> NDArray[Any]:
        if not name:
            with path.open("rb") as stream:
                return np.asarray(npy_format.read_array(stream, allow_pickle=False))
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as member:
            return np.asarray(npy_format.read_array(member, allow_pickle=False))

    with reading(source, wanted, "cannot be read as NumPy's"):
        if source.suffix.lower() == ".npy":
            _check_kind(source, npy_format.MAGIC_PREFIX, wanted)
            with source.open("rb") as stream:
                return Arrays(source, {"": _header(source, stream)}, load)
        _check_kind(source, b"PK", wanted)
        headers = {}
        with zipfile.ZipFile(source) as archive:
            for member in archive.namelist():
                if member.endswith(".npy"):
                    with archive.open(member) as packed:
                        headers[member.removesuffix(".npy")] = _header(source, packed)
        return Arrays(source, headers, load)


def named_arrays(source: str | os.PathLike[str] | Any, formats: Sequence[str], wanted: str) -> Arrays:
    """Open arrays by name: from a file of the user's with one of these endings, from memory, or a pair."""
    data = user_file(source, formats, wanted) if isinstance(source, str | os.PathLike) else in_memory(source)
    if not isinstance(data, Path | dict):
        raise refuse(MEMORY, "holds no arrays by name", wanted)
    return open_arrays(data, wanted)


def _check_kind(path: Path, magic: bytes, wanted: str) -> None:
    """See by its first bytes that a file is what its ending says."""
    with path.open("rb") as stream:
        start = stream.read(8)
    if start.startswith(magic):
        return
    if not start:
        raise refuse(path, "is empty", wanted)
    if start.startswith(npy_format.MAGIC_PREFIX):
        raise refuse(path, "is a single array, not an archive", "give it the ending .npy")
    if start.startswith(b"PK"):
        raise refuse(path, "is an archive", "if numpy.savez wrote it, give it the ending .npz")
    if start[:1] == b"\x80":
        raise refuse(path, "is a Python pickle, which is never loaded", wanted)
    raise refuse(path, "is not what its ending says", wanted)


def _header(path: Path, stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    with reading(path, "wanted a file written by NumPy", "has a damaged header"):
        version = npy_format.read_magic(stream)
        read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
        shape, _, dtype = read(stream)
    if not all(isinstance(size, int) and size >= 0 for size in shape):
        raise refuse(path, f"an array has shape {shown(shape)}", "wanted a file written by NumPy")
    return tuple(shape), dtype
