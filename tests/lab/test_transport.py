"""The problem transport: what is measured, who sees what, files of one's own, and the picture."""

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

import replica
from replica.data import snapshots
from replica.errors import ReplicaError
from replica.lab.claims import Trial
from replica.lab.problems import Dataset, Outcome
from replica.lab.problems.ranking_figure import MethodStyle
from replica.lab.problems.transport import data
from replica.lab.problems.transport.costs import Cost
from replica.lab.problems.transport.data import Clouds, GaussianPair
from replica.lab.problems.transport.figure import draw
from replica.lab.problems.transport.problem import Transport, drawn, excess, landing, map_error

problem = Transport()


class Spy:
    """Maps by a function, and remembers what it was given."""

    def __init__(self, function: Any = lambda points: points) -> None:
        self.function = function

    def fit(self, source: Any, target: Any, cost: Any = None) -> None:
        self.source, self.target, self.cost = source, target, cost

    def map(self, points: Any) -> Any:
        self.asked = points.clone()
        return self.function(points)


def clouds(source: Any, target: Any) -> Dataset:
    return Dataset("mine", "", Clouds(np.asarray(source, float), np.asarray(target, float)), "mine")


def run(method: Any, dataset: Dataset, split: Any = "test", **options: Any) -> Outcome:
    resolved = problem.resolve(options)
    return problem.run(Trial(0), lambda _: method, dataset, resolved, examples=True, split=split)


# --- measures ------------------------------------------------------------------------------------------------------------


def test_costs_are_those_of_the_docstring() -> None:
    x, y = torch.zeros(1, 3, dtype=torch.float64), torch.tensor([[1.0, -2.0, 2.0]], dtype=torch.float64)
    found = [float(Cost(name, p)(x, y)) for name, p in (("squared", 2), ("euclidean", 2), ("lp", 3.0), ("lp", 1.5))]
    assert found == pytest.approx([4.5, 3, 17 / 3, (1 + 2 * 2**1.5) / 1.5])
    x.requires_grad_()
    Cost("euclidean")(x, x.detach()).sum().backward()
    assert torch.isfinite(x.grad).all(), "the slope of a distance of 0"


def test_landing_and_excess_cost_beside_all_permutations() -> None:
    from itertools import permutations

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 5, 2))
    ways = [list(order) for order in permutations(range(5))]
    assert landing(x, y) == pytest.approx(min(np.linalg.norm(x - y[way], axis=1).mean() for way in ways))
    least = min((np.abs(x - y[way]) ** 1.5 / 1.5).sum(1).mean() for way in ways)
    paid = (np.abs(x - y) ** 1.5 / 1.5).sum(1).mean()
    assert excess(Cost("lp", 1.5), x, y) == pytest.approx(paid - least)
    assert excess(Cost("squared"), x, 2 * x + 1) == pytest.approx(0, abs=1e-12), "a gradient of a convex function"
    assert excess(Cost("squared"), x, -x) > 0.1


def test_the_map_between_gaussians_has_the_targets_law_and_is_symmetric() -> None:
    pair = GaussianPair.drawn(np.random.default_rng(0), 3)
    matrix = pair.map(np.eye(3) + pair.means[0]) - pair.means[1]
    np.testing.assert_allclose(matrix.T @ pair.covariances[0] @ matrix, pair.covariances[1], atol=1e-10)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-10)
    assert np.linalg.eigvalsh(matrix).min() > 0
    assert map_error(pair, pair.means[:1], pair.means[1:]) == pytest.approx(0, abs=1e-12)
    many = pair.points(1, 200_000, np.random.default_rng(1))
    np.testing.assert_allclose(np.cov(many.T), pair.covariances[1], atol=0.05)
    flat = Trial(0)
    for cost, known in (("squared", True), ("euclidean", False)):
        assert ("map_error" in run(Spy(), problem.load("gaussians", {}), cost=cost).metrics) is known
    source, _, truth = data.points(flat, "gaussians", "tested", (20, 20), 2)
    assert truth is not None
    expected = np.square(source - truth.map(source)).sum(1).mean() / np.trace(truth.covariances[1])
    found = run(Spy(), problem.load("gaussians", {}), test=20).metrics["map_error"]
    assert found == pytest.approx(expected, rel=1e-4), "the identity's error, in the data's own units"


def test_scaling_moves_no_map_and_columns_can_have_their_own() -> None:
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(2, 90, 2)) * [1, 5] + [[[0.0, 0.0]], [[3.0, 1.0]]]
    small, large, own = Spy(), Spy(), Spy()
    found = [run(spy, clouds(k * source + k, k * target + k)).metrics for spy, k in ((small, 1), (large, 1e6))]
    assert found[0]["landing"] == pytest.approx(found[1]["landing"], rel=1e-5)
    torch.testing.assert_close(small.source, large.source, rtol=1e-5, atol=1e-5)
    spread = torch.cat([small.source, small.target])
    assert float(spread.square().mean()) == pytest.approx(1, rel=1e-4)
    ratio = spread.std(0)[1] / spread.std(0)[0]
    assert float(ratio) == pytest.approx(
        np.concatenate([source, target]).std(0)[1] / np.concatenate([source, target]).std(0)[0], rel=0.15
    )
    run(own, clouds(source, target), scaling="columns")
    torch.testing.assert_close(
        torch.cat([own.source, own.target]).std(0, correction=0), torch.ones(2), rtol=1e-4, atol=0
    )


# --- who sees what -------------------------------------------------------------------------------------------------------


def test_nobody_learns_from_what_is_tested_and_fewer_points_are_a_part_of_more() -> None:
    rng = np.random.default_rng(0)
    dataset = clouds(rng.normal(size=(60, 1)), rng.normal(size=(45, 1)))
    few, all_of_them, tuned = Spy(), Spy(), Spy()
    shown = run(few, dataset, count=20).examples
    run(all_of_them, dataset, count=0)
    assert (len(few.source), len(all_of_them.source), len(all_of_them.target), len(few.asked)) == (20, 45, 30, 15)
    assert shown["source"] == shown["mapped"]
    run(tuned, dataset, count=20, split="validation")
    assert (len(tuned.source), len(tuned.asked)) == (16, 4)
    for split in ("test", "validation"):
        parts = [drawn(Trial(0), dataset.content, problem.resolve({"count": count}), split) for count in (20, 0)]
        for (less, tested, _), (more, _, _) in [parts]:
            for cloud in (0, 1):
                ours, others, asked = (set(part[cloud].ravel()) for part in (less, more, tested))
                assert not (ours & asked)
                assert split == "validation" or (ours < others and not (others & asked))
    assert few.cost == Cost("squared")


def test_there_is_less_at_smoke_scale_and_what_is_not_used_is_not_shown() -> None:
    dataset = problem.load("gaussians", {})
    told = problem.used(dataset, problem.resolve({"count": 1000}), "smoke")
    assert told == {"count": "40", "test": "20", "steps": "5", "p": "", "snapshot": ""}
    told = problem.used(clouds(np.eye(40), np.eye(40)), problem.resolve({"cost": "lp"}), "laptop")
    assert told == {"count": "27", "test": "13", "steps": "1,000", "dim": "", "snapshot": ""}
    for laws in ("gaussians", "moons"):
        assert run(Spy(), problem.load(laws, {}), test=50, count=60).metrics["excess"] == 0


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (lambda points: points[:, :1], "Spy.map returned shape (13, 1); wanted (13, 40), like its points"),
        (lambda points: points * float("nan"), "Spy.map returned nan at row 0, column 0 (from 0)"),
        (lambda points: None, "Spy.map returned NoneType; wanted a tensor"),
    ],
)
def test_what_is_no_map_is_refused(output: Any, said: str) -> None:
    with pytest.raises(ReplicaError) as caught:
        run(Spy(output), clouds(np.eye(40), np.eye(40)))
    assert said in str(caught.value)


# --- files of one's own --------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    source, target = (pd.DataFrame(rng.normal(size=(rows, 2)), columns=["x", "y"]) for rows in (30, 40))
    source.to_csv(tmp_path / "source.csv")  # with row names
    target[["y", "x"]].to_csv(tmp_path / "target.csv", index=False)
    target.rename(columns={"y": "z"}).to_csv(tmp_path / "other.csv", index=False)
    np.savez(tmp_path / "both.npz", source=source, target=target)
    np.savez(tmp_path / "uneven.npz", source=source, target=target[["x"]])
    np.savez(tmp_path / "nan.npz", source=source, target=target.replace(target.iloc[2, 1], np.nan))
    np.savez(tmp_path / "three.npz", a=source, b=target, c=target)
    np.savez(tmp_path / "equal.npz", source=np.ones((20, 2)), target=np.ones((20, 2)))
    np.savez(tmp_path / "few.npz", source=source[:3], target=target)
    np.save(tmp_path / "one.npy", source)
    return tmp_path


def test_two_tables_are_matched_by_name_and_one_archive_holds_both(files: Path) -> None:
    two = problem.load(str(files / "source.csv"), {"target_data": str(files / "target.csv")})
    one = problem.load(str(files / "both.npz"), {})
    np.testing.assert_allclose(two.content.source, one.content.source)
    np.testing.assert_allclose(two.content.target, one.content.target)
    assert two.description.startswith("30 points to 40 of target.csv in 2 dimensions, from source.csv")
    assert (one.content.target.shape, one.digest) == ((40, 2), two.digest)


def test_tables_and_a_pair_in_memory(files: Path, tmp_path: Path) -> None:
    source, target = pd.read_csv(files / "source.csv"), pd.read_csv(files / "target.csv")
    usual: dict[str, Any] = {"only": ["mean-shift"], "scale": "smoke", "workers": 1, "quiet": True, "seeds": 1}
    frames = replica.compare("transport", data=source, target_data=target, store=tmp_path / "s.db", **usual)
    columns = ["x", "y"]
    pair = (source[columns].to_numpy(), target[columns].to_numpy())
    arrays = replica.compare("transport", data=pair, store=tmp_path / "s.db", **usual)
    assert frames.table["landing"].tolist() == arrays.table["landing"].tolist()


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("source.csv", {}, "source.csv: is one cloud; name the other by --target-data"),
        ("one.npy", {}, "one.npy: is one cloud"),
        ("source.csv", {"target_data": "other.csv"}, "other.csv: has no column 'y'; wanted the same in both"),
        ("uneven.npz", {}, "uneven.npz: source has 2 dimensions and target 1"),
        ("nan.npz", {}, "nan.npz: target, row 3, column 2 is nan; wanted finite numbers"),
        ("three.npz", {}, "three.npz: holds 'a', 'b', 'c', but no 'source' and no 'target'"),
        ("equal.npz", {}, "equal.npz: all points are equal"),
        ("few.npz", {}, "the source has 3 points; wanted 10 or more"),
        ("gaussians", {"target_data": "other.csv"}, "leave --target-data out"),
        ("gaussians", {"count": 0}, "Option count is 0, but gaussians is drawn"),
        ("cells", {"snapshot": 5}, "Option snapshot is 5, but cells has 5: the last pair begins at 4"),
    ],
)
def test_what_makes_no_two_clouds_is_refused_in_one_line(files: Path, name: str, options: Any, said: str) -> None:
    given = {key: str(files / value) if key == "target_data" else value for key, value in options.items()}
    with pytest.raises(ReplicaError) as caught:
        run(Spy(), problem.load(name if "." not in name else str(files / name), given), **given)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_snapshots_are_read_where_the_user_has_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshots.cache_clear()
    monkeypatch.delenv("REPLICA_DATA", raising=False)
    with pytest.raises(ReplicaError, match=r"Snapshots drifters are missing \(REPLICA_DATA is not set\)"):
        snapshots("drifters")
    (tmp_path / "snapshots").mkdir()
    moved = np.random.default_rng(0).normal(size=(9, 111, 2))
    np.save(tmp_path / "snapshots" / "GoMvortex_data.npy", moved)
    np.save(tmp_path / "snapshots" / "eb_data.npy", moved)
    monkeypatch.setenv("REPLICA_DATA", str(tmp_path))
    loaded = problem.load("drifters", {"snapshot": 8})
    np.testing.assert_array_equal(loaded.content.target, moved[8])
    assert "snapshot 8 to 9" in loaded.description
    with pytest.raises(ReplicaError, match=r"eb_data.npy: shape \(9, 111, 2\); wanted 5 times"):
        snapshots("cells")
    snapshots.cache_clear()


# --- picture -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_arrows_go_from_points_to_where_they_are_mapped(dim: int) -> None:
    example = run(Spy(lambda points: points + 1), clouds(np.eye(30)[:, :dim], np.eye(30)[:, :dim])).examples
    figure = Figure(figsize=(4, 4))
    FigureCanvasAgg(figure)
    part = figure.subfigures()
    styles = {name: MethodStyle("#2f8fd0", "o", baseline=False) for name in "ab"}
    draw(part, SimpleNamespace(examples={"a": example, "b": example}), ["a", "b"], styles)
    figure.canvas.draw()
    arrows = part.axes[0].collections[1]
    assert arrows.N == 10
    assert (np.asarray(arrows.U) > 0).all()
    assert part.axes[0].get_title() == "a"
