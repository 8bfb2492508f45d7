"""The studies of mode_interpolation: supports, thresholds, judges on a made table, the entry."""

import math

import pandas as pd
import pytest
import torch

from replica.generative import VarianceExplodingPath
from replica.lab.claims import Trial
from replica.papers.generative.mode_interpolation import (
    MODES,
    PATH,
    area,
    off,
    paper,
    passed,
    steady_diffusion,
    threshold,
    time_of,
)


def test_modes_levels_and_support():
    assert sorted(MODES["line"][:, 0].tolist()) == [-2, -1, 1, 2]
    assert len(torch.unique(MODES["grid"], dim=0)) == 25
    for level in (0.05, 0.8):
        assert float(PATH.coefficients(torch.tensor(time_of(level)))[1]) == pytest.approx(level, rel=1e-5)
    assert isinstance(PATH, VarianceExplodingPath)
    points = torch.tensor([[1.0], [1.29], [1.31], [0.0], [-2.29]])
    assert off(points, MODES["line"]).tolist() == [False, False, True, True, False]


def test_the_threshold_keeps_96_percent_of_those_in_support():
    scores, out = torch.arange(1000.0), torch.zeros(1000, dtype=torch.bool)
    out[500:] = True
    limit = threshold(scores, out)
    assert limit == pytest.approx(0.96 * 499)
    assert passed(scores, out, limit) == {"removed": 1.0, "kept": 0.96}
    assert passed(scores, out, 600.0) == {"removed": pytest.approx(399 / 500), "kept": 1.0}
    assert passed(scores, ~torch.zeros_like(out), 600.0)["kept"] == 0
    assert passed(scores, torch.zeros_like(out), 600.0)["removed"] == 0


def test_the_area():
    scores, out = torch.tensor([0.0, 1, 1, 2]), torch.tensor([False, False, True, True])
    assert area(scores, out) == pytest.approx(3.5 / 4)
    assert area(scores, torch.zeros_like(out)) == 0.5


def test_the_judges():
    shared = {"kept": 0.96, "area": 0.9, "removed_by_residual": 0.5, "removed_by_distance": 1.0, "between": 0.95}
    line = {"data": "line", "removed": 0.9, "out_of_support": 0.004, "out_of_support_exact": 0.0}
    grid = {"data": "grid", "removed": 0.7, "out_of_support": 0.02, "out_of_support_exact": 0.0001}
    rows = [shared | line | {"near": 0.003, "far": 0.001}, shared | grid]
    found = paper.claims["hallucinations_are_told"].measures(pd.DataFrame(rows))
    assert (found["removed"], found["kept"]) == pytest.approx((0.8, 0.96))
    assert (found["out_of_support"], found["out_of_support_exact"]) == (0.004, 0.0001)
    found = paper.claims["near_modes_are_interpolated"].measures(pd.DataFrame(rows))
    assert found["log_near_over_far"] == pytest.approx(math.log(3))
    assert (found["out_of_support"], found["out_of_support_exact"], found["between"]) == (0.004, 0.0, 0.95)


def test_the_entry_keeps_the_steadiest_of_the_baselines_samples():
    generator = torch.Generator().manual_seed(0)
    data = torch.randint(2, (300, 2), generator=generator) * 2.0 - 1
    data = data + 0.1 * torch.randn(data.shape, generator=generator)
    model = steady_diffusion(Trial(0), width=64, keep=1.0)
    model.fit(data, steps=250)
    drawn = {1.0: model.sample(400)}
    model.keep = 0.5
    drawn[0.5] = model.sample(200)
    assert (drawn[0.5][:, None] == drawn[1.0]).all(2).any(1).all(), "they are some of the same draws"
    far = {keep: float((samples.abs() - 1).abs().amax(1).mean()) for keep, samples in drawn.items()}
    assert far[0.5] < 0.8 * far[1.0]
