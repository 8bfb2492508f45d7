"""Sweeps: an option of a problem that takes several values in turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from replica.errors import ReplicaError
from replica.lab.catalogue import nearest
from replica.lab.catalogue.printable import printable
from replica.lab.problems.problem import Dataset, Problem, Value


class Sweep(NamedTuple):
    """An option that takes several values in turn."""

    option: str
    values: tuple[Value, ...]

    @property
    def example(self) -> Value:
        """The value at which examples are made."""
        return self.values[len(self.values) // 2]


def read_sweep(sweep: Mapping[str, Sequence[Value]] | None) -> Sweep | None:
    """A sweep as it is written in Python: one option with its values."""
    if sweep is None:
        return None
    if len(sweep) != 1:
        raise ReplicaError(f"A sweep takes one option, not {len(sweep)}.")
    ((name, values),) = sweep.items()
    return Sweep(name, tuple(values))


MOST = 10_000_000


def check_values(options: Mapping[str, Value]) -> None:
    """See that no option of a problem is a number beyond all use, by which something is planned without end, or is no text."""
    for name, value in options.items():
        if isinstance(value, str):
            if not value.isprintable():
                raise ReplicaError(f"Option {name} must be printable text, not {printable(ascii(value), 60)}.")
        elif not abs(value) <= MOST:
            raise ReplicaError(f"Option {name} must be a number up to {MOST:,}, not {value!s:.40}.")


def checked_sweep(
    problem: Problem,
    dataset: Dataset,
    sweep: Sweep | None,
    given: Mapping[str, Value],
    resolved: Mapping[str, Value],
    tune: int,
) -> Sweep | None:
    """The sweep that the user asks for, else the problem's own where it fits; every point of it is checked against the data."""

    def check(point: Mapping[str, Value]) -> None:
        check_values(point)
        problem.check(dataset, point)
        if tune:
            problem.check_validation(dataset, point)

    found = _asked(problem, sweep, given) if sweep else _usual(problem, given, resolved, check)
    points = [{**resolved, found.option: value} for value in found.values] if found else [resolved]
    for point in points:
        check(point)
        if found and problem.metrics_for(point) != problem.metrics_for(points[0]):
            raise ReplicaError(
                f"Option {found.option} changes what is measured, so it cannot be swept; run once with each value."
            )
    return found


def _usual(
    problem: Problem,
    given: Mapping[str, Value],
    resolved: Mapping[str, Value],
    check: Callable[[dict[str, Value]], None],
) -> Sweep | None:
    """The problem's own sweep; on a small file of the user's it shrinks to what that can bear."""
    if problem.default_sweep is None or problem.default_sweep[0] in given:
        return None
    option, values = problem.default_sweep
    fitting = []
    for value in values:
        with suppress(ReplicaError):
            check({**resolved, option: value})
            fitting.append(value)
    return Sweep(option, tuple(fitting)) if len(fitting) > 1 else None


def _asked(problem: Problem, sweep: Sweep, given: Mapping[str, Value]) -> Sweep:
    known = {option.name: option for option in problem.options}
    name = sweep.option
    if name in problem.data_options:
        raise ReplicaError(f"Option {name} says how the data is read, so it cannot be swept; run once with each.")
    if name not in known:
        near, listed = nearest(name, known), ", ".join(known)
        raise ReplicaError(f"Problem {problem.name} has no option {name!r} to sweep.{near} It has: {listed}.")
    if name in given:
        raise ReplicaError(f"Option {name} is both set and swept; give only one of the two.")
    values = tuple(dict.fromkeys(known[name].parse(value) for value in sweep.values))
    if len(values) < 2:
        raise ReplicaError(
            f"A sweep needs two different values or more, such as --sweep {name}=10,30; got {len(values)}."
        )
    return Sweep(name, values)
