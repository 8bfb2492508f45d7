"""What people use today to predict a label: baselines of the problem classification, all from scikit-learn."""

from __future__ import annotations

from typing import Any

from replica.lab.claims import Choice, Integer, LogUniform, Trial, Uniform
from replica.lab.problems.baseline import Baselines

baselines = Baselines()


def _state(trial: Trial, name: str) -> int:
    return int(trial.rng(name).integers(2**31))


@baselines.entry("majority", "the most frequent label: the trivial method")
def majority(trial: Trial) -> Any:
    """Every label as often as in training; always predicts the most frequent."""
    from sklearn.dummy import DummyClassifier

    return DummyClassifier(strategy="prior")


@baselines.entry(
    "logistic-regression",
    "multinomial logistic regression, L2 penalty",
    space={"C": LogUniform(1e-3, 1e3)},
)
def logistic_regression(trial: Trial, C: float = 1.0) -> Any:
    """Multinomial logistic regression with an L2 penalty."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=C, max_iter=5000)


@baselines.entry(
    "random-forest",
    "300 trees",
    space={"max_features": Uniform(0.1, 1.0), "min_samples_leaf": Integer(1, 10)},
)
def random_forest(
    trial: Trial, n_estimators: int = 300, max_features: float | str = "sqrt", min_samples_leaf: int = 1
) -> Any:
    """A random forest of 300 trees."""
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(
        n_estimators=n_estimators,
        max_features=max_features,
        min_samples_leaf=min_samples_leaf,
        random_state=_state(trial, "random-forest"),
    )


@baselines.entry(
    "gradient-boosting",
    "histogram gradient boosting: what people use today for tables",
    space={
        "learning_rate": LogUniform(0.01, 0.5),
        "max_leaf_nodes": Integer(7, 63),
        "l2_regularization": LogUniform(1e-3, 10.0),
    },
)
def gradient_boosting(
    trial: Trial, learning_rate: float = 0.1, max_leaf_nodes: int = 31, l2_regularization: float = 0.0
) -> Any:
    """Histogram gradient boosting, 100 rounds."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        learning_rate=learning_rate,
        max_leaf_nodes=max_leaf_nodes,
        l2_regularization=l2_regularization,
        random_state=_state(trial, "gradient-boosting"),
    )


@baselines.entry(
    "mlp",
    "a multilayer perceptron of 2 × 128 units",
    space={
        "width": Choice((64, 128, 256)),
        "alpha": LogUniform(1e-6, 1e-1),
        "learning_rate_init": LogUniform(1e-4, 1e-2),
    },
)
def mlp(trial: Trial, width: int = 128, alpha: float = 1e-4, learning_rate_init: float = 1e-3) -> Any:
    """A multilayer perceptron with two hidden layers of 128 ReLU units, trained by Adam."""
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier(
        (width, width),
        alpha=alpha,
        learning_rate_init=learning_rate_init,
        max_iter=300,
        random_state=_state(trial, "mlp"),
    )
