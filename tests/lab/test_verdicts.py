"""Trials, measures and verdicts."""

import math
from typing import get_args

import numpy as np
import pytest

from replica.errors import ReplicaError
from replica.lab.claims import Paper, Proportion, Trial, above, below, judge, within, words
from replica.lab.claims.measures import from_plain, to_plain
from replica.lab.claims.verdicts import Verdict

SEEDS = [0.96, 1.0, 1.04, 0.98, 1.02]
"""Five seeds around 1 with a standard deviation of 0.03: the interval is 1 ± 0.04."""
AROUND = {"one": 1.0, "nothing": 0.0, "little": 0.05, "minus": -1.0}


def ruled(expect, errors=0, seeds=SEEDS, **settings):
    trials = [{name: value - 1 + middle for name, middle in AROUND.items()} for value in seeds]
    return judge(expect, trials, errors, **settings)


# The intervals: one 0.96 to 1.04, nothing -0.04 to 0.04, little 0.01 to 0.09, minus -1.04 to -0.96.
@pytest.mark.parametrize(
    ("expect", "settings", "wanted"),
    [
        ({"one": above(0.5)}, {}, "holds"),
        ({"little": above(0)}, {"smallest": {"little": 0.1}}, "holds"),  # small, but there
        ({"nothing": above(0)}, {}, "unclear"),
        ({"nothing": above(0)}, {"smallest": {"nothing": 0.03}}, "unclear"),
        ({"nothing": above(0)}, {"smallest": {"nothing": 0.1}}, "no_effect"),
        ({"nothing": above(0.1)}, {"smallest": {"nothing": 0.1}}, "no_effect"),
        ({"nothing": above(0.1)}, {}, "fails"),
        ({"minus": above(0)}, {"smallest": {"minus": 0.1}}, "fails"),
        ({"minus": above(0)}, {"smallest": {"minus": 2}}, "no_effect"),
        ({"nothing": within(0.1, of=0)}, {"smallest": {"nothing": 0.1}}, "holds"),  # "comparable" claims
        # The weakest: fails before no_effect before unclear before holds.
        ({"one": above(0), "nothing": above(0)}, {}, "unclear"),
        ({"one": above(1), "nothing": above(0)}, {"smallest": {"nothing": 0.1}}, "no_effect"),
        ({"minus": above(0), "nothing": above(0)}, {"smallest": {"nothing": 0.1}}, "fails"),
        # Gates look at the mean, and come before the judgements; errors come before both.
        ({"one": above(0.5)}, {"gates": {"little": above(0.04)}}, "holds"),
        ({"one": above(0.5)}, {"gates": {"little": above(0.06)}}, "not_tested"),
        ({"one": above(0.5)}, {"gates": {"little": above(0.04), "minus": above(0)}}, "not_tested"),
        ({"minus": above(0)}, {"gates": {"little": above(0.06)}}, "not_tested"),
        ({"one": above(0.5)}, {"gates": {"little": above(0.06)}, "errors": 1}, "error"),
        ({"one": above(0.5)}, {"errors": 1}, "error"),
        ({"one": above(0.5)}, {"seeds": [], "errors": 5}, "error"),
        ({"one": above(0.5)}, {"seeds": []}, "error"),
        # One seed says nothing, unless the measure is exact.
        ({"one": above(0.5)}, {"seeds": [1.0]}, "unclear"),
        ({"one": above(0.5)}, {"seeds": [1.0], "exact": True}, "holds"),
        ({"one": above(1)}, {"seeds": [1.0], "exact": True}, "fails"),
        ({"nothing": above(0)}, {"seeds": [1.0], "exact": True, "smallest": {"nothing": 0.1}}, "no_effect"),
        # A wider level decides less.
        ({"one": above(0.95)}, {}, "holds"),
        ({"one": above(0.95)}, {"level": 0.985}, "unclear"),
    ],
)
def test_a_verdict_follows_from_errors_gates_and_the_weakest_judgement(expect, settings, wanted):
    assert ruled(expect, **settings).verdict == wanted


def test_a_ruling_says_on_what_grounds():
    ruling = ruled({"one": above(0)}, gates={"little": above(0.06), "minus": below(0)}, level=0.98)
    assert set(ruling.intervals) == set(AROUND), "measures without expectation are shown too"
    assert ruling.judgements == {"one": "holds"}
    assert ruling.gates == {"little": False, "minus": True}
    assert ruling.level == 0.98
    assert judge({"share": above(0)}, [{"share": Proportion(1, 2)}], gates={"share": above(0.4)}).gates == {
        "share": True
    }


@pytest.mark.parametrize(
    ("expect", "settings", "says"),
    [
        ({}, {}, "at least one expectation"),
        ({"c": above(0)}, {}, "expects the measure 'c'"),
        ({"one": above(0)}, {"gates": {"c": above(0)}}, "expects the measure 'c'"),
        ({"one": above(0)}, {"smallest": {"c": 1}}, r"smallest .* \['c'\]"),
        ({"one": above(0)}, {"smallest": {"one": 0}}, r"smallest .* \['one'\]"),
    ],
)
def test_a_claim_that_cannot_be_judged_is_refused(expect, settings, says):
    with pytest.raises(ValueError, match=says):
        ruled(expect, **settings)


def test_words_for_people():
    shown = {
        setting: [words(verdict, setting) for verdict in get_args(Verdict)] for setting in ("own", "smaller", "other")
    }
    assert shown["own"] == ["holds", "fails", "no effect of that size", "unclear", "not tested at this scale", "error"]
    assert shown["smaller"] == shown["other"] == [shown["own"][0], "not seen here", *shown["own"][2:]]


def test_verdicts_are_rarely_wrong_by_chance():
    """A true mean on the far side of its bound is called *holds* in at most 2.5 % of studies, and the reverse."""
    studies, wrong = 1000, {"holds": 0, "fails": 0}
    for study in range(studies):
        values = np.random.default_rng([study, 5]).normal(0.0, 1.0, 5)
        verdict = judge({"x": above(0)}, [{"x": v} for v in values]).verdict
        if verdict in wrong:
            wrong[verdict] += 1
    error = 3 * math.sqrt(0.025 * 0.975 / studies)
    assert max(wrong.values()) / studies <= 0.025 + error


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "text", None, [1.0]])
def test_what_is_no_finite_number_is_an_error(value):
    with pytest.raises(ValueError, match="Measure 'x'"):
        to_plain({"x": value})


def test_measures_survive_the_store():
    plain = to_plain({"a": np.float32(0.5), "b": Proportion(np.int64(3), 4), "c": 2})
    assert plain == {"a": 0.5, "b": {"successes": 3, "total": 4}, "c": 2.0}
    assert from_plain(plain["b"]) == Proportion(3, 4)
    for nothing in ({}, None, 3.0):
        with pytest.raises(ValueError, match="at least one entry"):
            to_plain(nothing)
    for successes, total in ((5, 4), (-1, 4), (0, 0)):
        with pytest.raises(ValueError, match="Proportion"):
            Proportion(successes, total)


def test_streams_of_a_trial_repeat_and_are_independent():
    one, same, other = Trial(3), Trial(3, "smoke"), Trial(4)
    assert one.rng("a").random(5).tolist() == same.rng("a").random(5).tolist()
    draws = [trial.rng(name).random(20_000) for trial in (one, other) for name in ("a", "b", "")]
    correlations = np.corrcoef(draws)[np.triu_indices(6, 1)]
    assert np.abs(correlations).max() < 4 / math.sqrt(20_000)
    import torch

    assert torch.equal(torch.rand(5, generator=one.generator("a")), torch.rand(5, generator=same.generator("a")))
    assert not torch.equal(torch.rand(5, generator=one.generator("a")), torch.rand(5, generator=one.generator("b")))
    assert [Trial(0, scale).pick(smoke=1, laptop=2, full=3) for scale in ("smoke", "laptop", "full")] == [1, 2, 3]


def test_a_paper_file_is_checked_where_it_is_written(tmp_path):
    with pytest.raises(ValueError, match="slug must be"):
        Paper("Bad Slug")
    bound = (
        'sentence = "Heads are half."\nregistered = 2026-11-29\nsetting = "own"\nexpect.share = "within 0.1 of 0.5"\n'
    )
    (tmp_path / "toy.toml").write_text(f"[half]\n{bound}[other]\n{bound}")
    paper = Paper("toy", file=tmp_path / "toy.py")

    def coin(trial):
        return {"heads": [0, 1]}

    def half(table):
        return {"share": table["heads"].mean()}

    claim = paper.claim(coin)(half)
    assert paper.claims == {"half": claim}
    assert claim.measures(coin(Trial(0))) == {"share": 0.5}
    with pytest.raises(ReplicaError, match="two claims are named 'half'"):
        paper.claim(coin)(half)
    half.__name__ = "other"
    with pytest.raises(ReplicaError, match="must be a function of a trial"):
        paper.claim(0.5)(half)
    paper.entry("recall", name="m")(lambda trial: None)
    with pytest.raises(ValueError, match="two entries"):
        paper.entry("recall", name="m")(lambda trial: None)
