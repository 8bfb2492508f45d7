"""Two-layer ReLU networks whose hinge loss is least at the worst input nearby: the robust convex programme."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .convex_relu_admm import ConvexReluSolution, checked


def robust_convex_relu(
    inputs: Float[Tensor, "rows dim"],
    labels: Float[Tensor, " rows"],
    patterns: Bool[Tensor, "patterns rows"],
    *,
    radius: Float[Tensor, " dim"],
    penalty: float,
    steps: int = 2000,
    tolerance: float = 1e-3,
    look_every: int = 20,
) -> ConvexReluSolution:
    """Hinge loss of a two-layer ReLU network under the worst change of each row within a box (Bai, Gautam, Sojoudi 2022, Sec. 4).

    min Σ_k [1 − y_k x_k'q_k + Σ_j ε_j |q_kj|]₊ + β Σ_i (‖v_i‖ + ‖w_i‖), q_k = Σ_i D_i,kk (v_i − w_i), subject to
    (2D_i,kk − 1) x_k'v_i ≥ Σ_j ε_j |v_ij| and the same of w_i: no change of a row within the box changes a unit's pattern. The
    objective bounds the network's worst loss from above. Alternating as `convex_relu_admm`, with a bound r_i ≥ Σ_j ε_j |v_ij| as
    a further unknown a unit; the linear system, patterns · (dim + 1) wide, is factorised once.

    Args:
        inputs: X; a column of ones stands for biases, of radius 0.
        labels: y, −1 and 1.
        patterns: the diagonals of D_i; those that no change within the box disturbs are of use.
        radius: ε, how far each input can be moved. All 0 for the plain hinge loss.
        penalty: β.
        steps: iterations, at most.
        tolerance: it stops when bound and objective are as near, as a share of the objective.
        look_every: iterations between two looks at objective and bound.

    Returns:
        The solution; its objective is the programme's own, an upper bound on worst loss plus penalty.

    Raises:
        ValueError: if shapes do not fit, or a number is out of range.
    """
    checked(inputs, labels[:, None], patterns, penalty, steps)
    if radius.shape != inputs.shape[1:] or not (radius >= 0).all():
        raise ValueError(f"radius: got {radius.tolist()}, want {inputs.shape[1]} numbers of 0 or more")
    if not (labels.abs() == 1).all():
        raise ValueError("labels: got others than −1 and 1, want these alone")
    rows, dim = inputs.shape
    count = len(patterns)
    active = patterns.T.to(inputs.dtype)
    sides = 2 * active - 1
    signs = inputs.new_tensor([1.0, -1.0])[:, None, None]
    kappa, eta = 5 * dim / float(inputs.square().sum()), 4 / (rows * count) ** 0.5
    margins = labels[:, None] * inputs  # c_k: the hinge is [1 − c_k'q + ε'|q|]₊
    # A unit's unknowns are v and r: the rows of constraints on them are (±x, −1).
    faces = torch.cat(
        [sides.T[..., None] * inputs, -torch.ones_like(active.T)[..., None]], -1
    )  # patterns × rows × dim + 1
    ridge = torch.eye(dim + 1, dtype=inputs.dtype, device=inputs.device)
    ridge[:dim, :dim] *= 2
    blocks = ridge + kappa * faces.mT @ faces
    sums = torch.linalg.inv(blocks)  # v + w: apart for each pattern
    size = count * (dim + 1)
    overlap = torch.zeros(count, dim + 1, count, dim + 1, dtype=inputs.dtype, device=inputs.device)
    overlap[:, :dim, :, :dim] = torch.einsum("ij,ab->iajb", 2 * eta * active.T @ active, ridge[:dim, :dim] / 2)
    index = torch.arange(count, device=inputs.device)
    overlap[index, :, index] += blocks
    factor = torch.linalg.cholesky(overlap.view(size, size))  # v − w: coupled by the fit

    rho = penalty**0.5 * 5
    units = inputs.new_zeros(2, count, dim + 1)  # v, r and w, r
    norms_at, norms_dual = (inputs.new_zeros(2, count, dim) for _ in range(2))
    boxes, boxes_dual = (torch.zeros_like(units) for _ in range(2))
    slacks, slacks_dual = (inputs.new_zeros(2, count, rows) for _ in range(2))
    fits, fits_dual = (inputs.new_zeros(rows, dim) for _ in range(2))
    history: list[tuple[int, float]] = []
    bound, objective, step, next_change = 0.0, torch.inf, 0, 10
    for step in range(1, steps + 1):
        right = boxes - boxes_dual + kappa * torch.einsum("spk,pkd->spd", slacks - slacks_dual, faces)
        right[..., :dim] += norms_at - norms_dual + eta * signs * (active.T @ (fits - fits_dual))
        plus = torch.einsum("pd,pde->pe", right.sum(0), sums)
        minus = torch.cholesky_solve((right[0] - right[1]).reshape(size, 1), factor).view(count, dim + 1)
        units = torch.stack([plus + minus, plus - minus]) / 2
        faced = torch.einsum("pkd,spd->spk", faces, units)
        reached = active @ (units[0, :, :dim] - units[1, :, :dim])  # q
        old = norms_at, boxes, slacks, fits
        shifted = units[..., :dim] + norms_dual
        norms_at = shifted * (1 - penalty / rho / shifted.norm(dim=-1, keepdim=True).clamp_min(1e-300)).clamp_min(0)
        norms_dual = shifted - norms_at
        shifted = units + boxes_dual
        boxes = onto_box_cone(shifted, radius)
        boxes_dual = shifted - boxes
        shifted = faced + slacks_dual
        slacks = shifted.clamp_min(0)
        slacks_dual = shifted - slacks
        shifted = reached + fits_dual
        fits, shares = hinge_step(shifted, margins, radius, 1 / (rho * eta))
        fits_dual = shifted - fits
        if step % look_every == 0 or step in (1, steps):
            weights = norms_at
            combined = active @ (weights[0] - weights[1])
            hinges = (1 - (margins * combined).sum(1) + combined.abs() @ radius).clamp_min(0)
            objective = float(hinges.sum() + penalty * weights.norm(dim=-1).sum())
            history.append((step, objective))
            # Dual: multipliers of slacks μ ≥ 0 and of fits g = τ(−c + ε b); feasible once scaled to norms of at most β.
            multipliers = -rho * kappa * slacks_dual
            pull = torch.einsum("spk,pkd->spd", multipliers, faces[..., :dim])
            pull = pull - signs * (active.T @ (rho * eta * fits_dual))
            least = soft(pull, multipliers.sum(-1, keepdim=True) * radius)
            excess = float(least.norm(dim=-1).max()) / penalty
            bound = max(bound, float(shares.sum()) / max(1.0, excess))
            if abs(objective - bound) <= tolerance * objective:
                break
        if step == next_change:
            scales = (1.0, 1.0, kappa, eta)
            here = (units[..., :dim], units, faced, reached)
            new = norms_at, boxes, slacks, fits
            primal = sum(s * (a - b).square().sum() for s, a, b in zip(scales, here, new, strict=True))
            moved = sum(s * (a - b).square().sum() for s, a, b in zip(scales, old, new, strict=True))
            ratio = float((primal / moved).sqrt())
            next_change *= 2
            if not 0.5 < ratio < 2:
                share = min(10.0, max(0.1, ratio))
                rho *= share
                norms_dual, boxes_dual, slacks_dual, fits_dual = (
                    each / share for each in (norms_dual, boxes_dual, slacks_dual, fits_dual)
                )
    return ConvexReluSolution(norms_at[None], objective, bound, step, history)


def soft(values: Tensor, thresholds: Tensor) -> Tensor:
    """Values moved towards 0 by thresholds."""
    return values.sign() * (values.abs() - thresholds).clamp_min(0)


def hinge_step(
    values: Float[Tensor, "rows dim"], margins: Float[Tensor, "rows dim"], radius: Float[Tensor, " dim"], length: float
) -> tuple[Float[Tensor, "rows dim"], Float[Tensor, " rows"]]:
    """The proximal point of [1 − c'q + ε'|q|]₊ and the share τ of its slope that is taken.

    q(τ) = soft(a + tτc, tτε), and τ in [0, 1] solves 1 − c'q + ε'|q| = 0, which falls in τ, or lies at an end.
    """

    def at(share: Tensor) -> tuple[Tensor, Tensor]:
        step = length * share[:, None]
        moved = soft(values + step * margins, step * radius)
        return moved, 1 - (margins * moved).sum(1) + moved.abs() @ radius

    low, high = torch.zeros_like(values[:, 0]), torch.ones_like(values[:, 0])
    low = torch.where(at(high)[1] >= 0, 1.0, low)
    high = torch.where(at(torch.zeros_like(low))[1] <= 0, 0.0, high)
    for _ in range(26):
        middle = (low + high) / 2
        above = at(middle)[1] > 0
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    # Rows at an end have crossed ends: low = 1 or high = 0 is theirs.
    share = (low + high) / 2
    return at(share)[0], share


def onto_box_cone(points: Float[Tensor, "*units dim_and_1"], radius: Float[Tensor, " dim"]) -> Tensor:
    """The nearest (v, r) with Σ_j ε_j |v_j| ≤ r: v = soft(v₀, με), r = r₀ + μ, μ the root of a piecewise linear function."""
    vectors, heights = points[..., :-1], points[..., -1:]
    if not radius.any():
        return torch.cat([vectors, heights.clamp_min(0)], -1)
    sizes = vectors.abs()
    # Coordinates drop out of the sum in the order of |v_j| / ε_j.
    ends = torch.where(radius > 0, sizes / radius.clamp_min(1e-300), torch.inf)
    ends, order = ends.masked_fill(radius.expand_as(ends) == 0, -1.0).sort(-1, descending=True)
    sized, squared = (sizes * radius).gather(-1, order), radius.square().expand_as(sizes).gather(-1, order)
    tops = (sized.cumsum(-1) - heights) / (1 + squared.cumsum(-1))
    valid = (tops < ends) & (ends >= 0)
    last = valid.long().cumsum(-1).argmax(-1, keepdim=True)
    shift = torch.where(valid.any(-1, keepdim=True), tops.gather(-1, last), -heights)
    shift = torch.where((sizes @ radius)[..., None] <= heights, 0.0, shift.clamp_min(0))
    return torch.cat([soft(vectors, shift * radius), heights + shift], -1)
