"""What all problems share: their bases, baselines found by name, fair slices, counts of parameters, and their help."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import replica
from replica.data import EventSet, Labelled
from replica.errors import ReplicaError
from replica.lab.claims import Trial
from replica.lab.cli.main import main
from replica.lab.problems import Baselines, Clock, Problem, get, names
from replica.lab.problems.protocol import real_array

every_problem = pytest.mark.parametrize("problem", [get(name) for name in names()], ids=names())


def test_all_problems_are_described_without_torch() -> None:
    code = "import sys; from replica.lab.problems import get, names; [get(n).options for n in names()]; "
    code += "print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


# --- baselines -----------------------------------------------------------------------------------------------------------


def test_the_lab_imports_no_paper() -> None:
    lab = Path(replica.__file__).parent / "lab"
    for file in lab.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_bytes())):
            imported = (
                [a.name for a in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", "") or ""]
            )
            assert not any(name.startswith("replica.papers") for name in imported), file


@every_problem
def test_baselines_are_top_level_names_of_their_module(problem: Problem) -> None:
    baselines = problem.baselines()
    assert len({baseline.name for baseline in baselines}) == len(baselines) >= 4
    for baseline in baselines:
        module = sys.modules[baseline.make.__module__]
        assert module.__name__ == f"replica.papers.baselines.{problem.name}"
        assert getattr(module, baseline.make.__name__) is baseline.make, baseline.name
        assert baseline.description
        for option, allowed in baseline.needs.items():
            parsed = next(known for known in problem.options if known.name == option)
            assert all(parsed.parse(value) == value for value in allowed)


def test_two_baselines_of_one_name_are_refused() -> None:
    baselines = Baselines()
    baselines.entry("one", "first", values=("binary",))(print)
    with pytest.raises(ValueError, match="'one'"):
        baselines.entry("one", "second")(print)
    assert [(each.name, each.needs) for each in baselines] == [("one", {"values": ("binary",)})]


# --- rows ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["classification", "credit", "events", "scaling"])
@pytest.mark.parametrize("split", ["test", "validation"])
def test_at_smoke_scale_rows_sorted_by_class_are_tested_in_all_classes(name: str, split: Any) -> None:
    problem: Any = get(name)
    labels = np.repeat(np.arange(10), 500)
    classes = tuple("abcdefghij")
    labelled = Labelled(np.zeros((5000, 3), np.float32), labels, classes)
    content = EventSet(np.zeros((5000, 2, 3)), labels, classes, (3,)) if name == "events" else labelled
    train, test = problem.rows(Trial(0, "smoke"), content, problem.resolve({}), split)
    assert len(train) <= 100 >= len(test)
    assert not set(train) & set(test)
    for part in (train, test):
        assert np.bincount(labels[part], minlength=10).max() < 0.4 * len(part), "no class outweighs the others"
        assert len(set(labels[part])) >= 8


def test_the_trivial_method_is_trivial_at_smoke_scale() -> None:
    problem = get("classification")
    make = next(baseline.make for baseline in problem.baselines() if baseline.name == "majority")
    dataset = problem.load("digits", {})
    outcome = problem.run(Trial(0, "smoke"), make, dataset, problem.resolve({}))
    assert float(outcome.metrics["accuracy"]) < 0.3


# --- what a method is given, and what it gives back ------------------------------------------------------------------------


def test_a_clock_gives_copies_and_counts_every_call() -> None:
    clock, given = Clock(Trial(0)), torch.ones(3)
    clock.call(lambda values: values.zero_(), given)
    clock.hook(SimpleNamespace(start=lambda values: values.zero_()), "start", given)
    clock.hook(SimpleNamespace(), "start", given)
    assert given.sum() == 3
    assert len(clock.seconds) == 2
    assert min(clock.seconds) > 0


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (None, "returned NoneType; wanted a tensor or an array of shape (2, 3), like its cues"),
        ([[1.0] * 3] * 2, "returned list"),
        (torch.zeros(3), "returned shape (3,); wanted (2, 3), like its cues"),
        (torch.zeros(2, 3) > 0, "returned values of type bool"),
        (np.zeros((2, 3)) > 0, "returned values of type bool"),
        (torch.zeros(2, 3, dtype=torch.complex64), "returned values of type complex64"),
        (torch.tensor([[0, 0, 0], [0, torch.nan, 0]]), "returned nan at row 1 (from 0); wanted finite numbers"),
        (torch.full((2, 3), 1e300, dtype=torch.float64), "returned inf at row 0"),
    ],
)
def test_outputs_that_are_wrong_are_named_in_one_line(output: Any, said: str) -> None:
    with pytest.raises(ReplicaError) as error:
        real_array("Mine.recall", output, (2, 3), ", like its cues", lambda index: f"row {index[0]}")
    assert str(error.value).startswith("Mine.recall returned ")
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float64, torch.int8, np.float64, np.int64, "gradient"])
def test_outputs_of_any_kind_of_real_array_count(kind: Any) -> None:
    ones = torch.ones(2, 3)
    output: Any = ones.requires_grad_() * 1 if kind == "gradient" else None
    if output is None:
        output = ones.to(kind) if isinstance(kind, torch.dtype) else ones.numpy().astype(kind)
    given = real_array("Mine.recall", output, (2, 3), "", str)
    assert given.dtype == np.float32
    assert (given == 1).all()


@every_problem
def test_what_lacks_the_protocol_is_told_in_one_line(problem: Problem) -> None:
    with pytest.raises(ReplicaError) as error:
        problem.entered(3)
    text = str(error.value)
    assert text.startswith("int has no method ")
    assert f"an entry for {problem.name} has {problem.protocol[0].split('(')[0]}(" in text
    assert "\n" not in text


# --- help ----------------------------------------------------------------------------------------------------------------


@every_problem
def test_the_help_of_a_problem_lists_its_options(
    problem: Problem, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "argv", ["replica", "compare", problem.name, "--help"])
    with pytest.raises(SystemExit) as stop:
        main()
    out = " ".join(capfd.readouterr().out.split())
    assert not stop.value.code
    for option in problem.options:
        default = "none" if option.default == "" else option.default
        assert f"--{option.name.replace('_', '-')} " in out
        assert f"({option.wanted}; default {default})" in out
    assert f"Example: replica compare {problem.name} --sweep " in out
    for name in (*problem.data_names, *problem.data_formats):
        assert name in out


def test_the_help_of_the_command_alone_lists_no_problem(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["replica", "compare", "--help"])
    with pytest.raises(SystemExit):
        main()
    assert "Options of" not in capfd.readouterr().out.replace("Options of the problem itself", "")
