"""Configurable bricks: what the judges make of a known table, and that neurons are told apart by the right languages."""

import pandas as pd
import pytest
import torch

from replica.lab.claims import Trial
from replica.papers.representations import configurable_bricks as bricks
from replica.training import CausalTransformer

LANGUAGES = ("english", "italian", "sums")


def rows_of(study: str, rises: dict[str, tuple[float, float, float]]) -> list[dict[str, object]]:
    return [
        {"study": study, "kind": kind, "language": name, "rise": rise}
        for kind, values in rises.items()
        for name, rise in zip(LANGUAGES, values, strict=True)
    ]


def test_judges_of_a_known_table() -> None:
    specific = {"english": (0.5, 0.2, 0.1), "italian": (0.3, 0.4, 0.0), "sums": (0.0, 0.0, 0.9)}
    random = dict.fromkeys(LANGUAGES, (0.1, 0.2, 0.3))
    groups = {"co-activation": (0.1, 0.1, 0.1), "keys": (0.2, 0.2, 0.2), "random": (0.4, 0.4, 0.1)}
    gates = {"co-activation": (0.3, 0.3, 0.3), "keys": (0.2, 0.2, 0.2), "random": (0.5, 0.5, 0.5)}
    rows = rows_of("trained", {"over frequencies": (-0.5, -0.6, -0.7)}) + rows_of("specific", specific)
    rows += 2 * rows_of("random neurons", random) + rows_of("gate", gates)
    rows += rows_of("oracle", groups) + rows_of("oracle", {"random": (0.2, 0.2, 0.5)})
    table = pd.DataFrame(rows).sample(frac=1, random_state=0)
    claims = bricks.paper.claims
    assert claims["specific_neurons"].measures(table) == pytest.approx(
        {
            "own_less_others": (0.5 + 0.4 + 0.9) / 3 - (0.2 + 0.1 + 0.3 + 0.0 + 0.0 + 0.0) / 6,
            "own_less_random": (0.4 + 0.2 + 0.6) / 3,
            "own_less_others_of_natural": (0.5 + 0.4) / 2 - (0.2 + 0.3) / 2,
            "own_less_others_of_random": 0.0,
            "gain_over_unigram": 0.6,
        }
    )
    assert claims["bricks_under_oracle_routing"].measures(table) == pytest.approx(
        {
            "loss_saved": 0.3 - 0.1,
            "loss_saved_by_keys": 0.3 - 0.2,
            "loss_saved_by_learned_gate": 0.5 - 0.3,
            "loss_of_random_groups": 0.3,
            "gain_over_unigram": 0.6,
        }
    )


def test_neurons_that_fire_for_a_language_are_those_pruned_for_it() -> None:
    model = CausalTransformer(9, dim=8, layers=1, heads=2, context=48, hidden=40, generator=torch.Generator())
    language = torch.arange(2 * 16) // 8 % 2  # two batches of eight stretches of each
    active = torch.rand(32, 48, 40, generator=torch.Generator().manual_seed(0))
    active[language == 0, :, 10:14] += 1
    active[language == 1, :, 30:34] += 1
    found = {}
    for study, name, layer in bricks.pruned(Trial(100), model, active.flatten(0, 1), ("sums", "brackets")):
        found.setdefault((study, name), layer)
    weight = model.blocks[0].mlp[0].weight
    left = [neuron for neuron in range(40) if not 10 <= neuron < 14]
    assert torch.equal(found["specific", "sums"][0].weight, weight[left])
    assert found["random neurons", "brackets"][0].weight.shape == (36, 8)
    assert not torch.equal(found["random neurons", "brackets"][0].weight, found["specific", "brackets"][0].weight)


def test_a_trial_repeats_bit_for_bit() -> None:
    rows = bricks.bricks(Trial(100, "smoke"))
    assert rows == bricks.bricks(Trial(100, "smoke"))
    assert len(rows) == 2 * (1 + 2 * (1 + bricks.DRAWS) + 2 * (2 + bricks.DRAWS))
