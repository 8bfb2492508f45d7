"""Alignment of kernels, and of representations through their linear kernels (CKA): 1 where they are the same but for a scale.

Cortes et al. 2012 (centred alignment of kernels), Kornblith et al. 2019 (CKA of representations), Song et al. 2012 (debiased).
"""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor


def kernel_alignment(
    first: Float[Tensor, "... samples samples"],
    second: Float[Tensor, "... samples samples"],
    *,
    centring: Literal["biased", "debiased", "none"] = "biased",
) -> Float[Tensor, "..."]:
    """Cosine between two kernel matrices, ⟨K, L⟩ / (‖K‖ ‖L‖), after centring.

    ``"biased"``: K and L become HKH and HLH with H = 1 − 11ᵀ/n (Cortes et al. 2012, Definition 4): the cosine of their
    HSIC. ``"debiased"``: U-centring, whose inner product is the unbiased HSIC (Song et al. 2012, eq. 5): near 0 for
    independent representations however many units they have; may be negative. ``"none"``: as the matrices are
    (Cristianini et al. 2001).

    Args:
        first: symmetric kernel matrices of the same samples, shape (..., samples, samples).
        second: likewise; leading axes broadcast, so that ``(a, 1, n, n)`` with ``(b, n, n)`` gives all a · b pairs.
        centring: which of the three.

    Raises:
        ValueError: if matrices are not square or of different sizes, there are too few samples, the kind is unknown, or
            a centred matrix is 0.

    Example:
        >>> import torch
        >>> from replica.kernels import kernel_alignment
        >>> labels = torch.tensor([1.0, 1.0, -1.0, -1.0])
        >>> kernel_alignment(torch.eye(4), labels.outer(labels), centring="none")
        tensor(0.5000)
    """
    for name, matrix in (("first", first), ("second", second)):
        if matrix.dim() < 2 or matrix.shape[-1] != matrix.shape[-2]:
            raise ValueError(f"{name}: got shape {tuple(matrix.shape)}, want (..., samples, samples)")
    _check_samples(first.shape[-1], second.shape[-1], centring)
    one, other = _centred(first, centring), _centred(second, centring)
    _check_varies("first", "kernel matrix", first, one)
    _check_varies("second", "kernel matrix", second, other)
    return _cosine((one * other).sum((-2, -1)), one.square().sum((-2, -1)), other.square().sum((-2, -1)))


def linear_cka(
    first: Float[Tensor, "... samples units"],
    second: Float[Tensor, "... samples others"],
    *,
    debiased: bool = False,
) -> Float[Tensor, "..."]:
    """Linear centred kernel alignment of two representations of the same samples: ‖YᵀX‖² / (‖XᵀX‖ ‖YᵀY‖), X and Y centred.

    Unchanged by rotations, reflections, shifts and one scale of either. Works on matrices of samples × samples or of
    units × units, whichever is smaller; gradients flow to both.

    Args:
        first: activations, shape (..., samples, units).
        second: of the same samples, shape (..., samples, units of its own); leading axes broadcast.
        debiased: takes out what finitely many samples add (see `kernel_alignment`); needs 4 samples.

    Returns:
        Of each pair, in [0, 1]; debiased at most 1 and perhaps negative.

    Raises:
        ValueError: if the samples differ in number or are too few, or a representation is constant.

    Source: Kornblith et al. 2019, Section 3, eq. 2; debiased as in Nguyen et al. 2021, eq. 3.

    Example:
        >>> import torch
        >>> from replica.kernels import linear_cka
        >>> units = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))
        >>> rotation = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1)))[0]
        >>> linear_cka(units, 5 * units @ rotation + 1).round(decimals=4)
        tensor(1.)
    """
    for name, activations in (("first", first), ("second", second)):
        if activations.dim() < 2 or not activations.shape[-1]:
            raise ValueError(f"{name}: got shape {tuple(activations.shape)}, want (..., samples, units)")
    _check_samples(first.shape[-2], second.shape[-2], "debiased" if debiased else "biased")
    one, other = (units - units.mean(-2, keepdim=True) for units in (first, second))
    _check_varies("first", "representation", first, one)
    _check_varies("second", "representation", second, other)
    samples = one.shape[-2]
    if samples <= max(one.shape[-1], other.shape[-1]):
        ours, theirs = one @ one.mT, other @ other.mT
        across, own, others = ((a * b).sum((-2, -1)) for a, b in ((ours, theirs), (ours, ours), (theirs, theirs)))
    else:
        across = (one.mT @ other).square().sum((-2, -1))
        own, others = _squared_covariances(one), _squared_covariances(other)
    if debiased:
        lengths, other_lengths = one.square().sum(-1), other.square().sum(-1)
        across = _without_diagonal(across, lengths, other_lengths)
        own = _without_diagonal(own, lengths, lengths)
        others = _without_diagonal(others, other_lengths, other_lengths)
    return _cosine(across, own, others)


def pairwise_linear_cka(
    first: Sequence[Float[Tensor, "samples _"]],
    second: Sequence[Float[Tensor, "samples _"]] | None = None,
    *,
    debiased: bool = False,
) -> Float[Tensor, "layers others"]:
    """`linear_cka` of every layer with every other, layers of any widths, without a loop over pairs.

    Kernels as rows of one matrix of layers × samples² have all their inner products in one product, taken over rows of samples so
    that memory stays small; where samples are many, a layer's covariance with all units is squared and summed by layer instead.

    Args:
        first: activations of the same samples, a matrix (samples, units) a layer.
        second: likewise, of another network perhaps; none takes ``first`` again.
        debiased: see `linear_cka`.

    Raises:
        ValueError: as `linear_cka`, with the layer's place.

    Example:
        >>> import torch
        >>> from replica.kernels import pairwise_linear_cka
        >>> layers = [torch.randn(50, width, generator=torch.Generator().manual_seed(width)) for width in (3, 5)]
        >>> pairwise_linear_cka([*layers, 2 * layers[0]])[0].round(decimals=2)
        tensor([1.0000, 0.0600, 1.0000])
    """
    samples = first[0].shape[0] if len(first) and first[0].dim() == 2 else 0
    sides = []
    for name, layers in (("first", first), ("second", first if second is None else second)):
        centred = []
        for place, units in enumerate(layers):
            if units.dim() != 2 or not units.shape[1] or len(units) != samples:
                raise ValueError(
                    f"{name}[{place}]: got shape {tuple(units.shape)}, want ({samples or 'samples'}, units)"
                )
            _check_samples(samples, samples, "debiased" if debiased else "biased")
            centred.append(units - units.mean(0))
            _check_varies(f"{name}[{place}]", "representation", units, centred[-1])
        if not centred:
            raise ValueError(f"{name}: got no layer, want one or more")
        sides.append(centred)
    ours, theirs = sides
    across = _inner_products(ours, theirs, debiased)
    if second is None:
        own = others = across.diagonal()
    else:
        own = torch.cat([_inner_products([units], [units], debiased)[0] for units in ours])
        others = torch.cat([_inner_products([units], [units], debiased)[0] for units in theirs])
    return _cosine(across, own[:, None], others)


def _inner_products(first: list[Tensor], second: list[Tensor], debiased: bool) -> Tensor:
    """⟨K, L⟩ of the kernels of all pairs of centred layers, shape (first, second)."""
    samples, theirs = len(first[0]), torch.cat(second, 1)
    if 2 * samples <= theirs.shape[1]:
        products = theirs.new_zeros(len(first), len(second))
        rows = max(1, 2**24 // (samples * max(len(first), len(second))))  # of all kernels, in memory at once
        for start in range(0, samples, rows):
            ours, others = (
                torch.stack([units[start : start + rows] @ units.T for units in layers]).flatten(1)
                for layers in (first, second)
            )
            products = products + ours @ others.T
    else:
        widths = torch.tensor([units.shape[1] for units in second])
        layer = torch.arange(len(second)).repeat_interleave(widths).to(theirs.device)
        columns = torch.stack([(units.T @ theirs).square().sum(0) for units in first])
        products = columns.new_zeros(len(first), len(second)).index_add(1, layer, columns)
    if debiased:
        lengths, other_lengths = (
            torch.stack([units.square().sum(1) for units in layers]) for layers in (first, second)
        )
        products = _without_diagonal(products, lengths[:, None], other_lengths)
    return products


def _squared_covariances(units: Tensor) -> Tensor:
    """‖X'X‖² from the blocks on and above the diagonal: the others are the same."""
    width = 256
    total = units.new_zeros(units.shape[:-2])
    for start in range(0, units.shape[-1], width):
        block = units[..., start : start + width].mT @ units[..., start:]
        total = total + 2 * block.square().sum((-2, -1)) - block[..., :width].square().sum((-2, -1))
    return total


def _without_diagonal(product: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """⟨K̃, L̃⟩ of U-centred matrices from ⟨K, L⟩ of centred ones and their diagonals: rows of K sum to 0, so off it to −K_ii."""
    samples = first.shape[-1]
    total = first.sum(-1) * second.sum(-1) / ((samples - 1) * (samples - 2))
    return product - samples / (samples - 2) * (first * second).sum(-1) + total


def _centred(matrix: Tensor, centring: str) -> Tensor:
    if centring == "none":
        return matrix
    if centring == "biased":
        return matrix - matrix.mean(-1, keepdim=True) - matrix.mean(-2, keepdim=True) + matrix.mean((-2, -1), True)
    samples = matrix.shape[-1]
    off = ~torch.eye(samples, dtype=torch.bool, device=matrix.device)
    matrix = matrix * off
    rows, columns = matrix.sum(-1, keepdim=True), matrix.sum(-2, keepdim=True)
    total = matrix.sum((-2, -1), keepdim=True) / ((samples - 1) * (samples - 2))
    return (matrix - (rows + columns) / (samples - 2) + total) * off


def _check_samples(first: int, second: int, centring: str) -> None:
    if centring not in ("biased", "debiased", "none"):
        raise ValueError(f"centring: got {centring!r}, want 'biased', 'debiased' or 'none'")
    if first != second:
        raise ValueError(f"second: got {second} samples, want {first} as in first")
    fewest = {"none": 1, "biased": 2, "debiased": 4}[centring]
    if first < fewest:
        raise ValueError(f"first: got {first} samples, want {fewest} or more")


def _check_varies(name: str, what: str, given: Tensor, centred: Tensor) -> None:
    """What is left of a constant after centring is rounding."""
    rounding = 10 * torch.finfo(given.dtype).eps * _largest(given)
    if not bool((_largest(centred) > rounding).all()):  # also false for NaN
        raise ValueError(f"{name}: got a {what} that is constant or not finite, want one that varies")


def _largest(matrix: Tensor) -> Tensor:
    """The largest absolute value, without a copy of the matrix."""
    return torch.maximum(matrix.detach().amax((-2, -1)), -matrix.detach().amin((-2, -1)))


def _cosine(across: Tensor, own: Tensor, others: Tensor) -> Tensor:
    # Roots apart: the product of two squared norms may overflow where neither does.
    return across / own.sqrt() / others.sqrt()
