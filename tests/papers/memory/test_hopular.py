"""What the claims of Hopular stand on: splits, tuning, ranks."""

import numpy as np
import pandas as pd
import pytest
from sklearn.neighbors import KNeighborsClassifier

from replica.data import small_table
from replica.papers.memory import hopular


def test_a_split_keeps_all_rows_apart_and_the_classes_shares():
    words, (rows, labels), (tested, truth) = hopular.split_table("wine", 3)
    assert words == ()
    whole = np.concatenate([rows, tested])
    assert len(whole) == 178
    assert len(np.unique(whole, axis=0)) == len(np.unique(small_table("wine").features.to_numpy(), axis=0))
    np.testing.assert_allclose(np.bincount(truth) / len(truth), np.bincount(labels) / len(labels), atol=0.03)


def test_tuning_takes_the_best_setting_and_fits_it_on_all_rows():
    fitted = []

    def make(words, setting, seed):
        model = KNeighborsClassifier((60, 1, 60)[setting])
        fitted.append(model)
        return model

    _, (rows, labels), _ = hopular.split_table("iris", 1)
    best = hopular.tuned(make, (), rows, labels, 3, 1)
    assert best.n_neighbors == 1
    assert best.n_samples_fit_ == len(rows)
    assert len(fitted) == 4
    assert fitted[0].n_samples_fit_ == len(rows) - round(0.2 * len(rows) + 0.49)


def test_each_baseline_takes_categories():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.integers(4, size=60), rng.normal(size=60)]).astype(float)
    y = (X[:, 0] > 1).astype(int)
    for make in hopular.BASELINES.values():
        assert make((0,), 0, 0).fit(X, y).score(X, y) == 1.0


def test_ranks_are_shared_by_ties_and_gains_are_differences_of_means():
    accuracy = {"hopular": (0.9, 0.5), **dict.fromkeys(hopular.BASELINES, (0.8, 0.6))}
    rows = [(table, name, both[table]) for name, both in accuracy.items() for table in (0, 1)]
    measures = hopular.small_tables.judge(pd.DataFrame(rows, columns=["table", "method", "accuracy"]))
    assert measures["mean_rank_of_hopular"] == pytest.approx((1 + 4) / 2)
    for name in hopular.BASELINES:
        assert measures[f"rank_gain_over_{name}"] == pytest.approx((3 + 2) / 2 - 2.5)
        assert measures[f"accuracy_gain_over_{name}"] == pytest.approx(0)
