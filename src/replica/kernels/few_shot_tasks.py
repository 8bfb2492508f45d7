"""Tasks with few examples of each class, drawn from a pool of points."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor


class FewShotTasks(NamedTuple):
    """Few-shot tasks: examples to learn from and others to be told, as numbers in a pool of points, with their labels.

    Attributes:
        support: ``(tasks, examples)``.
        support_labels: likewise.
        query: ``(tasks, queries)``.
        query_labels: likewise.
    """

    support: Int[Tensor, "tasks examples"]
    support_labels: Int[Tensor, "tasks examples"]
    query: Int[Tensor, "tasks queries"]
    query_labels: Int[Tensor, "tasks queries"]


def one_shot_tasks(
    count: int, classes: Int[np.ndarray, " classes"], *, ways: int, copies: int, rng: np.random.Generator
) -> FewShotTasks:
    """Tasks of some classes each: one copy of each class to learn from, and another to be told.

    Args:
        count: tasks.
        classes: to draw from; point ``copies · c + i`` of the pool is copy i of class c.
        ways: classes a task, labelled from 0 in the order drawn.
        copies: of each class.
        rng: draws them.

    Raises:
        ValueError: if there are fewer classes than ways, or fewer copies than two.

    Example:
        >>> import numpy as np
        >>> from replica.kernels import one_shot_tasks
        >>> one_shot_tasks(7, np.arange(10), ways=5, copies=20, rng=np.random.default_rng(0)).query.shape
        torch.Size([7, 5])
    """
    if not 1 <= ways <= len(classes):
        raise ValueError(f"ways: got {ways}, want 1 to {len(classes)}, the classes")
    if copies < 2:
        raise ValueError(f"copies: got {copies}, want 2 or more")
    chosen = np.stack([rng.choice(classes, ways, replace=False) for _ in range(count)])
    drawn = np.stack([[rng.choice(copies, 2, replace=False) for _ in range(ways)] for _ in range(count)])
    pairs = torch.from_numpy(chosen[:, :, None] * copies + drawn)
    labels = torch.arange(ways).expand(count, ways)
    return FewShotTasks(pairs[..., 0], labels, pairs[..., 1], labels)
