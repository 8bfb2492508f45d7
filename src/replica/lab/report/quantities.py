"""Numbers as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def quantity(value: float | None, unit: str = "") -> str:
    """A number with three significant digits, seconds and bytes in the unit that suits them; None is an interval without end."""
    if value is None:
        return "∞"
    if unit.split(" ")[0] == "s" and value:  # also "s a cue"
        for scale, name in ((1, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")):
            if abs(value) >= scale:
                return f"{value / scale:.3g} {name}"
    if unit == "bytes":
        for scale, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
            if abs(value) >= scale:
                return f"{value / scale:.3g} {name}"
        return f"{value:.0f} B"
    return f"{value:.3g}" if abs(value) < 1e3 else f"{value:,.0f}"


def span_text(measured: Mapping[str, Any], unit: str = "") -> str:
    """The ends of an interval, or nothing where it has none or they read the same; a cost is not shown below zero."""
    low, high = measured["low"], measured["high"]
    if low is not None and unit.split(" ")[0] in ("s", "bytes"):
        low = max(low, 0.0)
    ends = ("−∞" if low is None else quantity(low, unit), quantity(high, unit))
    return "" if ends[0] == ends[1] or (low is None and high is None) else f"{ends[0]} – {ends[1]}"
