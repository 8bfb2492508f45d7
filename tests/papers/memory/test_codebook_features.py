"""What the claims of codebook_features stand on: labels, divergence, the behaviour that is counted."""

import torch
from scipy.spatial.distance import jensenshannon

from replica.papers.memory.codebook_features import divergence, labels_of, shouts
from replica.training import CharacterText


def test_labels_stand_where_a_state_is_complete():
    labels = labels_of(torch.tensor([[3, 5], [7, 9]]), 100)
    assert labels.tolist() == [100, 100, 3, 100, 100, 100, 7, 100]


def test_divergence_is_scipys():
    first, second = torch.rand(2, 20, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64).softmax(-1)
    first[0] = second[0]
    second[1, :3], second[1] = 0.0, second[1] / second[1].sum()
    second[1] /= second[1].sum()
    expected = jensenshannon(first, second, axis=1, base=2) ** 2
    torch.testing.assert_close(divergence(first, second), torch.from_numpy(expected), atol=1e-9, rtol=1e-7)


def test_capitals_after_capitals_are_counted():
    text = CharacterText("ROMEO:\nI am A MAN.\n" * 20)
    line = text.train[:18]
    shown = "".join(text.alphabet[i] for i in line[shouts(text, line.unsqueeze(0))[0]].tolist())
    assert shown == "OMEOAN"
