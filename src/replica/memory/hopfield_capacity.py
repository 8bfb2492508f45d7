"""How many random patterns a modern Hopfield network stores: exponentially many in their dimension.

Ramsauer et al. 2020, "Hopfield Networks is All You Need", arXiv 2008.02217, Theorem 3.
"""

import math

from scipy.special import lambertw
from torch import Tensor


def storage_bound(
    dim: int, *, beta: float = 1.0, radius_factor: float = 1.0, failure_probability: float = 0.001
) -> tuple[float, float]:
    """How many random patterns on a sphere are surely stored, and the base of that exponential (Theorem 3).

    N ≥ √p c^((d−1)/4), with a = 2/(d−1) (1 + ln(2βK²p(d−1))), b = 2K²β/5, c = b / W₀(exp(a + ln b)), for
    patterns on the sphere of radius K√(d−1), with probability 1 − p.

    Args:
        dim: d, at least 2.
        beta: inverse temperature β.
        radius_factor: K.
        failure_probability: p in (0, 1].

    Returns:
        The number of patterns N, and c. N is NaN where the theorem is silent: c < (2/√p)^(4/(d−1)).

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> from replica.memory import storage_bound
        >>> count, base = storage_bound(20, radius_factor=3.0)
        >>> round(count, 1), round(base, 4)
        (7.4, 3.1546)
    """
    if dim < 2:
        raise ValueError(f"dim: got {dim}, want 2 or more")
    if not 0 < failure_probability <= 1:
        raise ValueError(f"failure_probability: got {failure_probability}, want a number in (0, 1]")
    if not radius_factor > 0:
        raise ValueError(f"radius_factor: got {radius_factor}, want a number above 0")
    _check_beta(beta)
    square = radius_factor**2
    shift = 2 / (dim - 1) * (1 + math.log(2 * beta * square * failure_probability * (dim - 1)))
    scale = 2 * square * beta / 5
    base = scale / lambertw(math.exp(shift + math.log(scale))).real
    if base < (2 / math.sqrt(failure_probability)) ** (4 / (dim - 1)):
        return math.nan, float(base)
    return math.sqrt(failure_probability) * float(base) ** ((dim - 1) / 4), float(base)


def _check_beta(beta: float | Tensor) -> None:
    if isinstance(beta, Tensor):
        if beta.numel() != 1:
            raise ValueError(f"beta: got a tensor of shape {tuple(beta.shape)}, want one number")
    elif not (beta > 0 and math.isfinite(beta)):
        raise ValueError(f"beta: got {beta}, want a finite number above 0")
