"""SpikeGPT: two modes, the twin, the block written out, spikes, generation."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from replica.spiking import SpikeGPT, SpikeGPTBlock


def model_of(*, spiking: bool = True, loud: float = 6.0, dtype: torch.dtype = torch.float64, seed: int = 0) -> SpikeGPT:
    """A model whose outputs are loud enough that its neurons fire, which a fresh one's do not."""
    model = SpikeGPT(9, dim=12, layers=3, spiking=spiking, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    with torch.no_grad():
        for block in model.blocks:
            block.time_mixing.output.weight.mul_(loud)
            block.channel_mixing.value.weight.mul_(4 * loud)
    return model


def tokens_of(batch: int, length: int) -> Tensor:
    return torch.randint(9, (batch, length), generator=torch.Generator().manual_seed(length))


def added(model: SpikeGPT, tokens: Tensor) -> list[Tensor]:
    stream, found = model.embedding_norm(model.embed(tokens.T)), []
    for block in model.blocks:
        for adds in (block.time_output, block.channel_output):
            found.append(adds(stream))
            stream = stream + found[-1]
    return found


@pytest.mark.parametrize("spiking", [True, False])
@pytest.mark.parametrize(("batch", "length"), [(1, 1), (3, 2), (2, 120)])
def test_token_by_token_is_the_sequence_at_once(spiking: bool, batch: int, length: int) -> None:
    model, tokens = model_of(spiking=spiking), tokens_of(batch, length)
    state, found = None, []
    for token in tokens.T:
        logits, state = model.step(token, state)
        found.append(logits)
    torch.testing.assert_close(torch.stack(found, 1), model(tokens), rtol=0, atol=1e-10)


def test_it_looks_at_the_past_alone() -> None:
    model, tokens = model_of(), tokens_of(2, 20)
    other = tokens.clone()
    other[:, 12:] = (other[:, 12:] + 1) % 9
    one, two = model(tokens), model(other)
    torch.testing.assert_close(one[:, :12], two[:, :12])
    assert not torch.allclose(one[:, 12:], two[:, 12:])


def test_layers_add_spikes_and_nothing_else() -> None:
    model, tokens = model_of(), tokens_of(4, 40)
    assert model.embed(tokens).unique().tolist() == [0, 1]
    for spikes in added(model, tokens):
        assert spikes.unique().tolist() == [0, 1]
        assert 0.001 < float(spikes.detach().mean()) < 0.9
    assert all(len(each.unique()) > 100 for each in added(model_of(spiking=False), tokens))


def test_the_twin_has_the_same_parameters() -> None:
    spiking, plain = model_of(), model_of(spiking=False, seed=5)
    tokens = tokens_of(2, 10)
    assert not torch.allclose(spiking(tokens), plain(tokens))
    plain.load_state_dict(spiking.state_dict())
    assert {name for name, _ in spiking.named_parameters()} == {name for name, _ in plain.named_parameters()}
    again = model_of(seed=7)
    again.load_state_dict(plain.state_dict())
    assert torch.equal(again(tokens), spiking(tokens))


def test_a_block_is_its_equations_written_out() -> None:
    """The equations of RWKV with spikes, step by step, from the parameters alone."""
    block = model_of().blocks[1]
    generator = torch.Generator().manual_seed(3)
    stream = torch.randn(15, 2, 12, generator=generator, dtype=torch.float64)
    time, channel = block.time_mixing, block.channel_mixing

    def normal(x: Tensor) -> Tensor:
        return (x - x.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()

    def fire(potential: Tensor, current: Tensor) -> tuple[Tensor, Tensor]:
        potential = potential + (current - potential) / 2
        spikes = (potential >= 1).double()
        return spikes, potential * (1 - spikes)

    one = two = torch.zeros(2, 12, dtype=torch.float64)
    keys: list[Tensor] = []
    values: list[Tensor] = []
    before_time = before_channel = torch.zeros(2, 12, dtype=torch.float64)
    wanted = []
    for t, x in enumerate(stream):
        now = normal(x)
        mixed = {
            name: now * getattr(time, f"mix_{name}") + before_time * (1 - getattr(time, f"mix_{name}"))
            for name in ("key", "value", "receptance")
        }
        keys.append(mixed["key"] @ time.key.weight.T)
        values.append(mixed["value"] @ time.value.weight.T)
        weights = [torch.exp(keys[i] - (t - 1 - i) * time.log_decay.exp()) for i in range(t)]
        weights.append(torch.exp(time.bonus + keys[t]))
        average = sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)
        gate = torch.sigmoid(mixed["receptance"] @ time.receptance.weight.T)
        spikes, one = fire(one, (gate * average) @ time.output.weight.T)
        before_time, x = now, x + spikes
        now = normal(x)
        key = now * channel.mix_key + before_channel * (1 - channel.mix_key)
        receptance = now * channel.mix_receptance + before_channel * (1 - channel.mix_receptance)
        hidden = (key @ channel.key.weight.T).clamp(min=0) ** 2
        gate = torch.sigmoid(receptance @ channel.receptance.weight.T)
        spikes, two = fire(two, gate * (hidden @ channel.value.weight.T))
        before_channel = now
        wanted.append(x + spikes)
    torch.testing.assert_close(block(stream), torch.stack(wanted), rtol=0, atol=1e-12)


def test_the_start_is_that_of_the_authors() -> None:
    """Decays from e^−5 to e^3 in every layer, the first layer's mixing by unit, half of a unit's size kept in the last."""
    blocks = SpikeGPT(5, dim=8, layers=2, generator=torch.Generator().manual_seed(0)).blocks
    for block in blocks:
        decay = block.time_mixing.log_decay
        assert decay[0] == -5
        assert decay[-1] == 3
        assert (decay.diff() > 0).all()
    unit = torch.arange(8) / 8
    torch.testing.assert_close(blocks[0].time_mixing.mix_key, unit)
    torch.testing.assert_close(blocks[1].time_mixing.mix_key, unit.sqrt())
    torch.testing.assert_close(blocks[1].time_mixing.mix_value, unit.sqrt() + 0.3)
    torch.testing.assert_close(blocks[0].time_mixing.mix_receptance, unit.sqrt())


def test_it_learns_a_pattern_that_needs_memory() -> None:
    """The token after a 0 is the one that came after the last 0: bigrams cannot know it."""
    generator = torch.Generator().manual_seed(0)
    model = SpikeGPT(4, dim=24, layers=1, generator=generator)
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)

    def batch() -> Tensor:
        own = torch.randint(1, 4, (32, 1), generator=generator)
        return torch.stack([torch.zeros(32, 8, dtype=torch.int64), own.expand(32, 8)], -1).flatten(1)

    for _ in range(60):
        tokens = batch()
        loss = functional.cross_entropy(model(tokens[:, :-1])[:, 2:].flatten(0, 1), tokens[:, 3:].flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert float(loss.detach()) < 0.2
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_generation_draws_from_the_models_own_distribution() -> None:
    model = model_of()
    prompt = tokens_of(1, 6).expand(4000, 6)
    drawn = model.generate(prompt, 1, generator=torch.Generator().manual_seed(0))
    assert torch.equal(drawn[:, :6], prompt)
    shares = torch.bincount(drawn[:, 6], minlength=9) / 4000
    torch.testing.assert_close(shares, model(prompt[:1])[0, -1].softmax(-1).float(), rtol=0, atol=0.04)
    greedy = model.generate(prompt[:2], 5, temperature=1e-6, generator=torch.Generator().manual_seed(0))
    for length in range(6, 11):
        assert torch.equal(model(greedy[:, :length])[:, -1].argmax(-1), greedy[:, length])
    again = [model.generate(prompt[:3], 9, generator=torch.Generator().manual_seed(2)) for _ in range(2)]
    assert torch.equal(*again)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (lambda: SpikeGPT(0, dim=4, layers=1), "vocabulary"),
        (lambda: SpikeGPT(3, dim=1, layers=1), "dim"),
        (lambda: SpikeGPT(3, dim=4, layers=0), "layers"),
        (lambda: SpikeGPTBlock(4, layer=2, layers=2), "layer"),
        (lambda: SpikeGPTBlock(4, hidden=0), "hidden"),
        (lambda: model_of().generate(torch.zeros(2, 0, dtype=torch.int64), 3), "prompt"),
        (lambda: model_of().generate(torch.zeros(2, 1, dtype=torch.int64), -1), "steps"),
        (lambda: model_of().generate(torch.zeros(2, 1, dtype=torch.int64), 1, temperature=0.0), "temperature"),
    ],
)
def test_wrong_arguments_are_named(wrong, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        wrong()
