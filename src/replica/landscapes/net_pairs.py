"""Pairs of nets of one architecture, many at once, and the losses of states between them."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from replica.training import Replicas

Batch = tuple[Any, ...]
Loss = Callable[..., Tensor]
State = dict[str, Tensor]
Nets = nn.Module | Replicas


class NetPairs:
    """Two nets, or the first and the second nets of many pairs.

    Args:
        start: a net, or many.
        end: likewise; it may differ in numbers only.

    Attributes:
        start: the first nets' tensors by name, with the pairs in front (one for two nets).
        end: the second nets'.
        lead: shape of the pairs: () for two nets.

    Raises:
        ValueError: if the nets differ in more than numbers.
    """

    def __init__(self, start: Nets, end: Nets) -> None:
        if isinstance(start, Replicas) != isinstance(end, Replicas):
            kinds = type(end).__name__, type(start).__name__
            raise ValueError(f"end: got {kinds[0]} beside {kinds[1]}, want both nets or both Replicas")
        self.skeleton = start.model(0) if isinstance(start, Replicas) else start
        self.start, self.end = _state(start), _state(end)
        check_alike(self.start, self.end)
        self.lead: tuple[int, ...] = (start.count,) if isinstance(start, Replicas) else ()

    @property
    def count(self) -> int:
        """Pairs."""
        return len(self._like)

    @property
    def _like(self) -> Tensor:
        return next(iter(self.start.values()))

    def checked(self, fractions: Tensor) -> Float[Tensor, " points"]:
        """Points of the way on the nets' device and in their precision.

        Raises:
            ValueError: if they are none.
        """
        if fractions.dim() != 1 or not len(fractions):
            raise ValueError(f"fractions: got shape {tuple(fractions.shape)}, want one axis, not empty")
        return fractions.to(self._like)

    def losses(
        self, states: Mapping[str, Tensor], loss: Loss, batches: Iterable[Batch], chunk: int | None = None
    ) -> Float[Tensor, " states"]:
        """The mean loss, over all rows, of each of many states.

        Raises:
            ValueError: without batches.
        """

        def one(state: State, *batch: Any) -> Tensor:
            return loss(lambda *args, **options: functional_call(self.skeleton, state, args, options), *batch)

        total, rows = self._like.new_zeros(()), 0
        for batch in batches:
            over = (0, *[None] * len(batch))
            found = torch.vmap(one, over, randomness="different", chunk_size=chunk)(dict(states), *batch)
            count = len(batch[0]) if batch else 1
            total, rows = total + found * count, rows + count
        if not rows:
            raise ValueError("batches: got none, want at least one with rows")
        return total / rows


def check_alike(start: Mapping[str, Tensor], end: Mapping[str, Tensor]) -> None:
    """Raises a ValueError if names or shapes of two states differ."""
    shapes = [{name: tuple(tensor.shape) for name, tensor in state.items()} for state in (start, end)]
    if odd := sorted(name for name in {**shapes[0], **shapes[1]} if shapes[0].get(name) != shapes[1].get(name)):
        found = shapes[1].get(odd[0], "nothing")
        raise ValueError(f"end: got {found} for {odd[0]!r}, want {shapes[0].get(odd[0], 'nothing')} as at the start")


def _state(nets: Nets) -> State:
    if isinstance(nets, Replicas):
        return {name: tensor.detach() for name, tensor in {**nets.parameters, **nets.buffers}.items()}
    return {name: tensor.detach()[None] for name, tensor in (*nets.named_parameters(), *nets.named_buffers())}
