"""Layers of a deep kernel machine: Gram matrices that may leave what the kernel below says they are, at a price.

A layer takes a Gram matrix G to its kernel K(G), which needs no features: any kernel that is a function of inner products
and norms will do. The next Gram matrix is free, and pays ν KL(N(0, G') ‖ N(0, K(G))); as ν grows, G' = K(G), the Gaussian
process of an infinitely wide network (NNGP). Rows that are no inducing points follow from these as in a Gaussian process.

Yang, Robeyns, Milsom, Anson, Schoots, Aitchison 2023, "A theory of representation learning gives a deep generalisation of
kernel methods", arXiv 2108.13097.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from .dual_activations import Activation
from .layer_moments import WideLayer
from .wide_layers import wide_layer


class GramBlocks(NamedTuple):
    """Inner products, or kernel values, among inducing points and further rows.

    Attributes:
        inducing: between inducing points, (p, p).
        cross: of rows with inducing points, (n, p).
        own: of each row with itself, (n,).
    """

    inducing: Float[Tensor, "p p"]
    cross: Float[Tensor, "n p"]
    own: Float[Tensor, " n"]


GramKernel = Callable[[GramBlocks], GramBlocks]
"""From the blocks of G to those of K(G)."""


def gram_kernel(kernel: "Literal['rbf'] | Activation | WideLayer" = "rbf") -> GramKernel:
    """A kernel as a function of Gram matrices.

        "rbf"            exp(−(G_ii + G_jj)/2 + G_ij) = exp(−‖f_i − f_j‖²/2) of features f
        an activation φ  E[φ(u) φ(v)] / E[φ(z)²], u and v of covariance G, z standard normal: 1 where G_ii = 1

    Args:
        kernel: "rbf", an activation, or the `WideLayer` of one.

    Raises:
        ValueError: if it is another name.

    Example:
        >>> import torch
        >>> from replica.kernels import GramBlocks, gram_kernel
        >>> two = torch.eye(2)
        >>> gram_kernel("rbf")(GramBlocks(two, two, torch.ones(2))).inducing[0, 1]
        tensor(0.3679)
    """
    if isinstance(kernel, str):
        if kernel != "rbf":
            raise ValueError(f"kernel: got {kernel!r}, want 'rbf', an activation or a WideLayer")
        return _squared_exponential
    layer = wide_layer(kernel)
    unit = float(layer.own_moments(torch.ones((), dtype=torch.float64))[0])

    def of(gram: GramBlocks) -> GramBlocks:
        inducing = layer.features(gram.inducing.diagonal())
        pairs = [
            layer.combine(left[..., None], entries, inducing[:, None], slope=False)[0] / unit
            for left, entries in ((inducing, gram.inducing), (layer.features(gram.own), gram.cross))
        ]
        return GramBlocks(pairs[0], pairs[1], layer.own_moments(gram.own)[0] / unit)

    return of


def _squared_exponential(gram: GramBlocks) -> GramBlocks:
    diagonal = gram.inducing.diagonal()
    inducing = torch.exp(gram.inducing - (diagonal[:, None] + diagonal) / 2)
    cross = torch.exp((gram.cross - (gram.own[:, None] + diagonal) / 2).clamp_max(0))
    return GramBlocks(inducing, cross, torch.ones_like(gram.own))


def gram_layer(
    kernel: GramBlocks, factor: Float[Tensor, "p p"] | None = None, *, jitter: float = 1e-6
) -> tuple[GramBlocks, Float[Tensor, "p p"]]:
    """The Gram matrices of a layer, whose inducing block is free.

    With K_ii = C Cᵀ the inducing block is G_ii = (C M)(C M)ᵀ, and rows follow from it:

        G_ti = K_ti K_ii⁻¹ G_ii,   G_tt = K_tt − K_ti K_ii⁻¹ K_it + K_ti K_ii⁻¹ G_ii K_ii⁻¹ K_it.

    Args:
        kernel: K of the layer below.
        factor: M, of full rank; None for the identity, which is G = K.
        jitter: added to the diagonal of K_ii, in units of its mean.

    Returns:
        The blocks of G, and K_ti C⁻ᵀ, (n, p).

    Source: section 5 of the paper, with M in place of the paper's G_ii.
    """
    inducing = kernel.inducing + jitter * kernel.inducing.diagonal().mean() * torch.eye(
        len(kernel.inducing), dtype=kernel.inducing.dtype, device=kernel.inducing.device
    )
    root = torch.linalg.cholesky(inducing)
    whitened = torch.linalg.solve_triangular(root, kernel.cross.T, upper=False).T
    if factor is None:
        return GramBlocks(inducing, whitened @ root.T, kernel.own), whitened
    grown, seen = root @ factor, whitened @ factor
    own = (kernel.own - whitened.square().sum(1)).clamp_min(0) + seen.square().sum(1)
    return GramBlocks(grown @ grown.T, seen @ grown.T, own), whitened


def gram_divergence(factor: Float[Tensor, "p p"]) -> Float[Tensor, ""]:
    """KL(N(0, G) ‖ N(0, K)) = ½ (tr K⁻¹G − ln|K⁻¹G| − p), in nats, where G = C M Mᵀ Cᵀ and K = C Cᵀ.

    Args:
        factor: M = C⁻¹ chol(G), or any other with the same M Mᵀ.
    """
    return (factor.square().sum() - len(factor)) / 2 - torch.linalg.slogdet(factor)[1]
