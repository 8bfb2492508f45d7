"""What the claims of key_value_bottleneck stand on: their stream, their heads without training, the entry."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid

from replica.lab.claims import Trial
from replica.lab.problems.stream.info import StreamInfo
from replica.papers.memory.key_value_bottleneck import (
    RATES,
    Items,
    accuracies,
    along,
    follow,
    head_of,
    items_of,
    key_value_bottleneck,
    without_training,
)


@pytest.fixture(scope="module")
def items() -> Items:
    """Six classes of points, three tasks, far enough apart to be told and near enough to be confused."""
    rng = np.random.default_rng(0)
    centres = rng.normal(scale=2.0, size=(6, 8))
    labels = np.arange(240) % 6
    points = torch.tensor(centres[labels] + rng.normal(size=(240, 8)), dtype=torch.float32)
    answers = torch.tensor(labels)
    return Items(points[:150], answers[:150], points[150:], answers[150:], points[:50])


def test_classes_come_two_a_task_and_every_row_once() -> None:
    found = items_of("digits", Trial(3, "smoke"))
    assert found.classes == 10
    assert len(found.train) + len(found.test) + len(found.pretraining) == 200
    held = found.validation(torch.Generator().manual_seed(0))
    assert len(held.train) + len(held.test) == len(found.train)
    assert not {tuple(row.tolist()) for row in held.test} & {tuple(row.tolist()) for row in held.train}
    again = items_of("digits", Trial(3, "smoke"))
    assert torch.equal(found.train, again.train)


@pytest.mark.parametrize("kind", ["nearest neighbours", "class means"])
def test_heads_without_training_are_scikit_learns(items: Items, kind: str) -> None:
    """After the last task, among all classes."""
    peer = KNeighborsClassifier(5) if kind == "nearest neighbours" else NearestCentroid()
    predicted = peer.fit(items.train.numpy(), items.train_labels.numpy()).predict(items.test.numpy())
    wanted = [
        float((predicted == items.test_labels.numpy())[items.test_labels.numpy() // 2 == task].mean())
        for task in range(3)
    ]
    found = without_training(items, kind)
    assert found[-1].tolist() == pytest.approx(wanted, abs=0.04)  # votes may tie
    assert not found[0, 1:].any(), "a class to come is never named"


def test_a_linear_head_forgets_and_the_bottleneck_less(items: Items) -> None:
    trial = Trial(0, "smoke")
    courses = {}
    for kind, rate in (("linear", 0.5), ("bottleneck", 30.0)):
        module, seen, read = head_of(kind, items, trial)
        courses[kind] = follow(seen, module, rate, trial, read=read)
    assert courses["linear"].shape == (3, 3)
    lost = {kind: float(course[0, 0] - course[-1, 0]) for kind, course in courses.items()}
    assert lost["linear"] > lost["bottleneck"]
    assert set(RATES) == {"bottleneck", "linear", "mlp"}


def test_accuracies_and_series_are_by_task() -> None:
    scores = torch.eye(4)[[0, 1, 2, 0]]
    assert accuracies(scores, torch.tensor([0, 0, 2, 3]), 2).tolist() == [0.5, 0.5]
    course = torch.tensor([[1.0, 0.0], [0.5, 0.9]])
    assert along("head", {"a": course}) == {
        "head": ["a", "a"], "task": [1, 2], "accuracy": [1.0, pytest.approx(0.7)]
    }  # fmt: skip


@pytest.mark.parametrize("pretrained", [True, False])
def test_the_entry_learns_with_and_without_pretraining(pretrained: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    centres = 3 * torch.randn(4, 6, generator=generator)
    labels = torch.arange(80) % 4
    inputs = centres[labels] + torch.randn(80, 6, generator=generator)
    learner = key_value_bottleneck(Trial(0, "smoke"), codebooks=16, pairs=16, key_dim=4)
    learner.start(StreamInfo((6,), 4, "class", None, None, 1, 8, torch.device("cpu")))
    assert not learner.predict(inputs, None).any()
    if pretrained:
        learner.pretrain(inputs[:20], None)
    for _ in range(10):
        for rows in torch.arange(80).split(20):
            learner.learn(inputs[rows], labels[rows], None)
    assert float((learner.predict(inputs, None).argmax(1) == labels).float().mean()) > 0.9
