"""What people use today to learn a function from examples: baselines of the problem teacher."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from replica.kernels import KernelRegressor
from replica.lab.claims import Choice, Integer, LogUniform, Trial
from replica.lab.problems.baseline import Baselines
from replica.training import NetworkEstimator
from replica.training.estimators import MakeModule

baselines = Baselines()
Array = NDArray[np.float64]
TRAINING = {"learning_rate": LogUniform(3e-4, 3e-2), "weight_decay": LogUniform(1e-5, 1.0)}


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
    "kernel ridge regression with a Gaussian kernel, its penalty by leave-one-out",
    space={"gamma": LogUniform(0.1, 10.0)},
)
def rbf_kernel_ridge(trial: Trial, gamma: float = 1.0) -> Any:
    """The kernel exp(−γ ‖x − z‖² / features) on standardised inputs."""
    return RbfKernelRidge(gamma)


@baselines.entry(
    "gradient-boosting",
    "histogram gradient boosting",
    space={
        "learning_rate": LogUniform(0.01, 0.5),
        "max_leaf_nodes": Integer(3, 63),
        "min_samples_leaf": Integer(2, 20),
    },
)
def gradient_boosting(
    trial: Trial, learning_rate: float = 0.1, max_leaf_nodes: int = 31, min_samples_leaf: int = 20
) -> Any:
    """100 rounds."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(
        learning_rate=learning_rate,
        max_leaf_nodes=max_leaf_nodes,
        min_samples_leaf=min_samples_leaf,
        random_state=int(trial.rng("gradient-boosting").integers(2**31)),
    )


@baselines.entry("mlp", "a multilayer perceptron of 2 × 128 units", space=TRAINING)
def mlp(trial: Trial, learning_rate: float = 3e-3, weight_decay: float = 1e-2) -> NetworkRegressor:
    """Two hidden layers of ReLU units, the rows laid flat."""
    return NetworkRegressor(mlp_network, trial, learning_rate, weight_decay)


@baselines.entry(
    "cnn",
    "a convolutional network of 2 × 64 channels over the patches",
    space={**TRAINING, "readout": Choice(("mean", "flat"))},
    target=("dsd", "local", "keys"),
)
def cnn(
    trial: Trial, learning_rate: float = 3e-3, weight_decay: float = 1e-2, readout: str = "mean"
) -> NetworkRegressor:
    """Two convolutions of width 3 with ReLU, then a linear map of the mean over patches, or of all of them."""

    def make(features: int, outputs: int, shape: tuple[int, ...]) -> nn.Module:
        return cnn_network(shape, outputs, readout)

    return NetworkRegressor(make, trial, learning_rate, weight_decay)


class RbfKernelRidge:
    """Kernel ridge regression with a Gaussian kernel whose width goes with the number of features."""

    def __init__(self, gamma: float) -> None:
        self.gamma = gamma

    def fit(self, X: Array, y: Array) -> Self:
        """Learn from rows of shape ``(examples, features)``."""
        kernel = KernelRegressor("rbf", gamma=self.gamma / X.shape[1])
        self.model = _on_standard_inputs(kernel).fit(X, y)
        return self

    def predict(self, X: Array) -> Array:
        """Give a number a row."""
        return np.asarray(self.model.predict(X))


class NetworkRegressor(NetworkEstimator):
    """A network that predicts a number, by squared error; every network gets as many steps, however few the examples.

    Inputs and targets are standardised by one mean and one deviation each, which leaves the patches alike.
    """

    def __init__(self, make_module: MakeModule, trial: Trial, learning_rate: float, weight_decay: float) -> None:
        generator = trial.generator("weights", "cpu")
        super().__init__(make_module, generator, learning_rate=learning_rate, weight_decay=weight_decay)
        self.device, self.steps = trial.device, trial.pick(smoke=100, laptop=1000, full=5000)

    def loss(self, module: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        """The mean squared error."""
        return (module(inputs)[:, 0] - targets).square().mean()

    def fit(self, X: Array, y: Array, shape: tuple[int, ...] | None = None) -> Self:
        """Train on rows of shape ``(examples, features)``, each laid out as ``shape``."""
        self.inputs, self.targets = ((float(v.mean()), max(float(v.std()), 1e-12)) for v in (X, y))
        rows, answers = self._standard(X, self.inputs), self._standard(y, self.targets)
        epochs = max(1, round(self.steps / -(-len(X) // self.batch_size)))
        return self._train((X.shape[1], 1, shape or (X.shape[1],)), rows, answers, epochs, None)

    @torch.no_grad()
    def predict(self, X: Array) -> Array:
        """Give a number a row."""
        parts = self._standard(X, self.inputs).split(self.rows_at_once)
        outputs = torch.cat([self.module(part)[:, 0] for part in parts]).double().cpu().numpy()
        mean, deviation = self.targets
        predicted: Array = mean + deviation * outputs
        return predicted

    def _standard(self, values: Array, scale: tuple[float, float]) -> Tensor:
        return torch.tensor((values - scale[0]) / scale[1], dtype=torch.float32, device=self.device)


def mlp_network(features: int, outputs: int, shape: tuple[int, ...]) -> nn.Module:
    """Build the multilayer perceptron."""
    return nn.Sequential(nn.Linear(features, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, outputs))


def cnn_network(shape: tuple[int, ...], outputs: int, readout: str) -> nn.Module:
    """Build the convolutional network for rows that are ``(patches, dim)`` laid flat; a row without patches is one."""
    patches, dim = shape if len(shape) == 2 else (1, *shape)
    pooled = nn.AdaptiveAvgPool1d(1) if readout == "mean" else nn.Identity()
    return nn.Sequential(
        nn.Unflatten(1, (patches, dim)),
        _Channels(),
        nn.Conv1d(dim, 64, 3, padding=1),
        nn.ReLU(),
        nn.Conv1d(64, 64, 3, padding=1),
        nn.ReLU(),
        pooled,
        nn.Flatten(),
        nn.Linear(64 * (1 if readout == "mean" else patches), outputs),
    )


class _Channels(nn.Module):
    """Makes the numbers of a patch its channels."""

    def forward(self, rows: Tensor) -> Tensor:
        return rows.transpose(1, 2)


def _on_standard_inputs(learner: Any) -> Any:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), learner)
