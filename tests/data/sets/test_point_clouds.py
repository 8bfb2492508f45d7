"""Clouds of points: moments and places that their laws say."""

import numpy as np
import pytest

from replica.data import POINT_CLOUDS, point_cloud

RNG = np.random.default_rng


def test_a_grid_of_gaussians() -> None:
    points = point_cloud("25-gaussians", 20_000, RNG(0))
    middles, counts = np.unique(np.round(points), axis=0, return_counts=True)
    assert len(middles) == 25
    assert np.abs(middles).max() == 2
    assert np.abs(counts - 800).max() < 5 * 800**0.5
    np.testing.assert_allclose((points - np.round(points)).std(0), 0.05, rtol=0.03)


def test_moons_are_half_circles_of_radius_one() -> None:
    points = point_cloud("two-moons", 4000, RNG(0))
    radii = np.stack([np.linalg.norm(points - middle, axis=1) for middle in ([0, 0], [1, 0.5])])
    assert np.abs(radii - 1).min(axis=0).max() < 0.3
    upper = np.abs(radii[0] - 1) < np.abs(radii[1] - 1)
    assert upper.mean() == pytest.approx(0.5, abs=0.05)
    assert points[upper & (points[:, 0] < -0.2), 1].min() > -0.2


def test_a_roll_is_a_sheet_in_three_dimensions_with_noise_in_all() -> None:
    points = point_cloud("swiss-roll", 4000, RNG(0))
    values = np.linalg.svd(points - points.mean(0), compute_uv=False) / 4000**0.5
    assert values[2] > 0.5
    np.testing.assert_allclose(values[3:], 0.02, rtol=0.1)
    # A fixed turn: another seed spans the same three dimensions.
    basis = np.linalg.svd(point_cloud("swiss-roll", 4000, RNG(1)) - points.mean(0), full_matrices=False)[2][:3]
    left = (points - points.mean(0)) - (points - points.mean(0)) @ basis.T @ basis
    assert left.std() < 0.021


def test_draws_repeat_and_wrong_arguments_are_named() -> None:
    for name, law in POINT_CLOUDS.items():
        one, same, other = (point_cloud(name, 5, RNG(seed)) for seed in (0, 0, 1))
        assert one.shape == (5, law.dim)
        np.testing.assert_array_equal(one, same)
        assert (one != other).any()
        assert point_cloud(name, 0, RNG(0)).shape == (0, law.dim)
    with pytest.raises(ValueError, match="name: got 'moons', want one of 25-gaussians"):
        point_cloud("moons", 5, RNG(0))
    with pytest.raises(ValueError, match="count: got -1, want 0 or more"):
        point_cloud("two-moons", -1, RNG(0))
