"""Data of the problem stream: labelled rows, and what parts them into tasks."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

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
        ReplicaError: If there is no such data, or it is refused; see `replica.lab.data.read_labelled`.
    """
    if source == "omniglot":
        return _omniglot(target, domain)
    path = None if source in NAMED else user_path(source, NAMED, "a file or a folder of images by class")
    found = classification_data.load(str(path or source), target)
    content, description = StreamContent(found.content), found.description
    if domain:
        if path is None:
            raise ReplicaError(f"Data {source} has no column that names domains; leave --domain out.")
        content = _with_domains(path, found.content, domain)
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


def _with_domains(path: Path, found: Labelled, domain: str) -> StreamContent:
    """Take the column or array that names domains out of the data."""
    import pandas as pd

    from replica.data.sets.labelled import encode_labels
    from replica.data.sets.patterns import refuse

    if isinstance(found.features, pd.DataFrame) and path.suffix.lower() != ".npz":
        names = list(found.features.columns)
        if domain not in names:
            listed = ", ".join(names[:12]) + (" …" if len(names) > 12 else "")
            raise refuse(path, f"has no column {domain!r:.60} that could name domains", f"it has {listed}")
        column = found.features[domain]
        found = replace(found, features=found.features.drop(columns=domain))
        if found.features.shape[1] == 0:
            raise refuse(path, f"holds no column to learn from beside {domain!r:.60}", "wanted one or more")
    elif path.suffix.lower() == ".npz":
        column = pd.Series(_read_domains(path, domain, len(found)))
    else:
        raise refuse(path, "takes no column that names domains", "leave --domain out")
    if column.isna().any():
        raise refuse(
            path, f"{domain!r:.60} is missing in row {int(column.isna().argmax()) + 1}", "wanted a domain for each"
        )
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(str)
    domains, domain_names = encode_labels(path, column, f"column {domain!r:.60}")
    return StreamContent(found, None, domains, domain_names)


def _read_domains(path: Path, name: str, rows: int) -> NDArray[Any]:
    from replica.data.files.numpy_files import DAMAGED, read_array, read_header
    from replica.data.sets.patterns import refuse, shown

    wanted = "wanted one whole number or word a row"
    try:
        with zipfile.ZipFile(path) as archive:
            held = [each.removesuffix(".npy") for each in archive.namelist() if each.endswith(".npy")]
            if name not in held:
                raise refuse(path, f"holds {', '.join(map(repr, held[:6]))}, but no {name!r:.60}", wanted)
            with archive.open(f"{name}.npy") as stream:
                shape, dtype = read_header(path, stream)
            if dtype.kind not in "buifUS" or shape != (rows,):
                raise refuse(path, f"array {name!r:.60} holds {shown(dtype)} of shape {shape}, for {rows} rows", wanted)
            with archive.open(f"{name}.npy") as stream:
                values = read_array(path, stream)
    except DAMAGED as error:
        raise refuse(path, f"cannot be read as a NumPy archive ({error})", wanted) from error
    return values.astype(str) if values.dtype.kind in "US" else values
