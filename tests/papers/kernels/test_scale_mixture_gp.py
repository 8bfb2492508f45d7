"""The studies of scale_mixture_gp: the closed form of training against descent, distances of known laws, standardised values."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import invgamma

from replica.papers.kernels.scale_mixture_gp import (
    distances,
    fitted_prior,
    gains,
    gaussian_laws,
    hidden_units,
    paper,
    small_functions,
)


def test_descent_on_the_last_layer_ends_at_the_closed_form():
    generator = torch.Generator().manual_seed(0)
    units = (hidden_units(torch.randn(1, 11, 2, generator=generator), 400, 2, generator)[0] / 20).double()
    units += 0.03 * torch.randn(
        11, 400, generator=generator
    )  # no kernel is near to singular, so that the ridge does nothing
    targets = torch.sin(torch.arange(5)).double()
    last = torch.randn(2000, 400, generator=generator).double()
    values, vectors = torch.linalg.eigh(units[:5] @ units[:5].T)
    spectrum = (1 - (1 - values / values[-1]) ** 200_000) / values  # of that many steps of the rate 1 / λ
    change = (targets - last @ units[:5].T) @ (vectors * spectrum) @ vectors.T @ units[:5]
    outputs = (last + change) @ units[5:].T
    means, scales = gaussian_laws((units @ units.T)[None], targets)["trained"]
    np.testing.assert_allclose(outputs.mean(0), means[0], atol=4 / math.sqrt(2000) * float(scales.max()) + 0.01)
    np.testing.assert_allclose(outputs.std(0), scales[0], rtol=0.08, atol=0.02)


def test_distances_of_known_laws():
    same = distances(np.full(3, 0.5), np.full(3, 2.0), 0.5, 2.0)
    assert same["distance"] == pytest.approx(0, abs=1e-12)
    assert same["from_normal"] == pytest.approx(0.0313, abs=5e-4)  # of t_2
    shifted = distances(np.zeros(1), np.ones(1), 1.0, 1.0)["distance"]
    assert shifted == pytest.approx(1 / 3, abs=2e-3)  # 2 T(1/2) − 1, T(x) = 1/2 + x / (2 √(2 + x²))


def test_functions_are_standardised_by_their_process():
    """The limit's kernel standardises networks of 64 units on average."""
    known, values = small_functions(np.full(400, 9.0), torch.Generator().manual_seed(1))
    assert known.mean() / 9 == pytest.approx(5, rel=0.1)
    assert values.var() / 9 == pytest.approx(1, rel=0.1)


def test_the_prior_of_many_functions_is_found():
    scales = invgamma(3.0, scale=2.0).rvs(20_000, random_state=0)
    known = scales * np.random.default_rng(0).chisquare(5, size=20_000)
    assert fitted_prior(known) == pytest.approx((3.0, 2.0), rel=0.1)


def test_gains_are_the_rivals_loss_less_ours():
    nll = {"NNGP": [1.0, 3.0], "Student-t": [0.5, 1.5]}
    table = pd.DataFrame(
        [{"rows": n, "process": p, "nll": v} for p, both in nll.items() for n, v in zip((20, 50), both, strict=True)]
    )
    assert gains(table, ["rows"]).tolist() == [0.5, 1.5]


def test_units_that_hardly_differ_give_no_nan():
    """In networks of four units a difference's variance is rounding, of either sign."""
    kernels = torch.full((1, 11, 11), 0.5, dtype=torch.float64)
    kernels[0, 6, 6] -= 1e-15
    laws = gaussian_laws(kernels, torch.ones(5).double())
    assert all(bool(part.isfinite().all()) for law in laws.values() for part in law)


def test_judges_take_the_worst_output_and_the_lesser_gain():
    own = [
        {"kind": kind, "width": width, "output": place, "distance": (1 + place) / width, "from_normal": 0.03 + place}
        for kind in ("drawn", "trained")
        for width in (4, 16, 64)
        for place in range(2)
    ]
    found = paper.claims["limits_of_wide_networks"].measures(pd.DataFrame(own))
    assert found["distance"] == found["distance_trained"] == 2 / 64
    assert (found["slope"], found["distance_from_normal"]) == (pytest.approx(-1), 0.03)
    nll = {
        "scale known": (1.0, 1.0, 1.0),
        "NNGP": (1.1, 9.0, 2.0),
        "NNGP refitted": (-0.9, 1.2, 1.4),
        "Student-t": (1.2, 3.0, 1.5),
    }
    rows = [
        {"scales": name, "process": process, "nll": value}
        for process, values in nll.items()
        for name, value in zip(("seen", "larger", "smaller"), values, strict=True)
    ]
    found = paper.claims["unseen_scales"].measures(pd.DataFrame(rows))
    assert (found["least_gain"], found["gain_larger"], found["gain_seen"]) == pytest.approx((0.5, 6.0, -0.1))
    assert found["least_gain_over_refitted"] == pytest.approx(-1.8)
    assert found["harm"] == pytest.approx(0.9)
