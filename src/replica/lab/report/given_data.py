"""Data handed over in Python, kept as files beside the store."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from replica.errors import ReplicaError


def keep_data(data: np.ndarray | pd.DataFrame | Mapping[str, np.ndarray], store: Path) -> str:
    """Keep data beside the store, so that worker processes and a resumed run read the same; once each.

    Args:
        data: An array (kept as ``.npy``), arrays by name (``.npz``) or a data frame (``.parquet``).
        store: The store's file.

    Returns:
        The file's path, named by the data's hash.

    Raises:
        ReplicaError: If it holds what such a file cannot.
    """
    ending, content = _encode(data)
    digest = hashlib.blake2b(content, digest_size=8).hexdigest()
    path = store.parent / "arrays" / f"array-{digest}{ending}"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        temporary = path.with_name(f".{os.getpid()}-{path.name}")
        temporary.write_bytes(content)
        os.replace(temporary, path)
    return str(path)


def _encode(data: np.ndarray | pd.DataFrame | Mapping[str, np.ndarray]) -> tuple[str, bytes]:
    buffer = io.BytesIO()
    if isinstance(data, pd.DataFrame):
        frame = data.reset_index(drop=True)
        frame.columns = [str(name) for name in frame.columns]
        try:
            frame.to_parquet(buffer)
        except (ValueError, TypeError, OSError) as error:  # pyarrow's errors are these
            raise ReplicaError(f"data: the table cannot be kept as Parquet ({' '.join(str(error).split())}).") from None
        return ".parquet", buffer.getvalue()
    if isinstance(data, np.ndarray):
        if data.dtype.kind not in "fiub":
            raise ReplicaError(f"data must be an array of numbers, not of {data.dtype}.")
        np.save(buffer, data, allow_pickle=False)
        return ".npy", buffer.getvalue()
    arrays = {str(name): np.asarray(array) for name, array in data.items()}
    for name, array in arrays.items():
        if array.dtype.hasobject:
            arrays[name] = array = array.astype(str)  # words; anything else is refused by the reader
        if array.dtype.kind not in "fiubU":
            raise ReplicaError(f"data: array {name!r} must hold numbers or words, not {array.dtype}.")
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # its dates are fixed, so equal arrays give equal bytes
    return ".npz", buffer.getvalue()
