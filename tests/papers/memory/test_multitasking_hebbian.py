import numpy as np
import pytest
import torch

from replica.lab.claims import Trial
from replica.memory.multitasking_patterns import diluted_patterns
from replica.papers.memory.multitasking_hebbian import crossing, paper


def test_the_entry_recalls_binary_patterns_and_is_fresh_each_time():
    trial = Trial(seed=0)
    (entry,) = paper.entries.values()
    assert entry.needs == {"values": ("binary",)}
    first, second = entry.make(trial), entry.make(trial)
    assert first is not second
    patterns = diluted_patterns(5, 300, 0.0, generator=torch.Generator().manual_seed(0))
    cues = patterns.clone()
    cues[:, :60] *= -1
    first.store(patterns)
    assert torch.equal(first.recall(cues), patterns)
    warm = [entry.make(trial, temperature=0.3).store(patterns).recall(cues) for _ in range(2)]
    assert torch.equal(*warm)


def test_crossing_is_read_between_points_on_a_logarithmic_axis():
    assert crossing([10, 100], np.array([0.8, 1.0]), 0.9) == pytest.approx(np.sqrt(1000))
    assert crossing([10, 100], np.array([0.1, 0.2]), 0.9) == 100
    assert crossing([10, 100, 1000], np.array([0.95, 0.97, 0.99]), 0.9) == pytest.approx(10)
