"""Synthetic gradients: a small net predicts what backpropagation would send, so that nobody has to wait for it.

Jaderberg et al. 2017, "Decoupled Neural Interfaces using Synthetic Gradients", arXiv 1608.05343, as Fernando et al.
2020, "Fast & Slow Learning: Incorporating Synthetic Gradients in Neural Memory Controllers", arXiv 2011.05438, use them
for memory controllers. Jaderberg's letters: activity h (`activity`), conditioning c (`context`), synthetic gradient δ̂
(`SyntheticGradient`), its target δ (what `decoupled_backward` returns).
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from replica.training import mlp


class SyntheticGradient(nn.Module):
    r"""Predicts ∂L/∂h, the gradient of a loss still to come, from the activity h and what else is known.

        δ̂ = σ (W₂ relu(W₁ [h, c] + b₁) + b₂),    or, with `hidden=0`, σ times a linear function of [h, c].

    σ is the running root mean square of the gradients that `error` was shown, so that the weights learn numbers near 1
    whatever the unit of the loss: gradients are often a thousandth or less, far below what one step of Adam changes.
    The last layer starts at zero, and so does the prediction: an untrained module cuts the gradient as truncation
    does (Jaderberg et al. 2017).

    Args:
        dim: dimension of the activity and of its gradient.
        context_dim: dimension of what else the prediction may depend on, such as labels or time left. 0 for none.
        hidden: hidden units; 0 for a linear prediction.
        memory: share that σ² keeps of its past at each call of `error`, in [0, 1).
        generator: source of the initial weights.
        device: where it lives. Default the generator's device.
        dtype: its floating-point type.

    Shapes: activity (..., dim) and context (..., context_dim) give (..., dim).

    Raises:
        ValueError: if a size is out of range, or an input does not fit.

    Source: Jaderberg et al. 2017, Section 2.1 (M_B); conditioning as in their cDNI.

    Example:
        >>> import torch
        >>> from replica.memory import SyntheticGradient
        >>> predict = SyntheticGradient(8, context_dim=3, hidden=16, generator=torch.Generator().manual_seed(0))
        >>> float(predict(torch.randn(5, 8), torch.randn(5, 3)).detach().abs().max())
        0.0
    """

    mean_square: Tensor
    seen: Tensor

    def __init__(
        self,
        dim: int,
        *,
        context_dim: int = 0,
        hidden: int = 32,
        memory: float = 0.9,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        for name, value, least in (("dim", dim, 1), ("context_dim", context_dim, 0), ("hidden", hidden, 0)):
            if value < least:
                raise ValueError(f"{name}: got {value}, want {least} or more")
        if not 0 <= memory < 1:
            raise ValueError(f"memory: got {memory}, want at least 0 and below 1")
        self.dim = dim
        self.context_dim = context_dim
        self.memory = memory
        sizes = (dim + context_dim, hidden, dim) if hidden else (dim + context_dim, dim)
        self.net = mlp(sizes, generator=generator, device=device, dtype=dtype)
        last = self.net[-1]
        nn.init.zeros_(last.weight)  # type: ignore[arg-type]
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        # Before the first target there is nothing to go by, and zero says so.
        self.register_buffer("mean_square", torch.zeros((), device=last.weight.device, dtype=dtype))  # type: ignore[arg-type]
        self.register_buffer("seen", torch.zeros((), device=last.weight.device, dtype=dtype))  # type: ignore[arg-type]

    def extra_repr(self) -> str:
        """What `print` shows."""
        return f"dim={self.dim}, context_dim={self.context_dim}"

    def forward(
        self, activity: Float[Tensor, "... dim"], context: Float[Tensor, "... context"] | None = None
    ) -> Float[Tensor, "... dim"]:
        """Predicted gradient of the loss of one example, in the activity's shape."""
        if activity.shape[-1:] != (self.dim,):
            raise ValueError(f"activity: got shape {tuple(activity.shape)}, want (..., {self.dim})")
        return self._scale() * self._unscaled(activity, context)

    def error(
        self,
        activity: Float[Tensor, "... dim"],
        target: Float[Tensor, "... dim"],
        context: Float[Tensor, "... context"] | None = None,
    ) -> Float[Tensor, ""]:
        """Mean of ((δ̂ − δ) / σ)², to be descended; σ takes the target δ into account first.

        1 for a prediction of zero, on the average of the targets seen; 0 for a perfect one.
        """
        if target.shape != activity.shape:
            raise ValueError(f"target: got shape {tuple(target.shape)}, want the activity's, {tuple(activity.shape)}")
        target = target.detach()
        with torch.no_grad():
            self.mean_square.lerp_(target.square().mean(), 1 - self.memory)
            self.seen.lerp_(torch.ones_like(self.seen), 1 - self.memory)
        scale = self._scale().clamp_min(torch.finfo(target.dtype).tiny)
        return (self._unscaled(activity.detach(), context) - target / scale).square().mean()

    def _scale(self) -> Tensor:
        # Divided by the share of the average that has come in, as Adam does, so that the first target counts fully.
        return (self.mean_square / self.seen.clamp_min(1 - self.memory)).sqrt()

    def _unscaled(self, activity: Tensor, context: Tensor | None) -> Tensor:
        if not self.context_dim:
            return self.net(activity)
        if context is None or context.shape[-1:] != (self.context_dim,):
            got = "none" if context is None else f"shape {tuple(context.shape)}"
            raise ValueError(f"context: got {got}, want (..., {self.context_dim})")
        return self.net(torch.cat([activity, context.expand(*activity.shape[:-1], -1)], -1))


class StateFeedback(nn.Module):
    """Synthetic gradients for all the tensors of a recurrent state: a feedback path that several networks may share.

    Each tensor has a `SyntheticGradient` of its own, used alike for all its rows, such as the slots of a memory.

    Args:
        dims: last dimension of each tensor of the state.
        context_dim: dimension of the context, which all tensors and rows see.
        hidden: hidden units of each prediction; 0 for linear ones.
        generator: source of the initial weights.
        device: where it lives. Default the generator's device.
        dtype: its floating-point type.

    Shapes: a state of tensors (batch, ..., dim) and a context (batch, context_dim) give gradients in the state's shapes.

    Raises:
        ValueError: if a size is out of range, or the state or context does not fit.

    Example:
        >>> import torch
        >>> from replica.memory import StateFeedback
        >>> feedback = StateFeedback((8, 6), generator=torch.Generator().manual_seed(0))
        >>> [tuple(part.shape) for part in feedback((torch.zeros(5, 8), torch.zeros(5, 4, 6)))]
        [(5, 8), (5, 4, 6)]
    """

    def __init__(
        self,
        dims: Sequence[int],
        *,
        context_dim: int = 0,
        hidden: int = 32,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if not dims:
            raise ValueError("dims: got none, want the last dimension of each tensor of the state")
        self.parts = nn.ModuleList(
            SyntheticGradient(
                dim, context_dim=context_dim, hidden=hidden, generator=generator, device=device, dtype=dtype
            )
            for dim in dims
        )

    def forward(
        self, state: Sequence[Tensor], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Tensor, ...]:
        """Predicted gradient of an example's loss from here on, for each tensor of the state."""
        self._check("state", state)
        return tuple(part(value, _beside(context, value)) for part, value in zip(self.parts, state, strict=True))

    def error(
        self,
        state: Sequence[Tensor],
        targets: Sequence[Tensor],
        context: Float[Tensor, "batch context"] | None = None,
    ) -> Float[Tensor, ""]:
        """Mean of `SyntheticGradient.error` over the tensors, to be descended; targets as `decoupled_backward` gives."""
        self._check("state", state)
        self._check("targets", targets)
        errors = [
            part.error(value, target, _beside(context, value))  # type: ignore[operator]
            for part, value, target in zip(self.parts, state, targets, strict=True)
        ]
        return torch.stack(errors).mean()

    def _check(self, name: str, tensors: Sequence[Tensor]) -> None:
        if len(tensors) != len(self.parts):
            raise ValueError(f"{name}: got {len(tensors)} tensors, want {len(self.parts)}")


def _beside(context: Tensor | None, value: Tensor) -> Tensor | None:
    return None if context is None else context[(slice(None), *[None] * (value.dim() - 2))]


def decoupled_backward(
    losses: Float[Tensor, " batch"],
    start: Sequence[Tensor],
    end: Sequence[Tensor],
    end_gradients: Sequence[Tensor] | None = None,
) -> tuple[Tensor, ...]:
    r"""Backward pass of one chunk of a recurrent computation, with predicted gradients for what comes after it.

    With L the chunk's loss, s and s' the state at its start and end, and δ̂ the predicted gradient at s',

        ∂L/∂θ + (∂s'/∂θ)ᵀ δ̂   is added to the parameters' `.grad`, and
        δ = ∂L/∂s + (∂s'/∂s)ᵀ δ̂   is returned: what the prediction at s should have been (bootstrapped).

    The state at the start is a leaf: nothing of earlier chunks is kept. With the true gradient in place of δ̂, parameters get
    what backpropagation through the whole sequence gives; without δ̂, what truncated backpropagation gives.

    Args:
        losses: loss of each example; the mean is descended.
        start: tensors of the state at the chunk's start, first dimension the batch: leaves with gradients (see `cut`).
        end: tensors of the state at its end.
        end_gradients: predicted gradient of each example's loss from the end on, for each tensor of `end`; None without one.

    Returns:
        The target of each prediction at the start, detached: per example, like `end_gradients`.

    Raises:
        ValueError: if `losses` is no vector, a tensor of `start` takes no gradient, or `end_gradients` do not fit `end`.

    Source: Jaderberg et al. 2017, Section 2.1 and the recurrent form of Section 3.1 (their Eq. for δ_T, bootstrapped).

    Example:
        >>> import torch
        >>> weight = torch.tensor(3.0, requires_grad=True)
        >>> (start,) = cut([torch.ones(2, 1)])
        >>> end = weight * start
        >>> target = decoupled_backward((end**2).sum(-1), [start], [end], [torch.full((2, 1), 10.0)])
        >>> weight.grad, target[0].flatten()
        (tensor(16.), tensor([48., 48.]))
    """
    if losses.dim() != 1:
        raise ValueError(f"losses: got shape {tuple(losses.shape)}, want (batch,), one loss an example")
    for number, value in enumerate(start):
        if not (value.is_leaf and value.requires_grad):
            raise ValueError(f"start: tensor {number} takes no gradient of its own; want leaves, as `cut` makes them")
    batch = len(losses)
    tensors, gradients = [losses], [torch.full_like(losses, 1 / batch)]
    if end_gradients is not None:
        shapes = [tuple(value.shape) for value in end], [tuple(value.shape) for value in end_gradients]
        if shapes[0] != shapes[1]:
            raise ValueError(f"end_gradients: got shapes {shapes[1]}, want those of end, {shapes[0]}")
        for value, gradient in zip(end, end_gradients, strict=True):
            if value.requires_grad:
                tensors.append(value)
                gradients.append(gradient.detach() / batch)
    for value in start:
        value.grad = None
    torch.autograd.backward(tensors, gradients)
    targets = tuple(torch.zeros_like(value) if value.grad is None else value.grad * batch for value in start)
    for value in start:
        value.grad = None
    return targets


def cut(state: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The same state as leaves that require gradients: where one chunk ends and the next begins."""
    return tuple(value.detach().requires_grad_() for value in state)


class _Substitute(torch.autograd.Function):
    """Identity whose backward hands on another gradient than it gets, and shows the one it got."""

    @staticmethod
    def forward(ctx, message: Tensor, gradient: Tensor, seen: Callable[[Tensor], None]) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.gradient, ctx.seen = gradient, seen
        return message.view_as(message)

    @staticmethod
    def backward(ctx, received: Tensor):  # type: ignore[no-untyped-def]
        ctx.seen(received)
        return ctx.gradient, None, None


def substitute_gradient(message: Tensor, gradient: Tensor, seen: Callable[[Tensor], None] | None = None) -> Tensor:
    """The message unchanged, but its sender learns from `gradient`, not from what the receiver sends back.

    This is the interface between two modules that learn apart within one computation: the receiver's gradient is only
    shown to `seen`, so that a `SyntheticGradient` can be trained to it.

    Args:
        message: what one module hands to another.
        gradient: what its sender gets in the backward pass, in the message's shape.
        seen: called in the backward pass with the receiver's gradient. Default: nobody sees it.

    Raises:
        ValueError: if `gradient` has another shape.

    Source: Jaderberg et al. 2017, Section 2.1, Fig. 1.

    Example:
        >>> import torch
        >>> from replica.memory import substitute_gradient
        >>> sender, seen = torch.ones(2, requires_grad=True), []
        >>> (5 * substitute_gradient(2 * sender, torch.tensor([1.0, -1.0]), seen.append)).sum().backward()
        >>> sender.grad, seen
        (tensor([ 2., -2.]), [tensor([5., 5.])])
    """
    if gradient.shape != message.shape:
        raise ValueError(f"gradient: got shape {tuple(gradient.shape)}, want the message's, {tuple(message.shape)}")
    return _Substitute.apply(message, gradient.detach(), seen or _unseen)


def _unseen(received: Tensor) -> None:
    pass
