"""The proximal operator that turns a monotone splitting into mean-field inference.

Feng, Winston and Kolter 2023, "Monotone deep Boltzmann machines", arXiv 2307.04990. Their letters: step α (`step`),
the function f whose proximal operator is the softmax (negative entropy less half the squared norm, on the simplex).
"""

import warnings
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

_NEWTON_STEPS = 60
_FLOOR = 1e-30


def softmax_prox(
    points: Float[Tensor, "... states"],
    step: float,
    *,
    start: Float[Tensor, "... states"] | None = None,
    precision: float = 0.0,
) -> Float[Tensor, "... states"]:
    r"""Proximal operator of α f, where f(x) = Σ_i x_i ln x_i − ½ ‖x‖² on the probability simplex.

    It is the x on the simplex that minimises ½ ‖x − y‖² + α f(x). With α = 1 the squares cancel and it is softmax(y);
    as α → 0 it becomes the projection onto the simplex. f is convex: along the simplex, Σ x ln x curves by at least 2.
    The minimum has α ln x_i + (1 − α) x_i = y_i + ν with the ν that makes x sum to 1; Newton's method finds all
    ln x_i and ν at once, at the price of one exponential a step.

    Args:
        points: y, shape (..., states); each row is brought to the simplex by itself.
        step: α, above 0 and at most 1.
        start: probabilities to start Newton's method from, such as the last iterate of a solver. Default softmax(y).
        precision: Newton's method stops when no probability moves by more, or by more than rounding does.

    Returns:
        x, positive up to rounding, rows that sum to 1. Differentiable once with respect to `points`.

    Raises:
        ValueError: if `step` is not above 0 and at most 1.

    Warns:
        RuntimeWarning: if Newton's method has not come to the precision, as with points that are no numbers.

    Source: Feng et al. 2023, Section 3 (the authors solve the same equations by two nested Newton methods).

    Example:
        >>> import torch
        >>> from replica.memory import softmax_prox
        >>> points = torch.tensor([0.9, 0.3, -2.0])
        >>> softmax_prox(points, 1e-4).round(decimals=2).tolist()  # nearly the projection
        [0.800000011920929, 0.20000000298023224, 0.0]
        >>> bool(torch.allclose(softmax_prox(points, 1.0), points.softmax(-1)))
        True
    """
    if not 0 < step <= 1:
        raise ValueError(f"step: got {step}, want above 0 and at most 1")
    if step == 1:
        return points.softmax(-1)
    with torch.no_grad():
        x = _newton(points.detach(), step, start, precision)
    if not points.requires_grad:
        return x
    # The implicit function theorem: dx = w ⊙ (dy + dν), w = x / (α + (1 − α) x), with dν keeping the sum.
    weights = x / (step + (1 - step) * x)
    change = points - points.detach()
    return x + weights * (change - (weights * change).sum(-1, keepdim=True) / weights.sum(-1, keepdim=True))


def _newton(points: Tensor, step: float, start: Tensor | None, precision: float) -> Tensor:
    # In place where it can be: the steps are many, and their arithmetic is little.
    # ν takes up the shift; smaller numbers round less.
    points = points - _over_states(torch.maximum, torch.amax, points)
    log_x = points.log_softmax(-1) if start is None else start.clamp_min(_FLOOR).log_()
    precision = max(precision, 8 * torch.finfo(points.dtype).eps)
    x = log_x.exp()
    for _ in range(_NEWTON_STEPS):
        slope = torch.add(x, step / (1 - step)).mul_(1 - step)  # α + (1 − α) x
        misfit = (step * log_x).add_(x, alpha=1 - step).sub_(points)
        weights = x / slope
        total = _sum(weights)
        multiplier = _sum(x).neg_().add_(1).add_(_sum(weights.mul_(misfit))).div_(total)
        move = (multiplier - misfit).div_(slope)
        log_x.add_(move).clamp_max_(0.0)  # no probability is above 1: a step too long to the right is cut
        before, x = x, log_x.exp()
        # Against the rounding of the numbers that the move came from.
        moved = before.sub_(x).abs_().div_(misfit.abs_().div_(slope).add_(1))
        if bool((moved <= precision).all()):
            break
    else:
        warnings.warn(
            f"softmax_prox: not within {precision:g} after {_NEWTON_STEPS} steps", RuntimeWarning, stacklevel=3
        )
    return x.div_(_sum(x))


def _over_states(pair: Callable[[Tensor, Tensor], Tensor], reduce: Callable[..., Tensor], rows: Tensor) -> Tensor:
    """Keeps the axis; two states by one operation on the pair, in a tenth of the time of a reduction."""
    return pair(rows[..., :1], rows[..., 1:]) if rows.shape[-1] == 2 else reduce(rows, -1, keepdim=True)


def _sum(rows: Tensor) -> Tensor:
    return _over_states(torch.add, torch.sum, rows)
