"""Labelled greyscale images, the form in which every image data set comes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Images:
    """Greyscale images of one size with one label each.

    Args:
        values: Brightness in [0, 1], float32, shape ``(count, height, width)``.
        labels: Class numbers, int64, shape ``(count,)``.

    Raises:
        ValueError: If the shapes do not fit each other.

    Example:
        >>> images = Images(np.zeros((2, 8, 8), np.float32), np.array([3, 5]))
        >>> len(images)
        2
    """

    values: NDArray[np.float32] = field(repr=False)
    labels: NDArray[np.int64] = field(repr=False)

    def __post_init__(self) -> None:
        if self.values.ndim != 3:
            raise ValueError(f"Images: values must have shape (count, height, width), not {self.values.shape}.")
        if self.labels.shape != self.values.shape[:1]:
            raise ValueError(f"Images: labels must have shape {self.values.shape[:1]}, not {self.labels.shape}.")

    def __len__(self) -> int:
        return len(self.values)
