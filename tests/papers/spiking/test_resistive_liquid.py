"""What the claims of the resistive liquid stand on: noise of single recordings, trained networks' start, unseen classes."""

import pytest
import torch

from replica.lab.claims import Trial
from replica.papers.spiking.resistive_liquid import (
    DEVICES,
    SOFTWARE,
    LiquidReadOut,
    TrainedRecurrent,
    handwriting_pair,
    liquid_for,
    liquid_rates,
    match,
    rates,
    trained_whole,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def some_events(count=12, steps=20, units=9):
    return (torch.rand(count, steps, units, generator=seeded()) < 0.2).float()


def test_modalities_are_split_without_overlap_and_anew():
    (digits, ink), again, other = (handwriting_pair(Trial(seed, "smoke")) for seed in (3, 3, 4))
    assert torch.equal(digits.test, again[0].test)
    assert not torch.equal(digits.test, other[0].test)
    assert not torch.equal(digits.train_labels, ink.train_labels)
    both = torch.cat([digits.train, digits.test]).flatten(1)
    assert len(torch.unique(both, dim=0)) > 0.9 * len(both)


def test_input_currents_have_the_drive_that_is_set():
    events = handwriting_pair(Trial(0, "smoke"))[0].train
    liquid = liquid_for(events, seeded(), units=400, cells=SOFTWARE, drive=2.0)
    assert float((events @ liquid.input.weight.T).square().mean().sqrt()) == pytest.approx(2.0, rel=0.1)


def test_devices_differ_from_software_by_their_noise_alone():
    made = [liquid_for(some_events(), seeded(1), cells=cells) for cells in (DEVICES, SOFTWARE)]
    torch.testing.assert_close(made[0].input.weight, made[1].input.weight, atol=1e-4, rtol=1e-3)
    assert DEVICES.read_noise > 0 == SOFTWARE.read_noise


def test_noise_of_a_recording_does_not_depend_on_its_company():
    events = some_events(130, 12)
    liquid = liquid_for(events, seeded(), units=30)
    together = rates(liquid, events, seeded(1))
    assert torch.equal(rates(liquid, events[:7], seeded(1)), together[:7])
    assert not torch.equal(rates(liquid, events, seeded(2)), together)


def test_the_trained_network_starts_as_the_liquid_and_learns_all_weights():
    events, labels = some_events(), torch.arange(12) % 3
    liquid = liquid_for(events, seeded(1), units=30, cells=SOFTWARE)
    network = TrainedRecurrent(liquid, 3)
    torch.testing.assert_close(network.rates(events), liquid(events.transpose(0, 1)))
    trial = Trial(0, "smoke")
    start = TrainedRecurrent(liquid_for(events, trial.generator("cells-0", "cpu"), cells=SOFTWARE, decay=0.8), 3)
    method = trained_whole(trial, decay=0.8)
    method.fit(events, labels, epochs=1)
    assert float(method.module.neurons.neurons.decay) == pytest.approx(0.8)
    for name in ("input.weight", "neurons.weight"):
        learned, before = method.module.get_parameter(name), start.get_parameter(name)
        assert 0 < float((learned - before).detach().abs().max()) < 0.1 * float(before.detach().abs().max())


def test_unseen_classes_have_no_part_in_learning():
    trial = Trial(0, "smoke")
    both = liquid_rates(trial, handwriting_pair(trial))
    changed = [rows._replace(train=torch.where(rows.train_labels[:, None] >= 8, 1.0, rows.train)) for rows in both]
    assert match(trial, both, (8, 9)) == match(trial, changed, (8, 9))
    assert match(trial, both, (0, 1)) != match(trial, changed, (0, 1))


def test_read_outs_of_one_trial_are_the_same_and_count_what_arrives():
    events, labels = some_events(), torch.arange(12) % 3
    first, second = (LiquidReadOut(Trial(0, "smoke"), 1e-2, units=30) for _ in range(2))
    for method in (first, second):
        method.fit(events, labels, epochs=1)
    assert torch.equal(first.predict(events), second.predict(events))
    counted = first.operations(events)
    assert counted["operations"] == pytest.approx(30 * (float(events.sum()) / 12 + counted["spikes"] + 3))
