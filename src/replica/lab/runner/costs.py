"""What a trial of each method costs, so that a comparison runs cheap methods first."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

from .store import Store

RECORDED = Path(__file__).with_suffix(".toml")


def seconds_of_trials(problem: str, methods: Iterable[str], store_path: Path) -> dict[str, float]:
    """Mean seconds of a trial by method: of those in the store, else as recorded with Replica; 0 where neither knows.

    A method that nobody has run yet is mostly the user's own, whose result is wanted most: it comes first.
    """
    recorded = tomllib.loads(RECORDED.read_text()).get(problem, {})
    subjects = {f"{problem}/{method}": method for method in methods}
    with Store(store_path) as store:
        measured = store.mean_seconds(subjects)
    return {method: measured.get(subject, recorded.get(method, 0.0)) for subject, method in subjects.items()}


def record_costs(costs: Mapping[str, Mapping[str, float]], path: Path = RECORDED) -> None:
    """Write what was measured of problems beside what is recorded of the others."""
    text = path.read_text()
    head = text[: text.index("\n[")]
    tables = []
    for problem, known in sorted({**tomllib.loads(text), **costs}.items()):
        rows = (f"{method} = {seconds:.2g}" for method, seconds in sorted(known.items(), key=lambda row: row[1]))
        tables.append("\n".join([f"[{problem}]", *rows]))
    path.write_text("\n\n".join([head.strip(), *tables]) + "\n")
