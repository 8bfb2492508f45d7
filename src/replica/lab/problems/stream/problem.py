"""The problem stream: which learner keeps what it learned while new classes, domains or tasks arrive?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from replica.errors import ReplicaError
from replica.lab.claims import Scale, Trial
from replica.lab.problems import own_rows
from replica.lab.problems.data_sources import digest
from replica.lab.problems.problem import Dataset, Measured, Metric, Option, Options, Split, Start, rank_by
from replica.lab.problems.step_by_step import StepByStep
from replica.lab.problems.stream.check import check, check_validation
from replica.lab.problems.stream.course import Course
from replica.lab.problems.stream.data import StreamContent, omniglot_stream
from replica.lab.problems.stream.plan import build, plan
from replica.lab.problems.stream.shifts import SHIFTS


class Stream(own_rows.LabelledData, StepByStep):
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
    protocol_note = ", which gives a score for each class"
    row = "item"
    metrics = (
        Metric("final_accuracy", "share of items", "higher", "Final accuracy, all tasks"),
        Metric("average_accuracy", "share of items", "higher", "Average accuracy along the stream"),
        Metric("forgetting", "share of items", "lower", "Forgetting"),
        Metric("worst_accuracy", "share of items", "higher", "Worst accuracy since learned"),
        Metric("backward_transfer", "share of items", "higher", "Backward transfer"),
        Metric("forward_transfer", "share of items", "higher", "Forward transfer",
               when=lambda options: options["setting"] == "domain"),
        Metric("memory_bytes", "bytes", "lower", "Memory kept"),
        Metric("learn_seconds", "s", "lower", "Learning time"),
    )  # fmt: skip
    options = (
        Option("setting", "class", "each task brings new classes; the same with the task known; or all classes seen differently",
               choices=("class", "task", "domain")),
        Option("tasks", 5, "tasks, one after another (with --domain as many as the column names)", minimum=2, label="Tasks"),
        Option("first", 0.0, "classes of a larger first task: their number, or below 1 their share; 0 for equal tasks", minimum=0,
               label="Classes of the first task"),
        Option("boundaries", "told", "whether a method is told where tasks begin and end", choices=("told", "untold")),
        Option("epochs", 5, "passes over each task's items before the next task", minimum=1, label="Epochs (passes over a task)"),
        Option("batch", 32, "items a minibatch at most", minimum=1, label="Items a minibatch"),
        Option("train", 0, "items a class to learn from at most; 0 for all that are left", minimum=0,
               label="Items a class to learn from"),
        Option("test", 0.25, "share of items to test", minimum=0.01, maximum=0.95),
        Option("shift", "rotation", "what changes from domain to domain", choices=SHIFTS),
        Option("pretrain", "unlabelled", "items that come before the stream: some without labels, classes of their own with "
               "labels, or none", choices=("unlabelled", "classes", "none")),
        Option("checks", 5, "evaluations within each task; 0 for one after every minibatch", minimum=0),
        *own_rows.READ,
        own_rows.TEST_DATA,
        Option("domain", "", "the column (or array of an .npz file) that names the tasks, where the data are your own",
               reads="any"),
        rank_by(metrics),
    )  # fmt: skip
    data_names: ClassVar[Mapping[str, str]] = {
        **{name: own_rows.LabelledData.data_names[name] for name in ("digits", "mnist")},
        "omniglot": "4,840 drawings of 242 characters of 8 alphabets, 28 × 28 pixels (Omniglot's small sets, downloaded once)",
    }
    drawn = ()
    grouped_by = "domain"

    def named(self, name: str, seed: int | None, options: Options) -> StreamContent:
        """See `Problem.named`."""
        if name == "omniglot":
            return omniglot_stream(str(options["domain"]))
        if options["domain"]:
            raise ReplicaError(f"Data {name} has no column that names domains; leave --domain out.")
        return StreamContent.of(super().named(name, seed, options))

    def read(self, path: Path, options: Options) -> StreamContent:
        """See `Problem.read`, and `replica.data.read_labelled`."""
        return StreamContent.of(super().read(path, options))

    def size(self, content: StreamContent, options: Options) -> str:
        """See `Problem.size`."""
        return super().size(content.labelled, options)

    def identity(self, content: StreamContent) -> tuple[Any, ...]:
        """See `Problem.identity`."""
        labelled = content.labelled
        parted = [np.zeros(0) if part is None else part for part in (content.families, content.domains)]
        rows = ("", labelled.features, labelled.labels) if content.families is not None else super().identity(labelled)
        return digest(*rows), *parted

    def used(self, dataset: Dataset, options: Options, scale: Scale) -> Mapping[str, str]:
        """See `Problem.used`."""
        made = plan(dataset.content, options, Trial(0, scale), "test")
        train, test = (f"{sum(map(len, parts)):,} items in all tasks" for parts in (made.learned, made.tested))
        epochs = 1 if scale == "smoke" else options["epochs"]
        return {"tasks": str(len(made.learned)), "epochs": str(epochs), "train": train, "test": test}

    def check(self, dataset: Dataset, options: Options) -> None:
        """See that the data can be cut into these tasks."""
        check(dataset, options)

    def check_validation(self, dataset: Dataset, options: Options) -> None:
        """See that every task leaves an item to learn when one in five is held out."""
        check_validation(dataset, options)

    def measure(self, trial: Trial, start: Start, dataset: Dataset, options: Options, split: Split) -> Measured:
        """Lead the method through one stream and measure it; see the class for the protocol and the measures."""
        stream = build(dataset.content, options, trial, split)
        course = Course(self, trial, start(), stream, options)
        course.go()
        found = course.measured()
        return {metric.name: found[metric.name] for metric in self.metrics_for(options)}, course.shown
