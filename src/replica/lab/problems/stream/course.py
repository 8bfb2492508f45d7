"""One method's way through one stream: what it is given and when, when it is asked, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from replica.lab.claims import Proportion, Trial
from replica.lab.problems.footprint import kept_bytes
from replica.lab.problems.problem import Value
from replica.lab.problems.step_by_step import Clock, StepByStep
from replica.lab.problems.stream import metrics as stream_metrics
from replica.lab.problems.stream.info import Setting, StreamInfo
from replica.lab.problems.stream.plan import Part, Stream

if TYPE_CHECKING:
    from torch import Tensor

_ITEMS_AT_ONCE = 1000


@dataclass
class Course:
    """One method on its way through one stream."""

    problem: StepByStep
    trial: Trial
    method: Any
    stream: Stream
    options: Mapping[str, Value]
    steps: int = 0
    correct: list[NDArray[np.int64]] = field(default_factory=list)
    """For each evaluation how many test items of each task are predicted right; 0 for tasks to come."""
    at: list[int] = field(default_factory=list)
    """After how many minibatches."""
    learned: list[int] = field(default_factory=list)
    """For each task the evaluation at its end."""
    before: list[tuple[float, float]] = field(default_factory=list)
    """For each task from the second on the accuracy just before it begins, and that of a blind guess."""

    def __post_init__(self) -> None:
        self.clock = Clock(self.trial)
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

    def go(self) -> None:
        """Feed the whole stream, evaluating on the way."""
        _import_optimisers()
        self.clock.hook(self.method, "start", self.info)
        if self.stream.pretraining is not None:
            inputs, labels = self._tensors(self.stream.pretraining)
            self.clock.hook(self.method, "pretrain", inputs, labels if self.stream.labelled else None)
        rng = self.trial.rng("minibatches")
        for k, task in enumerate(self.stream.tasks):
            part, given = task.learned, k if self.told else None
            if self.told:
                self.clock.hook(self.method, "begin_task", k, *self._tensors(part))
            size = -(-len(part) // int(self.options["batch"]))
            batches = [rows for _ in range(self.epochs) for rows in np.array_split(rng.permutation(len(part)), size)]
            marks = self._marks(len(batches))
            for step, rows in enumerate(batches, start=1):
                self.clock.call(self.method.learn, *self._tensors(part, rows), given)
                self.steps += 1
                if step in marks:
                    self._evaluate(k)
            if self.told:
                self.clock.hook(self.method, "end_task", k, *self._tensors(part))
            self._evaluate(k)
            self.learned.append(len(self.correct) - 1)
            if self.setting == "domain" and k + 1 < len(self.stream.tasks):
                self.before.append(self._ahead(k + 1))

    def _marks(self, steps: int) -> set[int]:
        """After which minibatches of a task to evaluate; the last is evaluated in any case."""
        checks = int(self.options["checks"])
        return {round(steps * i / checks) for i in range(1, checks)} - {steps} if checks else set(range(1, steps))

    def _tensors(self, part: Part, rows: NDArray[np.intp] | slice = slice(None)) -> tuple[Tensor, Tensor]:
        import torch

        inputs, labels = torch.from_numpy(part.inputs[rows]), torch.from_numpy(part.labels[rows])
        return inputs.to(self.trial.device), labels.to(self.trial.device)

    def _evaluate(self, last: int) -> None:
        """Count the test items that are right in each task up to this one."""
        tasks = self.stream.tasks
        correct = np.zeros(len(tasks), np.int64)
        if self.setting == "task":
            for j in range(last + 1):
                rows = np.flatnonzero(self.test_task == j)
                correct[j] = self._correct(rows, j, list(tasks[j].classes)).sum()
        else:
            rows = self.mixing[self.test_task[self.mixing] <= last]
            correct += np.bincount(
                self.test_task[rows[self._correct(rows, None, self._seen(last))]], minlength=len(tasks)
            )
        self.correct.append(correct)
        self.at.append(self.steps)

    def _ahead(self, task: int) -> tuple[float, float]:
        """The accuracy on a task to come, and that of a blind guess among the classes seen so far."""
        rows = np.flatnonzero(self.test_task == task)
        seen = self._seen(task - 1)
        chance = float(np.isin(self.test_labels[rows], seen).mean()) / len(seen)
        return float(self._correct(rows, None, seen).mean()), chance

    def _seen(self, last: int) -> list[int]:
        return sorted({label for task in self.stream.tasks[: last + 1] for label in task.classes})

    def _correct(self, rows: NDArray[np.intp], task: int | None, among: list[int]) -> NDArray[np.bool_]:
        """Which of these test items get their label, where the greatest score among some classes wins."""
        import torch

        found = []
        for part in np.array_split(rows, max(1, -(-len(rows) // _ITEMS_AT_ONCE))):
            inputs = torch.tensor(self.test_inputs[part], device=self.trial.device)
            scores = self.problem.scores(self.method, inputs, self.stream.classes, task)
            found.append(np.asarray(among)[scores[:, among].argmax(axis=1)])
        correct: NDArray[np.bool_] = np.concatenate(found) == self.test_labels[rows]
        return correct

    def measured(self) -> dict[str, float | Proportion]:
        """The metrics, of the whole way."""
        accuracy = np.array(self.correct) / self.total
        ends = np.array(self.learned)
        found: dict[str, float | Proportion] = {
            "final_accuracy": Proportion(int(self.correct[-1].sum()), int(self.total.sum())),
            "average_accuracy": stream_metrics.average_accuracy(np.array(self.correct)[ends], self.total),
            "forgetting": stream_metrics.forgetting(accuracy[ends]),
            "worst_accuracy": stream_metrics.worst_accuracy(accuracy, ends),
            "backward_transfer": stream_metrics.backward_transfer(accuracy[ends]),
            "memory_bytes": float(kept_bytes(self.method)),
            "learn_seconds": sum(self.clock.seconds),
        }
        if self.before:
            found["forward_transfer"] = stream_metrics.forward_transfer(*np.array(self.before).T)
        return found

    def shown(self) -> dict[str, Any]:
        """What the picture shows: accuracy along the stream, where tasks end, and R."""
        correct, ends = np.array(self.correct), np.array(self.learned)
        so_far = np.searchsorted(ends, np.arange(len(correct)))
        seen = np.cumsum(self.total)[so_far]
        return {
            "at": [round(step / self.steps, 5) for step in self.at],
            "accuracy": [round(float(share), 4) for share in correct.sum(axis=1) / seen],
            "ends": [round(self.at[end] / self.steps, 5) for end in ends],
            "matrix": [[round(float(value), 4) for value in row] for row in correct[ends] / self.total],
        }


def _import_optimisers() -> None:
    """Take the first step of PyTorch's first optimiser in a process, which imports much: no method's own time."""
    import torch

    weight = torch.nn.Parameter(torch.zeros(1))
    weight.grad = torch.zeros(1)
    torch.optim.Adam([weight]).step()
