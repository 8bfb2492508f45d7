"""What the claims of monotone_boltzmann stand on: the task, the restricted machine beside ours, the entries."""

import itertools

import numpy as np
import pytest
import torch

from replica.lab.claims import Trial
from replica.memory import MonotoneBoltzmann
from replica.papers.memory.monotone_boltzmann import (
    SEEN,
    RestrictedBoltzmann,
    Task,
    boltzmann_classifier,
    boltzmann_memory,
    largest_distance,
    load_task,
    scores,
    unrestricted,
)


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pairs(count: int = 400) -> Task:
    """Two classes; pixels 0 to 3 say which, pixels 4 to 7 say the contrary, the last is noise."""
    labels = torch.randint(2, (count, 1), generator=draw())
    noise = torch.randint(2, (count, 1), generator=draw(1))
    return Task(torch.cat([labels.expand(-1, 4), 1 - labels.expand(-1, 4), noise], 1), labels, 2, 0.25, draw(2))


def test_the_task_hides_pixels_at_random_and_keeps_rows_apart() -> None:
    task = load_task(Trial(0, "smoke"))
    pixels, labels, seen = task.test
    assert len(pixels) + len(task.train[0]) == 100
    assert float(seen.float().mean()) == pytest.approx(SEEN, abs=0.05)
    assert pixels.unique().tolist() == [0, 1]
    assert labels.shape == (len(pixels), 1)
    torch.testing.assert_close(task.frequencies().sum(-1), torch.ones(64))
    torch.testing.assert_close(task.frequencies()[:, 1], task.train[0].float().mean(0))


def test_scores_count_what_is_unseen() -> None:
    task = pairs(8)
    true, label, seen = task.test
    sure = torch.nn.functional.one_hot(true, 2).float()
    right = torch.nn.functional.one_hot(label, 10).float()
    assert scores(sure, right, task) == (1.0, 1.0)
    spoiled = torch.where(seen.unsqueeze(-1), 1 - sure, sure)  # wrong where it is seen does not matter
    assert scores(spoiled, right, task)[0] == 1.0
    assert scores(1 - sure, 1 - right, task) == (0.0, 0.0)


def test_distances_and_unrestricted_couplings() -> None:
    points = torch.tensor([[0.1, 0.9], [0.4, 0.2], [0.2, 0.3]])
    assert largest_distance(points) == pytest.approx(0.7)
    machine = MonotoneBoltzmann([(3, 2), (2, 4)], rank=4, gain=1.0, generator=draw(), dtype=torch.float64)
    coupling = machine.couplings().detach()
    free = unrestricted(coupling, 1.7, machine.layout, draw(1))
    assert torch.equal(free, free.T)
    assert float(torch.linalg.matrix_norm(free, 2)) == pytest.approx(1.7)
    assert torch.equal(free == 0, coupling == 0)


def test_the_restricted_machine_learns_and_infers() -> None:
    """Its marginals, with all pixels seen but one, are near the exact ones by summing over all hidden states."""
    task = pairs()
    machine = RestrictedBoltzmann(task, 3, draw(3))
    machine.learn(steps=600, rate=0.02)
    pixels, labels, _ = task.test
    seen = torch.ones_like(pixels, dtype=torch.bool)
    seen[:, 4:] = False
    completed, answered = machine.infer(pixels, seen)
    assert float((completed.argmax(-1) == pixels)[:, 4:8].float().mean()) > 0.95
    assert float((answered.argmax(-1) == labels).float().mean()) > 0.95

    lone = torch.ones_like(pixels[:5], dtype=torch.bool)
    lone[:, 6] = False
    found, _ = machine.infer(pixels[:5], lone)
    for row in range(5):
        weights = torch.zeros(2)
        for state, label in itertools.product(range(2), range(10)):
            visible = pixels[row].clone()
            visible[6] = state
            entries = torch.cat([torch.nn.functional.one_hot(visible, 2).flatten(), torch.eye(10)[label]]).float()
            # ln Σ_h exp(xᵀWh + cᵀh) = Σ ln(1 + exp(Wᵀx + c))
            hidden = torch.nn.functional.softplus(entries @ machine.weights + machine.hidden_biases).sum()
            weights[state] += torch.exp(entries @ machine.visible_biases + hidden - 20)
        exact = weights / weights.sum()
        assert int(found[row, 6].argmax()) == int(exact.argmax())


def test_the_memory_takes_a_cue_as_evidence() -> None:
    patterns = torch.randn(3, 30, generator=draw()).sign()
    memory = boltzmann_memory(Trial(0, "laptop"), hidden=8)
    memory.steps = 60
    memory.store(patterns)
    masked = patterns.clone()
    masked[:, :6] = 0
    assert float((memory.recall(masked) == patterns).float().mean()) > 0.9
    half = memory._fields(torch.tensor([[1.0, 0.0, -1.0]]))
    assert (half[..., 1] - half[..., 0]).tolist() == [[memory.evidence, 0.0, -memory.evidence]]


def test_the_classifier_cuts_equal_values_alike() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    X = rng.normal(size=(60, 4)) + 4 * np.eye(3, 4)[labels]
    classifier = boltzmann_classifier(Trial(0, "smoke"), levels=3).fit(X, labels + 5)
    assert classifier.classes_.tolist() == [5, 6, 7]
    assert float((classifier.predict(X) == labels + 5).mean()) > 0.8
    states = classifier._states(np.full((2, 4), 0.3))
    assert torch.equal(states[0], states[1])
    assert int(classifier._states(X).max()) == 2
