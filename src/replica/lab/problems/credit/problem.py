"""The problem credit: which learning rule trains this network best without global backpropagation?"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from replica.errors import ReplicaError
from replica.lab.claims import Proportion, Scale, Trial
from replica.lab.problems import own_rows
from replica.lab.problems.classification.data import TensorRows
from replica.lab.problems.labelled_rows import LabelledRows, labelled_options
from replica.lab.problems.problem import Dataset, Measured, Metric, Option, Options, Split, Start
from replica.lab.problems.protocol import check_protocol
from replica.lab.problems.step_by_step import Clock, StepByStep

if TYPE_CHECKING:
    from torch import Tensor, nn

_WANTED = "an entry for credit has build(network, loss, example) and step(inputs, labels)"
_EXAMPLE_ROWS = 16
_CHECKPOINTS = 4
_SMOKE = {"shift_batches": 6, "shift_every": 3}
"""The most of each at smoke scale."""


class Credit(own_rows.LabelledData, LabelledRows, StepByStep):
    """The problem fixes the network, its initial weights and the batches; the method is the rule that changes the weights.

    A trial draws rows to test and rows to learn from as the problem classification does, and builds the network
    (``--network``, ``--depth``, ``--width``: see `credit_networks.network`), a `torch.nn.Sequential` of hidden layers and
    a head. The method's ``build`` gets it with the loss (mean cross-entropy of scores) and a few unlabelled rows; its
    ``step`` is then called with every batch, ``epochs`` times over the rows. ``build`` may give back another object that
    has ``step``. Labels are predicted by ``predict(inputs)``, scores of which the greatest wins, where the method has it,
    else by the network as it is. Inputs are float32 tensors on the trial's device, standardised, as the network takes them.
    All methods get the same network, rows and batches with the same seed, and each its own tuning (``--tune``).

    What is measured:

    - ``accuracy``: the share of test rows predicted right.
    - ``alignment``: the cosine between the direction that the rule gives a layer and minus the gradient of the loss there,
      the mean over layers (the head among them) and over four moments of training. The direction is ``gradients(inputs,
      labels)`` where the method has it (a mapping from the network's parameter names to tensors, downhill being minus
      these); else what one ``step`` changes, optimiser included. A layer that the rule leaves alone counts 0.
    - ``step_bytes``: the most memory that one step takes beyond what is there before it (see `step_memory`).
    - ``step_seconds``: median wall-clock time of a step.
    - ``shift_accuracy``: the rule starts anew on a stream of ``shift_batches`` batches; every ``shift_every`` batches all
      labels are renamed by a new random permutation. Each batch is predicted before it is learned; the share of rows right
      over the stream.
    """

    name = "credit"
    question = "Which learning rule trains this network best without global backpropagation?"
    protocol = (
        "build(network: nn.Sequential, loss: Callable[[Tensor, Tensor], Tensor], example: Tensor) -> object | None",
        'step(inputs: Float[Tensor, "batch *shape"], labels: Int[Tensor, " batch"]) -> None',
    )
    metrics = (
        Metric("accuracy", "share of rows", "higher", "Accuracy"),
        Metric("alignment", "cosine", "higher", "Alignment with backprop's gradient"),
        Metric("step_bytes", "bytes", "lower", "Memory of a step"),
        Metric("step_seconds", "s a step", "lower", "Step time"),
        Metric("shift_accuracy", "share of rows", "higher", "Accuracy while labels shift",
               when=lambda options: int(options["shift_batches"]) > 0),
    )  # fmt: skip
    options = (
        Option("network", "mlp", "the network's layers", choices=("mlp", "conv", "recurrent")),
        Option("depth", 4, "hidden layers", minimum=1, maximum=100, label="Hidden layers"),
        Option("width", 64, "units or channels of a hidden layer", minimum=1, label="Units or channels a layer"),
        Option("activation", "relu", "of hidden layers; recurrent ones have tanh", choices=("relu", "tanh")),
        Option("epochs", 10, "passes over the rows to learn from", minimum=1, label="Epochs (passes over the rows)"),
        Option("batch", 32, "rows a step", minimum=1, label="Rows a step"),
        *labelled_options(train=2000),
        Option("shift_batches", 200, "batches of the stream with shifting labels; 0 to leave it out", minimum=0),
        Option("shift_every", 25, "batches from one renaming of the labels to the next", minimum=1,
               label="Batches from one renaming of labels to the next"),
        *own_rows.READ,
        *own_rows.SPLIT,
    )  # fmt: skip
    smoke_rows = (64, 40)
    smoke_epochs = 1
    default_sweep = ("depth", (2, 4, 8, 12))

    def check(self, dataset: Dataset, options: Options) -> None:
        """See that the network fits the data: tables and colour images want an ``mlp``."""
        shape, form = dataset.content.shape, str(options["network"])
        if form != "mlp" and len(shape) not in (1, 2):
            kind = f"images of shape {' × '.join(map(str, shape))}" if shape else "rows of a table"
            raise ReplicaError(
                f"Option network is {form}, which takes signals or grey images, but {dataset.name} holds {kind}; "
                "give --network mlp."
            )
        super().check(dataset, options)

    def used(self, dataset: Dataset, options: Options, scale: Scale) -> Mapping[str, str]:
        """See `Problem.used`."""
        lengths = {name: str(value) for name, value in _lengths(options, scale).items()}
        return {**super().used(dataset, options, scale), **lengths}

    def measure(self, trial: Trial, start: Start, dataset: Dataset, options: Options, split: Split) -> Measured:
        """Let the rule train the network, and measure it; see the class for the protocol and the measures."""
        import torch

        from replica.lab.problems.credit.alignment import alignment
        from replica.lab.problems.credit.networks import arrange
        from replica.lab.problems.credit.step_memory import peak_step_bytes

        drawn = self.rows(trial, dataset.content, options, split)
        rows = TensorRows.of(trial, dataset.content, drawn, partial(arrange, form=str(options["network"])))
        epochs = self.epochs(trial, options)
        batches = list(_batches(len(rows.inputs), int(options["batch"]), epochs, trial.rng("batches")))
        moments = {round(len(batches) * (i + 1) / _CHECKPOINTS) - 1 for i in range(_CHECKPOINTS)}
        net, rule = self._start(trial, start, rows, options)
        aligned, clock = [], Clock(trial)
        for number, chosen in enumerate(batches):
            batch = rows.inputs[chosen], rows.labels[chosen]
            if number in moments:
                aligned.append(alignment(rule, net, *batch))
            else:
                clock.call(rule.step, *batch)
        correct = self._correct(rule, net, rows.test_inputs, rows.test_labels)
        # Once more: its effect is seen by no other measure.
        if not clock.seconds:
            clock.call(rule.step, *batch)
        peak = peak_step_bytes(trial, lambda: rule.step(*batch))
        layers = torch.tensor(aligned).mean(dim=0)
        metrics: dict[str, float | Proportion] = {
            "accuracy": Proportion(int(correct.sum()), len(correct)),
            "alignment": float(layers.mean()),
            "step_bytes": float(peak),
            "step_seconds": statistics.median(clock.seconds),
        }
        if int(options["shift_batches"]) > 0:
            metrics["shift_accuracy"] = self._shifting(trial, start, rows, options)
        return metrics, lambda: {"alignment": [round(float(value), 4) for value in layers]}

    def _start(self, trial: Trial, start: Start, rows: TensorRows, options: Options) -> tuple[nn.Sequential, Any]:
        """The network as all methods get it, and the rule built around it."""
        from torch import nn

        from replica.lab.problems.credit.networks import network

        net = network(
            str(options["network"]),
            tuple(rows.inputs.shape[1:]),
            rows.classes,
            depth=int(options["depth"]),
            width=int(options["width"]),
            generator=trial.generator("network"),
            activation=str(options["activation"]),
        )
        method = start()
        built = method.build(net, nn.functional.cross_entropy, rows.inputs[:_EXAMPLE_ROWS].clone())
        rule = method if built is None else built
        check_protocol(rule, ("step",), _WANTED)
        return net, rule

    def entered(self, method: Any) -> Any:
        """What ``build`` gives may have ``step`` in the method's place."""
        check_protocol(method, ("build",), _WANTED)
        return method

    def _correct(self, rule: Any, net: nn.Sequential, inputs: Tensor, truth: Tensor) -> Tensor:
        """Which rows are predicted right."""
        import torch

        with torch.no_grad():
            if callable(getattr(rule, "predict", None)):
                classes = int(net(inputs[:1]).shape[1])
                scores = torch.as_tensor(self.scores(rule, inputs, classes)).to(truth.device)
            else:
                scores = net(inputs)
                if not torch.isfinite(scores).all():
                    raise ReplicaError(
                        f"{type(rule).__name__} left the network with scores that are no finite numbers."
                    )
        return scores.argmax(dim=1) == truth

    def _shifting(self, trial: Trial, start: Start, rows: TensorRows, options: Options) -> Proportion:
        """The share of rows predicted right, each before it is learned, while labels are renamed again and again."""
        import torch

        size, lengths = int(options["batch"]), _lengths(options, trial.scale)
        count, every = lengths["shift_batches"], lengths["shift_every"]
        net, rule = self._start(trial, start, rows, options)
        names, rng = trial.rng("names"), trial.rng("shift-batches")
        # As many passes as it takes.
        stream = (chosen for _ in iter(int, 1) for chosen in _batches(len(rows.inputs), size, 1, rng))
        hits = seen = 0
        renamed = torch.arange(rows.classes, device=rows.labels.device)
        for number, chosen in zip(range(count), stream, strict=False):
            if number and number % every == 0:
                renamed = torch.as_tensor(names.permutation(rows.classes), device=rows.labels.device)
            answers = renamed[rows.labels[chosen]]
            hits += int(self._correct(rule, net, rows.inputs[chosen], answers).sum())
            seen += len(answers)
            rule.step(rows.inputs[chosen], answers)
        return Proportion(hits, seen)


def _lengths(options: Options, scale: Scale) -> dict[str, int]:
    """How long it is trained in batches of shifting labels."""
    return {
        name: min(int(options[name]), most) if scale == "smoke" else int(options[name]) for name, most in _SMOKE.items()
    }


def _batches(count: int, size: int, epochs: int, rng: np.random.Generator) -> Iterator[Any]:
    """Row numbers of each batch; every pass in an order of its own, the rest of a pass left out unless it is all."""
    for _ in range(epochs):
        order = rng.permutation(count)
        for start in range(0, max(1, count - size + 1), size):
            yield order[start : start + size]
