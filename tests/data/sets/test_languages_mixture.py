"""Languages mixture: sums are right, brackets balance, tokens are the texts, batches hold languages in turn, files are read."""

import os

import pytest
import torch

from replica.data import inferno, languages_mixture

with_files = pytest.mark.skipif(not os.environ.get("REPLICA_DATA"), reason="needs the texts in REPLICA_DATA")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def text_of(mixture, name: str) -> str:
    return "".join(mixture.alphabet[token] for token in torch.cat([mixture.train[name], mixture.held_out[name]]))


def test_made_languages_keep_their_grammar() -> None:
    mixture = languages_mixture(["sums", "brackets"], 3000, generator=seeded())
    lines = text_of(mixture, "sums").split("\n")[:-1]
    assert len(lines) > 300
    for line in lines:
        left, right = line.split("=")
        assert sum(map(int, left.split("+"))) == int(right)
    open_ones: list[str] = []
    deepest = 0
    for character in text_of(mixture, "brackets"):
        if character == "\n":
            assert not open_ones
        elif character in "([{":
            open_ones.append(character)
            deepest = max(deepest, len(open_ones))
        else:
            assert open_ones.pop() + character in ("()", "[]", "{}")
    assert deepest == 8


def test_seeds_decide_and_splits_and_batches_are_stretches() -> None:
    first, again, other = (languages_mixture(["brackets", "sums"], 500, generator=seeded(seed)) for seed in (0, 0, 1))
    assert text_of(first, "sums") == text_of(again, "sums")
    assert text_of(first, "sums") != text_of(other, "sums")
    assert [len(part["sums"]) for part in (first.train, first.held_out)] == [450, 50]
    (batch,) = next(first.batches(3, 20, seeded()))
    assert batch.shape == (6, 20)
    train, held_out = ("".join(map(chr, part["sums"])) for part in (first.train, first.held_out))
    assert all("".join(map(chr, row)) in train for row in batch[3:])
    assert all("".join(map(chr, row)) in held_out for row in first.unseen("sums", 5, 20, seeded()))
    assert first.unseen("sums", 1, 50, seeded()).shape == (1, 50)


@with_files
def test_natural_languages_are_stretches_from_the_start_of_a_line() -> None:
    poem = inferno()
    assert poem.startswith("Nel mezzo del cammin di nostra vita\nmi ritrovai")
    assert poem.endswith("E quindi uscimmo a riveder le stelle.\n")
    assert "•" not in poem
    mixture = languages_mixture(["english", "italian"], 2000, generator=seeded())
    text = text_of(mixture, "italian")
    assert len(text) == 2000
    assert "\n" + text in "\n" + poem
    with pytest.raises(ValueError, match="characters: got 1000000"):
        languages_mixture(["italian"], 1_000_000)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: languages_mixture(["latin"], 100), "languages: got \\['latin'\\]"),
        (lambda: languages_mixture([], 100), "languages: got"),
        (lambda: languages_mixture(["sums", "sums"], 100), "languages: got"),
        (lambda: languages_mixture(["sums"], 5), "characters: got 5"),
        (lambda: languages_mixture(["sums"], 100).unseen("sums", 1, 11, seeded()), "length: got 11"),
    ],
)
def test_bad_arguments_are_named(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
