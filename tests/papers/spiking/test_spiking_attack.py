"""What the claims of spiking_attack count with."""

import pytest
import torch

from replica.lab.claims import Trial
from replica.papers.spiking import spiking_attack
from replica.spiking import FlipAttack, LeakyIntegrateAndFire, PotentialDependent


def test_a_curve_counts_who_was_fooled_within_a_budget() -> None:
    success = torch.tensor([True, True, False, True])
    flips = torch.tensor([1, 3, 0, 500])
    found = spiking_attack.fewest(FlipAttack(torch.zeros(4, 2), success, flips, flips))
    assert found.tolist() == [1, 3, spiking_attack.GIVE_UP + 1, spiking_attack.GIVE_UP + 1]
    curve = spiking_attack.curve(found)
    assert len(curve) == spiking_attack.GIVE_UP
    assert curve[:3].tolist() == [0.25, 0.25, 0.5]
    assert curve[-1] == 0.5


def test_marks_tell_every_event_and_flip_once() -> None:
    events = torch.tensor([[1.0, 1.0, 0.0, 0.0, 0.0]])
    grown = torch.tensor([[0.0, 1.0, 1.0, 1.0, 0.0]])
    final = torch.tensor([[0.0, 1.0, 1.0, 0.0, 0.0]])
    marks = spiking_attack.marked(events, grown, final)
    assert dict(zip(marks["unit"], marks["kind"], strict=True)) == {
        0: "removed",
        1: "event",
        2: "added",
        3: "taken back",
    }


@pytest.fixture(scope="module")
def victims() -> list[spiking_attack.Trained]:
    return list(spiking_attack.victims("binary", Trial(100, "smoke"), 4))


def test_victims_differ_in_their_surrogate_and_get_the_same_care(victims) -> None:
    assert len({victim.surrogate for victim in victims}) == len(victims) == 2
    for victim in victims:
        assert torch.equal(victim.net(victim.inputs).argmax(1), victim.labels), "all are named right before the attack"
        assert not victim.net.training
        assert victim.inputs.unique().tolist() == [0, 1]


def test_attackers_see_the_surrogate_that_they_chose(victims) -> None:
    victim = victims[1]
    (neurons, *_) = [part for part in victim.net.modules() if isinstance(part, LeakyIntegrateAndFire)]
    own = neurons.surrogate
    assert own == spiking_attack.TRAINED_WITH[victim.surrogate]
    for attacker in (spiking_attack.OURS, spiking_attack.OWN, *spiking_attack.FIXED):
        with spiking_attack.gradients_of(victim, attacker):
            seen = neurons.surrogate
        assert (
            seen
            == {
                spiking_attack.OURS: PotentialDependent(),
                spiking_attack.OWN: own,
                **spiking_attack.FIXED,
            }[attacker]
        )
        assert neurons.surrogate == own


def test_a_gain_leaves_out_the_victim_that_a_rival_knows() -> None:
    """Ours succeeds at 0.6 and 0.8; a rival that was trained with is counted on the other victim alone."""
    shares = {
        ("a", spiking_attack.OURS): 0.6, ("b", spiking_attack.OURS): 0.8, ("a", spiking_attack.RATE): 0.5,
        ("b", spiking_attack.RATE): 0.5, ("a", "a"): 1.0, ("b", "a"): 0.7, ("a", "c"): 0.9, ("b", "c"): 0.9,
    }  # fmt: skip
    rows = [
        spiking_attack.Attacked(attack, 0.1, victim, attacker, share)
        for attack in ("fgsm", "pgd")
        for (victim, attacker), share in shares.items()
    ]
    found = spiking_attack.gains(rows)
    assert found["pgd_gain_over_rate"] == pytest.approx(0.2)
    assert found["pgd_gain_over_best"] == pytest.approx(-0.2)
    assert found["fgsm_gain_over_mean"] == pytest.approx(-0.05)
