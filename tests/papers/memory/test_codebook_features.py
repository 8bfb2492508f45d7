from itertools import pairwise

import pytest
import torch
from scipy.spatial.distance import jensenshannon
from sklearn.metrics import f1_score, precision_recall_fscore_support

from replica.papers.memory.codebook_features import (
    START,
    Machine,
    Text,
    divergence,
    f1_of_codes,
    labels_of,
    neuron_classifiers,
    scores,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_walks_are_legal_and_written_in_digits():
    machine = Machine(10, seeded())
    assert (machine.legal.sum(1) == 10).all()
    tokens, path = machine.walk(300, 6)
    assert (tokens[:, 0] == START).all()
    assert torch.equal(10 * tokens[:, 1::2] + tokens[:, 2::2], path)
    assert machine.legal[path[:, :-1], path[:, 1:]].all()
    share = machine.legal_share(tokens[:, 1:])
    assert (share.successes, share.total) == (1500, 1500)
    edges = machine.successors[path[:, 0]] == path[:, 1:2]
    assert (edges.sum(0) > 10).all(), "every successor is drawn"


def test_legal_share_counts_transitions_by_hand():
    machine = Machine(10, seeded())
    tokens = torch.randint(11, (40, 8), generator=seeded(1))
    legal = 0
    for row in tokens.tolist():
        states = [10 * a + b if a < 10 and b < 10 else None for a, b in zip(row[::2], row[1::2], strict=True)]
        for a, b in pairwise(states):
            legal += a is not None and b is not None and bool(machine.legal[a, b])
    found = machine.legal_share(tokens)
    assert (found.successes, found.total) == (legal, 120)


def test_labels_stand_where_a_state_is_complete():
    labels = labels_of(torch.tensor([[3, 5], [7, 9]]), 100)
    assert labels.tolist() == [100, 100, 3, 100, 100, 100, 7, 100]


def test_f1_of_codes_is_scikit_learns():
    codes, states = (torch.randint(high, (500,), generator=seeded(i)) for i, high in enumerate((12, 6)))
    found = f1_of_codes(codes, states, 12, 5)
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


def test_divergence_is_scipys():
    first, second = torch.rand(2, 20, 7, generator=seeded(), dtype=torch.float64).softmax(-1)
    first[0] = second[0]
    second[1, :3], second[1] = 0.0, second[1] / second[1].sum()
    second[1] /= second[1].sum()
    expected = jensenshannon(first, second, axis=1, base=2) ** 2
    torch.testing.assert_close(divergence(first, second), torch.from_numpy(expected), atol=1e-9, rtol=1e-7)


def test_text_counts_capitals_after_capitals():
    text = Text("ROMEO:\nI am A MAN.\n" * 20, torch.device("cpu"))
    assert len(text.train) == 342
    line = text.train[:18]
    shown = "".join(text.alphabet[i] for i in line[text.shouts(line.unsqueeze(0))[0]].tolist())
    assert shown == "OMEOAN"
    windows = text.windows(text.held_out, 50, 10, seeded())
    assert windows.shape == (50, 10)
