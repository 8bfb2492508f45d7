"""The studies of dale_langevin on cases that are known, and its judges on made tables."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from replica.generative import ExponentiatedGradient
from replica.lab.claims import Trial
from replica.papers.generative.dale_langevin import descend, paper, samplers, sign_changes, weights


def test_signs_and_distances_are_judged_by_sampler() -> None:
    rows = [
        {"sampler": sampler, "steps": steps, "changed": changed, "wrong_at_end": changed / 2}
        | {"distance": far / steps, "floor": 0.01, "from_start": 4.0}
        for sampler, changed, far in (("factors", 0.0, 2.0), ("steps of x", 0.2, 4.0), ("additive", 0.4, 1.0))
        for steps in (10, 100)
    ]
    rows[2]["changed"] = 0.4
    wanted = {"changed": 0.0, "changed_by_steps_of_x": 0.3, "changed_by_additive": 0.4, "wrong_at_end_by_additive": 0.2}
    assert paper.claims["signs_kept"].measures(pd.DataFrame(rows)) == pytest.approx(wanted)
    wanted = {"log_over_floor": math.log(2), "log_gain_over_steps_of_x": math.log(2)}
    wanted["log_start_over_floor"] = math.log(400)
    assert paper.claims["samples_from_log_normal"].measures(pd.DataFrame(rows)) == pytest.approx(wanted)


def test_a_sign_that_comes_back_has_changed() -> None:
    steps = torch.tensor([[1.0, -1.0, 2.0, 1.0], [1.0, 1.0, 3.0, 1.0], [1.0, -1.0, 1.0, -1.0]])
    assert sign_changes(list(steps)) == 0.5


def test_all_samplers_are_looked_at_and_one_alone_keeps_signs() -> None:
    table = pd.DataFrame(samplers(Trial(100, "smoke")))
    changed = table.groupby("sampler")["changed"].max()
    assert changed["factors"] == 0
    assert min(changed["steps of x"], changed["additive"]) > 0
    assert (table["distance"] > 0).all()


def test_weights_are_judged_by_the_ratio_of_distances() -> None:
    rows = [
        {"start": start, "rule": rule, "distance": distance, "left": left, "spread": spread}
        for start in ("equal", "log-normal")
        for rule, distance, left, spread in (("exponentiated", 0.02, 1e-4, 0.5), ("plain", 0.08, 1e-3, 9.0))
    ]
    wanted = {"log_ratio": math.log(4), "distance": 0.02, "distance_plain": 0.08}
    wanted |= {"log_loss_left": math.log(1e-3), "spread_gained": 0.5}
    assert paper.claims["log_normal_weights"].measures(pd.DataFrame(rows)) == pytest.approx(wanted)


def test_descent_fits_leaves_signs_to_the_rule_and_gives_up_where_it_diverges() -> None:
    inputs, first = torch.randn(5, 40, generator=torch.Generator().manual_seed(0)), torch.ones(40)
    targets = inputs @ -first
    left, plain = descend(torch.optim.SGD, 0.02, first, inputs, targets, 300)
    assert left < 1e-3
    assert bool((plain < 0).any())
    # Of plain descent the end is known: the solution nearest to the start.
    nearest = first + torch.linalg.pinv(inputs) @ (targets - inputs @ first)
    torch.testing.assert_close(plain, nearest, atol=0.05, rtol=0)
    left, learned = descend(ExponentiatedGradient, 0.02, first, inputs, targets, 300)
    assert left < 1
    assert bool((learned > 0).all())
    assert descend(torch.optim.SGD, 10.0, first, inputs, targets, 50)[0] == math.inf


def test_both_rules_begin_with_the_same_weights() -> None:
    table = pd.DataFrame(weights(Trial(100, "smoke")))
    assert table.groupby("rule").size().tolist() == [2, 2]
    assert (table[table["rule"] == "exponentiated"]["crossed"] == 0).all()
    assert np.isfinite(table["distance"]).all()
