"""Planned looks: how many seeds a claim is judged on, and how wide its intervals must be when there may be several looks.

Who looks again and again at growing data, each time with a 95 % interval, is misled in more than 5 % of studies. So all looks
are planned, and each uses one higher level (Pocock 1977), at which the intervals of *all* looks hold the truth together in 95 %
of studies. Then it does not matter when one stops. The levels are for Student's t on the same growing sample of normal values,
by simulation (``python -m docs.statistics``; ``tests/lab/test_looks.py`` repeats it for other measures too).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from .intervals import LEVEL

LOOKS = (5, 10, 20, 40)
_LEVELS = {
    (5, 10): 0.9720,
    (5, 20): 0.9737,
    (5, 40): 0.9742,
    (10, 20): 0.9714,
    (10, 40): 0.9734,
    (20, 40): 0.9709,
    (5, 10, 20): 0.9804,
    (5, 10, 40): 0.9814,
    (5, 20, 40): 0.9811,
    (10, 20, 40): 0.9798,
    (5, 10, 20, 40): 0.9848,
}


def nominal_level(looks: Sequence[int]) -> float:
    """The level of the interval at each of these looks, so that all looks together cover 95 %.

    Plans that are no selection of `LOOKS` get Bonferroni's level, which is a little wider than they need.

    Args:
        looks: Numbers of seeds, ascending.

    Raises:
        ValueError: If there is no look, or they do not ascend.

    Example:
        >>> nominal_level([5]), nominal_level([5, 10, 20, 40])
        (0.95, 0.9848)
    """
    plan = tuple(looks)
    if not plan or any(later <= earlier for earlier, later in itertools.pairwise(plan)):
        raise ValueError(f"nominal_level: looks must be ascending numbers of seeds, not {list(plan)}.")
    return _LEVELS.get(plan, 1 - (1 - LEVEL) / len(plan))


def next_look(looks: Sequence[int], done: int) -> int | None:
    """The number of seeds at the first look that needs more than ``done``; None where all looks are spent."""
    return min((look for look in looks if look > done), default=None)
