"""Two-layer ReLU networks by convex programmes, as scikit-learn's estimators."""

from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.linear_model import Lasso
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from .activation_patterns import sampled_patterns
from .convex_relu_admm import convex_relu_admm
from .robust_convex_relu import robust_convex_relu

Array = NDArray[np.float64]
Solver = Literal["admm", "sampled"]


class _ConvexRelu(BaseEstimator):  # type: ignore[misc]
    """What both have: the network's two layers, a solver that finds them, and its outputs."""

    solver: Solver
    units: int
    penalty: float
    steps: int
    tolerance: float
    random_state: Any

    def _fit(self, X: Array, targets: Array, radius: float = 0.0) -> None:
        """Sets both layers; targets have shape (rows, outputs)."""
        if self.solver not in ("admm", "sampled"):
            raise ValueError(f"solver: got {self.solver!r}, want 'admm' or 'sampled'")
        if self.units < 1:
            raise ValueError(f"units: got {self.units}, want 1 or more")
        if radius < 0 or (radius and self.solver != "admm"):
            raise ValueError(
                f"robust_radius: got {radius} with solver {self.solver!r}, want 0 or more, and 'admm' above 0"
            )
        if not self.penalty > 0:
            raise ValueError(f"penalty: got {self.penalty}, want above 0")
        inputs = torch.from_numpy(_with_ones(X))
        generator = torch.Generator().manual_seed(int(check_random_state(self.random_state).randint(2**31 - 1)))
        if self.solver == "sampled":
            directions = torch.randn(inputs.shape[1], self.units, generator=generator, dtype=torch.float64).numpy()
            self._fit_outputs(inputs.numpy(), directions / np.linalg.norm(directions, axis=0), targets)
            return
        patterns = sampled_patterns(inputs, self.units, along_rows=radius > 0, generator=generator)
        targets_of = torch.from_numpy(targets)
        if radius:
            box = torch.full((inputs.shape[1],), radius, dtype=torch.float64)
            box[-1] = 0
            found = [
                robust_convex_relu(
                    inputs,
                    column,
                    patterns,
                    radius=box,
                    penalty=self.penalty,
                    steps=self.steps,
                    tolerance=self.tolerance,
                )
                for column in targets_of.T
            ]
        else:
            found = [
                convex_relu_admm(
                    inputs,
                    targets_of,
                    patterns,
                    penalty=self.penalty,
                    steps=self.steps,
                    tolerance=self.tolerance,
                    keep="best",
                )
            ]
        layers = [solution.layers() for solution in found]
        self.hidden_ = torch.cat([hidden for hidden, _ in layers]).numpy()
        outer = [weights for _, weights in layers]
        self.output_ = (torch.block_diag(*outer) if radius else outer[0]).numpy()
        self.n_iter_ = max(solution.steps for solution in found)

    def _fit_outputs(self, inputs: Array, directions: Array, targets: Array) -> None:
        """The sampled convex programme: units as drawn, an ℓ1 penalty on their outputs."""
        active = np.maximum(inputs @ directions, 0)
        alpha, steps = self.penalty / len(inputs), 10 * self.steps
        lasso = Lasso(alpha, fit_intercept=False, precompute=True, max_iter=steps, tol=self.tolerance)
        outer = np.atleast_2d(lasso.fit(active, targets).coef_)
        used = (outer != 0).any(axis=0)
        self.hidden_, self.output_ = directions.T[used], outer[:, used]
        self.n_iter_ = int(np.max(lasso.n_iter_))

    def _outputs(self, X: Any) -> Array:
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        outputs: Array = np.maximum(_with_ones(X) @ self.hidden_.T, 0) @ self.output_.T
        return outputs


class ConvexReluRegressor(RegressorMixin, _ConvexRelu):  # type: ignore[misc]
    """Least squares by a two-layer ReLU network with weight decay, trained by a convex programme: no rates, no bad starts.

    ``"admm"`` solves the convex equivalent of training over hidden units that follow sampled activation patterns, see
    `convex_relu_admm`; ``"sampled"`` keeps hidden units as drawn and solves for output weights with an ℓ1 penalty (Bai, Gautam,
    Sojoudi 2022). Inputs should be about standard; each unit has a bias. Targets are brought to mean 0 and deviation 1.

    Args:
        solver: as above.
        units: directions drawn, P_s: patterns, or hidden units.
        penalty: β of ½ Σ squared errors + β/2 Σ squared weights.
        steps: iterations at most. Few do for predicting.
        tolerance: at which it stops, a share of the objective.
        random_state: of the directions.

    Attributes:
        hidden_: weights of the units in use, their bias last, shape (units, features + 1).
        output_: shape (1, units).
        n_iter_: iterations taken.

    Raises:
        ValueError: in `fit`, if a setting is out of range.

    Example:
        >>> import numpy as np
        >>> from replica.landscapes import ConvexReluRegressor
        >>> X = np.linspace(-1, 1, 9)[:, None]
        >>> ConvexReluRegressor(penalty=0.01, steps=500, random_state=0).fit(X, abs(X[:, 0])).predict([[-0.5], [0.5]]).round(1)
        array([0.5, 0.5])
    """

    def __init__(
        self,
        solver: Solver = "admm",
        *,
        units: int = 50,
        penalty: float = 1.0,
        steps: int = 100,
        tolerance: float = 1e-3,
        random_state: Any = None,
    ) -> None:
        self.solver = solver
        self.units = units
        self.penalty = penalty
        self.steps = steps
        self.tolerance = tolerance
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Trains the network; X has shape (samples, features), y (samples,)."""
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        self.mean_, self.scale_ = float(y.mean()), float(y.std()) or 1.0
        self._fit(X, ((y - self.mean_) / self.scale_)[:, None])
        return self

    def predict(self, X: Any) -> Array:
        """Predictions, shape (samples,)."""
        return self._outputs(X)[:, 0] * self.scale_ + self.mean_


class ConvexReluClassifier(ClassifierMixin, _ConvexRelu):  # type: ignore[misc]
    """Classes by two-layer ReLU networks trained by a convex programme, one output a class; robust to changed inputs on demand.

    Targets are −1 and 1, as squared error has them; with a `robust_radius` the loss is the hinge at the worst change of each
    input by up to that radius (Bai, Gautam, Sojoudi 2022), see `robust_convex_relu`. Else as `ConvexReluRegressor`.

    Args:
        solver: ``"admm"`` or ``"sampled"``.
        units: directions drawn, P_s.
        penalty: β.
        robust_radius: ε in ‖δ‖_∞ ≤ ε, in the units of X; it needs ``"admm"``, and more inputs than rows or classes far apart:
            patterns that no change disturbs.
        steps: iterations at most.
        tolerance: at which it stops, a share of the objective.
        random_state: of the directions.

    Attributes:
        classes_: the labels, sorted.
        hidden_: weights of the units in use, their bias last, shape (units, features + 1).
        output_: shape (outputs, units); one output for two classes.
        n_iter_: iterations taken.

    Raises:
        ValueError: in `fit`, if a setting is out of range.

    Example:
        >>> import numpy as np
        >>> from replica.landscapes import ConvexReluClassifier
        >>> X = np.random.default_rng(0).normal(size=(80, 2))
        >>> model = ConvexReluClassifier(random_state=0).fit(X, X.prod(axis=1) > 0)
        >>> model.predict([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0]])
        array([ True, False,  True])
    """

    def __init__(
        self,
        solver: Solver = "admm",
        *,
        units: int = 50,
        penalty: float = 1.0,
        robust_radius: float = 0.0,
        steps: int = 100,
        tolerance: float = 1e-3,
        random_state: Any = None,
    ) -> None:
        self.solver = solver
        self.units = units
        self.penalty = penalty
        self.robust_radius = robust_radius
        self.steps = steps
        self.tolerance = tolerance
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Trains the networks; X has shape (samples, features), y (samples,)."""
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y: got one class, {self.classes_[0]!r}, want two or more")
        targets = 2.0 * np.eye(len(self.classes_))[codes] - 1
        self._fit(X, targets[:, 1:] if len(self.classes_) == 2 else targets, self.robust_radius)
        return self

    def decision_function(self, X: Any) -> Array:
        """Outputs, shape (samples, classes), or for two classes (samples,), above 0 for the second."""
        outputs = self._outputs(X)
        return outputs[:, 0] if len(self.classes_) == 2 else outputs

    def predict(self, X: Any) -> NDArray[Any]:
        """The class of the largest output, shape (samples,)."""
        outputs = self.decision_function(X)
        return self.classes_[(outputs > 0).astype(int) if outputs.ndim == 1 else outputs.argmax(1)]

    def predict_proba(self, X: Any) -> Array:
        """Outputs between −1 and 1 as chances, which squared error aims at, shape (samples, classes)."""
        outputs = self._outputs(X)
        shares = (np.concatenate([-outputs, outputs], axis=1) if outputs.shape[1] == 1 else outputs) / 2 + 0.5
        shares = shares.clip(0, 1)
        # The largest output keeps the largest share where all are at an end.
        shares[
            np.arange(len(shares)), outputs.argmax(1) if outputs.shape[1] > 1 else (outputs[:, 0] > 0).astype(int)
        ] += 1e-6
        chances: Array = shares / shares.sum(axis=1, keepdims=True)
        return chances


def _with_ones(X: Array) -> Array:
    """Inputs with a column of ones, for biases."""
    return np.concatenate([X, np.ones((len(X), 1))], axis=1)
