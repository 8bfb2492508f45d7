"""What people do today with several trained networks: baselines of the problem merge."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from replica.lab.claims import Trial
from replica.lab.problems.baseline import Baselines
from replica.landscapes import weight_matching

baselines = Baselines()
Rows = Sequence[tuple[Tensor, Tensor]]
Merging = Callable[[nn.Module, Sequence[nn.Module], Rows], nn.Module]

SCALES = tuple(i / 20 for i in range(21))
"""Scales of task arithmetic that are tried."""


class Merger:
    """A way to merge networks, as a function of their common start, the networks, and rows held out of each."""

    def __init__(self, combine: Merging, numbers_learned: int = 0) -> None:
        self.combine, self.numbers_learned = combine, numbers_learned

    def merge(self, base: nn.Module, networks: Sequence[nn.Module], held_out: Rows) -> nn.Module:
        """Give one network."""
        return self.combine(base, networks, held_out)


@torch.no_grad()
def mean_accuracy(net: nn.Module, rows: Rows) -> float:
    """The share of rows told right, mean over pairs of inputs and labels."""
    return sum(float((net(inputs).argmax(1) == labels).double().mean()) for inputs, labels in rows) / len(rows)


def combined(base: nn.Module, networks: Sequence[nn.Module], scale: float) -> nn.Module:
    """θ_0 + scale · Σ (θ_i − θ_0), buffers likewise; what is no floating-point number is the base's."""
    net, states = copy.deepcopy(base), [each.state_dict() for each in networks]
    moved = {
        name: start + scale * torch.stack([state[name] - start for state in states]).sum(0)
        for name, start in base.state_dict().items()
        if start.is_floating_point()
    }
    net.load_state_dict({**base.state_dict(), **moved})
    return net.eval()


def averaged(networks: Sequence[nn.Module]) -> nn.Module:
    """The average of weights."""
    return combined(networks[0], networks, 1 / len(networks))


@baselines.entry("best-single", "the one network that does best on held-out rows of all tasks: the trivial method")
def best_single(trial: Trial) -> Merger:
    """Merges nothing."""
    return Merger(lambda base, networks, rows: max(networks, key=lambda net: mean_accuracy(net, rows)))


@baselines.entry("average", "the plain average of weights")
def average(trial: Trial) -> Merger:
    """Wortsman et al. 2022."""
    return Merger(lambda base, networks, rows: averaged(networks))


@baselines.entry("weight-matching", "the average after hidden units are put in the order of the first network's")
def matched_average(trial: Trial) -> Merger:
    """Ainsworth, Hayase, Srinivasa 2023; for chains of layers."""

    def align(base: nn.Module, networks: Sequence[nn.Module], rows: Rows) -> nn.Module:
        first, *others = networks
        return averaged([first, *(weight_matching(first, net).model for net in others)])  # type: ignore[arg-type]

    return Merger(align)


@baselines.entry(
    "task-arithmetic", "the start plus the sum of what training changed, times one scale searched on held-out rows"
)
def task_arithmetic(trial: Trial) -> Merger:
    """Ilharco et al. 2023."""

    def search(base: nn.Module, networks: Sequence[nn.Module], rows: Rows) -> nn.Module:
        tried = [combined(base, networks, scale) for scale in SCALES]
        return max(tried, key=lambda net: mean_accuracy(net, rows))

    return Merger(search, numbers_learned=1)


class Ensemble(nn.Module):
    """The mean of several networks' probabilities, in logarithms."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, inputs: Tensor) -> Tensor:
        """Ask all."""
        return torch.stack([net(inputs).log_softmax(1) for net in self.networks]).logsumexp(0)


@baselines.entry(
    "ensemble", "the mean of probabilities, the ceiling where networks share a task: it keeps and runs them all"
)
def ensemble(trial: Trial) -> Merger:
    """Where networks share a task, the ceiling; it costs as many networks as there are."""
    return Merger(lambda base, networks, rows: Ensemble(networks))
