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
from typing import Any, NamedTuple

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


class _Run(NamedTuple):
    """A run to log: a method or a claim, or what holds them."""

    name: str
    parameters: Mapping[str, Any]
    failed: bool
    note: str
    metrics: Sequence[tuple[str, float, int]] = ()


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
        """Log a comparison: settings, every method's intervals and values by seed, picture, report, JSON. Returns where."""
        results = comparison.results
        machine = next((row.machine for method in results.methods for row in method.rows.values()), {})
        parameters = {
            "problem": results.problem.name,
            "data": results.dataset.name,
            "data_digest": results.dataset.digest,
            **results.options,
            **({results.sweep.option: ", ".join(map(str, results.sweep.values))} if results.sweep else {}),
            "replica": replica.__version__,
            **machine,
            "seeds": results.seeds,
            "scale": results.scale,
            "device": results.device,
        }
        rows, children = {row["method"]: row for row in results.rows}, []
        for place, method in enumerate(results.methods, start=1):
            row = rows[method.method.name]
            failed = {seed for (seed, _), trial in method.rows.items() if trial.status == "error"}
            whole = sorted({seed for seed, _ in method.rows} - failed)
            about = {
                "method": row["method"],
                "paper": row["paper"] or "",
                "place": place,
                "tied_with_best": row["tied_with_best"],
                **{f"setting.{name}": value for name, value in method.method.settings.items()},
            }
            costs = {"trial_seconds": row["seconds"], "peak_bytes": row["peak_bytes"], "errors": row["errors"]}
            by_seed = {name: dict(zip(whole, v.tolist(), strict=True)) for name, v in method.per_seed.items()}
            children.append(_Run(row["method"], about, bool(failed), "", _metrics(row["metrics"], by_seed, costs)))
        parent = _Run(results.dataset.name, parameters, False, comparison.answer)
        texts = {"comparison.json": comparison.plain()}
        # The best last: MLflow shows the newest first.
        return self._log(
            f"replica-{results.problem.name}", parent, children[::-1], comparison.figure(), texts, str(report)
        )

    def paper(self, result: PaperResult) -> str:
        """Log a paper's claims: settings, every measure's interval and values by seed, verdicts, figure, JSON. Returns where."""
        plain, first, children = result.plain(), result.claims[0], []
        for claim, stated in zip(result.claims, plain["claims"], strict=True):
            found = {seed: claim.claim.measures(rows) for seed, rows in claim.study.tables.items()}
            about = {
                "claim": stated["name"],
                "verdict": stated["verdict"] or "not judged",
                "seeds": stated["seeds"],
                **{f"must_be.{name}": bound for name, bound in stated["expect"].items()},
                **{f"reported.{name}": r["value"] for name, r in (stated["reported"] or {}).items()},
            }
            failures = len(stated["errors"])
            costs = {"seconds": stated["seconds"], "peak_bytes": stated["peak_bytes"], "errors": failures}
            measured = stated["measured"]
            by_seed = {name: {seed: float(found[seed][name]) for seed in found} for name in measured}
            metrics = _metrics(measured, by_seed, costs)
            children.append(_Run(stated["name"], about, failures > 0, stated["sentence"], metrics))
        verdicts = ", ".join(f"{claim['name']}: {claim['verdict'] or 'not judged'}" for claim in plain["claims"])
        parameters = {"paper": result.slug, **first.study.machine, "scale": first.scale}
        parent = _Run(result.slug, parameters, False, verdicts)
        return self._log("replica-claims", parent, children, draw_result(result), {"claims.json": plain})

    def _log(
        self,
        experiment: str,
        parent: _Run,
        children: Sequence[_Run],
        figure: Any,
        texts: Mapping[str, Any],
        file: str = "",
    ) -> str:
        """Log a run with runs in it, its figure, JSON texts and a file; says where they are."""
        with self._told():
            found = self._client.get_experiment_by_name(experiment)
            identifier = str(found.experiment_id if found else self._client.create_experiment(experiment))
            with self._run(identifier, parent) as outer:
                for child in children:
                    with self._run(identifier, child, inside=outer):
                        pass
                if file:
                    self._client.log_artifact(outer, file)
                if figure is not None:
                    self._client.log_figure(outer, figure, "figure.png")
                for name, content in texts.items():
                    self._client.log_text(outer, json.dumps(content, indent=2), name)
        return f"experiment {experiment} of {self.place}"

    @contextmanager
    def _run(self, experiment: str, run: _Run, inside: str = "") -> Iterator[str]:
        """A run, closed whatever happens."""
        from mlflow.entities import Metric, Param

        tags = {"replica": replica.__version__, "mlflow.note.content": run.note}
        if inside:
            tags["mlflow.parentRunId"] = inside
        identifier = self._client.create_run(experiment, tags=tags, run_name=run.name).info.run_id
        now = int(time.time() * 1000)
        try:
            texts = {key: str(value)[:LONGEST_PARAMETER] for key, value in run.parameters.items()}
            self._client.log_batch(identifier, params=[Param(key, text) for key, text in texts.items()])
            metrics = [Metric(name, value, now, step) for name, value, step in run.metrics]
            for start in range(0, len(metrics), 1000):  # the most that a server takes at once
                self._client.log_batch(identifier, metrics=metrics[start : start + 1000])
            yield identifier
        except BaseException:
            with suppress(*self._errors):
                self._client.set_terminated(identifier, "FAILED")
            raise
        self._client.set_terminated(identifier, "FAILED" if run.failed else "FINISHED")

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


def _metrics(
    spans: Mapping[str, Mapping[str, Any]],
    by_seed: Mapping[str, Mapping[int, float]],
    costs: Mapping[str, float | None],
) -> list[tuple[str, float, int]]:
    """Means with the ends of their intervals (those that are finite), and the values with the seed for the step."""
    ends: dict[str, float | None] = {name: span["mean"] for name, span in spans.items()}
    ends |= {f"{name}_{end}": span[end] for name, span in spans.items() for end in ("low", "high")}
    found = [(name, float(value), 0) for name, value in {**ends, **costs}.items() if value is not None]
    return found + [(f"{name}_by_seed", value, seed) for name, own in by_seed.items() for seed, value in own.items()]


def _without_password(text: str) -> str:
    """A text with addresses as they may be shown: without the name and password in them."""
    return re.sub(r"(?<=://)[^/@\s]*@", "", text)
