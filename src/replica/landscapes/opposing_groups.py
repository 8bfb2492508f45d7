"""Examples that carry the spikes of a training loss, in two groups that pull in opposite directions.

Rosenfeld, Risteski 2024, "Outliers with Opposing Signals Have an Outsized Effect on Neural Network Optimization". Works on the
losses of single examples over the steps of a training, as `replica.training.full_batch_descent` keeps them.
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor


class OpposingGroups(NamedTuple):
    """Two groups of examples, by their numbers.

    Attributes:
        rising: whose losses rise together, most first.
        falling: whose losses fall meanwhile, most first.
    """

    rising: Int[Tensor, " size"]
    falling: Int[Tensor, " size"]

    @property
    def members(self) -> Int[Tensor, " both"]:
        """All of both."""
        return torch.cat([self.rising, self.falling])


def find_opposing_groups(changes: Float[Tensor, "steps examples"], size: int) -> OpposingGroups:
    """The examples whose losses rise and fall most at one step, or take turns most over several.

    With one step these are the largest rises and the largest falls, as in the paper. Over several steps the two groups change
    places; then what moves together is told by the leading right singular vector of the changes, whose sign is that of the
    first step.

    Args:
        changes: of each example's loss, from one step to the next, ``(examples,)`` for one step.
        size: examples of each group.

    Raises:
        ValueError: if the shape is another, changes are not finite or all 0, or the groups would overlap.

    Example:
        >>> import torch
        >>> from replica.landscapes import find_opposing_groups
        >>> find_opposing_groups(torch.tensor([0.1, -3.0, 0.0, 2.0]), 1)
        OpposingGroups(rising=tensor([3]), falling=tensor([1]))
    """
    if changes.dim() not in (1, 2) or not changes.numel() or not bool(changes.isfinite().all() and changes.any()):
        raise ValueError(f"changes: got shape {tuple(changes.shape)}, want finite (steps, examples), not all 0")
    if not 1 <= size <= changes.shape[-1] // 2:
        raise ValueError(f"size: got {size}, want 1 to {changes.shape[-1] // 2}, half of the examples")
    scores = changes
    if changes.dim() == 2:
        left, _, right = torch.linalg.svd(changes, full_matrices=False)
        scores = right[0] * (1 if left[0, 0] >= 0 else -1)
    order = scores.argsort(descending=True, stable=True)
    return OpposingGroups(order[:size], order.flip(0)[:size])


def groups_of_equal_loss(groups: OpposingGroups, losses: Float[Tensor, " examples"]) -> OpposingGroups:
    """The null of two groups: as many other examples, each with nearly the loss of one member.

    No example is taken twice; the sum of differences of loss is the least possible.

    Args:
        groups: two groups.
        losses: one an example, such as the mean over the steps that are looked at.

    Raises:
        ValueError: if fewer others are left than the groups have members.

    Example:
        >>> import torch
        >>> from replica.landscapes import OpposingGroups, groups_of_equal_loss
        >>> groups = OpposingGroups(torch.tensor([0]), torch.tensor([1]))
        >>> groups_of_equal_loss(groups, torch.tensor([1.0, 5.0, 4.0, 3.0, 1.5]))
        OpposingGroups(rising=tensor([4]), falling=tensor([2]))
    """
    members = groups.members
    free = torch.ones(len(losses), dtype=torch.bool, device=losses.device)
    free[members] = False
    others = free.nonzero().flatten()
    if len(others) < len(members):
        raise ValueError(f"losses: got {len(losses)} examples for {len(members)} members, want twice as many or more")
    distances = (losses[members][:, None] - losses[others][None]).abs()
    _, chosen = linear_sum_assignment(distances.cpu().double().numpy())
    found = others[torch.from_numpy(chosen).to(others.device)]
    return OpposingGroups(found[: len(groups.rising)], found[len(groups.rising) :])


class LossSpikeTracker:
    """Keeps the losses of single examples over a training, and tells where the mean rises and who carries it.

    Example:
        >>> import torch
        >>> from replica.landscapes import LossSpikeTracker
        >>> tracker = LossSpikeTracker()
        >>> for losses in ([3.0, 3.0], [2.0, 2.0], [2.0, 4.0], [0.0, 7.0], [1.0, 1.0]):
        ...     tracker.record(torch.tensor(losses))
        >>> tracker.spikes(), round(tracker.share_of_rises([1], [1, 3]), 3)
        ([range(1, 3)], 0.667)
    """

    def __init__(self) -> None:
        self._kept: list[Tensor] = []

    def record(self, losses: Float[Tensor, " examples"]) -> None:
        """Adds one step.

        Raises:
            ValueError: if it is not one loss an example, of as many examples as before.
        """
        if losses.dim() != 1 or (self._kept and losses.shape != self._kept[0].shape):
            wanted = f"({len(self._kept[0])},)" if self._kept else "(examples,)"
            raise ValueError(f"losses: got shape {tuple(losses.shape)}, want {wanted}")
        self._kept.append(losses.detach().clone())

    @property
    def losses(self) -> Float[Tensor, "steps examples"]:
        """What was recorded."""
        if not self._kept:
            raise ValueError("losses: none were recorded, want `record` at each step")
        return torch.stack(self._kept)

    @property
    def changes(self) -> Float[Tensor, "steps_less_one examples"]:
        """From one step to the next."""
        return self.losses.diff(dim=0)

    def spikes(self, least: float = 0.0) -> list[range]:
        """Runs of steps at each of which the mean loss rises by more than `least`: of numbers t, from t to t + 1."""
        rises = [0, *(self.changes.mean(1) > least).int().tolist(), 0]
        edges = [at for at in range(len(rises) - 1) if rises[at] != rises[at + 1]]
        return [range(start, stop) for start, stop in zip(edges[::2], edges[1::2], strict=True)]

    def share_of_rises(self, members: Int[Tensor, " members"] | list[int], steps: Iterable[int]) -> float:
        """The part that some examples have in all rises of examples' losses at some steps: by chance, their part in number.

        Falls are left out on both sides, so that the share is between 0 and 1.

        Raises:
            ValueError: if nothing rises at these steps.
        """
        rises = self.changes[list(steps)].clamp(min=0)
        if not bool(rises.any()):
            raise ValueError("steps: got steps at which no loss rises, want some at which one does")
        return float(rises[:, members].sum() / rises.sum())
