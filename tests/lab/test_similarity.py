"""The problem similarity: measures, what of the nets is seen, files of one's own, what a method must give, and the picture."""

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
from replica.lab.problems import Dataset, Outcome
from replica.lab.problems.similarity.data import Nets
from replica.lab.problems.similarity.nets import trained
from replica.lab.problems.similarity.problem import Similarity, same_against_different, shares_named

problem = Similarity()
FIRST = Trial(0)


def planted(nets: int = 3, layers: int = 4, stimuli: int = 60, units: int = 5) -> Dataset:
    """Nets whose layers are the same but for a rotation; layer k has mean k."""
    rng = np.random.default_rng(0)
    common = rng.normal(size=(layers, stimuli, units))
    found = {}
    for net in range(nets):
        turns = [np.linalg.qr(rng.normal(size=(units, units)))[0] for _ in range(layers)]
        turned = (layer @ turn + k for k, (layer, turn) in enumerate(zip(common, turns, strict=True)))
        found[f"net {net}"] = tuple(layer.astype(np.float32) for layer in turned)
    return Dataset("mine", "", Nets(tuple(f"layer {k}" for k in range(layers)), found), "mine")


class Fixed:
    """Gives what a function of two layers gives, and remembers what it was given."""

    def __init__(self, compare: Any = lambda X, Y: 0.0) -> None:
        self.compare, self.seen = compare, []

    def similarity(self, X: Any, Y: Any) -> Any:
        self.seen.append((X.clone(), Y.clone()))
        found = self.compare(X, Y)
        X[:], Y[:] = 0, 0
        return found


def by_mean(X: Any, Y: Any) -> float:
    return -abs(float(X.mean() - Y.mean()))


def run(method: Any, data: Dataset | None = None, split: Any = "test", trial: Any = FIRST, **options: Any) -> Outcome:
    resolved = problem.resolve({"noise": 0.0, **options})
    return problem.run(trial, lambda _: method, data or planted(), resolved, examples=True, split=split)


# --- measures ------------------------------------------------------------------------------------------------------------


def test_who_sees_the_layer_names_all_and_who_sees_nothing_names_one_in_four() -> None:
    right = run(Fixed(by_mean))
    assert (right.metrics["named"], right.metrics["auc"]) == (1, 1)
    assert right.examples["layers"] == ["layer 0", "layer 1", "layer 2", "layer 3"]
    assert np.array_equal(right.examples["named"], np.eye(4))
    blind = run(Fixed()).metrics
    assert (blind["named"], blind["auc"]) == (0.25, 0.5)
    wrong = run(Fixed(lambda X, Y: -by_mean(X, Y))).metrics
    assert (wrong["named"], wrong["auc"]) == (0, 0)
    assert list(wrong) == [metric.name for metric in problem.metrics]


def test_every_layer_is_compared_with_every_one_of_every_other_net() -> None:
    method = Fixed(by_mean)
    run(method, planted(nets=3, layers=2))
    assert len(method.seen) == 3 * 2 * 2 * 2
    method = Fixed(lambda X, Y: float(Y.mean()) if X.mean() < 0.5 else 0.0)
    metrics = run(method, planted(nets=2, layers=2)).metrics
    assert metrics["named"] == pytest.approx(0.25), "layer 0 is taken for 1; for layer 1 both are equally alike"


def test_areas_under_the_curve_beside_scikit_learn() -> None:
    from sklearn.metrics import roc_auc_score

    tables = np.random.default_rng(0).integers(0, 6, size=(5, 4, 4)).astype(float)
    same = np.broadcast_to(np.eye(4), tables.shape)
    assert same_against_different(tables) == pytest.approx(roc_auc_score(same.ravel(), tables.ravel()))
    np.testing.assert_allclose(shares_named(tables).sum(axis=2), 1)


# --- what is seen --------------------------------------------------------------------------------------------------------


def test_fewer_stimuli_and_units_are_a_part_of_more_and_constant_units_are_left_out() -> None:
    dataset = planted(nets=2, layers=2)
    for layers in dataset.content.activations.values():
        layers[0][:, 3] = 7.0
    few, many, other = Fixed(), Fixed(), Fixed()
    run(few, dataset, stimuli=20, units=2)
    run(many, dataset, stimuli=50)
    run(other, dataset, trial=Trial(1), stimuli=20, units=2)
    assert few.seen[0][0].shape == (20, 2)
    assert many.seen[0][0].shape == (50, 4)
    assert many.seen[-1][0].shape == (50, 5)
    columns = (many.seen[0][0][:20].T[:, None] == few.seen[0][0].T).all(dim=2).any(dim=0)
    assert columns.all()
    assert not torch.equal(few.seen[0][0], other.seen[0][0])


def test_noise_is_as_large_as_told_and_independent_in_every_net() -> None:
    dataset = planted(nets=2, layers=2, stimuli=2000, units=20)
    for layers in dataset.content.activations.values():
        layers[0][:] += np.arange(20)  # means of units are no variance
    clean, noisy = Fixed(), Fixed()
    run(clean, dataset, stimuli=2000)
    run(noisy, dataset, stimuli=2000, noise=0.5)
    first, second = (noisy.seen[0][i] - clean.seen[0][i] for i in (0, 1))
    assert float(first.std()) == pytest.approx(0.5, rel=0.03)
    assert abs(float((first * second).mean())) < 0.01


def test_validation_shows_other_stimuli_and_other_nets() -> None:
    tested, tuned = Fixed(), Fixed()
    run(tested, stimuli=25)
    run(tuned, stimuli=25, split="validation")
    assert len(tuned.seen[0][0]) == 25
    assert not (tested.seen[0][0][:, None] == tuned.seen[0][0]).all(dim=2).any()
    options: dict[str, Any] = {"network": "mlp", "nets": 2, "depth": 2, "width": 4, "epochs": 1}
    digits, tested, tuned = problem.load("digits", {}), Fixed(), Fixed()
    run(tested, digits, **options)
    run(tuned, digits, split="validation", **options)
    assert not torch.equal(tested.seen[0][0], tuned.seen[0][0])
    with pytest.raises(ReplicaError, match="mine holds 60 in all; give --stimuli 30 or less, or leave --tune out"):
        run(Fixed(), stimuli=55, split="validation")


def test_trained_nets_differ_from_one_another_and_are_made_once() -> None:
    options = problem.resolve({"network": "conv", "nets": 3, "depth": 2, "width": 3, "epochs": 1})
    nets = trained(Trial(0), options, "test")
    assert trained(Trial(0), {**options, "noise": 3.0}, "test") is nets
    assert nets.layers == ("layer1", "layer2")
    assert [layer.shape for layer in nets.activations["net 1"]] == [(597, 192), (597, 192)]
    assert not np.array_equal(nets.activations["net 1"][0], nets.activations["net 2"][0])
    assert not np.array_equal(nets.activations["net 1"][0], trained(Trial(1), options, "test").activations["net 1"][0])


def test_at_smoke_scale_there_is_less_of_everything() -> None:
    method, digits = Fixed(), problem.load("digits", {})
    run(method, digits, trial=Trial(0, "smoke"))
    assert (len(method.seen), len(method.seen[0][0])) == (2 * 2 * 2, 20)
    used = problem.used(digits, problem.resolve({}), "smoke")
    assert used == {"stimuli": "20 stimuli", "nets": "2", "depth": "2", "width": "8", "epochs": "1"}
    mine = problem.used(planted(), problem.resolve({}), "laptop")
    assert mine == {"stimuli": "60 stimuli", "network": "", "nets": "", "depth": "", "width": "", "epochs": ""}


# --- what is refused -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("compare", "said"),
    [
        (
            lambda X, Y: X,
            r"Fixed.similarity returned Tensor for layer 0 of net 0 and layer 0 of net 1; wanted a number",
        ),
        (lambda X, Y: None, "returned NoneType"),
        (lambda X, Y: float("nan"), "returned nan for layer 0 .*; wanted a finite number"),
    ],
)
def test_a_method_must_give_a_number(compare: Any, said: str) -> None:
    with pytest.raises(ReplicaError, match=said):
        run(Fixed(compare))
    assert run(Fixed(lambda X, Y: (X.mean() - Y.mean()).square())).metrics["named"] == 0, "a tensor of one is a number"


def test_layers_that_tell_nothing_are_refused() -> None:
    dataset = planted()
    dataset.content.activations["net 1"][2][:] = 3.0
    with pytest.raises(ReplicaError, match="net 1 layer 2 is the same for all 60 stimuli"):
        run(Fixed(), dataset)
    with pytest.raises(ReplicaError, match="stimuli is 600, but 597 digits are left; give --stimuli 597 or less"):
        run(Fixed(), problem.load("digits", {}), stimuli=600)
    with pytest.raises(ReplicaError, match="mine holds 8 stimuli; wanted 10 or more"):
        run(Fixed(), planted(stimuli=8))


GOOD: dict[str, Any] = {
    f"{net}/{layer}": np.random.default_rng(0).normal(size=(12, 3)) for net in "ab" for layer in ("one", "two")
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"b/two": np.ones((11, 3))}, "'b/two' has 11 stimuli and 'a/one' has 12; wanted the same stimuli"),
        ({"b/two": np.ones((12, 3))}, "'b/two' is the same for all stimuli; wanted layers that tell them apart"),
        ({"b/two": np.full((12, 3), np.nan)}, "'b/two' holds nan at stimulus 0, unit 0"),
        ({"b/two": np.ones(12)}, r"array 'b/two' has shape \(12,\); wanted stimuli on the first axis"),
        ({"b/two": None}, "nets 'a' and 'b' differ in layer 'two'"),
        ({"b/one": None, "b/two": None}, "holds 1 net; wanted two or more"),
        ({"a/two": None, "b/two": None}, "net 'a' has 1 layer; wanted two or more"),
        ({"plain": np.ones((12, 3))}, "holds an array 'plain'; wanted .* named net/layer"),
        ({"b/two": np.array(["x"] * 12)[:, None]}, "array 'b/two' holds"),
    ],
)
def test_files_that_hold_no_nets_are_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    arrays = {name: array for name, array in {**GOOD, **change}.items() if array is not None}
    np.savez(tmp_path / "mine.npz", **arrays)
    with pytest.raises(ReplicaError, match=said):
        problem.load(str(tmp_path / "mine.npz"), {})


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", **{**GOOD, "b/two": np.random.default_rng(1).normal(size=(12, 2, 2, 2))})
    dataset = problem.load(str(tmp_path / "mine.npz"), {})
    assert dataset.description == "2 nets of 2 layers on 12 stimuli, from mine.npz"
    assert dataset.content.activations["b"][1].shape == (12, 8)
    np.savez(tmp_path / "other.npz", **GOOD)
    assert problem.load(str(tmp_path / "other.npz"), {}).digest != dataset.digest
    assert run(Fixed(), dataset).metrics["named"] == 0.5


# --- the picture ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("methods", [1, 3, 6])
def test_the_picture(methods: int) -> None:
    names = [f"method {number}" for number in range(methods)]
    rows = [(name, None, "named", 0.5, 0.4, 0.6) for name in names]
    comparison = SimpleNamespace(
        sweep=None,
        curves=pd.DataFrame(rows, columns=["method", "value", "metric", "mean", "low", "high"]),
        rows=[{"method": name} for name in (*names, "failed")],
        examples={name: {"layers": list("abcdefghijk"), "named": np.eye(11).tolist()} for name in names},
        options=problem.resolve({}),
        dataset=problem.load("digits", {}),
    )
    figure = Figure(figsize=(9, 4))
    FigureCanvasAgg(figure)
    problem.draw(figure, comparison)
    figure.canvas.draw()
    drawn = [axes for axes in figure.subfigs[1].axes if axes.get_images()]
    assert [axes.get_title() for axes in drawn] == names[:4]
    assert [label.get_text() for label in drawn[0].get_xticklabels()] == ["1", "3", "5", "7", "9", "11"]
