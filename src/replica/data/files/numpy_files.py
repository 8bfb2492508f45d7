"""Patterns from NumPy's own files, ``.npy`` and ``.npz``, without ever unpickling."""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format

from replica.data.sets.patterns import Patterns, check_shape, refuse, shown, to_patterns

KEYS = ("patterns", "X")
"""The array of an ``.npz`` that is read where it holds several."""

# What NumPy and zipfile raise on damaged bytes; headers are parsed as Python literals.
DAMAGED = (
    ValueError,
    TypeError,
    SyntaxError,
    OverflowError,
    MemoryError,
    OSError,
    EOFError,
    RuntimeError,
    KeyError,
    tokenize.TokenError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


def read_npy(path: Path) -> Patterns:
    """Read the array of an ``.npy`` file, one pattern along its first axis.

    Raises:
        ReplicaError: If it is no such file, is too large once decoded, or holds anything but finite real
            numbers.
    """
    check_kind(path, npy_format.MAGIC_PREFIX, "wanted a file written by numpy.save")
    with path.open("rb") as stream:
        shape, dtype = read_header(path, stream)
    check_array(path, shape, dtype, "the array")
    with path.open("rb") as stream:
        return to_patterns(path, read_array(path, stream))


def read_npz(path: Path) -> Patterns:
    """Read the array ``patterns`` or ``X`` of an ``.npz`` file, or its only array with two axes or more.

    Raises:
        ReplicaError: If it is no such file, leaves open which array is meant, or that array is refused as in
            `read_npy`.
    """
    wanted = "wanted a file written by numpy.savez"
    check_kind(path, b"PK", wanted)
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
            headers = {}
            for name in names:
                with archive.open(f"{name}.npy") as stream:
                    headers[name] = read_header(path, stream)
            chosen = _choose(path, {name: shape for name, (shape, _) in headers.items()})
            check_array(path, *headers[chosen], f"array {chosen!r}")
            with archive.open(f"{chosen}.npy") as stream:
                return to_patterns(path, read_array(path, stream))
    except DAMAGED as error:
        raise refuse(path, f"cannot be read as a NumPy archive ({error})", wanted) from error


def _choose(path: Path, shapes: dict[str, tuple[int, ...]]) -> str:
    for key in KEYS:
        if key in shapes:
            return key
    tables = [name for name, shape in shapes.items() if len(shape) >= 2]
    if len(tables) == 1:
        return tables[0]
    wanted = f"wanted one called {' or '.join(map(repr, KEYS))}, or only one with two axes or more"
    if not shapes:
        raise refuse(path, "holds no array", wanted)
    listed = ", ".join(f"{name!r} {shape}" for name, shape in list(shapes.items())[:6])
    raise refuse(path, f"it is not clear which array holds the patterns: {listed}", wanted)


def check_kind(path: Path, magic: bytes, wanted: str) -> None:
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


def read_header(path: Path, stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Read the shape and type of an array, before any of its content."""
    try:
        version = npy_format.read_magic(stream)
        read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
        shape, _, dtype = read(stream)
    except DAMAGED as error:
        raise refuse(path, f"has a damaged header ({error})", "wanted a file written by NumPy") from error
    return tuple(shape), dtype


def check_array(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], what: str) -> None:
    """See that an array holds real numbers, a list of patterns, and fits the memory."""
    if dtype.hasobject:
        raise refuse(
            path,
            f"{what} holds Python objects, which are never loaded",
            "wanted numbers: array.astype(float)",
        )
    if dtype.kind not in "buif":
        raise refuse(path, f"{what} holds {shown(dtype)}", "wanted real numbers")
    check_shape(path, shape, dtype, what)


def read_array(path: Path, stream: IO[bytes]) -> np.ndarray[Any, np.dtype[Any]]:
    """Read an array whose header was checked; nothing is unpickled."""
    try:
        array: np.ndarray[Any, np.dtype[Any]] = npy_format.read_array(stream, allow_pickle=False)
    except DAMAGED as error:
        raise refuse(path, f"is cut off or damaged ({error})", "wanted a whole file: write it again") from error
    return array
