"""Least squares by gradient flow in the space of a kernel, at any time, in closed form."""

import torch
from jaxtyping import Float
from torch import Tensor


def kernel_gradient_flow(
    kernel: Float[Tensor, "n n"],
    y: Float[Tensor, "n *outputs"],
    times: Float[Tensor, " times"],
    *,
    cross: Float[Tensor, "m n"] | None = None,
    start: Float[Tensor, "n *outputs"] | None = None,
    cross_start: Float[Tensor, "m *outputs"] | None = None,
) -> Float[Tensor, "times m *outputs"]:
    """f_t(x) = f_0(x) + K(x, X) K⁻¹ (I − e^{−tK}) (y − f_0(X)): gradient flow on ½ Σ_i (f(x_i) − y_i)².

    With the tangent kernel for K it is the training of an infinitely wide network (Jacot, Gabriel, Hongler 2018, section 5).
    For the mean over n points in place of the sum, divide the times by n. One eigendecomposition serves all times, and no
    inverse is taken: (1 − e^{−ts}) / s tends to t at an eigenvalue of 0.

    Args:
        kernel: K(X, X), symmetric; negative eigenvalues count as rounding, 0.
        y: targets.
        times: t of 0 or more; ∞ is the end of training.
        cross: K(x, X) of the points that are asked for. Default the training points.
        start: f_0(X). Default 0.
        cross_start: f_0(x) of the points of `cross`. Default 0.

    Raises:
        ValueError: if shapes do not fit, a time is negative or NaN, or K is not finite.

    Example:
        >>> import torch
        >>> from replica.kernels import kernel_gradient_flow
        >>> kernel_gradient_flow(torch.eye(2), torch.ones(2), torch.tensor([0.0, 1.0, torch.inf]))
        tensor([[0.0000, 0.0000],
                [0.6321, 0.6321],
                [1.0000, 1.0000]])
    """
    _check(kernel, y, times, cross, start, cross_start)
    count, outputs = len(kernel), y.shape[1:]
    residual = (y if start is None else y - start).reshape(count, -1)
    values, vectors = torch.linalg.eigh(kernel)
    values = values.clamp_min(0)
    if cross is None:
        # K times the rest is eigenvectors times 1 − e^{−ts}.
        left, rates = vectors, -torch.expm1(-_products(times, values))
        begun = start
    else:
        left, rates = cross @ vectors, _coverage(times, values)
        begun = cross_start
    found = torch.einsum("mk,tk,ko->tmo", left, rates, vectors.T @ residual)
    found = found.reshape(len(times), len(left), *outputs)
    return found if begun is None else found + begun


def _products(times: Tensor, values: Tensor) -> Tensor:
    # ∞ · 0 is 0: what has no rate does not move.
    return torch.where(values > 0, times[:, None] * values, 0.0)


def _coverage(times: Tensor, values: Tensor) -> Tensor:
    """(1 − e^{−ts}) / s; at s = 0 its limit t, and 0 after infinite time, as the pseudoinverse has it."""
    safe = torch.where(values > 0, values, 1.0)
    still = torch.where(times.isfinite(), times, 0.0)[:, None]
    # Eigenvalues of 0 come out as rounding: after infinite time they are not inverted.
    noise = values.amax() * len(values) * torch.finfo(values.dtype).eps if len(values) else values.new_zeros(())
    moved = -torch.expm1(-_products(times, values)) / safe
    moved = torch.where(values > 0, moved, still.expand_as(moved))
    return torch.where(times.isinf()[:, None] & (values <= noise), 0.0, moved)


def _check(
    kernel: Tensor,
    y: Tensor,
    times: Tensor,
    cross: Tensor | None,
    start: Tensor | None,
    cross_start: Tensor | None,
) -> None:
    count = len(kernel)
    if kernel.shape != (count, count) or not bool(torch.isfinite(kernel).all()):
        raise ValueError(f"kernel: got shape {tuple(kernel.shape)}, want a square matrix of finite numbers")
    if len(y) != count or not bool(torch.isfinite(y).all()):
        raise ValueError(f"y: got {len(y)} rows, want {count} of finite numbers")
    if times.dim() != 1 or not bool((times >= 0).all()):
        raise ValueError("times: got a negative time, NaN or more than one axis, want a vector of 0 or more")
    if cross is not None and cross.shape[1:] != (count,):
        raise ValueError(f"cross: got shape {tuple(cross.shape)}, want (m, {count})")
    if start is not None and start.shape != y.shape:
        raise ValueError(f"start: got shape {tuple(start.shape)}, want {tuple(y.shape)}")
    if cross_start is not None and (cross is None or cross_start.shape != (len(cross), *y.shape[1:])):
        raise ValueError(f"cross_start: got shape {tuple(cross_start.shape)}, want that of cross @ y")
