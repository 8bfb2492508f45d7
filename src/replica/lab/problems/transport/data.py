"""Data of the problem transport: two clouds of named sets or the user's own, or a law that trials draw them from."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replica.data import SNAPSHOTS, snapshots
from replica.data.files.arrays import named_arrays, open_arrays
from replica.data.files.sources import user_file
from replica.data.files.tables import TABLES, is_table, read_table
from replica.data.sets.patterns import refuse
from replica.errors import ReplicaError
from replica.lab.claims import Trial

FORMATS = (".npy", ".npz", *TABLES)
LAWS = ("gaussians", "moons")
FEWEST = 10
"""The fewest points of a cloud: three are tested."""
_PAIR = "wanted two arrays, source and target, of shape (points, dimensions)"
_ALONE = "wanted an array of shape (points, dimensions)"


@dataclass(frozen=True)
class Clouds:
    """Two clouds of points.

    Args:
        source: Shape ``(points, dim)``; without points where a law draws them.
        target: Likewise, of the same dimension.
        law: The name of the law that trials draw from; empty where there are points.
        notes: What a reader must know besides.
    """

    source: NDArray[np.float64] = field(repr=False)
    target: NDArray[np.float64] = field(repr=False)
    law: str = ""
    notes: tuple[str, ...] = ()


def named(name: str, snapshot: int) -> Clouds:
    """The clouds of a named set: from one snapshot to the next, counted from 1."""
    if name in LAWS:
        empty = np.empty((0, 0))
        return Clouds(empty, empty, name)
    times = SNAPSHOTS[name][1]
    if snapshot >= times:
        raise ReplicaError(
            f"Option snapshot is {snapshot}, but {name} has {times}: the last pair begins at {times - 1}."
        )
    points = snapshots(name)
    return Clouds(points[snapshot - 1], points[snapshot], "", (f"snapshot {snapshot} to {snapshot + 1}",))


def read(path: Path | Any, target: str = "", *, keep: Collection[str] = (), drop: Collection[str] = ()) -> Clouds:
    """Read two clouds: a file each, or both from one ``.npz``, its arrays ``source`` and ``target`` or the only two.

    Columns of two tables are matched by name. Columns that only count the rows of either are left out of both.

    Raises:
        ReplicaError: In one line that names the file, what is wrong with it and what is wanted.
    """
    notes: tuple[str, ...] = ()
    if not target:
        first, second = _pair(path)
    else:
        one, other = (_cloud(file, keep, drop) for file in (path, Path(target)))
        first, second, notes = one.points, other.points, tuple(dict.fromkeys((*one.notes, *other.notes)))
        if one.names and other.names:
            for ours, theirs, file in ((one, other, target), (other, one, path)):
                lacking = [name for name in ours.names if name not in (*theirs.names, *theirs.counters)]
                if lacking:
                    raise refuse(
                        file, f"has no column {lacking[0]!r:.60}", "wanted the same in both, or leave it out (--drop)"
                    )
            names = [name for name in one.names if name in other.names]
            first, second = (part.points[:, [part.names.index(name) for name in names]] for part in (one, other))
    if first.shape[1] != second.shape[1]:
        wrong = f"source has {first.shape[1]:,} dimensions and target {second.shape[1]:,}"
        raise refuse(target or path, wrong, "wanted as many in both")
    both = np.concatenate([first, second])
    if not np.isfinite(both).all():
        row, column = (int(place) for place in np.argwhere(~np.isfinite(both))[0])
        where = f"target, row {row - len(first) + 1}" if row >= len(first) else f"source, row {row + 1}"
        wrong = f"{where}, column {column + 1} is {both[row, column]}"
        raise refuse(target if target and row >= len(first) else path, wrong, "wanted finite numbers: fill or drop it")
    if (both == both[0]).all():
        raise refuse(path, "all points are equal", "wanted points that differ")
    return Clouds(first, second, "", notes)


def _pair(path: Path | Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if isinstance(path, Path) and path.suffix.lower() not in (".npz", ""):
        file = user_file(path, FORMATS)
        raise refuse(file, "is one cloud", "name the other by --target-data, or bring an .npz with source and target")
    opened = named_arrays(path, FORMATS, _PAIR)
    names = list(opened.headers)
    if not {"source", "target"} <= set(names):
        if len(names) != 2:
            opened.need(("source", "target"), _PAIR)
        one, other = names  # as (X, y) of a pair in memory
    else:
        one, other = "source", "target"
    found = opened.read((one, other))
    return _matrix(opened, one, found[one]), _matrix(opened, other, found[other])


@dataclass(frozen=True)
class _Cloud:
    """Points of one file; of a table the columns' names, and those of columns that only count the rows."""

    points: NDArray[np.float64]
    names: list[str] = field(default_factory=list)
    counters: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def _cloud(path: Path | Any, keep: Collection[str], drop: Collection[str]) -> _Cloud:
    file = user_file(path, FORMATS)
    if is_table(file):
        table = read_table(file)
        values, names, notes = table.numbers(keep, drop)
        counters = tuple(name for name in table.counters() if name not in names)
        return _Cloud(values, names, counters, (*table.notes, *notes))
    opened = open_arrays(file, _ALONE)
    if len(opened.headers) != 1:
        raise refuse(file, f"holds {len(opened.headers)} arrays", _ALONE)
    (name,) = opened.headers
    return _Cloud(_matrix(opened, name, opened.read([name])[name]))


def _matrix(opened: Any, name: str, array: NDArray[Any]) -> NDArray[np.float64]:
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or not array.size:
        raise refuse(opened.source, f"{opened.called(name)} has shape {array.shape}", _ALONE)
    return np.ascontiguousarray(array, np.float64)


@dataclass(frozen=True)
class GaussianPair:
    """Two Gaussians, with the optimal map between them for the squared cost, x → m₁ + A (x − m₀) (Dowson, Landau 1982).

    Args:
        means: m₀ and m₁, shape ``(2, dim)``.
        covariances: Σ₀ and Σ₁, shape ``(2, dim, dim)``.
    """

    means: NDArray[np.float64]
    covariances: NDArray[np.float64]

    @classmethod
    def drawn(cls, rng: np.random.Generator, dim: int) -> GaussianPair:
        """Means are standard normal; axes are turned at random, variances along them log-uniform from 1/4 to 4."""
        turns = np.linalg.qr(rng.standard_normal((2, dim, dim)))[0]
        variances = np.exp(rng.uniform(np.log(0.25), np.log(4), (2, 1, dim)))
        return cls(rng.standard_normal((2, dim)), turns * variances @ turns.swapaxes(1, 2))

    def points(self, which: int, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Points of the source (0) or the target (1)."""
        noise = rng.standard_normal((count, self.means.shape[1]))
        return np.asarray(self.means[which] + noise @ _root(self.covariances[which]))

    def map(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where the optimal map takes points of the source."""
        root = _root(self.covariances[0])
        inverse = np.linalg.inv(root)
        matrix = inverse @ _root(root @ self.covariances[1] @ root) @ inverse
        return np.asarray(self.means[1] + (points - self.means[0]) @ matrix)


def _root(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray(vectors * np.sqrt(values.clip(0)) @ vectors.T)


def curved(which: int, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Points of two moons (0) or of an S (1), with noise of 0.05, about as large as each other."""
    if which == 0:
        angle, upper = rng.uniform(0, np.pi, count), rng.random(count) < 0.5
        line = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        line = 1.5 * (np.where(upper[:, None], line, [1.0, 0.5] - line) - [0.5, 0.25])
    else:
        angle = rng.uniform(-1.5 * np.pi, 1.5 * np.pi, count)
        line = np.stack([np.sin(angle), np.sign(angle) * (np.cos(angle) - 1)], axis=1)
    return np.asarray(line + 0.05 * rng.standard_normal((count, 2)))


def points(
    trial: Trial, law: str, part: str, counts: tuple[int, int], dim: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], GaussianPair | None]:
    """A trial's draw of source and target, and the truth where it is known; another ``part`` is another draw."""
    rngs = [trial.rng(f"{part} {name}") for name in ("source", "target")]
    if law == "moons":
        source, target = (curved(which, counts[which], rng) for which, rng in enumerate(rngs))
        return source, target, None
    pair = GaussianPair.drawn(trial.rng("law"), dim)
    source, target = (pair.points(which, counts[which], rng) for which, rng in enumerate(rngs))
    return source, target, pair
