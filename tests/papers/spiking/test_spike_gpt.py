"""What SpikeGPT's claims stand on: counting operations, tables of pairs, the reader of events."""

import math

import pytest
import torch
from torch import Tensor

from replica.papers.spiking.spike_gpt import EventReader, bits_of_pairs, event_driven, spikes_of
from replica.spiking import SpikeGPT
from replica.training import CharacterText


def firing() -> tuple[SpikeGPT, Tensor]:
    """A model whose neurons fire, and tokens."""
    generator = torch.Generator().manual_seed(0)
    model = SpikeGPT(5, dim=6, layers=2, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        for block in model.blocks:
            block.time_mixing.output.weight.mul_(8)
            block.channel_mixing.value.weight.mul_(40)
    return model, torch.randint(5, (2, 9), generator=generator)


def test_spikes_and_embedding_make_the_stream():
    model, tokens = firing()
    total = sum((first + second for first, second in spikes_of(model, tokens)), start=torch.zeros(()))
    logits = model.head(model.norm(model.embedding_norm(model.embed(tokens.T)) + total)).transpose(0, 1)
    torch.testing.assert_close(logits, model(tokens))


def test_products_with_the_stream_can_be_added_up_from_events_with_as_many_additions_as_counted():
    """The second layer's keys, from a look-up by token and one column for each spike now and at the step before."""
    model, tokens = firing()
    first, second = spikes_of(model, tokens)[0]
    counts = first + second
    block, mixing = model.blocks[1], model.blocks[1].time_mixing
    with torch.no_grad():
        start = model.embedding_norm(model.embed(tokens.T))
        stream = start + counts
        wanted = mixing.project(block.time_norm(stream), torch.cat([0 * stream[:1], block.time_norm(stream)[:-1]]))[1]
        scale = (stream.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
        found, additions = torch.zeros_like(wanted), 0
        for share, late in ((mixing.mix_key, 0), (1 - mixing.mix_key, 1)):
            # The normalisation's mean is linear too: it is taken out of the columns.
            columns = mixing.key.weight * share
            columns = columns - columns.sum(1, keepdim=True) / 6
            product = start @ columns.T
            for t in range(9):
                for b in range(2):
                    for unit in range(6):
                        for _ in range(int(counts[t, b, unit])):
                            product[t, b] += columns[:, unit]
                            additions += 6
            product = product / scale
            found[late:] += product[: 9 - late]
    torch.testing.assert_close(found, wanted)
    assert additions == 2 * 6 * float(counts.sum())
    assert additions > 0
    # Three such products here, five times the width in channel mixing, and the read-out.
    in_stream = [0.0]
    for pair in spikes_of(model, tokens):
        in_stream += [in_stream[-1] + float(pair[0].sum()), in_stream[-1] + float(pair[0].sum() + pair[1].sum())]
    readers = ((18, 2), (30, 2), (18, 2), (30, 2), (5, 1))
    costs = [(times * n * out, 18 * 6 * out) for n, (out, times) in zip(in_stream, readers, strict=True)]
    counted = event_driven(model, tokens)
    assert counted.additions == sum(events for events, whole in costs if events < whole) > 0
    assert counted.dense == 18 * (2 * 13 * 36 + 5 * 6)
    wholes = sum(whole for events, whole in costs if events >= whole)
    assert wholes + 18 * 2 * 36 < counted.multiplications < wholes + 18 * 2 * (36 + 4 * 36)


def test_bits_of_pairs():
    assert bits_of_pairs(CharacterText("ab" * 5000)) == pytest.approx(0.0, abs=1e-3)
    letters = torch.randint(8, (60_000,), generator=torch.Generator().manual_seed(0))
    assert bits_of_pairs(CharacterText("".join("abcdefgh"[i] for i in letters))) == pytest.approx(
        math.log2(8), abs=0.02
    )


def test_the_reader_counts_events_as_additions():
    torch.manual_seed(0)
    reader = EventReader(7, 3, dim=8, layers=1)
    events = (torch.rand(4, 10, 7) < 0.3).float()
    counted = reader.operations(events)
    others = 10 * 13 * 64 + 3 * 8
    assert counted["operations"] == pytest.approx(8 * float(events.sum()) / 4 + others)
    assert counted["spikes"] == 0  # a fresh network is silent
    with torch.no_grad():
        reader.blocks[0].channel_mixing.value.weight.mul_(200)
    assert reader.operations(events)["spikes"] > 0
