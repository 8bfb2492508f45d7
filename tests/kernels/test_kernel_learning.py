"""Spectra on circles beside closed forms and sums over angles; errors on random fields beside draws and Gaussian processes."""

import numpy as np
import pytest
import torch
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF

from replica.kernels import ConvolutionalKernel, circle_spectrum, mismatched_error


@pytest.mark.parametrize("wave", [0, 2, 4, 10])
def test_one_patch_has_the_eigenvalues_of_the_arc_cosine_kernels(wave):
    """κ₁ has 4 / π² (1 − k²)² at even k; κ₀ has 2 / π² k² at odd k, and c κ₀ the mean of its neighbours'."""
    nngp, ntk = (
        float(circle_spectrum(ConvolutionalKernel((2,), kind=kind), 1, [0], points=512)[wave])
        for kind in ("nngp", "ntk")
    )
    assert nngp == pytest.approx(4 / np.pi**2 / (1 - wave**2) ** 2, rel=1e-6)
    assert ntk - nngp == pytest.approx(np.mean([2 / np.pi**2 / (wave + side) ** 2 for side in (-1, 1)]), rel=1e-3)


@pytest.mark.parametrize("active", [(0,), (0, 1), (0, 2), (1, 3)])
def test_it_is_the_mean_over_all_angles(active):
    """The same integral by a plain grid of 16⁴ angles on the whole circles, at low waves."""
    kernel = ConvolutionalKernel((2, 2, 2), kind="nngp")
    angles = 2 * torch.pi * (torch.arange(16, dtype=torch.float64) + 0.5) / 16
    grids = torch.meshgrid(*[angles] * 4, indexing="ij")
    values = kernel.of_cosines([grid.cos() for grid in grids])
    waves = [2, 1][: len(active)]
    wave = torch.ones_like(values)
    for patch, number in zip(active, waves, strict=True):
        wave = wave * (number * grids[patch]).cos()
    found = circle_spectrum(kernel, 4, active, points=48)
    assert float(found[tuple(waves)]) == pytest.approx(float((values * wave).mean()), rel=2e-3)


def test_the_eigenvalue_equation_holds_on_a_random_gram_matrix():
    """Monte Carlo: K applied to a wave over 1,500 random inputs gives the wave back, times its eigenvalue."""
    generator = torch.Generator().manual_seed(0)
    angles = 2 * torch.pi * torch.rand(1500, 2, generator=generator, dtype=torch.float64)
    X = torch.stack([angles.cos(), angles.sin()], dim=-1).flatten(1)
    kernel = ConvolutionalKernel((2, 2))
    wave = (angles[:, 0] * 2 - angles[:, 1]).cos()
    apart = kernel(X).fill_diagonal_(0)  # an input with itself would count too much
    quotient = wave @ apart @ wave / (wave @ wave) / len(X)
    assert float(quotient) == pytest.approx(float(circle_spectrum(kernel, 2, [0, 1])[2, 1]), rel=0.1)


def test_what_has_no_circles_is_refused():
    for kernel, active, points, match in (
        (ConvolutionalKernel((3,)), [0], 8, "kernel"),
        (ConvolutionalKernel((2,)), [1, 0], 8, "active"),
        (ConvolutionalKernel((2,)), [2], 8, "active"),
        (ConvolutionalKernel((2,)), [0], 1, "points"),
    ):
        with pytest.raises(ValueError, match=match):
            circle_spectrum(kernel, 2, active, points=points)


def grams(train=30, tests=20):
    X = torch.randn(train + tests, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    teachers = ConvolutionalKernel((2, 2), bias_variance=0.2).levels(X)
    student = ConvolutionalKernel((2, 2), bias_variance=0.1, kind="nngp")(X)
    return student, teachers, train


@pytest.mark.parametrize(("ridge", "noise"), [(0.0, 0.0), (0.3, 0.7)])
def test_it_is_the_mean_over_fields_that_are_drawn(ridge, noise):
    student, teachers, n = grams()
    own = teachers[:, n:, n:].diagonal(dim1=1, dim2=2)
    parts = student[:n, :n], student[:n, n:], teachers[:, :n, :n], teachers[:, :n, n:], own
    found = mismatched_error(*parts, ridge=ridge, noise=noise)
    rng = np.random.default_rng(0)
    for teacher, error in zip(teachers.numpy(), found, strict=True):
        values, vectors = np.linalg.eigh(teacher)
        fields = (vectors * np.sqrt(np.maximum(values, 0))) @ rng.standard_normal((len(teacher), 20_000))
        y = fields[:n] + noise * rng.standard_normal((n, 20_000))
        predicted = student[n:, :n].numpy() @ np.linalg.solve(student[:n, :n].numpy() + ridge * np.eye(n), y)
        assert float(error) == pytest.approx(np.square(predicted - fields[n:]).mean(), rel=0.03)


def test_of_equal_kernels_it_is_the_posterior_variance():
    X = np.random.default_rng(1).standard_normal((40, 2))
    kernel = RBF(0.8)
    gram = torch.from_numpy(kernel(X))
    process = GaussianProcessRegressor(kernel, alpha=0.01, optimizer=None).fit(X[:30], np.zeros(30))
    parts = gram[:30, :30], gram[:30, 30:], gram[None, :30, :30], gram[None, :30, 30:], torch.ones(1, 10).double()
    found = mismatched_error(*parts, ridge=0.01, noise=0.1)
    assert float(found) == pytest.approx(np.square(process.predict(X[30:], return_std=True)[1]).mean(), rel=1e-8)


def test_no_student_betters_the_teacher_itself():
    student, teachers, n = grams()
    own = teachers[:, n:, n:].diagonal(dim1=1, dim2=2)
    rest = teachers[:, :n, :n], teachers[:, :n, n:], own
    best = mismatched_error(teachers[1, :n, :n], teachers[1, :n, n:], *rest, ridge=0.01, noise=0.1)[1]
    for ridge in (1e-3, 1e-2, 1e-1):
        assert mismatched_error(student[:n, :n], student[:n, n:], *rest, ridge=ridge, noise=0.1)[1] > best


def test_what_does_not_fit_is_refused():
    one, three = torch.eye(2), torch.ones(1, 2)
    for parts, settings, match in (
        ((one, one, one, one[None], three), {}, "teachers"),
        ((one, one, one[None], one[None], three[0]), {}, "teachers_own"),
        ((one, one, one[None], one[None], three), {"ridge": -1.0}, "ridge"),
        ((-one, one, one[None], one[None], three), {}, "positive definite"),
    ):
        with pytest.raises(ValueError, match=match):
            mismatched_error(*parts, **settings)
