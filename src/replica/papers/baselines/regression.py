"""What people use today to predict a number: baselines of the problem regression."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from replica.lab.claims import Choice, Integer, LogUniform, Trial, Uniform
from replica.lab.problems.baseline import Baselines

baselines = Baselines()
Array = NDArray[np.float64]


def _state(trial: Trial, name: str) -> int:
    return int(trial.rng(name).integers(2**31))


@baselines.entry("mean", "the mean of the targets, as sure as they spread: the trivial method")
class Mean:
    """Predicts the mean; its distribution is the normal one of the targets' mean and deviation."""

    def __init__(self, trial: Trial) -> None:
        pass

    def fit(self, X: Array, y: Array) -> Self:
        """Take mean and deviation; the deviation of equal targets is 1."""
        self.mean, self.deviation = float(y.mean()), float(y.std()) or 1.0
        return self

    def predict(self, X: Array) -> Array:
        """The mean for every row."""
        return np.full(len(X), self.mean)

    def predict_quantiles(self, X: Array, levels: Array) -> Array:
        """Quantiles of the normal distribution, shape ``(rows, levels)``."""
        return _normal_quantiles(levels, self.predict(X), np.full(len(X), self.deviation))

    def log_density(self, X: Array, y: Array) -> Array:
        """Log density of the normal distribution at ``y``."""
        return _normal_density(y, self.predict(X), np.full(len(X), self.deviation))


@baselines.entry("ridge", "linear least squares, its L2 penalty chosen by leave-one-out error")
def ridge(trial: Trial) -> Any:
    """Ridge regression with the penalty, of 25 from 10⁻³ to 10⁵, that has the least leave-one-out error."""
    from sklearn.linear_model import RidgeCV

    return RidgeCV(alphas=np.logspace(-3, 5, 25))


@baselines.entry(
    "random-forest",
    "300 trees; quantiles of the targets in their leaves",
    space={"max_features": Uniform(0.1, 1.0), "min_samples_leaf": Integer(1, 20)},
)
class QuantileForest:
    """A random forest whose leaves weigh the training targets: quantile regression forest (Meinshausen, JMLR 2006).

    A row weighs w_i(x) = mean over trees of 1[X_i in the leaf of x] / (rows in that leaf); the distribution at x is that of the
    targets y_i with these weights.
    """

    def __init__(
        self, trial: Trial, n_estimators: int = 300, max_features: float = 1 / 3, min_samples_leaf: int = 5
    ) -> None:
        from sklearn.ensemble import RandomForestRegressor

        self.forest = RandomForestRegressor(
            n_estimators=n_estimators,
            max_features=max_features,
            min_samples_leaf=min_samples_leaf,
            random_state=_state(trial, "random-forest"),
        )

    def fit(self, X: Array, y: Array) -> Self:
        """Grow the trees; keep which training row is in which leaf, the least target first."""
        order = np.argsort(y, kind="stable")
        self.forest.fit(X, y)
        self.targets, self.leaves = y[order], self.forest.apply(X[order]).astype(np.int32)
        return self

    def predict(self, X: Array) -> Array:
        """The mean of the trees."""
        return np.asarray(self.forest.predict(X))

    def predict_quantiles(self, X: Array, levels: Array) -> Array:
        """Quantiles of the weighted training targets, shape ``(rows, levels)``."""
        from scipy.sparse import csr_matrix

        places, leaves = self.forest.apply(X), max(int(tree.tree_.node_count) for tree in self.forest.estimators_)
        offsets = np.arange(places.shape[1]) * leaves  # a leaf of each tree is a column of its own
        trees, columns = places.shape[1], places.shape[1] * leaves

        def inside(of: NDArray[np.integer[Any]]) -> Any:
            ends = np.arange(0, of.size + 1, trees)
            return csr_matrix((np.ones(of.size), (of + offsets).ravel(), ends), shape=(len(of), columns))

        known = inside(self.leaves)
        known = known.multiply(1 / np.maximum(known.sum(axis=0), 1)).tocsr().T / trees
        result = np.empty((len(X), len(levels)))
        for rows in np.array_split(np.arange(len(X)), -(-len(X) // 500)):
            weights = (inside(places[rows]) @ known).toarray().cumsum(axis=1)
            for row, below in zip(rows, weights, strict=True):
                found = np.searchsorted(below, levels * below[-1])
                result[row] = self.targets[np.minimum(found, len(below) - 1)]
        return result


@baselines.entry(
    "gradient-boosting",
    "histogram gradient boosting: what people use today for tables",
    space={
        "learning_rate": LogUniform(0.01, 0.5),
        "max_leaf_nodes": Integer(3, 63),
        "l2_regularization": LogUniform(1e-3, 10.0),
    },
)
def gradient_boosting(
    trial: Trial, learning_rate: float = 0.1, max_leaf_nodes: int = 31, l2_regularization: float = 0.0
) -> Any:
    """Histogram gradient boosting of the squared error, 100 rounds."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(
        learning_rate=learning_rate,
        max_leaf_nodes=max_leaf_nodes,
        l2_regularization=l2_regularization,
        random_state=_state(trial, "gradient-boosting"),
    )


@baselines.entry(
    "quantile-boosting",
    "histogram gradient boosting of seven quantiles",
    space={
        "learning_rate": LogUniform(0.01, 0.5),
        "max_leaf_nodes": Integer(3, 63),
        "l2_regularization": LogUniform(1e-3, 10.0),
    },
)
class QuantileBoosting:
    """Histogram gradient boosting of the pinball loss at seven levels, 100 rounds each; straight lines between quantiles.

    Beyond the outermost levels the lines go on. The prediction is the mean of the distribution: of 50 of its quantiles.
    """

    levels: tuple[float, ...] = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)

    def __init__(
        self, trial: Trial, learning_rate: float = 0.1, max_leaf_nodes: int = 31, l2_regularization: float = 0.0
    ) -> None:
        from sklearn.ensemble import HistGradientBoostingRegressor

        self.models = [
            HistGradientBoostingRegressor(
                loss="quantile",
                quantile=level,
                learning_rate=learning_rate,
                max_leaf_nodes=max_leaf_nodes,
                l2_regularization=l2_regularization,
                random_state=_state(trial, "quantile-boosting"),
            )
            for level in self.levels
        ]

    def fit(self, X: Array, y: Array) -> Self:
        """Fit one model a level."""
        for model in self.models:
            model.fit(X, y)
        return self

    def predict(self, X: Array) -> Array:
        """The mean of the distribution."""
        return np.asarray(self.predict_quantiles(X, (np.arange(50) + 0.5) / 50).mean(axis=1))

    def predict_quantiles(self, X: Array, levels: Array) -> Array:
        """Quantiles, shape ``(rows, levels)``; those of the models are sorted first."""
        known, given = np.sort([model.predict(X) for model in self.models], axis=0), np.array(self.levels)
        left = np.clip(np.searchsorted(given, levels) - 1, 0, len(given) - 2)
        share = (levels - given[left]) / (given[left + 1] - given[left])
        return np.asarray((known[left] * (1 - share[:, None]) + known[left + 1] * share[:, None]).T)


@baselines.entry(
    "gaussian-process",
    "an RBF kernel with a length for each column, by evidence on at most 1,000 rows; at most 4,000 are kept",
    space={"length_scale": LogUniform(0.3, 30.0)},
)
class GaussianProcess:
    """Gaussian process regression with a constant times an RBF kernel plus noise, fitted by evidence (marginal likelihood).

    Each column has a length scale of its own where there are at most 30; the kernel is fitted on at most 1,000 rows and
    conditioned on at most 4,000, the first of them: rows come in random order.
    """

    evidence_rows: int = 1000
    kept_rows: int = 4000
    most_lengths: int = 30

    def __init__(self, trial: Trial, length_scale: float = 3.0) -> None:
        self.length_scale = length_scale

    def fit(self, X: Array, y: Array) -> Self:
        """Maximise the evidence by L-BFGS from one start, then condition on the rows."""
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

        lengths = np.full(X.shape[1] if X.shape[1] <= self.most_lengths else 1, self.length_scale)
        kernel = ConstantKernel(1.0, (1e-2, 1e2)) * RBF(lengths, (1e-2, 1e4)) + WhiteKernel(0.1, (1e-5, 1e1))
        fitted = GaussianProcessRegressor(kernel).fit(X[: self.evidence_rows], y[: self.evidence_rows])
        self.process = fitted
        if len(X) > self.evidence_rows:
            rows = slice(self.kept_rows)
            self.process = GaussianProcessRegressor(fitted.kernel_, optimizer=None).fit(X[rows], y[rows])
        return self

    def predict(self, X: Array) -> Array:
        """The posterior's mean."""
        return self._predict(X)[0]

    def _predict(self, X: Array) -> tuple[Array, Array]:
        parts = [self.process.predict(rows, return_std=True) for rows in np.array_split(X, -(-len(X) // 1000))]
        mean, deviation = (np.concatenate(part) for part in zip(*parts, strict=True))
        return mean, np.maximum(deviation, 1e-6)

    def predict_quantiles(self, X: Array, levels: Array) -> Array:
        """Quantiles of the normal posterior, noise included, shape ``(rows, levels)``."""
        return _normal_quantiles(levels, *self._predict(X))

    def log_density(self, X: Array, y: Array) -> Array:
        """Log density of the normal posterior, noise included."""
        return _normal_density(y, *self._predict(X))


@baselines.entry(
    "mlp",
    "a multilayer perceptron of 2 × 128 units, stopped early",
    space={
        "width": Choice((64, 128, 256)),
        "alpha": LogUniform(1e-6, 1.0),
        "learning_rate_init": LogUniform(1e-4, 1e-2),
    },
)
class MLP:
    """A multilayer perceptron with two hidden layers of 128 ReLU units, trained by Adam.

    A tenth of the rows says when to stop, where there are `enough` of them.
    """

    enough: int = 50

    def __init__(self, trial: Trial, width: int = 128, alpha: float = 1e-4, learning_rate_init: float = 1e-3) -> None:
        from sklearn.neural_network import MLPRegressor

        self.network = MLPRegressor(
            hidden_layer_sizes=(width, width),
            alpha=alpha,
            learning_rate_init=learning_rate_init,
            n_iter_no_change=20,
            max_iter=500,
            random_state=_state(trial, "mlp"),
        )

    def fit(self, X: Array, y: Array) -> Self:
        """Train it."""
        self.network.set_params(early_stopping=len(X) >= self.enough).fit(X, y)
        return self

    def predict(self, X: Array) -> Array:
        """What the network gives."""
        return np.asarray(self.network.predict(X))


def _normal_quantiles(levels: Array, mean: Array, deviation: Array) -> Array:
    from scipy.special import ndtri

    return np.asarray(mean[:, None] + deviation[:, None] * ndtri(levels))


def _normal_density(y: Array, mean: Array, deviation: Array) -> Array:
    return np.asarray(-0.5 * np.square((y - mean) / deviation) - np.log(deviation) - 0.5 * np.log(2 * np.pi))
