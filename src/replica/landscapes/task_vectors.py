"""Task vectors: what training changed of a network, to be added, negated and scaled."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class TaskVector:
    """τ = θ − θ_0: what training changed of a network's parameters (Ilharco and others 2023). Add them, negate, scale.

    Args:
        blocks: by parameter's name, its change.

    Example:
        >>> import torch
        >>> from replica.landscapes import TaskVector
        >>> base, tuned = (torch.nn.Linear(2, 1, bias=False) for _ in range(2))
        >>> forgetting = -0.5 * TaskVector.between(base, tuned)
        >>> torch.allclose(forgetting.applied(base).weight, 1.5 * base.weight - 0.5 * tuned.weight)
        True
    """

    blocks: Mapping[str, Tensor] = field(repr=False)

    @classmethod
    def between(cls, base: nn.Module, tuned: nn.Module) -> TaskVector:
        """From the network that training began with, and the one that it ended with.

        Raises:
            ValueError: if the two differ in names or shapes of parameters.
        """
        start, end = dict(base.named_parameters()), dict(tuned.named_parameters())
        if (odd := start.keys() ^ end.keys()) or (odd := {n for n in start if start[n].shape != end[n].shape}):
            raise ValueError(f"tuned: got other parameters {sorted(odd)[0]!r} than base, want the same architecture")
        return cls({name: (end[name] - tensor).detach() for name, tensor in start.items()})

    def __add__(self, other: TaskVector) -> TaskVector:
        return TaskVector({name: block + other.blocks[name] for name, block in self.blocks.items()})

    def __rmul__(self, scale: float) -> TaskVector:
        return TaskVector({name: scale * block for name, block in self.blocks.items()})

    def __neg__(self) -> TaskVector:
        return -1 * self

    def applied(self, base: nn.Module) -> nn.Module:
        """A copy of a network, moved by the vector.

        Raises:
            ValueError: if the network has no parameter of a block's name.
        """
        net = copy.deepcopy(base)
        parameters = dict(net.named_parameters())
        if unknown := self.blocks.keys() - parameters.keys():
            raise ValueError(f"base: got a network without {sorted(unknown)[0]!r}, want the vector's own architecture")
        with torch.no_grad():
            for name, block in self.blocks.items():
                parameters[name].add_(block)
        return net

    def random_like(self, generator: torch.Generator | None = None) -> TaskVector:
        """A random direction, in each block as long as this vector: what a task vector is more than."""
        drawn = {}
        for name, block in self.blocks.items():
            device = block.device if generator is None else generator.device
            noise = torch.randn(block.shape, generator=generator, device=device).to(block)
            drawn[name] = noise * (block.norm() / noise.norm().clamp(min=1e-30))
        return TaskVector(drawn)
