"""Arenas: a shared problem with fixed settings, in which a paper's method meets its rivals under the user's own protocol."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from replica.errors import ReplicaError
from replica.lab.claims.trial import Scale

Value = int | float | str
Point = dict[str, Value]
DEVELOPMENT_SEEDS = (100, 101, 102)
"""Seeds on whose held-out training rows hyperparameters are chosen; they are never judged."""


@dataclass(frozen=True)
class Contestant:
    """A method of an arena: an entry by its name in the problem, or a function ``make(trial, **settings)`` of the paper file."""

    method: str | Callable[..., Any]
    settings: Mapping[str, Any] = field(default_factory=dict)


class Arena:
    """A problem with fixed settings. Its trials are those of ``replica compare``: same protocol, store and keys.

    Args:
        problem: The problem's name.
        data: A named data set; the problem's default where None.
        fresh: Every seed draws a data set of its own (``mnist-1d:7``), so that the verdict is about its law, not one sample.
        choose: Hyperparameters to choose from, by name: for every method that takes them, at the end of training, by the ranking
            metric on held-out training rows of the development seeds. Nothing is chosen by test rows.
        smoke: Options that differ at smoke scale, where trials only show that they run.
        full: Options that differ at full scale, the paper's own size; ``data`` may be among them.
        **options: The problem's options.

    Example:
        >>> arena = Arena("credit", network="conv", epochs=12, choose={"learning_rate": (0.003, 0.01)})
        >>> arena.compare({"backprop": "backprop"}).over(depth=(4, 12)).sweep
        {'depth': (4, 12)}
    """

    def __init__(
        self,
        problem: str,
        *,
        data: str | None = None,
        fresh: bool = False,
        choose: Mapping[str, Sequence[Any]] | None = None,
        smoke: Mapping[str, Any] | None = None,
        full: Mapping[str, Any] | None = None,
        **options: Value,
    ) -> None:
        self.problem, self.data, self.fresh = problem, data, fresh
        self.choose = {name: tuple(values) for name, values in (choose or {}).items()}
        self._at: dict[Scale, dict[str, Any]] = {"smoke": dict(smoke or {}), "laptop": {}, "full": dict(full or {})}
        self._options = options

    def options(self, scale: Scale) -> dict[str, Value]:
        """The problem's options at a scale."""
        return {**self._options, **{name: value for name, value in self._at[scale].items() if name != "data"}}

    def source(self, scale: Scale, seed: int) -> str | None:
        """What a seed's data are called; None for the problem's default."""
        data: str | None = self._at[scale].get("data", self.data)
        return f"{data}:{seed}" if self.fresh and data and scale != "full" else data

    def compare(self, methods: Mapping[str, Any]) -> Comparison:
        """A study that runs these methods on the same data, budget and seeds.

        Args:
            methods: By label: the name of an entry or baseline of the problem (``"backprop"``), a function
                ``make(trial, **settings)`` of the paper file (entries are such), or a pair of one of these and settings.
        """
        return Comparison(self, {label: _contestant(label, method) for label, method in methods.items()})


@dataclass(frozen=True)
class Comparison:
    """A study: methods of an arena, over the values of some of its options. Its rows hold method, options and metrics."""

    arena: Arena
    methods: Mapping[str, Contestant]
    sweep: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)

    def over(self, **sweep: Sequence[Value]) -> Comparison:
        """Run it at every value of these options (every combination, where there are several)."""
        return replace(self, sweep={name: tuple(values) for name, values in sweep.items()})

    def points(self, scale: Scale) -> Iterator[Point]:
        """The swept options of each point; at smoke scale every name, but the first number alone."""
        sweep = {
            name: values if scale != "smoke" or isinstance(values[0], str) else values[:1]
            for name, values in self.sweep.items()
        }
        for values in itertools.product(*sweep.values()):
            yield dict(zip(sweep, values, strict=True))

    def candidates(self, label: str, takes: Container[str]) -> list[dict[str, Any]]:
        """The settings to choose from for a method: every combination of what it takes and leaves open."""
        fixed = dict(self.methods[label].settings)
        open_ = {name: values for name, values in self.arena.choose.items() if name in takes and name not in fixed}
        return [{**fixed, **dict(zip(open_, values, strict=True))} for values in itertools.product(*open_.values())]


def _contestant(label: str, method: Any) -> Contestant:
    settings: Mapping[str, Any] = {}
    if isinstance(method, tuple) and len(method) == 2 and isinstance(method[1], Mapping):
        method, settings = method
    if not isinstance(method, str) and not callable(method):
        raise ReplicaError(
            f"Method {label} of an arena must be an entry's name or a function of a trial, not {method!r:.60}."
        )
    return Contestant(method, dict(settings))
