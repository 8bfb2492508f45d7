"""How much memory a method keeps: the bytes of all tensors and arrays that can be reached from it."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from replica.lab.claims import Trial

_PASSED_OVER = (str, bytes, int, float, complex, type, types.ModuleType, types.FunctionType, types.MethodType, Trial)


def kept_bytes(method: Any) -> int:
    """Count the bytes that a method keeps.

    If the method has a number ``nbytes`` of its own, that is taken. Otherwise everything reachable from its
    attributes is gone through (containers, modules, other objects), and the memory behind each tensor or
    array counts once, whole, even where only a view of it is kept: the view keeps all of it alive.

    Example:
        >>> class Store: ...
        >>> store = Store()
        >>> store.patterns = np.zeros((10, 8), np.float32)
        >>> store.first = store.patterns[0]
        >>> kept_bytes(store)
        320
    """
    own = getattr(method, "nbytes", None)
    if isinstance(own, (int, np.integer)) and not isinstance(own, bool):
        return int(own)
    blocks: dict[int, int] = {}
    for address, size in _blocks(method, set()):
        blocks[address] = max(size, blocks.get(address, 0))
    return sum(blocks.values())


def _blocks(thing: Any, seen: set[int]) -> Iterator[tuple[int, int]]:
    """Yield the address and size of the memory behind each tensor and array, in no particular order."""
    import torch

    waiting = [thing]
    held = []  # keeps what was seen alive, so that no identity is given out twice
    while waiting:
        thing = waiting.pop()
        if thing is None or isinstance(thing, _PASSED_OVER) or id(thing) in seen:
            continue
        seen.add(id(thing))
        held.append(thing)
        if isinstance(thing, torch.Tensor):
            if thing.layout is torch.strided:
                storage = thing.untyped_storage()
                yield storage.data_ptr(), storage.nbytes()
            else:
                waiting.extend(_sparse_parts(thing))
        elif isinstance(thing, np.ndarray):
            while isinstance(thing.base, np.ndarray):
                thing = thing.base
            yield thing.__array_interface__["data"][0], thing.nbytes
            if thing.dtype.hasobject:
                waiting.extend(thing.flat)
        elif isinstance(thing, Mapping):
            waiting.extend(thing.values())
        elif isinstance(thing, (list, tuple, set, frozenset)):
            waiting.extend(thing)
        else:
            waiting.extend(getattr(thing, "__dict__", {}).values())
            for kind in type(thing).__mro__:
                slots = kind.__dict__.get("__slots__", ())
                names = (slots,) if isinstance(slots, str) else slots
                waiting.extend(getattr(thing, name, None) for name in names)


def _sparse_parts(tensor: Any) -> list[Any]:
    import torch

    if tensor.layout is torch.sparse_coo:
        return [tensor._indices(), tensor._values()]
    if tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        return [tensor.crow_indices(), tensor.col_indices(), tensor.values()]
    if tensor.layout in (torch.sparse_csc, torch.sparse_bsc):
        return [tensor.ccol_indices(), tensor.row_indices(), tensor.values()]
    return []
