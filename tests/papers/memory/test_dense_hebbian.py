import math

import pytest
import torch

from replica.lab.claims import Trial
from replica.papers.memory.dense_hebbian import (
    dense_hebbian,
    example_averages,
    noisy_copies,
    paper,
    random_patterns,
    stored_at_half,
)


def test_entry_recalls_and_respects_its_order():
    trial = Trial(0, "smoke")
    patterns = random_patterns(trial, 20, 64, "patterns")
    memory = dense_hebbian(trial, order=3)
    memory.store(patterns)
    cues = patterns.clone()
    cues[:, :6] *= -1
    assert memory.order == 3
    assert torch.equal(memory.recall(cues), patterns)
    assert paper.entries["dense-hebbian"].needs == {"values": ("binary",)}


def test_averages_have_the_law_of_averages_over_examples():
    generator = torch.Generator().manual_seed(0)
    patterns, quality, examples = torch.ones(200, 200), 0.3, 7
    drawn = example_averages(patterns, quality, examples, generator)
    shown = noisy_copies(torch.ones(40_000), quality, examples, generator).mean(0).reshape(200, 200)
    scale = math.sqrt(quality**2 + (1 - quality**2) / examples)
    assert float(drawn.square().mean()) == pytest.approx(1, abs=0.02)
    assert float(drawn.mean()) == pytest.approx(quality / scale, abs=0.02)
    levels = torch.arange(examples + 1)
    counts = [((values + 1) * examples / 2).round().unsqueeze(-1) == levels for values in (drawn * scale, shown)]
    found = [count.float().mean((0, 1)) for count in counts]
    torch.testing.assert_close(found[0], found[1], atol=0.01, rtol=0)


def test_capacity_search_finds_the_jump():
    patterns = random_patterns(Trial(0), 400, 1000, "patterns")
    assert 0.13 < stored_at_half([patterns], 2, 80, 350, halvings=6) / 1000 < 0.19
