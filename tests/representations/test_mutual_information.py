import math

import numpy as np
import pytest
import torch
from sklearn.metrics import mutual_info_score

from replica.representations import mutual_information


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gaussians_have_the_information_of_their_correlation(dtype):
    first, noise = normal(40_000, 1), normal(40_000, 1, seed=1)
    for correlation in (0.0, 0.5, -0.8):
        second = correlation * first + math.sqrt(1 - correlation**2) * noise
        found = float(mutual_information(first.to(dtype), second.to(dtype), bins=20))
        assert found == pytest.approx(-0.5 * math.log(1 - correlation**2), abs=0.02)


def test_agrees_with_scikit_learn_on_values_that_are_bins_already():
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 4, (5000, 3)), rng.integers(0, 4, (5000, 2))
    second[:, 0] = (first[:, 1] + (rng.random(5000) < 0.2)) % 4
    found = mutual_information(torch.tensor(first).double(), torch.tensor(second).double(), bins=40)
    for i in range(3):
        for j in range(2):
            plain = mutual_info_score(first[:, i], second[:, j])
            bias = (len(set(zip(first[:, i], second[:, j], strict=True))) - 4 - 4 + 1) / (2 * 5000)
            assert float(found[i, j]) == pytest.approx(max(0.0, plain - bias), abs=1e-6)


def test_zeros_of_a_relu_have_their_own_bin():
    units = normal(20_000, 1).relu()
    zero = float((units == 0).double().mean())
    by_hand = -zero * math.log(zero) - (1 - zero) * math.log((1 - zero) / 9)
    assert float(mutual_information(units, units, bins=10)) == pytest.approx(by_hand, abs=1e-3)


def test_sees_what_correlation_does_not_and_constants_tell_nothing():
    first = normal(10_000, 1)
    second = torch.cat([first.abs(), torch.ones(10_000, 1)], 1)
    found = mutual_information(first, second)
    assert found[0, 0] > 1
    assert found[0, 1] == 0
    assert abs(float(np.corrcoef(first[:, 0], second[:, 0])[0, 1])) < 0.05


def test_any_rising_map_of_a_unit_leaves_it_alone_and_sides_can_be_exchanged():
    first, second = normal(3000, 2).relu(), (normal(3000, 2) + normal(3000, 2, seed=1)).relu()
    found = mutual_information(first, second)
    torch.testing.assert_close(mutual_information(first.exp(), second**3), found)
    torch.testing.assert_close(mutual_information(second, first), found.T)


def test_bias_is_taken_out():
    repeats = [mutual_information(normal(500, 1, seed=s), normal(500, 1, seed=s + 100)) for s in range(60)]
    assert float(torch.cat(repeats).mean()) < 0.02  # (bins − 1)² / (2 · samples) = 0.08 without


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"bins: got 1, want 2 or more"):
        mutual_information(normal(9, 1), normal(9, 1), bins=1)
    with pytest.raises(ValueError, match=r"second: got shape \(8, 1\) beside \(9, 1\)"):
        mutual_information(normal(9, 1), normal(8, 1))
