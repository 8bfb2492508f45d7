"""A base of problems: a method learns from examples at once, and is then asked about others."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from replica.lab.claims import Trial

from .problem import Dataset, Measured, Options, Split, Start
from .protocol import copied, takes, timed
from .split_rows import Rows, SplitRows

__all__ = ["FitPredict", "Measured", "Rows", "Sample"]


@dataclass(frozen=True)
class Sample:
    """What one trial learns from and is asked about, in the form in which a method is given it, made for this trial.

    Args:
        train: The rows that are learned from.
        test: The rows that are asked about.
        inputs: Examples to learn from; the method may write into them.
        targets: What belongs to them; given as a copy.
        queries: Inputs to be asked about; give copies.
        keywords: What ``fit`` is told besides, where it takes it.
    """

    train: Rows
    test: Rows
    inputs: Any
    targets: Any
    queries: Any
    keywords: Mapping[str, Any] = field(default_factory=dict)


class FitPredict(SplitRows):
    """Problems with ``fit`` and ``predict``: a subclass draws a trial's rows, makes a `Sample` of them, and scores the method."""

    def measure(self, trial: Trial, start: Start, dataset: Dataset, options: Options, split: Split) -> Measured:
        """See `Problem.measure`."""
        train, test = self.rows(trial, dataset.content, options, split)
        sample = self.sample(trial, dataset.content, options, train, test)
        method = start()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as a net that has not converged: its score tells
            inputs, targets, keywords = sample.inputs, copied(sample.targets), takes(method.fit, sample.keywords)
            fitted, seconds = timed(trial, lambda: method.fit(inputs, targets, **keywords))
            if all(callable(getattr(fitted, signature.split("(")[0], None)) for signature in self.protocol):
                method = fitted
            return self.score(trial, method, sample, dataset, options, seconds)

    @abstractmethod
    def sample(self, trial: Trial, content: Any, options: Options, train: Rows, test: Rows) -> Sample:
        """Turn rows into what a method is given."""

    @abstractmethod
    def score(
        self, trial: Trial, method: Any, sample: Sample, dataset: Dataset, options: Options, fit_seconds: float
    ) -> Measured:
        """Ask the fitted method and measure it."""
