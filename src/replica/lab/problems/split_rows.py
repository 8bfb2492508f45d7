"""A base of problems in which a trial parts the data into rows to learn from and rows to test."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from replica.lab.claims import Scale, Trial

from .problem import Dataset, Options, Problem, Split

Rows = NDArray[np.intp]


class SplitRows(Problem):
    """Problems that learn from some rows and are tested on others; ``epochs``, where that is an option, passes over the first."""

    smoke_rows: ClassVar[tuple[int, int]] = (100, 100)
    """The most rows to learn from and to test at smoke scale."""
    smoke_epochs: ClassVar[int] = 2
    unit: ClassVar[str] = "rows"
    """What rows are called."""

    @abstractmethod
    def rows(self, trial: Trial, content: Any, options: Options, split: Split) -> tuple[Rows, Rows]:
        """The rows to learn from and to test; in no order of the data's own, so that the first of them are a fair sample."""

    def epochs(self, trial: Trial, options: Options) -> int:
        """Passes over the rows at the trial's scale."""
        asked = int(options["epochs"])
        return min(asked, self.smoke_epochs) if trial.scale == "smoke" else asked

    def used(self, dataset: Dataset, options: Options, scale: Scale) -> Mapping[str, str]:
        """See `Problem.used`: the rows that are learned from and tested, and the passes over them."""
        trial = Trial(0, scale)
        parts = self.rows(trial, dataset.content, options, "test")
        told = {name: f"{len(rows):,} {self.unit}" for name, rows in zip(("train", "test"), parts, strict=True)}
        return told | ({"epochs": str(self.epochs(trial, options))} if "epochs" in options else {})
