"""A Gaussian process, and a deep kernel machine in its place, beside GPyTorch's exact one where it imports, else scikit-learn's.

All climb the evidence of 400 rows to its top and predict 400 others; the first case asks that both tops are one. Ours tries three
starts, the peers one. Operations are those of a Cholesky factor and an inverse of it, rows³, for each of thirty evaluations; the
machine has two layers more, of four such works each.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch

from replica.kernels import DeepKernelMachineRegressor

from .case import Case

ROWS, STEPS = 400, 30


def cases(device: str = "cpu") -> Iterator[Case]:
    """The process that is a machine without layers; a machine of two layers, with all rows and with 50 inducing points."""
    rng = np.random.default_rng(0)
    X, queries = rng.normal(size=(2, ROWS, 4))
    y = np.sin(X[:, 0] + X[:, 1]) + 0.2 * rng.normal(size=ROWS)
    y = (y - y.mean()) / y.std()

    def machine(depth: int, inducing: int | None) -> DeepKernelMachineRegressor:
        model = DeepKernelMachineRegressor(depth, inducing=inducing, steps=STEPS, random_state=0).fit(X, y)
        model.predict(queries, return_std=True)
        return model

    name, peer = _gpytorch(X, y, queries) or _scikit_learn(X, y, queries)
    assert abs(machine(0, None).objective_ - peer()) < 0.5
    work = STEPS * float(ROWS) ** 3
    yield Case(f"Gaussian process by evidence, {ROWS} rows, {name}", lambda: machine(0, None), peer, work, 2.0)
    for inducing, kind, factor in ((None, "all rows", 17.0), (50, "50 inducing points", 17 * (50 / ROWS) ** 2)):
        yield Case(
            f"deep kernel machine of two layers, {ROWS} rows, {kind}, {name}'s Gaussian process",
            lambda inducing=inducing: machine(2, inducing),
            peer,
            factor * work,
            20.0,
            other_work=True,
        )


def _gpytorch(X: np.ndarray, y: np.ndarray, queries: np.ndarray) -> tuple[str, Callable[[], float]] | None:
    try:
        import gpytorch
    except ImportError:
        return None
    rows, targets, others = (torch.from_numpy(part) for part in (X, y, queries))

    class Process(gpytorch.models.ExactGP):  # type: ignore[misc]
        def __init__(self, likelihood: object) -> None:
            super().__init__(rows, targets, likelihood)
            self.mean_module = gpytorch.means.ZeroMean()
            self.covar_module = gpytorch.kernels.ScaleKernel(gpytorch.kernels.RBFKernel())

        def forward(self, x: torch.Tensor) -> object:
            return gpytorch.distributions.MultivariateNormal(self.mean_module(x), self.covar_module(x))

    def peer() -> float:
        likelihood = gpytorch.likelihoods.GaussianLikelihood()
        process = Process(likelihood).double()
        evidence = gpytorch.mlls.ExactMarginalLogLikelihood(likelihood, process)
        optimiser = torch.optim.LBFGS(process.parameters(), max_iter=STEPS, line_search_fn="strong_wolfe")

        def loss() -> torch.Tensor:
            optimiser.zero_grad()
            value = -evidence(process(rows), targets)
            value.backward()
            return value

        process.train()
        optimiser.step(loss)
        top = -float(loss().detach()) * ROWS
        process.eval()
        with torch.no_grad(), gpytorch.settings.fast_computations(False, False, False):
            likelihood(process(others)).stddev.sum()
        return top

    return "GPyTorch", peer


def _scikit_learn(X: np.ndarray, y: np.ndarray, queries: np.ndarray) -> tuple[str, Callable[[], float]]:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    def peer() -> float:
        process = GaussianProcessRegressor(ConstantKernel() * RBF() + WhiteKernel(0.1)).fit(X, y)
        process.predict(queries, return_std=True)
        return float(process.log_marginal_likelihood_value_)

    return "scikit-learn", peer
