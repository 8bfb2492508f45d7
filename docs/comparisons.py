"""Record each problem's default comparison for the site: ``python -m docs.comparisons [PROBLEM...]``.

What ``replica compare PROBLEM`` gives, without options, goes to ``docs/site/comparisons``: the whole report
(``recall.html``), its table (``recall.json``) and its picture in light and dark (``recall-light.png``). What trials cost goes to
`replica.lab.runner.costs`.
"""

from __future__ import annotations

import json
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import replica
from replica.lab.problems.registry import names
from replica.lab.report import Comparison
from replica.lab.runner.costs import RECORDED

FOLDER = Path(__file__).parent / "site" / "comparisons"
THEMES = ("light", "dark")


def record(problem: str, folder: Path = FOLDER) -> Path:
    """Run a problem's default comparison (what the store lacks of it) and write its record."""
    comparison = replica.compare(problem)
    folder.mkdir(parents=True, exist_ok=True)
    comparison.report(folder / f"{problem}.html")
    for name in THEMES:
        comparison.figure(name).savefig(folder / f"{problem}-{name}.png", dpi=110)
    record_costs(problem, {row["method"]: row["seconds"] for row in comparison.results.rows})
    path = folder / f"{problem}.json"
    path.write_text(json.dumps(plain(comparison), ensure_ascii=False, indent=1, allow_nan=False) + "\n")
    return path


def record_costs(problem: str, seconds: dict[str, float], path: Path = RECORDED) -> None:
    """Write what trials cost beside what is recorded of the other problems."""
    text = path.read_text()
    tables = [text[: text.index("\n[")].strip()]
    for name, costs in sorted({**tomllib.loads(text), problem: seconds}.items()):
        rows = (f"{method} = {cost:.2g}" for method, cost in sorted(costs.items(), key=lambda row: row[1]))
        tables.append("\n".join([f"[{name}]", *rows]))
    path.write_text("\n\n".join(tables) + "\n")


def plain(comparison: Comparison) -> dict[str, Any]:
    """What the site shows of a comparison; when and on which machine it was measured."""
    results = comparison.results
    machine = next((row.machine for method in results.methods for row in method.rows.values()), {})
    given = comparison.plain()
    return {
        "recorded": datetime.now(UTC).date().isoformat(),
        "machine": dict(machine),
        "data": results.dataset.description,
        "settings": comparison.settings,
        "answer": comparison.answer,
        "ties": comparison.ties,
        "metrics": [
            {"name": metric.name, "unit": metric.unit, "better": metric.better, "label": metric.label}
            for metric in results.metrics
        ],
        "rows": given["rows"],
        "left_out": given["left_out"],
    }


def main() -> None:
    """Record the problems named on the command line, or all."""
    for problem in sys.argv[1:] or names():
        print(f"Recorded: {record(problem)}")


if __name__ == "__main__":
    main()
