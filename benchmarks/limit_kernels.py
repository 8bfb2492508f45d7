"""Tangent kernels at depth 50 beside Neural Tangents (jitted JAX) where it imports, else NumPy; prediction beside SciPy.

Prediction has a pure power of the distance as its peer, which is the limit kernel without its bounded factor: the work of
one power instead of a logarithm, a table and an exponential; hence its looser target.

The operations of a layer that no way can do without, an entry of the triangle: for the polynomial of degree 3, two Horner
schemes and the update of the kernel (10); for erf, the same update, an arcsine counted as 10 and a root as 1.

Neural Tangents carries the inputs' norms through the layers. For the polynomial a norm of 1 is an unstable fixed point, and
by 50 layers rounding has grown to NaN; so only erf has that peer. The polynomial has NumPy on correlations, as ours.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from scipy.spatial.distance import cdist

from replica.kernels import (
    OptimalKernelClassifier,
    neural_tangent_kernel,
    optimal_activation,
)

from .case import Case, jax_on_one_core

DEPTH, COUNT, DIM = 50, 2000, 5
Activation = Callable[[torch.Tensor], torch.Tensor]
Peer = tuple[str, Callable[[], np.ndarray]]


def cases(device: str = "cpu") -> Iterator[Case]:
    """The kernel of 2,000 points with 50 hidden layers, polynomial and erf; 1,000 predictions from 20,000 points."""
    generator = torch.Generator(device).manual_seed(0)
    points = torch.randn(COUNT, DIM, generator=generator, device=device, dtype=torch.float64).abs()
    points = points / points.norm(dim=1, keepdim=True)
    for name, activation, operations in (
        ("polynomial", optimal_activation(DIM - 1), 10.0),
        ("erf", torch.erf, 14.0),
    ):

        def ours(activation: Activation = activation) -> torch.Tensor:
            return neural_tangent_kernel((points @ points.T).clamp_(-1, 1), activation, DEPTH, symmetric=True)

        on_cpu = points.cpu().numpy()
        peer_name, peer = _neural_tangents(on_cpu, activation) or _numpy(on_cpu, activation)
        difference = np.abs(ours().cpu().numpy() / peer() - 1)
        # The diagonal's slope of 2 a layer multiplies its rounding.
        assert np.median(difference) < 1e-9, f"{name}: median relative difference {np.median(difference):g}"
        work = operations * DEPTH * COUNT * (COUNT + 1) / 2
        yield Case(f"tangent kernel, {name}, {COUNT:,}², {DEPTH} layers, {peer_name}", ours, peer, work, 1.0)

    rng = np.random.default_rng(0)
    X, asked = rng.normal(size=(20_000, 8)), rng.normal(size=(1000, 8))
    y = (X[:, 0] + rng.normal(size=20_000) > 0).astype(int)
    model = OptimalKernelClassifier(exponent=8).fit(X, y)
    votes = np.eye(2)[y]

    def plain() -> np.ndarray:
        scores = cdist(asked, X, "sqeuclidean") ** -4.0 @ votes
        return scores / scores.sum(1, keepdims=True)

    yield Case(
        "prediction, 1,000 from 20,000 × 8, SciPy distances to a power (no bounded factor)",
        lambda: model.predict_proba(asked),
        plain,
        2.0 * 1000 * 20_000 * 10,
        1.1,
    )


def _neural_tangents(points: np.ndarray, activation: Activation) -> Peer | None:
    if activation is not torch.erf:
        return None
    try:
        jax = jax_on_one_core()
        from neural_tangents import stax
    except ImportError:
        return None
    layer = stax.Erf(a=math.asin(2 / 3) ** -0.5 * (math.pi / 2) ** 0.5)
    layers = []
    for index in range(DEPTH):
        layers += [stax.Dense(1, W_std=math.sqrt(DIM) if index == 0 else 1.0, b_std=None), layer]
    kernel = jax.jit(lambda x: stax.serial(*layers, stax.Dense(1, W_std=1.0, b_std=None))[2](x, None, "ntk"))
    return "Neural Tangents", lambda: np.asarray(kernel(points))


def _numpy(points: np.ndarray, activation: Activation) -> Peer:
    def kernel() -> np.ndarray:
        sigma = np.clip(points @ points.T, -1, 1)
        ntk = sigma
        for _ in range(DEPTH):
            if activation is torch.erf:
                value = np.arcsin(2 / 3 * sigma) / math.asin(2 / 3)
                slope = 2 / 3 / (math.asin(2 / 3) * np.sqrt(1 - (2 / 3 * sigma) ** 2))
            else:
                powers = np.array(activation.coefficients) ** 2
                value = np.polynomial.polynomial.polyval(sigma, powers)
                slope = np.polynomial.polynomial.polyval(sigma, np.polynomial.polynomial.polyder(powers))
            sigma, ntk = value, value + ntk * slope
        return ntk

    return "NumPy", kernel
