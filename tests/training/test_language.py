import math

import pytest
import torch
from torch import nn

from replica.training import CharacterText, bits_per_token, next_token_accuracy, next_token_loss


class Successor(nn.Module):
    """Knows that the next token is one more, with probability one half, of an alphabet of four."""

    def forward(self, tokens):
        certain = nn.functional.one_hot((tokens + 1) % 4, 4).double()
        return certain * math.log(3)  # 3 : 1 : 1 : 1


def test_bits_of_a_known_guess():
    right, wrong = torch.tensor([[0, 1, 2, 3, 0]]).expand(300, -1), torch.tensor([[0, 2, 0, 2, 0]]).expand(100, -1)
    assert float(next_token_loss(Successor(), right)) == pytest.approx(math.log(2))
    assert bits_per_token(Successor(), torch.cat([right, wrong])) == pytest.approx((300 * 1 + 100 * math.log2(6)) / 400)
    assert next_token_accuracy(Successor(), torch.cat([right, wrong])) == 300 / 400


def test_windows_are_stretches_of_the_text_and_training_never_sees_what_is_held_out():
    text = CharacterText("".join(chr(i) for i in range(40, 140)))
    assert "".join(text.alphabet[i] for i in text.train) == "".join(chr(i) for i in range(40, 130))
    (batch,) = next(text.stream(64, 9, torch.Generator().manual_seed(0)))
    assert batch.shape == (64, 9)
    assert torch.equal(batch.diff(dim=1), torch.ones(64, 8, dtype=torch.int64))
    assert int(batch.max()) < 90
    assert len(batch[:, 0].unique()) > 20
