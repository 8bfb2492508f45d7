"""What people use today against shifts: baselines of the problem shift.

All networks are the same, with the same steps on the same rows. What they have in common (width, steps, learning rate, weight
decay) was settled on rows held out of the environments that are learned from. The weight of the penalties is 10⁴, the middle
of the range in use since Arjovsky et al. (2019), who chose theirs with the test environment in sight, as is usual and the trap:
it is kept here as it is, and nothing was chosen by the environment that is tested.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from replica.lab.claims import Integer, LogUniform, Trial
from replica.lab.problems.baseline import Baselines
from replica.representations import InvariantClassifier

baselines = Baselines()
Array = NDArray[np.float64]
TRAINING = {"learning_rate": LogUniform(3e-4, 1e-2), "weight_decay": LogUniform(1e-4, 1e-1)}
PENALISED = {"penalty": LogUniform(1.0, 1e5), "warmup": Integer(0, 200), **TRAINING}


RATE, DECAY, PENALTY, WARMUP = 2e-3, 1e-2, 1e4, 50


def network(
    trial: Trial, name: str, objective: Any, learning_rate: float, weight_decay: float, **settings: Any
) -> InvariantClassifier:
    """The one network, trained for an objective."""
    settings |= {"learning_rate": learning_rate, "weight_decay": weight_decay}
    return InvariantClassifier(objective, random_state=int(trial.rng(name).integers(2**31)), **settings)


@baselines.entry("majority", "the most frequent label: the trivial method")
def majority(trial: Trial) -> Any:
    """Looks at no row."""
    from sklearn.dummy import DummyClassifier

    return DummyClassifier(strategy="prior")


@baselines.entry("erm", "least mean risk over all environments: a plain network", space=TRAINING)
def erm(trial: Trial, learning_rate: float = RATE, weight_decay: float = DECAY) -> Any:
    """Empirical risk minimisation."""
    return network(trial, "erm", "erm", learning_rate, weight_decay)


@baselines.entry("group-dro", "least risk in the worst environment learned from", space=TRAINING)
def group_dro(trial: Trial, learning_rate: float = RATE, weight_decay: float = DECAY) -> Any:
    """Sagawa et al. 2020."""
    return network(trial, "group-dro", "group_dro", learning_rate, weight_decay)


@baselines.entry(
    "irmv1", "invariant risk minimisation: one scale of the logits suits every environment", space=PENALISED
)
def irmv1(
    trial: Trial,
    penalty: float = PENALTY,
    warmup: int = WARMUP,
    learning_rate: float = RATE,
    weight_decay: float = DECAY,
) -> Any:
    """Arjovsky et al. 2019."""
    return network(trial, "irmv1", "irm", learning_rate, weight_decay, penalty=penalty, warmup=warmup)


@baselines.entry("vrex", "risk extrapolation: equal risk in every environment", space=PENALISED)
def vrex(
    trial: Trial,
    penalty: float = PENALTY,
    warmup: int = WARMUP,
    learning_rate: float = RATE,
    weight_decay: float = DECAY,
) -> Any:
    """Krueger et al. 2021."""
    return network(trial, "vrex", "vrex", learning_rate, weight_decay, penalty=penalty, warmup=warmup)


@baselines.entry(
    "last-layer-retraining",
    "a plain network whose last layer is learned again on held-out rows, environments and classes alike",
    space={"C": LogUniform(1e-3, 1e2), **TRAINING},
)
def last_layer_retraining(
    trial: Trial, C: float = 1.0, learning_rate: float = RATE, weight_decay: float = DECAY
) -> Any:
    """Kirichenko et al. 2023, with environments for their groups."""
    return LastLayerRetraining(network(trial, "last-layer-retraining", "erm", learning_rate, weight_decay), C)


@baselines.entry(
    "grey-oracle", "a plain network that is shown no colour: an oracle, no rival", space=TRAINING, domain=("",)
)
def grey_oracle(trial: Trial, learning_rate: float = RATE, weight_decay: float = DECAY) -> Any:
    """Knows which cue turns; what it reaches is what there is to reach."""
    return GreyOracle(network(trial, "grey-oracle", "erm", learning_rate, weight_decay))


class LastLayerRetraining:
    """Every fifth row is kept from the network; its last hidden layer is read by a logistic regression learned on these rows.

    Each combination of environment and class has the same weight.
    """

    def __init__(self, learner: InvariantClassifier, C: float) -> None:
        self.learner = learner
        self.C = C

    def fit(self, X: Array, y: NDArray[np.int64], environment: NDArray[np.int64]) -> Self:
        """Learn features from four fifths, and the last layer from the others; all rows twice where these lack a class."""
        from sklearn.linear_model import LogisticRegression

        second = np.arange(len(X)) % 5 == 0
        if not all(len(np.unique(y[part])) == len(np.unique(y)) for part in (second, ~second)):
            second = np.ones(len(X), bool)
        first = ~second if not second.all() else second
        self.learner.fit(X[first], y[first], environment[first])
        _, cell = np.unique(np.column_stack((environment, y))[second], axis=0, return_inverse=True)
        weights = 1 / np.bincount(cell.ravel())[cell.ravel()]
        weights *= len(weights) / weights.sum()
        self.top = LogisticRegression(C=self.C, max_iter=2000).fit(self.features(X[second]), y[second], weights)
        return self

    def features(self, X: Array) -> Array:
        """What the last hidden layer gives."""
        import torch

        with torch.no_grad():
            return np.asarray(self.learner.net_[:-1](torch.tensor(X)).numpy())  # type: ignore[index]

    def predict_proba(self, X: Array) -> Array:
        """Probabilities of the classes."""
        return np.asarray(self.top.predict_proba(self.features(X)))


class GreyOracle:
    """Adds up the two colours of an image before it is learned or asked about."""

    def __init__(self, learner: InvariantClassifier) -> None:
        self.learner = learner

    def fit(self, X: Array, y: NDArray[np.int64], environment: NDArray[np.int64], shape: tuple[int, ...] = ()) -> Self:
        """Learn from all rows; those that are no image of two colours are taken as they are."""
        self.colours = 2 if len(shape) == 3 and shape[0] == 2 else 1
        self.learner.fit(self.grey(X), y, environment)
        return self

    def grey(self, X: Array) -> Array:
        """Rows without their colour."""
        return np.asarray(X.reshape(len(X), self.colours, -1).sum(axis=1))

    def predict_proba(self, X: Array) -> Array:
        """Probabilities of the classes."""
        return np.asarray(self.learner.predict_proba(self.grey(X)))
