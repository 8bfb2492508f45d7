"""Data of the problem stream: labelled rows, and what parts them into tasks."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from replica.data import Labelled, omniglot
from replica.errors import ReplicaError


@dataclass(frozen=True)
class StreamContent:
    """Labelled rows and what parts them into tasks.

    ``families`` number for each class its family (its alphabet), ``domains`` for each row its domain; None where there are none.
    """

    labelled: Labelled
    families: NDArray[np.int64] | None = None
    domains: NDArray[np.int64] | None = None
    domain_names: tuple[str, ...] = ()

    @classmethod
    def of(cls, labelled: Labelled) -> StreamContent:
        """Rows whose groups, if they have some, are their domains."""
        return cls(labelled, None, labelled.groups, labelled.group_names)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one image or signal; empty for the rows of a table."""
        return self.labelled.shape

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader decided on its own."""
        return self.labelled.notes


def omniglot_stream(domain: str) -> StreamContent:
    """Omniglot's characters in the families of their alphabets, which may be the domains."""
    if domain not in ("", "alphabet"):
        raise ReplicaError(f"Data omniglot has no column {domain!r:.60} that names domains; it has alphabet.")
    drawn = omniglot()
    families = np.zeros(len(drawn.characters), np.int64)
    families[drawn.labels] = drawn.alphabets
    content = StreamContent(Labelled(drawn.values, drawn.labels, drawn.characters), families)
    return replace(content, domains=drawn.alphabets, domain_names=drawn.alphabet_names) if domain else content
