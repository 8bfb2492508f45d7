import math

import numpy as np
import pytest
import torch
from scipy.special import ive

from replica.data import digits
from replica.lab.claims import Trial
from replica.memory import ModernHopfield
from replica.papers.memory import hopfield
from replica.papers.memory.hopfield import (
    POOLINGS,
    STORAGE_ERROR,
    TARGET_DIGIT,
    BagClassifier,
    GatedAttention,
    make_bags,
    on_sphere,
    paper,
    patterns_until_error,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_stream_finds_the_count_that_a_memory_of_all_patterns_finds(monkeypatch):
    dim, drawn = 8, []

    def record(count, dim, radius, generator):
        drawn.append(on_sphere(count, dim, radius, generator))
        return drawn[-1]

    monkeypatch.setattr(hopfield, "on_sphere", record)
    counts = patterns_until_error(dim, 6, 10_000, seeded())
    targets, noise, *others = drawn
    stream, cues, radius = torch.cat(others).double(), (targets + noise).double(), math.sqrt(dim - 1)
    steps = np.cumsum([1, *(len(block) for block in others)])
    for i in range(6):
        count = int(counts[i])
        before = int(steps[np.searchsorted(steps, count) - 1])
        for size, over in ((before, False), (count, True)):
            patterns = torch.cat([targets[i : i + 1].double(), stream[: size - 1]])
            error = (ModernHopfield(patterns, beta=1.0)(cues[i]) - patterns[0]).norm() / radius
            assert (error > STORAGE_ERROR) == over


def test_storage_agrees_with_the_mean_over_the_sphere():
    # For many patterns Σ w_j (x_j − x_i) tends to its mean, given by Bessel functions: with κ = M ‖ξ‖ and
    # A = I_{d/2}(κ) / I_{d/2−1}(κ), the error of N patterns is N E[w] ‖A M ξ/‖ξ‖ − x_i‖ / (1 + N E[w]).
    dim, radius, order = 20, math.sqrt(19), 9
    measured = float(patterns_until_error(dim, 200, 2**22, seeded()).median())
    tilt = 0.1
    kappa = radius**2 * math.sqrt(1 + tilt**2)
    mean_weight = math.exp(
        math.lgamma(dim / 2) + order * math.log(2 / kappa) + math.log(ive(order, kappa)) + kappa - radius**2
    )
    cosine = ive(order + 1, kappa) / ive(order, kappa)
    miss = math.sqrt(cosine**2 + 1 - 2 * cosine / math.sqrt(1 + tilt**2))
    predicted = STORAGE_ERROR / (mean_weight * (miss - STORAGE_ERROR))
    assert math.log(measured) == pytest.approx(math.log(predicted), abs=0.4)


def test_bags_hold_the_target_exactly_where_they_say():
    images = np.repeat(np.arange(1, 101, dtype=np.float32)[:, None, None] / 100, 2, axis=2)
    labels = np.arange(100) % 10
    bags, padding, positive = make_bags(images, labels, 300, np.random.default_rng(0))
    assert positive.sum() == 150
    assert (bags[padding] == 0).all()
    assert (bags[~padding] > 0).all()
    members = (bags[..., 0] * 100).round().long() - 1
    holds = ((members % 10 == TARGET_DIGIT) & ~padding).any(-1)
    assert torch.equal(holds.float(), positive)
    assert float((~padding).sum(1).double().mean()) == pytest.approx(10, abs=0.4)


@pytest.mark.parametrize("name", POOLINGS)
def test_poolings_ignore_padding_and_order(name):
    model = BagClassifier(7, name, seeded())
    bags = torch.randn(3, 6, 7, generator=seeded(1))
    none = torch.zeros(3, 6, dtype=torch.bool)
    padded, padding = torch.cat([bags, 9 * bags], 1), torch.arange(12).expand(3, 12) >= 6
    logits = model(bags, none)
    torch.testing.assert_close(model(padded, padding), logits, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        model(bags[:, torch.randperm(6, generator=seeded(2))], none), logits, atol=1e-5, rtol=1e-4
    )


def test_gated_attention_is_the_formula_of_ilse_et_al():
    pooling = GatedAttention(5, 3, seeded())
    members = torch.randn(1, 4, 5, generator=seeded(1))
    v, u, w = pooling.content[0], pooling.gate[0], pooling.score[0]
    scores = [w(torch.tanh(v(h)) * torch.sigmoid(u(h))).item() for h in members[0]]
    weights = np.exp(scores) / np.exp(scores).sum()
    expected = sum(float(a) * h for a, h in zip(weights, members[0], strict=True))
    torch.testing.assert_close(pooling(members, torch.zeros(1, 4, dtype=torch.bool))[0], expected)


def test_entry_recalls_images_whatever_their_brightness():
    images = torch.from_numpy(digits().values[:50].reshape(50, -1))
    memory = paper.entries["modern-hopfield"].make(Trial(0))
    memory.store(images)
    torch.testing.assert_close(memory.recall(0.5 * images), images, atol=1e-3, rtol=0)
