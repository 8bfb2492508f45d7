"""Results in a tracker, read back by its own client."""

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

import replica
from replica.errors import ReplicaError
from replica.lab.cli import main
from replica.lab.report import Tracker
from tests.lab.toy_papers import write_paper

needs_mlflow = pytest.mark.skipif(
    importlib.util.find_spec("mlflow") is None, reason="MLflow is not installed: pip install 'replica-papers[track]'"
)
PAPER = """
from replica.lab.claims import Paper, Proportion

paper = Paper("mine")


def draws(trial):
    return {"value": trial.rng("values").random(100)}


def fickle(trial):
    return {"draw": 1.0 / trial.seed}


@paper.claim(draws, figure=lambda axes, table: axes.plot(table["value"], "o"))
def small(table):
    return {"draw": table["value"].mean(), "share": Proportion(int((table["value"] > 0.5).sum()), 100)}


@paper.claim(fickle)
def fails(table):
    return {"draw": table["draw"].mean()}
"""
REGISTERED = {
    "small": 'expect.draw = "below 1"\nreported.draw = { value = 0.5, where = "Table 1" }',
    "fails": 'expect.draw = "above 2"',
}


class Fickle:
    """A memory that gives a cue back, or nothing at all."""

    def store(self, patterns: Any) -> None:
        self.count = len(patterns)

    def recall(self, cues: Any) -> Any:
        return cues if self.count < 10 else None


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The client of a store of its own, to which two comparisons and a paper were logged."""
    pytest.importorskip("mlflow")
    folder = tmp_path_factory.mktemp("tracking")
    write_paper(folder / "mine.py", PAPER, **REGISTERED)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        settings: dict[str, Any] = {
            "scale": "smoke", "seeds": 3, "workers": 1, "store": folder / "s.sqlite", "quiet": True,
        }  # fmt: skip
        comparison = replica.compare(
            "recall", entries={"fickle": Fickle}, only=["nearest-neighbour"], sweep={"stored": [5, 10]}, **settings
        )
        import mlflow

        own = mlflow.start_run(run_name="of the caller")
        tracker = Tracker()
        tracker.comparison(comparison, comparison.report(folder / "report.html"))
        (result,) = replica.verify(str(folder / "mine.py"), **settings)
        tracker.paper(result)
        from mlflow.tracking import MlflowClient

        found = MlflowClient()
        found.measured, found.own = (comparison, result), own
        yield found
        mlflow.end_run()


def runs(client: Any, experiment: str) -> tuple[Any, dict[str, Any]]:
    """The one run without a parent, and those in it by name."""
    found = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    (parent,) = (run for run in found if "mlflow.parentRunId" not in run.data.tags)
    inside = {run.info.run_name: run for run in found if run is not parent}
    assert all(run.data.tags["mlflow.parentRunId"] == parent.info.run_id for run in inside.values())
    return parent, inside


def steps(client: Any, run: Any, metric: str) -> dict[int, float]:
    return {point.step: point.value for point in client.get_metric_history(run.info.run_id, metric)}


@needs_mlflow
def test_a_comparison_is_a_run_with_a_run_for_each_method(client: Any):
    comparison = client.measured[0]
    parent, methods = runs(client, "replica-recall")
    assert parent.data.params["stored"] == "5, 10"
    assert parent.data.params["damage"] == "0.1"
    assert parent.data.params["replica"] == replica.__version__
    assert {"torch", "numpy", "seeds", "scale", "device", "data_digest"} <= set(parent.data.params)
    assert parent.data.tags["mlflow.note.content"] == comparison.answer
    assert set(methods) == {"nearest-neighbour", "fickle"}
    nearest, row = methods["nearest-neighbour"], comparison.table.loc["nearest-neighbour"]
    for name, value in (("exact", row.exact), ("exact_low", row.exact_low), ("exact_high", row.exact_high)):
        assert nearest.data.metrics[name] == pytest.approx(value, rel=1e-12)
    (measured,) = (m for m in comparison.results.methods if m.method.name == "nearest-neighbour")
    assert steps(client, nearest, "exact_by_seed") == dict(enumerate(measured.per_seed["exact"].tolist()))
    assert nearest.info.status == "FINISHED"
    assert methods["fickle"].info.status == "FAILED", "it had trials that failed"
    assert methods["fickle"].data.metrics["errors"] == 3


@needs_mlflow
def test_a_comparison_brings_its_files(client: Any, tmp_path: Path):
    parent, _ = runs(client, "replica-recall")
    files = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert files == {"report.html", "figure.png", "comparison.json"}
    kept = Path(client.download_artifacts(parent.info.run_id, "comparison.json", str(tmp_path)))
    assert json.loads(kept.read_text()) == client.measured[0].plain()
    picture = Path(client.download_artifacts(parent.info.run_id, "figure.png", str(tmp_path)))
    assert picture.read_bytes().startswith(b"\x89PNG")


@needs_mlflow
def test_a_paper_is_a_run_with_a_run_for_each_claim(client: Any):
    parent, claims = runs(client, "replica-claims")
    result = client.measured[1]
    assert parent.data.params["paper"] == "mine"
    assert {file.path for file in client.list_artifacts(parent.info.run_id)} == {"claims.json", "figure.png"}
    small = claims["small"]
    assert small.data.tags["mlflow.note.content"] == "It is so."
    assert small.data.params["must_be.draw"] == result.plain()["claims"][0]["expect"]["draw"]
    assert small.data.params["reported.draw"] == "0.5"
    draws = steps(client, small, "draw_by_seed")
    tables = result.claims[0].study.tables
    assert draws == {seed: pytest.approx(sum(table["value"]) / 100) for seed, table in tables.items()}
    assert small.data.metrics["draw"] == pytest.approx(sum(draws.values()) / 3)
    assert claims["fails"].data.params["verdict"] == "error"
    assert claims["fails"].info.status == "FAILED"
    assert sorted(steps(client, claims["fails"], "draw_by_seed")) == [1, 2]


@needs_mlflow
def test_an_open_run_of_the_caller_is_left_alone(client: Any):
    import mlflow

    assert mlflow.active_run().info.run_id == client.own.info.run_id
    own = client.get_run(client.own.info.run_id)
    assert not own.data.metrics
    assert not own.data.params
    assert not client.list_artifacts(own.info.run_id)


@needs_mlflow
@pytest.mark.parametrize("uri", ["http://name:secret@127.0.0.1:9", "sqlite:////proc/no/mlflow.db"])
def test_a_store_that_does_not_answer_is_told_in_one_line(uri: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(ReplicaError, match="MLFLOW_TRACKING_URI") as error:
        Tracker()
    assert "\n" not in str(error.value)
    assert "secret" not in str(error.value)


def test_an_unknown_tracker_and_a_missing_one_are_told_in_one_line(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ReplicaError, match="--track must be mlflow, not 'wandb'"):
        Tracker("wandb")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ReplicaError, match=r"pip install 'replica-papers\[track\]'"):
        Tracker()


def test_a_missing_ray_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ReplicaError, match=r"pip install 'replica-papers\[ray\]'"):
        replica.verify("hopfield", backend="ray")


@needs_mlflow
def test_the_command_logs_and_says_where_while_json_stays_alone(
    tmp_path: Path, client: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    write_paper(tmp_path / "mine.py", PAPER, **REGISTERED)
    arguments = [
        "verify",
        "mine.py",
        "--claim",
        "small",
        "--scale",
        "smoke",
        "--jobs",
        "1",
        "--store",
        "s",
        "--track",
        "mlflow",
    ]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["replica", *arguments, "--json"])
    capfd.readouterr()
    with pytest.raises(SystemExit) as stop:
        main()
    said = capfd.readouterr()
    assert not stop.value.code, said.err
    assert json.loads(said.out)[0]["slug"] == "mine"
    experiment = client.get_experiment_by_name("replica-claims").experiment_id
    assert len(client.search_runs([experiment], filter_string="tags.mlflow.runName = 'small'")) == 2
