"""The problem events: which network reads events in time best?"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from replica.errors import ReplicaError
from replica.lab.claims import Proportion, Trial
from replica.lab.problems.classification import data as classification_data
from replica.lab.problems.events import data as events_data
from replica.lab.problems.events.operations import cost_of_inference
from replica.lab.problems.footprint import parameter_count
from replica.lab.problems.problem import (
    VALIDATION_SHARE,
    Dataset,
    Metric,
    Option,
    Outcome,
    Problem,
    Split,
    Value,
    Watch,
)
from replica.lab.problems.protocol import check_protocol, real_array, timed

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

    from replica.data import EventSet

_ACCURACY = Metric("accuracy", "share of recordings", "higher", "Accuracy")
_OPERATIONS = Metric("operations", "1", "lower", "Operations an inference")
_SPIKES = Metric("spikes", "1", "lower", "Spikes an inference")
_PARAMETERS = Metric("parameters", "1", "lower", "Parameters")
_SECONDS = Metric("train_seconds", "s", "lower", "Training time")

_COUNTED = 100
_SMOKE_TRAIN, _SMOKE_TEST, _SMOKE_EPOCHS = 60, 40, 1


class Events(Problem):
    """Tell the class of a recording: which of some units had an event when.

    A trial draws recordings to test and to learn from as the problem classification does. The method's ``fit`` gets events
    as float32 counts of shape ``(count, time, units)`` on the trial's device, and labels from 0; ``predict`` gives scores, of
    which the greatest wins. A ``fit`` that has a keyword ``epochs`` is given the option: passes over the recordings, the
    budget that all networks share. One that has a keyword ``shape`` is told how the units are arranged, such as
    ``(2, 8, 8)`` for the two polarities of an event camera; one that has ``after_epoch``, while it is tuned, is given a
    function to call with the number of epochs done, which ends trials without prospects.

    **The data.** In ``latency-digits`` every unit fires exactly once, and in ``coincidences`` equally often in all classes:
    there only time tells. The delays of ``coincidences`` are known, and with them the right answer
    (`replica.lab.data.coincidence_scores`). Files of your own hold one number for each event: see
    `replica.lab.data.read_events`; ``--steps`` says into how many time bins they go.

    What is measured:

    - ``accuracy``: the share of test recordings told right.
    - ``operations``: of one inference, mean over up to 100 test recordings: ``operations(events)["operations"]`` where the
      method has it, else multiply-accumulates of matrix products and convolutions, as PyTorch counts them. A spiking network
      counts one addition for each spike and each neuron that it reaches, an input event being a spike. What happens to
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
        Option("train", 1000, "recordings to learn from at most; 0 for all that are not tested", minimum=0),
        Option("test", 0.25, "share of recordings to test", minimum=0.01, maximum=0.95),
        Option("epochs", 15, "passes over the recordings that every network gets", minimum=1),
        Option("steps", 0, "time bins of recordings of your own; 0 for 50", minimum=0, maximum=10_000),
    )
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

    def check(self, dataset: Dataset, options: Mapping[str, Value]) -> None:
        """See that every class can be learned.

        Raises:
            ReplicaError: If there are fewer recordings to learn from than classes.
        """
        classes = len(dataset.content.classes)
        if 0 < int(options["train"]) < classes:
            raise ReplicaError(
                f"Option train is {options['train']}, but {dataset.name} has {classes} classes; give --train {classes} or more."
            )

    def check_validation(self, dataset: Dataset, options: Mapping[str, Value]) -> None:
        """See that one recording in five can be held out.

        Raises:
            ReplicaError: If some class has no second one.
        """
        classes = len(dataset.content.classes)
        if 0 < int(options["train"]) < 2 * classes:
            raise ReplicaError(
                f"Option train is {options['train']}, which leaves too little of {dataset.name}'s {classes} classes to hold out "
                f"for --tune; give --train {2 * classes} or more."
            )

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
        """Let the method fit and predict once, and measure it; see the class for the protocol and the measures.

        Raises:
            ReplicaError: If the method breaks the protocol: a part missing, or an output of the wrong form. What the
                method itself raises passes through.
        """
        import torch

        self.check(dataset, options)
        content: EventSet = dataset.content
        epochs = int(options["epochs"])
        train, test = classification_data.split(
            content.labels, float(options["test"]), int(options["train"]), trial.rng("split")
        )
        if trial.scale == "smoke":
            train, epochs = train[: max(_SMOKE_TRAIN, 2 * len(content.classes))], min(epochs, _SMOKE_EPOCHS)
            test = trial.rng("smoke").permutation(test)[:_SMOKE_TEST]
        if split == "validation":
            kept, held_out = classification_data.split(
                content.labels[train], VALIDATION_SHARE, 0, trial.rng("validation")
            )
            train, test = train[kept], train[held_out]
        method = make(trial)
        check_protocol(
            method,
            ("fit", "predict"),
            "an entry for events has fit(events, labels) and predict(events), events of shape (count, time, units)",
        )

        def given(rows: Any) -> Tensor:  # a copy: a method may write into what it is given
            return torch.tensor(content.events[rows], dtype=torch.float32, device=trial.device)

        def right() -> Any:
            scores = real_array(
                f"{type(method).__name__}.predict", method.predict(given(test)), (len(test), len(content.classes)),
                ", scores of recordings and classes", lambda index: f"recording {index[0]}, class {index[1]}",
            )  # fmt: skip
            return scores.argmax(axis=1) == content.labels[test]

        def after_epoch(done: int) -> None:
            if watch is not None:
                watch(done, float(right().mean()))

        keywords = {"epochs": epochs, "shape": content.shape} | ({"after_epoch": after_epoch} if watch else {})
        labels = torch.tensor(content.labels[train], device=trial.device)
        seconds = timed(trial, lambda: method.fit(given(train), labels, **_taken(method, keywords)))[1]
        found = right()
        operations, spikes = cost_of_inference(method, given(test[:_COUNTED]))
        metrics: dict[str, float | Proportion] = {
            "accuracy": Proportion(int(found.sum()), len(found)),
            "operations": operations,
            "spikes": spikes,
            "parameters": float(parameter_count(method)),
            "train_seconds": seconds,
        }
        if not examples:
            return Outcome(metrics)
        first = test[0]
        step, unit = content.events[first].nonzero()
        return Outcome(
            metrics,
            {
                "step": step.tolist(),
                "unit": unit.tolist(),
                "steps": content.events.shape[1],
                "units": content.events.shape[2],
                "label": content.classes[int(content.labels[first])],
            },
        )

    def draw(self, figure: Figure, comparison: Any) -> None:
        """Draw the accuracy of every method, what an inference costs beside it, and one recording."""
        from replica.lab.problems.events.figure import draw

        draw(
            figure,
            comparison,
            metric=self.metrics[0],
            baselines=frozenset(baseline.name for baseline in self.baselines()),
        )


def _taken(method: Any, keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the keywords that the method's ``fit`` has."""
    try:
        parameters = inspect.signature(method.fit).parameters
    except (TypeError, ValueError):  # built in C, without a signature
        return {}
    return {name: value for name, value in keywords.items() if name in parameters}
