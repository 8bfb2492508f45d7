"""The law of the count against all sequences, and the judges of soft_value_guidance on a made table."""

import numpy as np
import pandas as pd
import pytest
import torch

from replica.generative import MarkovChainDenoiser
from replica.lab.claims import Trial
from replica.papers.generative.soft_value_guidance import (
    law_of_count,
    mean_of_best,
    motif_count,
    paper,
    sequences,
)


@pytest.mark.parametrize("motif", [[1, 0, 2], [3, 3, 3]])
def test_the_law_of_the_count_is_that_of_all_sequences(motif):
    chances = torch.from_numpy(np.random.default_rng(0).dirichlet(np.ones(4), 5))
    chain, motif = MarkovChainDenoiser(chances[0], chances[1:]), torch.tensor(motif)
    whole = torch.cartesian_prod(*[torch.arange(4)] * 6)
    log, count = chain.log_prob(whole), motif_count(whole, motif)
    law, means, deviation = law_of_count(chain, motif, 6)
    for each in range(3):
        mass = log[count == each].exp()
        assert law[each] == pytest.approx(float(mass.sum()))
        assert means[each] == pytest.approx(float((mass * log[count == each]).sum() / mass.sum()))
    spread = (log.exp() * log.square()).sum() - (log.exp() * log).sum() ** 2
    assert deviation == pytest.approx(float(spread.sqrt()))


def test_overlaps_count_and_the_best_of_several_is_exact():
    assert motif_count(torch.tensor([[1, 1, 1, 1], [0, 1, 1, 0]]), torch.tensor([1, 1, 1])).tolist() == [2, 0]
    assert mean_of_best(np.array([0.5, 0.5]), 3) == pytest.approx(7 / 8)
    assert mean_of_best(np.array([0.2, 0.3, 0.5]), 1) == pytest.approx(1.3)


def test_judges_on_a_made_table():
    rows = []
    for many, reward in ((5, 2.0), (20, 4.0)):
        rows.append(
            {"method": "SVDD", "candidates": many, "reward": reward, "natural": -0.1, "log_p": -2.0, "calls": 0.9}
        )
        rows.append({"method": "best of N", "candidates": many, "reward": reward / 2, "most": 9.0})
        rows.append({"method": "best at equal reward calls", "candidates": many, "reward": 3.5, "most": 9.0})
    rows.append({"method": "constant reward", "candidates": 5, "reward": -0.1, "natural": -0.05, "log_p": 0.0})
    rows.append({"method": "planted motifs", "candidates": 0, "reward": 5.0, "natural": -1.0, "log_p": -3.0})
    rows.append({"method": "Gaussian", "candidates": 10, "gain": 0.3})
    found = paper.claims["reward_over_best_of_n"].measures(pd.DataFrame(rows))
    assert found == pytest.approx(
        {
            "gain_over_best_of_n": 1.5,
            "gain_over_unguided": 3.0,
            "gain_over_best_of_equal_reward_calls": -0.5,
            "gain_of_gaussian_diffusion": 0.3,
            "network_calls_over_best_of_n": 0.9,
            "gain_of_best_of_n": 1.5,
            "headroom": 7.5,
            "gain_by_constant_reward": 0.1,
        }
    )
    natural = paper.claims["natural_at_equal_reward"].measures(pd.DataFrame(rows))
    assert natural == pytest.approx(
        {
            "log_likelihood_over_best_of_n": -0.1,
            "log_likelihood_over_unguided": -2.0,
            "gain_over_unguided": 3.0,
            "of_planted_motifs": -1.0,
            "of_constant_reward": 0.05,
        }
    )


def test_a_trial_repeats_bit_for_bit():
    rows = pd.DataFrame(sequences(Trial(100, "smoke")))
    pd.testing.assert_frame_equal(rows, pd.DataFrame(sequences(Trial(100, "smoke"))))
    assert not rows.loc[rows["method"] == "SVDD", ["reward", "natural", "log_p", "calls"]].isna().any().any()
