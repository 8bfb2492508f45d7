"""The problem merge: tasks, networks that are trained, folders of the user's, what a method must give, and the picture."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import nn

from replica.data import Labelled
from replica.errors import ReplicaError
from replica.lab.claims import Trial
from replica.lab.problems import Dataset, Outcome
from replica.lab.problems.merge.data import kinds
from replica.lab.problems.merge.nets import Plan, trained
from replica.lab.problems.merge.problem import Merge
from replica.lab.problems.merge.scores import barriers
from replica.lab.problems.merge.tasks import Task, names
from replica.training import mlp
from tests.data.files.test_safetensors import write

problem = Merge()
SMALL: dict[str, Any] = {"networks": 2, "depth": 1, "width": 8, "common_epochs": 3, "epochs": 2, "held_out": 30}


def clouds(rows: int = 160) -> Dataset:
    """Four clouds of points of a grid of 4 × 4."""
    rng, labels = np.random.default_rng(0), np.arange(rows) % 4
    values = rng.normal(size=(rows, 4, 4)) + 3 * np.eye(4)[labels][:, None]
    return Dataset("clouds", "", Labelled(values.astype(np.float32), labels, tuple("abcd")), "clouds", (4, 4))


class Given:
    """Gives what a function of base, networks and rows gives, and remembers what it was given."""

    def __init__(self, combine: Any = lambda base, networks, held_out: networks[0]) -> None:
        self.combine = combine

    def merge(self, base: Any, networks: Any, held_out: Any) -> Any:
        self.seen = base, networks, held_out
        return self.combine(base, networks, held_out)


def run(
    method: Any, data: Dataset | None = None, split: Any = "test", trial: Trial | None = None, **options: Any
) -> Outcome:
    small = SMALL if data is None else {}
    resolved = problem.resolve({**small, **options})
    return problem.run(trial or Trial(0), lambda _: method, data or clouds(), resolved, examples=True, split=split)


def nets(setting: str, trial: Trial | None = None, **options: Any) -> Any:
    data, trial = clouds(), trial or Trial(0)
    resolved = problem.resolve({**SMALL, "setting": setting, **options})
    parts = problem.rows(trial, data.content, resolved, "test")
    return trained(trial, data.content, data.digest, parts, resolved, "test")


# --- tasks ---------------------------------------------------------------------------------------------------------------


def test_tasks_do_what_they_say() -> None:
    def way(name: str, grid: tuple[int, ...], values: Any, strength: float = 1.0) -> Any:
        return Task(name, grid, strength, Trial(0))(torch.as_tensor(values), "test")

    image = torch.arange(25.0).view(1, 5, 5)
    quarter = 90 / 40  # of 40°
    np.testing.assert_allclose(way("turn", (5, 5), image, quarter), image.rot90(-1, (1, 2)), atol=1e-4)
    np.testing.assert_allclose(way("turn 2", (5, 5), image, quarter), image.rot90(1, (1, 2)), atol=1e-4)
    assert torch.equal(way("shear", (5, 5), image)[0, 2], image[0, 2]), "the middle row stays"
    assert (way("shear", (5, 5), image)[0, 4, :4] > image[0, 4, :4]).all()
    np.testing.assert_allclose(way("contrast", (5, 5), image), 0.3 * image)
    np.testing.assert_allclose(way("contrast 2", (5, 5), image, 2), -0.09 * image)
    signal = torch.arange(12.0)[None]
    assert torch.equal(way("turn", (12,), signal), signal.roll(2, 1))
    assert float(way("shear", (12,), signal).diff().abs()[0, 4:7].mean()) == pytest.approx(2 / 3, abs=1e-3)
    noise = way("noise", (40, 50), torch.zeros(10, 40, 50))
    assert float(noise.std()) == pytest.approx(0.8, rel=0.02)
    assert not torch.equal(noise, Task("noise", (40, 50), 1.0, Trial(0))(torch.zeros(10, 40, 50), "training"))


def test_an_order_is_the_same_for_all_rows_and_parts_and_another_the_second_time() -> None:
    rows, task = torch.arange(400.0).view(2, 200), Task("order", (), 1.0, Trial(0))
    moved = task(rows, "test")
    assert torch.equal(moved, task(rows, "training"))
    assert torch.equal(moved[1] - moved[0], torch.full((200,), 200.0))
    assert torch.equal(moved.sort(1).values, rows)
    assert int((moved[0] != rows[0]).sum()) == 70, "35 % of the values"
    assert not torch.equal(moved, Task("order 2", (), 1.0, Trial(0))(rows, "test"))
    table = Task("contrast", (), 1.0, Trial(0))
    assert torch.equal(table(rows, "a")[1] / rows[1], table(rows, "b")[1] / rows[1])


@pytest.mark.parametrize("name", ["turn", "shear", "contrast", "noise", "order"])
@pytest.mark.parametrize("grid", [(6, 6), (12,)])
def test_at_strength_0_rows_are_as_they_are(name: str, grid: tuple[int, ...]) -> None:
    rows = torch.randn(3, *grid, generator=torch.Generator().manual_seed(0))
    found = Task(name, grid, 0.0, Trial(0))(rows, "test")
    if name == "order":  # two values change places at least
        assert int((found != rows)[0].sum()) == 2
    else:
        np.testing.assert_allclose(found, rows, atol=1e-5)


def test_tables_have_tasks_of_their_own_and_kinds_come_again() -> None:
    assert names(4, kinds(())) == ["contrast", "noise", "order", "contrast 2"]
    assert names(3, kinds((40,))) == names(3, kinds((8, 8))) == ["turn", "shear", "contrast"]
    assert kinds((3, 8, 8)) == kinds(()), "colours are no rows of an image"
    image = torch.randn(2, 9, 9, generator=torch.Generator().manual_seed(0))
    third, fourth = (Task(name, (9, 9), 1.0, Trial(0))(image, "test") for name in ("turn 3", "turn 4"))
    torch.testing.assert_close(third, Task("turn", (9, 9), 0.5, Trial(0))(image, "test"))
    torch.testing.assert_close(fourth, Task("turn 2", (9, 9), 0.5, Trial(0))(image, "test"))
    assert nets("tasks", kinds="shear, noise", networks=3).names == ["shear", "noise", "shear 2"]
    with pytest.raises(ReplicaError, match="Option kinds names 'bend'; wanted turn, shear, contrast, noise, order"):
        run(Given(), kinds="turn,bend")


# --- networks ------------------------------------------------------------------------------------------------------------


def test_settings_share_what_they_say() -> None:
    tasks, forks, seeds = (nets(setting) for setting in ("tasks", "forks", "seeds"))
    for found in (tasks, forks):
        assert not torch.equal(found.networks[0][0][0].weight, found.networks[1][0][0].weight)
    heads = [net.head[-1].weight for net in (tasks.base, *tasks.networks)]
    assert torch.equal(heads[0], heads[1])
    assert torch.equal(heads[0], heads[2]), "the head is frozen"
    assert not torch.equal(forks.base.head[-1].weight, forks.networks[0].head[-1].weight)
    mean = (seeds.networks[0][0][0].weight + seeds.networks[1][0][0].weight) / 2
    torch.testing.assert_close(seeds.base[0][0].weight, mean)
    assert torch.equal(forks.tests[0][0], forks.tests[1][0])
    assert not torch.equal(tasks.tests[0][0], tasks.tests[1][0])
    assert torch.equal(tasks.held_out[0][1], tasks.held_out[1][1]), "the same rows, seen differently"
    assert len(tasks.held_out[0][1]) == 30


def test_networks_are_made_once_and_others_for_other_seeds_and_rows() -> None:
    first = nets("tasks")
    assert nets("tasks") is first
    for other in (nets("tasks", Trial(1)), nets("tasks", train=60), nets("tasks", strength=0.5)):
        assert not torch.equal(other.networks[0][0][0].weight, first.networks[0][0][0].weight)


def test_no_rows_are_both_learned_from_and_held_out_or_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    from replica.lab.problems.merge import nets as module

    learned: set[Any] = set()
    monkeypatch.setattr(module, "_made", {})
    monkeypatch.setattr(
        module,
        "train",
        lambda nets, inputs, *rest, **options: learned.update(map(tuple, inputs.flatten(0, 1).tolist())),
    )
    found = nets("forks")
    held, tested = (set(map(tuple, rows[0][0].tolist())) for rows in (found.held_out, found.tests))
    assert not held & tested
    assert not learned & (held | tested)
    assert (len(learned), len(held), len(tested)) == (90, 30, 40)


def test_networks_that_learned_their_task_are_better_at_it() -> None:
    found = nets("tasks", epochs=100, common_epochs=100, width=32)
    accuracy = [[float((net(x).argmax(1) == y).float().mean()) for x, y in found.tests] for net in found.networks]
    assert min(accuracy[0][0], accuracy[1][1]) > 0.8


def test_at_smoke_scale_there_is_less_of_everything() -> None:
    plan = Plan.of(problem.resolve({}), Trial(0, "smoke"))
    assert (plan.networks, plan.depth, plan.width, plan.common, plan.epochs) == (2, 2, 16, 2, 1)
    used = problem.used(problem.load("digits", {}), problem.resolve({}), "smoke")
    assert (used["train"], used["held_out"], used["test"], used["networks"]) == ("50 rows", "50 rows", "100 rows", "2")


# --- measures ------------------------------------------------------------------------------------------------------------


class Sure(nn.Module):
    """Gives every row one class."""

    def __init__(self, answer: int = 0) -> None:
        super().__init__()
        self.register_buffer("scores", torch.eye(4)[answer])

    def forward(self, inputs: Any) -> Any:
        return self.scores.expand(len(inputs), 4)


def test_what_is_measured() -> None:
    first = run(Given()).metrics
    assert list(first) == [metric.name for metric in problem.metrics]
    outcome = run(Given(lambda *given: Sure()), kinds="turn,noise", strength=2)
    examples = outcome.examples
    assert examples["single"][0] != examples["single"][1]
    assert examples["merged"] == [0.25, 0.25]
    kept = [0.25 / single for single in examples["single"]]
    assert outcome.metrics["kept"] == pytest.approx(sum(kept) / 2)
    assert outcome.metrics["worst"] == pytest.approx(min(kept))
    assert outcome.metrics["accuracy"] == 0.25
    size = 16 * 8 + 8 + 8 * 4 + 4
    assert outcome.metrics["size"] == pytest.approx(4 / size)
    both = run(Given(lambda base, networks, held_out: Both(networks)))
    assert both.metrics["size"] == 2
    assert first["size"] == 1


class Both(nn.Module):
    """The mean of two networks' scores."""

    def __init__(self, networks: Any) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, inputs: Any) -> Any:
        return sum(net(inputs) for net in self.networks)


def test_a_method_says_how_many_numbers_it_learned() -> None:
    method = Given()
    assert run(method).metrics["learned"] == 0
    method.numbers_learned = 7  # type: ignore[attr-defined]
    assert run(method).metrics["learned"] == 7
    method.numbers_learned = "few"  # type: ignore[attr-defined]
    with pytest.raises(ReplicaError, match=r"Given.numbers_learned is 'few'; wanted a whole number"):
        run(method)


def test_a_method_may_spoil_what_it_is_given() -> None:
    def spoil(base: Any, networks: Any, held_out: Any) -> Any:
        with torch.no_grad():
            for parameter in (*base.parameters(), *networks[0].parameters()):
                parameter.zero_()
            held_out[0][0].zero_()
        return networks[1]

    before = run(Given()).metrics
    run(Given(spoil))
    after = run(Given()).metrics
    assert {name: value for name, value in before.items() if name != "seconds"} == {
        name: value for name, value in after.items() if name != "seconds"
    }


def test_the_barrier_of_nets_that_are_each_others_mirror() -> None:
    """In one layer the loss is convex; in two, scores of ±2 x either way pass through 0, where the loss is ln 2."""
    one, other = (nn.Linear(1, 2, bias=False) for _ in range(2))
    with torch.no_grad():
        one.weight.copy_(torch.tensor([[1.0], [-1.0]]))
        other.weight.copy_(-one.weight)
    rows = [
        (torch.tensor([[1.0], [-1.0]]), torch.tensor([0, 1])),
        (torch.tensor([[1.0], [-1.0]]), torch.tensor([1, 0])),
    ]
    assert barriers([one, other], rows) == pytest.approx(0.0, abs=1e-6)
    squared = [mlp((1, 1, 2), activation=nn.Identity, bias=False) for _ in range(2)]
    with torch.no_grad():
        for net, sign in zip(squared, (1.0, -1.0), strict=True):
            net[0].weight.fill_(sign * 2)
            net[2].weight.copy_(sign * one.weight)
    assert barriers(squared, rows[:1] * 2) == pytest.approx(math.log(2) - math.log(1 + math.exp(-4)), abs=1e-5)
    with torch.no_grad():
        squared[1][2].weight.mul_(2)  # scores of ±4 x at the second end
    losses = [math.log(1 + math.exp(-2 * s)) for s in (2.0, 0.25, 0.0, 1.25, 4.0)]
    ours = [
        loss - (1 - t) * losses[0] - t * losses[-1] for t, loss in zip((0, 0.25, 0.5, 0.75, 1), losses, strict=True)
    ]
    assert barriers(squared, rows[:1] * 2) == pytest.approx(max(ours), abs=1e-5)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (lambda *_: None, r"Given.merge returned NoneType; wanted a torch.nn.Module"),
        (lambda *_: nn.Flatten(0), r"Given.merge's module gave shape \(640,\) for 40 rows; wanted scores"),
        (lambda base, *_: nn.Sequential(base, nn.Threshold(1e9, math.nan)), "gave scores that are no finite numbers"),
    ],
)
def test_a_method_must_give_a_classifier(given: Any, said: str) -> None:
    with pytest.raises(ReplicaError, match=said):
        run(Given(given))


# --- the user's own ------------------------------------------------------------------------------------------------------

BUILD = "import torch\n\n\ndef build():\n    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(6, 3))\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three networks of the user's, one with rows of its own."""
    rng, path = np.random.default_rng(0), tmp_path / "nets"
    path.mkdir()
    (path / "build.py").write_text(BUILD)
    for name in ("ants", "bees", "base"):
        weights = {"1.weight": rng.normal(size=(3, 6)).astype(np.float32), "1.bias": np.zeros(3, np.float32)}
        write(path / f"{name}.safetensors", weights)
    X = rng.normal(size=(60, 2, 3)).astype(np.float32)
    np.savez(path / "rows.npz", X=X, y=np.arange(60) % 3)
    np.savez(path / "bees.npz", X=X[:20], y=np.arange(20) % 3)
    return path


def test_a_folder_of_networks(folder: Path) -> None:
    dataset = problem.load(str(folder), {})
    assert dataset.description == "2 networks and 80 rows, from nets"
    method = Given()
    outcome = run(method, dataset, held_out=12)
    base, networks, held_out = method.seen
    assert [len(y) for _, y in held_out] == [12, 12]
    assert held_out[0][0].shape == (12, 2, 3)
    found = problem.load(str(folder), {}).content
    np.testing.assert_array_equal(networks[1][1].weight.detach(), found.networks["bees"]["1.weight"])
    np.testing.assert_array_equal(base[1].weight.detach(), found.base["1.weight"])
    assert outcome.examples["names"] == ["ants", "bees"]
    assert outcome.metrics["kept"] >= 0
    assert problem.used(dataset, problem.resolve({}), "laptop")["epochs"] == ""


def test_without_a_common_start_the_average_stands_for_it(folder: Path) -> None:
    (folder / "base.safetensors").unlink()
    dataset, method = problem.load(str(folder), {}), Given()
    assert "their average stands for what they share" in dataset.description
    run(method, dataset)
    base, networks, _ = method.seen
    torch.testing.assert_close(base[1].weight, (networks[0][1].weight + networks[1][1].weight) / 2)


def test_validation_reads_no_row_that_is_tested(folder: Path) -> None:
    dataset, tested, seen = problem.load(str(folder), {}), [], []
    for split, found in (("test", tested), ("validation", seen)):

        class Spy(nn.Module):
            def forward(self, inputs: Any, found: Any = found) -> Any:
                found.extend(map(tuple, inputs.flatten(1).tolist()))
                return torch.zeros(len(inputs), 3)

        method = Given(lambda *_: Spy())
        run(method, dataset, split=split)
        if split == "validation":
            seen += [tuple(row) for x, _ in method.seen[2] for row in x.flatten(1).tolist()]
    assert len(set(tested)) >= 15
    own = set(map(tuple, dataset.content.rows["ants"][0].reshape(60, -1).tolist()))
    assert not set(tested[:15]) & set(seen[:9]) & own


def test_what_changes_the_networks_changes_the_digest(folder: Path) -> None:
    digests = [problem.load(str(folder), {}).digest]
    (folder / "build.py").write_text(BUILD + "\n")
    digests.append(problem.load(str(folder), {}).digest)
    write(folder / "ants.safetensors", {"1.weight": np.ones((3, 6), np.float32), "1.bias": np.zeros(3, np.float32)})
    digests.append(problem.load(str(folder), {}).digest)
    np.savez(folder / "bees.npz", X=np.ones((20, 6)), y=np.arange(20) % 3)
    digests.append(problem.load(str(folder), {}).digest)
    assert len(set(digests)) == 4


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda p: (p / "build.py").unlink(), "has no build.py; wanted a Python file with a function build"),
        (lambda p: (p / "bees.safetensors").unlink(), "holds 1 networks beside base.safetensors; wanted two or more"),
        (lambda p: (p / "rows.npz").unlink(), "has neither ants.npz nor rows.npz"),
        (lambda p: np.savez(p / "bees.npz", X=np.ones((9, 2)), y=np.ones(8, int)), r"'X' has shape \(9, 2\) and 'y' has"),
        (lambda p: np.savez(p / "bees.npz", X=np.ones((9, 2)), y=np.ones(9)), "'y' holds float64 from 1.0; wanted classes"),
        (lambda p: np.savez(p / "bees.npz", X=np.ones((2, 2)), y=np.ones(2, int)), "holds 2 rows; wanted 4 or more"),
        (lambda p: np.savez(p / "bees.npz", X=np.full((9, 2), np.nan), y=np.ones(9, int)), "not finite"),
        (lambda p: (p / "build.py").write_text("x ="), "build.py cannot be run: SyntaxError"),
        (lambda p: (p / "build.py").write_text("x = 1"), r"build.py has no function build\(\)"),
        (lambda p: (p / "build.py").write_text("def build():\n    raise OSError('no')"), r"build\(\) raised OSError: no"),
        (lambda p: (p / "build.py").write_text("def build():\n    return 3"), r"build\(\) gave int; wanted a torch"),
        (lambda p: (p / "build.py").write_text(BUILD.replace("6, 3", "7, 3")), "ants.safetensors does not fit the network"),
        (lambda p: np.savez(p / "bees.npz", X=np.ones((9, 6)), y=np.arange(9)), "tells 3 classes apart, .* hold class 8"),
    ],
)  # fmt: skip
def test_folders_that_hold_no_networks_are_refused(folder: Path, spoil: Any, said: str) -> None:
    spoil(folder)
    with pytest.raises(ReplicaError, match=said) as caught:
        run(Given(), problem.load(str(folder), {}))
    assert "\n" not in str(caught.value)


def test_options_of_rows_are_none_of_networks(folder: Path) -> None:
    with pytest.raises(ReplicaError, match="holds networks; leave --target out"):
        problem.load(str(folder), {"target": "y"})
    with pytest.raises(ReplicaError, match="holds networks that are trained; leave --common-epochs out"):
        run(Given(), problem.load(str(folder), {}), common_epochs=3)


# --- the picture ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("methods", [1, 3, 8])
def test_the_picture(methods: int) -> None:
    called = [f"method {number}" for number in range(methods)]
    rows = [(name, None, "kept", 0.5, 0.4, 0.6) for name in called]
    example = {"names": ["turn", "a name that is very long"], "single": [0.9, 0.8], "merged": [0.5, 0.7]}
    comparison = SimpleNamespace(
        sweep=None,
        curves=pd.DataFrame(rows, columns=["method", "value", "metric", "mean", "low", "high"]),
        rows=[{"method": name} for name in (*called, "failed")],
        examples=dict.fromkeys(called, example),
        options=problem.resolve({}),
        dataset=problem.load("digits", {}),
    )
    figure = Figure(figsize=(9, 4))
    FigureCanvasAgg(figure)
    problem.draw(figure, comparison)
    figure.canvas.draw()
    (axes,) = figure.subfigs[1].axes
    assert len(axes.lines) == min(methods, 5)
    assert [bar.get_width() for bar in axes.patches] == [90, 80]
    assert axes.get_yticklabels()[1].get_text() == "a name that i…"
