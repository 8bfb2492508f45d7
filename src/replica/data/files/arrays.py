"""Arrays from NumPy's own files, ``.npy`` and ``.npz``, or from memory: never unpickled, sizes checked before content is read."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from replica.data.files.sources import MEMORY, InMemory, check_bytes, reading
from replica.data.sets.patterns import refuse, shown


@dataclass(frozen=True)
class Arrays:
    """The arrays of a file or of memory, of which shapes and types are known before any is read.

    Args:
        source: The file, for messages.
        headers: Shape and type of each array by name; an ``.npy`` file's only array is called ``""``.
        given: The arrays themselves where they are in memory.
    """

    source: Path | str
    headers: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]]
    given: Mapping[str, NDArray[Any]] | None = field(default=None, repr=False)

    def need(self, names: Iterable[str], wanted: str) -> None:
        """See that arrays of these names are there.

        Raises:
            ReplicaError: If not; it lists what there is.
        """
        missing = [name for name in names if name not in self.headers]
        if missing:
            held = ", ".join(map(repr, list(self.headers)[:6])) or "nothing"
            raise refuse(self.source, f"holds {held:.200}, but no {' and no '.join(map(repr, missing))}", wanted)

    def called(self, name: str) -> str:
        """The array in a message's words."""
        return f"array {name!r:.60}" if name else "the array"

    def read(self, names: Iterable[str], kinds: str = "buif", wanted: str = "real numbers") -> dict[str, NDArray[Any]]:
        """Read arrays by name.

        Args:
            names: Which; all together must fit the memory.
            kinds: NumPy's letters of the kinds of numbers that are taken.
            wanted: These kinds in words.

        Raises:
            ReplicaError: If one holds anything else, is too large or damaged.
        """
        names, total = list(names), 0
        for name in names:
            shape, dtype = self.headers[name]
            if dtype.hasobject:
                raise refuse(
                    self.source, f"{self.called(name)} holds Python objects, which are never loaded", f"wanted {wanted}"
                )
            if dtype.kind not in kinds:
                raise refuse(self.source, f"{self.called(name)} holds {shown(dtype)}", f"wanted {wanted}")
            total += math.prod(shape) * dtype.itemsize
        check_bytes(self.source, total, " with ".join(map(self.called, names)))
        if self.given is not None:
            return {name: self.given[name] for name in names}
        return {name: self._read(name) for name in names}

    def _read(self, name: str) -> NDArray[Any]:
        with reading(self.source, "wanted a whole file: write it again", "is cut off or damaged"):
            if not name:
                with Path(self.source).open("rb") as stream:
                    return np.asarray(npy_format.read_array(stream, allow_pickle=False))
            with zipfile.ZipFile(self.source) as archive, archive.open(f"{name}.npy") as member:
                return np.asarray(npy_format.read_array(member, allow_pickle=False))


def open_arrays(source: Path | InMemory, wanted: str) -> Arrays:
    """Read the shapes and types of all arrays of a file, or of arrays in memory.

    Args:
        source: A file that ends in ``.npy`` or ``.npz``; arrays by name; or one array.
        wanted: What the file should be, for messages.

    Raises:
        ReplicaError: If it is no such file.
    """
    if isinstance(source, np.ndarray):
        source = {"": source}
    if isinstance(source, Mapping):
        return Arrays(MEMORY, {name: (array.shape, array.dtype) for name, array in source.items()}, source)
    if not isinstance(source, Path):
        raise refuse(MEMORY, "holds a table", wanted)
    with reading(source, wanted, "cannot be read as NumPy's"):
        if source.suffix.lower() == ".npy":
            _check_kind(source, npy_format.MAGIC_PREFIX, wanted)
            with source.open("rb") as stream:
                return Arrays(source, {"": _header(source, stream)})
        _check_kind(source, b"PK", wanted)
        headers = {}
        with zipfile.ZipFile(source) as archive:
            for member in archive.namelist():
                if member.endswith(".npy"):
                    with archive.open(member) as packed:
                        headers[member.removesuffix(".npy")] = _header(source, packed)
        return Arrays(source, headers)


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
