"""What one inference of a network costs: its own count where it has one, else the multiply-accumulates PyTorch counts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from replica.errors import ReplicaError


def cost_of_inference(method: Any, events: Any) -> tuple[float, float]:
    """Operations and spikes of one inference, mean over recordings: by the method's ``operations``, if any."""
    from replica.training import multiply_accumulates

    own = getattr(method, "operations", None)
    if not callable(own):
        return multiply_accumulates(lambda: method.predict(events.clone())) / len(events), 0.0
    name, given = f"{type(method).__name__}.operations", own(events.clone())
    if not isinstance(given, Mapping) or "operations" not in given:
        told = (
            f"names {', '.join(map(repr, given)) or 'nothing'}" if isinstance(given, Mapping) else type(given).__name__
        )
        raise ReplicaError(f"{name} returned {told}; wanted a mapping with 'operations' and 'spikes' of one inference.")
    numbers = []
    for key in ("operations", "spikes"):
        value = given.get(key, 0.0)
        try:
            number = float(value)
        except (TypeError, ValueError, RuntimeError):
            raise ReplicaError(f"{name} returned {value!r:.60} for {key!r}; wanted a number.") from None
        if not (math.isfinite(number) and number >= 0):
            raise ReplicaError(f"{name} returned {number:g} for {key!r}; wanted a finite number, 0 or more.")
        numbers.append(number)
    return numbers[0], numbers[1]
