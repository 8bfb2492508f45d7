"""The baselines of operator: ridge regression in closed form, interpolation, networks on any grid."""

from __future__ import annotations

import importlib
import importlib.util

import numpy as np
import pytest
import torch

from replica.papers.baselines.operator import PcaLinear, fno_network, resample, tfno_network, unet_network


def test_pca_linear_is_ridge_regression() -> None:
    torch.manual_seed(0)
    x = torch.randn(30, 1, 6)
    y = torch.cat([0.4 * x, x.flip(2)], dim=1) + torch.randn(30, 2, 6)
    method = PcaLinear()
    method.fit(x, y)
    a, b = x.flatten(1).double(), y.flatten(1).double()
    a, b = a - a.mean(0), b - b.mean(0)
    weights = torch.linalg.solve(a.T @ a + method.ridge * torch.eye(6, dtype=torch.float64), a.T @ b)
    new = torch.randn(4, 1, 6)
    expected = y.flatten(1).double().mean(0) + (new.flatten(1).double() - x.flatten(1).double().mean(0)) @ weights
    torch.testing.assert_close(method.predict(new), expected.reshape(4, 2, 6).float())

    # Leave-one-out in closed form is leave-one-out by refitting, and the ridge is the best of the candidates.
    def left_out(ridge: float) -> float:
        errors = []
        for i in range(30):
            rest = [j for j in range(30) if j != i]
            p, q = x.flatten(1).double()[rest], y.flatten(1).double()[rest]
            w = torch.linalg.solve(
                (p - p.mean(0)).T @ (p - p.mean(0)) + ridge * torch.eye(6, dtype=torch.float64),
                (p - p.mean(0)).T @ (q - q.mean(0)),
            )
            guess = q.mean(0) + (x[i].flatten().double() - p.mean(0)) @ w
            errors.append((guess - y[i].flatten().double()).square().mean())
        return float(torch.stack(errors).mean())

    assert left_out(method.ridge) == pytest.approx(method.left_out_error)
    assert left_out(method.ridge) <= min(left_out(method.ridge * factor) for factor in (0.1, 10)) * 1.001


def test_a_linear_map_is_learned_exactly() -> None:
    torch.manual_seed(0)
    matrix = torch.randn(9, 9)
    x = torch.randn(50, 1, 9)
    method = PcaLinear()
    method.fit(x, x @ matrix)
    new = torch.randn(5, 1, 9)
    torch.testing.assert_close(method.predict(new), new @ matrix, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("ends", [True, False])
@pytest.mark.parametrize("dimensions", [1, 2])
def test_resampling(ends: bool, dimensions: int) -> None:
    coarse, fine = (9, 33) if ends else (8, 32)
    places = [torch.linspace(0, 1, n) if ends else torch.arange(n) / n for n in (coarse, fine)]
    on = [torch.meshgrid(*dimensions * [p], indexing="ij") for p in places]
    if ends:  # linear functions exactly
        low, high = (sum((i + 1) * axis for i, axis in enumerate(axes))[None, None] for axes in on)
        torch.testing.assert_close(resample(low, dimensions * (fine,)), high)
        torch.testing.assert_close(
            resample(low, dimensions * (20,)).amax(),
            high.amax(),  # sizes that do not divide: ends stay
        )
    low, high = (sum(torch.cos(2 * np.pi * axis) for axis in axes)[None, None] for axes in on)
    assert (resample(low, dimensions * (fine,)) - high).abs().max() < 0.1 * dimensions
    torch.testing.assert_close(resample(high, dimensions * (coarse,)), low)
    assert resample(low, low.shape[2:]) is low


@pytest.mark.parametrize("grid", [(5,), (17,), (32,), (9, 9), (12, 17)])
def test_networks_take_any_grid(grid: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    library = importlib.util.find_spec("neuralop") is not None
    for make in (unet_network, fno_network, tfno_network) if library else (unet_network,):
        network = make(2, 3, grid)
        for size in (grid, tuple(2 * n - 1 for n in grid)):
            x = torch.randn(2, 2, *size, requires_grad=True)
            y = network(x)
            assert y.shape == (2, 3, *size)
            y.square().sum().backward()
            assert x.grad is not None
            assert x.grad.abs().sum() > 0
        assert all(p.grad is not None for p in network.parameters())
