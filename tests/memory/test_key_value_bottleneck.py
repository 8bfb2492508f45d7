"""The discrete key-value bottleneck: lookups by brute force, keys by k-means' fixed point, sparse and local updates."""

import pytest
import torch
from torch import Tensor, nn

from replica.memory import DiscreteKeyValueBottleneck


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make(**options) -> DiscreteKeyValueBottleneck:
    sizes = {"codebooks": 5, "pairs": 12, "key_dim": 3} | options
    module = DiscreteKeyValueBottleneck(8, 4, generator=draw(), **sizes)
    with torch.no_grad():
        module.values.normal_(generator=draw(1))
    return module


@pytest.mark.parametrize("nearest", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_reads_the_nearest_keys_values(nearest: int, dtype: torch.dtype) -> None:
    """One codebook, one key, one input at a time, with plain distances."""
    module = make(nearest=nearest).to(dtype)
    features = torch.randn(7, 8, generator=draw(2), dtype=dtype)
    for row, output in zip(features, module(features), strict=True):
        votes = []
        for c in range(5):
            distances = ((row @ module.projection[c] - module.keys[c]) ** 2).sum(1)
            votes += [module.values[12 * c + int(place)] for place in distances.argsort()[:nearest]]
        torch.testing.assert_close(output, torch.stack(votes).mean(0))


def test_keys_settle_where_kmeans_does() -> None:
    """On clouds far apart, one key each, the moving averages end at the clouds' means of heads."""
    module = DiscreteKeyValueBottleneck(2, 1, codebooks=3, pairs=40, key_dim=2, generator=draw())
    centres = torch.tensor([[20.0, 0.0], [-20.0, 0.0], [0.0, 20.0], [0.0, -20.0]])
    inputs = centres.repeat(64, 1) + 0.1 * torch.randn(256, 2, generator=draw(1))
    module.initialise_keys(inputs, epochs=30, generator=draw(2))
    heads, means = module.heads(inputs), module.heads(centres)
    won = module.lookup(inputs)[..., 0]
    for c in range(3):
        used = module.keys[c][won[:, c].unique()]
        assert torch.cdist(used, means[c]).min(1).values.max() < 0.5
        quantised = (heads[c] - module.keys[c][won[:, c]]).square().sum(1).mean()
        assert quantised < 0.01 * heads[c].var(0).sum()


def test_an_average_is_the_recursion_of_its_source() -> None:
    """One key, one step: N ← γ + (1 − γ) n, m ← γ k + (1 − γ) Σ heads, k = m / N."""
    module = DiscreteKeyValueBottleneck(3, 1, codebooks=1, pairs=1, key_dim=2, generator=draw())
    inputs = torch.randn(10, 3, generator=draw(1))
    heads = module.heads(inputs)[0]
    start = heads[torch.randint(10, (1, 1), generator=draw(5))[0, 0]]
    module.initialise_keys(inputs, epochs=1, batch=10, decay=0.9, revive_below=0, generator=draw(5))
    expected = (0.9 * start + 0.1 * heads.sum(0)) / (0.9 + 0.1 * 10)
    torch.testing.assert_close(module.keys[0, 0], expected)


def test_dead_keys_come_back_to_life() -> None:
    inputs = torch.randn(500, 8, generator=draw(3))

    def used(revive: float) -> int:
        module = DiscreteKeyValueBottleneck(8, 1, codebooks=4, pairs=64, key_dim=2, generator=draw())
        inside = inputs.clone()
        inside[:450] *= 1e-3  # most heads, and so most first keys, are in one spot
        module.initialise_keys(inside, epochs=20, revive_below=revive, generator=draw(1))
        return sum(len(module.lookup(inside)[:, c].unique()) for c in range(4))

    assert used(0.5) > used(0.0)


def test_only_what_is_fetched_learns() -> None:
    """A step on one input leaves what other pairs say as it was, to the last bit."""
    module = make(sparse=True)
    inputs = torch.randn(40, 8, generator=draw(2))
    chosen = module.lookup(inputs)
    apart = (chosen[1:] != chosen[:1]).flatten(1).all(1)
    assert apart.any()
    before = module(inputs).detach()
    optimiser = torch.optim.SGD(module.parameters(), 5.0)
    nn.functional.cross_entropy(module(inputs[:1]), torch.tensor([2])).backward()
    assert module.values.grad.is_sparse
    assert module.values.grad._nnz() <= 5
    optimiser.step()
    after = module(inputs).detach()
    assert torch.equal(before[1:][apart], after[1:][apart])
    assert after[0, 2] > before[0, 2]


def test_sparse_and_dense_gradients_are_one() -> None:
    inputs, labels = torch.randn(30, 8, generator=draw(2)), torch.arange(30) % 4
    found = []
    for sparse in (False, True):
        module = make(sparse=sparse)
        optimiser = torch.optim.SGD(module.parameters(), 1.0)
        for _ in range(3):
            optimiser.zero_grad()
            nn.functional.cross_entropy(module(inputs), labels).backward()
            optimiser.step()
        found.append(module.values.detach())
    torch.testing.assert_close(*found)


def test_the_encoder_is_frozen_and_keys_are_no_parameters() -> None:
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(12, 8))
    module = make(encoder=encoder)
    inputs = torch.randn(6, 3, 4, generator=draw(2))
    module(inputs).sum().backward()
    assert [name for name, parameter in module.named_parameters() if parameter.requires_grad] == ["values"]
    assert all(parameter.grad is None for parameter in encoder.parameters())
    torch.testing.assert_close(module(inputs), make()(encoder(inputs)))
    again = make(encoder=nn.Sequential(nn.Flatten(), nn.Linear(12, 8)))
    again.load_state_dict(module.state_dict())
    assert torch.equal(again(inputs), module(inputs))


def test_it_repeats_under_a_generator() -> None:
    def keys(seed: int) -> Tensor:
        module = make()
        module.initialise_keys(torch.randn(50, 8, generator=draw(1)), generator=draw(seed))
        return module.keys

    assert torch.equal(keys(3), keys(3))
    assert not torch.equal(keys(3), keys(4))


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        (lambda: make(codebooks=0), "codebooks"),
        (lambda: make(pairs=0), "pairs"),
        (lambda: make(nearest=13), "nearest"),
        (lambda: make()(torch.zeros(2, 7)), "inputs"),
        (lambda: make().initialise_keys(torch.zeros(0, 8)), "inputs"),
        (lambda: make().initialise_keys(torch.zeros(3, 8), decay=1.0), "decay"),
        (lambda: make().initialise_keys(torch.zeros(3, 8), epochs=0), "epochs"),
    ],
)
def test_wrong_arguments_are_named(wrong, name) -> None:
    with pytest.raises(ValueError, match=name):
        wrong()
