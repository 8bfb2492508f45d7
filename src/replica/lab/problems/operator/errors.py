"""How far predicted functions lie from the true ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def relative_errors(
    predicted: NDArray[np.float32],
    truth: NDArray[np.float32],
    spacing: tuple[float, ...] | None = None,
    periodic: bool = False,
) -> NDArray[np.float64]:
    """Give ‖û − u‖ / ‖u‖ of each sample ``(channels, *grid)``, in L2 or, where the spacing h of each axis is given, in H1.

    ‖u‖²_{H1} is the mean of u² over nodes and channels and, summed over axes, the mean of (u_{i+1} − u_i)² / h² over
    neighbouring nodes; on a periodic axis the first follows the last.

    Example:
        >>> u = np.linspace(0, 1, 101)[None, None]
        >>> relative_errors(2 * u, u).tolist(), relative_errors(u + 1, u, spacing=(0.01,)).round(2).tolist()
        ([1.0], [0.87])
    """

    def squared_norm(values: NDArray[np.float64]) -> NDArray[np.float64]:
        total = np.square(values).reshape(len(values), -1).mean(axis=1)
        for axis, step in enumerate(spacing or (), start=2):
            following = np.roll(values, -1, axis) if periodic else np.delete(values, 0, axis)
            slopes = (following - (values if periodic else np.delete(values, -1, axis))) / step
            total = total + np.square(slopes).reshape(len(values), -1).mean(axis=1)
        return np.asarray(total)

    right = truth.astype(np.float64)
    return np.asarray(np.sqrt(squared_norm(predicted.astype(np.float64) - right) / squared_norm(right)))
