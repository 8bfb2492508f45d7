"""The problem events: which network reads events in time best?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from replica import data
from replica.data.files.events import STEPS
from replica.lab.claims import Proportion, Trial
from replica.lab.problems.events.operations import cost_of_inference
from replica.lab.problems.fit_predict import FitPredict, Measured, Rows, Sample
from replica.lab.problems.footprint import parameter_count
from replica.lab.problems.labelled_rows import LabelledRows, labelled_options
from replica.lab.problems.problem import Dataset, Metric, Option, Options
from replica.lab.problems.protocol import real_array

_MAKE: Mapping[str, Callable[..., data.EventSet]] = {
    "mnist-1d": data.mnist_1d_events,
    "latency-digits": data.latency_digits,
    "coincidences": data.delayed_coincidences,
    "saccade-digits": data.saccade_digits,
    "saccade-mnist": data.saccade_mnist,
}
_COUNTED = 100


class Events(LabelledRows, FitPredict):
    """Tell the class of a recording: which of some units had an event when.

    A trial draws recordings to test and to learn from as the problem classification does. The method's ``fit`` gets events
    as float32 counts of shape ``(count, time, units)`` on the trial's device, and labels from 0; ``predict`` gives scores, of
    which the greatest wins. A ``fit`` that has a keyword ``epochs`` is given the option: passes over the recordings, the
    budget that all networks share. One that has a keyword ``shape`` is told how the units are arranged, such as
    ``(2, 8, 8)`` for the two polarities of an event camera.

    **The data.** In ``latency-digits`` every unit fires exactly once, and in ``coincidences`` equally often in all classes:
    there only time tells. The delays of ``coincidences`` are known, and with them the right answer
    (`replica.data.coincidence_scores`). Files of your own hold one number for each event: see
    `replica.data.read_events`; ``--steps`` says into how many time bins they go.

    What is measured:

    - ``accuracy``: the share of test recordings told right.
    - ``operations``: of one inference, mean over up to 100 test recordings of all classes: ``operations(events)["operations"]``
      where the method has it, else multiply-accumulates of matrix products and convolutions, as PyTorch counts them. A spiking
      network counts one addition for each spike and each neuron that it reaches, an input event being a spike. What happens to
      single values (decay, gates, activations) is not counted, for no method.
    - ``spikes``: ``operations(events)["spikes"]``: how many the network itself sends; 0 where the method tells none.
    - ``parameters``: how many real numbers the method learned: its network's parameters, or all that it keeps.
    - ``train_seconds``: wall-clock seconds of ``fit``.

    For validation (``--tune``) a fifth of the recordings to learn from is held out. At smoke scale at most 60 recordings are
    learned from, for one epoch.
    """

    name = "events"
    question = "Which network reads events in time best?"
    protocol = (
        'fit(events: Float[Tensor, "count time units"], labels: Int[Tensor, " count"]) -> None',
        'predict(events: Float[Tensor, "count time units"]) -> Float[Tensor, "count classes"]',
    )
    metrics = (
        Metric("accuracy", "share of recordings", "higher", "Accuracy"),
        Metric("operations", "1", "lower", "Operations an inference"),
        Metric("spikes", "1", "lower", "Spikes an inference"),
        Metric("parameters", "1", "lower", "Parameters"),
        Metric("train_seconds", "s", "lower", "Training time"),
    )
    options = (
        *labelled_options(train=1000, unit="recordings"),
        Option("epochs", 15, "passes over the recordings that every network gets", minimum=1,
               label="Epochs (passes over the recordings)"),
        Option("steps", 0, "time bins of recordings of your own; 0 for 50", minimum=0, maximum=10_000,
               label="Time bins of a recording", reads="own"),
    )  # fmt: skip
    protocol_note = ", events of shape (count, time, units)"
    unit = "recordings"
    smoke_rows = (60, 40)
    smoke_epochs = 1
    default_data = "mnist-1d"
    data_names: ClassVar[Mapping[str, str]] = {
        "mnist-1d": "MNIST-1D's 5,000 signals as crossings of 12 levels: 40 steps, 24 units, 10 classes (made on the spot)",
        "latency-digits": "1,797 digits, each pixel firing once, the sooner the more ink: 17 steps, 64 units, 10 classes",
        "coincidences": "2,000 recordings, 10 classes that differ in delays alone: 60 steps, 20 units (made on the spot)",
        "saccade-digits": "1,797 digits before a moving event camera: 30 steps, 2 × 8 × 8 units, 10 classes",
        "saccade-mnist": "3,000 MNIST digits before such a camera: 30 steps, 2 × 14 × 14 units (11 MB, downloaded once)",
    }
    drawn = ("mnist-1d", "coincidences")
    data_formats = (".npz",)
    files = "an .npz file of events"

    def named(self, name: str, seed: int | None, options: Options) -> data.EventSet:
        """See `Problem.named`."""
        return _MAKE[name]() if seed is None else _MAKE[name](seed=seed)

    def read(self, path: Path, options: Options) -> data.EventSet:
        """See `Problem.read`, and `replica.data.read_events`."""
        return data.read_events(path, int(options["steps"]) or STEPS)

    def size(self, content: data.EventSet, options: Options) -> str:
        """See `Problem.size`."""
        count, steps, _ = content.events.shape
        many = f"{count:,} recordings of {int(content.events.sum(dtype=np.int64)):,} events in {steps} steps"
        return f"{many}, {' × '.join(map(str, content.shape))} units, {len(content.classes)} classes"

    def identity(self, content: data.EventSet) -> tuple[Any, ...]:
        """See `Problem.identity`."""
        return (content.events.shape, content.shape, content.classes), content.labels, content.events

    def sample(self, trial: Trial, content: Any, options: Options, train: Rows, test: Rows) -> Sample:
        """Float32 tensors of event counts."""
        import torch

        events, queries = (
            torch.tensor(content.events[rows], dtype=torch.float32, device=trial.device) for rows in (train, test)
        )
        labels = torch.tensor(content.labels[train], device=trial.device)
        keywords = {"epochs": self.epochs(trial, options), "shape": content.shape}
        return Sample(train, test, events, labels, queries, keywords)

    def score(
        self, trial: Trial, method: Any, sample: Sample, dataset: Dataset, options: Options, fit_seconds: float
    ) -> Measured:
        """Count the recordings that are told right, and what telling one costs; see the class for the measures."""
        content: data.EventSet = dataset.content
        scores = real_array(
            f"{type(method).__name__}.predict", method.predict(sample.queries.clone()), (len(sample.test), len(content.classes)),
            ", scores of recordings and classes", lambda index: f"recording {index[0]}, class {index[1]}",
        )  # fmt: skip
        correct = scores.argmax(axis=1) == content.labels[sample.test]
        counted = trial.rng("counted").permutation(len(sample.queries))[:_COUNTED]  # recordings come class by class
        operations, spikes = cost_of_inference(method, sample.queries[counted])
        first = sample.test[0]

        def shown() -> dict[str, Any]:
            step, unit = content.events[first].nonzero()
            return {
                "step": step.tolist(),
                "unit": unit.tolist(),
                "steps": content.events.shape[1],
                "units": content.events.shape[2],
                "label": content.classes[int(content.labels[first])],
            }

        return {
            "accuracy": Proportion(int(correct.sum()), len(correct)),
            "operations": operations,
            "spikes": spikes,
            "parameters": float(parameter_count(method)),
            "train_seconds": fit_seconds,
        }, shown
