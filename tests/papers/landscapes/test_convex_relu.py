"""The studies of convex_relu: judges on made tables, the attack, and the objective that descent gets."""

import math

import pandas as pd
import pytest
import torch

from replica.papers.landscapes.convex_relu import BETA, RADIUS, Objective, attacked, paper


def measures(claim, rows):
    return paper.claims[claim].measures(pd.DataFrame(rows))


def test_the_objective_is_that_of_the_convex_programme_a_row():
    net = Objective(3, 8, torch.Generator().manual_seed(0))
    X, y = torch.randn(8, 2).double(), torch.randn(8, 1).double()
    hidden, outer = (layer.detach() for layer in net.parameters())
    wanted = ((X @ hidden.T).relu() @ outer.T - y).square().sum() / 2
    wanted += BETA / 2 * (hidden.square().sum() + outer.square().sum())
    torch.testing.assert_close(8 * net(X, y).detach(), wanted)
    # Minibatches stand for all rows.
    halves = (net(X[:4], y[:4]) + net(X[4:], y[4:])) / 2
    torch.testing.assert_close(halves, net(X, y))


def test_the_attack_finds_a_linear_networks_worst_corner_and_leaves_biases():
    net = torch.nn.Linear(3, 1, bias=False).double()
    X = torch.cat([torch.randn(20, 2), torch.ones(20, 1)], 1).double()
    y = torch.where(torch.arange(20) % 2 == 0, 1.0, -1.0).double()
    moved = attacked(net, X, y, torch.Generator().manual_seed(0), 20)
    worst = X - RADIUS * y[:, None] * net.weight.detach().sign() * torch.tensor([1.0, 1.0, 0.0])
    torch.testing.assert_close(moved, worst)


def test_starts_are_stuck_from_one_percent():
    wide, narrow = [0.0, 0.001, 0.2], [0.0, 0.02, 0.5]
    rows = [
        {"width": name, "start": index, "log_excess": value, "gap": 0.001}
        for name, values in (("as the optimum", narrow), ("two a pattern", wide))
        for index, value in enumerate(values)
    ]
    found = measures("descent_gets_stuck", rows)
    wanted = {"share_stuck": 2 / 3, "median_log_excess": 0.02, "share_stuck_wide": 1 / 3, "log_range_of_starts": 0.5}
    assert found == pytest.approx(wanted | {"least_log_excess_wide": 0.0, "certified_gap": 0.001})


def test_the_gap_is_the_last_of_each_problem_and_the_largest():
    rows = [
        {"inputs": inputs, "step": step, "objective": 2.0, "zero": 20.0, "log_excess": gap / step, "last": step == 1000}
        for inputs, gap in ((1, 1.0), (2, 3.0))
        for step in (1, 90, 100, 1000)
    ]
    wanted = {"certified_gap": 0.003, "certified_gap_at_100": 0.03, "log_share_of_zero": math.log(0.1)}
    assert measures("global_optimum", rows) == pytest.approx(wanted)


def test_accuracies_are_compared_with_the_end_and_with_plain_training():
    rows = [
        {"data": data, "steps": steps, "accuracy": accuracy + extra, "majority": 0.5, "objective": 4.0 / steps}
        for data, extra in (("a", 0.0), ("b", 0.02))
        for steps, accuracy in ((2, 0.5), (10, 0.92), (400, 0.94))
    ]
    wanted = {"accuracy_lost": 0.02, "accuracy_at_end": 0.95, "gain_over_majority": 0.45}
    assert measures("first_steps_predict", rows) == pytest.approx(wanted | {"log_objective_over_last": math.log(40)})
    under = {"convex": 0.3, "robust convex": 0.9, "descent": 0.4, "descent on attacks": 0.85}
    rows = [{"method": name, "accuracy": 0.95, "robust_accuracy": value} for name, value in under.items()]
    found = measures("robust_training", rows)
    wanted = {"robust_gain": 0.6, "gain_over_adversarial_descent": 0.05, "gain_over_descent": 0.5}
    assert found == pytest.approx(
        wanted | {"clean_accuracy_lost": 0.0, "plain_accuracy": 0.95, "plain_accuracy_lost": 0.65}
    )
