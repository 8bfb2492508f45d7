"""Mean-field inference in pairwise models of one-hot nodes: solvers of q = softmax(Φ q + b), and its gradient.

Feng, Winston and Kolter 2023, "Monotone deep Boltzmann machines", arXiv 2307.04990. Their letters: marginals q
(`marginals`), pairwise potentials Φ (`couple`, the map q ↦ Φ q), unary potentials b (`unary`), step α (`step`), strong
monotonicity m of I − Φ (`margin`). A batch row holds all nodes side by side, layer by layer: a layer of n nodes with k
states takes n · k entries.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from replica.training.mixed_precision import autocast_off

from .mean_field_prox import softmax_prox

Couple = Callable[[Tensor], Tensor]
"""The map q ↦ Φ q on rows of shape (batch, entries); Φ symmetric, with zero blocks within each node."""


class MeanField(NamedTuple):
    """Where a solver ended: one entry a row of the batch.

    Attributes:
        marginals: q, shape (batch, entries).
        steps: updates until the row was within the tolerance, or the limit, shape (batch).
        residual: largest |q − softmax(Φ q + b)| over the unknown nodes, shape (batch).
        converged: whether the solver met its tolerance, shape (batch).
    """

    marginals: Float[Tensor, "batch entries"]
    steps: Int[Tensor, " batch"]
    residual: Float[Tensor, " batch"]
    converged: Bool[Tensor, " batch"]


@dataclass(frozen=True)
class NodeLayout:
    """How rows are divided into nodes: layers of (nodes, states).

    Example:
        >>> import torch
        >>> from replica.memory import NodeLayout
        >>> layout = NodeLayout(((3, 2), (1, 4)))
        >>> layout.entries, layout.by_node(torch.softmax, torch.zeros(1, 10))[0, 5:].tolist()
        (10, [0.5, 0.25, 0.25, 0.25, 0.25])
    """

    layers: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        if not self.layers or any(nodes < 1 or states < 2 for nodes, states in self.layers):
            raise ValueError(f"layers: got {self.layers}, want (nodes, states) pairs with 1 node and 2 states or more")

    @property
    def entries(self) -> int:
        """Length of a row."""
        return sum(nodes * states for nodes, states in self.layers)

    @cached_property
    def merged(self) -> "NodeLayout":
        """The same rows with neighbouring layers of equally many states as one: fewer, larger operations."""
        runs = [(states, list(run)) for states, run in groupby(self.layers, key=lambda layer: layer[1])]
        return NodeLayout(tuple((sum(nodes for nodes, _ in run), states) for states, run in runs))

    def split(self, rows: Float[Tensor, "batch entries"]) -> tuple[Float[Tensor, "batch nodes states"], ...]:
        """The rows of each layer, node by node."""
        parts = rows.split([nodes * states for nodes, states in self.layers], dim=-1)
        return tuple(part.unflatten(-1, layer) for part, layer in zip(parts, self.layers, strict=True))

    def join(self, parts: Sequence[Tensor]) -> Float[Tensor, "batch entries"]:
        """The inverse of `split`."""
        return torch.cat([part.flatten(-2) for part in parts], -1)

    def by_node(self, function: Callable[..., Tensor], *rows: Tensor) -> Float[Tensor, "batch entries"]:
        """Applies ``function(*parts, -1)`` to the states of every node."""
        if len(self.merged.layers) < len(self.layers):
            return self.merged.by_node(function, *rows)
        return self.join([function(*parts, -1) for parts in zip(*map(self.split, rows), strict=True)])

    def softmax(self, rows: Float[Tensor, "batch entries"]) -> Float[Tensor, "batch entries"]:
        """Softmax over the states of every node."""
        return self.by_node(torch.softmax, rows)

    def prox(
        self, rows: Float[Tensor, "batch entries"], step: float, start: Tensor, *, precision: float = 0.0
    ) -> Float[Tensor, "batch entries"]:
        """`softmax_prox` over the states of every node."""
        return self.by_node(
            lambda part, begin, _: softmax_prox(part, step, start=begin, precision=precision), rows, start
        )

    def random_marginals(
        self, batch: int, *, sharpness: float = 3.0, generator: torch.Generator | None = None, like: Tensor
    ) -> Float[Tensor, "batch entries"]:
        """Softmax of normal numbers of standard deviation `sharpness`: starts all over the product of simplices."""
        noise = torch.randn(batch, self.entries, generator=generator, device=like.device, dtype=like.dtype)
        return self.softmax(sharpness * noise)


def forward_backward(
    couple: Couple,
    unary: Float[Tensor, "batch entries"],
    layout: NodeLayout,
    *,
    lipschitz: float,
    margin: float = 0.0,
    momentum: bool = True,
    start: Float[Tensor, "batch entries"] | None = None,
    known: Bool[Tensor, "batch entries"] | None = None,
    steps: int = 1000,
    tolerance: float = 1e-5,
) -> MeanField:
    r"""Finds the one mean-field fixed point of a monotone machine, from any start.

    Forward-backward splitting of the inclusion 0 ∈ (I − Φ) q − b + ∂f(q), whose solutions are the fixed points
    q = softmax(Φ q + b) (see `softmax_prox` for f):

        q ← prox_{α f}((1 − α) q + α (Φ q + b)).

    Φ is symmetric and f is convex with curvature 1 along the simplex, so where I − Φ ⪰ m I with m > −1 this minimises
    a strongly convex function. Without momentum α = 2 / (L + m), at most 1, and the error falls by max(1 − α m, α L − 1) /
    (1 + α) a step; with Nesterov's momentum α = 1 / L and the factor is about 1 − √((1 + m) / (1 + L)).

    Args:
        couple: q ↦ Φ q, the same for all rows.
        unary: b, shape (batch, entries).
        layout: how rows are divided into nodes.
        lipschitz: L, at least the largest eigenvalue of I − Φ.
        margin: m, at most its smallest eigenvalue, above −1. The paper has m > 0.
        momentum: whether to extrapolate; the paper uses Anderson's acceleration instead.
        start: first marginals, also the values of known nodes. Default equal probabilities.
        known: entries of nodes that keep their value in `start`.
        steps: most updates.
        tolerance: a row is done when its update moves no entry by more than `tolerance` · α.

    Raises:
        ValueError: if a number is out of range, shapes do not fit, or `known` comes without `start`.

    Source: Feng et al. 2023, Section 3; Chambolle and Pock 2016, "An introduction to continuous optimization for
    imaging", Algorithm 5, for the momentum of strongly convex problems.

    Example:
        >>> import torch
        >>> from replica.memory import NodeLayout, forward_backward
        >>> repel = torch.tensor([[0.0, -4.0], [-4.0, 0.0]]).repeat_interleave(2, 0).repeat_interleave(2, 1)
        >>> repel = repel * torch.eye(2).repeat(2, 2)  # equal states of the two nodes avoid one another
        >>> found = forward_backward(
        ...     lambda q: q @ repel, torch.tensor([[0.1, 0.0, 0.0, 0.0]]), NodeLayout(((2, 2),)), lipschitz=5.0, margin=-3.0 / 4
        ... )
        >>> bool(found.residual < 1e-4)
        True
    """
    alpha, inertia = _step_and_inertia(lipschitz, margin, momentum)

    def update(ahead: Tensor, marginals: Tensor) -> Tensor:
        target = (couple(ahead) + unary).mul_(alpha).add_((1 - alpha) * ahead)
        return layout.prox(target, alpha, marginals, precision=0.1 * tolerance * alpha)

    return _iterate(update, couple, unary, layout, start, known, steps, tolerance * alpha, inertia)


def _step_and_inertia(lipschitz: float, margin: float, momentum: bool) -> tuple[float, float]:
    if not lipschitz > 0 or not math.isfinite(lipschitz):
        raise ValueError(f"lipschitz: got {lipschitz}, want a finite number above 0")
    if not margin > -1 or margin > lipschitz:
        raise ValueError(f"margin: got {margin}, want above −1 and at most lipschitz = {lipschitz}")
    if momentum:
        alpha = min(1.0, 1 / lipschitz)
        root = math.sqrt(max(alpha * (1 + margin) / (1 + alpha), 0.0))
        inertia = (1 - root) / (1 + root)
    else:
        alpha, inertia = min(1.0, 2 / (lipschitz + max(margin, 0.0))), 0.0
    return alpha, inertia


def mean_field(
    couple: Couple,
    unary: Float[Tensor, "batch entries"],
    layout: NodeLayout,
    *,
    damping: float = 0.0,
    start: Float[Tensor, "batch entries"] | None = None,
    known: Bool[Tensor, "batch entries"] | None = None,
    steps: int = 1000,
    tolerance: float = 1e-5,
) -> MeanField:
    """Iterates the mean-field equations, all nodes at once: q ← η q + (1 − η) softmax(Φ q + b).

    The usual method, for any symmetric couplings. It may cycle for ever, and where the machine has several fixed points it
    finds one that depends on the start.

    Args:
        couple: q ↦ Φ q, the same for all rows.
        unary: b, shape (batch, entries).
        layout: how rows are divided into nodes.
        damping: η, at least 0 and below 1; 0 is the plain iteration.
        start: first marginals, also the values of known nodes. Default equal probabilities.
        known: entries of nodes that keep their value in `start`.
        steps: most updates.
        tolerance: a row is done when its update moves no entry by more than `tolerance` · (1 − η).

    Raises:
        ValueError: if a number is out of range, shapes do not fit, or `known` comes without `start`.

    Example:
        >>> import torch
        >>> from replica.memory import NodeLayout, mean_field
        >>> repel = -8 * torch.eye(2).repeat(2, 2) * (1 - torch.eye(2)).repeat_interleave(2, 0).repeat_interleave(2, 1)
        >>> start = torch.tensor([[0.9, 0.1, 0.9, 0.1]])
        >>> unary, layout = torch.zeros(1, 4), NodeLayout(((2, 2),))
        >>> mean_field(lambda q: q @ repel, unary, layout, start=start).converged.item()  # both swap for ever
        False
        >>> mean_field(lambda q: q @ repel, unary, layout, start=start, damping=0.7).converged.item()
        True
    """
    if not 0 <= damping < 1:
        raise ValueError(f"damping: got {damping}, want at least 0 and below 1")

    def update(ahead: Tensor, marginals: Tensor) -> Tensor:
        return torch.lerp(layout.softmax(couple(ahead) + unary), ahead, damping)

    return _iterate(update, couple, unary, layout, start, known, steps, tolerance * (1 - damping), 0.0)


def _iterate(
    update: Callable[[Tensor, Tensor], Tensor],
    couple: Couple,
    unary: Tensor,
    layout: NodeLayout,
    start: Tensor | None,
    known: Tensor | None,
    steps: int,
    tolerance: float,
    inertia: float,
) -> MeanField:
    """Repeats an update; rows that have converged stay as they are, so that no row depends on its company."""
    if unary.ndim != 2 or unary.shape[1] != layout.entries:
        raise ValueError(f"unary: got shape {tuple(unary.shape)}, want (batch, {layout.entries})")
    if steps < 1:
        raise ValueError(f"steps: got {steps}, want 1 or more")
    if not tolerance > 0:
        raise ValueError(f"tolerance: got {tolerance}, want above 0")
    if known is not None and start is None:
        raise ValueError("start: got None, want the values of the known nodes")
    for name, given in (("start", start), ("known", known)):
        if given is not None and given.shape != unary.shape:
            raise ValueError(f"{name}: got shape {tuple(given.shape)}, want {tuple(unary.shape)}, that of unary")
    with torch.no_grad(), autocast_off(unary.device):
        q = layout.softmax(torch.zeros_like(unary)) if start is None else start
        held = q
        ahead = q
        taken = torch.full((len(q),), steps, device=q.device)
        active = torch.ones(len(q), 1, dtype=torch.bool, device=q.device)
        for step in range(1, steps + 1):
            new = update(ahead, q)
            if known is not None:
                new = torch.where(known, held, new)
            done = (new - ahead).abs_().amax(-1, keepdim=True) <= tolerance
            extrapolated = (new - q).mul_(inertia).add_(new) if inertia else new
            q, ahead = torch.where(active, new, q), torch.where(active, extrapolated, ahead)
            taken = torch.where((done & active).squeeze(-1), step, taken)
            active = active & ~done
            if not bool(active.any()):
                break
        misfit = (q - layout.softmax(couple(q) + unary)).abs()
        if known is not None:
            misfit = misfit.masked_fill(known, 0.0)
    return MeanField(q, taken, misfit.amax(-1), ~active.squeeze(-1))


def attach_gradient(
    logits: Float[Tensor, "batch entries"],
    couple: Couple,
    layout: NodeLayout,
    *,
    known: Bool[Tensor, "batch entries"] | None = None,
    steps: int = 200,
    tolerance: float = 1e-6,
) -> Float[Tensor, "batch entries"]:
    r"""Marginals at a fixed point whose gradient is that of the fixed point itself, not of the solver's steps.

    With J the Jacobian of the softmax, dq = (I − J Φ)⁻¹ J (dΦ q + db). J = B Bᵀ with B = diag(√q) (I − √q √qᵀ) in each
    node, so the backward pass needs (I − BᵀΦB)⁻¹, a symmetric matrix that is positive definite in a monotone machine
    (Φ ⪯ (1 − m) I with m > −1, and BBᵀ ⪯ ½ I): conjugate gradients solve it. The paper iterates the transposed
    fixed-point equation.

    Args:
        logits: Φ q + b at the solution q, computed with gradients from Φ and b, and from q detached.
        couple: q ↦ Φ q, used without gradients.
        layout: how rows are divided into nodes.
        known: entries of nodes whose values are given: no gradient passes through them. Their marginals here are those that
            their logits give, not the values given.
        steps: most conjugate gradient steps.
        tolerance: of the residual's norm, relative.

    Returns:
        softmax(logits), to be differentiated once.

    Source: Feng et al. 2023, Section 3, on the backward pass; the symmetric form is ours.

    Example:
        >>> import torch
        >>> from replica.memory import NodeLayout, attach_gradient, forward_backward
        >>> layout, weight = NodeLayout(((1, 2), (1, 2))), torch.tensor(0.5, requires_grad=True)
        >>> swap = torch.eye(4).roll(2, 0)
        >>> couple = lambda q: weight * q @ swap
        >>> found = forward_backward(couple, torch.tensor([[1.0, 0.0, 0.0, 0.0]]), layout, lipschitz=1.5, margin=0.5)
        >>> q = attach_gradient(couple(found.marginals) + torch.tensor([[1.0, 0.0, 0.0, 0.0]]), couple, layout)
        >>> q[0, 0].backward()
        >>> bool(weight.grad > 0)
        True
    """
    marginals = layout.softmax(logits)
    if marginals.requires_grad:
        settings = (couple, layout, known, steps, tolerance)
        marginals = _FixedPoint.apply(marginals, settings)
    return marginals


class _FixedPoint(torch.autograd.Function):
    """The identity, whose backward pass is v ↦ (I − Φ J)⁻¹ v = v + Φ B (I − BᵀΦB)⁻¹ Bᵀ v."""

    @staticmethod
    def forward(ctx: Any, marginals: Tensor, settings: tuple[Couple, NodeLayout, Tensor | None, int, float]) -> Tensor:
        ctx.save_for_backward(marginals)
        ctx.settings = settings
        return marginals.view_as(marginals)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        couple, layout, known, steps, tolerance = ctx.settings
        root = ctx.saved_tensors[0].sqrt()
        free = torch.ones_like(root) if known is None else (~known).to(root.dtype)

        def project(rows: Tensor) -> Tensor:  # I − √q √qᵀ in each node, symmetric
            return rows - root * layout.by_node(lambda part, _: part.sum(-1, keepdim=True).expand_as(part), root * rows)

        def factor(rows: Tensor) -> Tensor:
            return free * root * project(rows)

        def adjoint(rows: Tensor) -> Tensor:
            return project(free * root * rows)

        with autocast_off(gradient.device):
            inner = conjugate_gradients(
                lambda rows: rows - adjoint(couple(factor(rows))), adjoint(gradient), steps=steps, tolerance=tolerance
            )
            return free * (gradient + couple(factor(inner))), None


def conjugate_gradients(
    matrix: Callable[[Tensor], Tensor], right: Float[Tensor, "batch dim"], *, steps: int, tolerance: float
) -> Float[Tensor, "batch dim"]:
    """Solves M x = r for each row, M symmetric and positive definite, until ‖r − M x‖ ≤ tolerance · ‖r‖ in all of them.

    Rows that are done stay as they are.

    Warns:
        RuntimeWarning: if some are not within the tolerance after the last step.
    """
    x, residual, direction = torch.zeros_like(right), right.clone(), right.clone()
    squared = residual.square().sum(-1, keepdim=True)
    goal = tolerance**2 * squared
    for _ in range(steps):
        active = squared > goal
        if not bool(active.any()):
            break
        image = matrix(direction)
        curvature = (direction * image).sum(-1, keepdim=True)
        length = torch.where(active, squared / torch.where(active, curvature, torch.ones_like(curvature)), 0.0)
        x = x + length * direction
        residual = residual - length * image
        renewed = residual.square().sum(-1, keepdim=True)
        ratio = renewed / torch.where(active, squared, torch.ones_like(squared))
        direction = torch.where(active, residual + ratio * direction, direction)
        squared = torch.where(active, renewed, squared)
    if not bool((squared <= goal).all()):
        warnings.warn(
            f"conjugate_gradients: {int((~(squared <= goal)).sum())} of {len(right)} rows not within {tolerance:g} after "
            f"{steps} steps",
            RuntimeWarning,
            stacklevel=2,
        )
    return x
