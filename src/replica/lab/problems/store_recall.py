"""A base of problems: a method stores things, and is then asked for them by what is left of them."""

from __future__ import annotations

import statistics
from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from replica.lab.claims import Trial

from .footprint import kept_bytes
from .problem import Dataset, Measured, Options, Problem, Split, Start
from .protocol import real_array, timed

_WARM_UP_CUES = 2
_SHORT_SECONDS = 0.02
_REPEATS = 5


@dataclass(frozen=True)
class Recalled:
    """One trial of a memory.

    Args:
        stored: What was stored, shape ``(stored, dim)``.
        targets: For each cue the row of its original, shape ``(cues,)``.
        cues: What was asked by, shape ``(cues, dim)``.
        recalled: What came back, shape ``(cues, dim)``.
        seconds: Wall seconds a cue.
        kept: Bytes that the method keeps after storing.
    """

    stored: NDArray[np.float32]
    targets: NDArray[np.intp]
    cues: NDArray[np.float32]
    recalled: NDArray[np.float32]
    seconds: float
    kept: int


class StoreRecall(Problem):
    """Problems with ``store`` and ``recall``: a subclass draws what is stored and the cues, and scores what came back."""

    def measure(self, trial: Trial, start: Start, dataset: Dataset, options: Options, split: Split) -> Measured:
        """See `Problem.measure`: one batched call after a warm-up call counts; a short call's time is the median of five."""
        import torch

        stored, targets, cues = self.cues(trial, dataset, options, split)
        method = start()

        def recall(asked: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
            given = torch.tensor(asked, device=trial.device)  # a copy: a method may write into what it is given
            output, seconds = timed(trial, lambda: method.recall(given))
            name = f"{type(method).__name__}.recall"
            place = lambda index: f"cue {index[0]}, entry {index[1]}"  # noqa: E731
            return real_array(name, output, asked.shape, ", like its cues", place), seconds

        method.store(torch.tensor(stored, device=trial.device))
        recall(cues[:_WARM_UP_CUES])
        kept = kept_bytes(method)
        recalled, seconds = recall(cues)
        if seconds < _SHORT_SECONDS:
            seconds = statistics.median([seconds, *(recall(cues)[1] for _ in range(_REPEATS - 1))])
        return self.score(Recalled(stored, targets, cues, recalled, seconds / len(cues), kept), options)

    @abstractmethod
    def cues(
        self, trial: Trial, dataset: Dataset, options: Options, split: Split
    ) -> tuple[NDArray[np.float32], NDArray[np.intp], NDArray[np.float32]]:
        """What is stored, for each cue the row of its original, and the cues; for validation other ones than for the test."""

    @abstractmethod
    def score(self, found: Recalled, options: Options) -> Measured:
        """Measure what came back."""
