"""One-step-broken equations beside SciPy's adaptive quadrature and root finding, and tempering beside a NumPy loop.

Arithmetic limit of a sweep: one neuron's field in a P-spin network needs 2 N^(P−1) operations. That of the equations is
not given by their size: 0.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from scipy.integrate import quad
from scipy.optimize import root

from replica.memory import gaussian_couplings, one_step_broken, parallel_tempering, symmetric_tensor

from .case import Case


def cases() -> Iterator[Case]:
    """The glass of three spins at 64 temperatures; tempering at orders 2 and 3."""
    temperatures = np.linspace(0.3, 0.6, 64)
    ours = partial(one_step_broken, 3, 0.75, temperatures, phase="spin glass", stride=0.3)
    peer = partial(by_quadrature, temperatures)
    assert np.abs(ours().within.numpy() - peer()[:, 0]).max() < 1e-6
    # SciPy starts beside the solution; ours finds it.
    yield Case("one-step equations of the 3-spin glass, 64 temperatures, beside SciPy", ours, peer, 0.0, 1.5)
    ladder = torch.linspace(0.3, 1.3, 12)
    for order, dim, samples in ((2, 64, 32), (3, 32, 32)):
        draw = torch.Generator().manual_seed(0)
        couplings = gaussian_couplings(order, dim, 0.75, samples, generator=draw, dtype=torch.float32)
        tensor = symmetric_tensor(couplings, order, dim).numpy()
        start = np.where(np.random.default_rng(0).random((samples, 12, dim)) < 0.5, -1, 1).astype(np.float32)
        yield Case(
            f"tempering, 2 sweeps, order {order}, N = {dim}, {samples} samples at 12 temperatures, beside a NumPy loop",
            partial(parallel_tempering, couplings, order, dim, ladder, 2, generator=draw),
            partial(temper_in_a_loop, tensor, start, ladder.numpy(), 2, np.random.default_rng(0)),
            2 * 2.0 * samples * 12 * dim**order,
            1.0,
            updates=2 * samples * 12 * dim,
        )


def by_quadrature(temperatures: np.ndarray) -> np.ndarray:
    """q₂ and θ of the 3-spin glass (c = 1/2), each temperature from the solution at the one before."""
    guess, found = np.array([0.95, 0.45]), []
    for beta in 1 / temperatures:

        def average(function, scale):
            return quad(lambda z: function(scale * z) * np.exp(-z * z / 2) / np.sqrt(2 * np.pi), -9, 9, limit=200)[0]

        def equations(unknown, beta=beta):
            q, theta = unknown
            scale = beta * np.sqrt(1.5) * abs(q)
            power = lambda x: np.cosh(x) ** theta  # noqa: E731
            total = average(power, scale)
            logarithm = average(lambda x: power(x) * np.log(np.cosh(x)), scale) / total
            return (
                average(lambda x: power(x) * np.tanh(x) ** 2, scale) / total - q,
                logarithm / theta - np.log(total) / theta**2 - beta**2 / 2 * q**3,
            )

        guess = root(equations, guess, tol=1e-10).x
        found.append(guess)
    return np.array(found)


def temper_in_a_loop(
    tensor: np.ndarray, start: np.ndarray, temperatures: np.ndarray, sweeps: int, rng: np.random.Generator
) -> np.ndarray:
    """One neuron of one copy of one sample after another, then exchanges."""
    order, dim = tensor.ndim - 1, tensor.shape[1]
    states, beta = start.copy(), 1 / temperatures
    for couplings, copies in zip(tensor, states, strict=True):
        energy = np.zeros(len(beta))
        for _ in range(sweeps):
            for k, state in enumerate(copies):
                for i in rng.permutation(dim):
                    field = couplings[i] @ state if order == 2 else (couplings[i] @ state) @ state / 2
                    state[i] = 1.0 if rng.random() < 1 / (1 + np.exp(-2 * beta[k] * field)) else -1.0
                local = couplings @ state
                energy[k] = -state @ local / 2 if order == 2 else -state @ (local @ state) / 6
            for k in range(len(beta) - 1):
                if rng.random() < np.exp(min(0.0, (beta[k] - beta[k + 1]) * (energy[k] - energy[k + 1]))):
                    copies[[k, k + 1]], energy[[k, k + 1]] = copies[[k + 1, k]], energy[[k + 1, k]]
    return states
