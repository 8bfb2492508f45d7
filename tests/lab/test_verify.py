"""Testing claims: looks until decided, fresh seeds beside the record, and a record that no changed bound slips into."""

import json

import pytest

from replica.errors import ReplicaError
from replica.lab.api import verify
from replica.lab.catalogue import records
from replica.lab.catalogue.records import Record
from replica.lab.runner import evidence as evidence_module, job as job_module
from replica.lab.runner.evidence import record_paper, recorded_study
from replica.lab.runner.settings import Settings
from replica.lab.runner.sources import find_source

PAPER = """
from replica.lab.claims import Paper, Proportion

paper = Paper("toy")
OFFSET = 0.0


def draws(trial):
    values = trial.rng("draws").normal(size=50) + OFFSET
    return {"value": values, "coin": values > 0}


@paper.claim(draws)
def far(table):
    return {"mean": table["value"].mean() + 9, "coin": Proportion(table["coin"].sum(), len(table))}


@paper.claim(draws)
def level(table):
    return {"shift": table["value"].mean(), "control": 1.0}


@paper.claim(draws)
def blind(table):
    return {"shift": table["value"].mean() + 9, "control": 0.0}


for claim in (far, level, blind):
    claim.figure(lambda axes, table: axes.plot(table["value"]))
"""
REGISTERED = """
departures = ["It is a toy."]
[far]
sentence = "Far above."
registered = 2026-11-01
setting = "own"
expect.mean = "above 8"
why = "{mean:.1f}"
[level]
sentence = "A little above."
registered = 2026-11-01
setting = "smaller"
expect.shift = "above 0"
smallest.shift = 0.1
gates.control = "above 0.5"
[blind]
sentence = "Seen by nobody."
registered = 2026-11-01
setting = "own"
expect.shift = "above 0"
gates.control = "above 0.5"
"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A catalogued paper of three claims in a folder of its own; writes its file, returns a function that records it."""
    monkeypatch.setenv("REPLICA_HOME", str(tmp_path / "home"))
    file = tmp_path / "toy.py"
    file.write_text(PAPER)
    file.with_suffix(".toml").write_text(REGISTERED)
    known = Record("toy", "Toy", (), 2026, "", "", "", "memory", "method", "", "", ())
    catalogue = {**records(), "toy": known}
    recorded = tmp_path / "toy.json"
    monkeypatch.setattr(evidence_module, "records", lambda: catalogue)
    for module in (evidence_module, __import__("replica.lab.runner.restamp", fromlist=["record"])):
        monkeypatch.setattr(module, "record", catalogue.__getitem__)
        monkeypatch.setattr(module, "evidence_path", lambda _: recorded)
        monkeypatch.setattr(
            module, "read_evidence", lambda _, **__: json.loads(recorded.read_text()) if recorded.exists() else None
        )

    def record(**how):
        job_module._load_file.cache_clear()
        return record_paper(find_source(str(file)), Settings(workers=1, quiet=True), **how)

    record.file, record.evidence = file, recorded
    return record


def change(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_each_claim_takes_looks_until_it_is_decided(toy):
    (result,) = verify(str(toy.file), workers=1, quiet=True)
    far, level, blind = (claim.plain() for claim in result.claims)
    assert (far["verdict"], far["seeds"], far["why"][:1]) == ("holds", 5, "9")
    assert (level["verdict"], level["seeds"]) == ("no_effect", level["seeds"])
    assert level["seeds"] in (10, 20, 40), "five seeds of fifty draws cannot tell"
    assert (blind["verdict"], blind["gates_met"]) == ("not_tested", {"control": False})
    assert far["level"] > 0.95, "several looks were planned"


def test_claims_of_one_study_share_its_trials(toy):
    (result,) = verify(str(toy.file), workers=1, quiet=True)
    assert len({id(claim.study) for claim in result.claims}) == 1


def test_fresh_seeds_are_judged_alone_and_with_the_record(toy):
    toy()
    (result,) = verify(str(toy.file), claims=["far"], first_seed=1000, seeds=6, workers=1, quiet=True)
    told = result.claims[0].plain()
    assert (told["first_seed"], told["seeds"], told["level"]) == (1000, 6, 0.95)
    pooled, alone = told["pooled"]["measured"]["mean"], told["measured"]["mean"]
    assert told["pooled"]["verdict"] == "holds"
    assert pooled["high"] - pooled["low"] < alone["high"] - alone["low"], "more seeds, a narrower interval"


def test_recorded_rows_are_not_measured_again_on_the_same_code(toy):
    first, path, _ = toy()
    kept = json.loads(path.read_text())
    rows = kept["studies"]["draws"]["rows"]
    assert len(rows["value"]) == 50 * len(kept["studies"]["draws"]["seeds"])
    kept["studies"]["draws"]["seconds"] = [123.0] * len(kept["studies"]["draws"]["seconds"])
    path.write_text(json.dumps(kept))
    again, _, told = toy()
    assert told == []
    assert [c.verdict for c in again.claims] == [c.verdict for c in first.claims]
    assert json.loads(path.read_text())["studies"]["draws"]["seconds"][0] == 123.0


def test_changed_code_that_gives_the_same_rows_is_stamped_and_other_rows_are_measured(toy):
    _, path, _ = toy()
    before = json.loads(path.read_text())["studies"]["draws"]
    change(toy.file, "OFFSET = 0.0", "OFFSET = 0.0 * 2")
    _, _, told = toy(refresh=True)
    after = json.loads(path.read_text())["studies"]["draws"]
    assert "bit for bit" in told[0]
    assert after["fingerprint"] != before["fingerprint"]
    assert after["rows"] == before["rows"]
    change(toy.file, "OFFSET = 0.0 * 2", "OFFSET = 0.5")
    result, _, told = toy(refresh=True)
    assert "measured again" in told[0]
    assert json.loads(path.read_text())["studies"]["draws"]["rows"] != before["rows"]
    assert {claim.claim.name: claim.verdict for claim in result.claims}["level"] == "holds"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"above 8"', '"above 7"', r"Claim far: a bound \(expect\) was changed after evidence existed"),
        ("smallest.shift = 0.1", "smallest.shift = 0.2", r"Claim level: a bound \(smallest\)"),
        ('sentence = "Far above."', 'sentence = "Above."', "Claim far: the sentence was changed"),
    ],
)
def test_a_bound_that_moves_after_evidence_is_refused(toy, old, new, said):
    toy()
    change(toy.file.with_suffix(".toml"), old, new)
    with pytest.raises(ReplicaError, match=said):
        toy()


def test_a_sentence_may_be_reworded_in_sight_and_a_claim_withdrawn_in_sight(toy):
    toy()
    registration = toy.file.with_suffix(".toml")
    change(registration, 'sentence = "Far above."', 'sentence = "Above."\nformerly = "Far above."')
    toy()
    change(registration, "[blind]\nsentence", '[blind]\nwithdrawn = "2026-11-29: nobody sees it."\nsentence')
    change(toy.file, "@paper.claim(draws)\ndef blind", "def blind")
    change(toy.file, "(far, level, blind)", "(far, level)")
    _, path, _ = toy()
    kept = json.loads(path.read_text())
    assert [claim["name"] for claim in kept["claims"]] == ["far", "level"]
    assert kept["withdrawn"][0]["name"] == "blind"
    change(registration, "[blind]", "[other]")
    toy()  # a withdrawn claim's evidence is kept apart


def test_a_pending_claim_is_tried_and_not_recorded(toy):
    toy()
    registration = toy.file.with_suffix(".toml")
    change(registration, "[blind]\nsentence", '[blind]\npending = "2026-11-29: too dear."\nsentence')
    _, path, _ = toy()
    kept = json.loads(path.read_text())
    assert [claim["name"] for claim in kept["claims"]] == ["far", "level"]
    assert kept["earlier"][0]["name"] == "blind", "what it was held to stays"
    change(registration, 'sentence = "Seen by nobody."', 'sentence = "Not seen."')
    with pytest.raises(ReplicaError, match="Claim blind: the sentence was changed"):
        toy()


def test_a_claim_that_vanishes_is_refused(toy):
    toy()
    change(toy.file.with_suffix(".toml"), "[far]", "[farther]")
    change(toy.file, "def far(", "def farther(")
    change(toy.file, "(far, level", "(farther, level")
    with pytest.raises(ReplicaError, match="far has evidence but is no longer registered"):
        toy()


def test_an_unregistered_claim_is_refused(toy):
    change(toy.file.with_suffix(".toml"), "[far]", "[farther]")
    with pytest.raises(ReplicaError, match=r"Claim far is not registered: write \[far\]"):
        verify(str(toy.file), workers=1, quiet=True)


def test_recorded_study_gives_rows_by_seed(toy):
    toy()
    study = recorded_study("toy", "draws")
    assert len(study.tables[0]["value"]) == 50
