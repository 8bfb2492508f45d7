"""The grammar of diverse_beam against enumeration, its scores by hand, and its judges on a made table."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import torch

from replica.papers.generative.diverse_beam import CONCEPTS, SLOTS, SYNONYMS, Scenes, bleu, distinct, facts, paper

KINDS = list(CONCEPTS)
STARTS = dict(zip(KINDS, np.cumsum([0, *CONCEPTS.values()]).tolist(), strict=False))


@pytest.fixture(scope="module")
def scenes():
    rng = np.random.default_rng(0)
    return Scenes(2, torch.from_numpy(rng.dirichlet(np.ones(SYNONYMS), sum(CONCEPTS.values()))), rng)


def test_the_law_is_the_mixture_over_meanings(scenes):
    assert scenes.prior.shape == (2, 24)
    assert torch.allclose(scenes.prior.sum(1), torch.ones(2, dtype=torch.float64))
    assert torch.allclose(scenes.table.sum(-1), torch.ones(2, 24, 7, dtype=torch.float64))
    sentences, log_probs = scenes.search(4)
    for scene, number in itertools.product(range(2), range(4)):
        words = scenes.table[scene][:, torch.arange(7), sentences[scene, number]].prod(1)
        assert float(log_probs[scene, number]) == pytest.approx(math.log(float(scenes.prior[scene] @ words)))
    assert (log_probs.diff(dim=1) <= 0).all()
    assert torch.allclose(scenes.log_prob(sentences), log_probs)


def test_words_are_those_of_their_slots_and_things_differ(scenes):
    drawn = scenes.sample(300, torch.Generator().manual_seed(0)) // SYNONYMS
    for slot, kind in enumerate(SLOTS):
        first = STARTS[kind]
        assert drawn[..., slot].min() >= first
        assert drawn[..., slot].max() < first + CONCEPTS[kind]
    assert (drawn[..., 2] != drawn[..., 6]).all()
    assert all(len(drawn[scene, :, 2].unique()) == 3 for scene in range(2))


def test_samples_are_as_frequent_as_the_law_has_them(scenes):
    drawn = scenes.sample(20_000, torch.Generator().manual_seed(1))
    shares = torch.nn.functional.one_hot(drawn[..., 2], scenes.table.shape[-1]).double().mean(1)
    wanted = torch.einsum("sm,smw->sw", scenes.prior, scenes.table[:, :, 2])
    assert torch.allclose(shares, wanted, atol=0.015)


def test_scores_by_hand():
    reference = torch.tensor([[0, 4, 27, 63, 0, 8, 31]])
    assert bleu(reference[:, None], reference).item() == pytest.approx(1)
    # The last word wrong, and the article three times where the reference has it twice.
    other = torch.tensor([[[0, 4, 27, 63, 0, 8, 0]]])
    logs = [math.log(6 / 7), math.log((5 + 1) / (6 + 1)), math.log((4 + 1) / (5 + 1)), math.log((3 + 1) / (4 + 1))]
    assert bleu(other, reference).item() == pytest.approx(math.exp(sum(logs) / 4))
    # The article once, where the reference has it twice: clipping is by the lesser.
    once = torch.tensor([[[0, 4, 27, 63, 1, 8, 31]]])
    logs = [math.log(share) for share in (6 / 7, 5 / 7, 3 / 6, 2 / 5)]
    assert bleu(once, reference).item() == pytest.approx(math.exp(sum(logs) / 4))
    synonyms = torch.tensor([[[1, 5, 28, 64, 2, 6, 32], [0, 4, 31, 63, 0, 8, 27], [0, 4, 27, 66, 0, 11, 31]]])
    assert facts(synonyms, reference).tolist()[0] == pytest.approx([1.0, 0.4, 0.6])
    assert distinct(torch.tensor([[[0, 1, 0, 1], [0, 1, 2, 3]]]), 2) == 4
    assert distinct(torch.tensor([[[0, 1, 0, 1], [0, 1, 2, 3]]]), 1) == 4


def test_judges_on_a_made_table():
    names = ("beam search", "diverse beam search", "ten groups", "λ by facts", "no penalty", "samples")
    columns = {
        "best": (0.5, 0.55, 0.6, 0.52, 0.4, 0.45),
        "first": (0.3, 0.31, 0.3, 0.3, 0.3, 0.2),
        "best_facts": (0.7, 0.72, 0.8, 0.85, 0.6, 0.9),
        "first_facts": (0.6, 0.6, 0.6, 0.6, 0.6, 0.5),
        "log_prob": (-4.0, -4.1, -4.2, -4.3, -4.4, -6.0),
        **{f"distinct_{n}": (20.0, 40.0, 80.0, 80.0, 10.0, 80.0) for n in range(1, 5)},
    }
    table = pd.DataFrame({"method": names, **columns})
    found = {name: claim.measures(table) for name, claim in paper.claims.items()}
    assert found["oracle_score"] == pytest.approx(
        {
            "gain": 0.05,
            "gain_over_samples": 0.1,
            "gain_with_ten_groups": 0.1,
            "oracle_of_beam_search": 0.5,
            "beam_search_over_sample": 0.1,
            "gain_without_penalty": -0.1,
        }
    )
    assert found["oracle_facts"]["gain"] == pytest.approx(0.15)
    assert found["oracle_facts"]["gain_over_samples"] == pytest.approx(-0.05)
    assert found["distinct_ngrams"] == pytest.approx(
        {
            "log_ratio": math.log(2),
            "log_ratio_of_words": math.log(2),
            "log_ratio_of_four": math.log(2),
            "log_ratio_by_facts": math.log(4),
            "share_distinct_of_beam_search": 0.5,
            "log_ratio_without_penalty": -math.log(2),
        }
    )
    assert found["first_of_the_list"] == pytest.approx(
        {"gain": 0.01, "log_prob_gained": -0.1, "beam_search_over_sample": 0.1}
    )
