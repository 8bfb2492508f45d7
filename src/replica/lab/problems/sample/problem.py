"""The problem sample: which model generates samples closest to the data?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from replica.data import FORMATS, POINT_CLOUDS, point_cloud
from replica.errors import ReplicaError
from replica.lab.claims import Scale, Trial
from replica.lab.problems import own_rows
from replica.lab.problems.data_sources import column_names
from replica.lab.problems.footprint import parameter_count
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
from replica.lab.problems.sample import data
from replica.lab.problems.sample.data import DISTANT, FEWEST, Items, Standardisation

_SMOKE = {"train": 40, "test": 20, "steps": 5}
_LEAST = 10
"""The fewest rows that are tested."""
_SHOWN = {"points": 300, "images": 8}


class Sampling(Problem):
    """Learn from rows or images what they are like, and draw new ones.

    A trial draws ``train`` rows to learn from and ``test`` others, from the data or, where the law is known, from the law
    anew. Values that have levels, such as counts and the ink of digits, get uniform noise of one level, in both parts: else the
    gaps between levels would be all that tells samples from data. Then rows of a table are brought column by column to mean 0
    and deviation 1 of the training rows; images all together, by one mean and one deviation. All methods get these numbers, in
    one float32 tensor of shape ``(count, *shape)`` on the trial's device, and all measures are taken on them.

    ``fit`` may take ``steps``, the gradient steps that every method which takes some has. ``sample`` is asked for as many
    samples as there are test rows.

    What is measured, on float64:

    - ``wasserstein``: the sliced Wasserstein distance from samples to test rows (order 2, 200 directions, the same for all
      methods). ``floor`` is that of as many training rows: nobody who generalises is much below it.
    - ``energy``: the energy distance, without the bias of small samples, so that it may come out below 0.
    - ``told_apart``: how often it is guessed from its nearest neighbour whether a row is a sample or data: 0.5 is best.
    - ``precision`` and ``recall``: shares of samples within the data's neighbourhoods, and of data within the samples'.
    - ``novelty``: the median distance of samples to the nearest training row over that of test rows; near 0 for who copies.
    - ``parameters``, and wall-clock ``seconds`` to fit and to draw the samples.

    For validation (``--tune``) a fifth of the training rows, ten at least, is held out. At smoke scale 40 rows train, 20 test.
    """

    name = "sample"
    question = "Which model generates samples closest to the data?"
    protocol = (
        'fit(data: Float[Tensor, "count *shape"]) -> None',
        'sample(count: int) -> Float[Tensor, "count *shape"]',
    )
    metrics = (
        Metric("wasserstein", "1", "lower", "Sliced Wasserstein distance"),
        Metric("floor", "1", "lower", "Floor (training rows)"),
        Metric("energy", "1", "lower", "Energy distance"),
        Metric("told_apart", "share of rows", "near 0.5", "Told from data"),
        Metric("precision", "share of samples", "higher", "Precision"),
        Metric("recall", "share of rows", "higher", "Recall"),
        Metric("novelty", "1", "near 1", "Novelty"),
        Metric("parameters", "1", "lower", "Parameters"),
        Metric("seconds", "s", "lower", "Time to fit and draw"),
    )
    options = (
        Option("train", 1000, "rows to learn from; 0 for all that are not tested", minimum=0, label="Training rows"),
        Option("test", 500, "rows tested, and samples drawn from each model; a third of the data where they hold fewer",
               minimum=_LEAST, maximum=5000, label="Test rows"),
        Option("steps", 3000, "gradient steps of every method that takes some", minimum=1, label="Gradient steps"),
        *own_rows.COLUMNS,
        own_rows.COLOUR,
    )  # fmt: skip
    default_data = "digits"
    data_names: ClassVar[Mapping[str, str]] = {
        "digits": "1,797 handwritten digits of 8 × 8 pixels (ships with scikit-learn)",
        **{name: f"{law.description}, drawn anew for each seed" for name, law in POINT_CLOUDS.items()},
        "mnist": "MNIST's 10,000 test digits, brought to 14 × 14 pixels (11 MB, downloaded once)",
        "iris": "150 irises, 4 measures of their flowers (ships with scikit-learn)",
        "wine": "178 Italian wines, 13 chemical measures (ships with scikit-learn)",
        "breast-cancer": "569 breast tumours, 30 measures of their cells (ships with scikit-learn)",
    }
    data_formats = FORMATS
    files = "a file or a folder of images"

    def named(self, name: str, seed: int | None, options: Options) -> Items:
        """See `Problem.named`."""
        return data.named(name)

    def read(self, path: Path, options: Options) -> Items:
        """See `Problem.read`, and `data.read`."""
        keep, drop = (column_names(str(options[name])) for name in ("keep", "drop"))
        return data.read(path, keep=keep, drop=drop, colour=options["colour"] == "kept")

    def size(self, content: Items, options: Options) -> str:
        """See `Problem.size`."""
        of = " × ".join(map(str, content.shape)) + " values" if content.is_grid else f"{content.shape[0]} columns"
        return f"{len(content):,} rows of {of}"

    def identity(self, content: Items) -> tuple[Any, ...]:
        """See `Problem.identity`."""
        return (
            (content.law, content.shape, content.values.shape, str(content.values.dtype)),
            content.values,
            content.steps,
        )

    def check(self, dataset: Dataset, options: Options) -> None:
        """See that there are rows enough to learn from and to test.

        Raises:
            ReplicaError: If not.
        """
        content, train = dataset.content, int(options["train"])
        if not content.law and len(content) < FEWEST:
            raise ReplicaError(f"{dataset.name} holds {len(content)} rows that differ; wanted {FEWEST} or more.")
        if content.law and not train:
            raise ReplicaError(f"Option train is 0, but {dataset.name} is drawn, without end; give --train 1000, say.")
        if 0 < train < 2 * _LEAST:
            raise ReplicaError(f"Option train is {train}; wanted {2 * _LEAST} or more, or 0 for all.")

    def used(self, dataset: Dataset, options: Options, scale: Scale) -> Mapping[str, str]:
        """See `Problem.used`."""
        return {name: f"{count:,}" for name, count in sizes(dataset.content, options, scale).items()}

    def measure(self, trial: Trial, start: Start, dataset: Dataset, options: Options, split: Split) -> Measured:
        """Fit, draw samples, and say how far they are from rows that were held out; see the class for the measures."""
        import torch

        content: Items = dataset.content
        train, test = drawn(trial, content, options, split)
        for rows in (train, test):
            if not np.isfinite(rows).all():
                raise ReplicaError(f"{dataset.name} holds a number that is not finite; wanted finite numbers.")
        standard = Standardisation.of(train, together=content.is_grid)
        learned, held_out = (standard.scaled(rows) for rows in (train, test))
        given = torch.tensor(learned.reshape(-1, *content.shape), device=trial.device)
        method = start()
        told = takes(method.fit, {"steps": sizes(content, options, trial.scale)["steps"]})
        _, fit_seconds = timed(trial, lambda: method.fit(given, **told))
        output, sample_seconds = timed(trial, lambda: method.sample(len(test)))
        shape = (len(test), *content.shape)
        found = real_array(f"{type(method).__name__}.sample", output, shape, ", like its data", str)
        found = found.reshape(len(test), -1)
        metrics = distances(trial, dataset.name, found, learned, held_out)
        metrics |= {"parameters": float(parameter_count(method)), "seconds": fit_seconds + sample_seconds}
        return metrics, lambda: shown(content, standard, found, learned, held_out) | {"floor": metrics["floor"]}


def sizes(content: Items, options: Options, scale: Scale) -> dict[str, int]:
    """How many rows train and test, and how many gradient steps are taken, at a scale."""
    train, test, steps = (int(options[name]) for name in ("train", "test", "steps"))
    if not content.law:
        test = min(test, len(content) // 3)
        train = min(train or len(content), len(content) - test)
    found = {"train": train, "test": test, "steps": steps}
    return {name: min(count, _SMOKE[name]) for name, count in found.items()} if scale == "smoke" else found


def drawn(trial: Trial, content: Items, options: Options, split: Split) -> tuple[NDArray[Any], NDArray[Any]]:
    """Rows to learn from and rows to test, as the data have them, with noise of one level where there are levels.

    Rows are taken in random order, the tested ones first; for validation the last ones of those trained on are tested. With one
    seed, fewer training rows of a file are a part of more.
    """
    count = sizes(content, options, trial.scale)
    order = trial.rng("split").permutation(len(content))

    def part(name: str, rows: NDArray[np.intp]) -> NDArray[Any]:
        if content.law:
            return point_cloud(content.law, count[name], trial.rng(name))
        noise = trial.rng(f"{name} levels").random((len(rows), content.values.shape[1])) - 0.5
        return np.asarray(content.values[rows] + content.steps * noise)

    train = part("train", order[count["test"] :][: count["train"]])
    if split == "test":
        return train, part("test", order[: count["test"]])
    held_out = max(_LEAST, round(VALIDATION_SHARE * len(train)))
    return train[:-held_out], train[-held_out:]


def distances(
    trial: Trial, name: str, found: NDArray[np.float32], train: NDArray[np.float32], test: NDArray[np.float32]
) -> dict[str, float]:
    """All that is measured of samples beside rows, all of shape ``(count, dim)``.

    Raises:
        ReplicaError: If rows cannot be told apart at the scale that their deviation sets.
    """
    import torch

    from replica.training import energy_distance, neighbour_test, novelty, precision_and_recall, sliced_wasserstein

    samples, learned, held_out = (
        torch.tensor(rows.clip(-DISTANT, DISTANT), dtype=torch.float64) for rows in (found, train, test)
    )

    def sliced(rows: torch.Tensor) -> float:
        return float(sliced_wasserstein(rows, held_out, generator=trial.generator("directions", "cpu")))

    try:
        new = novelty(samples, learned, held_out)
    except ValueError:
        raise ReplicaError(
            f"{name}: most rows cannot be told apart beside the deviation of a column; leave out the rows or columns (--drop) "
            "with far outliers."
        ) from None
    precision, recall = precision_and_recall(samples, held_out)
    return {
        "wasserstein": sliced(samples),
        "floor": sliced(learned[: len(held_out)]),
        "energy": float(energy_distance(samples, held_out)),
        "told_apart": neighbour_test(samples, held_out),
        "precision": precision,
        "recall": recall,
        "novelty": new,
    }


def shown(
    content: Items,
    standard: Standardisation,
    found: NDArray[np.float32],
    train: NDArray[np.float32],
    test: NDArray[np.float32],
) -> dict[str, Any]:
    """What the picture needs: images with the training images nearest to them, else points in the plane."""
    if picture_shape(content.shape):
        import torch

        few = found[: _SHOWN["images"]]
        nearest = train[torch.cdist(torch.tensor(few), torch.tensor(train)).argmin(dim=1).numpy()]
        images = {"samples": few, "nearest": nearest, "data": test[: _SHOWN["images"]]}
        return {name: _plain(standard.restored(rows)) for name, rows in images.items()}
    kept = slice(0, _SHOWN["points"])
    if train.shape[1] > 2:
        axes = np.linalg.eigh(np.atleast_2d(np.cov(train.T.astype(np.float64))))[1][:, :-3:-1]
        axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), range(2)])  # no matter which sign LAPACK chose
        points = {name: rows[kept] @ axes for name, rows in (("samples", found), ("data", test))}
    else:
        points = {name: standard.restored(rows[kept]) for name, rows in (("samples", found), ("data", test))}
    return {"of": content.values.shape[1], **{name: _plain(rows) for name, rows in points.items()}}


def picture_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Height, width and, where there are, colours of an image; empty where items are none."""
    if len(shape) == 3 and shape[0] in (1, 3):
        return (*shape[1:], shape[0])
    return shape if len(shape) == 2 else ()


def _plain(rows: NDArray[Any]) -> list[list[float]]:
    return [[float(f"{value:.4g}") for value in row] for row in rows]
