"""Reading limits as people write them."""

from __future__ import annotations

import math
import re

from replica.errors import ReplicaError

LONGEST_SECONDS = 1e8
MOST_BYTES = 2**60
MOST_SEEDS = 10_000

_UNITS = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}


def read_bytes(option: str, text: str | None) -> int | None:
    """``"500MB"``, ``"4 GiB"`` or plain bytes.

    Raises:
        ReplicaError: If it is none of these, or not positive.
    """
    if text is None:
        return None
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?i?b?)\s*", text.lower())
    unit = match and (match[2] if match[2] in _UNITS else match[2] + "b")
    if not match or unit not in _UNITS or float(match[1]) * _UNITS[unit] < 1:
        raise ReplicaError(f"{option} must be an amount of memory such as 500MB or 4GB, not {text!r}.")
    return min(int(float(match[1]) * _UNITS[unit]), MOST_BYTES)


def positive(option: str, value: float | None) -> float | None:
    """The number itself where it is positive; at most what the system's clocks can count.

    Raises:
        ReplicaError: If it is not.
    """
    if value is not None and not (value > 0 and math.isfinite(value)):
        raise ReplicaError(f"{option} must be a positive number, not {value:g}.")
    return value and min(value, LONGEST_SECONDS)


def number_of_seeds(value: int | None) -> int | None:
    """The number itself where so many trials can be planned.

    Raises:
        ReplicaError: If they cannot.
    """
    if value is not None and not 1 <= value <= MOST_SEEDS:
        raise ReplicaError(f"--seeds must be a whole number from 1 to {MOST_SEEDS}, not {value}.")
    return value
