"""Arrays from MATLAB's ``.mat`` files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replica.data.files.sources import reading
from replica.data.sets.patterns import refuse

Headers = Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]]
Load = Callable[[str], NDArray[Any]]

_HDF5 = b"\x89HDF\r\n\x1a\n"
_AT = (0, 512)
"""Where HDF5 may begin; MATLAB writes 512 bytes of its own before it."""


def open_matlab(path: Path, wanted: str) -> tuple[Headers, Load]:
    """The shapes and types of a file's arrays, without reading them, and a function that reads one by its name.

    Files of MATLAB 4 to 7 are read by SciPy, those of 7.3, which are HDF5, by h5py where it is installed. Cells, structs and
    sparse matrices have the type object, and a text has the shape ``(1,)``.
    """
    with reading(path, wanted, "cannot be read as MATLAB's"):
        with path.open("rb") as stream:
            start = stream.read(max(_AT) + len(_HDF5))
        if any(start[at:].startswith(_HDF5) for at in _AT):
            return _open_hdf5(path)
        from scipy.io import loadmat, whosmat

        headers = {name: _header(shape, kind) for name, shape, kind in whosmat(path)}
        return headers, lambda name: np.asarray(loadmat(path, variable_names=[name])[name])


def _header(shape: tuple[int, ...], kind: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    if kind == "char":
        return (1,), np.dtype(f"U{max(1, shape[-1])}")
    known = {"double": "f8", "single": "f4", "logical": "?"}.get(kind, kind)
    plain = known != kind or kind.startswith(("int", "uint"))
    return tuple(shape), np.dtype(known if plain else object)


def _open_hdf5(path: Path) -> tuple[Headers, Load]:
    try:
        import h5py
    except ImportError:
        raise refuse(path, "is of MATLAB 7.3 (HDF5)", "run pip install h5py, or save it in MATLAB with -v7") from None

    with h5py.File(path) as file:
        held = {name: part for name, part in file.items() if isinstance(part, h5py.Dataset)}
        texts = {name for name, part in held.items() if part.attrs.get("MATLAB_class") == b"char"}
        headers = {
            # MATLAB counts the first axis fastest, HDF5 the last: its axes come in the opposite order.
            name: ((1,), np.dtype(f"U{max(1, part.size)}")) if name in texts else (part.shape[::-1], part.dtype)
            for name, part in held.items()
        }

    def load(name: str) -> NDArray[Any]:
        with h5py.File(path) as file:
            values = np.asarray(file[name][()])
        return np.array(["".join(map(chr, values.ravel()))]) if name in texts else values.T

    return headers, load
