"""Data of the problem stream: labelled rows, and what parts them into tasks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from replica.data import Labelled, omniglot
from replica.errors import ReplicaError
from replica.lab.problems.classification import data as classification_data
from replica.lab.problems.data_sources import user_path
from replica.lab.problems.problem import Dataset

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


def load(source: str, target: str, domain: str) -> Dataset:
    """Read a named data set or the user's file.

    Raises:
        ReplicaError: If there is no such data, or it is refused; see `replica.data.read_labelled`.
    """
    if source == "omniglot":
        return _omniglot(target, domain)
    path = None if source in NAMED else user_path(source, NAMED, "a file or a folder of images by class")
    if domain and path is None:
        raise ReplicaError(f"Data {source} has no column that names domains; leave --domain out.")
    found = classification_data.load(str(path or source), target, domain)
    labelled, description = found.content, found.description
    content = StreamContent(labelled, None, labelled.groups, labelled.group_names)
    if domain:
        description += f"; {len(content.domain_names)} domains by {domain}"
    return Dataset(source, description, content, _digest(found.digest, content), found.shape)


def _omniglot(target: str, domain: str) -> Dataset:
    if target:
        raise ReplicaError("Data omniglot has its labels set; leave --target out.")
    if domain not in ("", "alphabet"):
        raise ReplicaError(f"Data omniglot has no column {domain!r:.60} that names domains; it has alphabet.")
    drawn = omniglot()
    families = np.zeros(len(drawn.characters), np.int64)
    families[drawn.labels] = drawn.alphabets
    content = StreamContent(Labelled(drawn.values, drawn.labels, drawn.characters), families)
    if domain:
        content = replace(content, domains=drawn.alphabets, domain_names=drawn.alphabet_names)
    whole = hashlib.blake2b(drawn.values.tobytes() + drawn.labels.tobytes(), digest_size=20).hexdigest()
    return Dataset("omniglot", NAMED["omniglot"], content, _digest(whole, content), drawn.values.shape[1:])


def _digest(whole: str, content: StreamContent) -> str:
    hashed = hashlib.blake2b(whole.encode(), digest_size=20)
    for codes in (content.families, content.domains):
        hashed.update(b"none" if codes is None else codes.tobytes())
    return hashed.hexdigest()
