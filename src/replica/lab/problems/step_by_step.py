"""A base of problems: a method sees minibatch after minibatch, and may be asked at any time between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from replica.lab.claims import Trial

from .problem import Problem
from .protocol import copied, real_array, timed

if TYPE_CHECKING:
    from torch import Tensor


class StepByStep(Problem):
    """Problems in which a method is led along minibatches: a subclass lays the course and measures on the way.

    Its own calls go through a `Clock`, its scores through `scores`.
    """

    row: ClassVar[str] = "row"
    """What an error calls a row."""

    def scores(self, method: Any, inputs: Tensor, classes: int, *others: Any) -> NDArray[np.float32]:
        """What ``predict`` gives for a copy of the inputs, one score a row and class, checked; see `real_array`.

        A class that a method does not know may have the score −∞: it counts as the least number that there is.
        """
        import torch

        output = method.predict(copied(inputs), *others)
        if isinstance(output, torch.Tensor) and output.is_floating_point():
            output = output.detach().float().clamp_min(torch.finfo(torch.float32).min)
        elif isinstance(output, np.ndarray) and output.dtype.kind == "f":
            output = np.maximum(output, np.finfo(np.float32).min)
        return real_array(
            f"{type(method).__name__}.predict", output, (len(inputs), classes), f", scores of {self.row}s and classes",
            lambda index: f"{self.row} {index[0]}, class {index[1]}",
        )  # fmt: skip


@dataclass
class Clock:
    """Counts the wall seconds of a method's own calls, and of nothing else."""

    trial: Trial
    seconds: list[float] = field(default_factory=list)
    """Of each call."""

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call it with copies: a method may keep what it is given, and write into it."""
        given = [copied(argument) for argument in arguments]
        result, spent = timed(self.trial, lambda: function(*given))
        self.seconds.append(spent)
        return result

    def hook(self, method: Any, name: str, *arguments: Any) -> None:
        """Call what a method may have and need not."""
        if callable(getattr(method, name, None)):
            self.call(getattr(method, name), *arguments)
