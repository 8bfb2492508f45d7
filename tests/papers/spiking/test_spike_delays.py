"""What the claims on learned delays stand on: equal counts, narrow and whole taps within training, planted layers."""

import pytest
import torch

from replica.lab.claims import Trial
from replica.papers.spiking.spike_delays import (
    fixed_delays,
    learned_delays,
    no_delays,
    planted,
    width_of_equal_count,
)

KINDS = {"learned": learned_delays, "fixed": fixed_delays, "none": no_delays}


def recordings(count=24, steps=12, units=6):
    events = (torch.rand(count, steps, units, generator=torch.Generator().manual_seed(0)) < 0.2).float()
    return events, torch.arange(count) % 3


def fitted(make=learned_delays, epochs=2, after_epoch=None, **keywords):
    method = make(Trial(0, "smoke"), width=8, **keywords)
    return method.fit(*recordings(), epochs=epochs, after_epoch=after_epoch)


@pytest.mark.parametrize(("units", "classes", "width"), [(20, 10, 32), (64, 10, 48), (5, 2, 100)])
def test_networks_without_learned_delays_have_as_many_parameters(units, classes, width):
    with_delays = 2 * (units + classes) * width + 2 * width
    without = (units + classes + 2) * width_of_equal_count(units, classes, width)
    assert abs(without - with_delays) <= (units + classes + 2) / 2


def test_all_kinds_have_as_many_parameters_and_hear_as_long():
    networks = {name: fitted(make).module.network for name, make in KINDS.items()}
    counts = {name: sum(each.numel() for each in network.parameters()) for name, network in networks.items()}
    assert counts["fixed"] == counts["none"]
    assert abs(counts["fixed"] - counts["learned"]) <= 6
    learns = {name: [layer.learns_delays for layer in network.synapses] for name, network in networks.items()}
    assert learns == {"learned": [True, True], "fixed": [False, False], "none": [False, False]}
    assert [layer.max_delay for layer in networks["none"].synapses] == [0, 0]
    assert len({network.silence for network in networks.values()}) == 1


def test_taps_narrow_and_then_are_whole():
    seen = []

    def note(_):
        seen.append(float(method.module.network.synapses[0].sigma))

    method = learned_delays(Trial(0, "smoke"), width=8)
    method.fit(*recordings(), epochs=8, after_epoch=note)
    assert seen[0] == pytest.approx((2.0 * 0.5) ** 0.5)  # half way, from half of 4 steps, after half of a quarter
    assert seen[1:3] == pytest.approx([0.5] * 2)
    assert seen[3:] == [0.0] * 5


def test_what_is_trained_in_the_end_is_what_is_evaluated():
    network = fitted(epochs=4).module.network.train()
    for layer in network.synapses:
        torch.testing.assert_close(layer.kernel(), layer.kernel(rounded=True))


def test_delays_are_learned_at_their_own_rate():
    """The problem's training takes the groups that a network gives: with a rate of 0 delays stay where they began."""
    still, other, moved = (
        fitted(epochs=epochs, delay_rate=rate).module.network.synapses
        for epochs, rate in ((2, 0.0), (4, 0.0), (2, 100.0))
    )
    for one, two, three in zip(still, other, moved, strict=True):
        assert torch.equal(one.delay, two.delay)
        assert not torch.allclose(one.delay, three.delay, atol=0.1)


def test_operations_are_additions_of_spikes():
    method, events = fitted(), recordings()[0]
    counted = method.operations(events)
    expected = 8 * float(events.sum()) / len(events) + 3 * counted["spikes"]
    assert counted["operations"] == pytest.approx(expected)


def test_recovered_delays_are_counted():
    rows = {"taps": ["narrowing"] * 4 + ["constant"] * 4, "planted": [1.0, 2, 3, 4] * 2,
            "learned": [1.0, 2, 3, 9, 1, 0, 0, 0]}  # fmt: skip
    assert planted.measures(rows) == {"recovered": 0.75, "gain_of_narrowing": 0.5}
