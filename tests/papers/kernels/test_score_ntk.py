"""The studies of score_ntk: the true score against sampling, the rule that stops, and judges on made tables."""

import numpy as np
import pandas as pd
import pytest
import torch

from replica.kernels import DenoisingPairs, ScoreRegression, score_of, signal_and_noise
from replica.papers.kernels.score_ntk import CENTRES, SPREAD, data, pairs, paper, posterior_mean, score_error, stop


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_posterior_mean_is_that_of_weighted_samples():
    clean = data(400_000, generator())
    times = torch.tensor([0.1, 0.5, 1.0])
    points = torch.tensor([[0.3, 1.2], [0.1, 0.2], [-1.0, -0.4]])
    alpha, noise = signal_and_noise(times)
    away = (points[:, None] - alpha[:, None] * clean).square().sum(-1)
    wanted = torch.softmax(-away / (2 * noise), 1) @ clean
    torch.testing.assert_close(posterior_mean(points, times, CENTRES, SPREAD**2), wanted, atol=0.03, rtol=0)


def test_its_score_is_the_slope_of_the_log_density():
    times = torch.tensor([0.2, 0.9]).double()
    points = torch.tensor([[0.4, 1.0], [-0.8, 0.1]]).double().requires_grad_()
    alpha, noise = signal_and_noise(times)
    away = (points[:, None] - alpha[:, None] * CENTRES.double()).square().sum(-1)
    log = torch.logsumexp(-away / (2 * (alpha**2 * SPREAD**2 + noise)), 1).sum()
    (slope,) = torch.autograd.grad(log, points)
    mean = posterior_mean(points.detach(), times, CENTRES.double(), SPREAD**2)
    torch.testing.assert_close(score_of(mean, points.detach(), times), slope)


def test_variances_with_a_leading_axis_are_taken_one_by_one():
    noised = pairs(6, generator())
    both = posterior_mean(noised.points, noised.times, CENTRES, torch.tensor([0.1, 2.0]))
    for found, variance in zip(both, (0.1, 2.0), strict=True):
        torch.testing.assert_close(found, posterior_mean(noised.points, noised.times, CENTRES, variance))


def test_the_error_is_that_of_the_score_in_units_of_the_noise():
    test = pairs(50, generator(1))
    truth = posterior_mean(test.points, test.times, CENTRES, SPREAD**2)
    _, noise = signal_and_noise(test.times)
    other = truth + torch.randn(3, 50, 2, generator=generator(2))
    gap = score_of(other, test.points, test.times) - score_of(truth, test.points, test.times)
    torch.testing.assert_close(score_error(other, test), (noise * gap.square()).sum(-1).mean(-1), rtol=1e-3, atol=1e-5)
    assert float(score_error(truth, test)) == 0


def test_the_rule_stops_where_held_out_labels_say_and_knows_no_score():
    train, held = pairs(40, generator(3)), pairs(40, generator(4))
    model = ScoreRegression(train, rate=0.3)
    steps = torch.tensor([1.0, 30.0, 1000.0, 1e6, float("inf")])
    losses = [(model.denoised(*held[:2], step[None])[0] - held.clean).square().sum() for step in steps]
    assert stop(model, held, steps) == int(torch.stack(losses).argmin())
    clean = DenoisingPairs(held.points, held.times, model.denoised(*held[:2], steps[3:4])[0])
    assert stop(model, clean, steps) == 3  # labels decide, whatever the truth
    assert stop(model, DenoisingPairs(*train), steps) >= 3  # on what it has learned from, never early
    strengths = torch.tensor([1e-6, 1e-2, 1e4])
    assert stop(model, held, strengths, ridge=True) == 1


def test_the_path_is_judged_at_the_stop():
    rows = [
        {"width": width, "step": step, "stopping": 10, "distance": width**-0.5 * (step / 10) ** 0.5}
        for width in (16, 256, 4096)
        for step in (1, 10, 40)
    ]
    found = paper.claims["kernel_regression"].measures(pd.DataFrame(rows))
    wanted = {"distance": 1 / 64, "slope": -0.5, "largest_distance_on_path": 2 / 64, "distance_narrow": 0.25}
    assert found == pytest.approx(wanted)


def test_gains_are_logarithms_over_the_stop_at_200_samples():
    methods = {"stopped early": -0.5, "interpolating": 0.0, "best ridge": -0.5, "kernel density": -1.0, "no score": 0.0}
    rows = [
        {"samples": count, "method": name, "error": level * (count / 200) ** slope}
        for count in (50, 200, 800)
        for (name, slope), level in zip(methods.items(), (1.0, 4.0, 0.9, 0.5, 8.0), strict=True)
    ]
    table = pd.DataFrame(rows)
    found = paper.claims["early_stopping"].measures(table)
    wanted = {"log_gain": np.log(4), "log_gain_of_best_ridge": -np.log(0.9)}
    wanted |= {"log_gain_over_density": np.log(0.5), "log_gain_over_no_score": np.log(8)}
    assert found == pytest.approx(wanted)
    found = paper.claims["sample_complexity"].measures(table)
    assert found == pytest.approx({"exponent": 0.5, "exponent_at_interpolation": 0.0}, abs=1e-9)
