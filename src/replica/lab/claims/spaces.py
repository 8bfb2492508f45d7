"""Search spaces of entries: what equal tuning may vary."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Uniform:
    """A real number from ``low`` to ``high``."""

    low: float
    high: float


@dataclass(frozen=True)
class LogUniform:
    """A positive real number from ``low`` to ``high``, uniform in its logarithm."""

    low: float
    high: float


@dataclass(frozen=True)
class Integer:
    """A whole number from ``low`` to ``high``, both included."""

    low: int
    high: int


@dataclass(frozen=True)
class Choice:
    """One of the values given."""

    values: tuple[object, ...]


Space = Uniform | LogUniform | Integer | Choice
