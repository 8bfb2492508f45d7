"""What the claims of key_value_bottleneck stand on: their stream, the controls without training, the entry."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid

from replica.lab.claims import Trial
from replica.lab.problems.stream.info import StreamInfo
from replica.papers.memory.key_value_bottleneck import (
    Items,
    bottleneck_of,
    follow,
    head_of,
    items_of,
    key_value_bottleneck,
    without_training,
)


@pytest.fixture(scope="module")
def items() -> Items:
    """Six classes of points, three tasks, far enough apart to be parted and near enough to be confused."""
    rng = np.random.default_rng(0)
    centres = rng.normal(scale=2.0, size=(6, 8))
    labels = np.arange(240) % 6
    points = torch.tensor(centres[labels] + rng.normal(size=(240, 8)), dtype=torch.float32)
    answers = torch.tensor(labels)
    return Items(points[:150], answers[:150], points[150:], answers[150:], points[:50])


def test_classes_come_two_a_task_and_every_row_once() -> None:
    found, _ = items_of("digits", Trial(3, "smoke"))
    assert found.tasks == 5
    assert len(found.train) + len(found.test) + len(found.pretraining) == 200
    held = found.validation(torch.Generator().manual_seed(0))
    assert len(held.train) + len(held.test) == len(found.train)
    assert not {tuple(row.tolist()) for row in held.test} & {tuple(row.tolist()) for row in held.train}


@pytest.mark.parametrize("kind", ["nearest neighbours", "class means"])
def test_heads_without_training_are_scikit_learns(items: Items, kind: str) -> None:
    """After the last task, among all classes."""
    peer = KNeighborsClassifier(5) if kind == "nearest neighbours" else NearestCentroid()
    predicted = peer.fit(items.train.numpy(), items.train_labels.numpy()).predict(items.test.numpy())
    truth = items.test_labels.numpy()
    wanted = [float((predicted == truth)[truth // 2 == task].mean()) for task in range(3)]
    found = without_training(items, kind)
    assert found[-1].tolist() == pytest.approx(wanted, abs=0.04)  # votes may tie
    assert not found[0, 1:].any(), "a class to come is never named"


def test_a_linear_head_forgets_and_the_bottleneck_less(items: Items) -> None:
    trial = Trial(0, "smoke")
    linear, _ = follow(head_of("linear", items, trial), 0.5, trial)
    ours, scores = follow(head_of("bottleneck", items, trial, bottleneck_of(items, trial)), 30.0, trial)
    assert linear.shape == (3, 3)
    assert linear[0, 0] - linear[-1, 0] > ours[0, 0] - ours[-1, 0]
    assert len(scores) == 3


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
