"""The studies of pfgm_plus on cases that are known, and its judges on made tables."""

import math

import pandas as pd
import pytest
import torch

from replica.lab.claims import Trial
from replica.papers.generative.pfgm_plus import disturb, electric_slope, errors, paper, rounded, trained


def test_approach_is_judged_by_its_slope_beyond_the_datas_dimensions() -> None:
    rows = [{"D": dim, "gap": 0.3 if dim < 1e3 else 5 / dim} for dim in (1.0, 1e2, 1e3, 1e4, 1e5, 1e6)]
    found = paper.claims["limits"].measures(pd.DataFrame(rows).assign(field_error=1e-9, samples_apart=0.1))
    wanted = {"slope": -1.0, "field_error": 1e-9, "samples_apart": 0.1, "gap_at_least_dim": 0.3}
    assert found == pytest.approx(wanted)


def test_one_charges_field_lines_are_rays() -> None:
    x = torch.tensor([[3.0, 4.0], [0.0, 1.0]])
    torch.testing.assert_close(electric_slope(torch.zeros(1, 2), x, 2.0), x / 2)


def test_errors_are_judged_by_the_rise_over_each_models_own_distance() -> None:
    rows = []
    for model, start, slope in (("diffusion", 0.1, 1.0), ("D = 32", 0.1, 0.8), ("D = 8", 0.2, 0.5)):
        rows += [{"model": model, "alpha": alpha, "distance": start + slope * alpha} for alpha in (0.0, 0.2, 0.4)]
        rows += [{"model": model, "bits": bits, "distance": start + slope / bits} for bits in (2, 4)]
    table = pd.DataFrame([row | {"floor": 0.05} for row in rows])
    known = {"share_of_rise_saved": 0.5, "share_saved_by_middle": 0.2, "over_floor": 2.0}
    known |= {"log_loss_without_noise": math.log(2)}
    noise = known | {"relative_rise": 3.0, "log_gain_at_most_noise": math.log(0.5 / 0.4)}
    assert paper.claims["robust_to_noise"].measures(table) == pytest.approx(noise)
    assert paper.claims["robust_to_rounding"].measures(table) == pytest.approx(known | {"relative_rise": 3.75})


def test_rounding_leaves_few_values_and_the_original() -> None:
    trial = Trial(100, "smoke")
    net = trained(trial, torch.randn(40, 64, generator=trial.generator()), 8.0)
    before = [weight.clone() for weight in net.parameters()]
    coarse = rounded(net, 3)
    assert all(len(weight.unique()) <= 7 for weight in coarse.parameters() if weight.dim() > 1)
    assert all(torch.equal(old, new) for old, new in zip(before, net.parameters(), strict=True))


def test_noise_is_of_the_levels_size_and_the_same_for_all() -> None:
    x, level = torch.zeros(2000, 1), torch.tensor(3.0)
    moved = disturb(x, level, level, alpha=0.2, generator=torch.Generator().manual_seed(0))
    assert float(moved.std()) == pytest.approx(0.6, rel=0.1)
    table = pd.DataFrame(errors(Trial(100, "smoke")))
    assert len(table) == 3 * (5 + 3)
    assert table["floor"].nunique() == 1
    assert table.groupby("model")["distance"].nunique().min() > 6
