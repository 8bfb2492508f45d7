"""Data handed over in Python, kept as files beside the store."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from replica.data.files.column_types import words
from replica.data.files.sources import InMemory, in_memory, reading


def keep_data(data: Any, store: Path) -> str:
    """Keep data beside the store, so that worker processes and a resumed run read the same; once each.

    Args:
        data: An array or tensor (kept as ``.npy``), arrays by name or a pair ``(X, y)`` (``.npz``), or a table (``.parquet``).
        store: The store's file.

    Returns:
        The file's path, named by the data's hash.

    Raises:
        ReplicaError: If it holds what such a file cannot.
    """
    ending, content = _encode(in_memory(data))
    digest = hashlib.blake2b(content, digest_size=8).hexdigest()
    path = store.parent / "arrays" / f"array-{digest}{ending}"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        temporary = path.with_name(f".{os.getpid()}-{path.name}")
        temporary.write_bytes(content)
        os.replace(temporary, path)
    return str(path)


def _encode(data: InMemory) -> tuple[str, bytes]:
    buffer = io.BytesIO()
    if isinstance(data, pd.DataFrame):
        frame = data.reset_index(drop=True) if data.index.name is None else data.copy(deep=False)
        frame.columns = [str(name) for name in frame.columns]
        for name, kind in frame.dtypes.items():
            if isinstance(kind, pd.CategoricalDtype):  # Parquet would turn categories that are numbers into numbers
                frame[name] = words(frame[name]).astype("category")
        with reading("data", "wanted columns of one type each", "the table cannot be kept as Parquet"):
            frame.to_parquet(buffer)
        return ".parquet", buffer.getvalue()
    if isinstance(data, np.ndarray):
        np.save(buffer, data, allow_pickle=False)
        return ".npy", buffer.getvalue()
    np.savez(buffer, **data)  # type: ignore[arg-type]  # its dates are fixed, so equal arrays give equal bytes
    return ".npz", buffer.getvalue()
