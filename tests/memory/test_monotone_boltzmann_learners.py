"""A monotone machine as a memory and as a classifier, from training that hides nodes."""

import numpy as np
import torch

from replica.memory import MonotoneBoltzmann
from replica.memory.monotone_boltzmann_learners import (
    BoltzmannClassifier,
    BoltzmannMemory,
    learn_to_complete,
    start_at_frequencies,
)


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_training_completes_pixels_and_label_at_once() -> None:
    """Two classes; nodes 0 to 3 say which, nodes 4 to 7 say the contrary, the last is noise."""
    labels = torch.randint(2, (300, 1), generator=draw())
    noise = torch.randint(2, (300, 1), generator=draw(1))
    states = torch.cat([labels.expand(-1, 4), 1 - labels.expand(-1, 4), noise], 1)
    machine = MonotoneBoltzmann([(9, 2), (8, 2), (1, 2)], rank=16, gain=0.3, tolerance=1e-2, generator=draw(2))
    frequencies = torch.nn.functional.one_hot(states, 2).float().mean(0)
    start_at_frequencies(machine, frequencies)
    torch.testing.assert_close(
        (10 * machine.biases[:18].detach()).view(9, 2).softmax(-1), frequencies, rtol=0, atol=0.02
    )
    learn_to_complete(machine, states, labels, steps=60, rate=0.02, generator=draw(3))
    shown = states.clone()
    shown[:, 2:] = -1
    with torch.no_grad():
        found = machine.readout(machine.infer(shown))
    assert float((found[0].argmax(-1) == states)[:, 2:8].float().mean()) > 0.95
    assert float((found[2].argmax(-1) == labels).float().mean()) > 0.95


def test_the_memory_takes_a_cue_as_evidence() -> None:
    patterns = torch.randn(3, 30, generator=draw()).sign()
    memory = BoltzmannMemory(hidden=8, evidence=2.0, rate=0.02, steps=60, generator=draw(1))
    memory.store(patterns)
    masked = patterns.clone()
    masked[:, :6] = 0
    assert float((memory.recall(masked) == patterns).float().mean()) > 0.9
    half = memory.fields(torch.tensor([[1.0, 0.0, -1.0]]))
    assert (half[..., 1] - half[..., 0]).tolist() == [[2.0, 0.0, -2.0]]


def test_the_classifier_cuts_equal_values_alike() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    X = rng.normal(size=(60, 4)) + 4 * np.eye(3, 4)[labels]
    classifier = BoltzmannClassifier(hidden=32, levels=3, rate=0.01, steps=60, generator=draw()).fit(X, labels + 5)
    assert classifier.classes_.tolist() == [5, 6, 7]
    assert float((classifier.predict(X) == labels + 5).mean()) > 0.8
    states = classifier.states(np.full((2, 4), 0.3))
    assert torch.equal(states[0], states[1])
    assert int(classifier.states(X).max()) == 2
