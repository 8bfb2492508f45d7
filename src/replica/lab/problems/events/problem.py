"""The problem events: which network reads events in time best?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from replica.lab.claims import Proportion, Scale, Trial
from replica.lab.problems.events import data as events_data
from replica.lab.problems.events.operations import cost_of_inference
from replica.lab.problems.fit_predict import FitPredict, Measured, Rows, Sample
from replica.lab.problems.footprint import parameter_count
from replica.lab.problems.labelled_rows import LabelledRows, labelled_options
from replica.lab.problems.problem import Dataset, Metric, Option, Value
from replica.lab.problems.protocol import real_array

if TYPE_CHECKING:
    from replica.data import EventSet

_ACCURACY = Metric("accuracy", "share of recordings", "higher", "Accuracy")
_OPERATIONS = Metric("operations", "1", "lower", "Operations an inference")
_SPIKES = Metric("spikes", "1", "lower", "Spikes an inference")
_PARAMETERS = Metric("parameters", "1", "lower", "Parameters")
_SECONDS = Metric("train_seconds", "s", "lower", "Training time")

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
    metrics = (_ACCURACY, _OPERATIONS, _SPIKES, _PARAMETERS, _SECONDS)
    options = (
        *labelled_options(train=1000, unit="recordings"),
        Option("epochs", 15, "passes over the recordings that every network gets", minimum=1,
               label="Epochs (passes over the recordings)"),
        Option("steps", 0, "time bins of recordings of your own; 0 for 50", minimum=0, maximum=10_000,
               label="Time bins of a recording"),
    )  # fmt: skip
    protocol_note = ", events of shape (count, time, units)"
    unit = "recordings"
    smoke_rows = (60, 40)
    smoke_epochs = 1
    default_data = "mnist-1d"
    data_names = events_data.NAMED
    data_formats = (".npz",)
    data_options = ("steps",)

    def load(self, source: str, options: Mapping[str, Value]) -> Dataset:
        """Make a named data set, or read the user's ``.npz`` file of events.

        Raises:
            ReplicaError: In one line, what is wrong with it and what is wanted.
        """
        return events_data.load(source, int(options.get("steps", 0)))

    def used(self, dataset: Dataset, options: Mapping[str, Value], scale: Scale) -> Mapping[str, str]:
        """See `Problem.used`."""
        return {**super().used(dataset, options, scale), "epochs": str(self.epochs(Trial(0, scale), options))}

    def sample(self, trial: Trial, content: Any, options: Mapping[str, Value], train: Rows, test: Rows) -> Sample:
        """Float32 tensors of event counts."""
        import torch

        events, queries = (
            torch.tensor(content.events[rows], dtype=torch.float32, device=trial.device) for rows in (train, test)
        )
        labels = torch.tensor(content.labels[train], device=trial.device)
        keywords = {"epochs": self.epochs(trial, options), "shape": content.shape}
        return Sample(train, test, events, labels, queries, keywords)

    def score(
        self,
        trial: Trial,
        method: Any,
        sample: Sample,
        dataset: Dataset,
        options: Mapping[str, Value],
        fit_seconds: float,
    ) -> Measured:
        """Count the recordings that are told right, and what telling one costs; see the class for the measures."""
        content: EventSet = dataset.content
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
