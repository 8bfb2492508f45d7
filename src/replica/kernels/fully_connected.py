"""Kernels of infinitely wide fully connected networks, for inputs of any norm, with biases.

With n units in the layer below, layers are h = σ_w W x/√n + σ_b b, all of W and b from N(0, 1); inputs are divided by the
root of their own dimension d in the same way. From K = σ_w² x·z / d + σ_b² and Θ = K, each hidden layer and the weights
above it give

    K ← σ_w² E[φ(u) φ(v)] + σ_b²              the Gaussian process of the network (NNGP),
    Θ ← K + σ_w² E[φ'(u) φ'(v)] Θ             its neural tangent kernel (NTK),

u, v Gaussian with the covariances K of the layer below. Jacot, Gabriel, Hongler 2018, arXiv 1806.07572, Prop. 1 and Theorem 1:
σ_w = 1 and σ_b their β.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from .dual_activations import Activation
from .layer_moments import WideLayer
from .wide_layers import wide_layer

# Entries taken through all layers at once: the arrays that a layer makes of them stay in a core's second-level cache.
_BLOCK_ENTRIES = {"cpu": 2**15, "cuda": 2**24}
_PANELS = 16

Moments = Callable[[int, Tensor], tuple[Tensor, Tensor | None]]
"""From the number of a layer and the covariances below it to the two moments of `WideLayer`."""


class WideKernels(NamedTuple):
    """Both kernels of one network.

    Attributes:
        nngp: K, shape (n, m).
        ntk: Θ, shape (n, m).
    """

    nngp: Float[Tensor, "n m"]
    ntk: Float[Tensor, "n m"]


def through_layers(
    covariance: Float[Tensor, "..."],
    moments: Moments,
    depth: int,
    *,
    weight_variance: float = 1.0,
    bias_variance: float = 0.0,
    tangent: bool = True,
) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."] | None]:
    """K and Θ after `depth` hidden layers, elementwise: the recursion that all kernels of this wing share.

    Args:
        covariance: K of the first layer.
        moments: E[φ(u) φ(v)] and E[φ'(u) φ'(v)] of layer l = 0, 1, ... from its K, as new tensors; the second is not read
            without `tangent`.
        depth: hidden layers, 0 or more.
        weight_variance: σ_w².
        bias_variance: σ_b².
        tangent: whether Θ is wanted; else None is in its place.
    """
    kernel = covariance
    for layer in range(depth):
        covariance, slope = moments(layer, covariance)
        if weight_variance != 1:
            covariance = covariance.mul_(weight_variance)
        if bias_variance:
            covariance = covariance.add_(bias_variance)
        if tangent:
            assert slope is not None
            followed = torch.is_grad_enabled() and any(one.requires_grad for one in (covariance, kernel, slope))
            kernel = torch.addcmul(covariance, kernel, slope, value=weight_variance, out=None if followed else slope)
    return covariance, kernel if tangent else None


def wide_kernel(
    X: Float[Tensor, "n inputs"],
    Z: Float[Tensor, "m inputs"] | None = None,
    *,
    activation: Activation | WideLayer = torch.relu,
    depth: int = 1,
    weight_variance: float = 1.0,
    bias_variance: float = 0.0,
    kind: Literal["nngp", "ntk"] = "ntk",
) -> Float[Tensor, "n m"]:
    """The NNGP or tangent kernel of a wide fully connected network between inputs of any norm.

    Closed forms for the activations that `wide_layer` names, Hermite expansions for others. The result is the one matrix
    of full size that is held (two for `wide_kernels`): the layers run over blocks that stay in cache, half of them where `Z` is
    not given. Under autograd they run over all entries at once.

    Args:
        X: inputs, float32 or float64.
        Z: inputs of the same kind. Default `X`.
        activation: φ, or its `WideLayer`.
        depth: hidden layers, 0 or more.
        weight_variance: σ_w², above 0; 1 as in Jacot et al., 2 keeps the variance of ReLU layers.
        bias_variance: σ_b², 0 or more; β² of Jacot et al.
        kind: "nngp" for K or "ntk" for Θ.

    Raises:
        ValueError: if a shape, dtype or parameter is wrong, or a number is not finite.

    Example:
        >>> import torch
        >>> from replica.kernels import wide_kernel
        >>> wide_kernel(torch.tensor([[1.0, 1.0], [2.0, 0.0]]), depth=2, weight_variance=2.0)
        tensor([[ 6.0000,  5.0501],
                [ 5.0501, 12.0000]])
    """
    if kind not in ("nngp", "ntk"):
        raise ValueError(f"kind: got {kind!r}, want 'nngp' or 'ntk'")
    found = _kernels(X, Z, activation, depth, weight_variance, bias_variance, kind)
    return found[kind]


def wide_kernels(
    X: Float[Tensor, "n inputs"],
    Z: Float[Tensor, "m inputs"] | None = None,
    *,
    activation: Activation | WideLayer = torch.relu,
    depth: int = 1,
    weight_variance: float = 1.0,
    bias_variance: float = 0.0,
) -> WideKernels:
    """Both kernels at little more than the cost of one; see `wide_kernel`.

    Raises:
        ValueError: as `wide_kernel`.

    Example:
        >>> import torch
        >>> from replica.kernels import wide_kernels
        >>> nngp, ntk = wide_kernels(torch.eye(2), activation=torch.erf)
        >>> nngp.diagonal()
        tensor([0.3333, 0.3333])
    """
    found = _kernels(X, Z, activation, depth, weight_variance, bias_variance, "both")
    return WideKernels(found["nngp"], found["ntk"])


def wide_kernel_diagonal(
    X: Float[Tensor, "n inputs"],
    *,
    activation: Activation | WideLayer = torch.relu,
    depth: int = 1,
    weight_variance: float = 1.0,
    bias_variance: float = 0.0,
    kind: Literal["nngp", "ntk"] = "ntk",
) -> Float[Tensor, " n"]:
    """The kernel of each input with itself, n numbers: see `wide_kernel`.

    Raises:
        ValueError: as `wide_kernel`.

    Example:
        >>> import torch
        >>> from replica.kernels import wide_kernel_diagonal
        >>> wide_kernel_diagonal(torch.eye(2), depth=2)
        tensor([0.3750, 0.3750])
    """
    if kind not in ("nngp", "ntk"):
        raise ValueError(f"kind: got {kind!r}, want 'nngp' or 'ntk'")
    _check(X, None, depth, weight_variance, bias_variance)
    _, nngp, ntk = _own(X, wide_layer(activation), depth, weight_variance, bias_variance)
    return nngp if kind == "nngp" else ntk


def _kernels(
    X: Tensor,
    Z: Tensor | None,
    activation: Activation | WideLayer,
    depth: int,
    weight_variance: float,
    bias_variance: float,
    kind: str,
) -> dict[str, Tensor]:
    _check(X, Z, depth, weight_variance, bias_variance)
    layer = wide_layer(activation)
    variances, nngp, ntk = _own(X, layer, depth, weight_variance, bias_variance)
    left = [layer.features(one) for one in variances]
    others = variances if Z is None else _own(Z, layer, depth, weight_variance, bias_variance)[0]
    right = left if Z is None else [layer.features(one) for one in others]
    own, tangent = {"nngp": nngp, "ntk": ntk}, kind != "nngp"

    def block(rows: slice, columns: slice, products: Tensor) -> dict[str, Tensor]:
        def moments(index: int, covariance: Tensor) -> tuple[Tensor, Tensor | None]:
            one, two = left[index][:, rows, None], right[index][:, None, columns]
            return layer.combine(one, covariance, two, slope=tangent)

        first = products * (weight_variance / X.shape[1]) + bias_variance
        found = through_layers(
            first, moments, depth, weight_variance=weight_variance, bias_variance=bias_variance, tangent=tangent
        )
        return {name: one for name, one in zip(("nngp", "ntk"), found, strict=True) if one is not None}

    whole = slice(None)
    if torch.is_grad_enabled() and any(one is not None and one.requires_grad for one in (X, Z)):
        found = block(whole, whole, X @ (X if Z is None else Z).T)
        if Z is None:
            found = {name: one + torch.diag(own[name] - one.diagonal()) for name, one in found.items()}
        return found
    names = ("nngp", "ntk") if kind == "both" else (kind,)
    results = {name: _fresh(X, len(X if Z is None else Z)) for name in names}
    _fill(results, X, Z, block)
    if Z is None:
        for name, result in results.items():
            result.diagonal().copy_(own[name])
    return results


def _fresh(like: Tensor, columns: int) -> Tensor:
    """Memory of a result, on the CPU from NumPy, which asks for huge pages: the first touch of small ones costs a layer."""
    kinds = {torch.float32: np.float32, torch.float64: np.float64}
    if like.device.type != "cpu" or like.dtype not in kinds:
        return like.new_empty(len(like), columns)
    return torch.from_numpy(np.empty((len(like), columns), kinds[like.dtype]))


def _fill(
    results: dict[str, Tensor], X: Tensor, Z: Tensor | None, block: Callable[[slice, slice, Tensor], dict[str, Tensor]]
) -> None:
    entries = _BLOCK_ENTRIES.get(X.device.type, 2**24)
    panel = max(1, -(-len(X) // _PANELS))
    for start in range(0, len(X), panel):
        end = min(start + panel, len(X))
        columns = end if Z is None else len(Z)
        # The products of a whole panel lie where one of its results will.
        products = next(iter(results.values()))[start:end, :columns]
        torch.mm(X[start:end], (X if Z is None else Z)[:columns].T, out=products)
        step = max(1, entries // max(1, columns))
        for first in range(start, end, step):
            rows = slice(first, min(first + step, end))
            found = block(rows, slice(0, columns), products[first - start : rows.stop - start])
            for name, result in results.items():
                result[rows, :columns] = found[name]
        if Z is None:
            for result in results.values():
                result[:start, start:end] = result[start:end, :start].T
                square = result[start:end, start:end]
                square.copy_(square.tril() + square.tril(-1).T)


def _own(
    X: Tensor, layer: WideLayer, depth: int, weight_variance: float, bias_variance: float
) -> tuple[list[Tensor], Tensor, Tensor]:
    """E[u²] of every layer's inputs, and both kernels of each input with itself."""
    variances: list[Tensor] = []

    def moments(index: int, variance: Tensor) -> tuple[Tensor, Tensor | None]:
        variances.append(variance)
        return layer.own_moments(variance)

    first = X.square().mean(1) * weight_variance + bias_variance
    nngp, ntk = through_layers(first, moments, depth, weight_variance=weight_variance, bias_variance=bias_variance)
    assert ntk is not None
    return variances, nngp, ntk


def _check(X: Tensor, Z: Tensor | None, depth: int, weight_variance: float, bias_variance: float) -> None:
    for name, one in (("X", X), ("Z", Z)):
        if one is None:
            continue
        if one.dim() != 2 or not one.is_floating_point() or not one.shape[1]:
            raise ValueError(
                f"{name}: got {one.dtype} of shape {tuple(one.shape)}, want floating-point numbers (n, inputs)"
            )
        if not bool(torch.isfinite(one).all()):
            raise ValueError(f"{name}: got numbers that are not finite")
    if Z is not None and (Z.shape[1] != X.shape[1] or Z.dtype != X.dtype):
        raise ValueError(f"Z: got {Z.dtype} with {Z.shape[1]} inputs, want {X.dtype} with {X.shape[1]} as X")
    if depth < 0:
        raise ValueError(f"depth: got {depth}, want 0 or more")
    if not 0 < weight_variance < float("inf"):
        raise ValueError(f"weight_variance: got {weight_variance}, want a finite number above 0")
    if not 0 <= bias_variance < float("inf"):
        raise ValueError(f"bias_variance: got {bias_variance}, want a finite number of 0 or more")
