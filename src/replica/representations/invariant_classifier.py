"""A classifier trained on several environments at once."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import nn

from replica.training import Replicas, mlp

from .invariant_training import Objective, train_invariant


class InvariantClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A multilayer perceptron of two hidden layers trained on several environments by `train_invariant`.

    Args:
        objective: ``"erm"``, ``"group_dro"``, ``"irm"`` or ``"vrex"``.
        features: a transformer, such as `BonsaiFeatures`, that is fitted on the rows; then only a linear layer on what it gives
            is trained, from its ``head_`` if it has one, without a warm-up. None trains a whole net from random weights.
        penalty: weight of the penalty after the warm-up.
        warmup: steps before it.
        width: units of a hidden layer.
        steps: gradient steps on all rows.
        learning_rate: Adam's.
        weight_decay: L2.
        random_state: seed, or a state that is drawn from.

    Attributes:
        classes_: the labels, sorted.
        net_: the trained net or layer.
        features_: the fitted transformer, or None.

    Example:
        >>> import numpy as np
        >>> from replica.representations import InvariantClassifier
        >>> X = np.random.default_rng(0).normal(size=(80, 2))
        >>> model = InvariantClassifier("vrex", penalty=10, steps=100, width=8, random_state=0)
        >>> model.fit(X, X[:, 0] > 0, environment=np.arange(80) % 2).predict(np.array([[2.0, 0.0], [-2.0, 0.0]]))
        array([ True, False])
    """

    def __init__(
        self,
        objective: Objective = "irm",
        *,
        features: Any = None,
        penalty: float = 1e4,
        warmup: int = 50,
        width: int = 64,
        steps: int = 200,
        learning_rate: float = 2e-3,
        weight_decay: float = 1e-2,
        random_state: Any = None,
    ) -> None:
        self.objective = objective
        self.features = features
        self.penalty = penalty
        self.warmup = warmup
        self.width = width
        self.steps = steps
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.random_state = random_state

    def fit(self, X: Any, y: Any, environment: Any = None) -> "InvariantClassifier":
        """Train on all rows.

        Args:
            X: inputs, shape (rows, features).
            y: labels, shape (rows,).
            environment: what parts the rows, shape (rows,); one environment where None.

        Raises:
            ValueError: if a table is not finite, lengths differ, or a setting is out of range.
        """
        X, y = validate_data(self, X, y, dtype=np.float32)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        parts = np.zeros(len(X), np.int64) if environment is None else np.unique(environment, return_inverse=True)[1]
        if parts.shape != codes.shape:
            raise ValueError(f"environment: got shape {parts.shape} for {len(X)} rows, want one each")
        generator = torch.Generator().manual_seed(int(check_random_state(self.random_state).randint(2**31)))
        labels, numbers = torch.tensor(codes), torch.tensor(parts)
        self.features_ = None if self.features is None else clone(self.features).fit(X, y)
        inputs = torch.tensor(X if self.features_ is None else self.features_.transform(X), dtype=torch.float32)
        hidden = (self.width, self.width) if self.features_ is None else ()
        start = getattr(self.features_, "head_", None)
        net = start or mlp((inputs.shape[1], *hidden, len(self.classes_)), generator=generator)
        nets = Replicas([net])
        train_invariant(
            nets, inputs, labels, numbers, self.objective, penalty=self.penalty,
            warmup=self.warmup if self.features_ is None else 0, steps=self.steps, learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
        )  # fmt: skip
        self.net_: nn.Module = nets.model(0).double()  # rows are then told alike alone and among others
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probabilities of the classes, shape (rows, classes)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        inputs = torch.tensor(X if self.features_ is None else self.features_.transform(X), dtype=torch.float64)
        with torch.no_grad():
            return np.asarray(self.net_(inputs).softmax(1).numpy())

    def predict(self, X: Any) -> NDArray[Any]:
        """The most probable class, shape (rows,)."""
        check_is_fitted(self)
        return np.asarray(self.classes_[self.predict_proba(X).argmax(1)])
