"""Eigenvalues of convolutional kernels on products of circles, where eigenfunctions are waves in the angles of the patches."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from scipy.fft import dctn
from torch import Tensor

from .convolutional_kernel import ConvolutionalKernel


def circle_spectrum(
    kernel: ConvolutionalKernel, patches: int, active: Sequence[int], *, points: int = 128, nodes: int = 20
) -> Float[Tensor, "waves ..."]:
    """Eigenvalues of a kernel of patches of two inputs, for waves in the angles of some patches, constant in the others.

    With patches uniform on the unit circle the kernel depends on the angles δ_i between those of x and of z, evenly in each:
    its eigenvalue for the wave numbers k_1, k_2, … is the mean of k(δ) Π_i cos(k_i δ_i), and with patches that are not
    active at k_i = 0. A trapezoid rule on [0, π] takes active angles, by a cosine transform; Gauss's rule in (δ/π)^⅓ the
    others, since the kernel is singular where angles vanish together.

    Args:
        kernel: one with first patches of two inputs.
        patches: first patches of an input.
        active: numbers of the patches with waves, from 0 and in rising order; the cost is points^active · nodes^others.
        points: intervals of [0, π], 2 or more; wave numbers k from 0 to this are found, those well below it precisely: an
            eigenvalue that falls as k^−a is off by about 2 (k / 2 points)^a of itself.
        nodes: of Gauss's rule, 1 or more.

    Returns:
        Eigenvalues by wave numbers, float64, one axis of points + 1 for each active patch.

    Raises:
        ValueError: if the kernel's patches are of another size, or a number is out of range.

    Source: Cagnetta, Favero, Wyart 2023, Section 3, for inputs on a product of spheres, here circles.

    Example:
        >>> from replica.kernels import ConvolutionalKernel, circle_spectrum
        >>> found = circle_spectrum(ConvolutionalKernel((2,)), 1, [0])
        >>> [round(float(value), 4) for value in found[[0, 1, 2, 4]]]
        [0.6079, 0.5, 0.1576, 0.0171]
    """
    if kernel.patch_sizes[0] != 2:
        raise ValueError(f"kernel: got first patches of {kernel.patch_sizes[0]} inputs, want 2")
    if list(active) != sorted(set(active)) or not active or not 0 <= active[0] <= active[-1] < patches:
        raise ValueError(f"active: got {list(active)}, want numbers from 0 to {patches - 1} in rising order")
    if points < 2 or nodes < 1:
        raise ValueError(f"points, nodes: got {points} and {nodes}, want 2 or more and 1 or more")
    roots, gauss = np.polynomial.legendre.leggauss(nodes)
    cube_root = (roots + 1) / 2
    # d(δ/π) = 3 u² du with u = (δ/π)^⅓, on [0, 1]; the rule's own weights sum to 2.
    weights = torch.from_numpy(1.5 * gauss * cube_root**2)
    axes = [patch for patch in range(patches) if patch in active] + [p for p in range(patches) if p not in active]
    cosines = []
    for patch in range(patches):
        grid = np.linspace(0, np.pi, points + 1) if patch in active else np.pi * cube_root**3
        shape = [1] * patches
        shape[axes.index(patch)] = len(grid)
        cosines.append(torch.from_numpy(np.cos(grid)).reshape(shape))
    values = kernel.of_cosines(cosines)
    for _ in range(patches - len(active)):
        values = values @ weights
    found = dctn(values.numpy(), type=1) / (2 * points) ** len(active)
    return torch.from_numpy(found)
