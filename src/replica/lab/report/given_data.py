"""Data handed over in Python, kept as files beside the store."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from replica.data.files.column_types import words
from replica.data.files.sources import InMemory, in_memory, reading
from replica.data.sets.patterns import refuse
from replica.errors import ReplicaError

CALLED = {".npy": "your array", ".npz": "your data", ".parquet": "your table"}
"""What data handed over are called, by the ending of the file that keeps them."""


def keep_data(data: Any, store: Path, formats: Sequence[str]) -> Path:
    """Keep data beside the store, so that worker processes and a resumed run read the same; once each."""
    if not formats:
        raise ReplicaError("This problem draws its own data; leave data out.")
    data = getattr(data, "tensors", data)  # a TensorDataset of PyTorch is such a pair
    ending, content = _encode(in_memory(data if ".parquet" in formats else _without_tables(data)))
    if ending not in formats:
        raise refuse("data", "is one array", "wanted a pair such as (X, y), or arrays by name")
    digest = hashlib.blake2b(content, digest_size=8).hexdigest()
    path = store.parent / "arrays" / f"array-{digest}{ending}"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        temporary = path.with_name(f".{os.getpid()}-{path.name}")
        temporary.write_bytes(content)
        os.replace(temporary, path)
    return path


@contextmanager
def called(path: Path | None) -> Iterator[None]:
    """Speak of data handed over as the user knows them, not by the file that keeps them."""
    try:
        yield
    except ReplicaError as error:
        raise ReplicaError(in_words(str(error), path)) from error.__cause__


def in_words(text: str, path: Path | None) -> str:
    """A text about data handed over, without the file's name; the same where a file was given."""
    return (
        text if path is None else text.replace(str(path), CALLED[path.suffix]).replace(path.name, CALLED[path.suffix])
    )


def _without_tables(data: Any) -> Any:
    """Tables as arrays: alone by the names of their columns, in a pair as one array each."""
    if isinstance(data, pd.DataFrame):
        return {str(name): values.to_numpy() for name, values in data.items()}
    if isinstance(data, tuple):
        return tuple(part.to_numpy() if isinstance(part, pd.DataFrame) else part for part in data)
    return data


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
