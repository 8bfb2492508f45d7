"""Weights from ``.safetensors`` files: a header in JSON and plain numbers after it; nothing in them can run."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replica.data.files.sources import check_bytes, reading, user_file
from replica.data.sets.patterns import refuse, shown

WANTED = "wanted a file as safetensors.torch.save_file(net.state_dict(), path) writes it"
_TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "BOOL": "?",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1",
}  # fmt: skip
_LONGEST_HEADER = 100_000_000


def read_safetensors(source: str | Path) -> dict[str, NDArray[Any]]:
    """Read the arrays of a ``.safetensors`` file by name; bfloat16, which NumPy does not know, becomes float32.

    The format: 8 bytes with the length of the header, little-endian; the header, JSON that gives the type, the shape and the
    place of each array; the arrays.

    Raises:
        ReplicaError: In one line that names the file, what is wrong with it and what is wanted.
    """
    path = user_file(source, (".safetensors",), WANTED)
    check_bytes(path, path.stat().st_size)
    with reading(path, WANTED, "cannot be read"):
        content = path.read_bytes()
        length = int.from_bytes(content[:8], "little")
        if len(content) < 8 or length > min(len(content) - 8, _LONGEST_HEADER):
            raise refuse(path, "is cut off or no such file", WANTED)
        header = json.loads(content[8 : 8 + length])
        return {
            str(name): _array(path, str(name), told, memoryview(content)[8 + length :])
            for name, told in header.items()
            if name != "__metadata__"
        }


def _array(path: Path, name: str, told: Any, body: memoryview) -> NDArray[Any]:
    kind, shape, (start, stop) = told["dtype"], tuple(told["shape"]), told["data_offsets"]
    if kind not in _TYPES:
        raise refuse(path, f"array {name!r:.60} holds {shown(kind)}", "wanted floating-point or whole numbers")
    dtype = np.dtype(_TYPES[kind])
    if not 0 <= start <= stop <= len(body) or stop - start != math.prod(shape) * dtype.itemsize:
        raise refuse(path, f"array {name!r:.60} is not where the header says", "wanted a whole file: write it again")
    array = np.frombuffer(body[start:stop], dtype).reshape(shape)
    if kind == "BF16":  # the upper half of a float32
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.copy()
