"""Kernels of infinitely wide convolutional networks whose patches do not overlap: a tree over the inputs.

A first patch holds s₁ adjacent inputs, each further one s_l adjacent patches of the layer below (the paper's meta-patches).
From K = σ_w² x_i·z_i / s₁ + σ_b² of each first patch i, and Θ = K, hidden layer l and the weights above it give at each patch

    K ← σ_w² E[φ(u) φ(v)] + σ_b²,    Θ ← K + σ_w² E[φ'(u) φ'(v)] Θ,

and a patch of the next layer takes the mean over its s_{l+1} children, the output the mean over all patches of the last layer.
Shared weights make no difference, since nothing is pooled. Cagnetta, Favero, Wyart 2023, arXiv 2208.01003, Section 2.
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from .dual_activations import Activation
from .layer_moments import WideLayer
from .wide_layers import wide_layer

# Entries of all patches taken through the layers at once.
_BLOCK_ENTRIES = {"cpu": 2**18, "cuda": 2**24}


class ConvolutionalKernel:
    """The NNGP or tangent kernel of a wide convolutional network with patches that do not overlap.

    Inputs may have several times as many numbers as s₁ ⋯ s_L: the output is then a sum of networks side by side, each of its
    own part of the input. One patch size is a sum over patches of fully connected networks with one hidden layer.

    Args:
        patch_sizes: s₁, …, s_L: inputs of a first patch, then patches of the layer below; one hidden layer each.
        activation: φ, or its `WideLayer`; closed forms for those that `wide_layer` names.
        weight_variance: σ_w², above 0; 2 keeps the variance of ReLU layers.
        bias_variance: σ_b², 0 or more.
        kind: "nngp" for K or "ntk" for Θ.

    Raises:
        ValueError: if a parameter is out of range.

    Example:
        >>> import torch
        >>> from replica.kernels import ConvolutionalKernel
        >>> kernel = ConvolutionalKernel((2, 2))
        >>> kernel(torch.tensor([[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 1.0]]))
        tensor([[3.0000, 1.5651],
                [1.5651, 3.0000]])
    """

    def __init__(
        self,
        patch_sizes: Sequence[int],
        *,
        activation: Activation | WideLayer = torch.relu,
        weight_variance: float = 2.0,
        bias_variance: float = 0.0,
        kind: Literal["nngp", "ntk"] = "ntk",
    ) -> None:
        if not patch_sizes or min(patch_sizes) < 1:
            raise ValueError(f"patch_sizes: got {tuple(patch_sizes)}, want one or more numbers of 1 or more")
        if not (0 < weight_variance < math.inf and 0 <= bias_variance < math.inf):
            raise ValueError(
                f"weight_variance, bias_variance: got {weight_variance} and {bias_variance}, want finite numbers above 0 "
                "and of 0 or more"
            )
        if kind not in ("nngp", "ntk"):
            raise ValueError(f"kind: got {kind!r}, want 'nngp' or 'ntk'")
        self.patch_sizes = tuple(patch_sizes)
        self.layer = wide_layer(activation)
        self.weight_variance, self.bias_variance, self.kind = weight_variance, bias_variance, kind

    def __call__(
        self, X: Float[Tensor, "n inputs"], Z: Float[Tensor, "m inputs"] | None = None
    ) -> Float[Tensor, "n m"]:
        """The kernel between inputs, float32 or float64, in blocks of rows; half of it where `Z` is not given.

        Raises:
            ValueError: if shapes or dtypes do not fit, or a number is not finite.
        """
        return self._gram(X, Z, False)[0]

    def levels(
        self, X: Float[Tensor, "n inputs"], Z: Float[Tensor, "m inputs"] | None = None
    ) -> Float[Tensor, "layers n m"]:
        """The kernels of patch sizes (s₁), (s₁, s₂), … and of all, from one pass: of networks that end after each layer.

        Raises:
            ValueError: as a call.
        """
        return self._gram(X, Z, True)

    def diagonal(self, X: Float[Tensor, "n inputs"]) -> Float[Tensor, " n"]:
        """The kernel of each input with itself.

        Raises:
            ValueError: as a call.
        """
        return self._own(self._patches(X, "X"))[1][-1]

    def of_cosines(self, cosines: Sequence[Float[Tensor, "..."]]) -> Float[Tensor, "..."]:
        """The kernel between inputs whose first patches have norm 1, from the cosine between those of each pair.

        Args:
            cosines: one tensor a patch; they broadcast, and each layer is found on no more axes than it depends on.

        Raises:
            ValueError: if their number is no multiple of s₂ ⋯ s_L.
        """
        if not cosines or len(cosines) % math.prod(self.patch_sizes[1:]):
            raise ValueError(f"cosines: got {len(cosines)}, want a multiple of {math.prod(self.patch_sizes[1:])}")
        ones = torch.ones(len(cosines), 1, dtype=cosines[0].dtype, device=cosines[0].device)
        features = self._own(ones / self.patch_sizes[0])[0]
        first = [self._covariance(one / self.patch_sizes[0]) for one in cosines]
        flat = [[feature[:, 0] for feature in layer] for layer in features]  # (features,) broadcasts with all
        return self._through(first, flat, flat)[-1]

    def _covariance(self, products: Tensor) -> Tensor:
        return products * self.weight_variance + self.bias_variance

    def _patches(self, X: Tensor, name: str) -> Tensor:
        """Inputs as (patches, n, s₁)."""
        size = math.prod(self.patch_sizes)
        if X.dim() != 2 or not X.is_floating_point() or not X.shape[1] or X.shape[1] % size:
            raise ValueError(
                f"{name}: got {X.dtype} of shape {tuple(X.shape)}, want floating-point numbers (n, inputs), inputs a multiple "
                f"of {size}, the product of patch_sizes"
            )
        if not bool(torch.isfinite(X).all()):
            raise ValueError(f"{name}: got numbers that are not finite")
        return X.unflatten(1, (-1, self.patch_sizes[0])).transpose(0, 1)

    def _own(self, patches: Tensor) -> tuple[list[list[Tensor]], list[Tensor]]:
        """Features of each layer's patches, each of shape (features, n), and the kernels after each of inputs with themselves."""
        square = patches.square().mean(-1) if patches.dim() == 3 else patches
        variances, tangents, features = self._covariance(square), self._covariance(square), []
        own: list[Tensor] = []
        for size in (*self.patch_sizes[1:], 0):
            features.append([self.layer.features(one) for one in variances])
            value, slope = self.layer.own_moments(variances)
            variances = self._covariance(value)
            tangents = variances + self.weight_variance * slope * tangents
            own.append((tangents if self.kind == "ntk" else variances).mean(0))
            if size:
                variances, tangents = (one.unflatten(0, (-1, size)).mean(1) for one in (variances, tangents))
        return features, own

    def _through(
        self, first: list[Tensor], left: list[list[Tensor]], right: list[list[Tensor]], every: bool = True
    ) -> list[Tensor]:
        """The recursion: kernels after each layer (the last alone without `every`) from covariances of the first patches."""
        tangent, found, depth = self.kind == "ntk", [], len(self.patch_sizes)
        covariances, tangents = first, first
        for index in range(depth):
            above, above_tangents = [], []
            for place, covariance in enumerate(covariances):
                one, two = left[index][place], right[index][place]
                value, slope = self.layer.combine(one, covariance, two, slope=tangent)
                above.append(self._covariance(value))
                if tangent:
                    assert slope is not None
                    scaled = slope * tangents[place]
                    above_tangents.append(torch.add(above[-1], scaled, alpha=self.weight_variance))
            if every or index + 1 == depth:
                found.append(_mean(above_tangents if tangent else above))
            if index + 1 < depth:
                size = self.patch_sizes[index + 1]
                covariances, tangents = _grouped(above, size), _grouped(above_tangents, size)
        return found

    def _gram(self, X: Tensor, Z: Tensor | None, every: bool) -> Tensor:
        left = self._patches(X, "X")
        if Z is not None and (Z.shape[-1] != X.shape[1] or Z.dtype != X.dtype):
            raise ValueError(
                f"Z: got {Z.dtype} of shape {tuple(Z.shape)}, want {X.dtype} with {X.shape[1]} inputs as X"
            )
        right = left if Z is None else self._patches(Z, "Z")
        features, own = self._own(left)
        others = features if Z is None else self._own(right)[0]
        count, total = left.shape[1], right.shape[1]
        result = X.new_empty(len(self.patch_sizes) if every else 1, count, total)
        step = max(1, _BLOCK_ENTRIES.get(X.device.type, 2**24) // (len(left) * max(1, total)))
        for start in range(0, count, step):
            rows = slice(start, min(start + step, count))
            columns = slice(0, rows.stop if Z is None else total)
            products = left[:, rows] @ right[:, columns].mT / self.patch_sizes[0]
            found = self._through(
                list(self._covariance(products)),
                [[one[:, rows, None] for one in layer] for layer in features],
                [[one[:, None, columns] for one in layer] for layer in others],
                every,
            )
            for index, one in enumerate(found):
                result[index, rows, columns] = one
                if Z is None:
                    result[index, : rows.stop, rows] = one.T
                    square = one[:, rows]
                    result[index, rows, rows] = square.tril() + square.tril(-1).T
        if Z is None:
            for index, exact in enumerate(own if every else own[-1:]):
                result[index].diagonal().copy_(exact)
        return result


def _grouped(patches: list[Tensor], size: int) -> list[Tensor]:
    return [_mean(patches[start : start + size]) for start in range(0, len(patches), size)]


def _mean(patches: list[Tensor]) -> Tensor:
    total = patches[0]
    for one in patches[1:]:
        total = total + one
    return total / len(patches) if len(patches) > 1 else total
