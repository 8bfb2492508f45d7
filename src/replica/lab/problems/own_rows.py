"""Labelled rows, of a named set or the user's own: the options that say how they are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from replica.data import LABELLED_FORMATS, Labelled, digits, mnist, mnist_1d, read_labelled, small_table
from replica.errors import ReplicaError

from .data_sources import column_names
from .problem import Option, Options

if TYPE_CHECKING:
    from numpy.typing import NDArray

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


class LabelledData:
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
    grouped_by: ClassVar[str] = "groups"
    """The option that names the column of groups."""

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
        return read_labelled(
            path,
            str(options["target"]),
            groups=str(options[self.grouped_by]),
            drop=column_names(str(options["drop"])),
            keep=column_names(str(options["keep"])),
            colour=options["colour"] == "kept",
            test=str(options["test_data"]) or None,
        )

    def size(self, content: Any, options: Options) -> str:
        """See `Problem.size`."""
        grid = " × ".join(map(str, content.shape))
        of = f"images or signals of {grid}" if grid else f"{content.features.shape[1]} columns"
        many = f"{len(content):,} rows"
        if content.tests is not None:
            many = f"{int((~content.tests).sum()):,} rows to learn from and {int(content.tests.sum()):,} to test,"
        by = options[self.grouped_by]
        groups = f", {len(content.group_names):,} {self.grouped_by.rstrip('s')}s by {by}" if by else ""
        return f"{many} of {of}, {len(content.classes)} classes{groups}"

    def identity(self, content: Any) -> tuple[Any, ...]:
        """See `Problem.identity`."""
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
        return (content.shape, content.classes), *arrays


def refuse_own(source: str, options: Options) -> None:
    """See that no option is given that says how the user's own data are read, in a problem that writes its own ``load``.

    Raises:
        ReplicaError: If one is.
    """
    for option in (*READ, *SPLIT):
        if options.get(option.name, option.default) != option.default:
            raise ReplicaError(f"Data {source} is read in one way; leave --{option.name.replace('_', '-')} out.")
