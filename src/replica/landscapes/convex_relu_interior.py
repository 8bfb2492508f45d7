"""Two-layer ReLU networks trained to a global optimum: the convex programme, solved to many digits by an interior point."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .convex_relu_admm import ConvexReluSolution, checked, dual_bound


def convex_relu_interior(
    inputs: Float[Tensor, "rows dim"],
    targets: Float[Tensor, "rows outputs"],
    patterns: Bool[Tensor, "patterns rows"],
    *,
    penalty: float,
    steps: int = 100,
    tolerance: float = 1e-6,
) -> ConvexReluSolution:
    """The programme of `convex_relu_admm`, by a primal-dual method with Mehrotra's corrector (Nocedal, Wright 2006, Sec. 16.6).

    ADMM is at a good network after a few cheap steps, and needs thousands for four digits of the optimum; this takes some twenty
    to forty steps for any number of digits. Constraints get slacks z > 0 and multipliers λ > 0 with λz = μ → 0, and the norm of a
    pattern's weights v a dual ω = β²v/(μ + √(μ² + β²‖v‖²)), the gradient of its barrier's minimum over t of βt − μ ln(t² − ‖v‖²).
    A step's matrix is F'F plus a block for each pattern, X'diag(λ/z)X plus the norm's curvature: signs of constraints cancel.
    So one Cholesky factor of ``rows`` × ``rows`` does, and small ones of ``dim`` × ``dim``, not a dense one patterns · dim wide.
    Works in float64 whatever it is given; memory grows as (rows + patterns) · dim².

    Args:
        inputs: X; a column of ones stands for biases.
        targets: y, a column an output. Outputs share no units.
        patterns: the diagonals of D_i; see `activation_patterns` and `sampled_patterns`.
        penalty: β.
        steps: iterations for each output, at most.
        tolerance: it stops when `ConvexReluSolution.gap` is below.

    Returns:
        The solution; its history holds the objective at each step, summed over outputs that are done.

    Raises:
        ValueError: if shapes do not fit, or a number is out of range.

    Example:
        >>> import torch
        >>> from replica.landscapes import activation_patterns, convex_relu_interior
        >>> X = torch.tensor([[-1.0, 1.0], [0.0, 1.0], [1.0, 1.0]], dtype=torch.float64)
        >>> found = convex_relu_interior(X, X[:, :1].abs(), activation_patterns(X), penalty=0.01)
        >>> round(found.objective, 4), found.gap < 1e-6, found.network()(X).detach().round(decimals=2).flatten().tolist()
        (0.0199, True, [0.99, 0.01, 0.99])
    """
    checked(inputs, targets, patterns, penalty, steps)
    # In units of their own: β moves with both. A column of zeros has the unit 1.
    size = float(inputs.square().mean().sqrt()) or 1.0
    rows_of, kind = inputs.double() / size, inputs.dtype
    weights, objective, bound, taken, history = [], 0.0, 0.0, 0, []
    for column in targets.double().T:
        unit = float(column.square().mean().sqrt()) or 1.0
        programme = _Programme(rows_of, patterns, penalty / (size * unit))
        found, course, below = programme.solve(column / unit, steps, tolerance)
        history += [(taken + step, objective + value * unit**2) for step, value in enumerate(course, 1)]
        taken, objective, bound = taken + len(course), objective + min(course) * unit**2, bound + below * unit**2
        weights.append((found * unit / size).to(kind))
    return ConvexReluSolution(torch.stack(weights), objective, bound, taken, history)


class _Programme:
    """What all outputs share. Weights are (2, patterns, dim), v before w; constraints (2, patterns, rows)."""

    def __init__(self, inputs: Tensor, patterns: Tensor, penalty: float) -> None:
        self.inputs, self.active, self.penalty = inputs, patterns.to(inputs), penalty
        self.sides = 2 * self.active - 1
        self.signs = inputs.new_tensor([1.0, -1.0])[:, None, None]
        self.products = (inputs[:, :, None] * inputs[:, None, :]).flatten(1)

    def fitted(self, weights: Tensor) -> Tensor:
        return (((weights[0] - weights[1]) @ self.inputs.T) * self.active).sum(0)

    def adjoint(self, residual: Tensor) -> Tensor:
        return self.signs * ((self.active * residual) @ self.inputs)

    def solve(self, y: Tensor, steps: int, tolerance: float) -> tuple[Tensor, list[float], float]:
        """Weights of the least objective met, the network's objective at each step, and the best lower bound of the optimum."""
        shape = (2, *self.active.shape)
        weights = y.new_zeros(2, len(self.active), self.inputs.shape[1])
        slacks, multipliers = y.new_ones(shape), y.new_ones(shape)
        course: list[float] = []
        best, bound, least, idle = weights, 0.0, torch.inf, 0
        for _ in range(steps):
            residual = self.fitted(weights) - y
            reached = weights @ self.inputs.T
            pushed = (self.sides * multipliers) @ self.inputs
            network, linear, below = self._looked(weights, y, residual, reached, pushed)
            if not course or network < min(course):
                best = weights
            course.append(network)
            bound = max(bound, below)
            gap = max(abs(network - bound), abs(linear - bound))
            idle = 0 if gap < least else idle + 1
            least = min(gap, least)
            if gap <= tolerance * network or idle == 8:  # rounding allows no more
                break
            primal = self.sides * reached - slacks
            try:
                moved = self._newton(weights, slacks, multipliers, self.adjoint(residual) - pushed, primal)
            except RuntimeError:  # likewise
                break
            _, wider, higher = moved(torch.zeros_like(slacks))
            ahead = (slacks + _longest(slacks, wider) * wider) * (multipliers + _longest(multipliers, higher) * higher)
            mu = (slacks * multipliers).mean()
            step, wider, higher = moved((ahead.mean() / mu) ** 3 * mu - wider * higher)
            length = 0.99 * min(_longest(slacks, wider), _longest(multipliers, higher))
            weights = weights + length * step
            slacks, multipliers = slacks + length * wider, multipliers + length * higher
        return best, course, bound

    def _newton(
        self, weights: Tensor, slacks: Tensor, multipliers: Tensor, slope: Tensor, primal: Tensor
    ) -> Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]:
        """Steps of weights, slacks and multipliers to λz = what is wanted and to both residuals 0, to first order.

        ``slope`` is F'(Fv − y) − A'λ, ``primal`` what constraints lack.
        """
        (count, rows), dim = self.active.shape, self.inputs.shape[1]
        mu = float((slacks * multipliers).mean())
        root = (mu**2 + self.penalty**2 * weights.square().sum(-1, keepdim=True)).sqrt()
        share = self.penalty**2 / (mu + root)
        ratio = multipliers / slacks
        bent = (share**2 / root)[..., None] * weights[..., :, None] * weights[..., None, :]
        blocks = (ratio.flatten(0, 1) @ self.products).view(2, count, dim, dim) - bent
        # Near the end λ/z spans twenty orders: rounding alone could make a block indefinite.
        lift = 4 * dim * torch.finfo(share.dtype).eps * blocks.diagonal(dim1=-2, dim2=-1).amax(-1, keepdim=True)
        blocks.diagonal(dim1=-2, dim2=-1).add_(share + lift)
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(blocks))
        wide = (self.inputs @ torch.linalg.cholesky(inverse.sum(0))) * self.active[..., None]
        wide = wide.transpose(0, 1).flatten(1)
        factor = torch.linalg.cholesky(torch.addmm(torch.eye(rows).to(wide), wide, wide.T))

        def solved(right: Tensor) -> Tensor:
            free = (inverse @ right[..., None])[..., 0]
            correction = torch.cholesky_solve(self.fitted(free)[:, None], factor)[:, 0]
            return free - (inverse @ self.adjoint(correction)[..., None])[..., 0]

        def applied(step: Tensor) -> Tensor:
            curved = share * step - (bent @ step[..., None])[..., 0]
            return self.adjoint(self.fitted(step)) + curved + (ratio * (step @ self.inputs.T)) @ self.inputs

        def moved(wanted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            right = (
                (self.sides * (wanted / slacks - multipliers - ratio * primal)) @ self.inputs - slope - share * weights
            )
            step = solved(right)
            for _ in range(2):  # refined, since the bound needs more digits than the factors keep
                step = step + solved(right - applied(step))
            wider = self.sides * (step @ self.inputs.T) + primal
            return step, wider, (wanted - multipliers * wider) / slacks - multipliers

        return moved

    def _looked(
        self, weights: Tensor, y: Tensor, residual: Tensor, reached: Tensor, pushed: Tensor
    ) -> tuple[float, float, float]:
        """Objective with ReLUs as they are and with each unit's pattern in their place, and a lower bound of the optimum."""
        norms = self.penalty * float(weights.norm(dim=-1).sum())
        network = (reached.clamp_min(0) * self.signs).sum((0, 1)) - y
        cone = pushed - self.adjoint(residual)
        below = dual_bound(-residual[None], y[None], cone.norm(dim=-1).amax()[None] / self.penalty)
        return norms + float(network.square().sum()) / 2, norms + float(residual.square().sum()) / 2, below


def _longest(values: Tensor, step: Tensor) -> float:
    """The longest step, 1 at most, that leaves no value below 0."""
    return 1 / max(1.0, float((-step / values).max()))
