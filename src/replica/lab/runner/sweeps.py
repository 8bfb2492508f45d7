"""Sweeps: an option of a problem that takes several values in turn."""

from __future__ import annotations

from collections.abc import Mapping
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


MOST = 10_000_000


def check_values(options: Mapping[str, Value]) -> None:
    """See that no option of a problem is a number beyond all use, by which something is planned without end, or is no text."""
    for name, value in options.items():
        if isinstance(value, str):
            if not value.isprintable():
                raise ReplicaError(f"Option {name} must be printable text, not {printable(ascii(value), 60)}.")
        elif not abs(value) <= MOST:
            raise ReplicaError(f"Option {name} must be a number up to {MOST:,}, not {value!s:.40}.")


def _check_point(problem: Problem, dataset: Dataset, options: Mapping[str, Value], tune: int) -> None:
    check_values(options)
    problem.check(dataset, options)
    if tune:
        problem.check_validation(dataset, options)


def checked_sweep(
    problem: Problem,
    dataset: Dataset,
    sweep: Sweep | None,
    given: Mapping[str, Value],
    resolved: Mapping[str, Value],
    tune: int,
) -> Sweep | None:
    """The sweep that the user asks for, else the problem's own where it fits; every point of it is checked against the data."""
    found = _read_sweep(problem, dataset, sweep, given, resolved, tune)
    points = [{**resolved, found.option: value} for value in found.values] if found else [resolved]
    for point in points:
        _check_point(problem, dataset, point, tune)
        if found and problem.metrics_for(point) != problem.metrics_for(points[0]):
            raise ReplicaError(
                f"Option {found.option} changes what is measured, so it cannot be swept; run once with each value."
            )
    return found


def _read_sweep(
    problem: Problem,
    dataset: Dataset,
    sweep: Sweep | None,
    given: Mapping[str, Value],
    resolved: Mapping[str, Value],
    tune: int,
) -> Sweep | None:
    known = {option.name: option for option in problem.options}
    if sweep is None:
        if problem.default_sweep is None:
            return None
        option, values = problem.default_sweep
        if option in given:
            return None
        fitting = []
        for value in values:
            try:
                _check_point(problem, dataset, {**resolved, option: value}, tune)
            except ReplicaError:
                continue  # a small file of the user's: the default sweep shrinks to what it can bear
            fitting.append(value)
        return Sweep(option, tuple(fitting)) if len(fitting) > 1 else None
    if sweep.option in problem.data_options:
        raise ReplicaError(
            f"Option {sweep.option} says how the data is read, so it cannot be swept; run once with each."
        )
    if sweep.option not in known:
        raise ReplicaError(
            f"Problem {problem.name} has no option {sweep.option!r} to sweep.{nearest(sweep.option, known)}"
            f" It has: {', '.join(known)}."
        )
    if sweep.option in given:
        raise ReplicaError(f"Option {sweep.option} is both set and swept; give only one of the two.")
    values = tuple(dict.fromkeys(known[sweep.option].parse(value) for value in sweep.values))
    if len(values) < 2:
        raise ReplicaError(
            f"A sweep needs two different values or more, such as --sweep {sweep.option}=10,30; got {len(values)}."
        )
    return Sweep(sweep.option, values)
