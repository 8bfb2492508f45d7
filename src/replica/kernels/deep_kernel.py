"""The objective of a deep kernel machine, and its optimum."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import minimize
from torch import Tensor
from torch.autograd.function import once_differentiable

from .dual_activations import Activation
from .gram_layers import GramBlocks, GramKernel, gram_divergence, gram_kernel, gram_layer
from .layer_moments import WideLayer


def triangular(raw: Float[Tensor, "p p"]) -> Float[Tensor, "p p"]:
    """A lower triangular matrix of positive diagonal: what is below that of `raw`, and e^raw on it."""
    return raw.tril(-1) + raw.diagonal().exp().diag()


def through_gram_layers(
    inputs: GramBlocks,
    factors: Sequence[Float[Tensor, "p p"] | None],
    kernel: GramKernel,
    *,
    jitter: float = 1e-6,
) -> list[GramBlocks]:
    """Gram matrices of the layers, and the kernel on top of them.

    Args:
        inputs: G₀, inner products of the inputs over their number.
        factors: M of each layer, or None, see `gram_layer`.
        kernel: K.
        jitter: see `gram_layer`.

    Returns:
        The blocks of G₁ to G_L, and of K(G_L).
    """
    blocks, found = inputs, []
    for layer in range(len(factors) + 1):
        blocks = kernel(blocks)
        if layer < len(factors):
            blocks, _ = gram_layer(blocks, factors[layer], jitter=jitter)
        found.append(blocks)
    return found


def sparse_log_likelihood(
    top: GramBlocks,
    targets: Float[Tensor, "n outputs"],
    noise: Float[Tensor, ""],
    *,
    jitter: float = 1e-6,
) -> Float[Tensor, ""]:
    """A lower bound of Σ ln N(y; 0, K + σ² 1) over outputs, that takes n p² operations; exact where inducing points are the rows.

        ln N(y; 0, Q + σ² 1) − tr(K_tt − Q) / 2σ²,   Q = K_ti K_ii⁻¹ K_it.

    Args:
        top: K, blocks of the top kernel.
        targets: Y.
        noise: σ², above 0.
        jitter: see `gram_layer`.

    Source: Titsias 2009, "Variational Learning of Inducing Variables in Sparse Gaussian Processes", Eq. 9.
    """
    _, whitened = gram_layer(top, jitter=jitter)
    count, outputs = targets.shape
    root = torch.linalg.cholesky(
        whitened.T @ whitened / noise + torch.eye(len(top.inducing), dtype=targets.dtype, device=targets.device)
    )
    seen = torch.linalg.solve_triangular(root, whitened.T @ targets, upper=False) / noise
    volume = 2 * root.diagonal().log().sum() + count * torch.log(2 * math.pi * noise)
    rest = (top.own - whitened.square().sum(1)).clamp_min(0).sum() / noise
    return (seen.square().sum() - targets.square().sum() / noise - outputs * (volume + rest)) / 2


class _LogLikelihood(torch.autograd.Function):
    # ∂/∂K = (α αᵀ − outputs K⁻¹) / 2, α = K⁻¹ Y: an inverse costs less than the way back through a Cholesky factor.

    @staticmethod
    def forward(ctx: Any, covariance: Tensor, targets: Tensor) -> Tensor:
        root = torch.linalg.cholesky(covariance)
        solved = torch.cholesky_solve(targets, root)
        ctx.save_for_backward(root, solved)
        volume = root.diagonal().log().sum() + len(targets) * math.log(2 * math.pi) / 2
        return -(targets * solved).sum() / 2 - targets.shape[1] * volume

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
        root, solved = ctx.saved_tensors
        return slope * (solved @ solved.T - solved.shape[1] * torch.cholesky_inverse(root)) / 2, None


def log_likelihood(covariance: Float[Tensor, "n n"], targets: Float[Tensor, "n outputs"]) -> Float[Tensor, ""]:
    """Σ ln N(y; 0, covariance) over outputs, with its slope by the covariance alone; a second slope is refused.

    Args:
        covariance: symmetric, of full rank.
        targets: Y.
    """
    return cast(Tensor, _LogLikelihood.apply(covariance, targets))


class OptimalGrams(NamedTuple):
    """Where the objective is greatest.

    Attributes:
        grams: G₁ to G_L, (layers, rows, rows).
        objective: its value, in nats.
        divergences: KL of each layer, without ν, (layers,).
    """

    grams: Float[Tensor, "layers rows rows"]
    objective: Float[Tensor, ""]
    divergences: Float[Tensor, " layers"]


def optimal_grams(
    inputs: Float[Tensor, "rows rows"],
    targets: Float[Tensor, "rows outputs"],
    *,
    depth: int = 1,
    nu: float = 1.0,
    noise: float = 0.1,
    kernel: "Literal['rbf'] | Activation | WideLayer" = "rbf",
    jitter: float = 1e-6,
    steps: int = 1000,
) -> OptimalGrams:
    """The Gram matrices that the hidden layers of a deep Gaussian process take in the limit of many features.

        maximise  Σ ln N(y; 0, K(G_L) + σ² 1) − ν Σ_l KL(N(0, G_l) ‖ N(0, K(G_{l−1})))

    It is the limit N → ∞ of a process with νN features a layer, all outputs of which are seen N times. The most likely
    *features* at any N are another matrix: their density lacks the volume |G|^(νN/2) of the features that share one G.

    Args:
        inputs: G₀, inner products of the inputs over their number.
        targets: Y.
        depth: hidden layers, 1 or more.
        nu: ν above 0: features of a layer, over outputs that are seen.
        noise: σ², above 0.
        kernel: see `gram_kernel`.
        jitter: see `gram_layer`.
        steps: of L-BFGS at most.

    Raises:
        ValueError: if shapes do not fit or a parameter is out of range.

    Source: Eq. 13 of the paper.

    Example:
        >>> import torch
        >>> from replica.kernels import optimal_grams
        >>> X = torch.linspace(-2, 2, 5)[:, None].double()
        >>> found = optimal_grams(X @ X.T, torch.sign(X), nu=0.5)
        >>> bool(found.grams[0, 0, 4] < torch.exp(-(X[0] - X[4]) ** 2 / 2))  # rows with other targets part
        True
    """
    if inputs.ndim != 2 or inputs.shape[0] != inputs.shape[1] or targets.shape[:1] != inputs.shape[:1]:
        raise ValueError(
            f"inputs, targets: got shapes {tuple(inputs.shape)} and {tuple(targets.shape)}, want (n, n) and (n, m)"
        )
    if depth < 1:
        raise ValueError(f"depth: got {depth}, want 1 or more hidden layers")
    check_machine(depth, nu, noise)
    blocks, function = GramBlocks(inputs, inputs[:0], inputs.new_empty(0)), gram_kernel(kernel)
    raw = inputs.new_zeros(depth, *inputs.shape).requires_grad_()

    def objective() -> Tensor:
        factors = [triangular(one) for one in raw]
        top = through_gram_layers(blocks, factors, function, jitter=jitter)[-1].inducing
        likelihood = log_likelihood(
            top + (noise + jitter) * torch.eye(len(top), dtype=top.dtype, device=top.device), targets
        )
        return likelihood - nu * torch.stack([gram_divergence(one) for one in factors]).sum()

    maximise(objective, [raw], steps)
    with torch.no_grad():
        factors = [triangular(one) for one in raw]
        grams = through_gram_layers(blocks, factors, function, jitter=jitter)[:-1]
        prices = torch.stack([gram_divergence(one) for one in factors])
        return OptimalGrams(torch.stack([one.inducing for one in grams]), objective(), prices)


def check_machine(depth: int, nu: float, noise: float) -> None:
    """Raises ValueError where a setting of a deep kernel machine is out of range."""
    if depth < 0:
        raise ValueError(f"depth: got {depth}, want 0 or more hidden layers")
    if not nu > 0:
        raise ValueError(f"nu: got {nu}, want a number above 0, infinity for kernels that are not learned")
    if not 0 < noise < math.inf:
        raise ValueError(f"noise: got {noise}, want a finite number above 0")


def maximise(objective: Callable[[], Tensor], parameters: Sequence[Tensor], steps: int) -> int:
    """Moves parameters to where an objective is greatest, by L-BFGS (SciPy) in double precision.

    Args:
        objective: of the parameters as they are, a number.
        parameters: leaves that require gradients; they are written over.
        steps: at most.

    Returns:
        The steps taken.
    """
    sizes = [parameter.numel() for parameter in parameters]

    def write(values: np.ndarray) -> None:
        with torch.no_grad():
            for parameter, part in zip(parameters, np.split(values, np.cumsum(sizes)[:-1]), strict=True):
                parameter.copy_(torch.from_numpy(part).reshape(parameter.shape))

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        write(values)
        try:
            value = -objective()
            slopes = torch.autograd.grad(value, parameters)
        except torch.linalg.LinAlgError:  # type: ignore[attr-defined]  # a step too far, from which the line search comes back
            return math.inf, np.zeros_like(values)
        return float(value.detach()), torch.cat([slope.flatten() for slope in slopes]).double().cpu().numpy()

    start = torch.cat([parameter.detach().flatten() for parameter in parameters]).double().cpu().numpy()
    found = minimize(
        loss, start, jac=True, method="L-BFGS-B", options={"maxiter": steps, "maxfun": 2 * steps, "ftol": 1e-10}
    )
    write(found.x)
    return int(found.nit)
