"""Discrete Key-Value Bottleneck (Träuble et al. 2022).

Frozen keys and trained values forget less than heads trained on the same frozen encoder, without being told of tasks.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from replica.data import digits, mnist, omniglot
from replica.lab.claims import Choice, LogUniform, Paper, Trial
from replica.lab.problems.stream.metrics import forgetting
from replica.lab.studies import lines
from replica.memory import DiscreteKeyValueBottleneck
from replica.representations.frozen_features import FrozenFeatures
from replica.training import mlp

BATCH = 32
RATES = {
    "bottleneck": (30.0, 100.0, 300.0, 1000.0, 3000.0),
    "linear": (1e-3, 1e-2, 3e-2, 1e-1, 3e-1),
    "mlp": (1e-3, 1e-2, 3e-2, 1e-1, 3e-1),
}
Course = Float[Tensor, "tasks tasks"]
"""Accuracy on every task (columns) after every task (rows)."""

paper = Paper("key_value_bottleneck")


@dataclass(frozen=True)
class Items:
    """Features of a stream's items; labels number the classes in their order of appearance, two a task."""

    train: Float[Tensor, "count features"]
    train_labels: Int[Tensor, " count"]
    test: Float[Tensor, "held features"]
    test_labels: Int[Tensor, " held"]
    pretraining: Float[Tensor, "before features"]

    @property
    def tasks(self) -> int:
        """How many tasks the stream has."""
        return (int(self.train_labels.max()) + 1) // 2

    def validation(self, generator: torch.Generator) -> "Items":
        """A fifth of the training rows in the test rows' place."""
        order = torch.randperm(len(self.train), generator=generator)
        held, kept = order[: len(order) // 5], order[len(order) // 5 :]
        return Items(
            self.train[kept], self.train_labels[kept], self.train[held], self.train_labels[held], self.pretraining
        )


def images_of(name: str, trial: Trial) -> tuple[Tensor, Tensor, Tensor]:
    """Images of a stream with labels from 0, and images of before it, of which no label is read."""
    rng = trial.rng("images")
    if name == "omniglot":
        found = omniglot(side=20)
        characters = rng.permutation(len(found.characters))[:40]
        stream = np.flatnonzero(np.isin(found.labels, characters))
        place = {int(character): i for i, character in enumerate(characters)}
        labels = np.array([place[int(label)] for label in found.labels[stream]])
        before = np.setdiff1d(np.arange(len(found)), stream)
        values = found.values
    else:
        found = digits() if name == "digits" else mnist("test")  # type: ignore[assignment]
        order = rng.permutation(len(found))[: trial.pick(smoke=200, laptop=2400, full=10_000)]
        before, stream = order[: len(order) // 5], order[len(order) // 5 :]
        renamed = rng.permutation(10)
        values, labels = found.values, renamed[found.labels[stream]]
    return torch.tensor(values[stream]), torch.tensor(labels), torch.tensor(values[before])


def items_of(name: str, trial: Trial) -> tuple[Items, FrozenFeatures]:
    """A stream's items through a frozen encoder, learned from what comes before it, and the encoder."""
    images, labels, before = images_of(name, trial)
    atoms = trial.pick(smoke=8, laptop=64, full=64)
    encoder = FrozenFeatures(trial.generator("encoder", "cpu"), atoms=atoms).fit(before)
    features = encoder(images)
    order = torch.randperm(len(labels), generator=trial.generator("split", "cpu"))
    held, kept = order[: len(order) // 4], order[len(order) // 4 :]
    return Items(features[kept], labels[kept], features[held], labels[held], encoder(before)), encoder


def bottleneck_of(items: Items, trial: Trial, keys: Tensor | None = None) -> DiscreteKeyValueBottleneck:
    """One with keys set on the pretraining features, or on these; on none of them where they are empty."""
    generator = trial.generator("bottleneck", "cpu")
    module = DiscreteKeyValueBottleneck(
        items.train.shape[1],
        2 * items.tasks,
        codebooks=trial.pick(smoke=8, laptop=128, full=256),
        pairs=trial.pick(smoke=16, laptop=256, full=4096),
        sparse=True,
        generator=generator,
    )
    features = items.pretraining if keys is None else keys
    if len(features):
        module.initialise_keys(features, epochs=trial.pick(smoke=1, laptop=10, full=10), generator=generator)
    return module


Head = tuple[nn.Module, Items, Callable[[Tensor], Tensor]]
"""A fresh head, the items as it takes them, and how it is called."""


def head_of(kind: str, items: Items, trial: Trial, module: DiscreteKeyValueBottleneck | None = None) -> Head:
    """The named head, or this bottleneck afresh: keys stay, so each item's pairs are looked up once."""
    if module is not None:
        own = copy.deepcopy(module)
        return own, replace(items, train=own.lookup(items.train), test=own.lookup(items.test)), own.read
    sizes = (items.train.shape[1], *((128,) if kind == "mlp" else ()), 2 * items.tasks)
    net = mlp(sizes, generator=trial.generator(kind, "cpu"))
    return net, items, net


def follow(head: Head, rate: float, trial: Trial) -> tuple[Course, list[Tensor]]:
    """Train a head on the stream by SGD; its accuracy on every task after every task, and its scores of all test items.

    No task is told: the loss counts all classes of the stream, and so does a prediction.
    """
    module, items, read = head
    optimiser = torch.optim.SGD([p for p in module.parameters() if p.requires_grad], rate)
    order = trial.generator("order", "cpu")
    scores: list[Tensor] = []
    for task in range(items.tasks):
        rows = torch.nonzero(items.train_labels // 2 == task).flatten()
        for _ in range(trial.pick(smoke=1, laptop=10, full=100)):
            for batch in rows[torch.randperm(len(rows), generator=order)].split(BATCH):
                loss = nn.functional.cross_entropy(read(items.train[batch]), items.train_labels[batch])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        with torch.no_grad():
            scores.append(read(items.test))
    return torch.stack([accuracies(found, items) for found in scores]), scores


def accuracies(scores: Tensor, items: Items) -> Float[Tensor, " tasks"]:
    """The share of correct predictions on each task's test items."""
    correct = (scores.argmax(1) == items.test_labels).float()
    return torch.stack([correct[items.test_labels // 2 == task].mean() for task in range(items.tasks)])


def without_training(items: Items, kind: str) -> Course:
    """Controls without training: nearest class means, or five nearest neighbours of all items learned so far."""
    distances, names = torch.cdist(items.test, items.train), torch.eye(2 * items.tasks)
    courses = []
    for task in range(items.tasks):
        known = 2 * (task + 1)
        if kind == "class means":
            means = torch.stack([items.train[items.train_labels == label].mean(0) for label in range(known)])
            scores = -torch.cdist(items.test, means)
        else:
            near = distances.masked_fill(items.train_labels >= known, torch.inf).topk(5, largest=False).indices
            scores = names[items.train_labels[near]].sum(1)
        courses.append(accuracies(scores, items))
    return torch.stack(courses)


def tuned(
    kind: str, items: Items, trial: Trial, module: DiscreteKeyValueBottleneck | None = None
) -> tuple[Course, list[Tensor]]:
    """Choose the learning rate by final accuracy on held-out training rows, then train on all of them."""
    held = items.validation(trial.generator("validation", "cpu"))
    rates = RATES[kind][:: trial.pick(smoke=4, laptop=1, full=1)]
    courses = [follow(head_of(kind, held, trial, module), rate, trial)[0] for rate in rates]
    best = rates[int(np.argmax([float(course[-1].nan_to_num().mean()) for course in courses]))]
    return follow(head_of(kind, items, trial, module), best, trial)


def compared(name: str, trial: Trial) -> list[dict[str, Any]]:
    """Every head on one stream: accuracy on all tasks so far; after the last, what of a head's forgetting the bottleneck has."""
    items, _ = items_of(name, trial)
    courses = {"bottleneck": tuned("bottleneck", items, trial, bottleneck_of(items, trial))[0]}
    courses |= {kind: tuned(kind, items, trial)[0] for kind in ("linear", "mlp")}
    courses |= {kind: without_training(items, kind) for kind in ("nearest neighbours", "class means")}
    lost = {kind: forgetting(course.numpy()) for kind, course in courses.items()}
    return [
        {
            "head": kind,
            "task": task,
            "accuracy": float(course[task - 1, :task].mean()),
            "bottleneck_forgets": lost["bottleneck"] / max(lost[kind], 1e-3)
            if task == len(course) and kind in RATES
            else None,
        }
        for kind, course in courses.items()
        for task in range(1, len(course) + 1)
    ]


def mnist_stream(trial: Trial) -> list[dict[str, Any]]:
    """Five tasks of two of MNIST's digits each; at smoke scale of the small digits."""
    return compared(trial.pick(smoke="digits", laptop="mnist", full="mnist"), trial)


def omniglot_stream(trial: Trial) -> list[dict[str, Any]]:
    """Twenty tasks of two of Omniglot's characters each, 15 drawings to learn; at smoke scale of the small digits."""
    return compared(trial.pick(smoke="digits", laptop="omniglot", full="omniglot"), trial)


COURSES = lines("task", "accuracy", "head", xlabel="tasks learned", ylabel="accuracy on all tasks so far")


def beside_other_heads(table):
    """Ratios of forgetting and differences of final accuracy to the other heads, and to nearest neighbours."""
    last = table.groupby("head").last()
    final, share = last["accuracy"], last["bottleneck_forgets"]
    return {
        **{f"forgetting_over_{kind}": share[kind] for kind in ("linear", "mlp")},
        **{f"accuracy_over_{kind}": final["bottleneck"] - final[kind] for kind in ("linear", "mlp")},
        "accuracy_over_neighbours": final["bottleneck"] - final["nearest neighbours"],
        "accuracy": final["bottleneck"],
        "accuracy_of_mlp": final["mlp"],
    }


@paper.claim(mnist_stream, figure=COURSES, limit_seconds=900)
def forgets_less_on_mnist(table):
    """See `beside_other_heads`."""
    return beside_other_heads(table)


@paper.claim(omniglot_stream, figure=COURSES, limit_seconds=900)
def forgets_less_on_omniglot(table):
    """See `beside_other_heads`."""
    return beside_other_heads(table)


def drift(trial: Trial) -> dict[str, list[Any]]:
    """How far the prediction among the first task's two digits moves (total variation) while later tasks are learned.

    Both heads take the rates at which they do best.
    """
    items, _ = items_of("digits", trial)
    first = items.test_labels < 2
    rows: dict[str, list[Any]] = {"task": [], "head": [], "drift": []}
    for kind, module in (("bottleneck", bottleneck_of(items, trial)), ("linear", None)):
        _, scores = tuned(kind, items, trial, module)
        chances = [found[first, :2].softmax(1)[:, 0] for found in scores]
        for task, later in enumerate(chances[1:], start=2):
            for column, value in zip(rows, (task, kind, float((later - chances[0]).abs().mean())), strict=True):
                rows[column].append(value)
    return rows


@paper.claim(drift, figure=lines("task", "drift", "head", ylabel="drift on the first task's items (total variation)"))
def updates_are_local(table):
    """Drift after the last task, relative to the linear head's."""
    last = table.groupby("head")["drift"].last()
    return {"drift_over_linear": last["bottleneck"] / max(last["linear"], 1e-3)}


class BottleneckLearner:
    """The bottleneck in the problem stream: encoder and keys from pretraining data, values by SGD, no task known.

    Where there is no pretraining data, inputs are features, and keys are set on the first minibatch.
    """

    def __init__(self, trial: Trial, learning_rate: float, codebooks: int, pairs: int, key_dim: int) -> None:
        self.generator = trial.generator("bottleneck", "cpu")
        self.features = FrozenFeatures(trial.generator("encoder", "cpu"))
        self.learning_rate = learning_rate
        self.sizes = {"codebooks": codebooks, "pairs": pairs, "key_dim": key_dim}
        self.module: DiscreteKeyValueBottleneck | None = None

    def start(self, info: Any) -> None:
        """Remember how many classes there are."""
        self.classes = info.classes

    def pretrain(self, inputs: Tensor, labels: Tensor | None) -> None:
        """Learn the encoder, then set the keys."""
        self.features.fit(inputs, labels)
        self._set_keys(self.features(inputs))

    def _set_keys(self, features: Tensor) -> None:
        module = DiscreteKeyValueBottleneck(
            features.shape[1],
            self.classes,
            sparse=True,
            generator=self.generator,
            **self.sizes,  # type: ignore[arg-type]
        ).to(features.device)
        module.initialise_keys(features, generator=self.generator)
        self.module = module
        self.optimiser = torch.optim.SGD(module.parameters(), self.learning_rate)

    def learn(self, inputs: Tensor, labels: Tensor, task: int | None) -> None:
        """One step on the values that the minibatch fetches."""
        features = self.features(inputs)
        if self.module is None:
            self._set_keys(features)
        assert self.module is not None
        loss = nn.functional.cross_entropy(self.module(features), labels)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()

    @torch.no_grad()
    def predict(self, inputs: Tensor, task: int | None) -> Tensor:
        """Mean values, shape ``(batch, classes)``."""
        if self.module is None:
            return torch.zeros(len(inputs), self.classes, device=inputs.device)
        return self.module(self.features(inputs))


@paper.entry(
    "stream",
    name="key-value-bottleneck",
    space={
        "learning_rate": LogUniform(30.0, 3000.0),
        "pairs": Choice((64, 256, 1024)),
        "key_dim": Choice((8, 14, 32)),
    },
)
def key_value_bottleneck(
    trial: Trial, learning_rate: float = 300.0, codebooks: int = 128, pairs: int = 256, key_dim: int = 14
) -> BottleneckLearner:
    """See `BottleneckLearner`."""
    return BottleneckLearner(trial, learning_rate, codebooks, pairs, key_dim)
