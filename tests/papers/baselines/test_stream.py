"""The problem stream's own methods, and the frozen features that they and papers stand on."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestCentroid
from torch import Tensor, nn
from torch.nn import functional

from replica.data import digits
from replica.lab.claims import Trial
from replica.lab.problems.stream.info import Setting, StreamInfo
from replica.papers.baselines.stream import EWC, FineTuning, Joint, LinearProbe, LwF, NearestClassMean, Replay

CPU = torch.device("cpu")


def info(
    shape: tuple[int, ...] = (5,), classes: int = 4, setting: Setting = "class", told: bool = True, **other: Any
) -> StreamInfo:
    parts = tuple(tuple(range(k, k + 2)) for k in range(0, classes, 2))
    told_of: Any = (len(parts), parts) if told else (None, None)
    return StreamInfo(shape, classes, setting, *told_of, **({"epochs": 2, "batch": 4, "device": CPU} | other))


def batch(count: int = 8, shape: tuple[int, ...] = (5,), classes: tuple[int, ...] = (0, 1), seed: int = 0) -> Any:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.tensor(classes).repeat(count)[:count]
    return torch.randn(count, *shape, generator=generator) + labels.reshape(-1, *[1] * len(shape)), labels


def weights(method: Any) -> Tensor:
    return torch.cat([p.detach().flatten() for p in method.net.parameters()])


# --- fine-tuning and its masks -------------------------------------------------------------------------------------------


def test_a_step_is_adams_on_the_classes_seen() -> None:
    method, twin = FineTuning(Trial(0)), FineTuning(Trial(0))
    for each in (method, twin):
        each.start(info())
    inputs, labels = batch()
    method.learn(inputs, labels, 0)
    optimiser = torch.optim.Adam(twin.net.parameters(), lr=twin.learning_rate)
    functional.cross_entropy(twin.net(inputs)[:, :2], labels).backward()  # of classes 2 and 3 nothing was seen
    optimiser.step()
    torch.testing.assert_close(weights(method), weights(twin))


def test_with_the_task_known_only_its_classes_are_pushed() -> None:
    method = FineTuning(Trial(0))
    method.start(info(setting="task"))
    method.learn(*batch(), 0)
    before = method.net.head.weight.detach().clone()
    method.learn(*batch(classes=(2, 3)), 1)
    after = method.net.head.weight.detach()
    # Adam's momentum still moves the old rows; the gradient does not.
    assert method.net.head.weight.grad[:2].abs().max() == 0
    assert method.net.head.weight.grad[2:].abs().max() > 0
    assert (after[2:] - before[2:]).abs().max() > 0


# --- joint and replay ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "second"), [(8, 8), (9, 5), (3, 17)])
def test_joint_training_passes_everything_as_often_as_the_stream_its_tasks(first: int, second: int) -> None:
    seen: list[Counter[float]] = []

    class Counts(Joint):
        def step(self, inputs: Tensor, labels: Tensor, tasks: Tensor | None) -> None:
            assert len(inputs) <= 4
            seen[-1].update(inputs[:, 0].tolist())
            super().step(inputs, labels, tasks)

    method = Counts(Trial(0))
    method.start(info())
    items: list[float] = []
    for task, (count, classes) in enumerate(((first, (0, 1)), (second, (2, 3)))):
        inputs, labels = batch(count, classes=classes, seed=task)
        items += inputs[:, 0].tolist()
        seen.append(Counter())
        method.begin_task(task, inputs, labels)
        for _ in range(2):
            for rows in np.array_split(np.arange(count), -(-count // 4)):
                method.learn(inputs[rows], labels[rows], task)
        assert seen[-1] == Counter(dict.fromkeys(items, 2))


def test_the_reservoir_is_a_uniform_sample() -> None:
    kept = np.zeros(60)
    for seed in range(300):
        method = Replay(Trial(seed), memory=12)
        method.generator = torch.Generator().manual_seed(seed)
        method.info = info(shape=(1,))
        method.items, method.answers = torch.zeros(12, 1), torch.zeros(12, dtype=torch.int64)
        method.of_task, method.offered = torch.zeros_like(method.answers), 0
        for start in range(0, 60, 15):
            numbers = torch.arange(start, start + 15)
            method.offer(numbers[:, None].float(), numbers, start // 15)
        held = method.items[:, 0].long()
        assert len(set(held.tolist())) == 12
        assert torch.equal(held, method.answers)
        assert torch.equal(held // 15, method.of_task)
        kept[held] += 1
    # Each of 60 items is kept with chance 1/5: binomial, 300 times.
    assert np.abs(kept / 300 - 0.2).max() < 5 * np.sqrt(0.2 * 0.8 / 300)
    assert abs(kept[:12].mean() - kept[48:].mean()) / 300 < 0.05


def test_replay_mixes_as_many_old_items_in() -> None:
    sizes: list[tuple[int, int]] = []

    class Looks(Replay):
        def step(self, inputs: Tensor, labels: Tensor, tasks: Tensor | None) -> None:
            sizes.append((len(inputs), int((labels < 2).sum())))
            super().step(inputs, labels, tasks)

    told = Looks(Trial(0), memory=6)
    told.start(info())
    inputs, labels = batch(8)
    told.learn(inputs[:4], labels[:4], 0)
    told.end_task(0, inputs, labels)
    told.learn(*batch(4, classes=(2, 3)), 1)
    assert sizes == [(4, 4), (8, 4)]
    untold = Looks(Trial(0), memory=6)
    untold.start(info(told=False))
    untold.learn(inputs[:4], labels[:4], None)
    untold.learn(inputs[4:], labels[4:], None)
    assert sizes[2:] == [(4, 4), (8, 8)]
    assert untold.offered == 8


# --- EWC and LwF ---------------------------------------------------------------------------------------------------------


def test_the_fisher_information_of_a_linear_net_in_closed_form() -> None:
    """For softmax regression, with labels drawn from p, E[(∂ log p / ∂W_kj)²] = p_k (1 − p_k) x_j²."""
    method = EWC(Trial(0))
    method.start(info(classes=2, shape=(3,)))
    method.net = nn.Linear(3, 2)
    method.seen[:] = True
    x = torch.randn(1, 3, generator=torch.Generator().manual_seed(1))
    p = method.net(x).softmax(dim=1)[0]
    fisher = method._fisher_diagonal(x.expand(20_000, -1).contiguous(), None)
    expected = (p * (1 - p))[:, None] * x.square()
    torch.testing.assert_close(fisher["weight"], expected, rtol=0.05, atol=1e-4)
    torch.testing.assert_close(fisher["bias"], p * (1 - p), rtol=0.05, atol=1e-4)


@pytest.mark.parametrize("setting", ["class", "task"])
def test_the_fisher_information_against_a_loop(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    method = EWC(Trial(0))
    method.start(info(setting=setting, shape=(8, 8)))
    inputs, labels = batch(6, (8, 8))
    method.learn(inputs, labels, 0)
    monkeypatch.setattr(torch, "multinomial", lambda chances, *_, **__: labels[:, None])
    tasks = torch.zeros_like(labels) if setting == "task" else None
    fisher = method._fisher_diagonal(inputs, tasks)
    for name, weight in method.net.named_parameters():
        slopes = [
            torch.autograd.grad(functional.cross_entropy(method.net(x[None])[:, :2], y[None]), weight)[0].square()
            for x, y in zip(inputs, labels, strict=True)
        ]
        torch.testing.assert_close(fisher[name], torch.stack(slopes).mean(dim=0), rtol=1e-4, atol=1e-7)


def test_the_penalty_pulls_each_weight_back_by_what_it_matters() -> None:
    method = EWC(Trial(0), strength=3.0, decay=0.5)
    method.start(info())
    inputs, labels = batch()
    scores = torch.zeros(1)
    assert method.penalty(inputs, scores) == 0
    method.learn(inputs, labels, 0)
    method.end_task(0, inputs, labels)
    assert method.penalty(inputs, scores) == 0
    first = {name: value.clone() for name, value in method.fisher.items()}
    with torch.no_grad():
        for weight in method.net.parameters():
            weight += 0.1
    penalty = method.penalty(inputs, scores)
    assert float(penalty.detach()) == pytest.approx(
        0.5 * 3 * 0.01 * sum(float(f.sum()) for f in first.values()), rel=1e-4
    )
    slopes = torch.autograd.grad(penalty, list(method.net.parameters()))
    for slope, fisher in zip(slopes, first.values(), strict=True):
        torch.testing.assert_close(slope, 3 * fisher * 0.1, rtol=1e-3, atol=1e-8)
    method.generator.manual_seed(0)
    new = method._fisher_diagonal(inputs[torch.randperm(len(inputs), generator=method.generator)], None)
    method.generator.manual_seed(0)
    method.end_task(1, inputs, labels)
    for name, value in method.fisher.items():
        torch.testing.assert_close(value, 0.5 * first[name] + new[name])


@pytest.mark.parametrize("setting", ["class", "task", "domain"])
def test_distillation(setting: Setting) -> None:
    method = LwF(Trial(0), strength=2.0, temperature=3.0)
    method.start(info(classes=6, setting=setting))
    inputs, labels = batch()
    method.begin_task(0, inputs, labels)
    method.learn(inputs, labels, 0)
    assert method.penalty(inputs, method.net(inputs)) == 0
    for task, classes in enumerate(((2, 3), (4, 5)), start=1):
        method.begin_task(task, *batch(classes=classes))
        assert float(method.penalty(inputs, method.net(inputs)).detach()) == pytest.approx(0, abs=1e-6)
        method.learn(*batch(classes=classes), task)
    scores = method.net(inputs).detach()
    old = method._old(inputs)
    groups = [[0, 1], [2, 3]] if setting == "task" else [[0, 1, 2, 3]]
    expected = 0.0
    for group in groups:
        p, q = ((s[:, group] / 3).softmax(dim=1) for s in (old, scores))
        expected += float((p * (p / q).log()).sum(dim=1).mean()) * 2 * 9 / len(groups)
    assert float(method.penalty(inputs, scores).detach()) == pytest.approx(expected, rel=2e-3)
    assert not any(weight.requires_grad for weight in method.teacher.parameters())


# --- frozen features and what stands on them -----------------------------------------------------------------------------


def images(count: int) -> tuple[Tensor, Tensor]:
    found = digits()
    values = torch.from_numpy(found.values[:count])
    return (values - values.mean()) / values.std(), torch.from_numpy(found.labels[:count])


def test_nearest_class_mean_is_scikit_learns() -> None:
    inputs, labels = images(300)
    method = NearestClassMean(Trial(0))
    method.start(info((8, 8), 10))
    method.pretrain(inputs[:100], None)
    order = torch.cat([torch.randperm(200) for _ in range(2)])
    for rows in order.split(17):
        method.learn(inputs[:200][rows], labels[:200][rows], None)
    centroids = NearestCentroid().fit(method.features(inputs[:200]).numpy(), labels[:200].numpy())
    predicted = method.predict(inputs[200:], None).argmax(dim=1)
    np.testing.assert_array_equal(predicted.numpy(), centroids.predict(method.features(inputs[200:]).numpy()))
    assert (predicted == labels[200:]).float().mean() > 0.8


@pytest.mark.parametrize("kind", [NearestClassMean, LinearProbe])
def test_without_pretraining_features_come_from_the_first_task_or_are_the_inputs(kind: Any) -> None:
    inputs, labels = images(60)
    told, untold = kind(Trial(0)), kind(Trial(0))
    for method in (told, untold):
        method.start(info((8, 8), 10, told=method is told))
    told.begin_task(0, inputs, labels)
    for method in (told, untold):
        method.learn(inputs, labels, None)
        assert method.predict(inputs, None).shape == (60, 10)
    assert told.features.fitted
    first = told.features(inputs)
    told.begin_task(1, inputs + 1, labels)
    assert torch.equal(told.features(inputs), first), "and then stay"
    assert not untold.features.fitted
    assert torch.equal(untold.features(inputs), inputs.flatten(1))
