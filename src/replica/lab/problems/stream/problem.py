"""The problem stream: which learner keeps what it learned while new classes, domains or tasks arrive?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from replica.data import LABELLED_FORMATS
from replica.lab.claims import Proportion, Trial
from replica.lab.problems.footprint import kept_bytes
from replica.lab.problems.problem import Dataset, Metric, Option, Outcome, Problem, Split, Value, Watch
from replica.lab.problems.protocol import check_protocol, real_array, timed
from replica.lab.problems.stream import data as stream_data, metrics as stream_metrics
from replica.lab.problems.stream.info import Setting, StreamInfo
from replica.lab.problems.stream.shifts import SHIFTS

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

    from replica.lab.problems.stream.data import Part, Stream as TrialStream

_FINAL = Metric("final_accuracy", "share of items", "higher", "Final accuracy, all tasks")
_AVERAGE = Metric("average_accuracy", "share of items", "higher", "Average accuracy along the stream")
_FORGETTING = Metric("forgetting", "share of items", "lower", "Forgetting")
_WORST = Metric("worst_accuracy", "share of items", "higher", "Worst accuracy since learned")
_BACKWARD = Metric("backward_transfer", "share of items", "higher", "Backward transfer")
_FORWARD = Metric("forward_transfer", "share of items", "higher", "Forward transfer")
_BYTES = Metric("memory_bytes", "bytes", "lower", "Memory kept")
_SECONDS = Metric("learn_seconds", "s", "lower", "Learning time")

_ITEMS_AT_ONCE = 1000
_HOOKS = ("start", "pretrain", "begin_task", "end_task")


class Stream(Problem):
    """Learn tasks one after another, none of which comes back, and still know the first ones at the end.

    **The stream.** A trial cuts the data into ``tasks``. In the setting ``class`` each task brings new classes, in random
    order, and an item may be of any class seen so far. In the setting ``task`` it is the same stream, but the method is told
    the task of every item, and only that task's classes count. In the setting ``domain`` all classes come in every task, each
    time seen differently (``shift``); with data of your own, ``--domain COLUMN`` names what parts the rows into tasks, in the
    order of its values. The problem feeds minibatches of at most ``batch`` items, ``epochs`` passes over one task and then
    over the next; nothing but the method itself can bring an old item back. All methods get the same minibatches with the same
    seed. Items are float32 tensors on the trial's device, standardised as `classification_data.prepare` tells by pretraining
    items, or by the first task's where there are none; labels are int64, classes numbered as they appear.

    **Before it.** ``pretrain`` gives a fifth of the items that are not tested without their labels (``unlabelled``), or the
    labelled items of half of the classes, which then never appear in the stream (``classes``; half of the alphabets of
    Omniglot), or nothing (``none``). They take no part in learning and tests.

    **What a method may have besides** `learn` and `predict`, each called where it is there:

    - ``start(info: StreamInfo) -> None``: before anything else.
    - ``pretrain(inputs, labels) -> None``: once, unless ``pretrain`` is none; labels from 0 in their own numbering, or None.
    - ``begin_task(task, inputs, labels) -> None`` and ``end_task(task, inputs, labels) -> None``: with all that the task
      lets learn, before its first and after its last minibatch. With ``--boundaries untold`` neither is called, and `learn` is
      given None for the task.

    `predict` gives a score for each class of the whole stream, −∞ for what it does not know; the greatest wins among the classes
    seen so far (in the setting ``task``: among those of the item's task, whose number it is given; else it is given None). It
    may be called after any minibatch: ``checks`` times within each task, after every minibatch where that is 0.

    **What is measured**, on test items, with the formulas of `stream_metrics`:

    - ``final_accuracy``: the share of all tasks' items right after the last task.
    - ``average_accuracy``: the mean over tasks of that share for the tasks so far.
    - ``forgetting``: how far the accuracy on a task lies below its best at the end, mean over all tasks but the last.
    - ``worst_accuracy``: the least accuracy on a task since it was learned, within later tasks too, mean likewise (min-ACC).
    - ``backward_transfer``: the accuracy on a task at the end minus that when it was learned, mean likewise.
    - ``forward_transfer``: the accuracy on a task before it is learned minus that of a blind guess; in the setting ``domain``.
    - ``memory_bytes``: all that the method keeps after the stream: networks, optimiser states, stored items (see `kept_bytes`).
    - ``learn_seconds``: wall-clock seconds of all calls but `predict`, pretraining included.

    For validation (``--tune``) a fifth of the items to learn from takes the place of the test items, which are not read. At smoke
    scale there are at most 3 tasks, 10 classes, 10 items a class to learn and 4 to test, and one epoch.
    """

    name = "stream"
    question = "Which learner keeps what it learned while new classes, domains or tasks arrive?"
    protocol = (
        'learn(inputs: Float[Tensor, "batch *shape"], labels: Int[Tensor, " batch"], task: int | None) -> None',
        'predict(inputs: Float[Tensor, "batch *shape"], task: int | None) -> Float[Tensor, "batch classes"]',
    )
    metrics = (_FINAL, _AVERAGE, _FORGETTING, _WORST, _BACKWARD, _FORWARD, _BYTES, _SECONDS)
    options = (
        Option(
            "setting",
            "class",
            "each task brings new classes; the same with the task known; or all classes seen differently",
            choices=("class", "task", "domain"),
        ),
        Option("tasks", 5, "tasks, one after another (with --domain as many as the column names)", minimum=2),
        Option(
            "first",
            0.0,
            "classes of a larger first task: their number, or below 1 their share; 0 for equal tasks",
            minimum=0,
        ),
        Option("boundaries", "told", "whether a method is told where tasks begin and end", choices=("told", "untold")),
        Option("epochs", 5, "passes over each task's items before the next task", minimum=1),
        Option("batch", 32, "items a minibatch at most", minimum=1),
        Option("train", 0, "items a class to learn from at most; 0 for all that are left", minimum=0),
        Option("test", 0.25, "share of items to test", minimum=0.01, maximum=0.95),
        Option("shift", "rotation", "what changes from domain to domain", choices=SHIFTS),
        Option(
            "pretrain",
            "unlabelled",
            "items that come before the stream: some without labels, classes of their own with labels, or none",
            choices=("unlabelled", "classes", "none"),
        ),
        Option("checks", 5, "evaluations within each task; 0 for one after every minibatch", minimum=0),
        Option("target", "", "the column that holds the labels, where the data are your own table"),
        Option("domain", "", "the column (or array of an .npz file) that names the tasks, where the data are your own"),
    )
    default_data = "digits"
    data_names: ClassVar[Mapping[str, str]] = stream_data.NAMED
    data_formats = LABELLED_FORMATS
    data_options = ("target", "domain")

    def metrics_for(self, options: Mapping[str, Value]) -> tuple[Metric, ...]:
        """The metrics under these options: before its classes were seen, no task can be known in the other settings."""
        return tuple(metric for metric in self.metrics if metric is not _FORWARD or options["setting"] == "domain")

    def load(self, source: str, options: Mapping[str, Value]) -> Dataset:
        """Read a named data set, or the user's table, arrays or folder of images.

        Raises:
            ReplicaError: In one line, what is wrong with it and what is wanted.
        """
        return stream_data.load(source, str(options.get("target", "")), str(options.get("domain", "")))

    def check(self, dataset: Dataset, options: Mapping[str, Value]) -> None:
        """See that the data can be cut into these tasks.

        Raises:
            ReplicaError: If not, with what would fit.
        """
        from replica.lab.problems.stream.check import check

        check(dataset, options)

    def check_validation(self, dataset: Dataset, options: Mapping[str, Value]) -> None:
        """See that every task leaves an item to learn when one in five is held out.

        Raises:
            ReplicaError: If one does not.
        """
        from replica.lab.problems.stream.check import check_validation

        check_validation(dataset, options)

    def run(
        self,
        trial: Trial,
        make: Callable[[Trial], Any],
        dataset: Dataset,
        options: Mapping[str, Value],
        *,
        examples: bool = False,
        split: Split = "test",
        watch: Watch | None = None,
    ) -> Outcome:
        """Lead the method through one stream and measure it; see the class for the protocol and the measures.

        ``watch`` hears after each task the share of all tasks' items that are right, those of later tasks counting as wrong.

        Raises:
            ReplicaError: If the method breaks the protocol: a part missing, or an output of the wrong form. What the
                method itself raises passes through.
        """
        self.check(dataset, options)
        if split == "validation":
            self.check_validation(dataset, options)
        stream = stream_data.build(dataset.content, options, trial, split)
        method = make(trial)
        check_protocol(
            method,
            ("learn", "predict"),
            "an entry for stream has learn(inputs, labels, task) and predict(inputs, task), which gives a score for each class",
        )
        journey = _Journey(trial, method, stream, options)
        journey.go(watch)
        metrics = journey.measured(self.metrics_for(options))
        return Outcome(metrics, journey.course() if examples else {})

    def draw(self, figure: Figure, comparison: Any) -> None:
        """Draw the ranking metric and, beside it, the accuracy on all tasks so far along the stream."""
        from replica.lab.problems.stream.figure import draw

        draw(
            figure,
            comparison,
            metric=self.metrics[0],
            baselines=frozenset(baseline.name for baseline in self.baselines()),
        )


@dataclass
class _Journey:
    """One method on its way through one stream."""

    trial: Trial
    method: Any
    stream: TrialStream
    options: Mapping[str, Value]
    seconds: float = 0.0
    steps: int = 0
    right: list[NDArray[np.int64]] = field(default_factory=list)
    """For each evaluation how many test items of each task are right; 0 for tasks to come."""
    at: list[int] = field(default_factory=list)
    """After how many minibatches."""
    learned: list[int] = field(default_factory=list)
    """For each task the evaluation at its end."""
    before: list[tuple[float, float]] = field(default_factory=list)
    """For each task from the second on the accuracy just before it begins, and that of a blind guess."""

    def __post_init__(self) -> None:
        self.setting = cast(Setting, self.options["setting"])
        self.told = self.options["boundaries"] == "told"
        self.epochs = 1 if self.trial.scale == "smoke" else int(self.options["epochs"])
        self.total = np.array([len(task.tested) for task in self.stream.tasks])
        tests = [task.tested for task in self.stream.tasks]
        # Tests come mixed, so that no method sees from its batch which task an item is of.
        self.mixing = self.trial.rng("mixing").permutation(int(self.total.sum()))
        self.test_inputs = np.concatenate([part.inputs for part in tests])
        self.test_labels = np.concatenate([part.labels for part in tests])
        self.test_task = np.repeat(np.arange(len(tests)), self.total)

    @property
    def info(self) -> StreamInfo:
        """What the method is told at the start."""
        tasks = self.stream.tasks
        return StreamInfo(
            shape=tuple(self.test_inputs.shape[1:]),
            classes=self.stream.classes,
            setting=self.setting,
            tasks=len(tasks) if self.told else None,
            task_classes=tuple(task.classes for task in tasks) if self.told else None,
            epochs=self.epochs,
            batch=int(self.options["batch"]),
            device=self.trial.device,
        )

    def go(self, watch: Watch | None) -> None:
        """Feed the whole stream, evaluating on the way."""
        _import_optimisers()
        self._call("start", self.info)
        if self.stream.pretraining is not None:
            inputs, labels = self._tensors(self.stream.pretraining)
            self._call("pretrain", inputs, labels if self.stream.labelled else None)
        rng = self.trial.rng("minibatches")
        for k, task in enumerate(self.stream.tasks):
            part, given = task.learned, k if self.told else None
            if self.told:
                self._call("begin_task", k, *self._tensors(part))
            size = -(-len(part) // int(self.options["batch"]))
            batches = [rows for _ in range(self.epochs) for rows in np.array_split(rng.permutation(len(part)), size)]
            marks = self._marks(len(batches))
            for step, rows in enumerate(batches, start=1):
                inputs, labels = self._tensors(part, rows)
                self._timed(lambda a=inputs, b=labels, c=given: self.method.learn(a, b, c))  # type: ignore[misc]
                self.steps += 1
                if step in marks:
                    self._evaluate(k)
            if self.told:
                self._call("end_task", k, *self._tensors(part))
            self._evaluate(k)
            self.learned.append(len(self.right) - 1)
            if self.setting == "domain" and k + 1 < len(self.stream.tasks):
                self.before.append(self._ahead(k + 1))
            if watch is not None:
                watch(k + 1, float(self.right[-1].sum() / self.total.sum()))

    def _marks(self, steps: int) -> set[int]:
        """After which minibatches of a task to evaluate; the last is evaluated in any case."""
        checks = int(self.options["checks"])
        return {round(steps * i / checks) for i in range(1, checks)} - {steps} if checks else set(range(1, steps))

    def _call(self, hook: str, *arguments: Any) -> None:
        call = getattr(self.method, hook, None)
        if callable(call):
            self._timed(lambda: call(*arguments))

    def _timed(self, call: Callable[[], Any]) -> None:
        self.seconds += timed(self.trial, call)[1]

    def _tensors(self, part: Part, rows: NDArray[np.intp] | slice = slice(None)) -> tuple[Tensor, Tensor]:
        """Copies: a method may keep them, and write into what it is given."""
        import torch

        device = self.trial.device
        return torch.tensor(part.inputs[rows], device=device), torch.tensor(part.labels[rows], device=device)

    def _evaluate(self, last: int) -> None:
        """Count the test items that are right in each task up to this one."""
        tasks = self.stream.tasks
        right = np.zeros(len(tasks), np.int64)
        if self.setting == "task":
            for j in range(last + 1):
                rows = np.flatnonzero(self.test_task == j)
                right[j] = self._right(rows, j, list(tasks[j].classes)).sum()
        else:
            rows = self.mixing[self.test_task[self.mixing] <= last]
            right += np.bincount(self.test_task[rows[self._right(rows, None, self._seen(last))]], minlength=len(tasks))
        self.right.append(right)
        self.at.append(self.steps)

    def _ahead(self, task: int) -> tuple[float, float]:
        """The accuracy on a task to come, and that of a blind guess among the classes seen so far."""
        rows = np.flatnonzero(self.test_task == task)
        seen = self._seen(task - 1)
        chance = float(np.isin(self.test_labels[rows], seen).mean()) / len(seen)
        return float(self._right(rows, None, seen).mean()), chance

    def _seen(self, last: int) -> list[int]:
        return sorted({label for task in self.stream.tasks[: last + 1] for label in task.classes})

    def _right(self, rows: NDArray[np.intp], task: int | None, among: list[int]) -> NDArray[np.bool_]:
        """Which of these test items get their label, where the greatest score among some classes wins."""
        found = []
        for part in np.array_split(rows, max(1, -(-len(rows) // _ITEMS_AT_ONCE))):
            scores = self._scores(self.test_inputs[part], task)
            found.append(np.asarray(among)[scores[:, among].argmax(axis=1)])
        right: NDArray[np.bool_] = np.concatenate(found) == self.test_labels[rows]
        return right

    def _scores(self, inputs: NDArray[np.float32], task: int | None) -> NDArray[np.float32]:
        """Check what ``predict`` gave back and bring it to NumPy; see `real_array`."""
        import torch

        output = self.method.predict(torch.tensor(inputs, device=self.trial.device), task)
        # A class that a method does not know: the least finite score loses against any other.
        if isinstance(output, torch.Tensor) and output.is_floating_point():
            output = output.detach().float().clamp_min(torch.finfo(torch.float32).min)
        elif isinstance(output, np.ndarray) and output.dtype.kind == "f":
            output = np.maximum(output, np.finfo(np.float32).min)
        return real_array(
            f"{type(self.method).__name__}.predict",
            output,
            (len(inputs), self.stream.classes),
            ": items, all classes of the stream",
            lambda index: f"item {index[0]}, class {index[1]}",
        )

    def measured(self, metrics: Sequence[Metric]) -> dict[str, float | Proportion]:
        """The metrics, of the whole way."""
        accuracy = np.array(self.right) / self.total
        ends = np.array(self.learned)
        found: dict[str, float | Proportion] = {
            "final_accuracy": Proportion(int(self.right[-1].sum()), int(self.total.sum())),
            "average_accuracy": stream_metrics.average_accuracy(np.array(self.right)[ends], self.total),
            "forgetting": stream_metrics.forgetting(accuracy[ends]),
            "worst_accuracy": stream_metrics.worst_accuracy(accuracy, ends),
            "backward_transfer": stream_metrics.backward_transfer(accuracy[ends]),
            "memory_bytes": float(kept_bytes(self.method)),
            "learn_seconds": self.seconds,
        }
        if self.before:
            found["forward_transfer"] = stream_metrics.forward_transfer(*np.array(self.before).T)
        return {metric.name: found[metric.name] for metric in metrics}

    def course(self) -> dict[str, Any]:
        """What the picture shows: accuracy along the stream, where tasks end, and R."""
        right, ends = np.array(self.right), np.array(self.learned)
        so_far = np.searchsorted(ends, np.arange(len(right)))
        seen = np.cumsum(self.total)[so_far]
        return {
            "at": [round(step / self.steps, 5) for step in self.at],
            "accuracy": [round(float(share), 4) for share in right.sum(axis=1) / seen],
            "ends": [round(self.at[end] / self.steps, 5) for end in ends],
            "matrix": [[round(float(value), 4) for value in row] for row in right[ends] / self.total],
        }


def _import_optimisers() -> None:
    """Take the first step of PyTorch's first optimiser in a process, which imports much: no method's own time."""
    import torch

    weight = torch.nn.Parameter(torch.zeros(1))
    weight.grad = torch.zeros(1)
    torch.optim.Adam([weight]).step()
