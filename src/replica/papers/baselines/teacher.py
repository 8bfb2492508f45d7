"""What people use today to learn a function from examples: baselines of the problem teacher."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from replica.lab.claims import LogUniform, Trial
from replica.lab.problems.baseline import Baselines

baselines = Baselines()


@baselines.entry("mean", "the mean target: the trivial method")
def mean(trial: Trial) -> Any:
    """Takes no randomness."""
    from sklearn.dummy import DummyRegressor

    return DummyRegressor()


@baselines.entry("ridge", "linear ridge regression, its penalty by leave-one-out")
def ridge(trial: Trial) -> Any:
    """Candidates for the penalty span twelve decades."""
    from sklearn.linear_model import RidgeCV

    return _on_standard_inputs(RidgeCV(np.logspace(-6, 6, 25)))


@baselines.entry(
    "rbf-kernel-ridge",
    "kernel ridge regression with a Gaussian kernel",
    space={"alpha": LogUniform(1e-4, 1e2), "gamma": LogUniform(0.1, 10.0)},
)
def rbf_kernel_ridge(trial: Trial, alpha: float = 0.1, gamma: float = 1.0) -> Any:
    """The kernel exp(−γ ‖x − z‖² / features) on standardised inputs."""
    return RbfKernelRidge(alpha, gamma)


class RbfKernelRidge:
    """Kernel ridge regression with a Gaussian kernel whose width goes with the number of features."""

    def __init__(self, alpha: float, gamma: float) -> None:
        self.alpha, self.gamma = alpha, gamma

    def fit(self, X: NDArray[np.float64], y: NDArray[np.float64]) -> RbfKernelRidge:
        """Learn from rows of shape ``(examples, features)``."""
        from sklearn.kernel_ridge import KernelRidge

        self.mean = y.mean()
        kernel = KernelRidge(kernel="rbf", alpha=self.alpha, gamma=self.gamma / X.shape[1])
        self.model = _on_standard_inputs(kernel).fit(X, y - self.mean)
        return self

    def predict(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give a number a row."""
        predicted: NDArray[np.float64] = self.mean + self.model.predict(X)
        return predicted


def _on_standard_inputs(learner: Any) -> Any:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), learner)
