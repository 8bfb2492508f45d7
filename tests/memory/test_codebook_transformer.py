"""Codebooks behind every head and perceptron of a transformer, and their training."""

import torch

from replica.memory import (
    bypass_codebooks,
    codebook_transformer,
    codebooks_of,
    reconstruction_loss,
    record_codes,
    train_codebooks,
)
from replica.training import CausalTransformer, next_token_loss


def plain_and_tokens():
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(7, (32, 1), generator=generator) + torch.arange(9)
    return CausalTransformer(7, dim=8, layers=2, heads=2, context=9, generator=generator), tokens % 7, generator


def test_a_copy_with_a_codebook_a_head_and_a_perceptron():
    plain, tokens, generator = plain_and_tokens()
    before = plain(tokens)
    coded = codebook_transformer(plain, tokens, head_codes=5, mlp_codes=6, active=2, generator=generator)
    assert [(b.groups, b.count) for b in codebooks_of(coded).values()] == [(2, 5), (1, 6)] * 2
    assert not codebooks_of(plain)
    torch.testing.assert_close(plain(tokens), before, rtol=0, atol=0)
    assert not torch.equal(coded(tokens), before)
    with bypass_codebooks(coded):
        torch.testing.assert_close(coded(tokens), before, rtol=0, atol=0)


def test_training_lowers_the_loss_and_moves_codes_thirty_times_as_fast():
    plain, tokens, generator = plain_and_tokens()
    train_codebooks(plain, [(tokens,)], steps=60, rate=1e-2)
    coded = codebook_transformer(plain, tokens, head_codes=6, mlp_codes=12, generator=generator)
    first = {name: weight.detach().clone() for name, weight in coded.named_parameters()}
    before = next_token_loss(coded, tokens).item()
    train_codebooks(coded, [(tokens,)], steps=1, rate=1e-4)
    # Adam's first step is its rate, whatever the gradient: a 25th of the greatest, as the schedule starts.
    moved = {n: (w - first[n]).abs().max().item() for n, w in coded.named_parameters()}
    codes = max(value for name, value in moved.items() if name.endswith("codes"))
    weights = moved["head.weight"]
    assert 25 < codes / weights < 35
    train_codebooks(coded, [(tokens,)], steps=60, rate=3e-3)
    assert next_token_loss(coded, tokens).item() < before


def test_training_draws_codes_to_what_they_stand_for():
    plain, tokens, generator = plain_and_tokens()
    coded = codebook_transformer(plain, tokens, head_codes=6, mlp_codes=12, generator=generator)

    def missed():
        with torch.no_grad(), record_codes(coded) as record:
            coded(tokens)
        return reconstruction_loss(record).item()

    for weight in coded.parameters():  # only the codes are trained
        weight.requires_grad_(any(weight is book.codes for book in codebooks_of(coded).values()))
    with torch.no_grad():
        for book in codebooks_of(coded).values():
            book.codes.mul_(3.0)
    before = missed()
    train_codebooks(coded, [(tokens,)], steps=100, rate=3e-3)
    assert missed() < 0.5 * before
