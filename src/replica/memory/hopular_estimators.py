"""Hopular as a classifier and a regressor in scikit-learn's form.

Schäfl et al. 2022, "Hopular: Modern Hopfield Networks for Tabular Data", arXiv 2206.00664, Section 2 (objective), and the
training of github.com/ml-jku/hopular.
"""

import math
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from replica.training import Minibatches, fit

from .hopular import Hopular
from .lamb import Lamb

# Rows asked at once: bounds the memory of a prediction.
_ROWS = 512
_LEAST_STEPS, _MOST_STEPS = 50, 150
_WIDTH, _EMBEDDING = 8, 256


class _HopularEstimator(BaseEstimator):  # type: ignore[misc]
    """What the classifier and the regressor share: columns, training, completion of the target."""

    def __init__(
        self,
        *,
        width: int | None = None,
        heads: int = 4,
        blocks: int = 2,
        scaling: float = 1.0,
        input_dropout: float = 0.1,
        lookup_dropout: float = 0.1,
        output_dropout: float = 0.01,
        samples: bool = True,
        features: bool = True,
        hide: float = 0.025,
        replace: float = 0.175,
        feature_weight: float = 1.0,
        learning_rate: float = 0.05,
        weight_decay: float = 0.1,
        averaging: float = 0.04,
        steps: int | None = None,
        batch_size: int = 64,
        memory_rows: int = 1000,
        categorical_features: ArrayLike | None = None,
        device: str = "cpu",
        random_state: Any = None,
    ) -> None:
        self.width = width
        self.heads = heads
        self.blocks = blocks
        self.scaling = scaling
        self.input_dropout = input_dropout
        self.lookup_dropout = lookup_dropout
        self.output_dropout = output_dropout
        self.samples = samples
        self.features = features
        self.hide = hide
        self.replace = replace
        self.feature_weight = feature_weight
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.averaging = averaging
        self.steps = steps
        self.batch_size = batch_size
        self.memory_rows = memory_rows
        self.categorical_features = categorical_features
        self.device = device
        self.random_state = random_state

    def _fit(self, X: NDArray[np.float64], target: NDArray[np.float64], target_size: int) -> None:
        if self.steps is not None and self.steps < 1:
            raise ValueError(f"steps: got {self.steps}, want 1 or more, or None")
        if self.memory_rows < 1:
            raise ValueError(f"memory_rows: got {self.memory_rows}, want 1 or more")
        for name, value in (("learning_rate", self.learning_rate), ("averaging", self.averaging)):
            if not (value > 0 and math.isfinite(value)):
                raise ValueError(f"{name}: got {value}, want a finite number above 0")
        if not 0 <= self.feature_weight <= 1:
            raise ValueError(f"feature_weight: got {self.feature_weight}, want a number in [0, 1]")
        categorical = _chosen(self.categorical_features, X.shape[1])
        self.categories_ = [np.unique(X[:, column]) if categorical[column] else None for column in range(X.shape[1])]
        self.mean_, spread = X.mean(0), X.std(0)
        self.scale_ = np.where(spread > 1e-12 * np.abs(self.mean_), spread, 1.0)
        # A category with one class says nothing: it stays as a constant number.
        sizes = [1 if known is None else len(known) for known in self.categories_]
        table, _ = self._columns(X)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        device = torch.device(self.device)
        # Dropout draws from the global state: it is set for the fit, and put back after.
        with torch.random.fork_rng([] if device.type == "cpu" else [device], device_type=device.type):
            torch.manual_seed(seed)
            network = Hopular(
                (*sizes, target_size),
                width=max(1, min(_WIDTH, _EMBEDDING // (len(sizes) + 1))) if self.width is None else self.width,
                heads=self.heads,
                blocks=self.blocks,
                scaling=self.scaling,
                input_dropout=self.input_dropout,
                lookup_dropout=self.lookup_dropout,
                output_dropout=self.output_dropout,
                samples=self.samples,
                features=self.features,
                generator=torch.Generator().manual_seed(seed),
            ).to(device)
            whole = torch.from_numpy(np.column_stack([table, target])).to(device, torch.float32)
            self.memory_ = network.columns.encode(whole)
            self._train(network, self.memory_, torch.Generator(device).manual_seed(seed))
        # Predictions in double precision do not depend on which rows are asked together.
        self.network_, self.memory_ = network.double(), self.memory_.double()

    def _train(self, network: Hopular, memory: Tensor, generator: torch.Generator) -> None:
        """Masking objective: (1 − a) loss of the target + a mean loss of the features, a going to 0 as a half cosine."""
        rows = torch.arange(len(memory), device=memory.device)
        steps = min(max(len(memory), _LEAST_STEPS), _MOST_STEPS) if self.steps is None else self.steps
        done = 0

        def loss(model: Hopular, chosen: Tensor) -> Tensor:
            values, hidden = model.columns.corrupt(
                memory[chosen], hide=self.hide, replace=self.replace, generator=generator
            )
            hidden[:, -1] = True
            there = rows
            if len(rows) > self.memory_rows:
                there = torch.randperm(len(rows), generator=generator, device=rows.device)[: self.memory_rows]
            outputs = model(values, memory[there], hidden=hidden, exclude=chosen[:, None] == there)
            losses = model.columns.losses(outputs, memory[chosen])
            share = self.feature_weight * (1 + math.cos(math.pi * done / steps)) / 2
            return share * losses[:-1].mean() + (1 - share) * losses[-1]

        average = [parameter.detach().clone() for parameter in network.parameters()]
        # The authors average over 1 / 0.005 = 200 of 5,000 steps; a start at the mean of all keeps short runs unbiased.
        horizon = max(1.0, self.averaging * steps)

        def after(step: int) -> None:
            nonlocal done
            done = step
            current = [parameter.detach() for parameter in network.parameters()]
            torch._foreach_lerp_(average, current, max(1 / horizon, 1 / step))

        optimiser = Lamb(network.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay)
        fit(
            network,
            loss,
            Minibatches(rows, size=self.batch_size, generator=generator),
            optimiser=optimiser,
            steps=steps,
            schedule=torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps),
            clip_norm=1.0,
            after_step=after,
        )
        with torch.no_grad():
            for parameter, mean in zip(network.parameters(), average, strict=True):
                parameter.copy_(mean)

    def _columns(self, X: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Standardised numbers and codes; and where a category was not in the training set, which counts as hidden."""
        table, unknown = (X - self.mean_) / self.scale_, np.zeros(X.shape, bool)
        for column, known in enumerate(self.categories_):
            if known is not None and len(known) > 1:
                code = np.searchsorted(known, X[:, column]).clip(max=len(known) - 1)
                unknown[:, column] = known[code] != X[:, column]
                table[:, column] = np.where(unknown[:, column], -1, code)
        return table, unknown

    def _complete(self, X: Any) -> NDArray[np.float64]:
        """The network's outputs for the target, shape (rows, 1 or classes)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        table, unknown = self._columns(X)
        columns, device = self.network_.columns, self.memory_.device
        whole = torch.from_numpy(np.column_stack([table, np.full(len(X), -1.0)])).to(device)
        hidden = torch.from_numpy(np.column_stack([unknown, np.ones(len(X), bool)])).to(device)
        with torch.no_grad():
            found = [
                self.network_(columns.encode(part), self.memory_, hidden=mask)[:, columns.starts[-1] :]
                for part, mask in zip(whole.split(_ROWS), hidden.split(_ROWS), strict=True)
            ]
        return torch.cat(found).double().cpu().numpy()


class HopularClassifier(ClassifierMixin, _HopularEstimator):  # type: ignore[misc]
    """Classifier for small tables: a network that looks up the training set and the row's own features in every block.

    The label is a column of the table that is always hidden; `predict_proba` is the softmax of what `Hopular` puts there.
    Trained on the label and, at first, on hidden and replaced features too (as BERT), with LAMB, learning rate and weight
    of the features going to 0 as half cosines, and weights averaged over the last steps.

    A step takes time in proportion to (`batch_size` + features · `width`) · features · `width` times the rows looked up;
    made for tables of up to a few thousand rows and a hundred features.

    Args:
        width: dimension of a feature's embedding (paper's code: 32). Default 8, and less for tables of more than 31
            features, so that a row's embedding has at most 256 numbers.
        heads: Hopfield networks of each module (8).
        blocks: number of refinements (8).
        scaling: β of the lookups in units of 1/√dimension (1).
        input_dropout: dropout in the embedding.
        lookup_dropout: dropout of association weights.
        output_dropout: dropout before the last map.
        samples: whether blocks look up the training set.
        features: whether blocks look up the row's own features.
        hide: probability that a feature is hidden in training.
        replace: probability that it is replaced by a random value.
        feature_weight: weight of the features' loss at the start, in [0, 1].
        learning_rate: share of its norm by which a tensor moves in the first step (0.001, for 5,000 steps).
        weight_decay: of LAMB.
        averaging: share of the steps over which weights are averaged.
        steps: gradient steps (5,000). Default one a training row, from 50 to 150.
        batch_size: rows a step (all rows).
        memory_rows: most training rows that a step looks up, drawn anew each time; predictions look up all.
        categorical_features: which columns of X are categories rather than numbers: their indices, or a mask. A category
            not seen in training counts as hidden.
        device: where the network lives.
        random_state: seed or `numpy.random.RandomState`; fits with one seed on one machine are equal.

    Attributes:
        classes_: the labels, sorted.
        network_: the trained `Hopular`.
        memory_: the training set as it is looked up.

    Raises:
        ValueError: from `fit`, if X or y is no finite table of features and labels, or a parameter is out of range.

    Source: Schäfl et al. 2022; defaults of github.com/ml-jku/hopular but for those whose value is given above.

    Example:
        >>> from sklearn.datasets import load_wine
        >>> from replica.memory import HopularClassifier
        >>> X, y = load_wine(return_X_y=True)
        >>> model = HopularClassifier(steps=40, random_state=0).fit(X[::2], y[::2])
        >>> bool(model.score(X[1::2], y[1::2]) > 0.9)
        True
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Trains on features, shape (rows, features), and labels, shape (rows,)."""
        X, y = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=2)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y: got one class, {self.classes_[0]!r}, want two classes or more")
        self._fit(X, codes.astype(np.float64), len(self.classes_))
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """The most probable label of each row, shape (rows,)."""
        best = self._complete(X).argmax(1)
        return self.classes_[best]

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probability of each label, shape (rows, classes), columns as `classes_`."""
        logits = self._complete(X)
        shares = np.exp(logits - logits.max(1, keepdims=True))
        return shares / shares.sum(1, keepdims=True)


class HopularRegressor(RegressorMixin, _HopularEstimator):  # type: ignore[misc]
    """Regressor for small tables: `HopularClassifier` with a number as the hidden column.

    The target is standardised for training, its loss is the squared error.

    Args and attributes: see `HopularClassifier`; instead of `classes_` there are `target_mean_` and `target_scale_`.

    Source: Schäfl et al. 2022.

    Example:
        >>> from sklearn.datasets import load_diabetes
        >>> from replica.memory import HopularRegressor
        >>> X, y = load_diabetes(return_X_y=True)
        >>> model = HopularRegressor(steps=40, random_state=0).fit(X[::2], y[::2])
        >>> bool(model.score(X[1::2], y[1::2]) > 0.3)
        True
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Trains on features, shape (rows, features), and targets, shape (rows,)."""
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True, ensure_min_samples=2)
        y = y.astype(np.float64)
        self.target_mean_, self.target_scale_ = float(y.mean()), float(y.std()) or 1.0
        self._fit(X, (y - self.target_mean_) / self.target_scale_, 1)
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:
        """The target of each row, shape (rows,)."""
        standardised = self._complete(X)[:, 0]
        return standardised * self.target_scale_ + self.target_mean_


def _chosen(categorical: ArrayLike | None, features: int) -> NDArray[np.bool_]:
    mask = np.zeros(features, bool)
    if categorical is None:
        return mask
    given = np.asarray(categorical)
    if given.dtype == bool:
        if given.shape != mask.shape:
            raise ValueError(f"categorical_features: got a mask of shape {given.shape}, want ({features},)")
        return given
    if given.size and (given.dtype.kind not in "iu" or given.min() < 0 or given.max() >= features):
        raise ValueError(f"categorical_features: got {categorical!r}, want indices from 0 to {features - 1}, or a mask")
    mask[given.astype(np.intp)] = True
    return mask
