"""What a method amounts to: how many numbers it learned, and how many bytes it keeps."""

from __future__ import annotations

import random
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from replica.lab.claims import Trial

_PASSED_OVER = (
    str, bytes, bool, int, complex, type, types.ModuleType, types.FunctionType, types.MethodType, types.BuiltinFunctionType,
    Trial, np.integer, np.random.Generator, np.random.RandomState, random.Random,
)  # fmt: skip
_TOLD = {
    "classes_", "n_iter_", "loss_curve_", "validation_scores_", "train_score_", "loss_", "best_loss_", "_optimizer",
    "_random_state", "_label_binarizer", "_label_encoder", "_best_coefs", "_best_intercepts", "best_validation_score_",
}  # fmt: skip
"""What a scikit-learn estimator only tells of its training, and the optimisers and splits it leaves behind."""


def parameter_count(method: Any) -> int:
    """Count the real numbers that a fitted method learned; a complex number counts as two.

    - If it has a whole number ``n_parameters`` of its own, that is taken.
    - If it is a network or has some as attributes, their parameters count.
    - Otherwise all that it keeps counts: the elements of tensors and arrays that can be reached from it, floats, of a decision
      tree two numbers a split (feature and threshold) and one a class in each leaf; of a scikit-learn estimator only what fitting
      made, not its settings. Optimisers and random states do not count.

    Example:
        >>> from types import SimpleNamespace
        >>> parameter_count(SimpleNamespace(weights=np.zeros((3, 4)), bias=0.5))
        13
    """
    import torch

    own = _own_number(method, "n_parameters")
    if own is not None:
        return own
    held = (method, *getattr(method, "__dict__", {}).values())
    networks = [each for each in held if isinstance(each, torch.nn.Module)]
    parameters = {id(p): p.numel() * (2 if p.is_complex() else 1) for each in networks for p in each.parameters()}
    return sum(parameters.values()) if parameters else sum(map(_numbers, _reach(method, _learned_parts)))


def kept_bytes(method: Any) -> int:
    """Count the bytes that a method keeps.

    If the method has a number ``nbytes`` of its own, that is taken. Otherwise the memory behind each tensor or array that can be
    reached from it counts once, whole, even where only a view of it is kept: the view keeps all of it alive.

    Example:
        >>> class Store: ...
        >>> store = Store()
        >>> store.patterns = np.zeros((10, 8), np.float32)
        >>> store.first = store.patterns[0]
        >>> kept_bytes(store)
        320
    """
    import torch

    own = _own_number(method, "nbytes")
    if own is not None:
        return own
    blocks: dict[int, int] = {}
    for thing in _reach(method, _attributes):
        if isinstance(thing, torch.Tensor) and thing.layout is torch.strided:
            storage = thing.untyped_storage()
            address, size = storage.data_ptr(), storage.nbytes()
        elif isinstance(thing, np.ndarray):
            while isinstance(thing.base, np.ndarray):
                thing = thing.base
            address, size = thing.__array_interface__["data"][0], thing.nbytes
        else:
            continue
        blocks[address] = max(size, blocks.get(address, 0))
    return sum(blocks.values())


def _own_number(method: Any, name: str) -> int | None:
    own = getattr(method, name, None)
    return int(own) if isinstance(own, (int, np.integer)) and not isinstance(own, bool) else None


def _reach(start: Any, parts: Callable[[Any], Iterable[Any]]) -> Iterator[Any]:
    """Everything that can be reached from an object, once; ``parts`` says what a thing that is no container holds."""
    waiting, seen = [start], {}
    while waiting:
        thing = waiting.pop()
        if thing is None or isinstance(thing, _PASSED_OVER) or id(thing) in seen:
            continue
        seen[id(thing)] = thing  # keeps it alive, so that no identity is given out twice
        yield thing
        if isinstance(thing, Mapping):
            waiting.extend(thing.values())
        elif isinstance(thing, (list, tuple, set, frozenset)):
            waiting.extend(thing)
        elif isinstance(thing, np.ndarray):
            waiting.extend(thing.flat if thing.dtype.hasobject else ())
        else:
            waiting.extend(parts(thing))


def _attributes(thing: Any) -> list[Any]:
    import torch

    if isinstance(thing, torch.Tensor):
        return _sparse_parts(thing)
    found = list(getattr(thing, "__dict__", {}).values())
    for kind in type(thing).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        names = (slots,) if isinstance(slots, str) else slots
        found.extend(getattr(thing, name, None) for name in names)
    return found


def _sparse_parts(tensor: Any) -> list[Any]:
    import torch

    if tensor.layout is torch.sparse_coo:
        return [tensor._indices(), tensor._values()]
    if tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        return [tensor.crow_indices(), tensor.col_indices(), tensor.values()]
    if tensor.layout in (torch.sparse_csc, torch.sparse_bsc):
        return [tensor.ccol_indices(), tensor.row_indices(), tensor.values()]
    return []


def _learned_parts(thing: Any) -> Iterable[Any]:
    import torch

    if isinstance(thing, torch.nn.Module):
        return thing.state_dict().values()
    if isinstance(thing, (torch.Tensor, torch.optim.Optimizer, torch.Generator)) or _is_tree(thing):
        return []
    attributes = dict(getattr(thing, "__dict__", {}))
    if hasattr(thing, "get_params") and hasattr(thing, "fit"):
        left_out = _TOLD | set(thing.get_params(deep=False))
        return [value for name, value in attributes.items() if name not in left_out]
    return attributes.values()


def _is_tree(thing: Any) -> bool:
    return type(thing).__name__ == "Tree" and type(thing).__module__.startswith("sklearn.tree")


def _numbers(thing: Any) -> int:
    import torch

    if isinstance(thing, (float, np.floating)):
        return 1
    if isinstance(thing, torch.Tensor):
        return thing.numel() * (2 if thing.is_complex() else 1)
    if _is_tree(thing):
        return 2 * int(thing.node_count - thing.n_leaves) + int(thing.n_leaves * thing.max_n_classes)
    if not isinstance(thing, np.ndarray) or thing.dtype.hasobject:
        return 0
    if thing.dtype.names is None:
        return thing.size * (2 if thing.dtype.kind == "c" else 1)
    # A gradient-boosted tree: two numbers a split, one a leaf.
    leaves = int(thing["is_leaf"].sum()) if "is_leaf" in thing.dtype.names else 0
    return 2 * (len(thing) - leaves) + leaves
