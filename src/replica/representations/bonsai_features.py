"""Rich features of a table, in scikit-learn's form."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from .rich_features import rich_nets


class BonsaiFeatures(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Rich features of a table, by `rich_nets`: fit them on labelled rows, then train anything simple on what they give.

    Args:
        rounds: nets that are found one after another.
        width: features, and units of the hidden layer before them.
        first_steps: of the first net.
        steps: of each later net, and of the synthesis.
        learning_rate: Adam's.
        weight_decay: L2.
        random_state: seed, or a state that is drawn from.

    Attributes:
        module_: the net, ``(rows, inputs)`` to ``(rows, width)``.
        head_: the mean of its heads, a linear layer from which a learner may start.
        found_: the class that each round's net told each row, as numbers in the labels' order, shape (rounds, rows).

    Example:
        >>> import numpy as np
        >>> from replica.representations import BonsaiFeatures
        >>> X = np.random.default_rng(0).normal(size=(60, 3))
        >>> BonsaiFeatures(2, width=16, steps=20, random_state=0).fit(X, X[:, 0] > 0).transform(X).shape
        (60, 16)
    """

    def __init__(
        self,
        rounds: int = 2,
        *,
        width: int = 64,
        first_steps: int = 30,
        steps: int = 150,
        learning_rate: float = 2e-3,
        weight_decay: float = 1e-3,
        random_state: Any = None,
    ) -> None:
        self.rounds = rounds
        self.width = width
        self.first_steps = first_steps
        self.steps = steps
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        """It needs labels."""
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def fit(self, X: Any, y: Any, environment: Any = None) -> "BonsaiFeatures":
        """Find and join features.

        Args:
            X: inputs, shape (rows, inputs).
            y: labels, shape (rows,).
            environment: not used: discovery parts the rows by itself.

        Raises:
            ValueError: if a table is not finite, or a setting is out of range.
        """
        X, y = validate_data(self, X, y, dtype=np.float32)
        codes = np.unique(y, return_inverse=True)[1]
        made = rich_nets(
            torch.tensor(X), torch.tensor(codes), rounds=self.rounds, width=self.width, first_steps=self.first_steps,
            steps=self.steps, learning_rate=self.learning_rate, weight_decay=self.weight_decay,
            generator=torch.Generator().manual_seed(int(check_random_state(self.random_state).randint(2**31))),
        )  # fmt: skip
        self.module_, self.head_ = made.features[0].double(), made.heads[0]
        self.found_ = made.found[:, 0].numpy()
        return self

    def transform(self, X: Any) -> NDArray[Any]:
        """Features, shape (rows, width), in the type of X."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        with torch.no_grad():
            return np.asarray(self.module_(torch.tensor(X, dtype=torch.float64)).numpy().astype(X.dtype))
