"""Branching measured where it happens: how many spikes follow among a neuron's receivers for one among its senders."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def local_branching_factor(
    spikes: Float[Tensor, "time batch neurons"],
    connected: Bool[Tensor, "neurons neurons"],
    *,
    window: int = 4,
    border: int = 25,
) -> Float[Tensor, " batch"]:
    """Spikes of a neuron's receivers after its own spike, over those of its senders before it; 1 is critical.

    For each spike at t: Σ over receivers and t + 1 … t + window, divided by Σ over senders and t − window … t − 1, or by 1
    where those sent none. The mean over a neuron's spikes, then over the neurons that fired.

    Args:
        spikes: 0 or 1.
        connected: Who (row) receives from whom (column).
        window: Steps counted before and after.
        border: Steps at both ends that are left out, with the spikes in them.

    Returns:
        One for each recording; NaN where no neuron fired.

    Raises:
        ValueError: if the recording is too short, or a shape is another.

    Source: Ivanov and Michmizos 2021, as their code measures it (windows of 4 ms, 25 ms left out).

    Example:
        >>> spikes = torch.zeros(9, 1, 3)
        >>> spikes[2, 0, 0] = spikes[4, 0, 1] = spikes[5, 0, 2] = spikes[6, 0, 2] = 1
        >>> chain = torch.tensor([[0, 0, 0], [1, 0, 0], [0, 1, 0]]).bool()
        >>> local_branching_factor(spikes, chain, window=2, border=0)  # 1 of 1, 2 of 1, 0 of 1, 0 of 1
        tensor([1.])
    """
    kept = len(spikes) - 2 * border
    if window < 1 or border < 0 or kept <= 2 * window:
        raise ValueError(
            f"window, border: got {window}, {border} for {len(spikes)} steps, want 1 or more and 0 or more, and more than "
            f"{2 * border + 2 * window} steps"
        )
    if spikes.ndim != 3 or connected.shape != (spikes.shape[2],) * 2:
        raise ValueError(
            f"connected: got shape {tuple(connected.shape)} for spikes of {tuple(spikes.shape)}, want a square"
        )
    inner = spikes[border : border + kept]
    total = torch.cat([torch.zeros_like(inner[:1]), inner.cumsum(0)])
    sums = total[window:] - total[:-window]  # of the steps from i to i + window − 1
    spent = inner[window:-window]
    ways = connected.to(spikes.dtype)
    before = sums[: len(spent)] @ ways.T
    after = sums[window + 1 : window + 1 + len(spent)] @ ways
    ratio = (after / before.clamp(min=1) * spent).sum(0)
    fired = spent.sum(0)
    return torch.where(fired > 0, ratio / fired, torch.nan).nanmean(1)
