"""The targets of the problem teacher: what can be chosen, and the teacher that a trial draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from replica.data.sets.teachers.dynamic_signals import DynamicSignals
from replica.data.sets.teachers.hierarchical_polynomials import HierarchicalPolynomial
from replica.data.sets.teachers.key_averages import KeyAverage
from replica.data.sets.teachers.linear import LinearTeacher
from replica.data.sets.teachers.local_fields import LocalField
from replica.data.sets.teachers.teacher import Examples, Teacher
from replica.errors import ReplicaError
from replica.lab.claims import Trial
from replica.lab.problems.problem import Value

Options = Mapping[str, Value]


@dataclass(frozen=True)
class Target:
    """A kind of structure.

    Args:
        description: What it is, in one line.
        dim: The dimension where the user gives none.
        draw: Makes a teacher by options and a random state.
        reads: The options that it depends on, besides ``dim`` and ``noise``.
    """

    description: str
    dim: int
    draw: Callable[[Options, int, np.random.Generator], Teacher]
    reads: tuple[str, ...] = ()


def _linear(options: Options, dim: int, rng: np.random.Generator) -> Teacher:
    return LinearTeacher(dim, float(options["noise"]), rng)


def _dsd(options: Options, dim: int, rng: np.random.Generator) -> Teacher:
    return DynamicSignals(int(options["patches"]), dim, float(options["noise"]), rng)


def _local(options: Options, dim: int, rng: np.random.Generator) -> Teacher:
    return LocalField(int(options["patches"]), dim, int(options["reach"]), float(options["noise"]), rng)


def _polynomial(options: Options, dim: int, rng: np.random.Generator) -> Teacher:
    degrees = int(options["degree"]), int(options["outer_degree"])
    return HierarchicalPolynomial(dim, *degrees, float(options["noise"]), rng)


def _keys(options: Options, dim: int, rng: np.random.Generator) -> Teacher:
    return KeyAverage(int(options["patches"]), dim, int(options["degree"]), float(options["noise"]), rng)


TARGETS: Mapping[str, Target] = {
    "dsd": Target("one patch of many holds a signal whose sign is the target, the others hold noise", 16, _dsd, ("patches",)),
    "linear": Target("a linear function of Gaussian inputs", 100, _linear),
    "local": Target("a sum of random functions of few patches side by side", 2, _local, ("patches", "reach")),
    "polynomial": Target("a polynomial of a polynomial of Gaussian inputs", 12, _polynomial, ("degree", "outer_degree")),
    "keys": Target("an average over keys by how they match a query", 8, _keys, ("patches", "degree")),
}  # fmt: skip
READ_BY_SOME = tuple(dict.fromkeys(name for target in TARGETS.values() for name in target.reads))
"""Options that some targets do not depend on."""


def told() -> str:
    """The targets in words."""
    return "; ".join(f"{target.description} ({name})" for name, target in TARGETS.items())


def dimension(options: Options) -> int:
    """The dimension that is meant: of a patch, or of a row without patches."""
    return int(options["dim"]) or TARGETS[str(options["target"])].dim


def teacher(options: Options, rng: np.random.Generator) -> Teacher:
    """Draw the teacher of a trial.

    Raises:
        ReplicaError: If options do not go together.
    """
    try:
        return TARGETS[str(options["target"])].draw(options, dimension(options), rng)
    except ValueError as error:
        raise ReplicaError(f"Target {options['target']}: {error}.") from None


def drawn(known: Teacher, part: str, count: int, trial: Trial) -> Examples:
    """Draw a trial's examples of a teacher, or rows to test, from a stream of their own."""
    return known.examples(count, trial.rng(part))
