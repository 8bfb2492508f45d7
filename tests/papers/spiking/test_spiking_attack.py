"""What the claims of spiking_attack stand on: victims, what attackers see, and how gains are counted."""

import pandas as pd
import pytest
import torch

from replica.lab.claims import Trial
from replica.papers.spiking import spiking_attack
from replica.spiking import LeakyIntegrateAndFire, PotentialDependent


@pytest.fixture(scope="module")
def victims():
    return list(spiking_attack.victims("binary", Trial(100, "smoke"), 4))


def test_victims_differ_in_their_surrogate_and_get_the_same_care(victims):
    assert len({victim.surrogate for victim in victims}) == len(victims) == 2
    for victim in victims:
        assert torch.equal(victim.net(victim.inputs).argmax(1), victim.labels), "all are correct before the attack"
        assert not victim.net.training
        assert victim.inputs.unique().tolist() == [0, 1]


def test_attackers_see_the_surrogate_that_they_chose(victims):
    victim = victims[1]
    (neurons, *_) = [part for part in victim.net.modules() if isinstance(part, LeakyIntegrateAndFire)]
    own = neurons.surrogate
    assert own == spiking_attack.TRAINED_WITH[victim.surrogate]
    for attacker, wanted in {spiking_attack.OURS: PotentialDependent(), **spiking_attack.FIXED}.items():
        with spiking_attack.gradients_of(victim, attacker):
            assert neurons.surrogate == wanted
        assert neurons.surrogate == own


def test_a_gain_leaves_out_the_victim_that_a_rival_knows():
    """Ours succeeds at 0.6 and 0.8; a rival that one victim was trained with is counted on the other alone."""
    ours, rate = spiking_attack.OURS, spiking_attack.RATE
    shares = {
        ("a", ours): 0.6, ("b", ours): 0.8, ("a", rate): 0.5, ("b", rate): 0.5, ("a", "a"): 1.0, ("b", "a"): 0.7,
        ("a", "c"): 0.9, ("b", "c"): 0.9,
    }  # fmt: skip
    rows = [
        {"victim": victim, "attack": attack, "attacker": attacker, "budget": 0.1, "success": share}
        for attack in ("fgsm", "pgd")
        for (victim, attacker), share in shares.items()
    ]
    rows.append({"victim": "a", "attack": "none", "attacker": "none", "budget": 0.0, "success": 0.25})
    found = spiking_attack.invisible_surrogates.measures(pd.DataFrame(rows).to_dict("list"))
    assert found["pgd_gain_over_rate"] == pytest.approx(0.2)
    assert found["pgd_gain_over_best"] == pytest.approx(-0.2)
    assert found["fgsm_gain_over_mean"] == pytest.approx(-0.05)
    assert found["pgd_success_of_own"] == 1.0
    assert found["accuracy_of_victims"] == 0.75


def test_fewer_flips_are_a_gain():
    curves = {"sparse attack": 2, "gradient flips": 4, "random flips": 9}
    rows = [
        {"attack": name, "flips": count, "success": float(count >= needed)}
        for name, needed in curves.items()
        for count in range(1, 9)
    ]
    found = spiking_attack.sparse_flips.measures(pd.DataFrame(rows).to_dict("list"))
    assert found["success_gain"] == pytest.approx(2 / 8)
    assert found["flips_ratio"] == pytest.approx(2 / 4)
    assert found["success_by_chance"] == 0
    assert found["success"] == 1
