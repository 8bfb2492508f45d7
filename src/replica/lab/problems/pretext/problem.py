"""The problem pretext: which objective without labels learns the best features?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from replica.data import Labelled
from replica.errors import ReplicaError
from replica.lab.claims import Proportion, Scale, Trial
from replica.lab.problems import own_rows
from replica.lab.problems.labelled_rows import LabelledRows, labelled_options
from replica.lab.problems.pretext import data as images_of
from replica.lab.problems.problem import Dataset, Measured, Metric, Option, Options, Split, Start
from replica.lab.problems.protocol import takes, timed

if TYPE_CHECKING:
    from torch import Tensor

DRAWS = 10
"""How often the labels of a probe are drawn: its accuracy is the mean."""
NEIGHBOURS = 5
_DRAWN = 300
"""Test images in the picture."""
_AT_ONCE = 2000
"""Test images among which pairs of views are sought."""
_SLOW_DRAWS = 2
_SMOKE_DRAWS = 1


def _labelled(options: Options) -> bool:
    return options["score"] == "labels"


class Pretext(LabelledRows):
    """Learn features from images without labels; a probe with few labels says what they are good for.

    A trial draws images to learn from and images to test, and hands the first, float32 from 0 to 1 of shape ``(n, channels,
    height, width)``, to the method's ``pretrain``, with a constructor of the encoder, a generator, and the budget: a method
    may go through the images ``epochs`` times, in batches and views of its own choice. ``encoder()`` makes a fresh network
    (`nets.Encoder`; ``encoder.dim`` is its output's length); its first has the same weights for all methods. Then ``embed``
    gives the embedding of images, for those to learn from and those to test, of any length. Labels are never shown, but to a
    method whose ``pretrain`` takes ``labels``: no competitor, but a roof.

    What is measured, with embeddings as they are:

    - ``few``: accuracy on test images of a linear probe (ridge regression, its penalty by leave-one-out; or ``--probe
      logistic``) that knows ``few`` labels a class, the mean over 10 draws of which (2 where logistic).
    - ``many``: the same with ``many`` labels.
    - ``neighbours``: accuracy of a vote among the 5 nearest images to learn from by cosine, with all their labels.
    - ``views``: two views of each test image, a little turned, moved, scaled and with noise: the share of those whose nearest
      by cosine among the other views, up to 2,000, is of the same image. It says whether images are told apart under small
      changes, not whether classes are, and is kind to methods that train on such views.
    - ``rank``: the effective rank of the test embeddings, centred: exp of the entropy of their singular values.
    - ``seconds``: wall-clock time of ``pretrain``.

    Images without labels are scored with ``--score views``: ``views`` ranks, and there are no probes. For validation
    (``--tune``) a fifth of the images to learn from is held out in the place of those to test.
    """

    name = "pretext"
    question = "Which objective without labels learns the best features?"
    protocol = (
        'pretrain(images: Float[Tensor, "n channels height width"], encoder: Callable[[], nn.Module], '
        "generator: torch.Generator, epochs: int) -> None",
        'embed(images: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n dim"]',
    )
    metrics = (
        Metric("few", "share of images", "higher", "Probe accuracy, few labels", when=_labelled),
        Metric("many", "share of images", "higher", "Probe accuracy, many labels", when=_labelled),
        Metric("neighbours", "share of images", "higher", "Nearest neighbours' accuracy", when=_labelled),
        Metric("views", "share of images", "higher", "Views matched"),
        Metric("rank", "directions", "higher", "Effective rank"),
        Metric("seconds", "s", "lower", "Time to pretrain"),
    )
    options = (
        Option("few", 10, "labels a class that the ranking probe knows, or all that there are", minimum=1,
               label="Labels a class"),
        Option("many", 100, "labels a class that another probe knows, or all that there are", minimum=1,
               label="Labels a class"),
        Option("epochs", 40, "times that a method may go through the images", minimum=0, maximum=10_000,
               label="Epochs (passes over the images)"),
        Option("width", 16, "channels of the encoder's first convolution", minimum=1, maximum=1024,
               label="Channels of the first convolution"),
        Option("dim", 64, "length of the encoder's output", minimum=2, maximum=4096, label="Length of the embedding"),
        Option("probe", "ridge", "the linear probe", choices=("ridge", "logistic")),
        Option("score", "labels", "what ranks: a probe with labels, or pairs of views where there are none",
               choices=("labels", "views")),
        *labelled_options(train=5000, unit="images"),
        own_rows.COLOUR,
    )  # fmt: skip
    data_names: ClassVar[Mapping[str, str]] = {
        "digits": "1,797 handwritten digits of 8 × 8 pixels, 10 classes (ships with scikit-learn)",
        "mnist": "MNIST's 10,000 test digits at 14 × 14 pixels, 10 classes (11 MB, downloaded once)",
        "omniglot": "4,840 handwritten characters at 14 × 14 pixels, 242 classes of 20 (downloaded once)",
    }
    default_data = "digits"
    data_formats = images_of.FORMATS
    files = "an .npz file or a folder of images"
    unit = "images"
    smoke_epochs = 1

    def named(self, name: str, seed: int | None, options: Options) -> Labelled:
        """See `Problem.named`."""
        return images_of.named(name)

    def read(self, path: Path, options: Options) -> Labelled:
        """See `Problem.read`, and `data.read`."""
        return images_of.read(path, options["colour"] == "kept")

    def size(self, content: Labelled, options: Options) -> str:
        """See `Problem.size`."""
        grid = " × ".join(map(str, content.shape))
        return f"{len(content):,} images of {grid}" + (f", {len(content.classes)} classes" if content.classes else "")

    def identity(self, content: Labelled) -> tuple[Any, ...]:
        """See `Problem.identity`."""
        tests = [] if content.tests is None else [content.tests]
        return (content.shape, content.classes), content.labels, *tests, content.features

    def check(self, dataset: Dataset, options: Options) -> None:
        """See that there are labels where they score, and images enough.

        Raises:
            ReplicaError: If not.
        """
        super().check(dataset, options)
        if _labelled(options) and not dataset.content.classes:
            raise ReplicaError(
                f"{dataset.name} holds images without labels; give --score views to rank by how well two views of an image are "
                "matched, or bring labels: folders by class, or an array 'y'."
            )
        for part in self.rows(Trial(0), dataset.content, options, "test"):
            if len(part) < 2 * NEIGHBOURS:
                raise ReplicaError(
                    f"{dataset.name} leaves {len(part)} images to learn from or to test; wanted {2 * NEIGHBOURS} or more."
                )

    def used(self, dataset: Dataset, options: Options, scale: Scale) -> Mapping[str, str]:
        """See `Problem.used`: also the labels that the probes know."""
        told = dict(super().used(dataset, options, scale))
        if not _labelled(options):
            return told | dict.fromkeys(("few", "many", "probe"), "")
        train, _ = self.rows(Trial(0, scale), dataset.content, options, "test")
        budgets = self._budgets(dataset.content.labels[train], options)
        return told | dict(zip(("few", "many"), map(str, budgets), strict=True))

    def _budgets(self, labels: Any, options: Options) -> tuple[int, int]:
        """Labels a class that the probes know: no more than the smallest class has."""
        most = int(np.bincount(labels)[np.unique(labels)].min())
        return min(int(options["few"]), most), min(int(options["many"]), most)

    def measure(self, trial: Trial, start: Start, dataset: Dataset, options: Options, split: Split) -> Measured:
        """Let the method pretrain, and measure its embeddings; see the class for the measures."""
        import torch

        from replica.lab.problems.pretext.nets import Encoder, prepared, shape_of
        from replica.training import effective_rank

        content = dataset.content
        train, test = self.rows(trial, content, options, split)
        test = trial.rng("order").permutation(test)  # they come class by class, and of many the first are shown
        images, queries = prepared(content, train, test, trial.device)
        weights = trial.generator("encoder")
        encoder = Encoder(shape_of(content), int(options["width"]), int(options["dim"]), weights)
        method, generator, epochs = start(), trial.generator("pretrain"), self.epochs(trial, options)
        told = {"labels": torch.tensor(content.labels[train], device=trial.device)} if content.classes else {}
        given = takes(method.pretrain, told)
        _, seconds = timed(trial, lambda: method.pretrain(images.clone(), encoder, generator, epochs, **given))
        known, asked = embedded(method, images), embedded(method, queries)
        metrics: dict[str, float | Proportion] = {}
        if _labelled(options):
            metrics |= self._probed(trial, known, asked, content.labels[train], content.labels[test], options)
        metrics |= {
            "views": matched(method, queries[:_AT_ONCE], trial.generator("views")),
            "rank": float(effective_rank(asked)),
            "seconds": seconds,
        }
        return metrics, lambda: shown(asked[:_DRAWN], content.labels[test][:_DRAWN], content.classes)

    def _probed(
        self, trial: Trial, known: Tensor, asked: Tensor, labels: Any, truth: Any, options: Options
    ) -> dict[str, float | Proportion]:
        import torch

        from replica.training import label_budgets, logistic_probe, neighbour_accuracy, ridge_probe
        from replica.training.probe import PENALTIES

        budgets, is_ridge = self._budgets(labels, options), options["probe"] == "ridge"
        learned, wanted = torch.from_numpy(labels), torch.from_numpy(truth)
        draws = _SMOKE_DRAWS if trial.scale == "smoke" else DRAWS if is_ridge else _SLOW_DRAWS
        generator = trial.generator("labels", "cpu")
        drawn = [rows for _ in range(draws) for rows in label_budgets(learned, budgets, generator)]
        if is_ridge:
            probe = ridge_probe(known, learned, drawn)
        else:  # one label a class leaves no folds to choose a penalty by
            probe = logistic_probe(known, learned, drawn, penalties=PENALTIES if min(budgets) > 1 else (1.0,))
        few, many = probe.accuracy(asked, wanted).view(draws, 2).mean(0).tolist()
        near = neighbour_accuracy(known, learned, asked, wanted, neighbours=NEIGHBOURS)
        return {"few": few, "many": many, "neighbours": Proportion(round(near * len(wanted)), len(wanted))}


def embedded(method: Any, images: Tensor) -> Tensor:
    """Embeddings of images, float32 ``(count, dim)`` on the CPU, checked.

    Raises:
        ReplicaError: If they are no finite numbers of that shape.
    """
    import torch

    name = f"{type(method).__name__}.embed"
    with torch.no_grad():
        output = method.embed(images.clone())
    output = torch.as_tensor(output) if isinstance(output, np.ndarray) else output
    if not isinstance(output, torch.Tensor) or output.ndim != 2 or len(output) != len(images) or not output.shape[1]:
        found = f"shape {tuple(output.shape)}" if isinstance(output, torch.Tensor) else type(output).__name__
        raise ReplicaError(f"{name} returned {found}; wanted a tensor of shape ({len(images)}, dim).")
    if output.is_complex():
        raise ReplicaError(f"{name} returned complex numbers; wanted real ones.")
    result = output.detach().to("cpu", torch.float32)
    finite = torch.isfinite(result).all(1)
    if not finite.all():
        raise ReplicaError(
            f"{name} returned a number that is not finite for image {int((~finite).nonzero()[0])} (from 0)."
        )
    return result


def matched(method: Any, images: Tensor, generator: Any) -> Proportion:
    """Images whose two views are each other's, as told by the nearest of the second views to the first."""
    import torch

    from replica.training import Views

    views = Views(rotation=15, scale=(0.9, 1.1), shift=0.1, noise=0.1).pair(images, generator)
    one, other = (embedded(method, view) for view in views)
    mean = torch.cat([one, other]).mean(0)
    one, other = (torch.nn.functional.normalize(part - mean, dim=1) for part in (one, other))
    alike = one @ other.T
    # Ties are no match: an embedding that is the same for all tells nothing.
    own = alike.diagonal()[:, None]
    others = alike.masked_fill(torch.eye(len(alike), dtype=torch.bool), -torch.inf).amax(1, keepdim=True)
    return Proportion(int((own > others).sum()), len(images))


def shown(embeddings: Tensor, labels: Any, classes: tuple[str, ...]) -> dict[str, Any]:
    """Embeddings along their two main directions, for the picture."""
    import torch

    centred = (embeddings - embeddings.mean(0)).double()
    left, values, _ = torch.linalg.svd(centred, full_matrices=False)
    points = torch.zeros(len(centred), 2, dtype=torch.float64)
    found = left[:, :2] * values[:2]
    points[:, : found.shape[1]] = found / found.std().clamp(min=1e-12)
    explained = float(values[:2].square().sum() / values.square().sum().clamp(min=1e-300))
    return {
        "points": points.round(decimals=3).tolist(),
        "labels": [int(label) for label in labels] if classes else [],
        "classes": list(classes),
        "explained": round(explained, 3),
    }
