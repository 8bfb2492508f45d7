"""Arenas: trials are those of a comparison, rivals share what they share, and what is chosen is chosen without test rows."""

import pytest

from replica.errors import ReplicaError
from replica.lab.api import compare
from replica.lab.claims import Paper
from replica.lab.claims.paper import Claim
from replica.lab.runner.plans import ArenaPlan, plan
from replica.lab.runner.run import run
from replica.lab.runner.settings import Settings
from replica.lab.runner.sources import Source
from replica.lab.runner.store import Store
from replica.lab.studies import Arena

WINE = Arena("classification", data="wine", train=60)


def nearest(trial, neighbours=1):
    """A function of the paper file that is no entry."""
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(neighbours)


def planned(study, scale="laptop"):
    claim = Claim("toy", study, "toy", lambda table: {}, None)  # type: ignore[arg-type]
    source = Source("toy", Paper("toy"), __file__, __import__("pathlib").Path(__file__))
    own = plan(source, [claim], Settings(scale))
    assert isinstance(own, ArenaPlan)
    return own


@pytest.fixture
def measured(tmp_path):
    """Runs a plan's seeds on a store of its own; returns the rows of a seed."""

    def table(own, seed=0):
        def run_jobs(jobs):
            return run(jobs, Settings(workers=1, quiet=True, store=tmp_path / "store.sqlite"))

        own.prepare(run_jobs)
        return own.table(seed, run_jobs(own.jobs(seed)))

    table.store = tmp_path / "store.sqlite"
    return table


def test_rows_hold_method_options_and_metrics_but_no_clock(measured):
    study = WINE.compare({"trivial": "majority", "ours": nearest}).over(train=(40, 60))
    rows = measured(planned(study))
    assert rows["method"] == ["trivial", "ours"] * 2
    assert rows["train"] == [40, 40, 60, 60]
    assert {"accuracy", "log_loss"} <= set(rows)
    assert not [name for name in rows if "seconds" in name]
    assert all(ours > trivial for trivial, ours in zip(rows["accuracy"][::2], rows["accuracy"][1::2], strict=True))


def test_its_trials_are_those_of_compare_and_rivals_are_shared(measured):
    measured(planned(WINE.compare({"trivial": "majority", "ours": nearest})))
    with Store(measured.store) as store:
        assert store.count() == 2
    measured(planned(WINE.compare({"nothing": "majority", "linear": "logistic-regression"})))
    with Store(measured.store) as store:
        assert store.count() == 3, "the baseline is not run twice"
    compare(
        "classification", data="wine", train=60, only=["majority"], seeds=1, workers=1, quiet=True, store=measured.store
    )
    with Store(measured.store) as store:
        assert store.count() == 3


def test_hyperparameters_are_chosen_on_held_out_rows_of_development_seeds(measured, monkeypatch):
    arena = Arena("classification", data="wine", train=60, choose={"neighbours": (1, 60)})
    own = planned(arena.compare({"ours": nearest, "fixed": (nearest, {"neighbours": 60}), "other": "majority"}))
    rows = measured(own)
    assert rows["neighbours"] == [1, 60, None], "sixty neighbours of sixty tell the commonest class alone"
    with Store(measured.store) as store:
        found = store._connection.execute("SELECT seed, what FROM trials").fetchall()
    chosen = [seed for seed, what in found if '"split": "validation"' in what]
    assert sorted(chosen) == [100, 100, 101, 101, 102, 102], (
        "two candidates, three seeds, one method that leaves it open"
    )


def test_the_fingerprint_follows_options_methods_and_choices():
    def digest(arena, **methods):
        return planned(arena.compare(methods)).fingerprint

    first = digest(WINE, a=nearest)
    assert digest(WINE, a=nearest) == first
    others = [
        digest(WINE, a="majority"),
        digest(WINE, a=(nearest, {"neighbours": 3})),
        digest(Arena("classification", data="wine", train=80), a=nearest),
        digest(Arena("classification", data="digits", train=60), a=nearest),
        digest(Arena("classification", data="wine", train=60, choose={"neighbours": (1, 2)}), a=nearest),
    ]
    assert len({first, *others}) == 6


def test_a_fresh_arena_draws_data_for_every_seed():
    arena = Arena("credit", data="mnist-1d", fresh=True, full={"data": "mnist"})
    assert [arena.source("laptop", seed) for seed in (0, 7)] == ["mnist-1d:0", "mnist-1d:7"]
    assert arena.source("full", 7) == "mnist"


def test_an_unknown_method_is_told_in_one_line():
    with pytest.raises(ReplicaError, match=r"No method is called 'majorty'\. Did you mean majority\?"):
        _ = planned(WINE.compare({"trivial": "majorty"})).methods
    with pytest.raises(ReplicaError, match="must be an entry's name or a function"):
        WINE.compare({"trivial": 3})
