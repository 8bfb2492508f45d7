"""Data of the problem shift: labelled rows of environments, and how a trial parts them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from replica.data import ColouredDigits, Labelled, coloured_digits, mnist
from replica.errors import ReplicaError
from replica.lab.problems.split_rows import Rows

FEWEST = 2
"""The fewest environments to learn from."""


def flips(text: str) -> tuple[float, ...]:
    """How often the colour misleads, an environment each.

    Raises:
        ReplicaError: If these are not three or more probabilities.
    """
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = ()
    if len(found) <= FEWEST or not all(0 <= flip <= 1 for flip in found):
        raise ReplicaError(f"Option flips is {text!r:.60}; wanted three or more probabilities, such as 0.1,0.2,0.9.")
    return found


def coloured(name: str, seed: int | None, text: str, label_noise: float) -> ColouredDigits:
    """Coloured digits, the test environment half as large as each other one; environments are named by their flips."""
    images = mnist(split="test") if name == "coloured-mnist" else None
    found = flips(text)
    shares = (*[2.0] * (len(found) - 1), 1.0)
    made = coloured_digits(found, label_noise, images=images, shares=shares, seed=seed or 0)
    names = [f"{flip:g}" for flip in found]
    told = tuple(f"{name} ({i + 1})" if names.count(name) > 1 else name for i, name in enumerate(names))
    return replace(made, group_names=told)


def tested(content: Labelled, name: str) -> int:
    """The number of the environment that is tested: the one of this name, or the last.

    Raises:
        ReplicaError: If there is none of this name.
    """
    names = content.group_names
    if not name:
        return len(names) - 1
    if name not in names:
        few = ", ".join(names[:8]) + " …" * (len(names) > 8)
        raise ReplicaError(f"Option test_domain is {name!r:.60}; wanted one of {few}.")
    return names.index(name)


def groups_of(content: Labelled) -> NDArray[np.int64]:
    """Each row's environment."""
    assert content.groups is not None
    return content.groups


def parted(
    content: Labelled, learned: list[int], share: float, most: int, rng: np.random.Generator
) -> tuple[Rows, Rows]:
    """Rows of these environments to learn from, at most so many of each, and rows held out: of each class of each its share.

    Of a class with one row in an environment none is held out.
    """
    groups, kept, out = groups_of(content), [], []
    for environment in learned:
        rows = rng.permutation(np.flatnonzero(groups == environment))
        labels = content.labels[rows]
        places = np.concatenate([np.flatnonzero(labels == label)[: _held_out(share, labels == label)]
                                 for label in np.unique(labels)])  # fmt: skip
        out.append(rows[np.sort(places)])
        kept.append(np.delete(rows, places)[: most or None])
    return np.concatenate(kept), np.concatenate(out)


def _held_out(share: float, members: NDArray[np.bool_]) -> int:
    count = int(members.sum())
    return min(max(1, round(share * count)), count - 1)
