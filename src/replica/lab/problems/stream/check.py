"""Whether data can be cut into a stream as the options say, told before anything runs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from replica.errors import ReplicaError
from replica.lab.claims import Trial
from replica.lab.problems.problem import Dataset, Value
from replica.lab.problems.stream.data import StreamContent
from replica.lab.problems.stream.plan import plan, task_classes


def check(dataset: Dataset, options: Mapping[str, Value]) -> None:
    """See that boundaries, shift, tasks and classes go together, and that every task has items to learn and to test."""
    from replica.training import image_shape

    content: StreamContent = dataset.content
    setting, named = options["setting"], content.domains is not None
    if setting == "task" and options["boundaries"] == "untold":
        raise ReplicaError("Option boundaries is untold, but setting task tells them; give --setting class or domain.")
    if float(options["first"]) and (named or setting == "domain"):
        raise ReplicaError("Option first makes a larger task of classes; leave it out where domains make the tasks.")
    if setting == "domain" and not named and options["shift"] == "rotation" and image_shape(dataset.shape) is None:
        raise ReplicaError(
            f"Option shift is rotation, but {dataset.name} holds no images; give --shift permutation or --shift contrast, "
            "or --domain COLUMN for domains of your own."
        )
    classes = _stream_classes(content, options)
    if classes < 2:
        raise ReplicaError(
            f"Option pretrain is classes, which leaves {classes} of {dataset.name}'s {len(content.labelled.classes)} classes "
            "to the stream, and 2 are wanted; give --pretrain unlabelled or none."
        )
    if not named and setting != "domain":
        _check_classes(dataset, options, classes)
    _check_items(dataset, options, "test")


def check_validation(dataset: Dataset, options: Mapping[str, Value]) -> None:
    """See that every task has an item to learn and one to hold out."""
    _check_items(dataset, options, "validation")


def _stream_classes(content: StreamContent, options: Mapping[str, Value]) -> int:
    count = len(content.labelled.classes)
    if options["pretrain"] != "classes":
        return count
    if content.families is None:
        return count - count // 2
    # At least this many, whichever families are kept out.
    sizes = np.sort(np.bincount(content.families))
    return int(sizes[: len(sizes) - len(sizes) // 2].sum())


def _check_classes(dataset: Dataset, options: Mapping[str, Value], classes: int) -> None:
    tasks, first, least = int(options["tasks"]), float(options["first"]), 2 if options["setting"] == "task" else 1
    left = f"{dataset.name} leaves {classes} classes to the stream"
    if first >= 1 and first != round(first):
        raise ReplicaError(f"Option first is {first:g}; want a whole number of classes, or a share below 1.")
    sizes = task_classes(classes, tasks, first) if first < classes else [0]
    if min(sizes) >= least:
        return
    each = "two classes a task, or nothing could be confused" if least == 2 else "one class a task"
    if first:
        head = round(first * classes) if first < 1 else round(first)
        raise ReplicaError(
            f"Options tasks {tasks} and first {first:g} want {head} classes and then {tasks - 1} tasks more, but {left}, with at "
            f"least {each}; give fewer --tasks or a smaller --first."
        )
    raise ReplicaError(
        f"Option tasks is {tasks}, but {left}, with at least {each}; give --tasks {classes // least} or less."
    )


def _check_items(dataset: Dataset, options: Mapping[str, Value], split: str) -> None:
    content: StreamContent = dataset.content
    made = plan(content, options, Trial(0), "validation" if split == "validation" else "test")
    for k, (learned, tested) in enumerate(zip(made.learned, made.tested, strict=True)):
        if len(learned) and len(tested):
            continue
        which = f"domain {content.domain_names[k]!r:.60}" if content.domain_names else f"task {k + 1}"
        if split == "validation":
            raise ReplicaError(
                f"Tuning holds items out of those to learn from, but {which} of {dataset.name} has too few; give a larger "
                "--train, a smaller --test, or leave --tune out."
            )
        lacks = "to learn from" if not len(learned) else "to test"
        raise ReplicaError(f"In {dataset.name} {which} has no item {lacks}; wanted 2 or more of one class in each.")
