"""What a method of the problem stream is told before its stream begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

Setting = Literal["class", "task", "domain"]


@dataclass(frozen=True)
class StreamInfo:
    """The form of a stream; nothing of its data.

    Args:
        shape: The shape of one item: ``(height, width)``, ``(features,)``, …
        classes: How many classes there will be in all: `predict` gives a score for each.
        setting: ``"class"``, ``"task"`` or ``"domain"``.
        tasks: How many tasks there will be; None where boundaries are untold.
        task_classes: The classes of each task, in order; None where boundaries are untold.
        epochs: How often each item of a task passes.
        batch: Items a minibatch, at most.
        device: Where inputs and labels live.
    """

    shape: tuple[int, ...]
    classes: int
    setting: Setting
    tasks: int | None
    task_classes: tuple[tuple[int, ...], ...] | None
    epochs: int
    batch: int
    device: torch.device

    @property
    def told(self) -> bool:
        """Whether the method is told where tasks begin and end."""
        return self.tasks is not None
