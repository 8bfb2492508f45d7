"""Hopular: Modern Hopfield Networks for Tabular Data (Schäfl et al. 2022).

On small tables, a network that looks up its training set beats gradient boosting, random forests and support vector machines.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from replica.data import small_table
from replica.lab.claims import Integer, LogUniform, Paper, Trial, Uniform
from replica.lab.studies import dots
from replica.memory import HopularClassifier

paper = Paper("hopular")

STEPS = 150
"""Gradient steps of Hopular at laptop scale."""


@paper.entry(
    "classification",
    name="hopular",
    space={
        "learning_rate": LogUniform(0.003, 0.1),
        "scaling": LogUniform(0.3, 30.0),
        "blocks": Integer(1, 4),
        "lookup_dropout": Uniform(0.0, 0.5),
    },
)
def hopular(
    trial: Trial,
    learning_rate: float = 0.05,
    scaling: float = 1.0,
    blocks: int = 2,
    lookup_dropout: float = 0.1,
) -> HopularClassifier:
    """Network that looks up the training set and the row's own features, up to 150 steps of 64 rows."""
    return HopularClassifier(
        learning_rate=learning_rate,
        scaling=scaling,
        blocks=blocks,
        lookup_dropout=lookup_dropout,
        random_state=int(trial.rng("network").integers(2**31)),
    )


TABLES = (
    "glass",
    "heart-cleveland",
    "haberman",
    "ecoli",
    "monks-2",
    "led-display",
    "credit-approval",
    "australian-credit",
    "mammographic",
)
"""Tables of the paper with fewer than 1,000 rows that a package carries, chosen before any result."""

Split = tuple[NDArray[Any], NDArray[Any]]
"""Rows and their labels."""
Make = Callable[[Sequence[int], int, int], Any]
"""Builds a classifier from the columns that are categories, the number of the setting, and a seed."""


def as_numbers(categories: Sequence[int]) -> ColumnTransformer:
    """Standardised numbers, and a column of 0 and 1 for each class of a category."""
    return ColumnTransformer(
        [("categories", OneHotEncoder(handle_unknown="ignore", sparse_output=False), list(categories))],
        remainder=StandardScaler(),
    )


SETTINGS: tuple[dict[str, Any], ...] = (
    {},
    {"feature_weight": 0.0},
    {"replace": 0.0},
    {"feature_weight": 0.0, "replace": 0.0},
)
"""What is tried of Hopular, beside the defaults."""


def _hopular(categories: Sequence[int], setting: int, seed: int, steps: int) -> Any:
    return HopularClassifier(categorical_features=list(categories), steps=steps, random_state=seed, **SETTINGS[setting])


def _boosting(categories: Sequence[int], setting: int, seed: int) -> Any:
    rate, leaves = ((0.1, 31), (0.1, 8), (0.03, 31), (0.03, 8))[setting]
    return HistGradientBoostingClassifier(
        learning_rate=rate,
        max_leaf_nodes=leaves,
        min_samples_leaf=5,
        categorical_features=list(categories) or None,
        random_state=seed,
    )


def _forest(categories: Sequence[int], setting: int, seed: int) -> Any:
    share, leaf = (("sqrt", 1), ("sqrt", 3), (0.5, 1), (0.5, 3))[setting]
    forest = RandomForestClassifier(200, max_features=share, min_samples_leaf=leaf, random_state=seed)
    return make_pipeline(as_numbers(categories), forest)


def _machine(categories: Sequence[int], setting: int, seed: int) -> Any:
    penalty, width = ((1.0, "scale"), (10.0, "scale"), (10.0, 0.01), (100.0, 0.01))[setting]
    return make_pipeline(as_numbers(categories), SVC(C=penalty, gamma=width, random_state=seed))


BASELINES: dict[str, Make] = {
    "gradient_boosting": _boosting,
    "random_forest": _forest,
    "support_vector_machine": _machine,
}


def split_table(name: str, seed: int) -> tuple[tuple[int, ...], Split, Split]:
    """Columns that are categories; rows and labels to learn from (three quarters); rows and labels to test."""
    table = small_table(name)
    frame = table.features
    words = tuple(i for i, kind in enumerate(frame.dtypes) if kind == "category")  # type: ignore[union-attr]
    coded = frame.assign(**{frame.columns[i]: frame.iloc[:, i].cat.codes for i in words})  # type: ignore[union-attr]
    rows, tested, labels, truth = train_test_split(
        coded.to_numpy(np.float64), table.labels, test_size=0.25, stratify=table.labels, random_state=seed
    )
    return words, (rows, labels), (tested, truth)


def tuned(make: Make, words: Sequence[int], rows: NDArray[Any], labels: NDArray[Any], settings: int, seed: int) -> Any:
    """The method with the setting that does best on a fifth held out, fitted again on all rows; ties go to the first."""
    if settings == 1:
        return make(words, 0, seed).fit(rows, labels)
    # A class with one row only cannot be on both sides: such rows are spread without regard to classes.
    shares = labels if np.bincount(labels)[np.unique(labels)].min() > 1 else None
    kept, held = train_test_split(np.arange(len(labels)), test_size=0.2, stratify=shares, random_state=seed)
    scores = [
        make(words, setting, seed).fit(rows[kept], labels[kept]).score(rows[held], labels[held])
        for setting in range(settings)
    ]
    return make(words, int(np.argmax(scores)), seed).fit(rows, labels)


def ranking(trial: Trial) -> list[dict[str, Any]]:
    """Test accuracy of each method on each table, one split of every table a seed."""
    tables = trial.pick(smoke=("iris",), laptop=TABLES, full=TABLES)
    settings = trial.pick(smoke=1, laptop=4, full=4)
    methods: dict[str, Make] = {
        "hopular": partial(_hopular, steps=trial.pick(smoke=3, laptop=STEPS, full=5000)),
        **BASELINES,
    }
    rows = []
    for name in tables:
        seed = int(trial.rng(name).integers(2**31))
        words, known, tested = split_table(name, seed)
        for method, make in methods.items():
            model = tuned(make, words, *known, settings, seed)
            rows.append({"table": name, "method": method, "accuracy": model.score(*tested)})
    return rows


@paper.claim(ranking, figure=dots("table", "accuracy", "method"), limit_seconds=1800)
def small_tables(table):
    """Mean ranks over tables (1 is best, ties share); a gain is the other method's less Hopular's."""
    wide = table.pivot(index="table", columns="method", values="accuracy")
    rank = wide.rank(axis=1, ascending=False).mean()
    return {
        **{f"rank_gain_over_{name}": rank[name] - rank["hopular"] for name in BASELINES},
        **{f"accuracy_gain_over_{name}": (wide["hopular"] - wide[name]).mean() for name in BASELINES},
        **{f"mean_rank_of_{name}": value for name, value in rank.items()},
    }


def planted_look_up(trial: Trial) -> dict[str, list[Any]]:
    """Rows near one of 40 points of four numbers, whose labels are drawn: what a row's label is, only its neighbours tell."""
    rng = trial.rng("rows")
    points, labels = rng.normal(size=(40, 4)), rng.permutation(np.arange(40) % 2)
    count = trial.pick(smoke=120, laptop=320, full=320)
    near = rng.integers(40, size=count + 1000)
    rows = points[near] + 0.15 * rng.normal(size=(len(near), 4))
    seed = int(trial.rng("network").integers(2**31))
    steps = trial.pick(smoke=3, laptop=STEPS, full=5000)
    methods = {
        "both memories": HopularClassifier(steps=steps, random_state=seed),
        "no training set": HopularClassifier(steps=steps, random_state=seed, samples=False),
        "nearest neighbour": KNeighborsClassifier(1),
        "linear": LogisticRegression(),
    }
    accuracy = [
        method.fit(rows[:count], labels[near[:count]]).score(rows[count:], labels[near[count:]])
        for method in methods.values()
    ]
    return {"method": list(methods), "accuracy": accuracy}


@paper.claim(planted_look_up, figure=dots("method", "accuracy"))
def training_set_is_looked_up(table):
    """Differences of test accuracy."""
    accuracy = table.set_index("method")["accuracy"]
    return {
        "gain_of_samples": accuracy["both memories"] - accuracy["no training set"],
        **{f"accuracy_of_{name.replace(' ', '_')}": value for name, value in accuracy.items()},
    }
