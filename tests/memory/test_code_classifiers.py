"""Codes and neurons as classifiers, beside scikit-learn and all thresholds."""

import pytest
import torch
from sklearn.metrics import f1_score, precision_recall_fscore_support

from replica.memory.code_classifiers import f1_of_codes, neuron_classifiers, scores


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_f1_of_codes_is_scikit_learns():
    codes, states = (torch.randint(high, (500,), generator=seeded(i)) for i, high in enumerate((12, 6)))
    found = f1_of_codes(codes.unsqueeze(-1), states, 12, 5)
    assert found.shape == (5, 12)
    for state in range(5):
        for code in range(12):
            assert found[state, code] == pytest.approx(f1_score(states == state, codes == code))


def test_neuron_classifiers_are_the_best_of_all_thresholds():
    values, states = torch.randn(24, 3, generator=seeded()), torch.randint(4, (24,), generator=seeded(1))
    values[:, 1] -= 2.0 * (states == 2)
    neuron, sign, threshold = neuron_classifiers(values, states, 3)
    assert (int(neuron[2]), float(sign[2])) == (1, -1.0)
    for state in range(3):
        best = max(
            f1_score(states == state, side * values[:, i] >= side * at)
            for i in range(3)
            for side in (1, -1)
            for at in values[:, i]
        )
        own = sign[state] * values[:, neuron[state]] >= threshold[state]
        assert f1_score(states == state, own) == pytest.approx(best)


def test_scores_are_scikit_learns():
    states = torch.randint(4, (200,), generator=seeded())
    predicted = torch.rand(200, 3, generator=seeded(1)) < 0.3
    predicted[:, 2] = False
    found = scores(predicted, states)
    for state in range(3):
        expected = precision_recall_fscore_support(
            states == state, predicted[:, state], average="binary", zero_division=0
        )
        assert [float(value[state]) for value in found] == pytest.approx(expected[:3])
