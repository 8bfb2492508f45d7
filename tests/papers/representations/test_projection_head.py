"""Judges of projection_head on made tables, and its studies on cases that are known."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from replica.lab.claims import Trial
from replica.papers.representations import projection_head
from replica.papers.representations.projection_head import hidden_digit, inequality, paper, weighting


def test_inequality_is_judged_layer_by_layer():
    facts = {"at_start": 0.1, "predicted": 1.0, "error": 0.02, "loss_over_least": 1e-4}
    rows = [
        {"depth": "2 layers", "layer": 1, "inequality": 0.6, **facts},
        {"depth": "2 layers", "layer": 2, "inequality": 1.2, **facts, "at_start": 0.3},
        {"depth": "3 layers", "layer": 1, "inequality": 0.3, **facts, "error": 9.0},
        {"depth": "3 layers", "layer": 2, "inequality": 0.8, **facts},
        {"depth": "3 layers", "layer": 3, "inequality": 1.2, **facts},
    ]
    assert paper.claims["more_unequal_with_depth"].measures(pd.DataFrame(rows)) == pytest.approx(
        {
            "share_of_inequality": 0.5,
            "share_of_inequality_in_three": 0.25,
            "least_rise_in_three": 0.4,
            "error_of_closed_form": 0.02,
            "inequality_after_head": 1.2,
            "inequality_at_start": 0.3,
            "loss_over_least": 1e-4,
        }
    )
    assert inequality(torch.tensor([2.0, 1.0, 8.0])) == pytest.approx(math.log(8))


def test_gain_is_that_of_the_hidden_digit():
    accuracy = {
        "pixels": (0.9, 0.8),
        "before, untrained": (0.7, 0.75),
        "after, untrained": (0.6, 0.7),
        "before the head": (0.95, 0.4),
        "after the head": (0.9, 0.12),
    }
    rows = [
        {"features": features, "digit": digit, "accuracy": value}
        for features, pair in accuracy.items()
        for digit, value in zip(("kept", "hidden"), pair, strict=True)
    ]
    assert paper.claims["hidden_features_before_head"].measures(pd.DataFrame(rows)) == pytest.approx(
        {
            "gain_before_head": 0.28,
            "kept_gain_before_head": 0.05,
            "hidden_after_head_over_chance": 0.02,
            "gain_over_untrained": 0.23,
            "kept_after_head": 0.9,
            "hidden_in_pixels": 0.8,
            "lost_by_training": 0.35,
        }
    )


def test_layers_start_apart_from_each_other_and_prediction_is_a_power():
    rows = pd.DataFrame(weighting(Trial(100, "smoke"))).set_index(["depth", "layer"])
    assert rows["predicted"]["2 layers", 1] == pytest.approx(rows["predicted"]["2 layers", 2] / 2)
    assert rows["predicted"]["3 layers", 1] == pytest.approx(rows["predicted"]["3 layers", 3] / 3)
    assert rows["at_start"].nunique() == 5


def test_views_hide_one_digit_and_pixels_tell_both(monkeypatch):
    seen = []

    class Watched(projection_head.Views):
        def __call__(self, images, generator=None):
            seen.append(images.clone())
            return images

    monkeypatch.setattr(projection_head, "Views", Watched)
    found = pd.DataFrame(hidden_digit(Trial(100, "smoke"))).set_index(["digit", "features"])["accuracy"]
    assert found["kept", "pixels"] > 0.6
    assert found["hidden", "pixels"] > 0.6
    one, two = seen[:2]  # views of one batch
    assert torch.equal(one[..., :8], two[..., :8])
    assert (one[..., 8:] != two[..., 8:]).flatten(1).any(1).float().mean() > 0.9


def test_head_is_left_off_after_the_first_hidden_layer():
    rng = np.random.default_rng(0)
    X, environment = rng.normal(size=(60, 3)), np.arange(60) % 2
    y = (X[:, 0] > 0).astype(np.int64)
    learner = projection_head.head_removed(Trial(100, "smoke")).fit(X, y, environment)
    first = learner.learner.net_[0]
    wanted = torch.relu(first(torch.tensor(X))).detach().numpy()
    np.testing.assert_array_equal(learner.features(X), wanted)
    assert learner.top.coef_.shape[1] == wanted.shape[1]
    assert (learner.predict_proba(X).argmax(1) == y).mean() > 0.9
