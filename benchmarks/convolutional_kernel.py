"""Kernels of wide convolutional networks beside Neural Tangents (jitted JAX) where it imports, else whole arrays in PyTorch.

Operations that no way can do without, a patch of each layer and an entry of the triangle, as in `wide_kernels`: 25 for ReLU.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch

from replica.kernels import ConvolutionalKernel

from .case import Case, jax_on_one_core

COUNT, PATCHES = 1000, 8
SIZES = (2, 2, 2, 2)


def cases(device: str = "cpu") -> Iterator[Case]:
    """The tangent kernel of 1,000 inputs of eight patches, four layers."""
    drawn = torch.randn(COUNT, PATCHES, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    points = (drawn / drawn.norm(dim=-1, keepdim=True)).flatten(1)
    kernel = ConvolutionalKernel(SIZES)
    on_device = points.to(device)
    name, peer = _neural_tangents(points.numpy()) or _whole_arrays(points)
    assert np.allclose(kernel(on_device).cpu().numpy(), peer(), rtol=1e-6), name
    work = 25.0 * (2 * PATCHES - 1) * COUNT * (COUNT + 1) / 2
    yield Case(
        f"convolutional tangent kernel, {PATCHES} patches, {COUNT:,}², {name}",
        lambda: kernel(on_device),
        peer,
        work,
        0.5,
    )


def _neural_tangents(points: np.ndarray) -> tuple[str, Callable[[], object]] | None:
    try:
        jax = jax_on_one_core()
        from neural_tangents import stax
    except ImportError:
        return None
    form = ("NHC", "HIO", "NHC")
    layers = []
    for size in SIZES:
        layers += [stax.Conv(1, (size,), (size,), "VALID", W_std=math.sqrt(2), b_std=None, dimension_numbers=form)]
        layers += [stax.Relu()]
    network = stax.serial(*layers, stax.Flatten(), stax.Dense(1, W_std=math.sqrt(2), b_std=None))
    kernel = jax.jit(lambda x: network[2](x, None, "ntk"))
    return "Neural Tangents", lambda: np.asarray(kernel(points[..., None]))


def _whole_arrays(points: torch.Tensor) -> tuple[str, Callable[[], object]]:
    def kernel() -> np.ndarray:
        patches = points.unflatten(1, (-1, 2)).transpose(0, 1)
        k = ntk = patches @ patches.mT
        for size in (*SIZES[1:], 1):
            t = k.clamp(-1, 1)
            slope = 1 - t.arccos() / math.pi
            above = (1 - t.square()).sqrt() / math.pi + slope * t
            k, ntk = (one.unflatten(0, (-1, size)).mean(1) for one in (above, above + slope * ntk))
        return ntk[0].numpy()

    return "whole arrays", kernel
