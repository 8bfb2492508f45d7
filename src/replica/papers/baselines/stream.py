"""The problem stream's own methods: the trivial one, fine-tuning and what mends it, joint training, and frozen features."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from replica.lab.claims import LogUniform, Trial, Uniform
from replica.lab.problems.baseline import Baselines
from replica.lab.problems.stream.info import StreamInfo
from replica.representations.frozen_features import FrozenFeatures
from replica.training import small_net

baselines = Baselines()
TOLD = ("told",)
RATES = {"learning_rate": LogUniform(2e-4, 2e-2)}


class Majority:
    """Gives the class seen most often: what a method is worth that does not look."""

    def start(self, info: StreamInfo) -> None:
        """Count from zero."""
        self.counts = torch.zeros(info.classes, device=info.device)

    def learn(self, inputs: Tensor, labels: Tensor, task: int | None) -> None:
        """Count labels ``(batch,)``."""
        self.counts += torch.bincount(labels, minlength=len(self.counts))

    def predict(self, inputs: Tensor, task: int | None) -> Tensor:
        """The counts for every input, shape ``(batch, classes)``."""
        return self.counts.expand(len(inputs), -1)


@baselines.entry("majority", "the class seen most often: the trivial method")
def majority(trial: Trial) -> Majority:
    """Takes no randomness."""
    return Majority()


@baselines.entry("fine-tuning", "one network, trained on what comes: what forgets", space=RATES)
class FineTuning:
    """One network, trained on each minibatch as it comes: what forgets.

    The loss is the cross-entropy among the classes seen so far, in the setting ``task`` among those of the item's task; the
    optimiser is Adam, which keeps its moments from task to task.

    Args:
        trial: Where initial weights come from.
        learning_rate: Adam's.
    """

    def __init__(self, trial: Trial, *, learning_rate: float = 2e-3) -> None:
        self.generator = trial.generator("weights", "cpu")
        self.learning_rate = learning_rate
        self.net: nn.Module
        self.optimiser: torch.optim.Optimizer

    def start(self, info: StreamInfo) -> None:
        """Build the network."""
        self.info = info
        self.seen = torch.zeros(info.classes, dtype=torch.bool, device=info.device)
        self.task_masks: Tensor | None = None
        if info.setting == "task" and info.task_classes is not None:
            self.task_masks = torch.zeros(len(info.task_classes), info.classes, dtype=torch.bool, device=info.device)
            for mask, classes in zip(self.task_masks, info.task_classes, strict=True):
                mask[list(classes)] = True
        self._build()

    def _build(self) -> None:
        self._set_net(small_net(self.info.shape, self.info.classes, self.generator, self.info.device))

    def _set_net(self, net: nn.Module) -> None:
        self.net = net
        self.optimiser = torch.optim.Adam(net.parameters(), lr=self.learning_rate)

    def learn(self, inputs: Tensor, labels: Tensor, task: int | None) -> None:
        """Take one step on a minibatch."""
        self.seen[labels] = True
        self.step(inputs, labels, self._tasks(labels, task))

    def step(self, inputs: Tensor, labels: Tensor, tasks: Tensor | None) -> None:
        """Take one step of the optimiser; ``tasks`` names the task of each item in the setting ``task``."""
        scores = self.net(inputs)
        loss = functional.cross_entropy(self._among(scores, tasks), labels) + self.penalty(inputs, scores)
        self.optimiser.zero_grad()
        torch.autograd.backward(loss)
        self.optimiser.step()

    def penalty(self, inputs: Tensor, scores: Tensor) -> Tensor:
        """What a method adds to the loss against forgetting."""
        return scores.new_zeros(())

    def _tasks(self, labels: Tensor, task: int | None) -> Tensor | None:
        if self.task_masks is None or task is None:
            return None
        return torch.full_like(labels, task)

    def _among(self, scores: Tensor, tasks: Tensor | None) -> Tensor:
        """Scores of the classes that count; −∞ for all others."""
        counted = self.seen if tasks is None or self.task_masks is None else self.task_masks[tasks]
        return scores.masked_fill(~counted, -torch.inf)

    @torch.no_grad()
    def predict(self, inputs: Tensor, task: int | None) -> Tensor:
        """The network's scores, shape ``(batch, classes)``."""
        scores: Tensor = self.net(inputs)
        return scores


@baselines.entry("joint", "trained on all tasks so far: keeps everything", space=RATES, boundaries=TOLD)
class Joint(FineTuning):
    """Keeps everything, and trains on all tasks so far, as many passes as the stream makes: what others are measured against."""

    def start(self, info: StreamInfo) -> None:
        """See `FineTuning.start`."""
        super().start(info)
        self.parts: list[tuple[Tensor, Tensor, Tensor]] = []

    def begin_task(self, task: int, inputs: Tensor, labels: Tensor) -> None:
        """Add the task's items, and shuffle all there are."""
        self.parts.append((inputs, labels, torch.full_like(labels, task)))
        self.kept = tuple(torch.cat(column) for column in zip(*self.parts, strict=True))
        count = len(self.kept[0])
        self.queue = torch.cat([torch.randperm(count, generator=self.generator) for _ in range(self.info.epochs)])
        self.steps_left = self.info.epochs * -(-len(inputs) // self.info.batch)
        self.parts = [self.kept]  # type: ignore[list-item]

    def learn(self, inputs: Tensor, labels: Tensor, task: int | None) -> None:
        """Take as many steps on shuffled items of all tasks as bring their passes to an end with the task's own."""
        self.seen[labels] = True
        share = -(-len(self.queue) // max(1, self.steps_left))
        now, self.queue = self.queue[:share], self.queue[share:]
        self.steps_left -= 1
        for rows in torch.split(now.to(inputs.device), self.info.batch):
            items, answers, tasks = (column[rows] for column in self.kept)
            self.step(items, answers, None if self.task_masks is None else tasks)


# Its memory is not tuned: more is better, and costs.
@baselines.entry("replay", "fine-tuning with a reservoir of old items (Chaudhry et al., 2019)", space=RATES)
class Replay(FineTuning):
    """Keeps a few items of all tasks so far, and mixes as many of them into each minibatch (Chaudhry et al., 2019).

    What is kept is a uniform sample of all items seen (reservoir sampling, Vitter 1985): of each task's items once at its end
    where boundaries are told, else of every minibatch's.

    Args:
        trial: Where initial weights and the sample come from.
        learning_rate: Adam's.
        memory: Items kept.
    """

    def __init__(self, trial: Trial, *, learning_rate: float = 2e-3, memory: int = 200) -> None:
        super().__init__(trial, learning_rate=learning_rate)
        self.memory = memory

    def start(self, info: StreamInfo) -> None:
        """See `FineTuning.start`."""
        super().start(info)
        self.items = torch.zeros(self.memory, *info.shape, device=info.device)
        self.answers = torch.zeros(self.memory, dtype=torch.int64, device=info.device)
        self.of_task = torch.zeros_like(self.answers)
        self.offered = 0

    def learn(self, inputs: Tensor, labels: Tensor, task: int | None) -> None:
        """Take one step on a minibatch and as many kept items."""
        self.seen[labels] = True
        items, answers, tasks = inputs, labels, self._tasks(labels, task)
        filled = min(self.offered, self.memory)
        if filled:
            rows = torch.randperm(filled, generator=self.generator)[: len(labels)].to(labels.device)
            items, answers = torch.cat([items, self.items[rows]]), torch.cat([answers, self.answers[rows]])
            tasks = None if tasks is None else torch.cat([tasks, self.of_task[rows]])
        self.step(items, answers, tasks)
        if not self.info.told:
            self.offer(inputs, labels, 0)

    def end_task(self, task: int, inputs: Tensor, labels: Tensor) -> None:
        """Offer the task's items to the memory."""
        self.offer(inputs, labels, task)

    def offer(self, inputs: Tensor, labels: Tensor, task: int) -> None:
        """Item n (from 0) takes a random place below n + 1; where there is no such place, it is passed over."""
        count = len(labels)
        numbers = self.offered + torch.arange(count)
        places = (torch.rand(count, generator=self.generator, dtype=torch.float64) * (numbers + 1)).long()
        places = torch.where(numbers < self.memory, numbers, places)
        last = {place: row for row, place in enumerate(places.tolist()) if place < self.memory}
        if last:
            at, rows = (torch.tensor(list(each), device=labels.device) for each in (last.keys(), last.values()))
            self.items[at], self.answers[at], self.of_task[at] = inputs[rows], labels[rows], task
        self.offered += count


@baselines.entry(
    "ewc",
    "online elastic weight consolidation (Kirkpatrick et al., 2017; Schwarz et al., 2018)",
    space={**RATES, "strength": LogUniform(1.0, 1e5), "decay": Uniform(0.5, 1.0)},
    boundaries=TOLD,
)
class EWC(FineTuning):
    r"""Holds weights to where they were, the more the more they mattered: online elastic weight consolidation.

    The penalty is $\frac\lambda 2 \sum_i F_i (\theta_i - \theta^*_i)^2$ with the weights $\theta^*$ after the last task and
    $F \leftarrow \gamma F + F^{(k)}$ over tasks (Kirkpatrick et al., 2017; Schwarz et al., 2018, section 3); $F^{(k)}$ is the
    diagonal of the Fisher information on the task's items, labels drawn from the network's own predictions.

    Args:
        trial: Where initial weights and drawn labels come from.
        learning_rate: Adam's.
        strength: $\lambda$.
        decay: $\gamma$.
    """

    FISHER_ITEMS = 500

    def __init__(
        self, trial: Trial, *, learning_rate: float = 2e-3, strength: float = 20.0, decay: float = 1.0
    ) -> None:
        super().__init__(trial, learning_rate=learning_rate)
        self.strength, self.decay = strength, decay
        self.fisher: dict[str, Tensor] = {}
        self.anchor: dict[str, Tensor] = {}

    def penalty(self, inputs: Tensor, scores: Tensor) -> Tensor:
        """The quadratic penalty; none in the first task."""
        total = scores.new_zeros(())
        for name, weight in self.net.named_parameters():
            if name in self.fisher:
                total = total + (self.fisher[name] * (weight - self.anchor[name]).square()).sum()
        return 0.5 * self.strength * total

    def end_task(self, task: int, inputs: Tensor, labels: Tensor) -> None:
        """Add the task's Fisher information, and keep the weights."""
        rows = torch.randperm(len(inputs), generator=self.generator)[: self.FISHER_ITEMS].to(inputs.device)
        new = self._fisher_diagonal(inputs[rows], self._tasks(labels[rows], task))
        self.fisher = {name: self.decay * self.fisher.get(name, 0.0) + value for name, value in new.items()}
        self.anchor = {name: weight.detach().clone() for name, weight in self.net.named_parameters()}

    def _fisher_diagonal(self, inputs: Tensor, tasks: Tensor | None) -> dict[str, Tensor]:
        weights = {name: weight.detach() for name, weight in self.net.named_parameters()}
        with torch.no_grad():
            chances = self._among(self.net(inputs), tasks).softmax(dim=1)
        drawn = torch.multinomial(chances.cpu(), 1, generator=self.generator)[:, 0].to(inputs.device)
        counted = (chances > 0) | functional.one_hot(drawn, chances.shape[1]).bool()

        def loss(weights: dict[str, Tensor], item: Tensor, label: Tensor, counted: Tensor) -> Tensor:
            scores = torch.func.functional_call(self.net, weights, (item[None],))[0]
            return functional.cross_entropy(scores.masked_fill(~counted, -torch.inf), label)

        slopes = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0, 0), chunk_size=64)(
            weights, inputs, drawn, counted
        )
        return {name: slope.square().mean(dim=0) for name, slope in slopes.items()}


@baselines.entry(
    "lwf",
    "learning without forgetting (Li & Hoiem, 2017)",
    space={**RATES, "strength": LogUniform(0.1, 30.0), "temperature": Uniform(1.0, 4.0)},
    boundaries=TOLD,
)
class LwF(FineTuning):
    r"""Learning without forgetting (Li & Hoiem, 2017): on new items the old classes' scores stay as the old network gives them.

    Added to the loss is $\lambda T^2 \operatorname{KL}(p_{old} \| p)$ of softened predictions at temperature T, among the classes
    that were known before the task; in the setting ``task`` the mean over the earlier tasks, each among its own classes.

    Args:
        trial: Where initial weights come from.
        learning_rate: Adam's.
        strength: $\lambda$.
        temperature: T.
    """

    def __init__(
        self, trial: Trial, *, learning_rate: float = 2e-3, strength: float = 1.0, temperature: float = 2.0
    ) -> None:
        super().__init__(trial, learning_rate=learning_rate)
        self.strength, self.temperature = strength, temperature
        self.teacher: nn.Module | None = None

    def begin_task(self, task: int, inputs: Tensor, labels: Tensor) -> None:
        """Keep the network as it is, from the second task on."""
        if task == 0:
            return
        self.teacher = copy.deepcopy(self.net).requires_grad_(False)
        self.groups = self.seen[None].clone() if self.task_masks is None else self.task_masks[:task]

    @torch.no_grad()
    def _old(self, inputs: Tensor) -> Tensor:
        assert self.teacher is not None
        scores: Tensor = self.teacher(inputs)
        return scores

    def penalty(self, inputs: Tensor, scores: Tensor) -> Tensor:
        """The distillation loss; none in the first task."""
        if self.teacher is None:
            return scores.new_zeros(())
        old = self._old(inputs)
        losses = []
        for group in self.groups:
            target = (old[:, group] / self.temperature).log_softmax(dim=1)
            student = (scores[:, group] / self.temperature).log_softmax(dim=1)
            losses.append(functional.kl_div(student, target, reduction="batchmean", log_target=True))
        return self.strength * self.temperature**2 * torch.stack(losses).mean()


class OnFrozenFeatures:
    """A method on `FrozenFeatures`: learned in pretraining, or else from the first task where its begin is told."""

    features: FrozenFeatures

    def pretrain(self, inputs: Tensor, labels: Tensor | None) -> None:
        """Learn the features."""
        self.features.fit(inputs, labels)

    def begin_task(self, task: int, inputs: Tensor, labels: Tensor) -> None:
        """Learn the features from the first task where there was no pretraining."""
        if task == 0 and not self.features.fitted:
            self.features.fit(inputs, labels if labels.min() < labels.max() else None)


@baselines.entry(
    "nearest-class-mean",
    "means of classes in frozen features: what people use today without storing items",
)
class NearestClassMean(OnFrozenFeatures):
    """Gives an item the class whose mean is nearest, in features that never change: nothing to forget (Rebuffi et al., 2017).

    Features are `FrozenFeatures`, learned in pretraining, or else from the first task where its begin is told, or else the
    inputs themselves.

    Args:
        trial: Where the features' randomness comes from.
    """

    def __init__(self, trial: Trial) -> None:
        self.features = FrozenFeatures(trial.generator("features", "cpu"))

    def start(self, info: StreamInfo) -> None:
        """Know no class yet."""
        self.info = info
        self.counts = torch.zeros(info.classes, device=info.device)
        self.sums: Tensor | None = None

    def learn(self, inputs: Tensor, labels: Tensor, task: int | None) -> None:
        """Add the minibatch to the means."""
        features = self.features(inputs)
        if self.sums is None:
            self.sums = features.new_zeros(self.info.classes, features.shape[1])
        self.sums.index_add_(0, labels, features)
        self.counts += torch.bincount(labels, minlength=len(self.counts))

    def predict(self, inputs: Tensor, task: int | None) -> Tensor:
        """Minus the squared distance to each mean, −∞ for classes never seen; shape ``(batch, classes)``."""
        assert self.sums is not None
        means = self.sums / self.counts.clamp_min(1)[:, None]
        nearness = -torch.cdist(self.features(inputs), means).square()
        return nearness.masked_fill(self.counts == 0, -torch.inf)


@baselines.entry("linear-probe", "a linear layer on frozen features, fine-tuned", space=RATES)
class LinearProbe(OnFrozenFeatures, FineTuning):
    """A linear layer on the same frozen features, fine-tuned on each minibatch as it comes.

    Args:
        trial: Where the features and initial weights come from.
        learning_rate: Adam's.
    """

    def __init__(self, trial: Trial, *, learning_rate: float = 2e-3) -> None:
        super().__init__(trial, learning_rate=learning_rate)
        self.features = FrozenFeatures(trial.generator("features", "cpu"))
        self.built = False

    def _build(self) -> None:
        """Wait for the first minibatch: before, the features' number is not known."""

    def learn(self, inputs: Tensor, labels: Tensor, task: int | None) -> None:
        """Take one step on a minibatch."""
        features = self.features(inputs)
        if not self.built:
            with torch.random.fork_rng(devices=[]):  # weights that are set to zero need no random numbers
                layer = nn.Linear(features.shape[1], self.info.classes)
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
            self._set_net(layer.to(inputs.device))
            self.built = True
        super().learn(features, labels, task)

    def predict(self, inputs: Tensor, task: int | None) -> Tensor:
        """The layer's scores, shape ``(batch, classes)``."""
        return super().predict(self.features(inputs), task)
