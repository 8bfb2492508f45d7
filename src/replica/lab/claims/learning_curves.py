"""What judges read off a learning curve: how many examples an error needs, and how fast it falls."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Needed:
    """How many examples, or units of whatever was swept, an error takes to come down to its target.

    A curve that ends above its target is censored: it needs more than the largest number tried, nobody knows how many. One
    that starts at the target needs the smallest number or fewer. The number lies from ``low`` to ``high``, which are equal
    where the curve crosses its target.

    **In a judge**, take the end of the range that speaks against the claim, so that a censored curve can only weaken it: ``low``
    where the claim says that this method needs more, ``high`` where it says that it needs fewer. ``high`` is infinite where the
    target was not reached, and a measure must be finite: take ``value`` there and return ``float(needed.censored)`` as a measure
    of its own, under a gate such as ``gates.not_reached = "below 0.2"``, so that too many of them are *not tested at this
    scale* and no verdict. Leave censored points out of no slope: end the sweep where they begin, for all methods alike.

    Args:
        low: The least number that the curve allows.
        high: The greatest.

    Example:
        >>> ours, theirs = samples_needed([10, 100], [0.5, 0.05], 0.1), samples_needed([10, 100], [0.5, 0.2], 0.1)
        >>> round(ours.value), theirs, round(theirs.low / ours.high, 1)  # theirs needs at least twice as many
        (50, Needed(low=100.0, high=inf), 2.0)
    """

    low: float
    high: float

    @property
    def value(self) -> float:
        """The number, or the end of the range at which it left the numbers tried."""
        return self.low if self.low > 0 else self.high

    @property
    def censored(self) -> bool:
        """Whether the target was never reached, or reached from the start."""
        return self.low < self.high

    def __float__(self) -> float:
        return self.value


def samples_needed(n: ArrayLike, error: ArrayLike, target: float) -> Needed:
    """The n at which an error that falls with n comes down to a target, between those tried by a straight line in logarithms.

    Errors that rise with n are noise: the curve is first made to fall everywhere, by pooling neighbours that are out of order
    (isotonic regression of the error's logarithm; of the error itself where one is 0).

    Args:
        n: Numbers tried, positive and rising, two or more.
        error: The error at each, 0 or more.
        target: The error that is asked for, above 0.

    Raises:
        ValueError: If lengths differ, numbers are out of range, or ``n`` does not rise.
    """
    from scipy.optimize import isotonic_regression  # takes a third of a second to import

    sizes, errors = _curve("samples_needed", n, error)
    if not (math.isfinite(target) and target > 0):
        raise ValueError(f"samples_needed: target must be positive and finite, not {target}.")
    # Where an error is 0 its logarithm is no number; the line is then straight in the error.
    scale = np.log if (errors > 0).all() else np.asarray
    falling = isotonic_regression(scale(errors), increasing=False).x
    goal = float(scale(target))
    # Pooling takes means, whose last digit may lie above a target that every one of them met.
    reached = np.flatnonzero(falling <= goal + 1e-12 * max(1.0, abs(goal)))
    if not len(reached):
        return Needed(float(sizes[-1]), math.inf)
    first = int(reached[0])
    if first == 0:
        return Needed(0.0, float(sizes[0]))
    before, here = falling[first - 1], falling[first]
    share = min(1.0, (before - goal) / (before - here))
    crossing = float(np.exp(np.log(sizes[first - 1]) + share * np.log(sizes[first] / sizes[first - 1])))
    return Needed(crossing, crossing)


def exponent(n: ArrayLike, error: ArrayLike, last: int | None = None) -> float:
    """The exponent β of error ∝ n^−β: least squares in logarithms, positive where the error falls.

    Args:
        n: Numbers tried, positive and rising.
        error: The error at each, above 0.
        last: How many points count, from the largest n down; two or more. All by default. Choose it before you look: a curve's
            first points bend.

    Raises:
        ValueError: If lengths differ, numbers are out of range, ``n`` does not rise, or fewer than two points are left.

    Example:
        >>> round(exponent([10, 100, 1000], [0.4, 0.1, 0.025]), 3)
        0.602
    """
    sizes, errors = _curve("exponent", n, error)
    if not (errors > 0).all():
        raise ValueError(f"exponent: errors must be above 0, not {errors.tolist()}.")
    count = len(sizes) if last is None else last
    if not 2 <= count <= len(sizes):
        raise ValueError(f"exponent: last must be from 2 to {len(sizes)}, the points given, not {last}.")
    logs = np.log(sizes[-count:])
    away = logs - logs.mean()
    return float(-(away @ np.log(errors[-count:])) / (away @ away))


def _curve(name: str, n: ArrayLike, error: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    sizes, errors = np.asarray(n, np.float64), np.asarray(error, np.float64)
    if sizes.ndim != 1 or sizes.shape != errors.shape or len(sizes) < 2:
        raise ValueError(
            f"{name}: n and error must be of one length, two or more, not {sizes.shape} and {errors.shape}."
        )
    if not (sizes[0] > 0 and (np.diff(sizes) > 0).all() and np.isfinite(sizes).all()):
        raise ValueError(f"{name}: n must be positive and rise, not {sizes.tolist()}.")
    if not (np.isfinite(errors).all() and (errors >= 0).all()):
        raise ValueError(f"{name}: errors must be finite and 0 or more, not {errors.tolist()}.")
    return sizes, errors
