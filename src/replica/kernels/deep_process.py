"""The posterior of a deep Gaussian process of finitely many features: what the limit of a deep kernel machine is a limit of."""

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from .deep_kernel import check_machine, through_gram_layers
from .dual_activations import Activation
from .gram_layers import GramBlocks, gram_kernel
from .layer_moments import WideLayer

Density = Callable[[Tensor], tuple[Tensor, Tensor]]
"""From whitened features over the root of their number, (layers, rows, features), to ln p(Y | G_L) and G₁ to G_L."""


def targets_given_features(
    inputs: Float[Tensor, "rows rows"],
    targets: Float[Tensor, "rows outputs"],
    *,
    noise: float = 0.1,
    kernel: "Literal['rbf'] | Activation | WideLayer" = "rbf",
    jitter: float = 1e-6,
) -> Density:
    """Σ ln N(y; 0, K(G_L) + σ² 1) over outputs, and G₁ to G_L, as a function of whitened features.

    A layer of N features F = C V, V standard normal and C Cᵀ = K(G_{l−1}), has G_l = F Fᵀ / N.

    Args:
        inputs: G₀, inner products of the inputs over their number.
        targets: Y.
        noise: σ², above 0.
        kernel: see `gram_kernel`.
        jitter: see `gram_layer`.

    Returns:
        A function of V / √N, (layers, rows, features); the identity gives G_l = K(G_{l−1}), the standard limit.
    """
    blocks, function = GramBlocks(inputs, inputs[:0], inputs.new_zeros(0)), gram_kernel(kernel)
    spread = (noise + jitter) * torch.eye(len(inputs), dtype=inputs.dtype, device=inputs.device)
    constant = targets.numel() * math.log(2 * math.pi) / 2

    def density(features: Tensor) -> tuple[Tensor, Tensor]:
        *layers, top = through_gram_layers(blocks, list(features), function, jitter=jitter)
        root = torch.linalg.cholesky(top.inducing + spread)
        seen = torch.linalg.solve_triangular(root, targets, upper=False)
        value = -seen.square().sum() / 2 - targets.shape[1] * root.diagonal().log().sum() - constant
        return value, torch.stack([one.inducing for one in layers])

    return density


def deep_process_grams(
    inputs: Float[Tensor, "rows rows"],
    targets: Float[Tensor, "rows outputs"],
    features: int,
    *,
    depth: int = 1,
    noise: float = 0.1,
    kernel: "Literal['rbf'] | Activation | WideLayer" = "rbf",
    chains: int = 8,
    turns: int = 60,
    leaps: int = 8,
    jitter: float = 1e-6,
    generator: Generator | None = None,
) -> Float[Tensor, "draws layers rows rows"]:
    """Gram matrices of a deep Gaussian process of N features a layer that has seen each output N times.

    Hamiltonian Monte Carlo in whitened features, from the prior. The step is settled, for eight acceptances in ten, in the
    first third of the turns, which is left out. As N grows all draws tend to `optimal_grams` of ν = 1.

    Args:
        inputs: G₀, inner products of the inputs over their number.
        targets: Y.
        features: N, 1 or more.
        depth: hidden layers, 1 or more.
        noise: σ², above 0.
        kernel: see `gram_kernel`.
        chains: run side by side.
        turns: of each chain.
        leaps: steps of a turn.
        jitter: see `gram_layer`.
        generator: of the chains.

    Returns:
        G₁ to G_L, chains of a turn side by side.

    Raises:
        ValueError: if a number is out of range.

    Source: section 4 of Yang et al. 2023, arXiv 2108.13097; Neal 2011, "MCMC using Hamiltonian dynamics".

    Example:
        >>> import torch
        >>> from replica.kernels import deep_process_grams
        >>> X = torch.linspace(-2, 2, 5)[:, None].double()
        >>> drawn = deep_process_grams(X @ X.T, torch.sign(X), 16, turns=6, generator=torch.Generator().manual_seed(0))
        >>> drawn.shape
        torch.Size([32, 1, 5, 5])
    """
    for name, number in (
        ("features", features),
        ("depth", depth),
        ("chains", chains),
        ("turns", turns),
        ("leaps", leaps),
    ):
        if number < 1:
            raise ValueError(f"{name}: got {number}, want 1 or more")
    check_machine(depth, math.inf, noise)
    density = targets_given_features(inputs, targets, noise=noise, kernel=kernel, jitter=jitter)
    like: dict[str, Any] = {"generator": generator, "dtype": inputs.dtype, "device": inputs.device}

    def log_density(state: Tensor) -> tuple[Tensor, Tensor]:
        value, grams = density(state / math.sqrt(features))
        return features * value - state.square().sum() / 2, grams

    slope_and = torch.func.vmap(torch.func.grad_and_value(log_density, has_aux=True))
    state, step = torch.randn(chains, depth, len(inputs), features, **like), 0.1
    slope, (value, grams) = slope_and(state)
    kept = []
    for turn in range(turns):
        speed = torch.randn(state.shape, **like)
        place, ahead, energy = state, slope, value - speed.square().sum((1, 2, 3)) / 2
        for _ in range(leaps):
            speed = speed + step / 2 * ahead
            place = place + step * speed
            ahead, (reached, seen) = slope_and(place)
            speed = speed + step / 2 * ahead
        gain = reached - speed.square().sum((1, 2, 3)) / 2 - energy
        taken = torch.rand(chains, **like).log() < gain.nan_to_num(nan=-math.inf)
        pairs = ((place, state), (ahead, slope), (seen, grams))
        state, slope, grams = (torch.where(taken[:, None, None, None], new, old) for new, old in pairs)
        value = torch.where(taken, reached, value)
        if turn < turns // 3:
            step *= math.exp((float(taken.double().mean()) - 0.8) / 4)
        else:
            kept.append(grams)
    return torch.cat(kept)
