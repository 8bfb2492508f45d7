"""Where each problem lives, by name; nothing is imported before it is asked for."""

from __future__ import annotations

import difflib
import importlib
from functools import cache
from typing import TYPE_CHECKING

from replica.errors import ReplicaError

if TYPE_CHECKING:
    from .problem import Problem

PROBLEMS: dict[str, str] = {
    "recall": "replica.lab.problems.recall.problem:Recall",
    "classification": "replica.lab.problems.classification.problem:Classification",
    "regression": "replica.lab.problems.regression.problem:Regression",
    "operator": "replica.lab.problems.operator.problem:Operator",
    "stream": "replica.lab.problems.stream.problem:Stream",
    "credit": "replica.lab.problems.credit.problem:Credit",
    "events": "replica.lab.problems.events.problem:Events",
    "teacher": "replica.lab.problems.teacher.problem:Teacher",
    "similarity": "replica.lab.problems.similarity.problem:Similarity",
    "merge": "replica.lab.problems.merge.problem:Merge",
    "shift": "replica.lab.problems.shift.problem:Shift",
    "scaling": "replica.lab.problems.scaling.problem:Scaling",
    "pretext": "replica.lab.problems.pretext.problem:Pretext",
    "steer": "replica.lab.problems.steer.problem:Steer",
    "transport": "replica.lab.problems.transport.problem:Transport",
    "sample": "replica.lab.problems.sample.problem:Sampling",
}


def names() -> tuple[str, ...]:
    """The names of all problems.

    Example:
        >>> "recall" in names()
        True
    """
    return tuple(PROBLEMS)


@cache
def get(name: str) -> Problem:
    """Find a problem by its name.

    Raises:
        ReplicaError: If there is none of this name; it names the nearest and all there are.

    Example:
        >>> get("recall").name
        'recall'
    """
    if name not in PROBLEMS:
        near = difflib.get_close_matches(str(name).lower(), PROBLEMS, n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise ReplicaError(f"There is no problem {str(name)!r}.{hint} Problems: {', '.join(PROBLEMS)}.")
    module, _, attribute = PROBLEMS[name].partition(":")
    problem: Problem = getattr(importlib.import_module(module), attribute)()
    return problem
