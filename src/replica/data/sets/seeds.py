"""Fresh draws of made data by name: ``mnist-1d:7`` is MNIST-1D drawn with seed 7."""

from __future__ import annotations

from collections.abc import Iterable

from replica.errors import ReplicaError

LARGEST_SEED = 2**32 - 1


def split_seed(source: str, made: Iterable[str]) -> tuple[str, int | None]:
    """Part a name from the seed behind it.

    Args:
        source: What the user gave: a name, ``NAME:SEED``, or a path.
        made: Names of the sets that are made by drawing random numbers.

    Returns:
        The name and the seed; without a seed, or where the name is none of those, the source as it is and None: the set as
        it always was.

    Raises:
        ReplicaError: If what follows such a name is no seed.

    Example:
        >>> split_seed("mnist-1d:7", ["mnist-1d"]), split_seed("mnist-1d", ["mnist-1d"])
        (('mnist-1d', 7), ('mnist-1d', None))
    """
    name, colon, seed = source.partition(":")
    if not colon or name not in made:
        return source, None
    if not (seed.isascii() and seed.isdecimal() and len(seed) <= 10 and int(seed) <= LARGEST_SEED):
        raise ReplicaError(f"{source!r:.60}: wanted a seed behind the name, from 0 to {LARGEST_SEED}, as in {name}:7.")
    return name, int(seed)
