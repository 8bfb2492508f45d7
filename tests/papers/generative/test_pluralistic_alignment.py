"""The judges of pluralistic_alignment on made tables, and the draws and rivals they stand on."""

import numpy as np
import pandas as pd
import pytest
import torch

from replica.lab.claims import Trial
from replica.papers.generative import pluralistic_alignment as module
from replica.papers.generative.pluralistic_alignment import (
    Choices,
    accuracy,
    choices,
    own_models,
    paper,
    population,
)


def table():
    seen = {"common": 0.6, "users permuted": 0.61, "model per user": 0.68, "mixture": 0.7, "truth": 0.8}
    rows = [{"users": "seen", "method": name, "accuracy": value} for name, value in seen.items()]
    for pairs, own, mixture in ((2, 0.5, 0.58), (20, 0.66, 0.7)):
        new = {"common": 0.6, "model per user": own, "mixture": mixture, "another's pairs": 0.55, "truth": 0.8}
        rows += [{"users": "new", "pairs": pairs, "method": name, "accuracy": value} for name, value in new.items()]
    return pd.DataFrame(rows)


def test_judges_on_a_made_table():
    wanted = {
        "above_one_model": {
            "gain_over_common": 0.1,
            "share_of_headroom": 0.5,
            "headroom": 0.2,
            "gain_with_users_permuted": 0.01,
            "accuracy_of_common": 0.6,
        },
        "new_users": {
            "gain_over_better": 0.01,  # -0.02 over the common model with 2 pairs, 0.04 over the user's own with 20
            "gain_over_common": 0.04,
            "gain_over_own": 0.06,
            "gain_with_two_pairs": -0.02,
            "headroom": 0.2,
            "gain_with_anothers_pairs": -0.05,
        },
        "alike_users": {"loss": -0.1, "loss_of_new_users": -0.04, "accuracy_of_common": 0.6},
        "electricity_contracts": {
            "gain_over_common": 0.1,
            "gain_over_own": 0.02,
            "new_gain_over_better": 0.01,
            "accuracy_of_common": 0.6,
            "gain_with_users_permuted": 0.01,
        },
    }
    for claim, measures in wanted.items():
        assert paper.claims[claim].measures(table()) == pytest.approx(measures)


def test_preferences_follow_the_rewards():
    worth = np.array([[0.0, 1.0], [0.0, -3.0]])
    drawn = choices(worth, 4000, np.random.default_rng(0))
    assert (drawn.pairs[..., 0] != drawn.pairs[..., 1]).all()
    assert drawn.pairs[..., 0].mean(1) == pytest.approx(1 / (1 + np.exp([-1.0, 3.0])), abs=0.03)
    pairs, users = Choices(drawn.pairs[:, :7]).flat(2, 5)
    assert users.tolist() == [0] * 3 + [1] * 3
    assert (pairs[3:] == drawn.pairs[1, 2:5]).all()


def test_accuracy_counts_the_preferred_first():
    test = Choices(np.array([[[0, 1], [1, 2]], [[1, 0], [2, 0]]]))
    assert accuracy(torch.tensor([[2.0, 1.0, 0.0]]), test) == 0.5
    assert accuracy(torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]]), test) == 1.0


def test_models_of_ones_own_learn_from_the_first_pairs_alone():
    items = torch.tensor([[1.0], [0.0]], dtype=torch.float64)
    known = Choices(np.array([[[0, 1], [1, 0], [1, 0]], [[0, 1], [0, 1], [0, 1]]]))
    found = own_models(items, torch.zeros(2, dtype=torch.float64), known, 1, 0.5)
    # σ(−w) = w / 2 where the loss log(1 + e^−w) + w²/4 is flat.
    slope = found[:, 0] - found[:, 1]
    assert torch.allclose(torch.sigmoid(-slope), slope / 2, atol=1e-4)
    assert torch.allclose(found[0], found[1])


def test_users_differ_where_they_are_to():
    trial = Trial(100, "smoke")
    _, seen, new = population(trial, alike=True)
    assert np.ptp(np.diff(np.concatenate([seen, new])), axis=0).max() < 1e-9
    _, seen, _ = population(trial, alike=False)
    assert np.ptp(np.diff(seen), axis=0).min() > 0.1


def test_contracts_are_split_by_choice(monkeypatch):
    seen = {}
    monkeypatch.setattr(module, "compared", lambda trial, items, *parts: seen.update(items=items, parts=parts[:4]))
    module.contracts(Trial(100, "smoke"))
    known, test, few, unseen = (part.pairs // 4 for part in seen["parts"])
    # Both items of a pair are of one choice, whose three pairs stay together; nobody's choice is on both sides.
    for part in (known, test, few, unseen):
        assert (part[..., 0] == part[..., 1]).all()
        assert (part[:, ::3] == part[:, 2::3]).all()
    assert (seen["parts"][0].pairs[..., 0] % 4 == 0).all()
    assert set(known.ravel()).isdisjoint(test.ravel())
    assert set(few.ravel()).isdisjoint(unseen.ravel())
    people = [set((part // 12).ravel()) for part in (known, test, few, unseen)]
    assert people[0] == people[1]
    assert people[2] == people[3]
    assert people[0].isdisjoint(people[2])
    assert [part.shape for part in (known, test, few, unseen)] == [(14, 24, 2), (14, 12, 2), (6, 24, 2), (6, 12, 2)]
