"""A perceptron trained in a random subspace, as a scikit-learn classifier."""

from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from replica.training import Minibatches, mlp

from .subspace_projections import Projection
from .subspace_training import SubspaceTraining


class SubspaceClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A perceptron of which `dim` numbers are learned and need keeping, whatever its width (Li and others 2018).

    All else follows from a seed. Inputs should be about standard.

    Args:
        dim: d, numbers to learn.
        width: units of each of two hidden layers.
        projection: as `SubspaceTraining` takes it.
        steps: of Adam, on 128 rows each; its rate falls to 0 along a cosine.
        rate: Adam's.
        random_state: of the network's start, the subspace and the batches.

    Attributes:
        classes_: the labels, sorted.
        coordinates_: what was learned, shape (dim,).
        network_: the network, whose parameters are these alone.

    Raises:
        ValueError: in `fit`, if a setting is out of range.

    Example:
        >>> import numpy as np
        >>> from replica.landscapes import SubspaceClassifier
        >>> X = np.random.default_rng(0).normal(size=(200, 2))
        >>> model = SubspaceClassifier(20, width=16, random_state=0).fit(X, X[:, 0] > 0)
        >>> model.predict(np.array([[1.0, 0.0], [-1.0, 0.0]])), model.coordinates_.shape
        (array([ True, False]), (20,))
    """

    def __init__(
        self,
        dim: int = 200,
        *,
        width: int = 128,
        projection: Projection = "fastfood",
        steps: int = 500,
        rate: float = 0.1,
        random_state: Any = None,
    ) -> None:
        self.dim = dim
        self.width = width
        self.projection = projection
        self.steps = steps
        self.rate = rate
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Trains the network; X has shape (samples, features), y (samples,)."""
        X, y = validate_data(self, X, y, dtype=np.float32)
        check_classification_targets(y)
        if self.steps < 1 or not self.rate > 0:
            raise ValueError(f"steps, rate: got {self.steps} and {self.rate}, want 1 or more and above 0")
        self.classes_, codes = np.unique(y, return_inverse=True)
        generator = torch.Generator().manual_seed(int(check_random_state(self.random_state).randint(2**31 - 1)))
        start = mlp((X.shape[1], self.width, self.width, len(self.classes_)), generator=generator)
        self.network_ = SubspaceTraining(start, self.dim, self.projection, generator=generator)
        optimiser = torch.optim.Adam(self.network_.parameters(), self.rate)
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.steps)
        batches = Minibatches(torch.from_numpy(X), torch.from_numpy(codes), size=128, generator=generator)
        done = 0
        while done < self.steps:
            for inputs, labels in batches:
                optimiser.zero_grad()
                torch.nn.functional.cross_entropy(self.network_(inputs), labels).backward()
                optimiser.step()
                falling.step()
                done += 1
                if done == self.steps:
                    break
        # Rounding of single precision depends on how many rows come at once.
        self.network_ = self.network_.double()
        self.coordinates_ = self.network_.coordinates.detach().numpy().copy()
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Chances, shape (samples, classes)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        with torch.no_grad():
            chances: NDArray[np.float64] = self.network_(torch.from_numpy(X)).softmax(-1).numpy()
        return chances

    def predict(self, X: Any) -> NDArray[Any]:
        """The likeliest class, shape (samples,)."""
        chances = self.predict_proba(X)
        return self.classes_[chances.argmax(1)]
