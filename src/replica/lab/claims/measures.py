"""What one trial reports: numbers, and shares of yes/no outcomes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Proportion:
    """A share of yes/no outcomes, kept with its counts so that its interval can know how many there were.

    Args:
        successes: How many came out yes.
        total: How many there were.

    Raises:
        ValueError: If ``total`` is not positive or ``successes`` lies outside ``[0, total]``.

    Example:
        >>> float(Proportion(9, 10))
        0.9
    """

    successes: int
    total: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "successes", int(self.successes))
        object.__setattr__(self, "total", int(self.total))
        if self.total < 1 or not 0 <= self.successes <= self.total:
            raise ValueError(
                f"Proportion: successes must lie in [0, total] and total be positive, not {self.successes} of {self.total}."
            )

    def __float__(self) -> float:
        return self.successes / self.total


def to_plain(measures: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a trial's measures into JSON values: numbers, or ``{"successes", "total"}``.

    Raises:
        ValueError: If a measure is no number, or is NaN or infinite: that is an error, never a result.
    """
    if not isinstance(measures, Mapping) or not measures:
        raise ValueError(f"A trial must return a mapping of measures with at least one entry, not {measures!r:.80}.")
    plain: dict[str, Any] = {}
    for name, value in measures.items():
        if isinstance(value, Proportion):
            plain[str(name)] = {"successes": value.successes, "total": value.total}
            continue
        try:
            number = float(value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"Measure {name!r} must be a number or a Proportion, not {value!r:.80}.") from error
        if not math.isfinite(number):
            raise ValueError(f"Measure {name!r} is {number}: not a finite number.")
        plain[str(name)] = number
    return plain


def from_plain(value: Any) -> float | Proportion:
    """Read back one measure written by `to_plain`."""
    if isinstance(value, Mapping):
        return Proportion(int(value["successes"]), int(value["total"]))
    return float(value)
