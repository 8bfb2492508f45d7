"""The problem recall: damage, measures, baselines against brute force, errors of data and methods, the picture."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from replica.errors import ReplicaError
from replica.lab.claims import Proportion, Trial
from replica.lab.problems import Dataset, Outcome, Recall, get, names
from replica.lab.problems.recall.damage import damage_patterns, damaged_entries
from replica.lab.problems.recall.data import binarise, distinct_rows, scale
from replica.lab.problems.recall.problem import psnr, recalled_exactly
from replica.papers.baselines.recall import NearestNeighbour

problem = Recall()


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return problem.load("digits", {})


def spins(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 2, shape, generator=torch.Generator().manual_seed(seed)).float() * 2 - 1


def run(
    make: Callable[[Trial], Any], dataset: Dataset, seed: int = 0, examples: bool = False, **options: Any
) -> Outcome:
    return problem.run(Trial(seed, "smoke"), make, dataset, problem.resolve(options), examples=examples)


# --- the registry --------------------------------------------------------------------------------------------------------


def test_the_registry() -> None:
    assert "recall" in names()
    assert isinstance(get("recall"), Recall)
    with pytest.raises(ReplicaError, match=r"no problem 'recal'\. Did you mean recall\? Problems: recall"):
        get("recal")
    with pytest.raises(ReplicaError, match=r"no problem 'xyz'\. Problems: recall"):
        get("xyz")


# --- data ----------------------------------------------------------------------------------------------------------------


def test_scaling_is_by_the_whole_set() -> None:
    scaled = scale(np.array([[2.0, 4.0], [3.0, 10.0]]), "x")
    np.testing.assert_allclose(scaled, [[0, 0.25], [0.125, 1]])
    assert scaled.dtype == np.float32
    np.testing.assert_array_equal(scale(np.array([[-1.7e308, 1.7e308]]), "x"), [[0, 1]])
    large = np.array([[1.7e9, 1.7e9 + 1], [1.7e9 + 2, 1.7e9 + 4]])  # differences that float32 would lose
    np.testing.assert_array_equal(scale(large, "x"), [[0, 0.25], [0.5, 1]])
    with pytest.raises(ReplicaError, match="mine: all values are 3"):
        scale(np.full((2, 2), 3.0), "mine")


def test_binarising() -> None:
    real = np.array([[0.0, 0.9, 0.2], [0.6, 0.95, 0.1], [1.0, 1.0, 0.3]], np.float32)
    assert binarise(real, image=True).tolist() == [[-1, 1, -1], [1, 1, -1], [1, 1, -1]]
    assert binarise(real, image=False).tolist() == [[-1, -1, -1], [-1, -1, -1], [1, 1, 1]]  # above the column's median
    two_valued = np.array([[0, 1, 1], [0, 1, 0], [1, 1, 1]], np.float32)
    assert binarise(two_valued, image=False).tolist() == (two_valued * 2 - 1).tolist()


def test_distinct_rows_keep_their_order() -> None:
    rows = np.array([[1, 2], [3, 4], [1, 2], [0, 0], [3, 4]], np.float32)
    assert distinct_rows(rows).tolist() == [0, 1, 3]
    many = np.random.default_rng(0).integers(0, 3, (500, 4)).astype(np.int8)
    assert len(distinct_rows(many)) == len(np.unique(many, axis=0))


def test_digits_in_both_forms(digits: Dataset) -> None:
    assert digits.shape == (8, 8)
    assert digits.content.real.shape == (1797, 64)
    assert set(np.unique(digits.content.binary)) == {-1, 1}
    assert len(digits.content.binary) == 1752  # some differ only in their shades
    assert "1,752 of them distinct in ±1" in digits.description
    assert digits.digest == problem.load("digits", {"values": "real"}).digest


def test_the_users_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    rng = np.random.default_rng(0)
    pd.DataFrame(rng.normal(size=(40, 12))).to_csv(path, index=False)
    dataset = problem.load(str(path), {})
    assert dataset.name == str(path)
    assert dataset.shape == (12,)
    assert dataset.content.real.min() == 0
    assert dataset.content.real.max() == 1
    assert abs(dataset.content.binary.mean()) < 0.1  # medians halve each column
    assert "40 distinct patterns of 12 values, from mine.csv" in dataset.description
    assert "scaled to [0, 1]" in dataset.description
    assert float(run(lambda _: NearestNeighbour(), dataset, stored=20, damage=0.0).metrics["exact"]) == 1
    np.save(tmp_path / "other.npy", rng.normal(size=(40, 12)))
    assert problem.load(str(tmp_path / "other.npy"), {}).digest != dataset.digest


def test_sources_that_do_not_exist() -> None:
    with pytest.raises(ReplicaError, match=r"'digit' is neither a data set nor a file; did you mean digits\?"):
        problem.load("digit", {})
    with pytest.raises(ReplicaError, match="wanted digits, mnist, a file or a folder of images"):
        problem.load("qqq", {})
    with pytest.raises(ReplicaError, match=r"nothing\.npy: does not exist"):
        problem.load("nothing.npy", {})


def test_options_must_fit_the_data(tmp_path: Path) -> None:
    np.save(tmp_path / "few.npy", np.array([[0, 0, 1.0], [0, 0, 0.95], [0, 0, 0.9]]))
    dataset = problem.load(str(tmp_path / "few.npy"), {})
    problem.check(dataset, problem.resolve({"stored": 3, "values": "real", "damage": 0.4}))
    with pytest.raises(
        ReplicaError, match=r"stored is 4, but .*few\.npy holds 3 distinct patterns; give --stored 3 or less"
    ):
        problem.check(dataset, problem.resolve({"stored": 4, "values": "real"}))
    with pytest.raises(ReplicaError, match=r"in ±1 form holds 2 distinct patterns"):
        problem.check(dataset, problem.resolve({"stored": 3}))
    with pytest.raises(ReplicaError, match=r"damage is 0\.1, but that is none of 3 entries; give 0, or 0\.17 or more"):
        problem.check(dataset, problem.resolve({"stored": 2, "damage": 0.1}))
    problem.check(dataset, problem.resolve({"stored": 2, "damage": 0.1, "kind": "gaussian"}))


# --- damage --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("binary", [True, False])
def test_each_kind_of_damage(binary: bool) -> None:
    rng = np.random.default_rng(1)
    clean = np.sign(rng.normal(size=(50, 40))) if binary else rng.uniform(0.01, 0.49, (50, 40))
    clean = clean.astype(np.float32)

    flipped = damage_patterns(clean, "flip", 0.2, binary=binary, rng=rng)
    assert ((flipped != clean).sum(axis=1) == 8).all()  # exactly, not on average
    changed = flipped != clean
    np.testing.assert_array_equal(flipped[changed], -clean[changed] if binary else 1 - clean[changed])
    assert changed.sum(axis=0).std() > 0  # each pattern has its own

    masked = damage_patterns(clean, "mask", 0.2, binary=binary, rng=rng)
    assert ((masked == 0).sum(axis=1) == 8).all()
    np.testing.assert_array_equal(masked[masked != 0], clean[masked != 0])

    noise = damage_patterns(clean, "gaussian", 0.2, binary=binary, rng=rng) - clean
    assert noise.std() == pytest.approx(0.4 if binary else 0.2, rel=0.05)
    assert noise.mean() == pytest.approx(0, abs=0.05)
    assert noise.dtype == np.float32


@pytest.mark.parametrize("kind", ["flip", "mask", "gaussian"])
def test_no_damage_and_whole_damage(kind: Any) -> None:
    clean = spins(5, 9).numpy()
    np.testing.assert_array_equal(damage_patterns(clean, kind, 0, binary=True, rng=np.random.default_rng(0)), clean)
    whole = damage_patterns(clean, kind, 1, binary=True, rng=np.random.default_rng(0))
    if kind == "flip":
        np.testing.assert_array_equal(whole, -clean)
    elif kind == "mask":
        assert not whole.any()


def test_more_damage_contains_less() -> None:
    clean = spins(20, 30).numpy()
    little, much = (
        damage_patterns(clean, "flip", d, binary=True, rng=np.random.default_rng(3)) != clean for d in (0.1, 0.3)
    )
    assert (little <= much).all()


def test_counts_of_damaged_entries() -> None:
    assert [damaged_entries(d, 10) for d in (0, 0.04, 0.05, 0.15, 0.25, 1)] == [0, 0, 1, 2, 3, 10]


def test_cues_ask_for_every_pattern_equally(digits: Dataset) -> None:
    options = problem.resolve({"stored": 7, "cues": 17})
    stored, targets, cues = problem.cues(Trial(0), digits, options, "test")
    assert stored.shape == (7, 64)
    assert cues.shape == (17, 64)
    assert set(np.bincount(targets, minlength=7)) == {2, 3}
    assert ((cues != stored[targets]).sum(axis=1) == 6).all()
    fewer, _, _ = problem.cues(Trial(0), digits, problem.resolve({"stored": 3}), "test")
    np.testing.assert_array_equal(fewer, stored[:3])  # points of a sweep share their patterns
    other, _, _ = problem.cues(Trial(1), digits, options, "test")
    assert (other != stored).any()


# --- baselines -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("values", ["binary", "real"])
@pytest.mark.parametrize("kind", ["flip", "mask", "gaussian"])
def test_baselines_run_repeatably(digits: Dataset, values: str, kind: str) -> None:
    for baseline in problem.baselines():
        if values not in baseline.needs.get("values", ("binary", "real")):
            continue
        first, second = (
            run(baseline.make, digits, seed=5, examples=True, values=values, kind=kind, damage=0.2, cues=40)
            for _ in range(2)
        )
        names_of = [metric.name for metric in problem.metrics_for(problem.resolve({"values": values}))]
        assert list(first.metrics) == names_of
        for name in names_of:
            if name != "recall_seconds":
                assert first.metrics[name] == second.metrics[name]
        assert first.examples == second.examples
        assert 0 < float(first.metrics["recall_seconds"]) < 1


def test_strong_baselines_are_strong(digits: Dataset) -> None:
    rates = {b.name: float(run(b.make, digits, stored=10).metrics["exact"]) for b in problem.baselines()}
    assert rates["nearest-neighbour"] > 0.95
    assert rates["hopfield-projection"] > 0.9
    assert rates["random-guess"] == pytest.approx(0.1, abs=0.1)


# --- measures ------------------------------------------------------------------------------------------------------------


class Echo:
    """Gives the cues back, changed as told."""

    def __init__(self, change: Callable[[Tensor], Any] = lambda cues: cues) -> None:
        self.change = change

    def store(self, patterns: Tensor) -> None:
        self.patterns = patterns

    def recall(self, cues: Tensor) -> Any:
        return self.change(cues)


def test_measures_of_an_echo_are_known(digits: Dataset) -> None:
    clean = run(lambda _: Echo(), digits, damage=0.0).metrics
    assert clean["exact"] == Proportion(100, 100)
    assert clean["overlap"] == 1
    damaged = run(lambda _: Echo(), digits, damage=0.25).metrics
    assert damaged["exact"] == Proportion(0, 100)
    assert damaged["overlap"] == pytest.approx(1 - 2 * 16 / 64)
    assert damaged["memory_bytes"] == 30 * 64 * 4
    masked = run(lambda _: Echo(), digits, damage=0.25, kind="mask").metrics
    assert masked["overlap"] == pytest.approx(1 - 16 / 64)
    assert float(masked["exact"]) == 0  # unknown is not recalled
    real = run(lambda _: Echo(), digits, values="real", damage=0.0).metrics
    assert real["psnr"] == 100
    assert float(real["exact"]) == 1
    noisy = run(lambda _: Echo(), digits, values="real", kind="gaussian", damage=0.1).metrics
    assert noisy["psnr"] == pytest.approx(20, abs=0.3)


def test_exact_recall_of_real_patterns() -> None:
    stored = np.array([[0.5, 0.5], [0.5, 0.54], [0.1, 0.9]], np.float32)
    targets = np.array([0, 0, 0, 2, 2])
    outputs = np.array([[0.5, 0.51], [0.5, 0.53], [0.56, 0.5], [0.14, 0.86], [0.1, 0.84]], np.float32)
    # right; nearer to another one; off by 0.06; off by 0.04; off by 0.06
    assert recalled_exactly(outputs, stored, targets).tolist() == [True, False, False, True, False]


def test_psnr_has_a_cap() -> None:
    assert psnr(np.zeros((2, 3)), np.zeros((2, 3))) == 100
    assert psnr(np.zeros((1, 1)), np.ones((1, 1))) == 0


def test_examples_are_plain(digits: Dataset) -> None:
    import json

    outcome = run(
        lambda _: NearestNeighbour(), digits, examples=True, cues=20, values="real", kind="gaussian", damage=0.3
    )
    examples = json.loads(json.dumps(outcome.examples))
    assert set(examples) == {"stored", "damaged", "recalled", "exact"}
    assert np.array(examples["stored"]).shape == (8, 64)
    for true, found, exact in zip(examples["stored"], examples["recalled"], examples["exact"], strict=True):
        assert (true == found) is exact
    assert not run(lambda _: NearestNeighbour(), digits).examples
    assert len(run(lambda _: NearestNeighbour(), digits, examples=True, cues=3).examples["exact"]) == 3


def test_a_method_cannot_change_what_it_is_judged_by(digits: Dataset) -> None:
    class Vandal(NearestNeighbour):
        def store(self, patterns: Tensor) -> None:
            super().store(patterns.clone())
            patterns.zero_()

        def recall(self, cues: Tensor) -> Tensor:
            found = super().recall(cues)
            cues.zero_()
            return found

    tidy = run(lambda _: NearestNeighbour(), digits, damage=0.2)
    assert run(lambda _: Vandal(), digits, damage=0.2).metrics["exact"] == tidy.metrics["exact"]


# --- methods that break the protocol -------------------------------------------------------------------------------------


def test_a_methods_own_error_passes_through(digits: Dataset) -> None:
    def fail(cues: Tensor) -> Tensor:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        run(lambda _: Echo(fail), digits)


# --- the picture ---------------------------------------------------------------------------------------------------------


def comparison(dataset: Dataset, methods: int, sweep: Any, **options: Any) -> SimpleNamespace:
    outcome = run(lambda _: NearestNeighbour(), dataset, examples=True, cues=8, **options)
    listed = [b.name for b in problem.baselines()] + [f"a-method-called-{i}" for i in range(methods - 4)]
    values = sweep[1] if sweep else [None]
    rng = np.random.default_rng(0)
    curves = pd.DataFrame(
        [
            {"method": method, "value": value, "metric": metric, "mean": m, "low": m - 0.01, "high": m + 0.01}
            for method, value, metric in itertools.product(listed, values, ("exact", "overlap"))
            for m in [rng.choice([0.02, 0.98, rng.random()])]
        ]
    )
    examples = {method: dict(outcome.examples) | {"exact": [False] * 8} for method in listed}
    return SimpleNamespace(
        sweep=sweep, curves=curves, rows=[{"method": m} for m in listed], examples=examples,
        dataset=dataset, options=problem.resolve(options), example_options=problem.resolve(options), problem=problem,
    )  # fmt: skip


SWEEPS = [
    None,
    ("stored", (10, 30, 100, 300)),
    ("damage", tuple(i / 20 for i in range(11))),
    ("kind", ("flip", "mask", "gaussian")),
    ("cues", (100,)),
]


@pytest.mark.parametrize(
    ("sweep", "methods", "size"),
    [*((sweep, 15, (9.0, 4.0)) for sweep in SWEEPS), (SWEEPS[1], 4, (7.0, 3.5)), (SWEEPS[2], 15, (11.0, 4.6))],
    ids=lambda value: str(value[0]) if isinstance(value, tuple) else str(value),
)
def test_no_text_overlaps(digits: Dataset, methods: int, size: tuple[float, float], sweep: Any) -> None:
    figure = Figure(figsize=size)
    problem.draw(figure, comparison(digits, methods, sweep))
    FigureCanvasAgg(figure).draw()
    boxes = []
    for axes in figure.axes:
        ticks = [
            tick.label1
            for axis in (axes.xaxis, axes.yaxis)
            for tick in axis.get_major_ticks()
            if min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())
        ]
        boxes += [
            (text.get_text(), text.get_window_extent())
            for text in (*axes.texts, *ticks, axes.xaxis.label, axes.yaxis.label)
            if text.get_text()
        ]
    assert len(boxes) > 2 * methods
    page = figure.bbox
    for name, box in boxes:
        assert box.x0 >= page.x0 - 1 and box.x1 <= page.x1 + 1 and box.y0 >= page.y0 - 1, name  # noqa: PT018
    for (one, a), (two, b) in itertools.combinations(boxes, 2):
        width = min(a.x1, b.x1) - max(a.x0, b.x0)
        height = min(a.y1, b.y1) - max(a.y0, b.y0)
        # The boxes hold room above and below the letters.
        assert width <= 1 or height <= 0.3 * min(a.height, b.height), (one, two)


def test_the_picture_takes_the_pages_colours(digits: Dataset) -> None:
    with mpl.rc_context({"text.color": "#ffeedd"}):
        figure = Figure()
        problem.draw(figure, comparison(digits, 5, SWEEPS[1]))
    tiles = figure.axes[1].images[0]
    assert tiles.cmap(1.0)[:3] == pytest.approx(mpl.colors.to_rgb("#ffeedd"))
    assert tiles.cmap(0.0)[3] == 0
    assert figure.axes[0].get_xscale() == "log"
    dashed = [line for line in figure.axes[0].lines if line.get_linestyle() == "--"]
    assert len(dashed) == 4  # the baselines


@pytest.mark.parametrize("values", ["binary", "real"])
def test_pictures_of_tables_and_without_examples(tmp_path: Path, values: str) -> None:
    np.save(tmp_path / "a.npy", np.random.default_rng(0).random((40, 10)))
    dataset = problem.load(str(tmp_path / "a.npy"), {})
    given = comparison(dataset, 5, SWEEPS[1], values=values)
    figure = Figure()
    problem.draw(figure, given)
    FigureCanvasAgg(figure).draw()
    given.examples = {}
    figure = Figure()
    problem.draw(figure, given)
    FigureCanvasAgg(figure).draw()
    assert len(figure.axes) == 1
