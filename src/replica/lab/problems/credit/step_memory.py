"""How much memory one training step needs beyond what is there before it, measured tensor by tensor."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from replica.lab.claims import Trial


def peak_step_bytes(trial: Trial, call: Callable[[], Any]) -> int:
    """The most bytes of tensors that are alive at once during a call, beyond those alive before it.

    Every tensor that an operation gives counts from then until it is freed: activations, what autograd keeps of them,
    gradients, and results on the way. What was there before the call, such as parameters, does not. On a GPU the
    allocator is asked, which also knows the workspaces of kernels.

    Example:
        >>> peak_step_bytes(Trial(0, "smoke"), lambda: (torch.zeros(1000) + torch.zeros(1000)).sum())
        12000
    """
    if trial.device.type == "cuda":
        torch.cuda.synchronize(trial.device)
        before = torch.cuda.memory_allocated(trial.device)
        torch.cuda.reset_peak_memory_stats(trial.device)
        call()
        torch.cuda.synchronize(trial.device)
        return int(torch.cuda.max_memory_allocated(trial.device) - before)
    alive = _Alive()
    with alive:
        call()
    return alive.peak


class _Alive(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps count of the memory behind the tensors that operations give, until it is freed."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._now = 0
        self._known: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {
            leaf.untyped_storage().data_ptr()
            for leaf in tree_leaves((args, kwargs))
            if isinstance(leaf, torch.Tensor) and leaf.layout is torch.strided
        }
        results = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(results):
            if isinstance(leaf, torch.Tensor) and leaf.layout is torch.strided:
                self._count(leaf.untyped_storage(), given)
        return results

    def _count(self, storage: Any, given: set[int]) -> None:
        key = storage._cdata
        if key in self._known or storage.data_ptr() in given:  # a view of what was there, or a result in place
            return
        size = storage.nbytes()

        def freed(_: Any) -> None:
            self._now -= size
            del self._known[key]

        self._known[key] = weakref.ref(storage, freed)
        self._now += size
        self.peak = max(self.peak, self._now)
