"""The height of a barrier from the loss's curvature along the segment between two nets."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from .net_pairs import Batch, Loss, NetPairs, Nets
from .paths import interpolate


class CurvatureBarrier(NamedTuple):
    """What curvature at few points says of a barrier.

    Attributes:
        height: the largest rise of the loss above the straight line between its ends, 0 or more.
        middle: the rise half way; negative where the loss sags.
        curvatures: δᵀH(θ_t)δ at the points.
    """

    height: Float[Tensor, "*pairs"]
    middle: Float[Tensor, "*pairs"]
    curvatures: Float[Tensor, "points *pairs"]


def curvature_along(
    start: Nets,
    end: Nets,
    loss: Loss,
    batches: Iterable[Batch],
    fractions: Float[Tensor, " points"],
    *,
    layers: Iterable[str] | None = None,
) -> Float[Tensor, "points *pairs"]:
    """d²L(θ_t)/dt² = δᵀH(θ_t)δ along the segment θ_t = θ_0 + t δ between two nets: two passes backward for all points.

    A loss with kinks, as that of nets of ReLUs, has jumps of slope that no second derivative sees.

    Args:
        start: a net, or the first nets of many pairs.
        end: another of the same architecture, or the second nets.
        loss: ``loss(model, *batch)``, the mean over the batch; the model comes as a function, in the mode of `start`.
        batches: tuples of tensors; each counts by its rows.
        fractions: t, 0 at the start.
        layers: names of layers, or of tensors, that move; the others stay at the start. Default all.

    Raises:
        ValueError: if the nets differ in more than numbers, a layer is unknown, or there are no batches.

    Example:
        >>> import torch
        >>> from replica.landscapes import curvature_along
        >>> nets = [torch.nn.Linear(1, 1, bias=False) for _ in range(2)]
        >>> nets[0].weight.data, nets[1].weight.data = torch.tensor([[0.0]]), torch.tensor([[2.0]])
        >>> cubed = lambda model: model(torch.ones(1, 1)).sum() ** 3
        >>> curvature_along(*nets, cubed, [()], torch.tensor([0.0, 0.5, 1.0]))  # of 8 t³
        tensor([ 0., 24., 48.])
    """
    pairs = NetPairs(start, end)
    # Every point of every pair has a time of its own, so that one pass gives all derivatives.
    times = pairs.checked(fractions)[:, None].repeat(1, pairs.count).requires_grad_()
    first, second = ({name: tensor[None] for name, tensor in state.items()} for state in (pairs.start, pairs.end))
    moved = interpolate(first, second, times, layers=layers)
    states = {name: tensor.expand(len(times), *tensor.shape[1:]).flatten(0, 1) for name, tensor in moved.items()}
    (slopes,) = torch.autograd.grad(pairs.losses(states, loss, batches).sum(), times, create_graph=True)
    if not slopes.requires_grad:  # the loss is linear along all segments
        return torch.zeros_like(times).view(-1, *pairs.lead).detach()
    (curvatures,) = torch.autograd.grad(slopes.sum(), times)
    return curvatures.view(-1, *pairs.lead)


def barrier_from_curvature(
    start: Nets,
    end: Nets,
    loss: Loss,
    batches: Iterable[Batch],
    *,
    at: Sequence[float] = (0.0, 0.5, 1.0),
    layers: Iterable[str] | None = None,
) -> CurvatureBarrier:
    """Predicts the barrier between two nets from the curvature at a few points of the segment.

    For a smooth loss L(θ_t) − (1 − t) L(θ_0) − t L(θ_1) = −∫_0^1 G(t, s) δᵀH(θ_s)δ ds exactly, with Green's function
    G(t, s) = min(s, t) (1 − max(s, t)). The integral is taken of the polynomial through the curvatures at the points: half way
    that is −δᵀHδ/8 for one point, −(c_0 + 10 c_½ + c_1)/96 for both ends and the middle, and as exact as one likes for many.

    Args:
        start: See `curvature_along`, as for all that follows.
        end: a net, or many.
        loss: ``loss(model, *batch)``.
        batches: tuples of tensors.
        at: different points t of the segment where curvature is taken.
        layers: that move, the others staying at the start.

    Raises:
        ValueError: if points are none, outside of the segment or repeated; or as `curvature_along`.

    Source: Singh, Adilova, Kamp, Fischer, Schölkopf, Hofmann 2024, whose estimate is of this second-order kind.

    Example:
        >>> import torch
        >>> from replica.landscapes import barrier_from_curvature
        >>> nets = [torch.nn.Linear(1, 1, bias=False) for _ in range(2)]
        >>> nets[0].weight.data, nets[1].weight.data = torch.tensor([[-1.0]]), torch.tensor([[1.0]])
        >>> double_well = lambda model: (model(torch.ones(1, 1)).sum() ** 2 - 1) ** 2
        >>> found = barrier_from_curvature(*nets, double_well, [()])
        >>> found.curvatures, found.height.round(decimals=4)
        (tensor([ 32., -16.,  32.]), tensor(1.))
    """
    if not len(at) or len(set(at)) < len(at) or min(at) < 0 or max(at) > 1:
        raise ValueError(f"at: got {tuple(at)}, want different numbers from 0 to 1")
    points = torch.tensor(list(at), dtype=torch.float64)
    curvatures = curvature_along(start, end, loss, batches, points, layers=layers)
    powers = torch.arange(len(at), dtype=torch.float64)
    values = curvatures.double().cpu().view(len(at), -1)
    coefficients = torch.linalg.solve(points[:, None] ** powers, values)
    times = torch.linspace(0, 1, 201, dtype=torch.float64)[:, None]
    # What has the polynomial for its second derivative and is 0 at both ends.
    rises = ((times ** (powers + 2) - times) / ((powers + 1) * (powers + 2))) @ coefficients
    rises = rises.to(curvatures).view(-1, *curvatures.shape[1:])
    return CurvatureBarrier(rises.amax(0).clamp(min=0), rises[100], curvatures)
