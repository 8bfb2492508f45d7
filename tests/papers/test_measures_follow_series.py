"""What recorded claims are judged by follows from the series that their figures show, seed by seed: signs, means and sides."""

from collections.abc import Callable

import pandas as pd
import pytest

from replica.lab.catalogue import read_evidence, record

Table = pd.DataFrame


def at(table: Table, column: str, **where: object) -> float:
    """The mean of a column where others have these values."""
    for name, value in where.items():
        table = table[table[name] == value]
    assert len(table)
    return float(table[column].mean())


def gain(column: str, one: dict[str, object], other: dict[str, object]) -> Callable[[Table], float]:
    return lambda table: at(table, column, **one) - at(table, column, **other)


def past_half(ours: str, column: str = "accuracy") -> Callable[[Table], float]:
    def found(table: Table) -> float:
        deep = table[table["layers"] == table["layers"].max()]
        own, greedy, backprop = (at(deep, column, method=name) for name in (ours, "greedy", "backprop"))
        return own - (greedy + backprop) / 2

    return found


def nearer_to_one(table: Table) -> float:
    last = table[table["snippets"] == table["snippets"].max()]
    away = (last["branching"] - 1).abs().groupby(last["kind"]).mean()
    return float(away["fixed plasticity"] - away["astrocyte"])


def over_learners(other: str) -> Callable[[Table], float]:
    return gain("accuracy", {"learner": "homeostatic"}, {"learner": other})


CASES = {
    **{
        ("spike_delays", claim, measure): gain("accuracy", {"delays": one}, {"delays": other})
        for claim in ("forgetful", "tuned", "spike_timing")
        for measure, one, other in (
            ("gain_of_learning", "learned", "fixed"),
            ("gain_of_random_delays", "fixed", "none"),
        )
    },
    **{
        ("spike_delays", "narrowing", f"gain_{setting}"): gain(
            "accuracy", {"setting": setting, "width": "narrowing"}, {"setting": setting, "width": "constant"}
        )
        for setting in ("forgetful", "tuned")
    },
    **{
        ("spike_delays", "rounding", f"loss_{setting}"): gain(
            "accuracy", {"setting": setting, "delays": "as learned"}, {"setting": setting, "delays": "whole steps"}
        )
        for setting in ("forgetful", "tuned")
    },
    ("auglocal", "accuracy_over_layers", "past_half_of_the_gap"): past_half("AugLocal"),
    ("astrocyte_liquid", "near_critical", "gain_over_fixed_plasticity"): nearer_to_one,
    ("astrocyte_liquid", "no_hand_tuning", "spread_saved"): lambda table: float(
        at(table.groupby("kind", as_index=False)["accuracy"].std(ddof=0), "accuracy", kind="static")
        - at(table.groupby("kind", as_index=False)["accuracy"].std(ddof=0), "accuracy", kind="astrocyte")
    ),
    ("homeostatic", "adapts_to_shift", "gain_over_constant"): over_learners("constant"),
    ("homeostatic", "adapts_to_shift", "gain_over_random"): over_learners("random"),
    ("homeostatic", "beats_tuned_rates", "gain_over_tuned_constant"): over_learners("constant"),
}


@pytest.mark.parametrize(("slug", "claim", "measure"), CASES)
def test_a_measure_follows_from_its_series(slug: str, claim: str, measure: str) -> None:
    evidence = read_evidence(record(slug))
    assert evidence is not None
    (recorded,) = (each for each in evidence["claims"] if each["name"] == claim)
    table = pd.DataFrame(recorded["series"])
    for trial in recorded["trials"]:
        own = table[table["seed"] == trial["seed"]]
        found = CASES[slug, claim, measure](own)
        assert found == pytest.approx(trial["measures"][measure], abs=2e-5), trial["seed"]
