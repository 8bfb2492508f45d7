"""The problem stream: how data become tasks, the protocol, the measures, and the picture."""

from __future__ import annotations

import itertools
import json
from collections import Counter
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

from replica.data import Labelled
from replica.errors import ReplicaError
from replica.lab.claims import Trial
from replica.lab.problems.problem import Dataset, Outcome
from replica.lab.problems.stream import metrics as stream_metrics
from replica.lab.problems.stream.data import StreamContent
from replica.lab.problems.stream.info import StreamInfo
from replica.lab.problems.stream.plan import build, plan, task_classes
from replica.lab.problems.stream.problem import Stream
from replica.lab.problems.stream.shifts import SHIFTS, rotated, shifted

problem = Stream()


def told_apart(
    classes: int = 6, count: int = 20, shape: tuple[int, ...] = (4,), domains: int = 0, families: Any = None
) -> Dataset:
    """Items whose first value names their class, and whose second is their own number."""
    labels = np.arange(classes * count) % classes
    values = np.random.default_rng(0).normal(size=(len(labels), *shape)).astype(np.float32)
    flat = values.reshape(len(labels), -1)
    flat[:, 0], flat[:, 1] = labels, np.arange(len(labels)) / 10
    content = StreamContent(
        Labelled(values, labels.astype(np.int64), tuple(f"class {i}" for i in range(classes))),
        families,
        np.arange(len(labels)) // classes % domains if domains else None,
        tuple(f"place {i}" for i in range(domains)),
    )
    return Dataset("told-apart", "", content, f"{classes} {count} {shape} {domains}", shape)


def run(
    make: Callable[[], Any], dataset: Dataset, seed: int = 0, examples: bool = False, scale: Any = "laptop",
    split: Any = "test", **options: Any,
) -> Outcome:  # fmt: skip
    options = problem.resolve({"tasks": 3, "epochs": 2, "batch": 8, "checks": 2} | options)
    return problem.run(Trial(seed, scale), lambda trial: make(), dataset, options, examples=examples, split=split)


class Remembers:
    """Knows the class of every item whose class it has met, by the item's first value; keeps a diary."""

    forgets = False

    def __init__(self) -> None:
        self.diary: list[tuple[Any, ...]] = []
        self.known: dict[float, int] = {}

    def start(self, info: StreamInfo) -> None:
        self.info = info
        self.diary.append(("start", info))

    def pretrain(self, inputs: Any, labels: Any) -> None:
        self.diary.append(("pretrain", inputs.clone(), labels))

    def begin_task(self, task: int, inputs: Any, labels: Any) -> None:
        self.diary.append(("begin", task, inputs.clone(), labels.clone()))
        if self.forgets:
            self.known = {}

    def learn(self, inputs: Any, labels: Any, task: int | None) -> None:
        self.diary.append(("learn", task, inputs.clone(), labels.clone()))
        self.known |= {round(float(x.flatten()[0]), 4): int(y) for x, y in zip(inputs, labels, strict=True)}

    def end_task(self, task: int, inputs: Any, labels: Any) -> None:
        self.diary.append(("end", task, inputs.clone(), labels.clone()))

    def predict(self, inputs: Any, task: int | None) -> Any:
        self.diary.append(("predict", task, inputs.clone()))
        last = max(self.known.values())  # for what it does not know
        scores = torch.full((len(inputs), self.info.classes), -torch.inf)
        for i, item in enumerate(inputs):
            scores[i, self.known.get(round(float(item.flatten()[0]), 4), last)] = 1
        return scores

    def told(self, kind: str) -> list[tuple[Any, ...]]:
        return [entry for entry in self.diary if entry[0] == kind]


class Forgets(Remembers):
    """Knows the classes of the last task alone."""

    forgets = True


def keep(kind: type[Remembers]) -> tuple[Callable[[], Remembers], list[Remembers]]:
    made: list[Remembers] = []

    def make() -> Remembers:
        made.append(kind())
        return made[-1]

    return make, made


# --- measures ------------------------------------------------------------------------------------------------------------


def test_measures_against_their_sums() -> None:
    rng = np.random.default_rng(0)
    for tasks in (2, 3, 5):
        accuracy, total = rng.random((tasks, tasks)), rng.integers(1, 50, tasks)
        best = [max(accuracy[i][j] for i in range(j, tasks - 1)) for j in range(tasks - 1)]
        lost = [best[j] - accuracy[-1][j] for j in range(tasks - 1)]
        assert stream_metrics.forgetting(accuracy) == pytest.approx(sum(lost) / (tasks - 1))
        gained = [accuracy[-1][j] - accuracy[j][j] for j in range(tasks - 1)]
        assert stream_metrics.backward_transfer(accuracy) == pytest.approx(sum(gained) / (tasks - 1))
        right = rng.integers(0, total, (tasks, tasks))
        shares = [sum(right[i][: i + 1]) / sum(total[: i + 1]) for i in range(tasks)]
        assert stream_metrics.average_accuracy(right, total) == pytest.approx(sum(shares) / tasks)
        course = rng.random((4 * tasks, tasks))
        worst = [min(course[n][j] for n in range(4 * (j + 1), 4 * tasks)) for j in range(tasks - 1)]
        ends = np.arange(3, 4 * tasks, 4)
        assert stream_metrics.worst_accuracy(course, ends) == pytest.approx(sum(worst) / (tasks - 1))


def test_forgetting_is_minus_backward_transfer_where_each_task_is_best_when_learned() -> None:
    accuracy = np.array([[0.9, 0, 0], [0.7, 0.8, 0], [0.6, 0.2, 0.9]])
    assert stream_metrics.forgetting(accuracy) == pytest.approx(-stream_metrics.backward_transfer(accuracy))


@pytest.mark.parametrize("setting", ["class", "task", "domain"])
@pytest.mark.parametrize("boundaries", ["told", "untold"])
def test_who_remembers_all_is_right_throughout(setting: str, boundaries: str) -> None:
    if (setting, boundaries) == ("task", "untold"):
        return
    dataset = told_apart(domains=3 if setting == "domain" else 0)
    metrics = run(Remembers, dataset, setting=setting, boundaries=boundaries).metrics
    assert float(metrics["final_accuracy"]) == 1
    assert metrics["average_accuracy"] == metrics["worst_accuracy"] == 1
    assert metrics["forgetting"] == metrics["backward_transfer"] == 0
    assert ("forward_transfer" in metrics) == (setting == "domain")
    if setting == "domain":  # right at once, where a blind guess is right once in six
        assert metrics["forward_transfer"] == pytest.approx(1 - 1 / 6)


def test_who_forgets_all_keeps_the_last_task() -> None:
    metrics = run(Forgets, told_apart(), tasks=3, pretrain="none").metrics
    assert float(metrics["final_accuracy"]) == pytest.approx(1 / 3)
    assert metrics["average_accuracy"] == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    assert metrics["forgetting"] == 1
    assert metrics["worst_accuracy"] == 0
    assert metrics["backward_transfer"] == -1
    matrix = run(Forgets, told_apart(), examples=True).examples["matrix"]
    np.testing.assert_array_equal(matrix, np.eye(3))


def test_a_fall_between_two_tasks_is_seen_by_the_worst_accuracy_alone() -> None:
    class Dips(Remembers):
        def begin_task(self, task: int, inputs: Any, labels: Any) -> None:
            self.away, self.known = self.known, {}

        def end_task(self, task: int, inputs: Any, labels: Any) -> None:
            self.known = self.away | self.known

    metrics = run(Dips, told_apart(), checks=3).metrics
    assert float(metrics["final_accuracy"]) == metrics["average_accuracy"] == 1
    assert metrics["forgetting"] == 0
    assert metrics["worst_accuracy"] == 0
    assert run(Dips, told_apart(), checks=1).metrics["worst_accuracy"] == 1


def test_memory_and_time_are_measured() -> None:
    class Heavy(Remembers):
        def start(self, info: StreamInfo) -> None:
            super().start(info)
            self.nbytes = 12345

    metrics = run(Heavy, told_apart()).metrics
    assert metrics["memory_bytes"] == 12345
    assert 0 < float(metrics["learn_seconds"]) < 10


# --- tasks ---------------------------------------------------------------------------------------------------------------


def made(dataset: Dataset, seed: int = 0, split: Any = "test", scale: Any = "laptop", **options: Any) -> Any:
    return plan(dataset.content, problem.resolve({"tasks": 3} | options), Trial(seed, scale), split)


@pytest.mark.parametrize(
    "options", [{}, {"setting": "task"}, {"pretrain": "classes"}, {"pretrain": "none"}, {"first": 4}]
)
def test_rows_are_shared_by_nothing(options: dict[str, Any]) -> None:
    dataset = told_apart(classes=9)
    labels = dataset.content.labelled.labels
    cut = made(dataset, **options)
    parts = [*cut.learned, *cut.tested, cut.pretraining]
    everything = np.concatenate(parts)
    assert len(set(everything)) == len(everything)
    for learned, tested in zip(cut.learned, cut.tested, strict=True):
        assert set(labels[learned]) == set(labels[tested])
    owners = Counter(label for part in cut.learned for label in set(labels[part]))
    assert set(owners.values()) == {1}, "each class in one task"
    assert cut.classes == tuple(dict.fromkeys(label for part in cut.learned for label in labels[part]))
    if options.get("pretrain") == "classes":
        assert len(owners) == 5
        assert not set(owners) & set(labels[cut.pretraining])
        assert cut.labelled
    else:
        assert len(owners) == 9
        assert len(cut.pretraining) == (0 if options.get("pretrain") == "none" else 27)
    if "first" in options:
        assert [len(set(labels[part])) for part in cut.learned] == [4, 3, 2]
    orders = {made(dataset, seed, **options).classes for seed in range(5)}
    assert len(orders) > 1


def test_fewer_rows_are_a_subset_and_the_tests_stay() -> None:
    dataset = told_apart()
    more, fewer = made(dataset), made(dataset, train=5)
    for a, b in zip(more.learned, fewer.learned, strict=True):
        assert set(b) < set(a)
        assert len(b) == 10
    for a, b in zip(more.tested, fewer.tested, strict=True):
        np.testing.assert_array_equal(a, b)


def test_validation_takes_its_tests_from_what_is_learned() -> None:
    dataset = told_apart()
    test, validation = made(dataset), made(dataset, split="validation")
    tested = set(np.concatenate(test.tested))
    assert not tested & set(np.concatenate([*validation.learned, *validation.tested, validation.pretraining]))
    for a, kept, held in zip(test.learned, validation.learned, validation.tested, strict=True):
        assert set(kept) | set(held) == set(a)
        assert not set(kept) & set(held)
        assert len(held) == 2 * round(0.2 * 12), "of each class alike"


def test_families_are_kept_out_whole() -> None:
    families = np.array([0, 0, 0, 1, 1, 2, 2, 3, 3])
    dataset = told_apart(classes=9, families=families)
    for seed in range(5):
        cut = made(dataset, seed, pretrain="classes")
        before = set(dataset.content.labelled.labels[cut.pretraining])
        assert {families[label] for label in before}.isdisjoint({families[label] for label in cut.classes})
        assert len({families[label] for label in cut.classes}) == 2


def test_domains_are_tasks_in_their_order() -> None:
    dataset = told_apart(domains=4)
    cut = made(dataset, setting="domain")
    assert len(cut.learned) == 4
    for k, part in enumerate(cut.learned):
        assert set(dataset.content.domains[part]) == {k}
        assert set(dataset.content.domains[cut.tested[k]]) == {k}


def test_smoke_scale_is_small() -> None:
    dataset = told_apart(classes=30, count=40)
    cut = made(dataset, scale="smoke", tasks=10, first=15)
    assert len(cut.learned) == 3
    assert len(cut.classes) == 10
    assert max(map(len, cut.learned)) <= 50
    assert len(set(dataset.content.labelled.labels[cut.learned[0]])) == 5, "half of the classes, as asked for"
    shifts = made(dataset, scale="smoke", setting="domain", tasks=10)
    assert len(shifts.learned) == 3


def test_classes_of_a_larger_first_task() -> None:
    assert task_classes(100, 6, 50) == [50, 10, 10, 10, 10, 10]
    assert task_classes(7, 3, 0) == [3, 2, 2]
    assert task_classes(10, 3, 0.4) == [4, 3, 3]


def test_numbers_come_from_what_comes_first() -> None:
    dataset = told_apart(shape=(6, 5))
    values = dataset.content.labelled.features
    for options in ({}, {"pretrain": "none"}):
        cut = made(dataset, **options)
        stream = build(dataset.content, problem.resolve({"tasks": 3} | options), Trial(0), "test")
        rows = cut.pretraining if len(cut.pretraining) else cut.learned[0]
        centre, spread = values[rows].mean(), values[rows].std()
        found = stream.tasks[1].tested.inputs
        np.testing.assert_allclose(found, (values[cut.tested[1]] - centre) / spread, rtol=1e-4, atol=1e-5)
        assert found.shape[1:] == (6, 5)
        assert found.dtype == np.float32


# --- shifts --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SHIFTS)
def test_the_first_domain_is_as_it_is_and_the_others_differ(kind: str) -> None:
    images = np.random.default_rng(0).normal(size=(3, 8, 8)).astype(np.float32)
    seen = [shifted(images, kind, task, 4, np.random.default_rng(7)) for task in range(4)]
    np.testing.assert_array_equal(seen[0], images)
    for one, other in itertools.combinations(seen, 2):
        assert np.abs(one - other).max() > 0.1
    if kind == "permutation":
        for each in seen:
            np.testing.assert_array_equal(np.sort(each.reshape(3, -1)), np.sort(images.reshape(3, -1)))
    if kind == "contrast":
        for task, each in enumerate(seen):
            np.testing.assert_allclose(each, (-0.75) ** task * images, rtol=1e-6)


@pytest.mark.parametrize("shape", [(8, 8), (7, 7), (5, 5, 3), (3, 6, 6)])
def test_a_quarter_turn_is_exact(shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    axes = (2, 3) if len(shape) == 3 and shape[0] == 3 else (1, 2)
    for quarter in (1, 2, 3):
        np.testing.assert_allclose(rotated(images, 90 * quarter), np.rot90(images, quarter, axes), atol=1e-4)
    assert rotated(np.zeros((1, 4, 9), np.float32), 30).shape == (1, 4, 9)


def test_a_domain_shows_all_classes_and_the_same_rows() -> None:
    dataset = told_apart(shape=(5, 5))
    for shift in SHIFTS:
        options = problem.resolve({"tasks": 3, "setting": "domain", "shift": shift})
        stream = build(dataset.content, options, Trial(0), "test")
        assert [task.classes for task in stream.tasks] == [tuple(range(6))] * 3
        for task in stream.tasks[1:]:
            np.testing.assert_array_equal(task.learned.labels, stream.tasks[0].learned.labels)
            assert np.abs(task.learned.inputs - stream.tasks[0].learned.inputs).max() > 0.1


# --- the protocol --------------------------------------------------------------------------------------------------------


def test_what_a_method_hears_and_when() -> None:
    make, methods = keep(Remembers)
    dataset = told_apart()
    run(make, dataset, epochs=3, batch=7)
    (method,) = methods
    info = method.diary[0][1]
    assert (info.shape, info.classes, info.tasks, info.epochs, info.batch) == ((4,), 6, 3, 3, 7)
    assert info.task_classes == ((0, 1), (2, 3), (4, 5))
    assert info.told
    assert [entry[0] for entry in method.diary[:3]] == ["start", "pretrain", "begin"]
    assert method.diary[1][2] is None
    for k in range(3):
        begin = next(entry for entry in method.told("begin") if entry[1] == k)
        end = next(entry for entry in method.told("end") if entry[1] == k)
        assert torch.equal(begin[2], end[2])
        learned = [entry for entry in method.told("learn") if entry[1] == k]
        assert max(len(entry[3]) for entry in learned) <= 7
        assert min(len(entry[3]) for entry in learned) >= 4, "no minibatch much smaller than the others"
        passes = Counter(float(x[1]) for entry in learned for x in entry[2])
        assert set(passes.values()) == {3}
        assert set(passes) == {float(x[1]) for x in begin[2]}
        assert set(begin[3].tolist()) == set(info.task_classes[k])
    assert {entry[1] for entry in method.told("predict")} == {None}


def test_untold_a_method_hears_of_no_task() -> None:
    make, methods = keep(Remembers)
    run(make, told_apart(), boundaries="untold")
    (method,) = methods
    assert {entry[0] for entry in method.diary} == {"start", "pretrain", "learn", "predict"}
    assert {entry[1] for entry in method.told("learn")} == {None}
    assert (method.info.tasks, method.info.task_classes, method.info.told) == (None, None, False)


def test_with_the_task_known_each_item_comes_with_its_own() -> None:
    make, methods = keep(Remembers)
    run(make, told_apart(), setting="task")
    (method,) = methods
    for _, task, inputs in method.told("predict"):
        classes = {method.known[round(float(x[0]), 4)] for x in inputs}
        assert classes == {2 * task, 2 * task + 1}


def test_only_classes_that_count_can_win() -> None:
    class Loud(Remembers):
        """Right, but louder for every class not seen yet, or of another task."""

        def predict(self, inputs: Any, task: int | None) -> Any:
            scores = super().predict(inputs, task)
            met = set(self.known.values())
            for label in range(self.info.classes):
                if label not in met or (task is not None and label not in self.info.task_classes[task]):
                    scores[:, label] = 9
            return scores

    for setting in ("class", "task"):
        assert float(run(Loud, told_apart(), setting=setting).metrics["final_accuracy"]) == 1


@pytest.mark.parametrize(("pretrain", "labelled"), [("unlabelled", False), ("classes", True)])
def test_pretraining(pretrain: str, labelled: bool) -> None:
    make, methods = keep(Remembers)
    run(make, told_apart(classes=9), pretrain=pretrain)
    _, inputs, labels = methods[0].told("pretrain")[0]
    if not labelled:
        assert labels is None
        return
    assert labels.tolist() == np.unique(inputs[:, 0].numpy(), return_inverse=True)[1].tolist()
    learned = torch.cat([entry[2] for entry in methods[0].told("learn")])
    assert not set(inputs[:, 0].tolist()) & set(learned[:, 0].tolist())


@pytest.mark.parametrize(("checks", "expected"), [(1, 3), (2, 6), (4, 12), (0, 24), (100, 24)])
def test_checks(checks: int, expected: int) -> None:
    course = run(Remembers, told_apart(), examples=True, checks=checks, epochs=2, pretrain="none").examples
    assert len(course["at"]) == len(course["accuracy"]) == expected
    assert course["at"] == sorted(course["at"])
    assert course["at"][-1] == course["ends"][-1] == 1


def test_a_method_needs_no_hooks_and_must_have_two_methods() -> None:
    class Bare:
        def learn(self, inputs: Any, labels: Any, task: Any) -> None: ...

        def predict(self, inputs: Any, task: Any) -> Any:
            return np.zeros((len(inputs), 6))

    assert float(run(Bare, told_apart()).metrics["final_accuracy"]) == pytest.approx(1 / 6)
    with pytest.raises(ReplicaError, match=r"^int has no method learn and no method predict; an entry for stream has"):
        run(lambda: 3, told_apart())


def test_a_method_cannot_change_what_it_is_judged_by() -> None:
    class Vandal(Remembers):
        def pretrain(self, inputs: Any, labels: Any) -> None:
            inputs.zero_()

        def begin_task(self, task: int, inputs: Any, labels: Any) -> None:
            inputs.zero_(), labels.zero_()

        def learn(self, inputs: Any, labels: Any, task: int | None) -> None:
            super().learn(inputs, labels, task)
            inputs.zero_(), labels.zero_()

        def predict(self, inputs: Any, task: int | None) -> Any:
            scores = super().predict(inputs, task)
            inputs.zero_()
            return scores

    dataset = told_apart()
    before = dataset.content.labelled.features.copy()
    assert float(run(Vandal, dataset).metrics["final_accuracy"]) == 1
    np.testing.assert_array_equal(dataset.content.labelled.features, before)


def test_the_test_comes_mixed() -> None:
    """Without the task known, no batch of tests is of one task alone once there are two."""
    make, methods = keep(Remembers)
    run(make, told_apart(), checks=1)
    last = methods[0].told("predict")[-1][2]
    order = [methods[0].known[round(float(x[0]), 4)] // 2 for x in last]
    assert sum(a != b for a, b in itertools.pairwise(order)) > 5


# --- options and data ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"setting": "task", "boundaries": "untold"}, "setting task tells them; give --setting class or domain"),
        ({"setting": "domain", "first": 2}, "Option first makes a larger task of classes"),
        ({"setting": "domain"}, "holds no images; give --shift permutation or --shift contrast, or --domain COLUMN"),
        (
            {"tasks": 7},
            "told-apart leaves 6 classes to the stream, with at least one class a task; give --tasks 6 or less",
        ),
        ({"tasks": 4, "setting": "task"}, "two classes a task, or nothing could be confused; give --tasks 3 or less"),
        ({"first": 5, "tasks": 3}, "want 5 classes and then 2 tasks more"),
        ({"first": 9, "tasks": 3}, "want 9 classes and then 2 tasks more"),
        ({"first": 2.5, "tasks": 3}, "Option first is 2.5; want a whole number of classes, or a share below 1"),
        ({"pretrain": "classes", "tasks": 4}, "leaves 3 classes to the stream"),
    ],
)
def test_options_that_do_not_fit_are_told_in_one_line(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ReplicaError) as caught:
        problem.check(told_apart(), problem.resolve(options))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_too_few_items_are_told() -> None:
    with pytest.raises(ReplicaError, match="leaves 1 of told-apart's 2 classes"):
        problem.check(told_apart(classes=2), problem.resolve({"tasks": 2, "pretrain": "classes"}))
    dataset = told_apart(domains=3)
    domains = np.where(np.arange(120) < 118, 0, [*[0] * 118, 1, 2])
    lonely = Dataset("mine.csv", "", StreamContent(dataset.content.labelled, None, domains, ("a", "b", "c")), "", (4,))
    with pytest.raises(
        ReplicaError, match=r"In mine\.csv domain 'b' has no item to test; wanted 2 or more of one class"
    ):
        problem.check(lonely, problem.resolve({"setting": "domain"}))
    with pytest.raises(ReplicaError, match=r"task 1 of told-apart has too few; give a larger --train"):
        problem.check_validation(told_apart(), problem.resolve({"train": 1}))


def test_data_that_are_named() -> None:
    dataset = problem.load("digits", problem.resolve({}))
    assert dataset.shape == (8, 8)
    assert len(dataset.content.labelled) == 1797
    with pytest.raises(ReplicaError, match="Data digits has no column that names domains; leave --domain out"):
        problem.load("digits", {"domain": "x"})
    with pytest.raises(ReplicaError, match=r"'omniglott' is neither a data set nor a file; did you mean omniglot\?"):
        problem.load("omniglott", {})
    for options in ({"domain": "drawer"}, {"target": "y"}):
        with pytest.raises(ReplicaError, match=r"Data omniglot (has no column 'drawer'|.* leave --target out)"):
            problem.load("omniglot", options)


def test_omniglot_by_alphabet() -> None:
    try:
        dataset = problem.load("omniglot", {"domain": "alphabet"})
    except ReplicaError as error:
        pytest.skip(str(error))
    assert dataset.content.domain_names[0] == "Balinese"
    cut = plan(dataset.content, problem.resolve({}), Trial(0), "test")
    assert len(cut.learned) == 8
    assert dataset.digest != problem.load("omniglot", {}).digest


def test_a_table_of_the_users(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=60), "b": list("uv") * 30, "year": [2003, 2001, 2002] * 20})
    frame["label"] = np.arange(60) % 4
    frame["site"] = np.where(frame["year"] > 2001, "new", "old")
    frame.to_csv(tmp_path / "mine.csv", index=False)
    dataset = problem.load(str(tmp_path / "mine.csv"), {"domain": "year"})
    assert dataset.content.domain_names == ("2001", "2002", "2003")
    assert list(dataset.content.labelled.features.columns) == ["a", "b", "site"]
    assert "4 classes, 3 domains by year, from mine.csv" in dataset.description
    by_site = problem.load(str(tmp_path / "mine.csv"), {"domain": "site"})
    assert by_site.content.domain_names == ("new", "old")
    assert len({dataset.digest, by_site.digest, problem.load(str(tmp_path / "mine.csv"), {}).digest}) == 3
    for options in ({"setting": "domain"}, {"setting": "class"}, {"setting": "domain", "pretrain": "none"}):
        resolved = problem.resolve(options)
        problem.check(dataset, resolved)
        stream = build(dataset.content, resolved, Trial(0), "test")
        assert len(stream.tasks) == 3
        # a, and a column for each word there is in what comes first
        assert stream.tasks[0].learned.inputs.shape[1] == (4 if options.get("pretrain") == "none" else 5)
    with pytest.raises(ReplicaError, match="has no column 'when'; it has a, b, year, label, site"):
        problem.load(str(tmp_path / "mine.csv"), {"domain": "when"})
    frame.loc[3, "year"] = np.nan
    frame.to_csv(tmp_path / "mine.csv", index=False)
    with pytest.raises(ReplicaError, match="'year' is missing in row 4"):
        problem.load(str(tmp_path / "mine.csv"), {"domain": "year"})


def test_arrays_of_the_users(tmp_path: Path) -> None:
    X, y = np.random.default_rng(0).normal(size=(40, 3, 5, 5)), np.arange(40) % 4
    np.savez(tmp_path / "mine.npz", X=X, y=y, place=np.array(list("ab") * 20), bad=np.zeros((40, 2)))
    path = str(tmp_path / "mine.npz")
    dataset = problem.load(path, {"domain": "place"})
    assert dataset.shape == (3, 5, 5)
    assert dataset.content.domain_names == ("a", "b")
    with pytest.raises(ReplicaError, match="but no 'where'"):
        problem.load(path, {"domain": "where"})
    with pytest.raises(ReplicaError, match="'bad' has shape"):
        problem.load(path, {"domain": "bad"})
    np.savez(tmp_path / "rows.npz", X=X.reshape(40, -1), y=y, place=y // 2)
    assert problem.load(str(tmp_path / "rows.npz"), {"domain": "place"}).content.domain_names == ("0", "1")


# --- baselines in the problem --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("baseline", problem.baselines(), ids=lambda baseline: baseline.name)
def test_baselines_repeat_and_leave_the_global_generator_alone(baseline: Any) -> None:
    dataset = told_apart(shape=(8, 8))
    timed = {"learn_seconds"}
    for options in ({"setting": "class"}, {"setting": "task"}, {"setting": "domain", "boundaries": "untold"}):
        given = problem.resolve({"tasks": 3} | options)
        if any(given[name] not in values for name, values in baseline.needs.items()):
            continue
        found = []
        for seed in (3, 3, 4):
            torch.manual_seed(0)
            state = torch.random.get_rng_state()
            outcome = problem.run(Trial(seed, "smoke"), baseline.make, dataset, given, examples=True)
            assert torch.equal(torch.random.get_rng_state(), state)
            found.append({name: float(value) for name, value in outcome.metrics.items() if name not in timed})
        assert found[0] == found[1]
        assert list(outcome.metrics) == [metric.name for metric in problem.metrics_for(given)]
        assert all(np.isfinite(list(found[0].values())))


def test_baselines_stand_where_the_field_has_them() -> None:
    """On three pairs of digits: joint training is best, replay and frozen features help, fine-tuning forgets."""
    dataset = problem.load("digits", {})
    rows = np.flatnonzero(dataset.content.labelled.labels < 6)
    labelled = dataset.content.labelled
    few = Labelled(labelled.features[rows], labelled.labels[rows], labelled.classes[:6])
    few_digits = Dataset("few", "", StreamContent(few), "few", (8, 8))
    options = problem.resolve({"tasks": 3, "train": 60, "checks": 1})
    final = {
        baseline.name: float(problem.run(Trial(7), baseline.make, few_digits, options).metrics["final_accuracy"])
        for baseline in problem.baselines()
    }
    assert final["majority"] < 0.2
    assert final["fine-tuning"] < 0.45
    assert final["joint"] > 0.95
    for better in ("joint", "replay", "nearest-class-mean"):
        assert final[better] > 0.85 > final["fine-tuning"]
    assert final["linear-probe"] > final["fine-tuning"]


# --- examples and the picture --------------------------------------------------------------------------------------------


def test_examples_are_plain() -> None:
    course = json.loads(json.dumps(run(Forgets, told_apart(), examples=True).examples))
    assert set(course) == {"at", "accuracy", "ends", "matrix"}
    assert course["accuracy"][0] == 1
    assert course["accuracy"][-1] == pytest.approx(1 / 3, abs=1e-3)
    assert not run(Forgets, told_apart()).examples


@pytest.mark.parametrize(("methods", "size"), [(3, (7.0, 3.5)), (9, (12.0, 4.6)), (16, (9.0, 4.0))])
@pytest.mark.parametrize("sweep", [None, ("tasks", (2, 3, 5))], ids=["ranking", "sweep"])
def test_the_picture(methods: int, size: tuple[float, float], sweep: Any) -> None:
    course = dict(run(Forgets, told_apart(), examples=True).examples)
    listed = ["mine", "joint", "fine-tuning", *(f"a-method-called-{i}" for i in range(methods - 3))]
    rng = np.random.default_rng(0)
    curves = pd.DataFrame(
        [
            {"method": name, "value": value, "metric": "final_accuracy", "mean": m, "low": 0.9 * m, "high": 1.05 * m}
            for name, value in itertools.product(listed, sweep[1] if sweep else [None])
            for m in [rng.uniform(0.1, 0.9)]
        ]
    )
    comparison = SimpleNamespace(
        sweep=sweep, curves=curves, rows=[{"method": name} for name in listed], examples=dict.fromkeys(listed, course),
        dataset=told_apart(), options={},
    )  # fmt: skip
    figure = Figure(figsize=size)
    FigureCanvasAgg(figure)
    with mpl.rc_context({"text.color": "#ffeedd"}):
        problem.draw(figure, comparison)
    figure.canvas.draw()
    _, right = figure.axes
    assert "Accuracy on the tasks so far" in right.get_ylabel()
    names = [text for text in right.texts if text.get_text() in listed]
    assert len(names) == min(methods, 12)
    assert "mine" in {text.get_text() for text in names}, "methods of papers and users go first"
    boxes = sorted((text.get_window_extent() for text in names), key=lambda box: box.y0)
    assert boxes[-1].x1 <= figure.bbox.x1 + 1
    for below, above in itertools.pairwise(boxes):
        assert above.y0 >= below.y0 + 0.5 * below.height
    comparison.examples = {}
    figure = Figure(figsize=size)
    problem.draw(figure, comparison)
    assert len(figure.axes) == 1
