"""Paths' rates are their derivatives, conversions undo each other, and each has its closed form."""

import itertools

import pytest
import torch

from replica.generative import CosinePath, StraightPath, VarianceExplodingPath, VariancePreservingPath

PATHS = [StraightPath(), CosinePath(), VariancePreservingPath(), VarianceExplodingPath(0.01, 20.0)]
KINDS = ("data", "noise", "score", "velocity", "v")


@pytest.mark.parametrize("path", PATHS, ids=lambda path: type(path).__name__)
def test_rates_are_derivatives_and_noise_falls(path) -> None:
    time = torch.linspace(0.05, 0.95, 19, dtype=torch.float64)
    for value, rate in zip(path.coefficients(time), path.rates(time), strict=True):
        later, before = (path.coefficients(time + step) for step in (1e-6, -1e-6))
        index = 0 if torch.equal(value, path.coefficients(time)[0]) else 1
        torch.testing.assert_close((later[index] - before[index]) / 2e-6, rate, rtol=1e-5, atol=1e-7)
    assert bool((path.noise_level(time).diff() < 0).all())


@pytest.mark.parametrize("path", PATHS, ids=lambda path: type(path).__name__)
def test_every_conversion_is_that_of_the_pair_that_made_the_point(path) -> None:
    generator = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 7, 3, generator=generator, dtype=torch.float64)
    time = torch.linspace(0.1, 0.9, 7, dtype=torch.float64)
    noisy = path.perturb(clean, noise, time)
    (a, m), (da, dm) = path.coefficients(time), path.rates(time)
    a, m, da, dm = (each[:, None] for each in (a, m, da, dm))
    known = {
        "data": clean,
        "noise": noise,
        "score": -noise / m,
        "velocity": da * clean + dm * noise,
        "v": a * noise - m * clean,
    }
    for given, wanted in itertools.product(KINDS, KINDS):
        found = path.convert(known[given], noisy, time, given=given, wanted=wanted)
        torch.testing.assert_close(found, known[wanted], rtol=1e-8, atol=1e-8, msg=f"{given} to {wanted}")


def test_ends_and_known_schedules() -> None:
    zero, one = torch.zeros(1), torch.ones(1)
    for path in (StraightPath(), CosinePath()):
        assert [float(each) for each in path.coefficients(zero)] == pytest.approx([0, 1])
        assert [float(each) for each in path.coefficients(one)] == pytest.approx([1, 0], abs=1e-6)
    signal, noise = VariancePreservingPath().coefficients(torch.linspace(0, 1, 9))
    torch.testing.assert_close(signal.square() + noise.square(), torch.ones(9))
    assert float(signal[0]) == pytest.approx(torch.tensor(-5.025).exp().item(), rel=1e-4)  # (20 − 0.1)/4 + 0.1/2
    # Karras' published levels of 18 steps begin 80, 57.6, 40.8 (ρ = 7, 0.002 to 80).
    levels = VarianceExplodingPath().noise_level(torch.linspace(0, 1, 18, dtype=torch.float64))
    assert levels[:3].tolist() == pytest.approx([80, 57.58598, 40.78557], rel=1e-5)
    assert float(levels[-1]) == pytest.approx(0.002)
    with pytest.raises(ValueError, match="wanted: got 'drift'"):
        StraightPath().convert(one[:, None], one[:, None], one, given="data", wanted="drift")
