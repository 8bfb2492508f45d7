"""Mixed precision where `torch.autocast` does not reach: products in place, solvers, and what has no kernel in half precision.

Autocast casts the operands of PyTorch's matrix products and leaves all else alone. A product in place, or a loop that mixes
products with sums, then meets two types at once; and a fixed point that is looked for in bfloat16 is never found to the
tolerance of float32.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from itertools import chain
from typing import Concatenate, ParamSpec, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

P = ParamSpec("P")
R = TypeVar("R")
M = TypeVar("M", bound=nn.Module)

_CAST = frozenset({torch.float32, torch.bfloat16, torch.float16})  # what autocast itself casts


def autocast_is_on(device: torch.device) -> bool:
    """Whether autocast is on for tensors of this device; on devices that have none (meta) it never is."""
    return torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type)


def autocast_off(device: torch.device) -> AbstractContextManager[object]:
    """A context without autocast, for what follows the types of its tensors by itself."""
    return torch.autocast(device.type, enabled=False) if autocast_is_on(device) else nullcontext()


def cast_operands(*operands: Tensor) -> tuple[Tensor, ...]:
    """Operands of a product as autocast would give them to `torch.mm`: in its type where it is on, else as they are.

    As there, float64 and integers stay.
    """
    kind = operands[0].device.type
    if not autocast_is_on(operands[0].device):
        return operands
    wanted = torch.get_autocast_dtype(kind)
    return tuple(operand.to(wanted) if operand.dtype in _CAST else operand for operand in operands)


def at_least_single(values: Tensor) -> Tensor:
    """Half precision as float32, for what half precision has no kernel for; other types as they are."""
    return values.float() if values.is_floating_point() and values.dtype.itemsize < 4 else values


def in_own_precision(method: Callable[Concatenate[M, P], R]) -> Callable[Concatenate[M, P], R]:
    """A module's method that runs in the type of its weights, float32 say, where autocast is on: see `autocast_off`.

    That is the type of its first floating-point parameter, or buffer where it has none. Tensors among its arguments (in
    tuples and lists too) come to it, float64 and what is no real number aside. Without autocast nothing changes.
    """

    @wraps(method)
    def run(module: M, /, *args: P.args, **kwargs: P.kwargs) -> R:
        like = next(each for each in chain(module.parameters(), module.buffers()) if each.is_floating_point())
        if not autocast_is_on(like.device):
            return method(module, *args, **kwargs)

        def cast(value: Tensor) -> Tensor:
            return value.to(like.dtype) if value.dtype in _CAST else value

        args, kwargs = tree_map_only(Tensor, cast, (args, kwargs))
        with autocast_off(like.device):
            return method(module, *args, **kwargs)

    return run
