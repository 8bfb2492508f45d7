"""Attacks that flip binary events until a classifier errs: what they share, and the plain ones without reduction."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .gradient_attacks import Model


class FlipAttack(NamedTuple):
    """What an attack on binary events found.

    Attributes:
        events: The attacked recordings; those that it failed on as they were.
        success: Whether the model errs on each.
        flips: Events that were added or removed in each; 0 where it failed, or where the model erred already.
        generated: The same before any was taken back.
    """

    events: Float[Tensor, "batch *shape"]
    success: Bool[Tensor, " batch"]
    flips: Int[Tensor, " batch"]
    generated: Int[Tensor, " batch"]


def gradient_flips(
    model: Model,
    events: Float[Tensor, "batch *shape"],
    labels: Int[Tensor, " batch"],
    *,
    per_step: int = 1,
    growing: bool = False,
    most: int | None = None,
) -> FlipAttack:
    """Flips where the gradient of the margin says it helps most, step by step, until the model errs.

    The margin is that of the true class over the best other, m = z_y − max z_j; a flip of x helps by (2x − 1) ∂m/∂x to
    first order. Each step flips the events that help most of those not yet flipped; none is tested or taken back.

    Args:
        model: Maps recordings to scores; gradients must reach its inputs.
        events: 0 or 1.
        labels: True classes.
        per_step: Events flipped a step, k.
        growing: Whether step n flips n k.
        most: Events flipped in a recording before it is given up; all by default.

    Raises:
        ValueError: if the events are not binary, labels and events differ in count, or a number is out of range.

    Example:
        >>> model = lambda events: torch.stack([events.sum(1), torch.full_like(events[:, 0], 2.5)], 1)
        >>> gradient_flips(model, torch.ones(1, 5), torch.tensor([0])).flips
        tensor([3])
    """

    def scores(given: Tensor, classes: Tensor) -> Tensor:
        return helps(model, given, classes)[1]

    return _flip(model, events, labels, scores, per_step, growing, most)


def random_flips(
    model: Model,
    events: Float[Tensor, "batch *shape"],
    labels: Int[Tensor, " batch"],
    *,
    per_step: int = 1,
    growing: bool = False,
    most: int | None = None,
    generator: torch.Generator | None = None,
) -> FlipAttack:
    """Flips events drawn at random until the model errs: what any attack must beat.

    Args:
        model: Maps recordings to scores.
        events: 0 or 1.
        labels: True classes.
        per_step: Events flipped a step, k.
        growing: Whether step n flips n k.
        most: Events flipped in a recording before it is given up; all by default.
        generator: Source of the draws.

    Raises:
        ValueError: if the events are not binary, labels and events differ in count, or a number is out of range.

    Example:
        >>> model = lambda events: torch.stack([events.sum(1), torch.full_like(events[:, 0], 2.5)], 1)
        >>> random_flips(model, torch.ones(1, 5), torch.tensor([0])).flips
        tensor([3])
    """

    def scores(given: Tensor, _: Tensor) -> Tensor:
        return torch.rand(given.flatten(1).shape, generator=generator, device=given.device, dtype=given.dtype)

    return _flip(model, events, labels, scores, per_step, growing, most)


def margins(scores: Float[Tensor, "batch classes"], labels: Int[Tensor, " batch"]) -> Float[Tensor, " batch"]:
    """By how much the true class leads the best other."""
    others = scores.scatter(1, labels[:, None], -torch.inf).amax(1)
    return scores.gather(1, labels[:, None]).squeeze(1) - others


def helps(
    model: Model, events: Float[Tensor, "batch *shape"], labels: Int[Tensor, " batch"]
) -> tuple[Float[Tensor, " batch"], Float[Tensor, "batch flat"]]:
    """The margins, and by how much a flip of each event lowers its margin to first order."""
    events = events.detach().requires_grad_()
    with torch.enable_grad():
        found = margins(model(events), labels)
        (gradient,) = torch.autograd.grad(found.sum(), events)
    return found.detach(), ((2 * events.detach() - 1) * gradient).flatten(1)


def errs(model: Model, events: Float[Tensor, "batch *shape"], labels: Int[Tensor, " batch"]) -> Bool[Tensor, " batch"]:
    """Whether the model names another class."""
    with torch.no_grad():
        return model(events).argmax(1) != labels


def check_events(events: Tensor, labels: Tensor) -> None:
    """Refuses what is not binary, or does not fit.

    Raises:
        ValueError: if so.
    """
    if len(events) != len(labels):
        raise ValueError(f"labels: got {len(labels)} for {len(events)} recordings, want one each")
    if not ((events == 0) | (events == 1)).all():
        raise ValueError(f"events: got values from {events.min():g} to {events.max():g}, want 0 and 1 alone")


def _flip(
    model: Model,
    events: Tensor,
    labels: Tensor,
    scores: Callable[[Tensor, Tensor], Tensor],
    per_step: int,
    growing: bool,
    most: int | None,
) -> FlipAttack:
    check_events(events, labels)
    size = events[0].numel()
    most = size if most is None else min(most, size)
    if per_step < 1:
        raise ValueError(f"per_step: got {per_step}, want 1 or more")
    if most < 1:
        raise ValueError(f"most: got {most}, want 1 or more")
    flipped = torch.zeros(len(events), size, dtype=torch.bool, device=events.device)
    success = errs(model, events, labels)
    active = (~success).nonzero().squeeze(1)
    done, step = 0, 0
    while len(active) and done < most:
        step += 1
        count = min(per_step * step if growing else per_step, most - done)
        current = toggled(events[active], flipped[active])
        ranks = scores(current, labels[active]).masked_fill(flipped[active], -torch.inf)
        flipped[active] = flipped[active].scatter(1, ranks.topk(count, dim=1).indices, True)
        done += count
        wrong = errs(model, toggled(events[active], flipped[active]), labels[active])
        success[active] = wrong
        active = active[~wrong]
    flipped &= success[:, None]
    flips = flipped.sum(1)
    return FlipAttack(toggled(events, flipped), success, flips, flips)


def toggled(
    events: Float[Tensor, "batch *shape"], flipped: Bool[Tensor, "batch flat"]
) -> Float[Tensor, "batch *shape"]:
    """The events, with those marked turned over."""
    return torch.where(flipped.view_as(events), 1 - events, events)
