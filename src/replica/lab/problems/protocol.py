"""What every problem asks of a method: that it has its parts, gives real numbers of the right shape, and is timed alike."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from replica.errors import ReplicaError

if TYPE_CHECKING:
    from replica.lab.claims import Trial

T = TypeVar("T")


def check_protocol(method: Any, names: Sequence[str], wanted: str) -> None:
    """See that a method can be called by all these names.

    Raises:
        ReplicaError: Naming those it lacks, and in words what is wanted.
    """
    missing = [name for name in names if not callable(getattr(method, name, None))]
    if missing:
        raise ReplicaError(f"{type(method).__name__} has no method {' and no method '.join(missing)}; {wanted}.")


def takes(function: Any, keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the keywords that a function has."""
    try:
        parameters = inspect.signature(function).parameters if keywords else {}
    except (TypeError, ValueError):  # built in C, without a signature
        return {}
    return {name: value for name, value in keywords.items() if name in parameters}


def timed(trial: Trial, call: Callable[[], T]) -> tuple[T, float]:
    """What a call gives and its wall seconds, work on a GPU included."""
    import torch

    def synchronise() -> None:
        if trial.device.type == "cuda":
            torch.cuda.synchronize(trial.device)

    synchronise()
    start = time.perf_counter()
    result = call()
    synchronise()
    return result, time.perf_counter() - start


def copied(values: Any) -> Any:
    """A copy of a tensor or an array, so that a method may write into what it is given; anything else as it is."""
    import torch

    if isinstance(values, torch.Tensor):
        return values.clone()
    return values.copy() if isinstance(values, np.ndarray) else values


def real_array(
    name: str, output: Any, shape: tuple[int, ...], like: str, place: Callable[[tuple[int, ...]], str]
) -> NDArray[np.float32]:
    """Check what a method gave back and bring it to NumPy, as a copy.

    Args:
        name: What gave it, such as ``"MyMemory.recall"``.
        output: A tensor or an array, if all is well.
        shape: The shape that is wanted.
        like: What that shape is, after it in the message, such as ``", like its cues"``.
        place: Says in the user's terms where an index stands.

    Raises:
        ReplicaError: If it is no tensor or array of real numbers, has another shape, or holds NaN or infinity.
    """
    import torch

    if isinstance(output, torch.Tensor):
        kind = str(output.dtype).removeprefix("torch.")
        is_real = not output.is_complex() and output.dtype is not torch.bool
    elif isinstance(output, np.ndarray):
        kind = str(output.dtype)
        is_real = output.dtype.kind in "iuf"
    else:
        raise ReplicaError(
            f"{name} returned {type(output).__name__}; wanted a tensor or an array of shape {shape}{like}."
        )
    if not is_real:
        raise ReplicaError(f"{name} returned values of type {kind}; wanted real numbers of shape {shape}{like}.")
    if tuple(output.shape) != shape:
        raise ReplicaError(f"{name} returned shape {tuple(output.shape)}; wanted {shape}{like}.")
    if isinstance(output, torch.Tensor):
        output = output.detach().to("cpu", torch.float32).numpy()
    with np.errstate(over="ignore"):  # what overflows becomes infinite and is refused
        result = np.array(output, np.float32)  # a copy: a method may reuse the buffer that it returned
    if not np.isfinite(result).all():
        index = tuple(int(i) for i in np.unravel_index(int(np.argmin(np.isfinite(result))), shape))
        raise ReplicaError(f"{name} returned {result[index]} at {place(index)} (from 0); wanted finite numbers.")
    return result


def numbers(name: str, output: Any, shape: tuple[int, ...], kinds: str = "biuf") -> NDArray[Any]:
    """What a method gave back, in NumPy as it is, if it is numbers of this shape: for methods of scikit-learn's protocol."""
    import torch

    array = output.detach().cpu().numpy() if isinstance(output, torch.Tensor) else np.asarray(output)
    if array.dtype.kind not in kinds:
        raise ReplicaError(
            f"{name} returned {array.dtype}; wanted {'real ' * ('b' not in kinds)}numbers of shape {shape}."
        )
    if array.shape != shape:
        raise ReplicaError(f"{name} returned shape {array.shape}; wanted {shape}.")
    return array
