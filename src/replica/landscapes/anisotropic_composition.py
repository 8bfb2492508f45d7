"""Composition of task vectors with a learned scale for each block of parameters (aTLAS)."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from .task_vectors import TaskVector


class AnisotropicComposition(nn.Module):
    """θ = θ_0 + Σ_i Λ_i τ_i with a learned number for each task vector and block of parameters (aTLAS, Zhang and others 2024).

    The numbers, `scales`, start at 0, where the network is the base; they are all that `parameters()` gives. Blocks are
    parameters, each weight and each bias; those that no vector changes have no numbers. With more partitions each block
    falls into as many random groups of entries, each with numbers of its own (aTLAS × K); with none, a vector has one
    number for all blocks, as in task arithmetic.

    Args:
        base: θ_0. It is copied, and the copy's parameters become buffers.
        vectors: τ_i, one or more.
        partitions: K, groups of a block; 0 for one number a vector.
        generator: of the groups.

    Raises:
        ValueError: if there are no vectors, one does not fit the base, all are 0, or `partitions` is below 0.

    Example:
        >>> import torch
        >>> from replica.landscapes import AnisotropicComposition, TaskVector
        >>> base, cats, dogs = (torch.nn.Linear(4, 2) for _ in range(3))
        >>> net = AnisotropicComposition(base, [TaskVector.between(base, tuned) for tuned in (cats, dogs)])
        >>> net.scales.shape, net(torch.zeros(5, 4)).shape
        (torch.Size([2, 2]), torch.Size([5, 2]))

    Source: the abstract, and the authors' ``composition.py``.
    """

    def __init__(
        self,
        base: nn.Module,
        vectors: Sequence[TaskVector],
        *,
        partitions: int = 1,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        shapes = {name: tensor.shape for name, tensor in base.named_parameters()}
        if not vectors:
            raise ValueError("vectors: got none, want one or more")
        for vector in vectors:
            if {name: block.shape for name, block in vector.blocks.items()} != shapes:
                raise ValueError("vectors: got one of other names or shapes than base's parameters, want the same")
        if partitions < 0:
            raise ValueError(f"partitions: got {partitions}, want 0 or more")
        changed = [name for name in shapes if any(bool(vector.blocks[name].any()) for vector in vectors)]
        if not changed:
            raise ValueError("vectors: got only zeros, want one that changes a parameter")
        places = {id(tensor): name for name, tensor in base.named_parameters()}
        # Parameters that are tied move together, under each of their names.
        tied = base.named_parameters(remove_duplicate=False)
        self._names = [(name, places[id(tensor)]) for name, tensor in tied if places[id(tensor)] in changed]
        self.module = _without_parameters(base)
        self._blocks = changed
        self._slots: list[tuple[int, int]] = []
        used = 0
        for number, name in enumerate(changed):
            self.register_buffer(f"vectors{number}", torch.stack([vector.blocks[name].detach() for vector in vectors]))
            groups = min(partitions, shapes[name].numel())
            self._slots.append((used, used + groups) if partitions else (0, 1))
            used += groups
            if groups > 1:
                own = torch.arange(shapes[name].numel(), device=generator.device if generator else None) % groups
                order = torch.randperm(len(own), generator=generator, device=own.device)
                device = base.get_parameter(name).device
                self.register_buffer(f"groups{number}", own[order].view(shapes[name]).to(device))
        first = next(base.parameters())
        self.scales = nn.Parameter(torch.zeros(len(vectors), max(used, 1), dtype=first.dtype, device=first.device))

    def values(self) -> dict[str, Tensor]:
        """θ, by name, of the parameters that the vectors change."""
        moved = {}
        for number, (name, (start, stop)) in enumerate(zip(self._blocks, self._slots, strict=True)):
            vectors, own = getattr(self, f"vectors{number}"), self.scales[:, start:stop]
            if stop - start == 1:
                moves = torch.einsum("ij,i...->...", own, vectors)
            else:
                moves = (own[:, getattr(self, f"groups{number}")] * vectors).sum(0)
            moved[name] = self.module.get_buffer(name) + moves
        return moved

    def forward(self, *args: object, **options: object) -> object:
        """What the network gives at θ."""
        return self.called(self.values(), *args, **options)

    def called(self, values: Mapping[str, Tensor], *args: object, **options: object) -> object:
        """What the network gives at values that were worked out before, by `values`."""
        return functional_call(self.module, {name: values[first] for name, first in self._names}, args, options)

    @torch.no_grad()
    def merged(self, base: nn.Module) -> nn.Module:
        """A copy of the base with θ as its parameters: nothing of the composition is left to keep or run."""
        net = copy.deepcopy(base)
        parameters = dict(net.named_parameters())
        for name, value in self.values().items():
            parameters[name].copy_(value)
        return net


def _without_parameters(module: nn.Module) -> nn.Module:
    """A copy whose parameters are buffers."""
    net = copy.deepcopy(module)
    for name, tensor in list(net.named_parameters(remove_duplicate=False)):
        path, _, own = name.rpartition(".")
        holder = net.get_submodule(path)
        delattr(holder, own)
        holder.register_buffer(own, tensor.detach().clone())
    return net


def learn_scales(
    composition: AnisotropicComposition,
    rows: Sequence[tuple[Tensor, Tensor]],
    *,
    steps: int = 200,
    rate: float = 0.03,
    clip_norm: float = 1.0,
) -> Float[Tensor, " steps"]:
    """Fits the scales of a composition to labelled rows of one or more tasks, by Adam on the mean cross-entropy of tasks.

    All rows are seen at every step. The rate falls to 0 along a cosine.

    Args:
        composition: its scales are learned, in place.
        rows: by task, inputs and class numbers.
        steps: of Adam.
        rate: its first rate.
        clip_norm: longest gradient.

    Returns:
        The loss before each step, in nats.

    Raises:
        ValueError: if there are no rows, or a number is out of range.
    """
    if not rows:
        raise ValueError("rows: got none, want inputs and labels of one task or more")
    if steps < 1 or rate <= 0 or clip_norm <= 0:
        raise ValueError(f"steps, rate, clip_norm: got {steps}, {rate} and {clip_norm}, want numbers above 0")
    descent = torch.optim.Adam([composition.scales], rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(descent, steps)
    seen = []
    for _ in range(steps):
        descent.zero_grad()
        values = composition.values()  # once for all tasks
        scores = [composition.called(values, inputs) for inputs, _ in rows]
        losses = [nn.functional.cross_entropy(given, labels) for given, (_, labels) in zip(scores, rows, strict=True)]  # type: ignore[arg-type]
        loss = torch.stack(losses).mean()
        loss.backward()
        nn.utils.clip_grad_norm_([composition.scales], clip_norm)
        descent.step()
        schedule.step()
        seen.append(loss.detach())
    return torch.stack(seen)
