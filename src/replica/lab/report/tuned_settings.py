"""What tuning found, as people read it."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import numpy as np

from replica.lab.claims import Choice
from replica.lab.runner.compare import Results
from replica.lab.runner.tuning import MethodTuning

from .quantities import quantity


class Hyperparameter(NamedTuple):
    """One hyperparameter of a method: where it started, where it was searched, and where it ended."""

    name: str
    searched: str
    default: str
    found: str
    """The median over seeds and points, with the range; of choices the most frequent, with how often."""


class TunedMethod(NamedTuple):
    """A method's line in the table of what was tuned."""

    name: str
    hyperparameters: tuple[Hyperparameter, ...]
    default_score: str
    best_score: str
    trials: int
    failed: int
    first_error: str
    seconds: str

    @property
    def troubles(self) -> str:
        """Trials that failed, in words; empty for none."""
        return f"{self.failed:,} failed ({self.first_error})" if self.failed else ""


def tuned_methods(results: Results) -> list[TunedMethod]:
    """One line for each method that was tuned, in rank order."""
    tuning = results.tuning
    if tuning is None:
        return []
    lines = []
    for name in [result.method.name for result in results.methods if result.method.name in tuning.methods]:
        method = tuning.methods[name]
        scores = (method.default_score, method.best_score)
        default, best = ("failed" if s is None else quantity(s, tuning.metric.unit) for s in scores)
        errors = [row.error for row in method.failed]
        seconds = quantity(method.seconds, "s")
        first = errors[0] if errors else ""
        held = _hyperparameters(method)
        lines.append(TunedMethod(name, held, default, best, method.trials, len(errors), first, seconds))
    return lines


def untuned(results: Results) -> list[str]:
    """The methods that declare no search space, in rank order."""
    tuned = results.tuning.methods if results.tuning else {}
    return [result.method.name for result in results.methods if result.method.name not in tuned]


def tuning_rule(results: Results) -> str:
    """What was done, in one sentence; empty without tuning."""
    tuning = results.tuning
    if tuning is None:
        return ""
    at = f" at each value of {results.sweep.option}" if results.sweep else ""
    return (
        f"Tuned by {tuning.metric.words} on validation data held out from training, never "
        f"on test data: {tuning.trials} trials for each method with a search space, in each seed{at}; "
        f"{tuning.total:,} trials took {quantity(tuning.seconds, 's')} in all."
    )


def tuned_mark(results: Results, method: str) -> str:
    """Whether a method was tuned, in the words of its table row."""
    if results.tuning is None or method not in results.tuning.methods:
        return "nothing to tune"
    return f"tuned in {results.tuning.trials} trials"


def _hyperparameters(method: MethodTuning) -> tuple[Hyperparameter, ...]:
    chosen = [method.settings(place) for place in method.found]
    return tuple(
        Hyperparameter(
            name,
            ", ".join(map(_shown, space.values))
            if isinstance(space, Choice)
            else f"{_shown(space.low)} – {_shown(space.high)}",
            _shown(method.defaults[name]),
            _found([settings[name] for settings in chosen]),
        )
        for name, space in method.space.items()
    )


def _found(values: list[Any]) -> str:
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) < len(values):  # words and switches, or a default of another kind than the space
        (value, count), *others = Counter(map(_shown, values)).most_common()
        return f"{value} ({count} of {len(values)})" if others else value
    low, middle, high = (_shown(float(q)) for q in np.quantile(numbers, (0, 0.5, 1)))
    return middle if low == high else f"{middle} ({low} – {high})"


def _shown(value: Any) -> str:
    return quantity(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
