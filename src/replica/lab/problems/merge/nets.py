"""Networks of the problem merge: those that a trial trains, all with one budget, or the user's own."""

from __future__ import annotations

import copy
import itertools
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from replica.errors import ReplicaError
from replica.lab.catalogue.printable import printable
from replica.lab.claims import Trial
from replica.lab.problems.classification.data import TensorRows
from replica.lab.problems.credit.networks import arrange, network
from replica.lab.problems.merge.data import BASE, BUILD, Folder
from replica.lab.problems.merge.tasks import Task, names
from replica.lab.problems.problem import Options, Split
from replica.lab.problems.split_rows import Rows
from replica.training import Replicas, train_replicas

Labelled = tuple[Tensor, Tensor]
RATE, TUNING_RATE = 3e-3, 1e-3
"""Adam's rate from a random start, and from the common start of the setting tasks; both fall to 0 along a cosine."""
BATCH = 64
_PLACES = 5
"""Points of a line between two networks at which the loss is taken."""
_BARRIER_ROWS = 500
_AT_ONCE = 1000


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
        for rows in torch.stack(drawn).split(BATCH, 1):
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

    @classmethod
    def of(cls, options: Options, trial: Trial) -> Plan:
        """The plan of a trial."""
        count, depth, width, common, epochs, held_out = (
            int(options[name]) for name in ("networks", "depth", "width", "common_epochs", "epochs", "held_out")
        )
        if trial.scale == "smoke":
            count, depth, width, common, epochs = 2, min(depth, 2), min(width, 16), min(common, 2), min(epochs, 1)
        how = str(options["setting"]), count, str(options["network"])
        return cls(*how, depth, width, common, epochs, float(options["strength"]), held_out)


def trained(trial: Trial, content: Any, digest: str, parts: tuple[Rows, Rows], options: Options, split: Split) -> Trained:
    """The trial's networks, for validation from fewer rows; the last ones made are kept, for all methods to share."""
    plan = Plan.of(options, trial)
    drawn = tuple(rows.tobytes() for rows in parts)
    return _kept((trial, digest, split, plan, drawn), lambda: _trained(trial, content, parts, split, plan))


def _kept(key: Any, make: Callable[[], Trained]) -> Trained:
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
    called = names(count, grid) if tasks else [f"{plan.setting.removesuffix('s')} {i + 1}" for i in range(count)]
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


def given(trial: Trial, folder: Folder, digest: str, options: Options, split: Split) -> Trained:
    """The user's networks: of each one's rows some are held out for the method and some tested, in random order."""
    key = (trial, digest, split, options["held_out"], options["test"])
    return _kept(key, lambda: _given(trial, folder, options, split))


def _given(trial: Trial, folder: Folder, options: Options, split: Split) -> Trained:
    made = [loaded(folder.build, name, weights).to(trial.device) for name, weights in folder.networks.items()]
    held_out, tests = [], []
    for name, net in zip(folder.networks, made, strict=True):
        X, y = folder.rows[name]
        order = trial.rng(f"rows {len(y)}").permutation(len(y))
        count = min(max(1, round(float(options["test"]) * len(y))), len(y) - 2)
        tested, left = order[:count], order[count:]
        if split == "validation":
            count = max(1, len(left) // 5)
            tested, left = left[:count], left[count:]
        kept = left[: int(options["held_out"])]
        if trial.scale == "smoke":
            kept, tested = kept[:20], tested[:50]
        for rows, parts in ((kept, held_out), (tested, tests)):
            parts.append((torch.tensor(X[rows], device=trial.device), torch.tensor(y[rows], device=trial.device)))
        scores = predicted(net, held_out[-1][0], f"{name}.safetensors")
        if y.max() >= scores.shape[1]:
            raise ReplicaError(f"{name}: its network tells {scores.shape[1]} classes apart, but its rows hold class {y.max()}.")
    base = averaged(made) if folder.base is None else loaded(folder.build, Path(BASE).stem, folder.base).to(trial.device)
    return Trained(list(folder.networks), base, made, held_out, tests, barriers(made, tests))


def loaded(build: Path, name: str, weights: Mapping[str, Any]) -> nn.Module:
    """A network of the user's with its weights, in evaluation mode.

    Raises:
        ReplicaError: If the file cannot be run, makes no network, or one of other weights.
    """
    make = _namespace(str(build), build.stat().st_mtime_ns).get("build")
    if not callable(make):
        raise ReplicaError(f"{build} has no function build(); wanted one that makes a network without arguments.")
    try:
        net = make()
    except Exception as error:
        raise ReplicaError(f"{build}: build() raised {type(error).__name__}: {printable(error, 300)}.") from error
    if not isinstance(net, nn.Module):
        raise ReplicaError(f"{build}: build() gave {type(net).__name__}; wanted a torch.nn.Module.")
    try:
        net.load_state_dict({key: torch.from_numpy(np.ascontiguousarray(value)) for key, value in weights.items()})
    except RuntimeError as error:
        told = " ".join(str(error).split()).partition(": ")[2]
        raise ReplicaError(f"{name}.safetensors does not fit the network of {BUILD}: {printable(told, 300)}.") from error
    return net.eval()


@lru_cache(maxsize=4)
def _namespace(path: str, changed: int) -> dict[str, Any]:
    """What the user's file defines; modules beside it can be imported."""
    spec = spec_from_loader(f"replica_user_networks_{abs(hash(path))}", loader=None, origin=path)
    assert spec is not None
    module = module_from_spec(spec)
    module.__file__ = path
    sys.modules[spec.name] = module
    folder = str(Path(path).resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        exec(compile(Path(path).read_bytes(), path, "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        raise ReplicaError(f"{path} cannot be run: {type(error).__name__}: {printable(error, 300)}.") from error
    return module.__dict__


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
    scores = [net(some) for some in inputs.split(_AT_ONCE)]
    for some, part in zip(scores, inputs.split(_AT_ONCE), strict=True):
        if not isinstance(some, Tensor) or some.ndim != 2 or len(some) != len(part):
            form = f"shape {tuple(some.shape)}" if isinstance(some, Tensor) else type(some).__name__
            raise ReplicaError(f"{name} gave {form} for {len(part)} rows; wanted scores of shape (rows, classes).")
        if not some.isfinite().all():
            raise ReplicaError(f"{name} gave scores that are no finite numbers.")
    return torch.cat(scores)


def accuracy(net: nn.Module, rows: Labelled, name: str) -> float:
    """The share of rows whose class has the greatest score."""
    return float((predicted(net, rows[0], name).argmax(1) == rows[1]).double().mean())
