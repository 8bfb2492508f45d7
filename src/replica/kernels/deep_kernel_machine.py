"""Deep kernel machines: kernel methods whose kernels are learned layer by layer, without features."""

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from .deep_kernel import check_machine, log_likelihood, maximise, sparse_log_likelihood, through_gram_layers, triangular
from .dual_activations import Activation
from .gram_layers import GramBlocks, gram_divergence, gram_kernel, gram_layer
from .layer_moments import WideLayer

Array = NDArray[np.float64]

# Rows taken through the layers at once in prediction, over inducing points: 32 MiB an array.
_BLOCK_ENTRIES = 2**22
_LEAST_NOISE = 1e-6
# ln of the scales of columns that evidence is climbed from, and how far, before the best goes on: it has local optima.
_STARTS, _TRIED = (-1.0, 1.0, 3.0), 15


class _Hyperparameters(NamedTuple):
    # Logarithms: of a scale for each column (or all), of the top kernel's s², and of σ². Hidden layers have none: their
    # features have unit length scale, as a scale of G_l and one of the kernel above it would do the same.
    columns: Tensor
    amplitude: Tensor
    noise: Tensor


class _DeepKernelMachine(BaseEstimator):  # type: ignore[misc]
    # What regressor and classifier share: the machine on standardised targets of one or more columns.

    def __init__(
        self,
        depth: int = 2,
        nu: float = 10.0,
        *,
        kernel: "Literal['rbf'] | Activation | WideLayer" = "rbf",
        inducing: int | None = 100,
        relevance: bool = False,
        noise: float = 0.1,
        steps: int = 100,
        jitter: float = 1e-6,
        random_state: Any = None,
    ) -> None:
        self.depth = depth
        self.nu = nu
        self.kernel = kernel
        self.inducing = inducing
        self.relevance = relevance
        self.noise = noise
        self.steps = steps
        self.jitter = jitter
        self.random_state = random_state

    def _learn(self, X: Array, targets: Array) -> None:
        check_machine(self.depth, self.nu, self.noise)
        if self.inducing is not None and self.inducing < 1:
            raise ValueError(f"inducing: got {self.inducing}, want 1 or more points, or None for all rows")
        if self.steps < 1:
            raise ValueError(f"steps: got {self.steps}, want 1 or more")
        self._kernel = gram_kernel(self.kernel)
        self.centre_ = X.mean(0)
        self.spread_ = math.sqrt(float(X.var(0).sum())) or 1.0
        rows, Y = self._rows(X), torch.from_numpy(targets)
        exact = self.inducing is None or self.inducing >= len(X)
        points = rows
        if not exact:
            points = rows[check_random_state(self.random_state).permutation(len(X))[: self.inducing]].clone()
        columns = torch.zeros(rows.shape[1] if self.relevance else 1, dtype=rows.dtype)
        noise = torch.tensor(math.log(self.noise), dtype=rows.dtype)
        known = _Hyperparameters(columns, torch.zeros_like(noise), noise)
        moved = [part.requires_grad_() for part in known] + ([] if exact else [points.requires_grad_()])
        raw = torch.zeros(self.depth, len(points), len(points), dtype=rows.dtype)

        def objective() -> Tensor:
            factors = [triangular(one) for one in raw] if raw.requires_grad else [None] * self.depth
            top = self._layers(rows[:0] if exact else rows, points, known, factors)[-1]
            price = (
                self.nu * sum(gram_divergence(one) for one in factors if one is not None) if raw.requires_grad else 0.0
            )
            noise = known.noise.exp() + _LEAST_NOISE
            if not exact:
                return (sparse_log_likelihood(top, Y, noise, jitter=self.jitter) - price) / len(rows)
            gram = top.inducing + noise * torch.eye(len(rows), dtype=rows.dtype)
            return (log_likelihood(gram, Y) - price) / len(rows)

        # From the kernels of no learning, fitted by evidence: the best of a few starts goes on.
        self.n_iter_, tried = 0, []
        begun = [part.detach().clone() for part in moved]
        for scale in _STARTS:
            _write(moved, begun)
            _write([columns], [torch.full_like(columns, scale)])
            self.n_iter_ += maximise(objective, moved, min(_TRIED, self.steps))
            tried.append((float(objective().detach()), [part.detach().clone() for part in moved]))
        _write(moved, max(tried, key=lambda one: one[0])[1])
        self.n_iter_ += maximise(objective, moved, self.steps)
        if math.isfinite(self.nu) and self.depth:
            # The objective is no evidence: noise and scales that moved with the Gram matrices would fit the rows exactly.
            for part in moved:
                part.requires_grad_(False)
            self.n_iter_ += maximise(objective, [raw.requires_grad_()], self.steps)
        with torch.no_grad():
            self._keep(rows, Y, points.detach(), _Hyperparameters(*(part.detach() for part in known)), raw, objective())

    def _keep(
        self, rows: Tensor, Y: Tensor, points: Tensor, known: _Hyperparameters, raw: Tensor, best: Tensor
    ) -> None:
        self.objective_ = float(best) * len(rows)
        self.noise_ = float(known.noise.exp()) + _LEAST_NOISE
        self._points, self._known = points, known
        self._factors = [triangular(one.detach()) if raw.requires_grad else None for one in raw]
        found = self._layers(rows[:0], points, known, self._factors)
        self.inducing_inputs_ = points.numpy() * self.spread_ + self.centre_
        self.grams_ = np.array([blocks.inducing.numpy() for blocks in found[:-1]]).reshape(raw.shape)
        self.divergences_ = np.array([float(gram_divergence(one)) if one is not None else 0.0 for one in self._factors])
        shares = torch.zeros(len(points), len(points), dtype=rows.dtype)
        seen = torch.zeros(len(points), Y.shape[1], dtype=rows.dtype)
        step = max(1, _BLOCK_ENTRIES // len(points))
        for block, values in zip(rows.split(step), Y.split(step), strict=True):
            _, whitened = gram_layer(self._layers(block, points, known, self._factors)[-1], jitter=self.jitter)
            shares, seen = shares + whitened.T @ whitened, seen + whitened.T @ values
        root = torch.linalg.cholesky(shares / self.noise_ + torch.eye(len(points), dtype=rows.dtype))
        self._root, self._weights = root, torch.cholesky_solve(seen, root) / self.noise_

    def _rows(self, X: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray((X - self.centre_) / self.spread_))

    def _layers(
        self, rows: Tensor, points: Tensor, known: _Hyperparameters, factors: Sequence[Tensor | None]
    ) -> list[GramBlocks]:
        weights = known.columns.exp()
        weighted = points * weights
        inputs = GramBlocks(weighted @ points.T, rows @ weighted.T, (rows.square() * weights).sum(1))
        found = through_gram_layers(inputs, factors, self._kernel, jitter=self.jitter)
        return [*found[:-1], GramBlocks(*(known.amplitude.exp() * part for part in found[-1]))]

    @torch.no_grad()
    def _posterior(self, X: Array) -> tuple[Array, Array]:
        # Means of the functions on standardised targets, (rows, outputs), and the variance they share.
        means, variances = [], []
        for block in self._rows(X).split(max(1, _BLOCK_ENTRIES // len(self._points))):
            top = self._layers(block, self._points, self._known, self._factors)[-1]
            _, whitened = gram_layer(top, jitter=self.jitter)
            solved = torch.linalg.solve_triangular(self._root, whitened.T, upper=False)
            means.append(whitened @ self._weights)
            variances.append((top.own - whitened.square().sum(1)).clamp_min(0) + solved.square().sum(0))
        return torch.cat(means).numpy(), torch.cat(variances).numpy()

    @torch.no_grad()
    def gram(self, X: Any, layer: int = -1) -> Array:
        """Learned inner products of rows with the inducing points.

        Args:
            X: inputs, shape (rows, inputs).
            layer: hidden layer, from 0; a machine without one has none.

        Returns:
            G_ti, shape (rows, points).
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        found = self._layers(self._rows(X), self._points, self._known, self._factors)
        return np.asarray(found[:-1][layer].cross.numpy())


def _write(parts: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for part, value in zip(parts, values, strict=True):
            part.copy_(value)


class DeepKernelMachineRegressor(RegressorMixin, _DeepKernelMachine):  # type: ignore[misc]
    """A deep Gaussian process of infinitely many features that still learns: the Gram matrices of its layers are fitted.

        maximise  ln N(y; 0, K(G_L) + σ² 1) − ν Σ_l KL(N(0, G_l) ‖ N(0, K(G_{l−1})))

    over G_1 to G_L, with G_0 the inputs' inner products. ν → ∞ gives the Gaussian process of a wide network (NNGP), by whose
    evidence the scales of inputs and outputs and σ² are fitted before, from several starts. Small ν learns, and overfits, more.

    With fewer inducing points than rows, the Gram matrices are those of the points, which are fitted with the scales, and
    the likelihood is Titsias's bound: a step takes rows × points² operations. With all rows it takes rows³.

    Args:
        depth: hidden layers L; 0 for a Gaussian process with this kernel.
        nu: ν above 0: features of a hidden layer, over outputs; infinity for kernels that are not learned.
        kernel: "rbf", an activation or its `WideLayer`, see `gram_kernel`.
        inducing: inducing points at most; None for all rows.
        relevance: learn a scale for each column, and not only one for all.
        noise: σ² to start from, in variances of the targets.
        steps: of L-BFGS at most, without and then with learned Gram matrices; three starts take 15 each before.
        jitter: see `gram_layer`.
        random_state: which rows the inducing points start from.

    Attributes:
        inducing_inputs_: shape (points, inputs).
        grams_: G_1 to G_L of these, shape (depth, points, points).
        divergences_: KL of each layer, in nats, without ν, shape (depth,).
        noise_: σ², in variances of the targets.
        objective_: what was maximised, in nats, of targets of mean 0 and deviation 1.

    Source: Yang et al. 2023, arXiv 2108.13097, sections 4 and 5.

    Example:
        >>> import numpy as np
        >>> from replica.kernels import DeepKernelMachineRegressor
        >>> X = np.linspace(-3, 3, 40)[:, None]
        >>> model = DeepKernelMachineRegressor(inducing=10, random_state=0).fit(X, np.sin(X[:, 0]))
        >>> float(abs(model.predict(X) - np.sin(X[:, 0])).max()) < 0.05
        True
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Learn Gram matrices and scales; X has shape (rows, inputs), on one scale, y (rows,).

        Raises:
            ValueError: if X or y is no finite table or a parameter is out of range.
        """
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        y = np.asarray(y, np.float64)
        self.mean_ = float(y.mean())
        size = float(np.abs(y - self.mean_).max()) or 1.0  # squares stay in range whatever the unit of y
        self.scale_ = size * (float(((y - self.mean_) / size).std()) or 1.0)
        self._learn(X, ((y - self.mean_) / self.scale_)[:, None])
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """The posterior mean, shape (rows,); and the standard deviation of a new observation where asked."""
        check_is_fitted(self)
        means, variances = self._posterior(validate_data(self, X, dtype=np.float64, reset=False))
        mean = self.mean_ + self.scale_ * means[:, 0]
        return (mean, self.scale_ * np.sqrt(variances + self.noise_)) if return_std else mean

    def predict_quantiles(self, X: Any, levels: Any) -> Array:
        """Quantiles of new observations, shape (rows, levels)."""
        mean, deviation = self.predict(X, return_std=True)
        return np.asarray(mean[:, None] + deviation[:, None] * ndtri(np.asarray(levels, np.float64)))

    def log_density(self, X: Any, y: Any) -> Array:
        """Log density of new observations y, shape (rows,), in nats."""
        mean, deviation = self.predict(X, return_std=True)
        away = (np.asarray(y, np.float64) - mean) / deviation
        return np.asarray(-(away**2) / 2 - np.log(deviation) - math.log(2 * math.pi) / 2)


class DeepKernelMachineClassifier(ClassifierMixin, _DeepKernelMachine):  # type: ignore[misc]
    """A deep kernel machine on one-hot labels: least squares, with the probability that a class's function is the greatest.

    Arguments and attributes are those of `DeepKernelMachineRegressor`; labels are one output each, less their share.

    Attributes:
        classes_: the labels, sorted.

    Source: Rasmussen and Williams 2006, section 6.5 (least-squares classification).

    Example:
        >>> import numpy as np
        >>> from replica.kernels import DeepKernelMachineClassifier
        >>> X = np.linspace(-3, 3, 40)[:, None]
        >>> model = DeepKernelMachineClassifier(inducing=10, random_state=0).fit(X, np.abs(X[:, 0]) > 1)
        >>> model.predict([[0.0], [2.0]])
        array([False,  True])
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Learn Gram matrices and scales; X has shape (rows, inputs), on one scale, y (rows,).

        Raises:
            ValueError: if X or y is no finite table of features and labels, or a parameter is out of range.
        """
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        votes = np.eye(len(self.classes_))[codes]
        self.shares_ = votes.mean(0)
        self.scale_ = float((votes - self.shares_).std()) or 1.0
        self._learn(X, (votes - self.shares_) / self.scale_)
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """The likeliest class, shape (rows,)."""
        check_is_fitted(self)
        return self.classes_[self.predict_proba(X).argmax(1)]

    def predict_proba(self, X: Any) -> Array:
        """Probability that each class's observed function is the greatest, shape (rows, classes), columns as `classes_`."""
        check_is_fitted(self)
        means, variances = self._posterior(validate_data(self, X, dtype=np.float64, reset=False))
        if len(self.classes_) == 1:
            return np.ones((len(means), 1))
        values = (means + self.shares_ / self.scale_) / np.sqrt(variances + self.noise_)[:, None]
        nodes, weights = np.polynomial.hermite_e.hermegauss(32)
        gaps = values[:, :, None] - values[:, None, :]
        places = np.arange(len(self.classes_))
        gaps[:, places, places] = np.inf
        found = sum(weight * ndtr(gaps + node).prod(2) for node, weight in zip(nodes, weights, strict=True))
        return np.asarray(found / found.sum(1, keepdims=True))
