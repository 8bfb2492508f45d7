"""The HTML report: one file that needs nothing else."""

from __future__ import annotations

import base64
import json
import math
import shlex
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import jinja2

from replica.lab.catalogue import records
from replica.lab.runner.compare import Results

from .quantities import quantity, span_text
from .tuned_settings import tuned_mark, tuned_methods, tuning_rule, untuned

if TYPE_CHECKING:
    from replica.lab.problems.problem import Metric

    from .comparison import Comparison

BAR_WIDTH, BAR_MARGIN = 132, 5


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("replica.lab.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("report.html")


def render(comparison: Comparison, pictures: Mapping[str, bytes]) -> str:
    """The report of a comparison, with its picture (SVG) in a light and a dark version. All texts are escaped."""
    results = comparison.results
    versions = next((row.machine for method in results.methods for row in method.rows.values()), {})
    return _template().render(
        comparison=comparison,
        results=results,
        rows=[_row(row, results.metrics[0], _ends(results)) for row in results.rows],
        bar_ends=_ends(results),
        bar_width=BAR_WIDTH,
        pictures={
            name: "data:image/svg+xml;base64," + base64.b64encode(data).decode() for name, data in pictures.items()
        },
        alt=f"{results.metrics[0].label} of each method"
        + (f" over {results.sweep.option}" if results.sweep else "")
        + ", and examples.",
        points=_points(results),
        errors={(error.subject, error.error): error for error in results.errors}.values(),
        versions=versions,
        tuned=tuned_methods(results),
        untuned=untuned(results),
        tuning_rule=tuning_rule(results),
        marks={row["method"]: tuned_mark(results, row["method"]) for row in results.rows},
        baselines=[baseline.name for baseline in results.problem.baselines()],
        command=_command(results),
        notebook=_notebook(results),
        data=_script_json(comparison.plain()),
        quantity=quantity,
        span_text=span_text,
    )


def _row(row: Mapping[str, Any], metric: Metric, ends: tuple[float, float]) -> dict[str, Any]:
    """A table row with what the template shows beside its values: the paper, and a picture of the ranking interval."""
    known = records().get(row["paper"] or "")
    first = row["metrics"].get(metric.name)
    bar = None
    if first:
        low, high = (first[end] if first[end] is not None else ends[at] for at, end in enumerate(("low", "high")))
        bar = {name: _place(value, ends) for name, value in (("low", low), ("high", high), ("mean", first["mean"]))}
    return {**row, "url": known.url if known else "", "title": known.title if known else "", "bar": bar}


def _place(value: float, ends: tuple[float, float]) -> float:
    """Where a value stands in the bar, in its pixels."""
    return round(BAR_MARGIN + (BAR_WIDTH - 2 * BAR_MARGIN) * (value - ends[0]) / ((ends[1] - ends[0]) or 1.0), 1)


def _ends(results: Results) -> tuple[float, float]:
    """The scale of the bars: 0 to 1 for shares, else from the lowest to the highest end of all intervals."""
    metric = results.metrics[0]
    if metric.unit.startswith("share"):
        return 0.0, 1.0
    spans = [row["metrics"][metric.name] for row in results.rows if metric.name in row["metrics"]]
    ends = [end for span in spans for end in (span["low"], span["high"], span["mean"]) if end is not None]
    return (min(ends), max(ends)) if ends else (0.0, 1.0)


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


def _arguments(results: Results) -> dict[str, Any]:
    """What a comparison is asked for with, in the words of `replica.compare`."""
    own = [f"{m.method.source}:{m.method.attribute}" for m in results.methods if m.method.attribute]
    given = {
        "data": results.source if results.source != results.problem.default_data else None,
        "entries": own,
        **_settings(results),
        "sweep": {results.sweep.option: list(results.sweep.values)} if results.sweep else None,
        "only": list(results.only),
        "tune": results.tuning.trials if results.tuning else 0,
    }
    return {name: value for name, value in given.items() if name in results.options or value}


def _command(results: Results) -> str:
    words = ["replica", "compare", results.problem.name]
    for name, value in _arguments(results).items():
        if isinstance(value, dict):
            value = [f"{option}={','.join(map(str, values))}" for option, values in value.items()]
        flag = "--entry" if name == "entries" else f"--{name.replace('_', '-')}"
        words += [word for one in (value if isinstance(value, list) else [value]) for word in (flag, str(one))]
    words += ["--seeds", str(results.seeds), "--scale", results.scale]
    return shlex.join([*words, *(["--device", results.device] if results.device != "cpu" else [])])


def _notebook(results: Results) -> str:
    given = {**_arguments(results), "seeds": results.seeds}
    given |= {"scale": results.scale} if results.scale != "laptop" else {}
    given |= {"device": results.device} if results.device != "cpu" else {}
    arguments = [repr(results.problem.name), *(f"{name}={value!r}" for name, value in given.items())]
    return f"import replica\n\ncomparison = replica.compare({', '.join(arguments)})\ncomparison.table"


def _script_json(value: Any) -> str:
    """JSON that may stand inside a script element: no character of it can end the element."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
