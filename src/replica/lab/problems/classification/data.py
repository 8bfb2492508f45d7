"""Data of the problem classification, and how rows become the numbers that a learner is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replica.data import Labelled, digits, mnist, mnist_1d, split_seed
from replica.lab.problems.data_sources import digest, user_path
from replica.lab.problems.own_rows import read_own, refuse_own
from replica.lab.problems.problem import Dataset, Value

NAMED: Mapping[str, str] = {
    "digits": "1,797 handwritten digits of 8 × 8 pixels, 10 classes (ships with scikit-learn)",
    "breast-cancer": "569 breast tumours, 30 measures of their cells, benign or malignant (ships with scikit-learn)",
    "wine": "178 Italian wines, 13 chemical measures, 3 cultivars (ships with scikit-learn)",
    "mnist-1d": "5,000 digits as signals of 40 values, 10 classes (made on the spot)",
    "mnist": "MNIST's 10,000 test digits of 28 × 28 pixels, 10 classes (11 MB, downloaded once)",
}
MADE = ("mnist-1d",)
"""Those that take a seed behind their name, as in ``mnist-1d:7``."""

CATEGORIES = 50
"""The most frequent words of a column that get a number each; the rest share one."""


def load(source: str, options: Mapping[str, Value], domain: str = "") -> Dataset:
    """Read a named data set or the user's file.

    Args:
        source: Its name or path.
        options: Of `replica.lab.problems.own_rows.own_data_options`, how the user's own data are read.
        domain: The column that parts the rows into domains, in place of the option ``groups``.

    Raises:
        ReplicaError: If there is no such data, or it is refused; see `replica.data.read_labelled`.
    """
    name, seed = split_seed(source, MADE)
    if name in NAMED:
        refuse_own(source, options)
        drawn = f", drawn with seed {seed}" if seed is not None else ""
        return _dataset(source, NAMED[name] + drawn, _named(name, seed))
    path = user_path(source, NAMED, "a file or a folder of images by class")
    groups = domain or str(options.get("groups", ""))
    found = read_own(path, options, groups)
    kind = (
        f"images or signals of {' × '.join(map(str, found.shape))}"
        if found.shape
        else f"{found.features.shape[1]} columns"
    )
    many = f"{len(found):,} rows"
    if found.tests is not None:
        many = f"{int((~found.tests).sum()):,} rows to learn from and {int(found.tests.sum()):,} to test,"
    parts = [f"{many} of {kind}, {len(found.classes)} classes, from {path.name}", *found.notes]
    parts += [f"{len(found.group_names):,} {'domains' if domain else 'groups'} by {groups}"] * bool(groups)
    return _dataset(source, "; ".join(parts), found)


def _named(name: str, seed: int | None) -> Labelled:
    if name == "mnist-1d":
        return mnist_1d() if seed is None else mnist_1d(seed)
    if name in ("digits", "mnist"):
        images = digits() if name == "digits" else mnist(split="test")
        return Labelled(images.values, images.labels, tuple(map(str, range(10))))
    from sklearn.datasets import load_breast_cancer, load_wine

    bunch = (load_breast_cancer if name == "breast-cancer" else load_wine)(as_frame=True)
    return Labelled(bunch.data, bunch.target.to_numpy(np.int64), tuple(map(str, bunch.target_names)))


def _dataset(name: str, description: str, content: Labelled) -> Dataset:
    arrays: list[NDArray[Any]] = [
        content.labels,
        *(part for part in (content.groups, content.tests) if part is not None),
    ]
    if isinstance(content.features, np.ndarray):
        arrays.append(content.features)
    else:
        import pandas as pd

        arrays.append(np.frombuffer(repr(list(content.features.columns)).encode(), np.uint8))
        arrays.append(pd.util.hash_pandas_object(content.features, index=False).to_numpy())
    hashed = digest((content.shape, content.classes), *arrays)
    return Dataset(name=name, description=description, content=content, digest=hashed, shape=content.shape)


def prepare(
    content: Labelled, train: NDArray[np.intp], test: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Turn rows into numbers; all that is estimated comes from the training rows alone.

    Images and signals: flat, minus the mean of all values, divided by their standard deviation (one number for all
    pixels, so that shapes stay). Tables: a missing number becomes its column's median, with a column of 0 and 1 that
    says so; numbers are standardised; a category becomes one column of 0 and 1 for each of its up to 50 most frequent
    values, a missing one being a value of its own and one never seen in training all zeros.

    Returns:
        Training and test rows, float64, shape ``(rows, features)``.
    """
    if isinstance(content.features, np.ndarray):
        flat = content.features.reshape(len(content), -1)
        centre, spread = float(flat[train].mean(dtype=np.float64)), float(flat[train].std(dtype=np.float64)) or 1.0
        return tuple((flat[rows].astype(np.float64) - centre) / spread for rows in (train, test))  # type: ignore[return-value]
    return _table_columns(content.features, train, test)


def _table_columns(
    frame: Any, train: NDArray[np.intp], test: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    words = [name for name in frame.columns if isinstance(frame[name].dtype, pd.CategoricalDtype)]
    numbers = [name for name in frame.columns if name not in words]
    filled = frame.assign(
        **{name: frame[name].astype(object).where(frame[name].notna(), "(missing)") for name in words}
    )
    columns = ColumnTransformer(
        [
            (
                "numbers",
                make_pipeline(
                    SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True), StandardScaler()
                ),
                numbers,
            ),
            (
                "categories",
                OneHotEncoder(max_categories=CATEGORIES, handle_unknown="ignore", sparse_output=False),
                words,
            ),
        ]
    )
    learned = columns.fit_transform(filled.iloc[train])
    return np.asarray(learned, np.float64), np.asarray(columns.transform(filled.iloc[test]), np.float64)
