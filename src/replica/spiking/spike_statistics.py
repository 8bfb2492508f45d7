"""What spike trains tell of a network: rates, regularity, synchrony, branching, and the operations that they cost."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn


def firing_rates(spikes: Float[Tensor, "time *units"]) -> Float[Tensor, "*units"]:
    """Spikes a step of each unit.

    Example:
        >>> firing_rates(torch.tensor([[1.0, 0.0], [1.0, 1.0]]))
        tensor([1.0000, 0.5000])
    """
    return spikes.mean(dim=0)


def interval_variation(spikes: Float[Tensor, "time units"]) -> Float[Tensor, " units"]:
    """Coefficient of variation of each unit's inter-spike intervals: 0 for a clock, near 1 for a Poisson process.

    NaN for units of fewer than two intervals.

    Example:
        >>> interval_variation(torch.tensor([[1.0], [0.0], [1.0], [0.0], [1.0]]))
        tensor([0.])
    """
    times, units = spikes.T.nonzero().T[1], spikes.T.nonzero().T[0]
    same = units[1:] == units[:-1]
    intervals, owners = (times[1:] - times[:-1])[same].to(torch.get_default_dtype()), units[1:][same]
    count, total, squares = (
        torch.zeros(spikes.shape[1], device=spikes.device, dtype=intervals.dtype) for _ in range(3)
    )
    count.index_add_(0, owners, torch.ones_like(intervals))
    total.index_add_(0, owners, intervals)
    squares.index_add_(0, owners, intervals.square())
    mean = total / count
    variation = (squares / count - mean.square()).clamp(min=0).sqrt() / mean
    return torch.where(count >= 2, variation, torch.nan)


def synchrony(spikes: Float[Tensor, "time units"]) -> Float[Tensor, ""]:
    """χ: the standard deviation of the population's mean over the mean of the units' own: 1 in unison, 1/√units alone.

    Source: Golomb and Rinzel 1993, equations 10 to 12.

    Raises:
        ValueError: if no unit's activity varies.

    Example:
        >>> synchrony(torch.tensor([[1.0, 1.0], [0.0, 0.0]]))
        tensor(1.)
    """
    own = spikes.var(dim=0, correction=0).mean()
    if not own > 0:
        raise ValueError("spikes: got units whose activity never changes, want some that does")
    return (spikes.mean(dim=1).var(correction=0) / own).sqrt()


def branching_factor(activity: Float[Tensor, " time"], *, longest: int = 1) -> float:
    """σ: how many spikes a spike causes at the next step; below 1 activity dies out, above 1 it explodes.

    Args:
        activity: Spikes of the whole network at each step.
        longest: With 1 the slope r_1 of A_{t+1} over A_t (least squares with an offset for what comes from outside).
            With more, the slopes r_k of A_{t+k} over A_t for k = 1 … longest are fitted by b σ^k, which also holds where
            only some of the units are seen.

    Raises:
        ValueError: if there are not more steps than `longest` + 1, or the activity never changes.

    Source: Wilting and Priesemann 2018, equations 3 and 4 (multistep regression).

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> alive = [100.0]
        >>> for _ in range(5000):
        ...     mean = 0.9 * alive[-1] + 10
        ...     alive.append(float(torch.poisson(torch.tensor(mean), generator=generator)))
        >>> abs(branching_factor(torch.tensor(alive)) - 0.9) < 0.02
        True
    """
    if activity.ndim != 1 or len(activity) < longest + 2 or longest < 1:
        raise ValueError(f"activity: got shape {tuple(activity.shape)}, want one axis of more than {longest + 1} steps")
    values = activity.to(torch.float64)
    slopes = []
    for lag in range(1, longest + 1):
        earlier, later = values[:-lag] - values[:-lag].mean(), values[lag:] - values[lag:].mean()
        spread = earlier.square().sum()
        if not spread > 0:
            raise ValueError("activity: got one that never changes, want some that does")
        slopes.append(float(earlier @ later / spread))
    if longest == 1:
        return slopes[0]
    from scipy.optimize import curve_fit

    lags = torch.arange(1, longest + 1, dtype=torch.float64).numpy()
    (_, factor), _ = curve_fit(
        lambda k, scale, base: scale * base**k, lags, slopes, p0=(1.0, max(0.1, min(0.99, slopes[0]))),
        bounds=((0, 0), (torch.inf, 2)),
    )  # fmt: skip
    return float(factor)


@dataclass(frozen=True)
class Operations:
    """What one call of a network costs, for a whole batch.

    Args:
        additions: Synaptic additions where inputs are spikes: each spike adds one weight to each unit it reaches.
        multiplications: Multiply-accumulates of layers whose inputs are no spikes.
        dense: Multiply-accumulates if every layer were computed whole.
        spikes: Spikes that arrive at layers.
    """

    additions: float
    multiplications: float
    dense: float
    spikes: float

    def picojoules(self, addition: float = 0.9, multiplication: float = 4.6) -> float:
        """Energy at 45 nm CMOS and 32-bit floating point: 0.9 pJ an addition, 4.6 pJ a multiply-accumulate (Horowitz 2014)."""
        return addition * self.additions + multiplication * self.multiplications


def synaptic_operations(module: nn.Module, *inputs: Any, call: Callable[..., Any] | None = None) -> Operations:
    """Count what the linear and convolutional layers of a network cost on these inputs.

    A layer whose input holds only 0 and 1 counts additions, one for each spike and each of the units that it reaches (at
    the borders of convolutions fewer); any other layer counts multiply-accumulates, all of them.

    Args:
        module: Any network of `torch.nn` linear layers and (1-, 2-, 3-d) convolutions.
        *inputs: What it is called with.
        call: How it is called, where that is not ``module(*inputs)``.

    Example:
        >>> layer = nn.Linear(4, 3)
        >>> synaptic_operations(layer, torch.tensor([[1.0, 0.0, 0.0, 1.0]])).additions
        6.0
    """
    found: list[Operations] = []

    def count(layer: Any, given: tuple[Tensor, ...], output: Tensor) -> None:
        values = given[0].detach()
        weight = layer.weight
        dense = float(output.numel() * weight[0].numel())
        if bool(((values == 0) | (values == 1)).all()):
            additions = _additions(layer, values)
            found.append(Operations(additions, 0.0, dense, float(values.sum())))
        else:
            found.append(Operations(0.0, dense, dense, 0.0))

    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    hooks = [layer.register_forward_hook(count) for layer in module.modules() if isinstance(layer, kinds)]
    try:
        with torch.no_grad():
            (call or module)(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return Operations(
        *(sum(getattr(each, name) for each in found) for name in ("additions", "multiplications", "dense", "spikes"))
    )


def _additions(layer: Any, spikes: Tensor) -> float:
    if isinstance(layer, nn.Linear):
        return float(spikes.sum()) * layer.out_features
    # A convolution of ones tells at each place how many spikes arrive there.
    ones = torch.ones_like(layer.weight)
    return float(layer._conv_forward(spikes, ones, None).sum())


def energy_ratio(operations: Operations, costs: Mapping[str, float] | None = None) -> float:
    """Energy of the counted operations over that of the same layers computed whole.

    Args:
        operations: As counted.
        costs: Picojoules of an ``addition`` and a ``multiplication``; 45 nm CMOS by default.

    Raises:
        ValueError: if nothing was counted.

    Example:
        >>> round(energy_ratio(Operations(additions=10.0, multiplications=0.0, dense=100.0, spikes=2.0)), 4)
        0.0196
    """
    if not operations.dense > 0:
        raise ValueError("operations: got none, want a network with linear or convolutional layers")
    costs = {"addition": 0.9, "multiplication": 4.6} | dict(costs or {})
    return operations.picojoules(**costs) / (costs["multiplication"] * operations.dense)
