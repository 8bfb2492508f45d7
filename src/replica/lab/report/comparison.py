"""`replica.compare`: the main job, from Python."""

from __future__ import annotations

import io
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from replica.errors import ReplicaError
from replica.lab.claims.comparisons import ALPHA
from replica.lab.problems.problem import Value
from replica.lab.runner.compare import Results

from .html import render
from .notebook import comparison_html
from .picture import Picture
from .quantities import quantity
from .style import Theme, theme

SIZE = (12.0, 4.6)


@dataclass(frozen=True, repr=False)
class Comparison:
    """A finished comparison: its table, its picture, its report.

    Example:
        >>> comparison = replica.compare("recall", stored=30)  # doctest: +SKIP
        >>> comparison.table  # doctest: +SKIP
    """

    results: Results

    def __repr__(self) -> str:
        return f"<Comparison on {self.results.problem.name}, {len(self.results.methods)} methods. {self.answer}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: the table and the picture."""
        return comparison_html(self)

    @property
    def table(self) -> pd.DataFrame:
        """One row a method in rank order; each metric with the ends of its 95 % interval."""
        rows = []
        for row in self.results.rows:
            flat = {name: row[name] for name in ("method", "paper", "tied_with_best")}
            if self.results.tuning is not None:
                flat["tuned"] = self.results.tuning.trials if row["method"] in self.results.tuning.methods else 0
            for name, span in row["metrics"].items():
                flat |= {name: span["mean"], f"{name}_low": span["low"], f"{name}_high": span["high"]}
            rows.append({**flat, "seconds": row["seconds"], "peak_bytes": row["peak_bytes"], "errors": row["errors"]})
        return pd.DataFrame(rows).set_index("method")

    @property
    def tuning(self) -> pd.DataFrame | None:
        """What tuning found: one row a method, seed and point of the sweep; None where nothing was tuned.

        Columns: ``method``, ``seed``, ``value`` (of the sweep), ``settings`` (all hyperparameters of the space, by name), and
        the ranking metric on the validation part, ``default_score`` with the defaults and ``best_score`` with the settings.
        """
        if self.results.tuning is None:
            return None
        found = [
            {"method": name, **place}
            for name, method in self.results.tuning.plain()["methods"].items()
            for place in method["found"]
        ]
        return pd.DataFrame(found, columns=["method", "seed", "value", "settings", "default_score", "best_score"])

    @property
    def settings(self) -> str:
        """Options, seeds, scale and device in one line, numbers as trials really used them."""
        results = self.results
        swept = {results.sweep.option: ", ".join(map(_plain, results.sweep.values))} if results.sweep else {}
        words = {**{name: _plain(value) for name, value in results.options.items()}, **results.used, **swept}
        read = [option for option in results.problem.options if option.name in results.problem.data_options]
        for option in read:  # such as the column of labels, where the data set knows it
            if isinstance(option.default, str) and results.options[option.name] == option.default:
                del words[option.name]
        settings = [f"{name} {text}" for name, text in words.items() if text]
        seeds = f"{results.seeds} seed{'s' if results.seeds != 1 else ''}"
        return " · ".join([*settings, seeds, f"{results.scale} scale", results.device])

    @property
    def answer(self) -> str:
        """Who is best, and who is not told apart from it."""
        results, metric = self.results, self.results.metrics[0]
        sound = [row for row in results.rows if not row["errors"] and metric.name in row["metrics"]]
        if not sound:
            failed = all(row["errors"] for row in results.rows)
            return (
                "Every method had trials that failed; see below." if failed else f"No method tells its {metric.label}."
            )
        best, others = sound[0], [row["method"] for row in sound[1:] if row["tied_with_best"]]
        value = quantity(best["metrics"][metric.name]["mean"], metric.unit)
        over = f", the mean over {results.sweep.option}" if results.sweep else ""
        start = f"Best by {metric.words}{over}: {best['method']} ({value})"
        if results.seeds < 2:
            return f"{start}, but one seed cannot tell methods apart: run with --seeds 5 or more."
        if not others:
            return f"{start}{', told apart from all others' if len(sound) > 1 else ''}."
        listed = " and ".join(filter(None, [", ".join(others[:-1]), others[-1]]))
        return f"{start}; {listed} {'is' if len(others) == 1 else 'are'} not told apart from it."

    @property
    def ties(self) -> str:
        """What the mark of a tie means."""
        over = f"means over {self.results.sweep.option}; " if self.results.sweep else ""
        if self.results.seeds < 2:
            return "not judged: one seed cannot tell methods apart"
        return f"best, or not told apart from the best ({over}multiple comparisons with the best, paired by seed, {ALPHA:.0%})"

    def plain(self) -> dict[str, Any]:
        """JSON form, as ``replica compare --json`` prints it."""
        results = self.results
        return {
            "problem": results.problem.name,
            "data": results.source,
            "seeds": results.seeds,
            "scale": results.scale,
            "device": results.device,
            "options": dict(results.options),
            "sweep": {"option": results.sweep.option, "values": list(results.sweep.values)} if results.sweep else None,
            "rows": results.rows,
            "curves": results.curves.replace([np.inf, -np.inf], None).to_dict("records"),
            "left_out": dict(results.left_out),
            "output": results.output,
            "tuning": results.tuning.plain() if results.tuning else None,
            "errors": [
                {"method": row.subject.split("/")[-1], "seed": row.seed, "error": row.error, "traceback": row.traceback}
                for row in results.errors
            ],
        }

    def figure(self, name: Theme = "light") -> Picture:
        """The comparison's picture: curves over the sweep, and examples to look at. A notebook shows it."""
        with theme(name, formulas=False):
            figure = Picture(figsize=SIZE, layout="constrained")
            self.results.problem.draw(figure, self.results)
            return figure

    def report(self, path: Path | str) -> Path:
        """Write one self-contained HTML file.

        Raises:
            ReplicaError: If it cannot be written there.
        """
        path = Path(path)
        text = render(self, {name: self._svg(name) for name in ("light", "dark")})
        try:
            # Whole or not at all: a report that is being read is never half of one.
            with tempfile.NamedTemporaryFile(
                "w", dir=path.parent, suffix=".html", delete=False, encoding="utf-8", errors="backslashreplace"
            ) as file:
                try:
                    file.write(text)
                    file.close()
                    os.chmod(file.name, 0o644)
                    os.replace(file.name, path)
                except BaseException:
                    os.unlink(file.name)
                    raise
        except OSError as error:
            raise ReplicaError(
                f"The report cannot be written to {path} ({error.strerror}). Choose another place with --out FILE."
            ) from None
        return path

    def _svg(self, name: Theme) -> bytes:
        buffer = io.BytesIO()
        with theme(name, formulas=False):
            self.figure(name).savefig(buffer, format="svg", metadata={"Date": None})
        return buffer.getvalue()


def check_report_path(out: Path | None, problem: str, data: str | None) -> Path:
    """Where the report goes, checked before anything runs."""
    stem = f"replica-{problem}" + (f"-{Path(data).stem}" if data else "")
    path = out or Path(f"{stem}.html")
    if path.is_dir():
        path = path / f"{stem}.html"
    if path.suffix.lower() not in (".html", ".htm"):
        raise ReplicaError(
            f"The report's file must end in .html, not {path.name!r:.60}; choose another with --out FILE."
        )
    if path.exists() and not path.is_file():
        raise ReplicaError(f"{path} is there and is no plain file; choose another with --out FILE.html.")
    if not path.parent.is_dir():
        raise ReplicaError(
            f"There is no folder {path.parent} for the report; make it, or choose another place with --out FILE."
        )
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ReplicaError(f"The report cannot be written to {path}. Choose another place with --out FILE.")
    return path


def _plain(value: Value) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
