"""What the claims of the resistive liquid stand on: pairs of one class, matching by class, costs, noise of single recordings."""

import pytest
import torch
from torch import Tensor

from replica.lab.claims import Trial
from replica.papers.spiking.resistive_liquid import (
    DEVICES,
    SETTINGS,
    SOFTWARE,
    LiquidReadOut,
    TrainedRecurrent,
    liquid_for,
    matched,
    paper,
    partners,
    products,
    recordings,
    written_out,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_partners_have_one_class_and_every_row_its_turn() -> None:
    labels = {"digits": torch.randint(10, (90,), generator=seeded()), "signals": torch.arange(70) % 10}
    seen = torch.tensor([0, 3, 7])
    rows, classes = partners(labels, seen, seeded(1), 4000)
    for kind, own in labels.items():
        assert torch.equal(own[rows[kind]], classes)
        counts = torch.bincount(rows[kind], minlength=len(own))
        assert torch.equal(counts > 0, torch.isin(own, seen))
    shares = torch.bincount(classes, minlength=10)[seen] / 4000
    torch.testing.assert_close(shares, torch.full((3,), 1 / 3), atol=0.03, rtol=0)


def test_a_class_that_one_modality_lacks_is_not_drawn() -> None:
    labels = {"digits": torch.tensor([0, 1, 2, 1]), "signals": torch.tensor([2, 0, 0])}
    rows, classes = partners(labels, torch.arange(3), seeded(), 200)
    assert set(classes.tolist()) == {0, 2}
    assert torch.equal(labels["signals"][rows["signals"]], classes)


def test_matching_is_the_nearest_of_the_asked_classes_alone() -> None:
    labels = torch.arange(10).repeat(3)
    axes = torch.eye(10)[labels]
    assert matched((axes, axes), (labels, labels), torch.tensor([8, 9])) == 1.0
    swapped = torch.eye(10)[labels.where(labels < 8, 17 - labels)]
    assert matched((axes, swapped), (labels, labels), torch.tensor([8, 9])) == 0.0
    # Of the ten classes, the eight others are right.
    assert matched((axes, swapped), (labels, labels), torch.arange(10)) == pytest.approx(0.8)


@pytest.mark.parametrize("kind", ["digits", "signals"])
def test_recordings_are_split_without_overlap_and_drives_are_as_asked(kind: str) -> None:
    trial = Trial(3, "smoke")
    data = recordings(trial, kind)
    both = torch.cat([data.train, data.test]).flatten(1)
    assert len(data.train) == len(data.train_labels)
    assert torch.equal(recordings(trial, kind).test, data.test)
    assert not torch.equal(recordings(Trial(4, "smoke"), kind).test, data.test)
    assert len(torch.unique(both, dim=0)) > 0.9 * len(both)
    liquid = liquid_for(data.train, SETTINGS[kind], seeded(), units=400, cells=SOFTWARE)
    currents = data.train @ liquid.input.weight.T
    assert float(currents.square().mean().sqrt()) == pytest.approx(SETTINGS[kind].drive, rel=0.1)


def test_devices_differ_from_software_by_their_noise_alone() -> None:
    events = (torch.rand(20, 12, 9, generator=seeded()) < 0.2).float()
    made = [liquid_for(events, SETTINGS["digits"], seeded(1), cells=cells) for cells in (DEVICES, SOFTWARE)]
    torch.testing.assert_close(made[0].input.weight, made[1].input.weight, atol=1e-4, rtol=1e-3)
    assert DEVICES.read_noise > 0 == SOFTWARE.read_noise


def test_noise_of_a_recording_does_not_depend_on_its_company() -> None:
    events = (torch.rand(130, 12, 9, generator=seeded()) < 0.2).float()
    method = LiquidReadOut(Trial(0, "smoke"), SETTINGS["digits"], units=30)
    method.take_liquid(events)
    together: Tensor = method.rates(events, "asked")
    assert torch.equal(method.rates(events[:7], "asked"), together[:7])
    assert not torch.equal(method.rates(events, "learned"), together)


def test_the_trained_network_starts_as_the_liquid() -> None:
    events = (torch.rand(5, 12, 9, generator=seeded()) < 0.2).float()
    liquid = liquid_for(events, SETTINGS["digits"], seeded(1), units=30, cells=SOFTWARE)
    network = TrainedRecurrent(liquid, 3)
    torch.testing.assert_close(network.rates(events), liquid(events.transpose(0, 1)))
    network(events).sum().backward()
    assert network.neurons.weight.grad is not None
    assert network.input.weight.grad is not None


def test_costs_are_those_of_the_products() -> None:
    """Forward T (i + n) n; backward once for the input's weights, twice for the recurrent ones."""
    steps, count, inputs, units = 7, 3, 5, 11
    events = torch.ones(steps, count, inputs)
    liquid = liquid_for(events.transpose(0, 1), SETTINGS["digits"], seeded(), units=units)
    network = TrainedRecurrent(liquid, 2)
    into, back = steps * count * inputs * units, (steps - 1) * count * units**2
    assert products(lambda: liquid(events)) == into + back
    assert products(lambda: written_out(network, events)) == 2 * into + 3 * back


def test_the_entry_takes_any_recordings() -> None:
    assert all(not entry.needs for entry in paper.entries.values())
    assert set(paper.entries) == {"resistive-liquid"}
