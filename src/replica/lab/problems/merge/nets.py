"""Networks that a trial of the problem merge trains, all with one budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from replica.lab.claims import Trial
from replica.lab.problems.classification.data import TensorRows
from replica.lab.problems.credit.networks import arrange, network
from replica.lab.problems.merge.data import kinds, listed
from replica.lab.problems.merge.scores import Labelled, averaged, barriers
from replica.lab.problems.merge.tasks import Task, names
from replica.lab.problems.problem import Options, Split
from replica.lab.problems.split_rows import Rows
from replica.training import Replicas, train_replicas

RATE, TUNING_RATE = 3e-3, 1e-3
"""Adam's rate from a random start, and from the common start of the setting tasks; both fall to 0 along a cosine."""
BATCH = 64


@dataclass(frozen=True)
class Trained:
    """Networks to merge, and what each is judged on.

    Args:
        names: What each knows.
        base: What all were trained on from; their average where they share no start.
        networks: The networks.
        held_out: Of each, rows that it was not trained on, for the method.
        tests: Of each, rows to test.
        barrier: See `barrier`; over all pairs.
    """

    names: list[str]
    base: nn.Module
    networks: list[nn.Module]
    held_out: list[Labelled]
    tests: list[Labelled]
    barrier: float


def cross_entropy(net: Any, inputs: Tensor, labels: Tensor) -> Tensor:
    """The loss."""
    return nn.functional.cross_entropy(net(inputs), labels)


class Shuffled:
    """Minibatches for several networks, each with rows and an order of its own: inputs ``(networks, rows, …)``."""

    def __init__(self, inputs: Tensor, labels: Tensor, generators: Sequence[torch.Generator]) -> None:
        self.inputs, self.labels, self.generators = inputs, labels, generators

    def __len__(self) -> int:
        return -(-len(self.labels) // BATCH)

    def __iter__(self) -> Iterator[Labelled]:
        count, device = len(self.labels), self.labels.device
        drawn = [torch.randperm(count, generator=each, device=each.device).to(device) for each in self.generators]
        which = torch.arange(len(drawn), device=device)[:, None]
        for rows in torch.split(torch.stack(drawn), BATCH, 1):
            yield self.inputs[which, rows], self.labels[rows]


def train(
    nets: Replicas, inputs: Tensor, labels: Tensor, generators: Sequence[torch.Generator], *, epochs: int, rate: float,
    frozen: str = "",
) -> None:  # fmt: skip
    """Train networks side by side by Adam; parameters whose names begin with ``frozen`` stay."""
    if not epochs:
        return
    batches = Shuffled(inputs, labels, generators)
    steps = epochs * len(batches)
    still = {name: 0.0 for name in nets.parameters if frozen and name.startswith(frozen)}
    train_replicas(
        nets, cross_entropy, batches, steps=steps, rates=rate, optimiser="adam", multiples=still, shared=False,
        schedule=lambda step: (1 + math.cos(math.pi * step / steps)) / 2,
    )  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """What a trial trains: numbers that its options and its scale give."""

    setting: str
    networks: int
    form: str
    depth: int
    width: int
    common: int
    epochs: int
    strength: float
    held_out: int
    kinds: tuple[str, ...]

    @classmethod
    def of(cls, options: Options, trial: Trial) -> Plan:
        """The plan of a trial."""
        count, depth, width, common, epochs, held_out = (
            int(options[name]) for name in ("networks", "depth", "width", "common_epochs", "epochs", "held_out")
        )
        if trial.scale == "smoke":
            count, depth, width, common, epochs = 2, min(depth, 2), min(width, 16), min(common, 2), min(epochs, 1)
        chosen = tuple(listed(str(options["kinds"])))
        how = str(options["setting"]), count, str(options["network"])
        return cls(*how, depth, width, common, epochs, float(options["strength"]), held_out, chosen)


def trained(
    trial: Trial, content: Any, digest: str, parts: tuple[Rows, Rows], options: Options, split: Split
) -> Trained:
    """The trial's networks, for validation from fewer rows; the last ones made are kept, for all methods to share."""
    plan = Plan.of(options, trial)
    drawn = tuple(rows.tobytes() for rows in parts)
    return kept((trial, digest, split, plan, drawn), lambda: _trained(trial, content, parts, split, plan))


def kept(key: Any, make: Callable[[], Trained]) -> Trained:
    """What was made for a key, the last few of them: three settings of three seeds."""
    if key not in _made:
        _made[key] = make()
        while len(_made) > 9:
            del _made[next(iter(_made))]
    return _made[key]


_made: dict[Any, Trained] = {}


def _trained(trial: Trial, content: Any, parts: tuple[Rows, Rows], split: str, plan: Plan) -> Trained:
    grid = tuple(content.shape)
    tensors = TensorRows.of(trial, content, parts)
    shape = grid or tensors.inputs.shape[1:]
    learned, tested = (rows.view(len(rows), *shape) for rows in (tensors.inputs, tensors.test_inputs))
    away = min(plan.held_out, len(learned) // 2)
    inputs, labels = learned[away:], tensors.labels[away:]
    count, tasks = plan.networks, plan.setting == "tasks"
    called = (
        names(count, plan.kinds or kinds(grid))
        if tasks
        else [f"{plan.setting.removesuffix('s')} {i + 1}" for i in range(count)]
    )
    ways = [Task(name, grid, plan.strength, trial) if tasks else (lambda rows, part: rows) for name in called]

    def rows(values: Tensor, part: str) -> list[Tensor]:
        return [arrange(way(values, part), plan.form) for way in ways]

    def generators(what: str, many: int = count) -> list[torch.Generator]:
        return [trial.generator(f"{split} {what} {i}") for i in range(many)]

    stacked = torch.stack(rows(inputs, f"{split} training"))
    plain = arrange(inputs, plan.form)
    many = count if plan.setting == "seeds" else 1
    first = [
        network(plan.form, tuple(plain.shape[1:]), tensors.classes, depth=plan.depth, width=plan.width, generator=each)
        for each in generators("weights", many)
    ]
    nets, epochs = Replicas(first), plan.common + plan.epochs * (many > 1)
    train(nets, plain.expand(many, *plain.shape), labels, generators("first batches", many), epochs=epochs, rate=RATE)
    base = nets.model(0)
    if many == 1:
        nets = Replicas.of(base, count)
        frozen, rate = ("head", TUNING_RATE) if tasks else ("", RATE)
        train(nets, stacked, labels, generators("batches"), epochs=plan.epochs, rate=rate, frozen=frozen)
    networks = [nets.model(i).eval() for i in range(count)]
    held = [(each, tensors.labels[:away]) for each in rows(learned[:away], f"{split} held out")]
    tests = [(each, tensors.test_labels) for each in rows(tested, f"{split} test")]
    base = averaged(networks) if plan.setting == "seeds" else base.eval()
    return Trained(called, base, networks, held, tests, barriers(networks, tests))
