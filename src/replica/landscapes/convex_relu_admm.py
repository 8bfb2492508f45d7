"""Two-layer ReLU networks trained to a global optimum: the equivalent convex programme, solved by splitting."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


@dataclass(frozen=True)
class ConvexReluSolution:
    """Weights of the convex programme, and the network they are.

    Attributes:
        weights: v and w a pattern, ``(outputs, 2, patterns, dim)``; most are exactly 0.
        objective: of the network, with its ReLUs as they are and the penalty β/2 times its squared weights.
        bound: no network whose units follow the patterns given and serve one output each has a lower objective: no network of
            one output at all, where all patterns were given. From a feasible point of the dual programme.
        steps: iterations taken.
        history: the objective at each iteration that was looked at.
    """

    weights: Float[Tensor, "outputs 2 patterns dim"]
    objective: float
    bound: float
    steps: int
    history: list[tuple[int, float]]

    @property
    def gap(self) -> float:
        """The objective less the bound, as a share of the objective. Below 0: a network better than the programme's solution."""
        return (self.objective - self.bound) / max(self.objective, torch.finfo(torch.float64).tiny)

    def layers(self) -> tuple[Float[Tensor, "units dim"], Float[Tensor, "outputs units"]]:
        """Hidden and output weights: unit v/√‖v‖ with output √‖v‖, unit w/√‖w‖ with output −√‖w‖."""
        norms = self.weights.norm(dim=-1)
        output, side, pattern = torch.nonzero(norms, as_tuple=True)
        scales = norms[output, side, pattern].sqrt()
        outer = self.weights.new_zeros(len(self.weights), len(scales))
        outer[output, torch.arange(len(scales), device=outer.device)] = torch.where(side == 0, scales, -scales)
        return self.weights[output, side, pattern] / scales[:, None], outer

    def network(self) -> nn.Sequential:
        """The network itself, without biases: rows of inputs to rows of outputs."""
        hidden, outer = self.layers()
        if not len(hidden):  # nothing was worth its penalty: one unit of zeros
            hidden, outer = hidden.new_zeros(1, hidden.shape[1]), outer.new_zeros(len(outer), 1)
        net = nn.Sequential(
            nn.utils.skip_init(nn.Linear, hidden.shape[1], len(hidden), bias=False, device=hidden.device),
            nn.ReLU(),
            nn.utils.skip_init(nn.Linear, len(hidden), len(outer), bias=False, device=hidden.device),
        ).to(hidden.dtype)
        net.load_state_dict({"0.weight": hidden, "2.weight": outer})
        return net


def convex_relu_admm(
    inputs: Float[Tensor, "rows dim"],
    targets: Float[Tensor, "rows outputs"],
    patterns: Bool[Tensor, "patterns rows"],
    *,
    penalty: float,
    steps: int = 2000,
    tolerance: float = 1e-4,
    keep: Literal["last", "best"] = "last",
    look_every: int = 10,
) -> ConvexReluSolution:
    """Least squares by a two-layer ReLU network with weight decay, as a convex programme, by ADMM (Bai, Gautam, Sojoudi 2022).

    For each output, min over v_i, w_i of ½‖Σ_i D_i X(v_i − w_i) − y‖² + β Σ_i (‖v_i‖ + ‖w_i‖) subject to (2D_i − I)X v_i ≥ 0 and
    (2D_i − I)X w_i ≥ 0 (Pilanci, Ergen 2020): the training problem ½‖Σ_j (X u_j)₊ a_j − y‖² + β/2 Σ_j (‖u_j‖² + a_j²) of networks
    with enough units. Alternating: a linear system, the group soft threshold, the projection on the constraints, multipliers.
    The system's matrix is F'F/ρ + I ⊗ (I + κX̂'X̂), rows of X̂ being X's of unit length, since the signs' squares are 1: one
    factor of ``rows`` × ``rows`` serves all iterations, and one costs rows · patterns · dim, where a dense factor would cost its
    square (patterns · dim)².

    Args:
        inputs: X; a column of ones stands for biases, which then pay the penalty like other weights.
        targets: y, a column an output. Outputs share no units.
        patterns: the diagonals of D_i; see `activation_patterns` and `sampled_patterns`.
        penalty: β.
        steps: iterations, at most.
        tolerance: it stops when `ConvexReluSolution.gap` is below.
        keep: the last iterate, which tends to the programme's solution; or the one whose network has the least objective, where
            only an objective above the bound counts as a gap. With patterns sampled, iterates that break constraints are
            often better networks than the programme's solution.
        look_every: iterations between two looks at objective and bound.

    Raises:
        ValueError: if shapes do not fit, or a number is out of range.

    Example:
        >>> import torch
        >>> from replica.landscapes import activation_patterns, convex_relu_admm
        >>> X = torch.tensor([[-1.0, 1.0], [0.0, 1.0], [1.0, 1.0]], dtype=torch.float64)
        >>> found = convex_relu_admm(X, X[:, :1].abs(), activation_patterns(X), penalty=0.01, tolerance=1e-6)
        >>> round(found.objective, 4), found.gap < 1e-6, found.network()(X).detach().round(decimals=2).flatten().tolist()
        (0.0199, True, [0.99, 0.01, 0.99])
    """
    checked(inputs, targets, patterns, penalty, steps)
    if keep not in ("last", "best"):
        raise ValueError(f"keep: got {keep!r}, want 'last' or 'best'")
    rows, dim = inputs.shape
    active = patterns.T.to(inputs.dtype)  # rows × patterns, as all that follows
    # A constraint's length is free: those of unit length are well conditioned, and being more than weights held more tightly.
    lengths = inputs.norm(dim=1, keepdim=True).clamp_min(1e-12)
    unit = inputs / lengths
    kappa = 20 * dim / rows
    sides = (2 * active - 1) / lengths
    inverse = torch.linalg.inv(torch.eye(dim, dtype=inputs.dtype, device=inputs.device) + kappa * unit.T @ unit)
    kernel = 2 * (inputs @ inverse @ inputs.T) * (active @ active.T)
    identity = torch.eye(rows, dtype=inputs.dtype, device=inputs.device)
    rho, next_change = 5 * penalty**0.5, 10
    factor = torch.linalg.cholesky(kernel + rho * identity)
    y = targets.T  # outputs × rows
    signs = inputs.new_tensor([1.0, -1.0])[:, None, None]

    def adjoint(values: Tensor) -> Tensor:
        return values.transpose(-1, -2) @ inputs  # (…, rows, patterns) → (…, patterns, dim)

    def forward(weights: Tensor) -> Tensor:
        return (weights @ inputs.T).transpose(-1, -2)

    def fitted(products: Tensor) -> Tensor:
        return ((products[:, 0] - products[:, 1]) * active).sum(-1)  # F u, outputs × rows

    shape = (len(y), 2, patterns.shape[0], dim)
    weights, duals = inputs.new_zeros(shape), inputs.new_zeros(shape)
    slacks, slack_duals = (inputs.new_zeros(len(y), 2, rows, patterns.shape[0]) for _ in range(2))
    from_targets = y[:, None, :, None] * active * signs
    history: list[tuple[int, float]] = []
    best: tuple[float, Tensor] = (torch.inf, weights)
    bound, step = -torch.inf, 0
    for step in range(1, steps + 1):
        right = weights - duals + adjoint(kappa * sides * (slacks - slack_duals) + from_targets / rho)
        free = right @ inverse
        correction = torch.cholesky_solve(fitted(forward(free)).T, factor).T
        free = free - (adjoint(correction[:, None, :, None] * active) @ inverse) * signs
        products = forward(free)
        # Over-relaxation by 1.6, as is usual.
        mixed = 1.6 * free - 0.6 * weights
        mixed_slacks = 1.6 * sides * products - 0.6 * slacks
        shifted = mixed + duals
        norms = shifted.norm(dim=-1, keepdim=True).clamp_min(1e-300)
        old, old_slacks = weights, slacks
        weights = shifted * (1 - penalty / rho / norms).clamp_min(0)
        duals = shifted - weights
        slacks = (mixed_slacks + slack_duals).clamp_min(0)
        slack_duals = mixed_slacks + slack_duals - slacks
        if step % look_every == 0 or step in (1, steps):
            reached = forward(weights)
            norm = penalty * float(weights.norm(dim=-1).sum())
            # With ReLUs as they are, and with each unit's pattern in their place: equal where the constraints are met.
            network = norm + float(((reached.clamp_min(0).sum(-1) * signs[..., 0]).sum(1) - y).square().sum()) / 2
            linear = norm + float((fitted(reached) - y).square().sum()) / 2
            history.append((step, network))
            residual = y - fitted(products)
            cone = adjoint(residual[:, None, :, None] * active * signs - rho * kappa * sides * slack_duals)
            bound = max(bound, dual_bound(residual, y, cone.norm(dim=-1).amax((1, 2)) / penalty))
            if keep == "last" or network < best[0]:
                best = network, weights
            off = best[0] - bound if keep == "best" else max(abs(network - bound), abs(linear - bound))
            if off <= tolerance * best[0]:
                break
        if step == next_change:
            primal = (free - weights).square().sum() + kappa * (sides * products - slacks).square().sum()
            moved = (weights - old).square().sum() + kappa * (slacks - old_slacks).square().sum()
            next_change *= 2
            ratio = float((primal / moved).sqrt())
            share = min(10.0, max(0.1, ratio))
            if not 0.5 < ratio < 2:
                rho, duals, slack_duals = rho * share, duals / share, slack_duals / share
                factor = torch.linalg.cholesky(kernel + rho * identity)
    return ConvexReluSolution(best[1], best[0], bound, step, history)


def dual_bound(residual: Tensor, targets: Tensor, excess: Tensor) -> float:
    """The dual objective θ'y − ½‖θ‖², outputs in front, at the best multiple of each residual that is feasible."""
    product, square = (residual * targets).sum(1), residual.square().sum(1)
    share = torch.minimum(1 / excess.clamp_min(1e-300), product / square.clamp_min(1e-300)).clamp_min(0)
    return float((share * product - share.square() * square / 2).sum())


def checked(inputs: Tensor, targets: Tensor, patterns: Tensor, penalty: float, steps: int) -> None:
    """Raises a ValueError where shapes do not fit or a number is out of range."""
    if inputs.dim() != 2 or targets.dim() != 2 or len(inputs) != len(targets):
        raise ValueError(f"targets: got {tuple(targets.shape)} for inputs {tuple(inputs.shape)}, want (rows, outputs)")
    if patterns.dim() != 2 or patterns.shape[1] != len(inputs) or not len(patterns):
        raise ValueError(f"patterns: got {tuple(patterns.shape)}, want (patterns, {len(inputs)})")
    if not penalty > 0:
        raise ValueError(f"penalty: got {penalty}, want above 0")
    if steps < 1:
        raise ValueError(f"steps: got {steps}, want 1 or more")
