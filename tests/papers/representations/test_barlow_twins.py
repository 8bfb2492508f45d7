"""Barlow Twins: what the judges make of a known table, and what is compared."""

import numpy as np
import pandas as pd
import pytest

from replica.lab.claims import Trial
from replica.papers.representations.barlow_twins import NARROW, ROOF, WIDE, barlow_twins, paper, twins


def test_judges_of_a_known_table() -> None:
    few = {
        "twins": 0.9,
        "invariance alone": 0.8,
        "narrow twins": 0.85,
        "untrained": 0.7,
        ROOF: 0.95,
        "components of pixels": 0.88,
    }
    rank = {
        "twins": 20.0,
        "invariance alone": 5.0,
        "narrow twins": 10.0,
        "untrained": 30.0,
        ROOF: 9.0,
        "components of pixels": 40.0,
    }
    table = pd.DataFrame([{"method": name, "few": few[name], "rank": rank[name]} for name in few])
    gates = {"headroom": 0.25, "accuracy_of_roof": 0.95}
    expected = {
        "avoids_collapse": {
            "gain_over_untrained": 0.2,
            "gain_over_components": 0.02,
            "log_rank_over_invariance_alone": np.log(4),
        },
        "redundancy_reduction": {
            "gain_over_invariance_alone": 0.1,
            "log_rank_over_invariance_alone": np.log(4),
            "gain_of_invariance_alone_over_untrained": 0.1,
        },
        "wide_outputs": {"gain_of_wide": 0.05, "log_rank_over_narrow": np.log(2)},
    }
    for name, measures in expected.items():
        assert paper.claims[name].judge(table) == pytest.approx(measures | gates)


def test_rivals_differ_in_one_thing_and_have_the_same_choices() -> None:
    made = {
        label: barlow_twins(Trial(100), **contestant.settings)
        for label, contestant in twins.methods.items()
        if callable(contestant.method)
    }
    plain, alone, narrow = (made[label] for label in ("twins", "invariance alone", "narrow twins"))
    assert (plain.projector, narrow.projector) == ((WIDE,) * 3, (NARROW,) * 3)
    assert alone.projector == plain.projector
    assert alone.weight == 0
    assert plain.weight == narrow.weight > 0
    assert plain.views == alone.views == narrow.views
    takes = ("learning_rate", "weight", "strength", "width", "batch")
    rates = {label: [each["learning_rate"] for each in twins.candidates(label, takes)] for label in made}
    assert set(rates["twins"]) == set(rates["invariance alone"]) == set(rates["narrow twins"])
    weights = {label: {each["weight"] for each in twins.candidates(label, takes)} for label in made}
    assert weights["twins"] == weights["narrow twins"]
    assert weights["invariance alone"] == {0.0}
