"""What the claims on learned delays stand on: equal counts, the schedule within training, planted layers."""

import pytest
import torch
from torch import Tensor

from replica.lab.claims import Trial
from replica.papers.spiking import spike_delays
from replica.papers.spiking.spike_delays import (
    CHOSEN,
    DelayClassifier,
    classifier,
    learned_delays,
    numbers,
    recovered,
    synapses,
    width_of_equal_count,
)


def recordings(count: int = 24, steps: int = 12, units: int = 6) -> tuple[Tensor, Tensor]:
    events = (torch.rand(count, steps, units, generator=torch.Generator().manual_seed(0)) < 0.2).float()
    return events, torch.arange(count) % 3


def fitted(**keywords) -> DelayClassifier:
    method = classifier(Trial(0, "smoke"), width=8, epochs=2, **keywords)
    method.fit(*recordings())
    return method


@pytest.mark.parametrize(("units", "classes", "width"), [(20, 10, 48), (64, 10, 48), (5, 2, 100)])
def test_networks_without_learned_delays_learn_as_many_numbers(units: int, classes: int, width: int) -> None:
    with_delays = 2 * (units + classes) * width + 2 * width
    without = (units + classes + 2) * width_of_equal_count(units, classes, width)
    assert abs(without - with_delays) <= (units + classes + 2) / 2


def test_all_kinds_learn_as_many_numbers_and_only_learned_delays_move() -> None:
    methods = {delays: fitted(delays=delays) for delays in ("learned", "fixed", "none")}
    counts = [numbers(method) for method in methods.values()]
    assert counts[1] == counts[2]
    assert abs(counts[1] - counts[0]) <= 6
    assert [layer.learns_delays for layer in synapses(methods["learned"].module)] == [True, True]
    assert [layer.learns_delays for layer in synapses(methods["fixed"].module)] == [False, False]
    assert [layer.max_delay for layer in synapses(methods["none"].module)] == [0, 0]
    # The same silence for all, so that none hears longer.
    assert len({method.module.network.silence for method in methods.values()}) == 1


def test_taps_narrow_to_half_a_step_and_stay_where_they_are_constant() -> None:
    seen: list[float] = []
    method = classifier(Trial(0, "smoke"), width=8, epochs=8)
    method.fit(*recordings(), after_epoch=lambda _: seen.append(float(synapses(method.module)[0].sigma)))
    assert seen[0] == pytest.approx((2.0 * 0.5) ** 0.5)  # half way, from half of 4 steps, after half of a quarter
    assert seen[1:] == pytest.approx([0.5] * 7)
    constant = classifier(Trial(0, "smoke"), width=8, epochs=2, sigma="constant")
    constant.fit(*recordings())
    assert [float(layer.sigma) for layer in synapses(constant.module)] == [0.5, 0.5]


def test_delays_are_learned_at_their_own_rate() -> None:
    """The problem's training takes the groups that a network gives: with a rate of 0 delays stay where they began."""
    still, moved = (fitted(delay_rate=rate) for rate in (0.0, 100.0))
    other = classifier(Trial(0, "smoke"), width=8, epochs=1, delay_rate=0.0)
    other.fit(*recordings())
    for one, two, three in zip(*(synapses(method.module) for method in (still, other, moved)), strict=True):
        assert torch.equal(one.delay, two.delay)
        assert not torch.allclose(one.delay, three.delay, atol=0.1)


def test_operations_are_additions_of_spikes() -> None:
    method = fitted()
    events = recordings()[0]
    counted = method.operations(events)
    expected = 8 * float(events.sum()) / len(events) + 3 * counted["spikes"]
    assert counted["operations"] == pytest.approx(expected)


def test_every_choice_is_one_that_the_classifier_takes() -> None:
    for (setting, kind), chosen in CHOSEN.items():
        delays = "learned" if kind == "constant" else kind
        assert classifier(Trial(0, "smoke"), delays, **chosen) is not None, setting
    assert learned_delays(Trial(0, "smoke")).epochs is None


def test_a_planted_pair_is_whole() -> None:
    teacher, student = recovered(Trial(0, "smoke"), "narrowing")
    assert torch.equal(teacher.delay, teacher.delay.round())
    assert float(teacher.weight.detach().min()) >= 0.5
    assert not torch.equal(teacher.weight, student.weight)
    assert float(student.sigma) == pytest.approx(0.5)
    again = recovered(Trial(0, "smoke"), "narrowing")[1]
    assert torch.equal(student.delay, again.delay)
    assert spike_delays.paper.slug == "spike_delays"
