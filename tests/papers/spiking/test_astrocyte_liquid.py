"""What the claims and the entry of the astrocyte liquid stand on."""

import pytest
import torch

from replica.lab.claims import Trial
from replica.papers.spiking.astrocyte_liquid import AstrocyteLiquidReader, task


def test_the_task_gives_every_liquid_neuron_its_share_of_spikes() -> None:
    given = task(Trial(0, "laptop"))
    assert given.rates.sum(1).mean().item() == pytest.approx(0.022 * 216, rel=1e-3)
    reached = given.liquid.connected[:, 216:].float().mean().item() * given.rates.sum(1).mean().item()
    assert reached == pytest.approx(3.3, rel=0.02)
    snippets = given.snippets(3)
    assert snippets.shape == (3, 20, 64)


def test_static_liquids_have_no_plasticity_and_stay_as_they_are() -> None:
    given = task(Trial(0, "smoke"))
    events = (torch.rand(60, 4, 64, generator=torch.Generator().manual_seed(0)) < 0.3).float()
    weights = given.liquid.synaptic_weights(1.0)
    before = given.liquid.weight.clone()
    spikes = given.heard(events, weights, None)
    assert torch.equal(before, given.liquid.weight)
    given.liquid.set_weights(weights)
    assert torch.equal(spikes, given.liquid(events))
    assert not torch.equal(spikes, given.heard(events, weights, given.coupling))
    assert given.branching(torch.zeros_like(spikes)) == 0


def test_the_entry_settles_without_labels_and_counts_what_it_does() -> None:
    generator = torch.Generator().manual_seed(0)
    events = (torch.rand(30, 25, 8, generator=generator) < 0.4).float()
    methods = [AstrocyteLiquidReader(Trial(0, "smoke"), size=3) for _ in range(2)]
    for method, labels in zip(methods, (torch.arange(30) % 2, torch.arange(30) // 15), strict=True):
        method.fit(events, labels)
    first, second = methods
    assert torch.equal(first.liquid.weight, second.liquid.weight)
    assert (first.read_out[1].coef_ != second.read_out[1].coef_).any()
    weights = first.liquid.weight.clone()
    counted = first.operations(events)
    assert torch.equal(weights, first.liquid.weight)
    spikes, fan = first._spikes(events), first.liquid.connected.float()
    total = sum(2 * fan[:, 27 + unit].sum() * events[..., unit].sum() for unit in range(8))
    total += sum((2 * fan[:, unit].sum() + fan[unit].sum()) * spikes[..., unit].sum() for unit in range(27))
    assert counted["operations"] == pytest.approx(float(total) / 30 + 4 * 27 * 2)
    assert counted["spikes"] == pytest.approx(float(spikes.sum()) / 30)
    assert counted["spikes"] > 0
