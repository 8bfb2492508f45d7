"""A sweep of learning rates against runs alone, and what is read from its curves."""

import numpy as np
import pytest
import torch
from torch import nn

from replica.training import RateCurves, mlp, sweep_rates

WORST = 5.0


def squared(model, inputs, targets):
    return nn.functional.mse_loss(model(inputs), targets)


def drawer():
    generator = torch.Generator().manual_seed(3)

    def draw():
        inputs = torch.randn(16, 4, generator=generator)
        return inputs, inputs.sum(1, keepdim=True)

    return draw


def fresh():
    return mlp((4, 6, 1), generator=torch.Generator().manual_seed(0))


HELD_OUT = [(torch.ones(2, 4), torch.full((2, 1), 4.0)), (torch.zeros(2, 4), torch.zeros(2, 1))]


def test_runs_side_by_side_are_runs_alone():
    rates = {"adam": (1e-3, 3e-2), "sgd": (1e-3, 1e-2)}
    curves = sweep_rates(fresh(), squared, drawer(), HELD_OUT, rates=rates, steps=7, every=7, worst=1e9)
    assert curves.steps == [0, 7]
    for kind, make in (
        ("adam", torch.optim.Adam),
        ("sgd", lambda parameters, rate: torch.optim.SGD(parameters, rate, momentum=0.9, nesterov=True)),
    ):
        for column, rate in enumerate(rates[kind]):
            model, draw = fresh(), drawer()
            optimiser = make(model.parameters(), rate)
            for _ in range(7):
                optimiser.zero_grad()
                squared(model, *draw()).backward()
                optimiser.step()
            with torch.no_grad():
                alone = sum(float(squared(model, *batch)) for batch in HELD_OUT) / 2
            assert curves.losses[kind][-1, column] == pytest.approx(alone, rel=1e-4)


def test_a_run_that_diverges_counts_as_the_worst_and_leaves_the_others_alone():
    def losses(rates):
        return sweep_rates(
            fresh(), squared, drawer(), HELD_OUT, rates={"sgd": rates}, steps=9, every=3, worst=WORST
        ).losses["sgd"]

    both = losses((1e-3, 1e12))
    assert both[-1, 1] == WORST
    np.testing.assert_allclose(both[:, 0], losses((1e-3,))[:, 0], rtol=1e-5)


def test_steps_to_a_target_are_of_the_mean_of_three():
    columns = ([2, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0], [2, 2, 2, 1.2, 1.2, 1.2, 1.2, 1.2], [2] * 8)
    curves = RateCurves(list(range(0, 80, 10)), {"adam": np.array(columns, float).T})
    assert curves.steps_to(1.25, "adam").tolist() == [30, 50, 70]
    assert curves.final("adam").tolist() == pytest.approx([1, 1.2, 2])


def curves(*columns):
    return RateCurves(list(range(0, 10 * len(columns[0]), 10)), {"adam": np.array(columns, float).T})


def test_comparison_of_known_curves():
    plain = curves([2, 2, 2, 2, 2, 1.0, 1.0, 1.0], [2] * 8)
    ours = curves([2, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0], [2, 2, 2, 1.2, 1.2, 1.2, 1.2, 1.2])
    # The lowest end is 1, the target 1.25: the mean of three evaluations is there after 30, 50, and 70 steps.
    assert ours.beside(plain) == pytest.approx({"fastest": 3 / 7, "average": 4 / 7, "usable_rates": 0.5})
    assert plain.beside(ours) == pytest.approx({"fastest": 7 / 3, "average": 7 / 4, "usable_rates": -0.5})


def test_a_form_that_learns_nothing_wins_nothing():
    dead = curves([WORST] * 8)
    alive = curves([WORST, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    assert dead.beside(alive)["fastest"] > 1
    assert alive.beside(dead)["usable_rates"] == 1
    assert dead.beside(dead) == pytest.approx({"fastest": 1, "average": 1, "usable_rates": 0})
