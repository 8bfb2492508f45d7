"""Labelled rows of the user's own: the options that say how they are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from replica.data import read_labelled
from replica.errors import ReplicaError

from .data_sources import column_names
from .problem import Option, Value

if TYPE_CHECKING:
    from replica.data import Labelled

TARGET = Option("target", "", "the column that holds the labels, where the data are your own table")
COLUMNS = (
    Option("drop", "", "columns of your own table to leave out, by name, parted by commas"),
    Option("keep", "", "columns that are kept although they seem to tell nothing, such as an Id"),
)
COLOUR = Option(
    "colour", "grey", "whether the colours of your own images are kept", choices=("grey", "kept"), alone="kept"
)
READ = (TARGET, *COLUMNS, COLOUR)
TEST_DATA = Option("test_data", "", "a file or folder of your own whose rows are tested, all of them and no others")
GROUPS = Option(
    "groups", "", "the column (or array) that names the groups of your own rows, such as patients; none is split"
)
SPLIT = (TEST_DATA, GROUPS)
"""How rows to test are set apart."""


def read_own(path: Path, options: Mapping[str, Value], groups: str) -> Labelled:
    """Read the user's file or folder as these options say, with a column of groups; see `replica.data.read_labelled`.

    Raises:
        ReplicaError: In one line, what is wrong with it and what is wanted.
    """
    given = {name: str(options.get(name, "")) for name in ("target", "drop", "keep", "test_data")}
    return read_labelled(
        path,
        given["target"],
        groups=groups,
        drop=column_names(given["drop"]),
        keep=column_names(given["keep"]),
        colour=options.get("colour") == "kept",
        test=given["test_data"] or None,
    )


def refuse_own(source: str, options: Mapping[str, Value]) -> None:
    """See that no option is given that says how the user's own data are read.

    Raises:
        ReplicaError: If one is.
    """
    for option in (*READ, *SPLIT):
        if options.get(option.name, option.default) != option.default:
            raise ReplicaError(f"Data {source} is read in one way; leave --{option.name.replace('_', '-')} out.")
