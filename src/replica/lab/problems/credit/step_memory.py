"""How much memory one training step needs beyond what is there before it, measured tensor by tensor."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from replica.data import digits
from replica.lab.claims import Trial

from .networks import network


def peak_step_bytes(trial: Trial, call: Callable[[], Any]) -> int:
    """The most bytes of tensors that are alive at once during a call, beyond those alive before it.

    Every tensor that an operation gives counts until it is freed: activations, what autograd keeps, gradients, results on the
    way. On a GPU the allocator is asked, which also knows the workspaces of kernels.

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


def memory_over_depth(
    trial: Trial, trainers: Mapping[str, Callable[[nn.Sequential, torch.Tensor], Any]], batch: int = 1024
) -> list[dict[str, Any]]:
    """Megabytes that training stacks of convolutions of 16 channels on 8 × 8 digits takes, over their depth.

    Of trainers by name, ``trainer(network, example)`` gives a module with ``step(inputs, labels)`` and ``optimisers``. Rows hold
    ``layers``, ``method``, a ``step`` at its peak, and ``all``, with parameters, buffers and what optimisers keep.
    """
    images = digits()
    count = trial.pick(smoke=32, laptop=batch, full=batch)
    inputs, labels = [torch.tensor(part[:count]).to(trial.device) for part in (images.values[:, None], images.labels)]
    rows = []
    for layers in trial.pick(smoke=(12,), laptop=(4, 8, 12, 16), full=(4, 8, 12, 16, 24, 55)):
        for name, trainer_of in trainers.items():
            net = network("conv", inputs.shape[1:], 10, depth=layers, width=16, generator=trial.generator("network"))
            trainer = trainer_of(net, inputs[:4])
            trainer.step(inputs[:2], labels[:2])  # optimisers make their state at the first step
            step = peak_step_bytes(trial, lambda trainer=trainer: trainer.step(inputs, labels))  # type: ignore[misc]
            rows.append(
                {"layers": layers, "method": name, "step": step / 1e6, "all": (step + _lasting_bytes(trainer)) / 1e6}
            )
    return rows


def saved_of_backprop(table: Any, method: str, layers: int = 12) -> dict[str, float]:
    """The share of backpropagation's memory that a method does without, of all and of a step, from `memory_over_depth`."""
    rows = table[table["layers"] == layers].set_index("method")
    saved = 1 - rows.loc[method, ["all", "step"]] / rows.loc["backprop", ["all", "step"]]
    return {"saved": saved["all"], "saved_of_step": saved["step"]}


def _lasting_bytes(trainer: Any) -> int:
    lasting = [*trainer.parameters(), *trainer.buffers()]
    for optimiser in trainer.optimisers:
        lasting += [v for state in optimiser.state.values() for v in state.values() if isinstance(v, torch.Tensor)]
    return sum(tensor.nbytes for tensor in {id(tensor): tensor for tensor in lasting}.values())


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
