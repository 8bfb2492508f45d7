"""The problem transport: which map carries one cloud of points onto another, cheaply?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from replica.errors import ReplicaError
from replica.lab.claims import Scale, Trial
from replica.lab.problems import own_rows
from replica.lab.problems.data_sources import column_names
from replica.lab.problems.problem import (
    VALIDATION_SHARE,
    Dataset,
    Measured,
    Metric,
    Option,
    Options,
    Problem,
    Split,
    Start,
)
from replica.lab.problems.protocol import real_array, takes, timed
from replica.lab.problems.transport import data
from replica.lab.problems.transport.data import FEWEST, FORMATS, Clouds, GaussianPair

if TYPE_CHECKING:
    from replica.lab.problems.transport.costs import Cost

_SMOKE = {"count": 40, "test": 20, "steps": 5}
_LEAST = 3
"""The fewest points of a cloud that are tested."""
_SHOWN = 100

Points = NDArray[np.float64]


class Transport(Problem):
    """Learn from two clouds, of which nobody says which point belongs to which, a map that carries the one onto the other.

    A trial draws ``count`` points of each cloud to learn from and ``test`` others, from the data or, where the law is known,
    from the law anew. Both clouds together are shifted to mean 0 and divided by one number, so that coordinates have deviation
    1 on average: that changes nothing in which map is cheapest. (With ``scaling=columns`` every column is divided by its own
    deviation, for tables of unlike units.) ``fit`` gets two float32 tensors of shape ``(points, dim)`` on the trial's device,
    ``map`` one, and gives a tensor of its shape.

    ``fit`` may take ``cost``, a function of two clouds that gives the cost of moving each point of the one to each of the other
    as a tensor, and ``steps``, the gradient steps that every method which takes some has. The cost is ½‖x − y‖² (``squared``),
    ‖x − y‖ (``euclidean``), or Σ_k |x_k − y_k|^p / p (``lp``).

    What is measured on points that no method saw, in float64 and in the scaled units:

    - ``landing``: how far mapped points lie from target points: the mean distance of the best assignment of the one to the
      other (the earth mover's distance). ``floor`` is that of as many target points to learn from: in few dimensions nobody is
      much below it; in many, points that crowd in the middle of the target are.
    - ``excess``: the mean cost of the map less that of the best assignment of the same points to the same places: 0 for an
      optimal map. The identity has none; both measures together tell a good map.
    - ``map_error``: the mean squared distance from the optimal map over the variance of the target (L2-UVP), where it is known:
      for Gaussians and the squared cost.
    - ``seconds``: wall-clock seconds of ``fit`` and ``map``.

    For validation (``--tune``) a fifth of the points to learn from is held out, three at least. At smoke scale 40 points of each
    cloud are learned from, and 20 tested.
    """

    name = "transport"
    question = "Which map carries one cloud of points onto another, cheaply?"
    protocol = (
        'fit(source: Float[Tensor, "count dim"], target: Float[Tensor, "others dim"]) -> None',
        'map(points: Float[Tensor, "points dim"]) -> Float[Tensor, "points dim"]',
    )
    metrics = (
        Metric("landing", "deviations", "lower", "Distance from target"),
        Metric("floor", "deviations", "lower", "Floor (other target points)"),
        Metric("excess", "1", "lower", "Excess cost"),
        Metric("map_error", "share of variance", "lower", "Error to the optimal map",
               when=lambda options: options["cost"] == "squared"),
        Metric("seconds", "s", "lower", "Time to fit and map"),
    )  # fmt: skip
    options = (
        Option("cost", "squared", "what moving a point costs", choices=("squared", "euclidean", "lp")),
        Option("p", 1.5, "the power of the cost lp", minimum=1.05, maximum=10, label="Power of the cost"),
        Option("count", 500, "points of each cloud to learn from; 0 for all that are not tested", minimum=0, maximum=20_000,
               label="Points of each cloud"),
        Option("test", 300, "points of each cloud that are tested; a third where there are fewer", minimum=_LEAST,
               maximum=3000, label="Test points"),
        Option("dim", 2, "dimension of the Gaussians", minimum=1, maximum=256, label="Dimension"),
        Option("steps", 1000, "gradient steps of every method that takes some", minimum=1, label="Gradient steps"),
        Option("scaling", "shared", "whether columns share one scale or have one each", choices=("shared", "columns")),
        Option("snapshot", 1, "the snapshot that is the source, from 1; the next is the target", minimum=1, maximum=8,
               reads="named"),
        Option("target_data", "", "a file of your own that holds the target, where --data holds the source", reads="own"),
        *own_rows.COLUMNS,
    )  # fmt: skip
    default_data = "gaussians"
    data_names: ClassVar[Mapping[str, str]] = {
        "gaussians": "two Gaussians, drawn anew for each seed; the optimal map is known",
        "moons": "two moons to the letter S, drawn anew for each seed",
        "cells": "300 embryoid cells at each of 5 times, 5 principal components (needs REPLICA_DATA)",
        "drifters": "111 floats in a vortex of the Gulf of Mexico at each of 9 times (needs REPLICA_DATA)",
    }
    data_formats = FORMATS
    files = "two files of points (--data and --target-data), or an .npz file with source and target"

    def named(self, name: str, seed: int | None, options: Options) -> Clouds:
        """See `Problem.named`."""
        return data.named(name, int(options["snapshot"]))

    def read(self, path: Path, options: Options) -> Clouds:
        """See `Problem.read`, and `data.read`."""
        keep, drop = (column_names(str(options[name])) for name in ("keep", "drop"))
        return data.read(path, str(options["target_data"]), keep=keep, drop=drop)

    def size(self, content: Clouds, options: Options) -> str:
        """See `Problem.size`."""
        of = f" of {Path(str(options['target_data'])).name}" if options["target_data"] else ""
        return (
            f"{len(content.source):,} points to {len(content.target):,}{of} in {content.source.shape[1]:,} dimensions"
        )

    def identity(self, content: Clouds) -> tuple[Any, ...]:
        """See `Problem.identity`."""
        return (content.law, content.source.shape, content.target.shape), content.source, content.target

    def check(self, dataset: Dataset, options: Options) -> None:
        """See that there are points enough to learn from and to test.

        Raises:
            ReplicaError: If not.
        """
        content, count = dataset.content, int(options["count"])
        for name in () if content.law else ("source", "target"):
            if len(getattr(content, name)) < FEWEST:
                held = len(getattr(content, name))
                raise ReplicaError(f"{dataset.name}: the {name} has {held} points; wanted {FEWEST} or more.")
        if content.law and not count:
            raise ReplicaError(f"Option count is 0, but {dataset.name} is drawn, without end; give --count 500, say.")
        if 0 < count < 2 * _LEAST:
            raise ReplicaError(f"Option count is {count}; wanted {2 * _LEAST} or more, or 0 for all.")

    def used(self, dataset: Dataset, options: Options, scale: Scale) -> Mapping[str, str]:
        """See `Problem.used`."""
        content, found = dataset.content, sizes(dataset.content, options, scale)
        ones, others = found["count"]
        told = {"count": f"{ones:,}" if ones == others else f"{ones:,} and {others:,}"}
        told |= {name: f"{found[name]:,}" for name in ("test", "steps")}
        unused = {
            "p": options["cost"] != "lp",
            "dim": content.law != "gaussians",
            "snapshot": "snapshot" not in "".join(content.notes),
        }
        return told | {name: "" for name, is_unused in unused.items() if is_unused}

    def measure(self, trial: Trial, start: Start, dataset: Dataset, options: Options, split: Split) -> Measured:
        """Fit, map points that were held out, and say where they land at what cost; see the class for the measures."""
        import torch

        from replica.lab.problems.transport.costs import Cost

        learned, tested, truth = drawn(trial, dataset.content, options, split)
        if not all(np.isfinite(part).all() for part in (*learned, *tested)):
            raise ReplicaError(f"{dataset.name} holds a number that is not finite; wanted finite numbers.")
        both = np.concatenate(learned)
        shift, deviation = both.mean(axis=0), both.std(axis=0)
        if options["scaling"] == "shared":
            deviation = np.full_like(shift, np.sqrt(np.square(deviation).mean()))
        scale = np.where(deviation > 0, deviation, 1.0)
        given = [
            torch.tensor((part - shift) / scale, dtype=torch.float32, device=trial.device)
            for part in (*learned, *tested)
        ]
        cost, method = Cost(str(options["cost"]), float(options["p"])), start()
        told = takes(method.fit, {"cost": cost, "steps": sizes(dataset.content, options, trial.scale)["steps"]})
        _, fit_seconds = timed(trial, lambda: method.fit(given[0].clone(), given[1].clone(), **told))
        output, map_seconds = timed(trial, lambda: method.map(given[2].clone()))
        shape = tuple(given[2].shape)
        name = f"{type(method).__name__}.map"
        found = real_array(name, output, shape, ", like its points", lambda index: f"row {index[0]}, column {index[1]}")
        mapped = found.astype(np.float64)
        source, target, fresh = ((part - shift) / scale for part in (tested[0], tested[1], learned[1]))
        metrics = {"landing": landing(mapped, target), "floor": landing(fresh[: len(target)], target[: len(fresh)])}
        metrics["excess"] = excess(cost, source, mapped)
        if truth and options["cost"] == "squared":
            metrics["map_error"] = map_error(truth, tested[0], mapped * scale + shift)
        metrics["seconds"] = fit_seconds + map_seconds
        return metrics, lambda: {
            name: _plain((rows * scale + shift)[:_SHOWN, :2])
            for name, rows in (("source", source), ("mapped", mapped), ("target", target))
        }


def sizes(content: Clouds, options: Options, scale: Scale) -> dict[str, Any]:
    """How many points of each cloud are learned from and tested, and how many gradient steps are taken, at a scale."""
    count, test, steps = (int(options[name]) for name in ("count", "test", "steps"))
    if scale == "smoke":
        count, test, steps = (
            min(count or _SMOKE["count"], _SMOKE["count"]),
            min(test, _SMOKE["test"]),
            min(steps, _SMOKE["steps"]),
        )
    if content.law:
        return {"count": (count, count), "test": test, "steps": steps}
    held = len(content.source), len(content.target)
    test = min(test, min(held) // 3)
    counts = tuple(min(count or many, many - test) for many in held)
    return {"count": counts, "test": test, "steps": steps}


def drawn(
    trial: Trial, content: Clouds, options: Options, split: Split
) -> tuple[list[Points], list[Points], GaussianPair | None]:
    """Source and target to learn from, the same to test, and the truth where it is known.

    Points are taken in random order, the tested ones first; for validation the last ones of those learned from are tested. With
    one seed, fewer points of a file are a part of more.
    """
    found, truth = sizes(content, options, trial.scale), None
    counts, test = found["count"], found["test"]
    if content.law:
        *learned, truth = data.points(trial, content.law, "learned", counts, int(options["dim"]))
        *tested, _ = data.points(trial, content.law, "tested", (test, test), int(options["dim"]))
    else:
        learned, tested = [], []
        for name, cloud, count in zip(("source", "target"), (content.source, content.target), counts, strict=True):
            order = trial.rng(f"split {name}").permutation(len(cloud))
            learned.append(cloud[order[test:][:count]])
            tested.append(cloud[order[:test]])
    if split == "test":
        return learned, tested, truth
    held_out = max(_LEAST, round(VALIDATION_SHARE * min(counts)))
    return [part[:-held_out] for part in learned], [part[-held_out:] for part in learned], truth


def landing(mapped: Points, target: Points) -> float:
    """The mean distance of the best assignment of as many points.

    Example:
        >>> landing(np.array([[0.0], [5.0]]), np.array([[5.0], [1.0]]))
        0.5
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    distances = cdist(mapped, target)
    return float(distances[linear_sum_assignment(distances)].mean())


def excess(cost: Cost, source: Points, mapped: Points) -> float:
    """The mean cost of a map less that of the best assignment of the same points to the same places."""
    import torch
    from scipy.optimize import linear_sum_assignment

    costs = cost(torch.from_numpy(source), torch.from_numpy(mapped)).numpy()
    return float(costs.diagonal().mean() - costs[linear_sum_assignment(costs)].mean())


def map_error(truth: GaussianPair, source: Points, mapped: Points) -> float:
    """The mean squared distance from the optimal map over the target's variance, all in the data's own units."""
    error = np.square(mapped - truth.map(source)).sum(axis=1).mean()
    return float(error / np.trace(truth.covariances[1]))


def _plain(rows: Points) -> list[list[float]]:
    return [[float(f"{value:.4g}") for value in row] for row in rows]
