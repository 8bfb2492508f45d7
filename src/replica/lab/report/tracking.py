"""Results in MLflow: a run for each comparison or paper, with a run in it for each method or claim."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import replica
from replica.errors import ReplicaError
from replica.lab.runner.verify import PaperResult

from .claim_figures import draw_result
from .comparison import Comparison

TRACKERS = ("mlflow",)
LONGEST_PARAMETER = 500
QUIETLY = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # what people measure here is theirs
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # else a server that does not answer is asked for minutes
    "GIT_PYTHON_REFRESH": "quiet",
}


class Tracker:
    """MLflow, where it is set to keep runs (``MLFLOW_TRACKING_URI``; by default in this folder).

    It goes through a client of its own: a run that the caller has open is left alone.
    """

    def __init__(self, name: str = "mlflow") -> None:
        if name not in TRACKERS:
            raise ReplicaError(f"--track must be {' or '.join(TRACKERS)}, not {name!r:.60}.")
        if importlib.util.find_spec("mlflow") is None:
            raise ReplicaError("--track mlflow needs MLflow: pip install 'replica-papers[track]'.")
        for variable, value in QUIETLY.items():
            os.environ.setdefault(variable, value)
        for noisy in ("mlflow", "alembic"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
        import mlflow

        self._errors = (mlflow.exceptions.MlflowException, OSError)
        with self._told():
            self._client = mlflow.tracking.MlflowClient()
            self.place = _without_password(self._client.tracking_uri)
            self._client.search_experiments(max_results=1)

    def comparison(self, comparison: Comparison, report: Path) -> str:
        """Log a comparison: its settings, every method's intervals and values by seed, the picture, the report, the JSON."""
        results = comparison.results
        swept = {results.sweep.option: ", ".join(map(str, results.sweep.values))} if results.sweep else {}
        parameters = {
            "problem": results.problem.name,
            "data": results.dataset.name,
            "data_digest": results.dataset.digest,
            **results.options,
            **swept,
            **_versions([row for method in results.methods for row in method.rows.values()]),
            "seeds": results.seeds,
            "scale": results.scale,
            "device": results.device,
        }
        rows = {row["method"]: row for row in results.rows}
        with self._told():
            experiment = self._experiment(f"replica-{results.problem.name}")
            with self._run(experiment, results.dataset.name, parameters, note=comparison.answer) as parent:
                # The best last: MLflow shows the newest first.
                for place, method in reversed(list(enumerate(results.methods, start=1))):
                    row = rows[method.method.name]
                    failed = {seed for (seed, _), trial in method.rows.items() if trial.status == "error"}
                    whole = sorted({seed for seed, _ in method.rows} - failed)
                    by_seed = {
                        name: dict(zip(whole, values.tolist(), strict=True)) for name, values in method.per_seed.items()
                    }
                    costs = {"trial_seconds": row["seconds"], "peak_bytes": row["peak_bytes"], "errors": row["errors"]}
                    about = {
                        "method": row["method"],
                        "paper": row["paper"] or "",
                        "place": place,
                        "tied_with_best": row["tied_with_best"],
                        **{f"setting.{name}": value for name, value in method.method.settings.items()},
                    }
                    with self._run(experiment, row["method"], about, inside=parent, failed=bool(failed)) as child:
                        self._log_metrics(child, row["metrics"], by_seed, costs)
                self._client.log_artifact(parent, str(report))
                self._client.log_figure(parent, comparison.figure(), "figure.png")
                self._client.log_text(parent, json.dumps(comparison.plain(), indent=2), "comparison.json")
        return self._where(f"replica-{results.problem.name}")

    def paper(self, result: PaperResult) -> str:
        """Log a paper's claims: settings, every measure's interval and values by seed, the verdicts, the figure, the JSON."""
        plain = result.plain()
        first = result.claims[0]
        parameters = {
            "paper": result.slug,
            **{name: str(version) for name, version in first.study.machine.items()},
            "scale": first.scale,
        }
        verdicts = ", ".join(f"{claim['name']}: {claim['verdict'] or 'not judged'}" for claim in plain["claims"])
        with self._told():
            experiment = self._experiment("replica-claims")
            with self._run(experiment, result.slug, parameters, note=verdicts) as parent:
                for claim, stated in zip(result.claims, plain["claims"], strict=True):
                    found = {seed: claim.claim.measures(rows) for seed, rows in claim.study.tables.items()}
                    by_seed = {
                        name: {seed: float(values[name]) for seed, values in found.items()}
                        for name in stated["measured"]
                    }
                    about = {
                        "claim": stated["name"],
                        "verdict": stated["verdict"] or "not judged",
                        "seeds": stated["seeds"],
                        **{f"must_be.{name}": bound for name, bound in stated["expect"].items()},
                        **{f"reported.{name}": r["value"] for name, r in (stated["reported"] or {}).items()},
                    }
                    costs = {
                        "seconds": stated["seconds"],
                        "peak_bytes": stated["peak_bytes"],
                        "errors": len(stated["errors"]),
                    }
                    failed = bool(stated["errors"])
                    with self._run(
                        experiment, stated["name"], about, inside=parent, failed=failed, note=stated["sentence"]
                    ) as child:
                        self._log_metrics(child, stated["measured"], by_seed, costs)
                if (figure := draw_result(result)) is not None:
                    self._client.log_figure(parent, figure, "figure.png")
                self._client.log_text(parent, json.dumps(plain, indent=2), "claims.json")
        return self._where("replica-claims")

    def _where(self, experiment: str) -> str:
        return f"experiment {experiment} of {self.place}"

    def _experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        return str(found.experiment_id if found else self._client.create_experiment(name))

    @contextmanager
    def _run(
        self,
        experiment: str,
        name: str,
        parameters: Mapping[str, Any],
        *,
        inside: str | None = None,
        failed: bool = False,
        note: str = "",
    ) -> Iterator[str]:
        """A run, closed whatever happens."""
        from mlflow.entities import Param

        tags = {"replica": replica.__version__, "mlflow.note.content": note}
        if inside:
            tags["mlflow.parentRunId"] = inside
        identifier = self._client.create_run(experiment, tags=tags, run_name=name).info.run_id
        try:
            texts = {key: str(value)[:LONGEST_PARAMETER] for key, value in parameters.items()}
            self._client.log_batch(identifier, params=[Param(key, text) for key, text in texts.items()])
            yield identifier
        except BaseException:
            with suppress(*self._errors):
                self._client.set_terminated(identifier, "FAILED")
            raise
        self._client.set_terminated(identifier, "FAILED" if failed else "FINISHED")

    def _log_metrics(
        self,
        run: str,
        spans: Mapping[str, Mapping[str, Any]],
        by_seed: Mapping[str, Mapping[int, float]],
        costs: Mapping[str, float | None],
    ) -> None:
        """Means with the ends of their intervals (those that are finite), and the values with the seed for the step."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        ends = {(name, ""): span["mean"] for name, span in spans.items()}
        ends |= {(name, f"_{end}"): span[end] for name, span in spans.items() for end in ("low", "high")}
        found = [Metric(name + end, float(value), now, 0) for (name, end), value in ends.items() if value is not None]
        found += [Metric(name, float(value), now, 0) for name, value in costs.items() if value is not None]
        for name, values in by_seed.items():
            found += [Metric(f"{name}_by_seed", value, now, seed) for seed, value in values.items()]
        for start in range(0, len(found), 1000):  # the most that a server takes at once
            self._client.log_batch(run, metrics=found[start : start + 1000])

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say in one line what went wrong in the tracker."""
        try:
            yield
        except self._errors as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise ReplicaError(
                f"MLflow cannot keep the results ({_without_password(lines[0])[:200]}). Mend that, or set"
                " MLFLOW_TRACKING_URI to another place, and run the same command again: finished trials are stored."
            ) from None


def _versions(rows: Sequence[Any]) -> dict[str, str]:
    machine = rows[0].machine if rows else {}
    return {"replica": replica.__version__, **{name: str(value) for name, value in machine.items()}}


def _without_password(text: str) -> str:
    """A text with addresses as they may be shown: without the name and password in them."""
    return re.sub(r"(?<=://)[^/@\s]*@", "", text)
