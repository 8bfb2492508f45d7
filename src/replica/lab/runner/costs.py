"""What a trial of each method costs, so that a comparison runs cheap methods first."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
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
