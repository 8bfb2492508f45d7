"""What the claims and the entry of the astrocyte liquid stand on."""

import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from replica.lab.claims import Trial
from replica.papers.spiking.astrocyte_liquid import (
    AstrocyteLiquidReader,
    branching,
    chosen_strength,
    heard,
    ridge_read_out,
    settled,
    task,
)


def test_the_read_out_is_scikit_learns_ridge() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(40, 6, generator=generator) * torch.arange(6)  # the first never varies
    labels = torch.arange(40) % 3
    layer = ridge_read_out(features, labels, 3, 2.5)
    scaled = StandardScaler().fit(features.numpy())
    peer = Ridge(2.5).fit(scaled.transform(features.numpy()), torch.eye(3)[labels].numpy())
    new = torch.randn(7, 6, generator=generator)
    new[:, 0] = 0
    expected = torch.from_numpy(peer.predict(scaled.transform(new.numpy()))).float()
    torch.testing.assert_close(layer(new).detach(), expected, rtol=1e-4, atol=1e-5)


def test_strength_is_chosen_on_what_was_held_out() -> None:
    """As the accuracies of five folds with each strength say; and noise alone tells no more than chance."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(100) // 5 % 10
    noise = torch.randn(100, 60, generator=generator)
    features = torch.cat([noise, 2 * torch.eye(10)[labels]], 1)
    scores = {}
    for strength in (1.0, 10.0, 100.0, 1000.0):
        right = 0
        for fold in range(5):
            out = torch.arange(100) % 5 == fold
            layer = ridge_read_out(features[~out], labels[~out], 10, strength)
            right += int((layer(features[out]).argmax(1) == labels[out]).sum())
        scores[strength] = right / 100
    strength, score = chosen_strength(features, labels)
    assert score == pytest.approx(max(scores.values())) == pytest.approx(scores[strength])
    assert len(set(scores.values())) > 1
    assert chosen_strength(noise, labels)[1] < 0.3


def test_the_task_gives_every_liquid_neuron_its_share_of_spikes() -> None:
    given = task(Trial(0, "laptop"))
    assert given.rates.sum(1).mean().item() == pytest.approx(0.022 * 216, rel=1e-3)
    reached = given.liquid.connected[:, 216:].float().mean().item() * given.rates.sum(1).mean().item()
    assert reached == pytest.approx(3.3, rel=0.02)
    snippets = given.snippets(3)
    assert snippets.shape == (3, 20, 64)


def test_networks_without_coupling_have_fixed_plasticity_and_static_ones_none() -> None:
    given = task(Trial(0, "smoke"))
    weights = settled(given, (1.0, 3.0), (given.coupling, 0.0), given.snippets(2))
    assert weights.shape == (4, int(given.liquid.connected.sum()))
    events = given.spikes(torch.arange(4))
    before = given.liquid.weight.clone()
    spikes = heard(given, events, weights[1], None)
    assert torch.equal(before, given.liquid.weight)
    given.liquid.set_weights(weights[1])
    assert torch.equal(spikes, given.liquid(events))
    assert branching(given, torch.zeros_like(spikes)) == 0


def test_the_entry_settles_without_labels_and_counts_what_it_does() -> None:
    generator = torch.Generator().manual_seed(0)
    events = (torch.rand(30, 25, 8, generator=generator) < 0.4).float()
    methods = [AstrocyteLiquidReader(Trial(0, "smoke"), size=3) for _ in range(2)]
    for method, labels in zip(methods, (torch.arange(30) % 2, torch.arange(30) // 15), strict=True):
        method.fit(events, labels)
    first, second = methods
    assert torch.equal(first.liquid.weight, second.liquid.weight)
    assert not torch.equal(first.read_out.weight, second.read_out.weight)
    weights = first.liquid.weight.clone()
    counted = first.operations(events)
    assert torch.equal(weights, first.liquid.weight)
    spikes, fan = first._spikes(events), first.liquid.connected.float()
    total = sum(2 * fan[:, 27 + unit].sum() * events[..., unit].sum() for unit in range(8))
    total += sum((2 * fan[:, unit].sum() + fan[unit].sum()) * spikes[..., unit].sum() for unit in range(27))
    assert counted["operations"] == pytest.approx(float(total) / 30 + 4 * 27 * 2)
    assert counted["spikes"] == pytest.approx(float(spikes.sum()) / 30)
    assert counted["spikes"] > 0
