"""The baselines of sample: moments, the width beside scikit-learn, planted components, and who is told for a copier."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV, LeaveOneOut
from sklearn.neighbors import KernelDensity as Peer

from replica.data import point_cloud
from replica.lab.claims import Trial
from replica.lab.problems import get
from replica.papers.baselines.sample import Gaussian, KernelDensity, Mixture

problem = get("sample")


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize(("rows", "dim"), [(50, 3), (6, 20)])
def test_the_gaussian_has_mean_and_covariance_of_the_data(rows: int, dim: int) -> None:
    data = torch.randn(rows, dim, generator=generator()) @ torch.randn(dim, dim, generator=generator()) + 3
    model = Gaussian(generator())
    model.fit(data.reshape(rows, 1, dim))
    torch.testing.assert_close((model.root.T @ model.root).float(), data.T.cov().reshape(dim, dim))
    drawn = model.sample(200_000)
    assert drawn.shape == (200_000, 1, dim)
    flat, scale = drawn.flatten(1), data.std(0).max()
    torch.testing.assert_close(flat.mean(0) / scale, data.mean(0) / scale, atol=0.02, rtol=0)
    torch.testing.assert_close(flat.T.cov() / scale**2, data.T.cov() / scale**2, atol=0.03, rtol=0)
    assert model.n_parameters == dim + dim * (dim + 1) // 2


def test_the_width_of_the_kernels_is_the_one_scikit_learn_finds() -> None:
    data = torch.randn(40, 2, generator=generator())
    model = KernelDensity(generator())
    model.fit(data)
    widths = {"bandwidth": np.logspace(-3, np.log10(2), 40)}
    peer = GridSearchCV(Peer(), widths, cv=LeaveOneOut()).fit(data.numpy())
    assert model.noise == pytest.approx(peer.best_params_["bandwidth"], rel=1e-5)
    off = torch.cdist(model.sample(2000), data).amin(1)
    assert float(off.median()) < 2 * model.noise


def test_the_mixture_finds_planted_components_and_leaves_small_directions_gaussian() -> None:
    rng = np.random.default_rng(0)
    corners = 10 * np.array([[0, 0], [1, 0], [0, 1]])
    planted = corners[rng.integers(3, size=400)] + rng.normal(size=(400, 2))
    small = rng.normal(size=(400, 60)) * np.linspace(0.05, 0.02, 60)
    model = Mixture(50, Trial(0))
    model.fit(torch.tensor(np.concatenate([planted, small], axis=1), dtype=torch.float32))
    assert model.model.n_components == 3
    drawn = model.sample(4000)
    nearest = np.linalg.norm(drawn[:, None, :2] - corners, axis=2)
    np.testing.assert_allclose(np.bincount(nearest.argmin(1)) / 4000, 1 / 3, atol=0.06)
    assert nearest.min(1).max() < 5
    np.testing.assert_allclose(drawn[:, 2:].std(0), small.std(0), rtol=0.2)


def test_one_gaussian_is_enough_for_one_gaussian() -> None:
    model = Mixture(50, Trial(0))
    model.fit(torch.randn(300, 3, generator=generator()))
    assert model.model.n_components == 1


def test_novelty_tells_the_copier_and_precision_the_trivial_method() -> None:
    data = problem.load("two-moons", {})
    options = problem.resolve({"train": 400, "test": 200, "steps": 300})
    found = {one.name: problem.run(Trial(0), one.make, data, options).metrics for one in problem.baselines()}
    assert found["noisy-copies"]["novelty"] < 0.5
    assert found["gaussian"]["precision"] < 0.6
    for name in ("kernel-density", "gaussian-mixture", "diffusion"):
        assert 0.8 < found[name]["novelty"] < 2.5
        assert found[name]["wasserstein"] < found["gaussian"]["wasserstein"]
        assert found[name]["precision"] > 0.7


def test_the_diffusion_resolves_two_modes() -> None:
    make = next(one.make for one in problem.baselines() if one.name == "diffusion")
    rng = np.random.default_rng(0)
    modes = np.sign(rng.normal(size=(400, 1))) * [1.0, 1.0] + 0.1 * rng.normal(size=(400, 2))
    model = make(Trial(0), width=64)
    model.fit(torch.tensor(modes, dtype=torch.float32), steps=400)
    drawn = model.sample(1000)
    near = (drawn.abs() - 1).norm(dim=1) < 0.6
    assert float(near.float().mean()) > 0.85
    assert 0.35 < float((drawn[:, 0] > 0).float().mean()) < 0.65


def test_the_two_parts_of_a_law_are_of_one_law() -> None:
    points = [point_cloud("swiss-roll", 2000, Trial(0).rng(name)) for name in ("train", "test")]
    np.testing.assert_allclose(points[0].mean(0), points[1].mean(0), atol=0.06)
