"""What the problem merge measures of networks: accuracy, and the barrier between two of them."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from replica.errors import ReplicaError

Labelled = tuple[Tensor, Tensor]
_PLACES = 5
"""Points of a line between two networks at which the loss is taken."""
_BARRIER_ROWS = 500
_AT_ONCE = 1000


def between(first: nn.Module, second: nn.Module, share: float) -> dict[str, Tensor]:
    """The weights at a share of the way from one network to another; what is no floating-point number is the first's."""
    ours, theirs = first.state_dict(), second.state_dict()
    return {name: one.lerp(theirs[name], share) if one.is_floating_point() else one for name, one in ours.items()}


def averaged(networks: Sequence[nn.Module]) -> nn.Module:
    """The plain average of weights."""
    mean = copy.deepcopy(networks[0])
    states = [net.state_dict() for net in networks]
    mean.load_state_dict(
        {
            name: torch.stack([state[name] for state in states]).mean(0) if first.is_floating_point() else first
            for name, first in states[0].items()
        }
    )
    return mean.eval()


@torch.no_grad()
def barriers(networks: Sequence[nn.Module], rows: Sequence[Labelled]) -> float:
    """By how much the loss on both networks' rows rises above a straight line between them, at most of five points.

    Mean over all pairs, in nats. On at most 500 rows of each network.
    """
    found = []
    for i, j in itertools.combinations(range(len(networks)), 2):
        first, second = networks[i], networks[j]
        shown = [(inputs[:_BARRIER_ROWS], labels[:_BARRIER_ROWS]) for inputs, labels in (rows[i], rows[j])]
        shares = np.linspace(0, 1, _PLACES)
        losses = np.array(
            [
                np.mean([float(nn.functional.cross_entropy(functional_call(first, weights, x), y)) for x, y in shown])
                for weights in (between(first, second, float(share)) for share in shares)
            ]
        )
        found.append(float((losses - np.interp(shares, [0, 1], losses[[0, -1]])).max()))
    return float(np.mean(found))


@torch.no_grad()
def predicted(net: nn.Module, inputs: Tensor, name: str) -> Tensor:
    """Scores of all rows, ``(rows, classes)``.

    Raises:
        ReplicaError: If a network gives something else.
    """
    scores = [net(some) for some in torch.split(inputs, _AT_ONCE)]
    for some, part in zip(scores, torch.split(inputs, _AT_ONCE), strict=True):
        if not isinstance(some, Tensor) or some.ndim != 2 or len(some) != len(part):
            form = f"shape {tuple(some.shape)}" if isinstance(some, Tensor) else type(some).__name__
            raise ReplicaError(f"{name} gave {form} for {len(part)} rows; wanted scores of shape (rows, classes).")
        if not some.isfinite().all():
            raise ReplicaError(f"{name} gave scores that are no finite numbers.")
    return torch.cat(scores)


def accuracy(net: nn.Module, rows: Labelled, name: str) -> float:
    """The share of rows whose class has the greatest score."""
    return float((predicted(net, rows[0], name).argmax(1) == rows[1]).double().mean())
