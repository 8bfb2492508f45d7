"""Folders of images whose sub-folders are the classes, alone or as ``train`` and ``test``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replica.data.files.images import read_images
from replica.data.files.sources import MEMORY, reading
from replica.data.sets.labelled import Labelled, encode_labels
from replica.data.sets.patterns import check_shape, refuse

_VALIDATION = frozenset({"val", "valid", "validation", "dev"})


def read_image_classes(folder: Path, tested: Any = None, colour: bool = False) -> Labelled:
    """Read images with the names of their folders as labels: a folder for each class, or folders ``train`` and ``test`` of such.

    Those of ``tested``, another such folder, are there to test. All must be of one size.
    """
    import pandas as pd

    below, notes = {part.name.lower(): part for part in _folders(folder)}, []
    if (
        tested is None
        and {"train", "test"} <= set(below) <= {"train", "test", *_VALIDATION}
        and _folders(below["train"])
    ):
        folder, tested = below["train"], below["test"]
        notes.append(f"learned from {folder.name}, tested on {tested.name}")
        notes += [f"left out: {name}" for name in sorted(set(below) & _VALIDATION)]
    if tested is not None and not (isinstance(tested, Path) and tested.is_dir()):
        source = tested if isinstance(tested, Path) else MEMORY
        raise refuse(source, "is no folder", "wanted a folder of images by class, as those to learn from are")
    stacks: list[NDArray[np.float32]] = []
    names: list[str] = []
    done: Counter[str] = Counter()
    learned = 0
    for whole in (folder, *([tested] if tested is not None else [])):
        parts = _folders(whole)
        if len(parts) < (2 if whole == folder else 1):
            many = f"has {len(parts)} folder{'s' * (len(parts) != 1)} in it"
            raise refuse(whole, many, "wanted one folder of images for each class, two or more")
        for part in parts:
            found = read_images(part, colour=colour)
            if stacks and found.values.shape[1:] != stacks[0].shape[1:]:
                here, first = (" × ".join(map(str, stack.shape[1:])) for stack in (found.values, stacks[0]))
                wrong = f"images of {part.name} have {here} pixels, the first {first}"
                raise refuse(whole, wrong, "wanted one size")
            stacks.append((found.values / 255).astype(np.float32))
            names += [part.name] * len(found.values)
            done.update(found.done)
        learned = learned or len(names)
    check_shape(folder, (len(names), *stacks[0].shape[1:]), np.dtype(np.float32), "the stack of images")
    tests = np.arange(len(names)) >= learned if tested is not None else None
    codes, classes, more = encode_labels(folder, pd.Series(names), "the folder", tests)
    rows = np.flatnonzero(codes >= 0)
    told = (*notes, *(f"{count:,} {what}" for what, count in done.items()), *more)
    tests = None if tests is None else tests[rows]
    return Labelled(np.concatenate(stacks)[rows], codes[rows], classes, notes=told, tests=tests)


def _folders(folder: Path) -> list[Path]:
    with reading(folder, "wanted a folder that can be read"):
        return sorted(part for part in folder.iterdir() if part.is_dir() and not part.name.startswith("."))
