"""What every built paper must pass, by being in the catalogue: its studies run and repeat, figures draw, its record follows."""

import json

import pandas as pd
import pytest
from matplotlib.figure import Figure

from replica.lab.catalogue import read_evidence, records
from replica.lab.catalogue.evidence import recorded_rows
from replica.lab.claims.measures import to_plain
from replica.lab.claims.rows import stacked, unstacked
from replica.lab.problems.registry import names
from replica.lab.runner.evidence import check_registrations, recorded_study
from replica.lab.runner.execute import measure
from replica.lab.runner.freshness import is_stale
from replica.lab.runner.plans import plan
from replica.lab.runner.settings import Settings
from replica.lab.runner.sources import find_source
from replica.lab.runner.verify import rule

BUILT = [record for record in records().values() if record.status == "built"]
SOURCES = {record.slug: find_source(record.slug) for record in BUILT}
CLAIMS = [(slug, claim) for slug, source in SOURCES.items() for claim in source.paper.claims.values()]
MEASURED = [(slug, claim) for slug, claim in CLAIMS if not claim.registration.pending]
STUDIES = list(dict.fromkeys((slug, claim.study_name) for slug, claim in CLAIMS))
each_claim = pytest.mark.parametrize(("slug", "claim"), CLAIMS, ids=lambda value: getattr(value, "name", value))


def run(jobs):
    """The results of trials, by key."""
    rows = {job.key: measure(job) for job in jobs}
    for finished in rows.values():
        assert not finished.error, finished.traceback
    return rows


def table(own):
    """The rows of a study's smoke trial, as the store gives them back."""
    return json.loads(json.dumps(own.table(0, run(own.jobs(0)))))


@pytest.mark.parametrize("record", BUILT, ids=lambda record: record.slug)
def test_paper_is_whole(record):
    paper = SOURCES[record.slug].paper
    assert paper.slug == record.slug
    assert paper.claims, "a paper has at least one claim"
    assert paper.departures, "what differs from the paper is said"
    assert all(sentence.endswith(".") for sentence in paper.departures)
    standing = {name for name, said in paper.registered.claims.items() if not said.withdrawn}
    assert standing == set(paper.claims), "every registered claim is tried"
    assert {entry.problem for entry in paper.entries.values()} == set(record.problems) & set(names())


@pytest.mark.parametrize(("slug", "study"), STUDIES)
def test_study_repeats_bit_for_bit_and_its_claims_are_judged_and_drawn(slug, study):
    """In one test, so that processes that share the tests make no trial twice; what is chosen before is chosen once."""
    claims = [claim for claim in SOURCES[slug].paper.claims.values() if claim.study_name == study]
    own = plan(SOURCES[slug], claims, Settings("smoke"))
    own.prepare(run)
    rows = table(own)
    assert table(own) == rows, "a second run differs"
    for claim in claims:
        check_claim(claim, rows)


def check_claim(claim, rows):
    """It is judged and drawn from the rows of a smoke trial."""
    measures = to_plain(claim.measures(rows))
    said = claim.registration
    assert said.measures_named <= set(measures), f"{claim.name}: every bound, figure and explanation has its measure"
    assert said.sentence.endswith("."), claim.name
    assert claim.draw is not None, claim.name
    axes = Figure(layout="constrained").add_subplot()
    claim.draw(axes, pd.DataFrame(stacked({0: rows, 1: rows})))
    assert axes.has_data(), claim.name
    assert axes.get_xlabel(), claim.name
    assert axes.get_ylabel(), claim.name
    axes.figure.canvas.draw()


@each_claim
def test_a_pending_claim_has_no_verdict(slug, claim):
    evidence = read_evidence(next(record for record in BUILT if record.slug == slug)) or {"claims": []}
    measured = claim.name in {entry["name"] for entry in evidence["claims"]}
    assert measured != bool(claim.registration.pending), "a claim is measured, or says why it is not"


@pytest.mark.parametrize("slug", SOURCES)
def test_registrations_are_those_of_the_evidence(slug):
    check_registrations(SOURCES[slug])


@pytest.mark.parametrize(("slug", "study"), dict.fromkeys((slug, claim.study_name) for slug, claim in MEASURED))
def test_evidence_was_measured_on_this_code(slug, study):
    record = next(record for record in BUILT if record.slug == slug)
    evidence = read_evidence(record)
    assert evidence is not None, f"replica verify {slug} --record"
    assert study in evidence["studies"], f"replica verify {slug} --record"
    assert not is_stale(record, study, evidence["studies"][study]), f"replica verify {slug} --refresh"


@pytest.mark.parametrize(("slug", "claim"), MEASURED, ids=lambda value: getattr(value, "name", value))
def test_measures_intervals_and_verdict_follow_from_the_recorded_rows(slug, claim):
    evidence = read_evidence(next(record for record in BUILT if record.slug == slug))
    recorded = {entry["name"]: entry for entry in evidence["claims"]}[claim.name]
    rows = recorded_rows(evidence, recorded)
    tables = list(unstacked(rows).values())
    assert len(tables) == recorded["seeds"]
    assert set(unstacked(rows)) <= set(recorded_study(slug, claim.study_name).tables)
    ruling = rule(claim, tables, planned=True)
    assert recorded["verdict"] == ruling.verdict
    assert recorded["level"] == ruling.level
    assert recorded["seeds"] in claim.registration.looks
    assert recorded["measured"].keys() == ruling.intervals.keys()
    for name, interval in ruling.intervals.items():
        for end, value in interval.plain().items():
            assert recorded["measured"][name][end] == pytest.approx(value, rel=1e-9, abs=1e-12), name
    assert recorded["verdict"] == "holds" or claim.registration.why, "a claim that does not hold says why we think so"
    claim.draw(Figure().add_subplot(), pd.DataFrame(rows))
