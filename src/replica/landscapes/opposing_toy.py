"""A two-layer linear network on data with two rare, opposing groups: sharpening, its edge and spikes, in three numbers.

After Rosenfeld, Risteski 2024; the form is worked out here. Inputs are (z, x) with z normal and x = ±a with probability p/2
each, else 0. Targets are β·z + c|x|. The network u (w·z + v x) has no use for x: its sign says nothing. On average

    L = (‖β − u w‖² + p a² (c² + u² v²)) / 2,

so v stays near 0 at a curvature p a² u² that grows with what is learned of β. Here w stands for its part along β.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class ToyPath(NamedTuple):
    """Gradient descent on the toy.

    Attributes:
        states: u, w, v before each step and after the last.
        losses: L, the mean over all data.
        group_losses: mean over the examples with x = a, and over those with x = −a.
        sharpness: largest eigenvalue of L's Hessian.
    """

    states: Float[Tensor, "times 3"]
    losses: Float[Tensor, " times"]
    group_losses: Float[Tensor, "times 2"]
    sharpness: Float[Tensor, " times"]


@dataclass(frozen=True)
class OpposingToy:
    """The toy: its loss, the groups' losses, its curvature, and descent.

    Args:
        signal: ‖β‖.
        outlier: a, size of the feature that only outliers have.
        share: p, of outliers in all examples; 0 for none.
        offset: c: what outliers' targets have in common, for both signs alike.

    Raises:
        ValueError: if a number is out of range.

    Example:
        >>> from replica.landscapes import OpposingToy
        >>> toy = OpposingToy(signal=1.0, outlier=20.0, share=0.02)
        >>> path = toy.descend((0.1, 0.1, 0.01), rate=0.2, steps=100)
        >>> path.states[-1].round(decimals=3) + 0.0, path.sharpness[-1].round(decimals=3)
        (tensor([1., 1., 0.], dtype=torch.float64), tensor(8., dtype=torch.float64))
    """

    signal: float = 1.0
    outlier: float = 20.0
    share: float = 0.02
    offset: float = 1.0

    def __post_init__(self) -> None:
        for name, value in (("signal", self.signal), ("outlier", self.outlier)):
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name}: got {value}, want a number above 0")
        if not 0 <= self.share <= 1:
            raise ValueError(f"share: got {self.share}, want 0 to 1")

    def loss(self, states: Float[Tensor, "... 3"]) -> Float[Tensor, "..."]:
        """Half the mean squared error over all data."""
        u, w, v = states.unbind(-1)
        return ((self.signal - u * w).square() + self._weight * (self.offset**2 + (u * v).square())) / 2

    def group_losses(self, states: Float[Tensor, "... 3"]) -> Float[Tensor, "... 2"]:
        """Half the mean squared error over the outliers with x = a, and over those with x = −a."""
        u, w, v = states.unbind(-1)
        outliers = torch.stack([(self.offset - u * v).square(), (self.offset + u * v).square()], -1)
        return ((self.signal - u * w).square()[..., None] + self.outlier**2 * outliers) / 2

    def hessian(self, states: Float[Tensor, "... 3"]) -> Float[Tensor, "... 3 3"]:
        """Second derivatives of the loss in (u, w, v)."""
        u, w, v = states.unbind(-1)
        mixed, crossed = 2 * u * w - self.signal, 2 * self._weight * u * v
        zero = torch.zeros_like(u)
        rows = (w**2 + self._weight * v**2, mixed, crossed, mixed, u**2, zero, crossed, zero, self._weight * u**2)
        return torch.stack(rows, -1).unflatten(-1, (3, 3))

    def descend(self, start: tuple[float, float, float], *, rate: float, steps: int) -> ToyPath:
        """Gradient descent on the loss from (u, w, v), in double precision.

        Raises:
            ValueError: if the rate is not above 0 or there are no steps.
            FloatingPointError: if descent runs away.
        """
        if not (math.isfinite(rate) and rate > 0) or steps < 1:
            raise ValueError(f"rate, steps: got {rate} and {steps}, want a rate above 0 and 1 step or more")
        u, w, v = start
        path = [(u, w, v)]
        for _ in range(steps):
            error = self.signal - u * w
            u, w, v = (
                u + rate * (error * w - self._weight * u * v * v),
                w + rate * error * u,
                v * (1 - rate * self._weight * u * u),
            )
            path.append((u, w, v))
        states = torch.tensor(path, dtype=torch.float64)
        if float(states.abs().nan_to_num(torch.inf).max()) > 1e100:
            raise FloatingPointError(f"descent at rate {rate} runs away: lower the rate")
        sharpness = torch.linalg.eigvalsh(self.hessian(states))[..., -1]
        return ToyPath(states, self.loss(states), self.group_losses(states), sharpness)

    def flow_curvature(self, times: Float[Tensor, " times"], start: float) -> Float[Tensor, " times"]:
        """Curvature along v under gradient flow from u = w = `start`, v = 0: p a² s(t), s = ‖β‖ / (1 + (‖β‖/s_0 − 1) e^(−2‖β‖t)).

        It ends at p a² ‖β‖: sharpness in proportion to the signal, by outliers that have nothing to do with it.

        Raises:
            ValueError: if the start is 0.
        """
        if not start:
            raise ValueError("start: got 0, want another number")
        return self._weight * self.signal / (1 + (self.signal / start**2 - 1) * torch.exp(-2 * self.signal * times))

    @property
    def _weight(self) -> float:
        return self.share * self.outlier**2
