"""The problem sample: what is measured, what methods are given, files of one's own, what is refused, and the picture."""

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

from replica.errors import ReplicaError
from replica.lab.claims import Trial
from replica.lab.problems import Dataset, Outcome, Sampling
from replica.lab.problems.sample.data import Items, Standardisation, checked, levels
from replica.lab.problems.sample.problem import drawn

problem = Sampling()
FIRST = Trial(0)


def dataset(values: Any, shape: tuple[int, ...] = (), steps: float = 0.0) -> Dataset:
    shape = shape or values.shape[1:]
    return Dataset("mine", "", Items(values, shape, np.full(values.shape[1], steps)), "mine", shape)


def normal(count: int = 300, dim: int = 3) -> Dataset:
    return dataset(np.random.default_rng(0).normal(size=(count, dim)) * 5 + 3)


class Fixed:
    """Gives what a function makes of its data and a count, and remembers what it was given."""

    def __init__(self, make: Any) -> None:
        self.make = make

    def fit(self, data: Any, steps: int) -> None:
        self.data, self.steps = data.clone(), steps
        data[:] = 7.0  # a method may write into what it is given

    def sample(self, count: int) -> Any:
        return self.make(self.data, count)


def run(make: Any, data: Dataset | None = None, trial: Trial = FIRST, split: Any = "test", **options: Any) -> Outcome:
    method = make if hasattr(make, "fit") else Fixed(make)
    return problem.run(trial, lambda _: method, data or normal(), problem.resolve(options), examples=True, split=split)


def fresh(data: Any, count: int) -> Any:
    return torch.randn(count, *data.shape[1:], generator=torch.Generator().manual_seed(5))


# --- measures ------------------------------------------------------------------------------------------------------------


def test_measures_of_the_law_of_a_copier_and_of_one_far_off() -> None:
    options = {"train": 800, "test": 400}
    law, copier, far, same = (
        run(make, normal(1200), **options).metrics
        for make in (fresh, lambda data, n: data[:n], lambda data, n: fresh(data, n) + 10, lambda data, n: data[:1].expand(n, -1))
    )  # fmt: skip
    assert list(law) == [metric.name for metric in problem.metrics]
    for good in (law, copier):
        assert good["wasserstein"] == pytest.approx(good["floor"], rel=0.5)
        assert good["told_apart"] == pytest.approx(0.5, abs=0.08)
        assert min(good["precision"], good["recall"]) > 0.9
        assert abs(good["energy"]) < 0.02
    assert copier["wasserstein"] == copier["floor"], "the floor is that of the first training rows"
    assert law["novelty"] == pytest.approx(1, abs=0.15)
    assert copier["novelty"] == 0
    # All three coordinates are 10 off: 10 √3 |cos| along a direction, of order 2 in three dimensions 10.
    assert far["wasserstein"] == pytest.approx(10, rel=0.1)
    assert (far["told_apart"], far["precision"], far["recall"]) == (1, 0, 0)
    assert same["recall"] < 0.05
    assert far["floor"] == law["floor"], "directions are the same for all methods"


def test_samples_far_off_are_measured_all_the_same() -> None:
    found = run(lambda data, n: fresh(data, n) * 1e30).metrics
    assert all(np.isfinite(float(value)) for value in found.values())


# --- what is given -------------------------------------------------------------------------------------------------------


def test_columns_are_standardised_one_by_one_and_images_together() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(300, 4)) * [1, 10, 100, 1e200] + [0, 5, 1000, 1e200]
    method = Fixed(fresh)
    run(method, dataset(values), train=150, test=50)
    assert method.data.shape == (150, 4)
    assert method.steps == 3000
    torch.testing.assert_close(method.data.mean(0), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(method.data.std(0, correction=0), torch.ones(4))
    run(method, dataset(values[:, :3].repeat(2, 1), (2, 3)), train=150, test=50)
    assert method.data.shape == (150, 2, 3)
    assert float(method.data.mean()) == pytest.approx(0, abs=1e-5)
    assert float(method.data.std(correction=0)) == pytest.approx(1)
    assert not torch.allclose(method.data.std((0, 1)), torch.ones(3), atol=0.2)
    standard = Standardisation.of(values, together=False)
    np.testing.assert_allclose(standard.restored(standard.scaled(values)), values, rtol=1e-4, atol=1e-4)


def test_rows_that_train_are_not_tested_and_fewer_are_a_part_of_more() -> None:
    numbered = dataset(np.arange(240.0).reshape(120, 2))
    options = {"train": 40, "test": 30}
    train, test = drawn(FIRST, numbered.content, problem.resolve(options), "test")
    assert (len(train), len(test)) == (40, 30)
    assert not set(train[:, 0]) & set(test[:, 0])
    more, tested = drawn(FIRST, numbered.content, problem.resolve({**options, "train": 0}), "test")
    assert len(more) == 90
    np.testing.assert_array_equal(more[:40], train)
    np.testing.assert_array_equal(tested, test)
    kept, held_out = drawn(FIRST, numbered.content, problem.resolve(options), "validation")
    np.testing.assert_array_equal(np.concatenate([kept, held_out]), train)
    assert len(held_out) == 10
    other, _ = drawn(Trial(1), numbered.content, problem.resolve(options), "test")
    assert set(other[:, 0]) != set(train[:, 0])


def test_levels_are_filled_in_both_parts() -> None:
    counts = dataset(np.random.default_rng(0).integers(0, 3, size=(300, 2)) * 4.0, steps=4.0)
    for part in drawn(FIRST, counts.content, problem.resolve({}), "test"):
        off = part / 4 - np.round(part / 4)
        assert len(np.unique(part)) == part.size
        assert np.abs(off).max() <= 0.5
        assert off.std() == pytest.approx(12**-0.5, rel=0.1)
    digits = problem.load("digits", {})
    train, _ = drawn(FIRST, digits.content, problem.resolve({}), "test")
    assert (train.shape, len(np.unique(train[:, 0]))) == ((1000, 64), 1000)
    ink = {row.tobytes() for row in digits.content.values}
    assert all((np.round(row * 16) / 16 + 0.0).astype(np.float32).tobytes() in ink for row in train)
    assert levels(np.array([[255.0, 0], [0, 255]]), together=True).tolist() == [255, 255]


def test_laws_are_drawn_anew_for_each_seed() -> None:
    for name, dim in (("25-gaussians", 2), ("two-moons", 2), ("swiss-roll", 16)):
        law = problem.load(name, {})
        parts = [drawn(Trial(seed), law.content, problem.resolve({}), "test") for seed in (0, 0, 1)]
        assert (parts[0][0].shape, parts[0][1].shape) == ((1000, dim), (500, dim))
        np.testing.assert_array_equal(parts[0][0], parts[1][0])
        assert (parts[0][0] != parts[2][0]).all()
        assert (parts[0][0][:500] != parts[0][1]).all()
    assert problem.load("two-moons", {}).digest != problem.load("25-gaussians", {}).digest
    with pytest.raises(ReplicaError, match="train is 0, but two-moons is drawn, without end"):
        run(fresh, problem.load("two-moons", {}), train=0)


def test_sizes_are_told() -> None:
    assert problem.used(normal(90), problem.resolve({}), "laptop") == {"train": "60", "test": "30", "steps": "3,000"}
    assert problem.used(normal(), problem.resolve({}), "smoke") == {"train": "40", "test": "20", "steps": "5"}
    method = Fixed(fresh)
    run(method, trial=Trial(0, "smoke"))
    assert (len(method.data), method.steps) == (40, 5)


# --- files of one's own, and what is refused -----------------------------------------------------------------------------


def test_a_table_of_ones_own(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"a": rng.normal(size=60), "same": 4.0, "b": rng.normal(size=60), "word": "x"})
    table = pd.concat([table, table[:5]])
    table.to_csv(tmp_path / "mine.csv", index=False)
    found = problem.load(str(tmp_path / "mine.csv"), {"drop": "word"})
    assert found.content.values.shape == (60, 2)
    assert found.description == (
        "60 rows of 2 columns, from mine.csv; the first line read as column names; "
        "1 column that is the same in all rows left out; 5 rows that are copies left out"
    )
    assert run(fresh, found).metrics["novelty"] > 0.2
    counts = checked(Path("x"), np.array([[1.0, 3], [1, 3], [2, 9]]), ())
    assert (len(counts), counts.steps.tolist()) == (3, [1, 6])
    one = run(fresh, dataset(rng.normal(size=(60, 1))))
    assert np.shape(one.examples["samples"]) == (20, 1)


def test_images_of_ones_own(tmp_path: Path) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    for place in range(30):
        Image.fromarray(rng.integers(0, 256, size=(6, 5, 3), dtype=np.uint8)).save(tmp_path / f"{place}.png")
    found = problem.load(str(tmp_path), {"colour": "kept"})
    assert (found.shape, found.content.steps[0]) == ((3, 6, 5), 1)
    assert problem.load(str(tmp_path), {}).shape == (6, 5)
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "odd.png")
    with pytest.raises(ReplicaError, match=r"odd.png is 4 × 4 pixels, 0.png 5 × 6; wanted images of one size"):
        problem.load(str(tmp_path), {})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.arange(6.0).reshape(3, 2), "holds 3 rows that differ; wanted 30 or more"),
        (np.full((50, 3), 2.0), "all rows are equal; wanted rows that differ"),
        (np.random.default_rng(0).random((3, 2))[np.arange(60) % 3], "holds 3 rows that differ"),
        (np.where(np.arange(120).reshape(60, 2) == 7, np.nan, 1.0), r"\(3, 1\) \(from 0\) is nan; wanted finite"),
    ],
)
def test_files_with_nothing_to_learn_are_refused_in_one_line(tmp_path: Path, values: Any, said: str) -> None:
    np.save(tmp_path / "mine.npy", values)
    with pytest.raises(ReplicaError, match=said) as caught:
        run(fresh, problem.load(str(tmp_path / "mine.npy"), {}))
    assert "\n" not in str(caught.value)


def test_outliers_beside_which_nothing_is_told_apart_are_refused() -> None:
    values = np.random.default_rng(0).random((300, 2))
    values[::50] = 1e30
    with pytest.raises(ReplicaError, match=r"mine: most rows cannot be told apart .* leave out the rows or columns"):
        run(fresh, dataset(values))
    with pytest.raises(ReplicaError, match="train is 15; wanted 20 or more, or 0 for all"):
        run(fresh, train=15)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda data, n: data[: n - 1], r"Fixed.sample returned shape \(99, 3\); wanted \(100, 3\), like its data"),
        (lambda data, n: None, "Fixed.sample returned NoneType"),
        (lambda data, n: fresh(data, n) * np.nan, "Fixed.sample returned nan at"),
    ],
)
def test_a_method_must_give_samples(make: Any, said: str) -> None:
    with pytest.raises(ReplicaError, match=said):
        run(make)


# --- the picture ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "axes"), [((1,), 3), ((2,), 3), ((5,), 3), ((4, 6), 1), ((3, 4, 6), 1), ((2, 4, 6), 3)]
)
def test_the_picture(shape: tuple[int, ...], axes: int) -> None:
    data = dataset(np.random.default_rng(0).normal(size=(90, int(np.prod(shape)))), shape)
    names = ["law", "copier"]
    outcomes = [run(make, data) for make in (fresh, lambda rows, n: rows[:n])]
    comparison = SimpleNamespace(
        sweep=None,
        curves=pd.DataFrame(
            [(name, None, "wasserstein", 0.5, 0.4, 0.6) for name in names],
            columns=["method", "value", "metric", "mean", "low", "high"],
        ),
        rows=[{"method": name} for name in (*names, "failed")],
        examples={name: outcome.examples for name, outcome in zip(names, outcomes, strict=True)},
        options=problem.resolve({}),
        dataset=data,
    )
    figure = Figure(figsize=(9, 4))
    FigureCanvasAgg(figure)
    problem.draw(figure, comparison)
    figure.canvas.draw()
    visible = [part for part in figure.subfigs[1].axes if part.get_visible()]
    assert len(visible) == axes
    copied = outcomes[1].examples
    if axes == 1:
        assert [label.get_text() for label in visible[0].get_yticklabels()] == [
            "test rows", "law", "nearest in training", "copier", "nearest in training",
        ]  # fmt: skip
        assert copied["samples"] == copied["nearest"]
    else:
        assert [part.get_title() for part in visible] == ["test rows", *names]
