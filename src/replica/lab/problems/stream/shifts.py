"""Shifts that make domains of one data set: the same classes, seen differently in each task."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SHIFTS = ("rotation", "permutation", "contrast")
_LESS = 0.75


def shifted(
    inputs: NDArray[np.float32], kind: str, task: int, tasks: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Show standardised inputs ``(count, *shape)`` as a task sees them; the first task sees them as they are.

    - ``rotation`` (of images): by task · 180° / tasks (Lopez-Paz & Ranzato, 2017); pixels from outside repeat the edge.
    - ``permutation``: values in an order drawn for each task (Goodfellow et al., 2014).
    - ``contrast``: three quarters of the contrast before, and every second task inverted.

    The random state is fresh, the same for every task of a trial.

    Example:
        >>> x = np.arange(4, dtype=np.float32).reshape(1, 2, 2)
        >>> shifted(x, "contrast", 1, 2, np.random.default_rng(0)).tolist()
        [[[-0.0, -0.75], [-1.5, -2.25]]]
    """
    if task == 0:
        return inputs
    if kind == "contrast":
        return inputs * np.float32((-_LESS) ** task)
    if kind == "permutation":
        size = int(np.prod(inputs.shape[1:]))
        order = [rng.permutation(size) for _ in range(task)][-1]
        return np.ascontiguousarray(inputs.reshape(len(inputs), size)[:, order].reshape(inputs.shape))
    return rotated(inputs, 180 * task / tasks)


def rotated(inputs: NDArray[np.float32], degrees: float) -> NDArray[np.float32]:
    """Turn images counterclockwise about their centre, by bilinear interpolation.

    Example:
        >>> rotated(np.array([[[1, 2], [3, 4]]], np.float32), 90).round(3).tolist()
        [[[2.0, 4.0], [1.0, 3.0]]]
    """
    import torch
    from torch.nn import functional

    from replica.training import as_images

    images = as_images(torch.from_numpy(inputs))
    angle = np.deg2rad(degrees)
    turn = torch.tensor([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], dtype=torch.float64)
    down, across = images.shape[2:]
    # In units of pixels from the centre, so that images that are not square are not sheared.
    y, x = torch.meshgrid(
        torch.arange(down, dtype=torch.float64) - (down - 1) / 2,
        torch.arange(across, dtype=torch.float64) - (across - 1) / 2,
        indexing="ij",
    )
    places = torch.stack([x, y], dim=-1) @ turn.T
    places = places * 2 / torch.tensor([max(across - 1, 1), max(down - 1, 1)], dtype=torch.float64)
    grid = places.float().expand(len(images), -1, -1, -1)
    turned = functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=True)
    if inputs.ndim == 3:
        turned = turned[:, 0]
    elif turned.shape[1:] != inputs.shape[1:]:
        turned = turned.movedim(1, 3)
    result: NDArray[np.float32] = turned.contiguous().numpy()
    return result
