"""What a method amounts to: bytes that it keeps, numbers that it learned."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from replica.lab.claims import Trial
from replica.lab.problems.footprint import kept_bytes, parameter_count


def test_kept_bytes_counts_each_memory_once() -> None:
    class Slotted:
        __slots__ = ("weights",)

    inner = Slotted()
    inner.weights = np.zeros(100, np.float32)
    shared = torch.zeros(1000)
    network = torch.nn.Linear(10, 4)  # 44 numbers
    thing = SimpleNamespace(
        view=shared[:10], same=[shared, {"again": shared.view(10, 100)}], inner=inner, part=inner.weights[5:],
        network=network, own=None, number=3, trial=Trial(0), sparse=torch.eye(3).to_sparse(),
    )  # fmt: skip
    thing.own = thing  # a circle
    sparse = 2 * 3 * 8 + 3 * 4
    assert kept_bytes(thing) == 4000 + 400 + 44 * 4 + sparse
    array = np.zeros(8)
    assert kept_bytes(SimpleNamespace(a=array, b=torch.from_numpy(array))) == 64
    assert kept_bytes(SimpleNamespace(nbytes=7, a=array)) == 7
    assert kept_bytes(SimpleNamespace()) == 0


def test_parameter_count_of_known_learners() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 5)), np.arange(60) % 3
    assert parameter_count(LogisticRegression().fit(X, y)) == 3 * 5 + 3
    forest = RandomForestClassifier(7, random_state=0).fit(X, y)
    trees = [tree.tree_ for tree in forest.estimators_]
    assert parameter_count(forest) == sum(2 * (t.node_count - t.n_leaves) + 3 * t.n_leaves for t in trees)
    assert parameter_count(torch.nn.Linear(4, 2)) == 10
    assert parameter_count(SimpleNamespace(a=torch.zeros(3, dtype=torch.complex64), b=np.zeros(2, complex))) == 10
    shared = np.zeros(8)
    assert parameter_count(SimpleNamespace(a=shared, b=[shared], c="text", d=3, e=None)) == 8
    assert parameter_count(SimpleNamespace(n_parameters=17, a=shared)) == 17


def test_parameters_of_networks_count_once_and_before_all_else() -> None:
    network = torch.nn.Linear(3, 2)
    assert parameter_count(SimpleNamespace(module=network, again=network, examples=torch.zeros(50))) == 8
    complex_ = torch.nn.ParameterList([torch.nn.Parameter(torch.zeros(5, dtype=torch.complex64))])
    assert parameter_count(SimpleNamespace(module=complex_)) == 10
    assert parameter_count(SimpleNamespace(kept=torch.zeros(7, dtype=torch.float64))) == 7  # numbers, not bytes
    assert parameter_count(network) == 8
