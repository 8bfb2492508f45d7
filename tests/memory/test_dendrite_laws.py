import itertools
import math

import numpy as np
import pytest
import torch
from scipy.stats import hypergeom

from replica.memory import (
    expected_union_synapses,
    log_any_match,
    log_false_match,
    log_false_negative,
    log_overlap,
    log_union_false_match,
    threshold_range,
    union_capacity,
    union_synapses,
)


def log_ratio(part: int, whole: int) -> float:
    """Natural logarithm of part / whole to rounding, for numbers of any size, and near 1."""
    if 2 * part > whole:
        return math.log1p(-math.exp(log_ratio(whole - part, whole))) if part < whole else 0.0
    shift = whole.bit_length() - part.bit_length() + 80
    return math.log((part << shift) // whole) - shift * math.log(2)


def exact_false_match(n: int, a: int, s: int, theta: int) -> float:
    ways = sum(math.comb(s, b) * math.comb(n - s, a - b) for b in range(theta, min(s, a) + 1))
    return log_ratio(ways, math.comb(n, a))


# The paper's own settings, n = 200,000, dense activity, certainties nearly reached, tails under the smallest float.
SETTINGS = [
    (200_000, 2_000, 24, 12),
    (200_000, 6_000, 50, 9),
    (200_000, 1_000, 200, 20),
    (20_000, 10_000, 40, 30),
    (20_000, 10_000, 40, 5),
    (200_000, 1_000, 100, 95),
    (10_000, 300, 30, 12),
    (10_000, 5_000, 24, 12),
    (6_000, 128, 30, 20),
    (300, 64, 24, 12),
    (128, 32, 24, 12),
    (60, 30, 20, 3),
    (20, 17, 18, 15),
    (7, 3, 2, 1),
]


@pytest.mark.parametrize("setting", SETTINGS)
def test_false_match_equals_exact_fractions(setting):
    # An absolute error of the logarithm is a relative error of the probability.
    assert log_false_match(*setting).item() == pytest.approx(exact_false_match(*setting), rel=0, abs=1e-12)


@pytest.mark.parametrize("setting", SETTINGS)
def test_overlaps_sum_to_one_and_equal_exact_fractions(setting):
    n, a, s, theta = setting
    log_p = log_overlap(n, a, s, torch.arange(s + 1))
    assert torch.logsumexp(log_p, 0).item() == pytest.approx(0, abs=1e-12)
    exact = log_ratio(math.comb(s, theta) * math.comb(n - s, a - theta), math.comb(n, a))
    assert log_p[theta].item() == pytest.approx(exact, rel=0, abs=1e-12)
    mean = (log_p.exp() * torch.arange(s + 1)).sum().item()
    assert mean == pytest.approx(s * a / n)
    torch.testing.assert_close(
        log_overlap(n, s, a, theta), log_p[theta], rtol=0, atol=1e-12
    )  # pattern and segment swap


def test_it_agrees_with_scipy_over_a_broadcast_grid():
    n, a, s = np.array([50, 90])[:, None, None], np.array([0, 1, 20, 50])[:, None], np.array([0, 3, 25, 50])
    for theta in (-1, 0, 1, 5, 26):
        law = log_false_match(n, a, s, theta)
        assert law.shape == (2, 4, 4)
        assert law.dtype == torch.float64
        np.testing.assert_allclose(law.exp(), hypergeom.sf(theta - 1, n, a, s), rtol=1e-10, atol=1e-300)
    exact = log_false_match(torch.tensor([[90], [50]]), 20, torch.tensor([10, 20, 30]), 5)
    assert exact.shape == (2, 3)
    assert exact[1, 2].item() == log_false_match(50, 20, 30, 5).item()


def test_all_patterns_of_a_small_population_counted():
    n, a, segment = 8, 3, {0, 1, 2, 5}
    overlaps = [len(segment & set(pattern)) for pattern in itertools.combinations(range(n), a)]
    for theta in range(5):
        share = sum(overlap >= theta for overlap in overlaps) / len(overlaps)
        assert log_false_match(n, a, 4, theta).exp().item() == pytest.approx(share)


def test_all_noises_of_a_small_pattern_counted():
    a, s, v = 7, 4, 3
    kept = [s - len(set(range(s)) & set(lost)) for lost in itertools.combinations(range(a), v)]
    for theta in range(6):
        share = sum(k < theta for k in kept) / len(kept)
        assert log_false_negative(a, s, theta, v).exp().item() == pytest.approx(share, abs=1e-15)


def test_certainties():
    assert log_false_match(10, 0, 4, 1).item() == -math.inf
    assert log_false_match(10, 10, 4, 4).item() == 0
    assert log_false_match(10, 3, 0, 0).item() == 0
    assert log_false_match(10, 8, 5, 3).item() == 0  # at least three overlap, whatever the pattern
    assert log_false_match(10, 3, 10, 4).item() == -math.inf
    assert log_false_negative(20, 5, 5, 0).item() == -math.inf
    assert log_false_negative(20, 5, 5, 20).item() == 0
    assert log_false_negative(20, 20, 10, 10).item() == -math.inf  # the noise that a segment bears for certain


def test_the_authors_own_values():
    """Printed in their published script for 200 active cells, 25 synapses a pattern, threshold 15 (Figure 7B)."""
    for cells, patterns, value in (
        (1000, 1, 1.00140315240769e-5),
        (1000, 2, 0.0473894530292855),
        (10_000, 10, 0.000127080441383853),
        (20_000, 10, 3.32242567600452e-8),
    ):
        law = log_union_false_match(cells, 200, 25, 15, patterns, exact=False).exp().item()
        assert law == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize(("log_p", "segments"), [(-800.0, 10**6), (-50.0, 3), (-3.0, 7), (-1e-3, 2), (-45.0, 10**20)])
def test_any_match_in_every_range(log_p, segments):
    mp = pytest.importorskip("mpmath")
    with mp.workdps(60 + segments.bit_length()):
        p = mp.exp(mp.mpf(log_p))
        mp.mp.dps = 700
        exact = float(mp.log(1 - mp.exp(segments * mp.log(1 - mp.exp(mp.mpf(log_p))))))
        assert p > 0
    assert log_any_match(log_p, segments).item() == pytest.approx(exact, rel=1e-12)
    assert log_any_match(log_p, segments).item() <= min(0.0, log_p + math.log(segments)) + 1e-12  # the union bound


def test_any_match_at_the_ends():
    assert log_any_match(-math.inf, 5).item() == -math.inf
    assert log_any_match(0.0, 5).item() == 0
    assert log_any_match(-1.0, 0).item() == -math.inf
    assert log_any_match([-1.0, -2.0], [[1], [2], [3]]).shape == (3, 2)


def test_unions_counted_one_by_one():
    samples = list(itertools.combinations(range(6), 2))
    sizes = [len(set().union(*union)) for union in itertools.product(samples, repeat=3)]
    counted = np.bincount(sizes, minlength=7) / len(sizes)
    np.testing.assert_allclose(union_synapses(6, 2, 3), counted, atol=1e-15)
    pattern = {0, 1, 4}
    for theta in (1, 2, 3):
        share = np.mean([len(pattern & set().union(*union)) >= theta for union in itertools.product(samples, repeat=3)])
        assert log_union_false_match(6, 3, 2, theta, 3).exp().item() == pytest.approx(share)


@pytest.mark.parametrize(("cells", "synapses", "patterns"), [(1000, 25, 19), (20_000, 25, 10), (50, 20, 7), (9, 9, 2)])
def test_union_sizes_have_the_papers_mean(cells, synapses, patterns):
    share = union_synapses(cells, synapses, patterns)
    assert len(share) == min(cells, synapses * patterns) + 1
    assert share.sum().item() == pytest.approx(1, abs=1e-12)
    mean = (share * torch.arange(len(share))).sum().item()
    assert mean == pytest.approx(expected_union_synapses(cells, synapses, patterns).item(), rel=1e-12)


def test_a_union_of_one_pattern_is_that_pattern():
    one = log_union_false_match(10_000, 300, 30, 12, 1)
    assert one.item() == pytest.approx(log_false_match(10_000, 300, 30, 12).item(), rel=1e-14)
    assert log_union_false_match(10_000, 300, 30, 12, 0).item() == -math.inf


def test_capacity_is_the_last_union_within_the_limit():
    for limit in (1e-3, 1e-9):
        capacity = union_capacity(5000, 100, 20, 10, error=limit)
        assert log_union_false_match(5000, 100, 20, 10, capacity).exp() <= limit
        assert log_union_false_match(5000, 100, 20, 10, capacity + 1).exp() > limit
    assert union_capacity(50, 25, 20, 5, error=1e-9) == 0


def test_thresholds_are_the_last_within_the_limit():
    cells, active, synapses = torch.tensor([10_000, 100_000]), torch.tensor([300, 1000]), torch.tensor([[30], [50]])
    lowest, highest = threshold_range(cells, active, synapses, changed=50, error=1e-6)
    assert lowest.shape == highest.shape == (2, 2)
    limit = math.log(1e-6)
    assert (log_false_match(cells, active, synapses, lowest) <= limit).all()
    assert (log_false_match(cells, active, synapses, lowest - 1) > limit).all()
    assert (log_false_negative(active, synapses, highest, 50) <= limit).all()
    assert (log_false_negative(active, synapses, highest + 1, 50) > limit).all()
    assert threshold_range(10_000, 300, 30).highest.item() == 30  # without noise a segment bears any threshold


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: log_false_match(10, 11, 3, 1), "active is 11"),
        (lambda: log_false_match(10, 3, [3, 12], 1), "synapses is 12"),
        (lambda: log_false_match(0, 0, 0, 1), "cells is 0"),
        (lambda: log_false_match(10, 2.5, 3, 1), "active is 2.5"),
        (lambda: log_overlap(10, 3, 3, 0.5), "overlap is 0.5"),
        (lambda: log_false_negative(10, 3, 1, 11), "changed is 11"),
        (lambda: log_false_negative(10, 11, 1, 1), "synapses is 11"),
        (lambda: log_any_match(0.1, 3), "log_probability is 0.1"),
        (lambda: log_any_match(-1.0, -3), "segments is -3"),
        (lambda: union_synapses(10, 3, -1), "patterns is -1"),
        (lambda: union_capacity(10, 3, 3, 4), "threshold is 4"),
        (lambda: union_capacity(10, 3, 3, 2, error=1.0), "error is 1"),
        (lambda: threshold_range(10, 3, 3, error=0.0), "error is 0"),
    ],
)
def test_bad_arguments_are_named(call, named):
    with pytest.raises(ValueError, match=named) as caught:
        call()
    assert "\n" not in str(caught.value)
