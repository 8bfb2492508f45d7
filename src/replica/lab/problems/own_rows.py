"""Labelled rows, of a named set or the user's own: the options that say how they are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from replica.data import LABELLED_FORMATS, Labelled, digits, mnist, mnist_1d, read_labelled, small_table

from .data_sources import column_names
from .problem import Option, Options

TARGET = Option("target", "", "the column that holds the labels, where the data are your own table", reads="own")
COLUMNS = (
    Option("drop", "", "columns of your own table to leave out, by name, parted by commas", reads="own"),
    Option("keep", "", "columns that are kept although they seem to tell nothing, such as an Id", reads="own"),
)
COLOUR = Option(
    "colour",
    "grey",
    "whether the colours of your own images are kept",
    choices=("grey", "kept"),
    alone="kept",
    reads="own",
)
READ = (TARGET, *COLUMNS, COLOUR)
TEST_DATA = Option(
    "test_data", "", "a file or folder of your own whose rows are tested, all of them and no others", reads="own"
)
GROUPS = Option(
    "groups",
    "",
    "the column (or array) that names the groups of your own rows, such as patients; none is split",
    reads="own",
)
SPLIT = (TEST_DATA, GROUPS)
"""How rows to test are set apart."""


class OwnRows:
    """For problems whose data are rows with something to predict, whose own files are read as the options here say."""

    grouped_by: ClassVar[str] = "groups"
    """The option that names the column of groups."""

    def asked(self, options: Options) -> dict[str, Any]:
        """What a reader is told."""
        columns = {name: column_names(str(options[name])) for name in ("drop", "keep")}
        test, groups = str(options["test_data"]) or None, str(options[self.grouped_by])
        return {"target": str(options["target"]), "groups": groups, "test": test, **columns}

    def answers(self, content: Any) -> tuple[Any, ...]:
        """What is predicted, in words; what of it belongs to the form of the data; and its arrays."""
        raise NotImplementedError

    def size(self, content: Any, options: Options) -> str:
        """See `Problem.size`."""
        grid = " × ".join(map(str, content.shape))
        of = f"images or signals of {grid}" if grid else f"{content.features.shape[1]} columns"
        many = f"{len(content):,} rows"
        if content.tests is not None:
            many = f"{int((~content.tests).sum()):,} rows to learn from and {int(content.tests.sum()):,} to test,"
        by = options[self.grouped_by]
        groups = f", {len(content.group_names):,} {self.grouped_by.rstrip('s')}s by {by}" if by else ""
        return f"{many} of {of}, {self.answers(content)[0]}{groups}"

    def identity(self, content: Any) -> tuple[Any, ...]:
        """See `Problem.identity`."""
        _, form, *arrays = self.answers(content)
        arrays += [part for part in (content.groups, content.tests) if part is not None]
        if isinstance(content.features, np.ndarray):
            return (content.shape, *form), *arrays, content.features
        import pandas as pd

        names = np.frombuffer(repr(list(content.features.columns)).encode(), np.uint8)
        cells = pd.util.hash_pandas_object(content.features, index=False).to_numpy()
        return (content.shape, *form), *arrays, names, cells


class LabelledData(OwnRows):
    """For problems whose data are rows with labels, read as the options `READ` and `SPLIT` say."""

    default_data = "digits"
    data_names: ClassVar[Mapping[str, str]] = {
        "digits": "1,797 handwritten digits of 8 × 8 pixels, 10 classes (ships with scikit-learn)",
        "breast-cancer": "569 breast tumours, 30 measures of their cells, benign or malignant (ships with scikit-learn)",
        "wine": "178 Italian wines, 13 chemical measures, 3 cultivars (ships with scikit-learn)",
        "mnist-1d": "5,000 digits as signals of 40 values, 10 classes (made on the spot)",
        "mnist": "MNIST's 10,000 test digits of 28 × 28 pixels, 10 classes (11 MB, downloaded once)",
    }
    drawn: ClassVar[tuple[str, ...]] = ("mnist-1d",)
    data_formats = LABELLED_FORMATS
    files = "a file or a folder of images by class"

    def named(self, name: str, seed: int | None, options: Options) -> Any:
        """See `Problem.named`."""
        if name == "mnist-1d":
            return mnist_1d() if seed is None else mnist_1d(seed)
        if name in ("digits", "mnist"):
            images = digits() if name == "digits" else mnist(split="test")
            return Labelled(images.values, images.labels, tuple(map(str, range(10))))
        return small_table(name)

    def read(self, path: Path, options: Options) -> Any:
        """See `Problem.read`, and `replica.data.read_labelled`."""
        return read_labelled(path, colour=options["colour"] == "kept", **self.asked(options))

    def answers(self, content: Any) -> tuple[Any, ...]:
        """See `OwnRows.answers`."""
        return f"{len(content.classes)} classes", (content.classes,), content.labels
