"""Who wins among curves that are known, and what a slope is."""

import numpy as np
import pandas as pd
import pytest

from replica.lab.claims import Trial
from replica.papers.architectures.magnitude_invariant import IGNORANCE, compare, slopes, split_images
from replica.training import RateCurves


def curves(*columns):
    return RateCurves(list(range(0, 10 * len(columns[0]), 10)), {"adam": np.array(columns, float).T})


def test_comparison_of_known_curves():
    plain = curves([2, 2, 2, 2, 2, 1.0, 1.0, 1.0], [2] * 8)
    ours = curves([2, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0], [2, 2, 2, 1.2, 1.2, 1.2, 1.2, 1.2])
    # The lowest end is 1, the target 1.25: the mean of three evaluations is there after 30, 50, and 70 steps.
    assert compare(ours, plain) == pytest.approx({"fastest": 3 / 7, "average": 4 / 7, "usable_rates": 0.5})
    assert compare(plain, ours) == pytest.approx({"fastest": 7 / 3, "average": 7 / 4, "usable_rates": -0.5})


def test_a_form_that_learns_nothing_wins_nothing():
    dead = curves([IGNORANCE] * 8)
    alive = curves([IGNORANCE, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    assert compare(dead, alive)["fastest"] > 1
    assert compare(alive, dead)["usable_rates"] == 1
    assert compare(dead, dead) == pytest.approx({"fastest": 1, "average": 1, "usable_rates": 0})


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_slope_of_a_power(power):
    conditions = np.logspace(-1, 0, 9)
    rows = {"form": "plain", "step": 0, "condition": conditions, "deviation": 3 * conditions**power}
    assert slopes(pd.DataFrame(rows), 0)["plain"] == pytest.approx(power, abs=1e-9)


def test_no_image_is_both_trained_on_and_held_out():
    data = split_images(Trial(0, "laptop"))
    train = {image.numpy().tobytes() for image in data.images}
    # Two of the digits' images may be equal; nearly all must be new.
    assert sum(image.numpy().tobytes() in train for image in data.other_images) <= 1
