"""The problem pretext: measures, what methods are given, files of one's own, what a method must give, and the picture."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from replica.data import Labelled
from replica.errors import ReplicaError
from replica.lab.claims import Proportion, Trial
from replica.lab.problems import Dataset, Outcome
from replica.lab.problems.pretext.nets import Encoder
from replica.lab.problems.pretext.problem import Pretext

problem = Pretext()
FIRST = Trial(0)


def pictures(count: int = 120, classes: int = 3, labelled: bool = True, spread: float = 0.3) -> Dataset:
    """Images of 6 × 5 pixels; in those of class k column k is bright. Values from -1 on, which no method should see."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % classes
    images = spread * rng.random((count, 6, 5)) + 2 * (np.arange(5) == labels[:, None, None]) - 1
    names = tuple("abcdefg"[:classes]) if labelled else ()
    return Dataset(
        "mine", "", Labelled(images.astype(np.float32), labels if labelled else 0 * labels, names), "mine", (6, 5)
    )


class Fixed:
    """Embeds by a function of images, and remembers what it was given."""

    def __init__(self, embed: Any = lambda images: 1 * images.flatten(1)) -> None:
        self.function, self.asked = embed, []

    def pretrain(self, images: Any, encoder: Any, generator: Any, epochs: int) -> None:
        self.images, self.encoder, self.generator, self.epochs = images.clone(), encoder, generator, epochs
        images[:] = 7

    def embed(self, images: Any) -> Any:
        self.asked.append(images.clone())
        found = self.function(images)
        images[:] = 7
        return found


class Told(Fixed):
    def pretrain(self, images: Any, encoder: Any, generator: Any, epochs: int, labels: Any = None) -> None:
        self.labels, self.images = labels, images.clone()


def run(method: Any, data: Dataset | None = None, split: Any = "test", trial: Any = FIRST, **options: Any) -> Outcome:
    resolved = problem.resolve({"few": 2, "many": 10, **options})
    return problem.run(trial, lambda _: method, data or pictures(), resolved, examples=True, split=split)


# --- measures ------------------------------------------------------------------------------------------------------------


def test_who_sees_the_class_is_read_and_who_sees_nothing_guesses() -> None:
    seeing = run(Fixed(lambda images: images.mean(2).flatten(1)), spread := pictures(spread=0.1)).metrics
    assert list(seeing) == [metric.name for metric in problem.metrics]
    assert (seeing["few"], seeing["many"]) == (1, 1)
    assert seeing["neighbours"] == Proportion(30, 30)
    assert 1.5 < float(seeing["rank"]) < 5
    blind = run(Fixed(lambda images: torch.ones(len(images), 4)), spread).metrics
    assert (blind["few"], blind["many"]) == pytest.approx((1 / 3, 1 / 3))
    assert blind["views"] == Proportion(0, 30), "equal embeddings are no match"
    assert blind["rank"] == 0
    noise = run(Fixed(lambda images: torch.randn(len(images), 4, generator=torch.Generator().manual_seed(0))), spread)
    assert 0.15 < float(noise.metrics["many"]) < 0.55


def test_views_are_matched_by_who_tells_images_apart() -> None:
    rng = np.random.default_rng(0)
    tones = rng.random((200, 1, 1)).astype(np.float32) * np.ones((1, 12, 12), np.float32)
    shapes = rng.random((200, 3, 3)).astype(np.float32).repeat(4, axis=1).repeat(4, axis=2)
    for images, least, most in ((shapes, 0.5, 1.0), (tones, 0.0, 0.35)):
        data = Dataset("mine", "", Labelled(images, np.arange(200) % 2, ("a", "b")), "mine", (12, 12))
        found = run(Fixed(lambda images: torch.nn.functional.avg_pool2d(images, 4).flatten(1)), data).metrics["views"]
        assert least <= float(found) <= most


def test_probes_know_as_many_labels_as_told_or_as_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def watched(features: Any, labels: Any, budgets: Any, **settings: Any) -> Any:
        sizes.extend(len(rows) for rows in budgets)
        return probe(features, labels, budgets, **settings)

    from replica.training import ridge_probe as probe

    monkeypatch.setattr("replica.training.ridge_probe", watched)
    run(Fixed(), few=4, many=1000)
    assert sizes == [12, 90] * 10
    used = problem.used(pictures(), problem.resolve({"few": 4, "many": 1000}), "laptop")
    assert used == {"train": "90 images", "test": "30 images", "epochs": "40", "few": "4", "many": "30"}
    logistic = run(Fixed(lambda images: images.mean(2).flatten(1)), few=1, probe="logistic").metrics
    assert float(logistic["many"]) > 0.95


def test_the_picture_and_the_views_are_of_all_classes() -> None:
    method = Fixed()
    outcome = run(method, pictures(2000, classes=5))
    assert len(outcome.examples["points"]) == 300
    assert set(outcome.examples["labels"]) == set(range(5))
    points, labels = torch.tensor(outcome.examples["points"]), torch.tensor(outcome.examples["labels"])
    assert torch.equal(method.asked[1][:300].mean(2)[:, 0].argmax(1), labels)
    centres = torch.stack([points[labels == number].mean(0) for number in range(5)])
    assert (points - centres[labels]).norm(dim=1).max() < (centres - points.mean(0)).norm(dim=1).max()


# --- what methods are given ----------------------------------------------------------------------------------------------


def test_a_method_gets_images_from_0_to_1_a_budget_and_one_start_for_all() -> None:
    one, other, next_seed = Fixed(), Fixed(), Fixed()
    run(one, epochs=3)
    run(other, epochs=3)
    run(next_seed, trial=Trial(1))
    assert one.images.shape == (90, 1, 6, 5)
    assert (float(one.images.min()), float(one.images.max()), one.epochs) == (0, 1, 3)
    assert torch.equal(one.asked[0], one.images), "embedded as they were given, whatever pretrain wrote into them"
    assert len(one.asked[1]) == 30
    assert not (one.asked[1][:, None] == one.images).flatten(2).all(2).any()
    first, second = (method.encoder() for method in (one, other))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(next(one.encoder().parameters()), next(first.parameters())), "a second network is another"
    assert not torch.equal(next(next_seed.encoder().parameters()), next(first.parameters()))
    assert torch.equal(torch.rand(3, generator=one.generator), torch.rand(3, generator=other.generator))
    assert first(one.images).shape == (90, one.encoder.dim) == (90, 64)


def test_labels_are_told_to_whom_asks_and_validation_keeps_to_the_training_part() -> None:
    told, tested, tuned = Told(), Fixed(), Fixed()
    run(told)
    assert torch.equal(told.images.flatten(1).mean(1).isnan(), torch.zeros(90, dtype=torch.bool))
    assert torch.equal(told.images.mean(2)[:, 0].argmax(1), told.labels)
    run(tested)
    run(tuned, split="validation")
    assert len(tuned.images) + len(tuned.asked[1]) == 90
    assert len(tuned.asked[1]) == 18
    unlabelled = Told()
    run(unlabelled, pictures(labelled=False), score="views")
    assert unlabelled.labels is None


@pytest.mark.parametrize("shape", [(1, 4, 4), (3, 14, 14), (1, 9, 30), (3, 64, 48), (1, 128, 128)])
def test_encoders_of_any_size(shape: tuple[int, int, int]) -> None:
    encoder = Encoder(shape, 2, 5, torch.Generator().manual_seed(0))()
    assert encoder(torch.zeros(2, *shape)).shape == (2, 5)
    assert sum(p.numel() for p in encoder.parameters()) < 3000


def test_at_smoke_scale_there_is_less_of_everything() -> None:
    method, digits = Fixed(), problem.load("digits", {})
    assert "rank" in run(method, digits, trial=Trial(0, "smoke")).metrics
    assert (len(method.images), len(method.asked[1]), method.epochs) == (100, 100, 1)


# --- what is refused -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("embed", "said"),
    [
        (lambda images: None, "Fixed.embed returned NoneType; wanted a tensor of shape"),
        (lambda images: images, r"returned shape \(90, 1, 6, 5\); wanted a tensor of shape \(90, dim\)"),
        (lambda images: images[:3].flatten(1), r"returned shape \(3, 30\)"),
        (lambda images: images.flatten(1) / 0, "a number that is not finite for image 0"),
        (lambda images: images.flatten(1) + 0j, "returned complex numbers"),
    ],
)
def test_a_method_must_give_embeddings(embed: Any, said: str) -> None:
    with pytest.raises(ReplicaError, match=said):
        run(Fixed(embed))
    numpy = run(Fixed(lambda images: images.flatten(1).numpy().copy()))
    assert numpy.metrics["few"] == run(Fixed()).metrics["few"], "an array will do"


def test_images_without_labels_are_ranked_by_views_if_one_says_so() -> None:
    data = pictures(labelled=False)
    with pytest.raises(ReplicaError, match="mine holds images without labels; give --score views"):
        run(Fixed(), data)
    outcome = run(Fixed(), data, score="views")
    assert list(outcome.metrics) == ["views", "rank", "seconds"]
    assert [metric.name for metric in problem.metrics_for(problem.resolve({"score": "views"}))] == list(outcome.metrics)
    assert outcome.examples["labels"] == []
    assert "supervised" not in [b.name for b in problem.baselines() if "views" in b.needs.get("score", ("views",))]
    with pytest.raises(ReplicaError, match="mine leaves 6 images to learn from or to test; wanted 10 or more"):
        run(Fixed(), pictures(20))


def test_files_of_ones_own(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(24, 8, 9)).astype(np.uint8)
    for number, image in enumerate(images):
        for folder in ("plain", f"sorted/{'ab'[number % 2]}"):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(tmp_path / folder / f"{number}.png")
    plain, by_class = (problem.load(str(tmp_path / name), {}) for name in ("plain", "sorted"))
    assert plain.description == "24 images of 8 × 9, from plain; without labels"
    assert by_class.description == "24 images of 8 × 9, 2 classes, from sorted"
    np.testing.assert_allclose(plain.content.features, images / 255, atol=1e-6)
    np.savez(tmp_path / "with.npz", X=images, y=np.arange(24) % 3)
    np.savez(tmp_path / "without.npz", X=images, other=images)
    np.save(tmp_path / "one.npy", images)
    assert len(problem.load(str(tmp_path / "with.npz"), {}).content.classes) == 3
    assert problem.load(str(tmp_path / "without.npz"), {}).digest == problem.load(str(tmp_path / "one.npy"), {}).digest
    np.savez(tmp_path / "table.npz", X=images[:, 0], y=np.arange(24) % 3)
    with pytest.raises(ReplicaError, match="holds a table; wanted images"):
        problem.load(str(tmp_path / "table.npz"), {})
    np.save(tmp_path / "bad.npy", np.where(images > 250, np.nan, images))
    with pytest.raises(ReplicaError, match=r"image 0 \(from 0\) holds a number that is not finite"):
        problem.load(str(tmp_path / "bad.npy"), {})
    np.savez(tmp_path / "odd.npz", a=images, b=images)
    with pytest.raises(ReplicaError, match="no 'X'"):
        problem.load(str(tmp_path / "odd.npz"), {})


# --- the picture ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("methods", [("untrained",), ("supervised", "mine", "untrained", "pca")])
@pytest.mark.parametrize("labelled", [True, False])
def test_the_picture(methods: tuple[str, ...], labelled: bool) -> None:
    rows = [(name, None, "few", 0.5, 0.4, 0.6) for name in methods]
    example = run(Fixed(), pictures(labelled=labelled), score="labels" if labelled else "views").examples
    comparison = SimpleNamespace(
        sweep=None,
        curves=pd.DataFrame(rows, columns=["method", "value", "metric", "mean", "low", "high"]),
        rows=[{"method": name} for name in (*methods, "failed")],
        examples=dict.fromkeys(methods, example),
        options=problem.resolve({}),
        dataset=problem.load("digits", {}),
    )
    figure = Figure(figsize=(9, 4))
    FigureCanvasAgg(figure)
    problem.draw(figure, comparison)
    figure.canvas.draw()
    titles = [axes.get_title().split(" (")[0] for axes in figure.subfigs[1].axes]
    assert titles == (["mine", "untrained"] if "mine" in methods else ["untrained"])
    assert len(example["points"]) == 30
    assert bool(figure.subfigs[1].legends) == labelled
