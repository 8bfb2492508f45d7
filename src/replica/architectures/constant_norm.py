"""Constant-norm encoding: conditions as points on circles, so that no condition is larger than another.

Gonzalez Ortiz, Guttag and Dalca 2023, "Magnitude Invariant Parametrizations Improve Hypernetwork Learning",
arXiv 2304.07645. Their letters: condition γ (`conditions`), encoding E_L2.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def constant_norm_encoding(conditions: Float[Tensor, "... count"]) -> Float[Tensor, "... twice_count"]:
    """Places each condition on a quarter of the unit circle: E(γ) = [cos(πγ/2), sin(πγ/2)] for γ in [0, 1].

    ‖E(γ)‖ = √count whatever γ is. From −2 to 2 (open at one end) no two conditions have the same code; beyond
    that codes repeat, so bring other ranges to [0, 1] first, by logarithms where they span decades.

    Args:
        conditions: γ, shape (..., count), floating point.

    Returns:
        All cosines, then all sines: shape (..., 2 · count).

    Raises:
        ValueError: if `conditions` has no dimension or is not of a floating-point type.

    Source: Gonzalez Ortiz et al. 2023, input encoding E_L2 (Figure 2).

    Example:
        >>> import torch
        >>> from replica.architectures import constant_norm_encoding
        >>> constant_norm_encoding(torch.tensor([[0.0], [1 / 3], [1.0]])).round(decimals=3).tolist()
        [[1.0, 0.0], [0.8659999966621399, 0.5], [-0.0, 1.0]]
    """
    if conditions.dim() < 1 or not conditions.is_floating_point():
        raise ValueError(
            f"conditions: got shape {tuple(conditions.shape)} of {conditions.dtype}, want (..., count), floating point"
        )
    angle = conditions * (math.pi / 2)
    return torch.cat([angle.cos(), angle.sin()], dim=-1)
