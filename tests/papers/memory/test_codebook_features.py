"""What the claims of codebook_features stand on: labels, the behaviour that is counted."""

import torch

from replica.papers.memory.codebook_features import labels_of, shouts
from replica.training import CharacterText


def test_labels_stand_where_a_state_is_complete():
    labels = labels_of(torch.tensor([[3, 5], [7, 9]]), 100)
    assert labels.tolist() == [100, 100, 3, 100, 100, 100, 7, 100]


def test_capitals_after_capitals_are_counted():
    text = CharacterText("ROMEO:\nI am A MAN.\n" * 20)
    line = text.train[:18]
    shown = "".join(text.alphabet[i] for i in line[shouts(text, line.unsqueeze(0))[0]].tolist())
    assert shown == "OMEOAN"
