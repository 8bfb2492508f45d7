"""Paths between trained nets: the loss along a segment, its barrier for the whole net or some layers, and Bézier curves."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from .net_pairs import Batch, Loss, NetPairs, Nets, State, check_alike


class Barrier(NamedTuple):
    """How far the loss along a segment rises above the straight line between the losses at its ends.

    Attributes:
        height: the largest rise, 0 or more.
        at: the fraction of the way where it is.
        fractions: t, of the points that were looked at.
        losses: at these points.
    """

    height: Float[Tensor, "*pairs"]
    at: Float[Tensor, "*pairs"]
    fractions: Float[Tensor, " points"]
    losses: Float[Tensor, "points *pairs"]


def interpolate(
    start: Mapping[str, Tensor],
    end: Mapping[str, Tensor],
    fraction: float | Tensor,
    *,
    layers: Iterable[str] | None = None,
) -> State:
    """θ_t = (1 − t) θ_0 + t θ_1 of two states, such as `state_dict()` gives; whole numbers stay as they are at the start.

    Args:
        start: θ_0.
        end: θ_1, with the same names and shapes.
        fraction: t, a number or a tensor that broadcasts with every tensor of the states.
        layers: names of tensors, or of the modules that hold them: the others stay at θ_0. Default all.

    Raises:
        ValueError: if names or shapes of the two states differ, or a layer is unknown.

    Example:
        >>> import torch
        >>> from replica.landscapes import interpolate
        >>> interpolate({"0.weight": torch.zeros(2)}, {"0.weight": torch.ones(2)}, 0.25)
        {'0.weight': tensor([0.2500, 0.2500])}
    """
    check_alike(start, end)
    moved = _names(start, layers)
    return {
        name: torch.lerp(one, end[name], _weight(fraction, one)) if name in moved and one.is_floating_point() else one
        for name, one in start.items()
    }


def losses_along(
    start: Nets,
    end: Nets,
    loss: Loss,
    batches: Iterable[Batch],
    fractions: Float[Tensor, " points"],
    *,
    layers: Iterable[str] | None = None,
    chunk: int | None = None,
) -> Float[Tensor, "points *pairs"]:
    """The loss at points of the segment between two nets, all points at once.

    Args:
        start: a net, or the first nets of many pairs.
        end: another of the same architecture, or the second nets.
        loss: ``loss(model, *batch)``, the mean over the batch; the model comes as a function, in the mode of `start`.
        batches: tuples of tensors; each counts by its rows.
        fractions: t, 0 at the start.
        layers: See `interpolate`: the segment from the start to the start with these layers of the end.
        chunk: points and pairs that are worked on at a time, to save memory. Default all.

    Raises:
        ValueError: if the nets differ in more than numbers, a layer is unknown, or there are no batches.

    Example:
        >>> import torch
        >>> from replica.landscapes import losses_along
        >>> nets = [torch.nn.Linear(1, 1, bias=False) for _ in range(2)]
        >>> for value, net in zip((-1.0, 1.0), nets):
        ...     net.weight.data.fill_(value)
        tensor([[-1.]])
        tensor([[1.]])
        >>> squared = lambda model, x: (model(x) ** 2).mean()
        >>> losses_along(*nets, squared, [(torch.ones(4, 1),)], torch.linspace(0, 1, 5))
        tensor([1.0000, 0.2500, 0.0000, 0.2500, 1.0000])
    """
    pairs = NetPairs(start, end)
    times = pairs.checked(fractions)
    points = interpolate(_fronted(pairs.start), _fronted(pairs.end), times, layers=layers)
    flat = {name: tensor.expand(len(times), *tensor.shape[1:]).flatten(0, 1) for name, tensor in points.items()}
    with torch.no_grad():
        return pairs.losses(flat, loss, batches, chunk).view(len(times), *pairs.lead)


def barrier(
    start: Nets,
    end: Nets,
    loss: Loss,
    batches: Iterable[Batch],
    *,
    points: int = 25,
    layers: Iterable[str] | None = None,
    chunk: int | None = None,
) -> Barrier:
    """The barrier max_t [L(θ_t) − (1 − t) L(θ_0) − t L(θ_1)] on the segment between two nets.

    Args:
        start: See `losses_along`, as for all that follows.
        end: a net, or many.
        loss: ``loss(model, *batch)``.
        batches: tuples of tensors.
        points: evenly spaced, with both ends.
        layers: names of layers that move, the others staying at the start: the barrier of these layers alone.
        chunk: points and pairs at a time.

    Raises:
        ValueError: with fewer than 3 points, or as `losses_along`.

    Source: Frankle, Dziugaite, Roy, Carbin 2020, Section 2; for layers Adilova, Andriushchenko, Kamp, Fischer, Jaggi 2024.

    Example:
        >>> import torch
        >>> from replica.landscapes import barrier
        >>> nets = [torch.nn.Linear(1, 1, bias=False) for _ in range(2)]
        >>> for value, net in zip((-1.0, 1.0), nets):
        ...     net.weight.data = torch.tensor([[value]])
        >>> double_well = lambda model, x: ((model(x) ** 2 - 1) ** 2).mean()
        >>> barrier(*nets, double_well, [(torch.ones(4, 1),)], points=5)[:2]
        (tensor(1.), tensor(0.5000))
    """
    if points < 3:
        raise ValueError(f"points: got {points}, want 3 or more")
    fractions = NetPairs(start, end).checked(torch.linspace(0, 1, points, dtype=torch.float64))
    losses = losses_along(start, end, loss, batches, fractions, layers=layers, chunk=chunk)
    times = fractions.view(-1, *[1] * (losses.dim() - 1))
    rise = losses - torch.lerp(losses[:1], losses[-1:], times)
    # At its ends a segment has no rise but for rounding.
    rise[0], rise[-1] = 0, 0
    height, place = rise.max(0)
    return Barrier(height, fractions[place], fractions, losses)


class BezierCurve:
    """A quadratic Bézier curve θ(t) = (1 − t)² θ_0 + 2 t (1 − t) φ + t² θ_1, whose bend φ is trained to a low loss along it.

    Args:
        start: θ_0: a net, or the first nets of many pairs. Only parameters bend; other numbers are those of the start.
        end: θ_1, likewise.

    Attributes:
        bend: φ by name, with the pairs in front; at first the middle of the segment, so that the curve is the segment.

    Raises:
        ValueError: if the nets differ in more than numbers.

    Source: Garipov, Izmailov, Podoprikhin, Vetrov, Wilson 2018, Equations 1, 2 and 4.

    Example:
        >>> import torch
        >>> from replica.landscapes import BezierCurve
        >>> nets = [torch.nn.Linear(2, 1, bias=False) for _ in range(2)]
        >>> nets[0].weight.data, nets[1].weight.data = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
        >>> ring = lambda model: (model(torch.eye(2)).square().sum() - 1).square()
        >>> curve = BezierCurve(*nets)
        >>> before = curve.losses(ring, [()], torch.tensor([0.5]))
        >>> trained = curve.train(ring, [()], steps=200, rate=0.05, generator=torch.Generator().manual_seed(0))
        >>> before, curve.losses(ring, [()], torch.tensor([0.5])) < 0.01
        (tensor([0.2500]), tensor([True]))
    """

    def __init__(self, start: Nets, end: Nets) -> None:
        self._pairs = NetPairs(start, end)
        first, second = self._pairs.start, self._pairs.end
        known = {name for name, _ in self._pairs.skeleton.named_parameters()}
        self.bend = {name: torch.lerp(one, second[name], 0.5) for name, one in first.items() if name in known}

    def at(self, fractions: float | Float[Tensor, " pairs"]) -> State:
        """The state at t, one for all pairs or one each; the pairs are in front."""
        first, second = self._pairs.start, self._pairs.end
        state = dict(first)
        for name, bend in self.bend.items():
            t = torch.as_tensor(fractions, dtype=bend.dtype, device=bend.device)
            t = t.view(-1, *[1] * (bend.dim() - 1)) if t.dim() else t
            state[name] = (1 - t) ** 2 * first[name] + 2 * t * (1 - t) * bend + t**2 * second[name]
        return state

    def losses(
        self, loss: Loss, batches: Iterable[Batch], fractions: Float[Tensor, " points"]
    ) -> Float[Tensor, "points *pairs"]:
        """The loss at points of the curve; see `losses_along`."""
        batches = list(batches)
        with torch.no_grad():
            found = [self._pairs.losses(self.at(float(t)), loss, batches) for t in fractions]
        return torch.stack(found).view(len(fractions), *self._pairs.lead)

    def train(
        self, loss: Loss, batches: Iterable[Batch], *, steps: int, rate: float, generator: torch.Generator
    ) -> Float[Tensor, "steps *pairs"]:
        """Steps of Adam on the loss at a uniform random t for each pair, by the bend.

        Args:
            loss: ``loss(model, *batch)``.
            batches: passed over again and again until the steps are done.
            steps: of Adam, a batch each.
            rate: its learning rate.
            generator: draws t.

        Returns:
            The loss before each step, at the t drawn.

        Raises:
            ValueError: with steps below 1, or without batches.
        """
        if steps < 1:
            raise ValueError(f"steps: got {steps}, want 1 or more")
        leaves = [tensor.requires_grad_() for tensor in self.bend.values()]
        optimiser = torch.optim.Adam(leaves, rate)
        pairs, seen = len(leaves[0]), []
        for _, batch in zip(range(steps), _again(batches), strict=False):
            times = torch.rand(pairs, generator=generator, device=generator.device)
            found = self._pairs.losses(self.at(times), loss, [batch])
            optimiser.zero_grad()
            found.sum().backward()
            optimiser.step()
            seen.append(found.detach())
        for tensor in leaves:
            tensor.requires_grad_(False)
        return torch.stack(seen).view(steps, *self._pairs.lead)


def _fronted(state: State) -> State:
    """An axis for points in front of the pairs."""
    return {name: tensor[None] for name, tensor in state.items()}


def _names(state: Mapping[str, Tensor], layers: Iterable[str] | None) -> set[str]:
    if layers is None:
        return set(state)
    wanted = [layers] if isinstance(layers, str) else list(layers)
    of = {layer: {name for name in state if name == layer or name.startswith(f"{layer}.")} for layer in wanted}
    if unknown := [layer for layer, names in of.items() if not names]:
        raise ValueError(f"layers: got {unknown}, want names of {list(state)} or of the modules that hold them")
    return set().union(*of.values())


def _weight(fraction: float | Tensor, like: Tensor) -> float | Tensor:
    if not isinstance(fraction, Tensor):
        return fraction
    # Times stand in front.
    return fraction.to(like).view(*fraction.shape, *[1] * max(0, like.dim() - fraction.dim()))


def _again(batches: Iterable[Batch]) -> Iterator[Batch]:
    while True:
        empty = True
        for batch in batches:
            empty = False
            yield batch
        if empty:
            raise ValueError("batches: got none or one pass only, want an iterable that can be passed over again")
