"""The path of least energy against a direct minimisation, its limits, and velocities at draws."""

import math

import pytest
import torch

from replica.generative import (
    CosinePath,
    DataSeparation,
    FiniteSetDenoiser,
    KineticOptimalPath,
    StraightPath,
    VariancePreservingPath,
    data_separation,
    kinetic_energy,
    normalised,
)


def between() -> DataSeparation:
    """Half way from normal data to points that are never mistaken."""
    angles = torch.linspace(0, math.pi / 2, 400, dtype=torch.float64)
    return DataSeparation(angles, angles.cos().square() * (1 - angles.sin() ** 2))


def test_both_limits() -> None:
    angles = torch.linspace(0, math.pi / 2, 400, dtype=torch.float64)
    never = DataSeparation(angles, torch.zeros_like(angles))
    time = torch.linspace(0, 1, 21, dtype=torch.float64)
    for found, known in zip(KineticOptimalPath(never).coefficients(time), (time, 1 - time), strict=True):
        torch.testing.assert_close(found, known, atol=1e-4, rtol=0)
    assert never.least_energy() == pytest.approx(2, rel=1e-4)
    assert kinetic_energy(StraightPath(), never) == pytest.approx(2)
    normal = DataSeparation(angles, angles.cos().square())
    assert normal.least_energy() == pytest.approx(0, abs=1e-6)
    assert kinetic_energy(StraightPath(), normal) == pytest.approx(2 - math.pi / 2, rel=1e-4)
    signal, noise = KineticOptimalPath(normal).coefficients(time)
    torch.testing.assert_close(signal.square() + noise.square(), torch.ones_like(time), atol=1e-6, rtol=0)


def test_no_other_path_has_less() -> None:
    """Radius and angle as free numbers at 40 times, minimised by descent on the energy itself."""
    separation = between()
    found = kinetic_energy(KineticOptimalPath(separation), separation)
    assert found == pytest.approx(separation.least_energy(), rel=2e-3)
    assert all(
        kinetic_energy(path, separation) > found + 0.01
        for path in (StraightPath(), CosinePath(), VariancePreservingPath())
    )
    free = torch.stack([torch.ones(39), torch.linspace(0, math.pi / 2, 41)[1:-1]]).double().requires_grad_()

    def energy() -> torch.Tensor:
        ends = torch.tensor([[1.0, 1.0], [0.0, math.pi / 2]]).double()
        radius, angle = torch.cat([ends[:, :1], free, ends[:, 1:]], 1)
        middle, turn = (angle[1:] + angle[:-1]) / 2, angle.diff() * 40
        metric = 1 - (1 - middle.sin() ** 2)  # of `between`
        return ((radius.diff() * 40) ** 2 + ((radius[1:] + radius[:-1]) / 2) ** 2 * metric * turn**2).mean()

    descent = torch.optim.LBFGS([free], max_iter=500, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        descent.zero_grad()
        value = energy()
        value.backward()
        return value

    descent.step(closure)
    assert energy().item() == pytest.approx(found, rel=0.02)


def test_rates_are_derivatives() -> None:
    path, time = KineticOptimalPath(between()), torch.linspace(0.1, 0.9, 9, dtype=torch.float64)
    later, before = path.coefficients(time + 1e-4), path.coefficients(time - 1e-4)
    for index, rate in enumerate(path.rates(time)):
        torch.testing.assert_close((later[index] - before[index]) / 2e-4, rate, rtol=0.02, atol=0.02)


def test_separation_of_two_points_is_a_known_integral_and_energies_are_those_of_velocities() -> None:
    points = torch.tensor([[3.0], [5.0]]).double()
    separation = data_separation(points, draws=40_000, angles=9, generator=torch.Generator().manual_seed(0))
    normal = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    weights = (-normal.square() / 2).exp() / math.sqrt(2 * math.pi) * 0.004
    for angle, unexplained in zip(separation.angles[1:-1], separation.unexplained[1:-1], strict=True):
        s = torch.tan(angle)  # ±1: E[x|y] = tanh(sy) at y = s + noise
        known = float((weights * (1 - torch.tanh(s * (s + normal)) ** 2)).sum())
        assert float(unexplained) == pytest.approx(known, abs=0.01)

    fine = data_separation(points, draws=20_000, angles=65, generator=torch.Generator().manual_seed(1))
    data, path, generator = normalised(points), StraightPath(), torch.Generator().manual_seed(2)
    found = []
    for time in (torch.arange(40).double() + 0.5) / 40:
        clean = data[torch.randint(2, (4000,), generator=generator)]
        noisy = path.perturb(
            clean, torch.randn(clean.shape, generator=generator, dtype=torch.float64), time.expand(4000)
        )
        predicted = FiniteSetDenoiser(data)(noisy, time, 1 - time)
        found.append(path.convert(predicted, noisy, time.expand(4000), given="data", wanted="velocity").square().mean())
    assert float(torch.stack(found).mean()) == pytest.approx(kinetic_energy(path, fine), rel=0.03)
    with pytest.raises(ValueError, match="points: got 2 without a difference"):
        data_separation(torch.ones(2, 3))
