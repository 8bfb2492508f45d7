"""Data of the problem stream: labelled rows, and what parts them into tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from replica.data import Labelled, omniglot
from replica.errors import ReplicaError
from replica.lab.problems.classification import data as classification_data
from replica.lab.problems.data_sources import digest, user_path
from replica.lab.problems.own_rows import refuse_own
from replica.lab.problems.problem import Dataset, Value

NAMED: Mapping[str, str] = {
    "digits": "1,797 handwritten digits of 8 × 8 pixels, 10 classes (ships with scikit-learn)",
    "mnist": "MNIST's 10,000 test digits of 28 × 28 pixels, 10 classes (11 MB, downloaded once)",
    "omniglot": "4,840 drawings of 242 characters of 8 alphabets, 28 × 28 pixels (Omniglot's small sets, downloaded once)",
}


@dataclass(frozen=True)
class StreamContent:
    """Labelled rows and what parts them into tasks.

    Args:
        labelled: The rows; without the column that names their domains.
        families: For each class the number of the family it belongs to (its alphabet); None where classes have none.
        domains: For each row the number of its domain; None where the problem makes the tasks.
        domain_names: What each domain is called.
    """

    labelled: Labelled
    families: NDArray[np.int64] | None = None
    domains: NDArray[np.int64] | None = None
    domain_names: tuple[str, ...] = ()


def load(source: str, options: Mapping[str, Value]) -> Dataset:
    """Read a named data set or the user's file.

    Raises:
        ReplicaError: If there is no such data, or it is refused; see `replica.data.read_labelled`.
    """
    domain = str(options.get("domain", ""))
    if source == "omniglot":
        refuse_own(source, options)
        return _omniglot(domain)
    path = None if source in NAMED else user_path(source, NAMED, "a file or a folder of images by class")
    if domain and path is None:
        raise ReplicaError(f"Data {source} has no column that names domains; leave --domain out.")
    found = classification_data.load(str(path or source), options, domain)
    content = StreamContent(found.content, None, found.content.groups, found.content.group_names)
    return Dataset(source, found.description, content, _digest(found.digest, content), found.shape)


def _omniglot(domain: str) -> Dataset:
    if domain not in ("", "alphabet"):
        raise ReplicaError(f"Data omniglot has no column {domain!r:.60} that names domains; it has alphabet.")
    drawn = omniglot()
    families = np.zeros(len(drawn.characters), np.int64)
    families[drawn.labels] = drawn.alphabets
    content = StreamContent(Labelled(drawn.values, drawn.labels, drawn.characters), families)
    if domain:
        content = replace(content, domains=drawn.alphabets, domain_names=drawn.alphabet_names)
    whole = _digest(digest("", drawn.values, drawn.labels), content)
    return Dataset("omniglot", NAMED["omniglot"], content, whole, drawn.values.shape[1:])


def _digest(whole: str, content: StreamContent) -> str:
    return digest(whole, *(np.zeros(0) if part is None else part for part in (content.families, content.domains)))
