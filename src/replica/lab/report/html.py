"""The HTML report: one file that needs nothing else."""

from __future__ import annotations

import base64
import json
import math
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jinja2

from replica.lab.catalogue import records
from replica.lab.runner.compare import Results

from .quantities import quantity

if TYPE_CHECKING:
    from .comparison import Comparison


def render(comparison: Comparison, pictures: Mapping[str, bytes]) -> str:
    """The report of a comparison, with its picture (SVG) in a light and a dark version. All texts are escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("replica.lab.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    results = comparison.results
    versions = next((row.machine for method in results.methods for row in method.rows.values()), {})
    return environment.get_template("report.html").render(
        comparison=comparison,
        results=results,
        rows=[_row(results, row) for row in results.rows],
        pictures={
            name: "data:image/svg+xml;base64," + base64.b64encode(data).decode() for name, data in pictures.items()
        },
        alt=f"{results.metrics[0].label} of each method"
        + (f" over {results.sweep.option}" if results.sweep else "")
        + ", and examples.",
        points=_points(results),
        errors={(error.subject, error.error): error for error in results.errors}.values(),
        versions=versions,
        command=_command(results),
        notebook=_notebook(results),
        data=_script_json(comparison.plain()),
        quantity=quantity,
    )


def _row(results: Results, row: Mapping[str, Any]) -> dict[str, Any]:
    """A table row with what the template shows: texts, values to sort by, a picture of the ranking metric's interval."""
    known = records().get(row["paper"] or "")
    spans = [
        span for other in results.rows for name, span in other["metrics"].items() if name == results.metrics[0].name
    ]
    ends = [end for span in spans for end in (span["low"], span["high"], span["mean"]) if end is not None]
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)

    def place(value: float) -> float:
        return 4 + 92 * (value - low) / (high - low or 1)

    first = row["metrics"].get(results.metrics[0].name)
    bar = None
    if first:
        bar = {
            "low": place(first["low"] if first["low"] is not None else low),
            "high": place(first["high"] if first["high"] is not None else high),
            "mean": place(first["mean"]),
        }
    return {**row, "url": known.url if known else "", "title": known.title if known else "", "bar": bar}


def _points(results: Results) -> dict[tuple[str, Any], dict[str, Any]]:
    """The ranking metric's point of every curve, by method and value of the sweep; an end at infinity is None."""
    curves = results.curves
    points = curves[curves.metric == results.metrics[0].name].replace([math.inf, -math.inf], None).to_dict("records")
    return {(point["method"], point["value"]): {str(key): value for key, value in point.items()} for point in points}


def _settings(results: Results) -> dict[str, Any]:
    """Options that differ from the defaults, and the sweep's."""
    defaults = {option.name: option.default for option in results.problem.options}
    swept = results.sweep.option if results.sweep else None
    return {name: value for name, value in results.options.items() if name != swept and value != defaults[name]}


def _command(results: Results) -> str:
    words = ["replica", "compare", results.problem.name]
    if results.dataset.name != results.problem.default_data:
        words += ["--data", results.dataset.name]
    for method in results.methods:
        if method.method.attribute:
            words += ["--entry", f"{method.method.source}:{method.method.attribute}"]
    for name, value in _settings(results).items():
        words += [f"--{name}", str(value)]
    if results.sweep:
        words += ["--sweep", f"{results.sweep.option}={','.join(map(str, results.sweep.values))}"]
    return shlex.join([*words, "--seeds", str(results.seeds), "--scale", results.scale])


def _notebook(results: Results) -> str:
    arguments = [repr(results.problem.name)]
    if results.dataset.name != results.problem.default_data:
        arguments.append(f"data={results.dataset.name!r}")
    own = [f"{m.method.source}:{m.method.attribute}" for m in results.methods if m.method.attribute]
    if own:
        arguments.append(f"entries={own!r}")
    arguments += [f"{name}={value!r}" for name, value in _settings(results).items()]
    if results.sweep:
        arguments.append(f"sweep={{{results.sweep.option!r}: {list(results.sweep.values)!r}}}")
    arguments.append(f"seeds={results.seeds}")
    return f"import replica\n\ncomparison = replica.compare({', '.join(arguments)})\ncomparison.table"


def _script_json(value: Any) -> str:
    """JSON that may stand inside a script element: no character of it can end the element."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
