"""Runs that share their first minibatches and then part: what linear connectivity of forks is measured on."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor


def forked_batches(
    *tensors: Tensor, size: int, steps: int, forks: Sequence[int], runs: int = 1, generator: torch.Generator
) -> Iterator[tuple[Tensor, ...]]:
    """Minibatches for pairs of nets that see the same rows up to a step, and then rows in orders of their own.

    For replicas (see `replica.training.Replicas`) in the order runs, forks, two of a pair, that begin alike in a run: trained
    side by side with ``shared=False``, all forks of a run leave one common trunk.

    Args:
        *tensors: of one length, the rows.
        size: rows a batch; what is left at the end of an epoch is left out.
        steps: batches in all.
        forks: step at which the nets of a pair part: 0 shares nothing but the start, `steps` everything.
        runs: trunks.
        generator: draws orders.

    Yields:
        Tensors ``(runs · forks · 2, size, …)``, one a tensor given.

    Raises:
        ValueError: if lengths differ, or a number is out of range.

    Source: Frankle, Dziugaite, Roy, Carbin 2020, Section 2: instability analysis.

    Example:
        >>> import torch
        >>> from replica.landscapes import forked_batches
        >>> generator = torch.Generator().manual_seed(0)
        >>> first, second = forked_batches(torch.arange(9), size=3, steps=2, forks=[1], generator=generator)
        >>> [rows[0].equal(rows[1]) for (rows,) in (first, second)]
        [True, False]
    """
    lengths = sorted({len(tensor) for tensor in tensors})
    if len(lengths) != 1 or not 1 <= size <= lengths[0]:
        raise ValueError(f"size: got {size} for tensors of lengths {lengths}, want one length and a size from 1 to it")
    if not forks or min(forks) < 0 or max(forks) > steps or runs < 1:
        raise ValueError(
            f"forks: got {list(forks)} for {steps} steps of {runs} runs, want steps from 0 on, and 1 run or more"
        )
    return _batches(tensors, size, steps, forks, runs, generator)


def _batches(
    tensors: tuple[Tensor, ...], size: int, steps: int, forks: Sequence[int], runs: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, ...]]:
    rows, device = len(tensors[0]), tensors[0].device
    streams, step = 1 + 2 * len(forks), 0  # of a run: the trunk and two a fork
    parted = torch.tensor(forks, device=device).repeat_interleave(2)[None, :, None]
    while True:
        drawn = torch.rand(runs, streams, rows, generator=generator, device=generator.device)
        for own in drawn.argsort(-1).to(device)[..., : rows - rows % size].split(size, -1):
            if step == steps:
                return
            chosen = torch.where(step < parted, own[:, :1], own[:, 1:]).flatten(0, 1)
            yield tuple(tensor[chosen] for tensor in tensors)
            step += 1
