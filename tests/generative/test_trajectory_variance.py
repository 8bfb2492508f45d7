"""The variance of a trajectory beside all its predictions, in closed form for one Gaussian, and where it is to be large."""

import math

import pytest
import torch

from replica.generative import (
    MixtureDenoiser,
    StraightPath,
    TrajectoryVariance,
    VarianceExplodingPath,
    keep_steadiest,
    sample_path,
)


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("solver", ["ddim", "heun"])
def test_it_is_the_variance_of_the_predictions_in_the_window(solver: str) -> None:
    exact = MixtureDenoiser(normal(5, 6), 0.1)
    hook, seen = TrajectoryVariance(0.4, 0.9), []

    def both(noisy: torch.Tensor, clean: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        if 0.4 <= float(time) <= 0.9:
            seen.append(clean.clone())
        return hook(noisy, clean, time)

    free = sample_path(exact, StraightPath(), normal(7, 6), solver=solver)
    watched = sample_path(exact, StraightPath(), normal(7, 6), solver=solver, hook=both)
    torch.testing.assert_close(free, watched)
    expected = torch.stack(seen).var(0, correction=0).mean(1)
    torch.testing.assert_close(hook.value, expected)
    assert len(seen) > 10


def test_of_one_gaussian_in_closed_form() -> None:
    """The flow scales x by √(s² + σ²), and the prediction is s²x/(s² + σ²): its variance follows from the levels alone."""
    path, deviation, steps = VarianceExplodingPath(0.01, 5.0), 0.7, 4000
    noise, hook = normal(6, 1), TrajectoryVariance(0.5)
    sample_path(
        MixtureDenoiser(torch.zeros(1, 1).double(), deviation), path, noise, steps=steps, solver="euler", hook=hook
    )
    times = torch.linspace(0, 1, steps + 1, dtype=torch.float64)[:-1]
    levels = path.coefficients(times)[1]
    total = deviation**2 + levels.square()
    begin = levels[0] * noise[:, 0]
    predictions = (total / total[0]).sqrt() * deviation**2 / total
    expected = begin.square() * predictions[times >= 0.5].var(correction=0)
    torch.testing.assert_close(hook.value, expected, rtol=0.01, atol=0)


def test_who_decides_late_is_told_from_who_decides_early_and_each_run_begins_anew() -> None:
    exact, hook = MixtureDenoiser(torch.tensor([[-1.0], [1.0]]).double(), 0.05), TrajectoryVariance(0.6)
    noise = torch.tensor([[1e-3], [2.0], [-2.0]]).double()
    sample_path(exact, StraightPath(), noise, hook=hook)
    first = hook.value
    assert float(first[0]) > 20 * float(first[1:].max())
    sample_path(exact, StraightPath(), noise.flip(0), hook=hook)
    torch.testing.assert_close(hook.value, first.flip(0))


def test_the_steadiest_are_kept_in_their_order_and_wrong_arguments_are_named() -> None:
    samples = torch.arange(8.0).reshape(4, 2)
    torch.testing.assert_close(keep_steadiest(samples, torch.tensor([0.3, 9.0, 0.1, 0.2]), 3), samples[[0, 2, 3]])
    assert keep_steadiest(samples, torch.zeros(4), 0).shape == (0, 2)
    with pytest.raises(ValueError, match=r"start, end: got 0\.9 and 0\.5"):
        TrajectoryVariance(0.9, 0.5)
    with pytest.raises(ValueError, match=r"window: no prediction was made from time 0\.9 to inf"):
        print(TrajectoryVariance(0.9).value)
    with pytest.raises(ValueError, match=r"variance: got shape \(3,\), want one of each of 4 samples"):
        keep_steadiest(samples, torch.zeros(3), 2)
    with pytest.raises(ValueError, match="count: got 5, want 0 to 4"):
        keep_steadiest(samples, torch.zeros(4), 5)
    assert math.isinf(TrajectoryVariance().end)
