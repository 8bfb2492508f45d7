"""A surrogate gradient as wide as the membrane potentials are spread, for networks trained with one that nobody knows."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .leaky_integrate_and_fire import LeakyIntegrateAndFire
from .surrogates import Surrogate

Spread = Literal["channel", "recording"]


@dataclass(frozen=True)
class PotentialDependent(Surrogate):
    """The potential-dependent surrogate gradient, PDSG: a Gaussian bell whose width follows the potentials at run time.

    With x = u − θ and σ_t the standard deviation of the potentials u_1 … u_t of the layer:

        S'(x_t) = exp(−(x_t − a σ_t)² / (2 σ_t²)) / (√(2π) σ_t).

    A surrogate does not change what a network computes, so a trained network does not show with which it was trained; σ
    is seen in the network itself. No gradient passes through σ. Where σ is 0, or a single number is all there is, it is 1.
    A single step (`derivative`, a call, a stream's ``step``) has no past: σ is that of the step alone.

    Args:
        offset: a, by how many σ above the threshold the bell stands.
        spread: Over what σ is taken: "channel", all potentials of the first axis of units, over batch, space and past (as
            in the paper; for linear layers that is a σ for each unit); "recording", all potentials of a recording's layer,
            over units and past, so that one recording's gradient does not depend on the others of its batch.

    Raises:
        ValueError: if an argument is out of range.

    Source: Lun et al. 2025 (arXiv 2503.03272), the attack's surrogate as in the authors' code (class PDSG).

    Example:
        >>> surrogate = PotentialDependent(spread="recording")
        >>> surrogate.derivative_over_time(torch.tensor([[[-1.0, 1.0]], [[0.0, 0.0]]])).squeeze(1)
        tensor([[0.1361, 0.2761],
                [0.4312, 0.4312]])
    """

    offset: float = 0.5
    spread: Spread = "channel"

    def __post_init__(self) -> None:
        if not math.isfinite(self.offset):
            raise ValueError(f"offset: got {self.offset}, want a finite number")
        if self.spread not in get_args(Spread):
            raise ValueError(f"spread: got {self.spread!r}, want one of {', '.join(get_args(Spread))}")

    def deviation(self, x: Float[Tensor, "time batch *units"]) -> Float[Tensor, "time ..."]:
        """σ_t of every step, from all steps up to it, in a shape that broadcasts with x."""
        # Steps first, then their running union: the sum of squares of a union is those of its parts plus n times that of
        # their means (Chan, Golub and LeVeque 1983). Exactly 0 for equal numbers, which a difference of squares is not.
        x = x.detach()
        kept = 1 if self.spread == "recording" else 2
        axes = [axis for axis in range(1, x.ndim) if axis != kept]
        shape = [size if axis in (0, kept) else 1 for axis, size in enumerate(x.shape)]
        count = math.prod(x.shape[axis] for axis in axes)
        if axes:
            variance, mean = torch.var_mean(x, axes, correction=0, keepdim=True)
        else:
            variance, mean = torch.zeros_like(x), x
        steps = torch.arange(1, len(x) + 1, device=x.device, dtype=x.dtype).reshape([-1] + [1] * (x.ndim - 1))
        from_first = mean - mean[:1]
        between = from_first.square().cumsum(0) - from_first.cumsum(0).square() / steps
        squares = count * (variance.cumsum(0) + between.clamp_(min=0))
        sigma = (squares / (steps * count - 1).clamp_(min=1)).sqrt_().reshape(shape)
        return torch.where(sigma > 0, sigma, 1)

    def derivative_over_time(self, x: Float[Tensor, "time batch *units"]) -> Float[Tensor, "time batch *units"]:
        """See `Surrogate.derivative_over_time`: σ from each step's past."""
        sigma = self.deviation(x)
        bell = (x / sigma).sub_(self.offset).square_().mul_(-0.5).exp_()
        return bell.div_(sigma * math.sqrt(2 * math.pi))

    def derivative(self, x: Float[Tensor, "batch *units"]) -> Float[Tensor, "batch *units"]:
        """See `Surrogate.derivative`: σ from this step alone."""
        return self.derivative_over_time(x.unsqueeze(0)).squeeze(0)

    def smooth(self, x: Float[Tensor, "batch *units"]) -> Float[Tensor, "batch *units"]:
        """See `Surrogate.smooth`: Φ(x/σ − a), with σ from this step alone."""
        return torch.special.ndtr(x / self.deviation(x.unsqueeze(0)).squeeze(0) - self.offset)


@contextmanager
def replaced_surrogates(module: nn.Module, surrogate: Surrogate) -> Iterator[None]:
    """Gives every spiking neuron of a network another surrogate for as long as the context lasts; outputs stay what they were.

    Gradients are those of the surrogate that was in place during the forward pass.

    Args:
        module: Any module with `LeakyIntegrateAndFire` or `RecurrentLeakyIntegrateAndFire` inside.
        surrogate: What stands in for the derivative of a spike.

    Raises:
        ValueError: if there are no such neurons.

    Example:
        >>> net = nn.Sequential(nn.Linear(4, 3), LeakyIntegrateAndFire())
        >>> events = torch.ones(5, 2, 4, requires_grad=True)
        >>> with replaced_surrogates(net, PotentialDependent()):
        ...     net(events).sum().backward()
        >>> events.grad.shape, net[1].surrogate
        (torch.Size([5, 2, 4]), FastSigmoid(slope=10.0))
    """
    neurons = [part for part in module.modules() if isinstance(part, LeakyIntegrateAndFire)]
    if not neurons:
        raise ValueError("module: got one without leaky integrate-and-fire neurons, want at least one layer of them")
    before = [part.surrogate for part in neurons]
    try:
        for part in neurons:
            part.surrogate = surrogate
        yield
    finally:
        for part, own in zip(neurons, before, strict=True):
            part.surrogate = own
