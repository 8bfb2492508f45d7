"""Descent on all data at once, in double precision, to where the gradient vanishes: for landscapes that theory describes."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Descent(NamedTuple):
    """Where a descent ended.

    Attributes:
        tensors: as given, moved.
        loss: there.
        gradient_norm: of all tensors together.
        steps: that were taken.
    """

    tensors: list[Tensor]
    loss: float
    gradient_norm: float
    steps: int


def lbfgs_descent(
    loss: Callable[..., Tensor], starts: Sequence[Tensor], *, steps: int = 10_000, tolerance: float = 1e-9
) -> Descent:
    """Minimises a smooth loss of some tensors by L-BFGS (SciPy's), from a start.

    Args:
        loss: takes the tensors, gives a number with a graph.
        starts: tensors to begin from; they are not changed, and taken to double precision.
        steps: at most; with 0 the loss and its gradient at the start are found.
        tolerance: it ends when no entry of the gradient is larger, or when steps no longer help in double precision.

    Raises:
        ValueError: if there is no start, or `steps` is negative.

    Example:
        >>> end = lbfgs_descent(lambda x: ((x - 3) ** 2).sum(), [torch.zeros(2)])
        >>> end.tensors[0].round(decimals=4)
        tensor([3., 3.], dtype=torch.float64)
    """
    from scipy.optimize import minimize

    if not starts or steps < 0:
        raise ValueError(
            f"starts, steps: got {len(starts)} tensors and {steps}, want one or more, and steps of 0 or more"
        )
    shapes = [start.shape for start in starts]
    sizes = [start.numel() for start in starts]

    def parts(flat: NDArray[np.float64]) -> list[Tensor]:
        split = torch.from_numpy(flat.copy()).split(sizes)
        return [part.reshape(shape) for part, shape in zip(split, shapes, strict=True)]

    def value_and_gradient(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        tensors = [part.requires_grad_() for part in parts(flat)]
        value = loss(*tensors)
        slopes = torch.autograd.grad(value, tensors)
        return float(value.detach()), torch.cat([slope.reshape(-1) for slope in slopes]).numpy()

    begin = torch.cat([start.detach().double().cpu().reshape(-1) for start in starts]).numpy()
    if steps == 0:
        value, slope = value_and_gradient(begin)
        return Descent(parts(begin), value, float(np.linalg.norm(slope)), 0)
    options = {"maxiter": steps, "maxfun": 2 * steps, "gtol": tolerance, "ftol": 1e-16, "maxcor": 20}
    found = minimize(value_and_gradient, begin, jac=True, method="L-BFGS-B", options=options)
    return Descent(parts(found.x), float(found.fun), float(np.linalg.norm(found.jac)), int(found.nit))
