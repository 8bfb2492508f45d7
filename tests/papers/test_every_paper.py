"""What every built paper must pass, by being in the catalogue: its claims run, repeat, draw and are recorded."""

import math

import pandas as pd
import pytest
from matplotlib.figure import Figure

from replica.lab.catalogue import read_evidence, records
from replica.lab.claims import Trial, interval, judge
from replica.lab.claims.measures import from_plain, to_plain
from replica.lab.problems.registry import names
from replica.lab.runner.execute import plain_series, seed_everything, use_one_thread
from replica.lab.runner.fingerprint import fingerprint, spec_path
from replica.lab.runner.job import load_paper

BUILT = [record for record in records().values() if record.status == "built"]
CLAIMS = [
    pytest.param(record, claim, id=f"{record.slug}/{claim.name}")
    for record in BUILT
    for claim in load_paper(record.module).claims.values()
]


def run_smoke(claim, seed=0):
    use_one_thread()
    trial = Trial(seed, "smoke")
    seed_everything(trial)
    measures, series = claim(trial)
    return to_plain(measures), plain_series(series)


@pytest.fixture(scope="module")
def smoke():
    """Each claim's smoke run, made once."""
    made = {}
    return lambda claim: made.setdefault(id(claim), run_smoke(claim))


@pytest.mark.parametrize("record", BUILT, ids=lambda record: record.slug)
def test_paper_is_whole(record):
    paper = load_paper(record.module)
    assert paper.slug == record.slug
    assert paper.claims, "a paper has at least one claim"
    assert paper.departures, "what differs from the paper is said"
    assert all(sentence.endswith(".") for sentence in paper.departures)
    assert {entry.problem for entry in paper.entries.values()} == set(record.problems) & set(names())


@pytest.mark.parametrize(("record", "claim"), CLAIMS)
def test_claim_runs_at_smoke_scale(record, claim, smoke):
    measures, _ = smoke(claim)
    assert set(claim.expect) <= set(measures), "every bound has its measure"
    assert set(claim.reported) <= set(measures), "every figure of the paper stands beside one of ours"
    assert all(math.isfinite(float(from_plain(value))) for value in measures.values())
    assert claim.sentence.endswith(".")


@pytest.mark.parametrize(("record", "claim"), CLAIMS)
def test_claim_repeats_bit_for_bit(record, claim, smoke):
    assert run_smoke(claim) == smoke(claim)


@pytest.mark.parametrize(("record", "claim"), CLAIMS)
def test_claim_has_a_figure_that_draws(record, claim, smoke):
    _, series = smoke(claim)
    assert claim.draw is not None
    assert len({len(column) for column in series.values()}) == 1, "columns of equal length"
    table = pd.concat([pd.DataFrame({"seed": seed, **series}) for seed in range(2)], ignore_index=True)
    axes = Figure(layout="constrained").add_subplot()
    claim.draw(axes, table)
    assert axes.has_data()
    assert axes.get_xlabel()
    assert axes.get_ylabel()
    axes.figure.canvas.draw()


@pytest.mark.parametrize(("record", "claim"), CLAIMS)
def test_recorded_evidence_is_fresh_and_its_verdict_follows(record, claim):
    evidence = read_evidence(record)
    assert evidence is not None, f"replica verify {record.slug} --record"
    assert evidence["departures"] == list(load_paper(record.module).departures)
    recorded = {entry["name"]: entry for entry in evidence["claims"]}[claim.name]
    assert recorded["fingerprint"] == fingerprint(spec_path(record.module), claim.name), "measured on other code"
    assert recorded["sentence"] == claim.sentence
    assert recorded["expect"] == {name: str(bound) for name, bound in claim.expect.items()}
    assert recorded["why"] == claim.why
    assert (recorded["reported"] or {}) == {
        name: {"value": said.value, "where": said.where} for name, said in claim.reported.items()
    }
    assert recorded["scale"] == "laptop"
    assert len(recorded["trials"]) == recorded["seeds"] >= 5
    trials = [{name: from_plain(value) for name, value in trial["measures"].items()} for trial in recorded["trials"]]
    assert recorded["verdict"] == judge(claim.expect, trials).verdict
    for name, measured in recorded["measured"].items():
        assert measured == interval([trial[name] for trial in trials]).plain()
    assert recorded["verdict"] == "holds" or claim.why, "a claim that does not hold says why we think so"
    claim.draw(Figure().add_subplot(), pd.DataFrame(recorded["series"]))
