"""The problem credit: which learning rule trains this network best without global backpropagation?"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from replica.data import LABELLED_FORMATS
from replica.errors import ReplicaError
from replica.lab.claims import Proportion, Trial
from replica.lab.problems.classification import data as classification_data
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
    from torch import Tensor, nn

_ACCURACY = Metric("accuracy", "share of rows", "higher", "Accuracy")
_ALIGNMENT = Metric("alignment", "cosine", "higher", "Alignment with backprop's gradient")
_PEAK = Metric("step_bytes", "bytes", "lower", "Memory of a step")
_SECONDS = Metric("step_seconds", "s a step", "lower", "Step time")
_SHIFT = Metric("shift_accuracy", "share of rows", "higher", "Accuracy while labels shift")

_EXAMPLE_ROWS = 16
_CHECKPOINTS = 4
_SMOKE_ROWS, _SMOKE_TEST, _SMOKE_BATCHES = 64, 40, 6


class Credit(Problem):
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
    metrics = (_ACCURACY, _ALIGNMENT, _PEAK, _SECONDS, _SHIFT)
    options = (
        Option("network", "mlp", "the network's layers", choices=("mlp", "conv", "recurrent")),
        Option("depth", 4, "hidden layers", minimum=1, maximum=100),
        Option("width", 64, "units or channels of a hidden layer", minimum=1),
        Option("epochs", 10, "passes over the rows to learn from", minimum=1),
        Option("batch", 32, "rows a step", minimum=1),
        Option("train", 2000, "rows to learn from at most; 0 for all that are not tested", minimum=0),
        Option("test", 0.25, "share of rows to test", minimum=0.01, maximum=0.95),
        Option("shift_batches", 200, "batches of the stream with shifting labels; 0 to leave it out", minimum=0),
        Option("shift_every", 25, "batches from one renaming of the labels to the next", minimum=1),
        Option("target", "", "the column that holds the labels, where the data are your own table"),
    )
    default_data = "digits"
    data_names = classification_data.NAMED
    data_formats = LABELLED_FORMATS
    default_sweep = ("depth", (2, 4, 8, 12))
    data_options = ("target",)

    def metrics_for(self, options: Mapping[str, Value]) -> tuple[Metric, ...]:
        """The metrics under these options: without a stream of shifting labels there is nothing to tell of it."""
        return tuple(metric for metric in self.metrics if metric is not _SHIFT or int(options["shift_batches"]) > 0)

    def load(self, source: str, options: Mapping[str, Value]) -> Dataset:
        """Read a named data set, or the user's table, arrays or folder of images.

        Raises:
            ReplicaError: In one line, what is wrong with it and what is wanted.
        """
        return classification_data.load(source, str(options.get("target", "")))

    def check(self, dataset: Dataset, options: Mapping[str, Value]) -> None:
        """See that the network fits the data.

        Raises:
            ReplicaError: If a convolutional or recurrent network is asked for rows of a table, or colour images.
        """
        shape, form = dataset.content.shape, str(options["network"])
        if form != "mlp" and len(shape) not in (1, 2):
            kind = f"images of shape {' × '.join(map(str, shape))}" if shape else "rows of a table"
            raise ReplicaError(
                f"Option network is {form}, which takes signals or grey images, but {dataset.name} holds {kind}; "
                "give --network mlp."
            )
        if 0 < int(options["train"]) < len(dataset.content.classes):
            raise ReplicaError(
                f"Option train is {options['train']}, but {dataset.name} has {len(dataset.content.classes)} classes; "
                f"give --train {len(dataset.content.classes)} or more."
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
        """Let the rule train the network, and measure it; see the class for the protocol and the measures.

        Raises:
            ReplicaError: If the method breaks the protocol: a part missing, or an output of the wrong form. What the
                method itself raises passes through.
        """
        import torch

        from replica.lab.problems.credit.step_memory import peak_step_bytes

        self.check(dataset, options)
        inputs, labels, asked, truth = _rows(trial, dataset, options, split)
        epochs, size = int(options["epochs"]), int(options["batch"])
        if trial.scale == "smoke":
            epochs = 1
        batches = list(_batches(len(inputs), size, epochs, trial.rng("batches")))
        moments = {round(len(batches) * (i + 1) / _CHECKPOINTS) - 1 for i in range(_CHECKPOINTS)}
        net, rule = self._start(trial, make, inputs, dataset, options)
        aligned, seconds = [], []
        for number, rows in enumerate(batches):
            batch, answers = inputs[rows], labels[rows]
            if number in moments:
                aligned.append(_alignment(rule, net, batch, answers))
            else:
                _, spent = timed(trial, lambda batch=batch, answers=answers: rule.step(batch, answers))  # type: ignore[misc]
                seconds.append(spent)
            if watch is not None and (number + 1) % max(1, len(batches) // epochs) == 0:
                watch(
                    (number + 1) // max(1, len(batches) // epochs),
                    float(_right(rule, net, asked, truth).float().mean()),
                )
        right = _right(rule, net, asked, truth)

        def once_more() -> None:  # its effect is seen by no other measure
            rule.step(batch, answers)

        if not seconds:
            seconds.append(timed(trial, once_more)[1])
        peak = peak_step_bytes(trial, once_more)
        layers = torch.tensor(aligned).mean(dim=0)
        metrics: dict[str, float | Proportion] = {
            "accuracy": Proportion(int(right.sum()), len(right)),
            "alignment": float(layers.mean()),
            "step_bytes": float(peak),
            "step_seconds": statistics.median(seconds),
        }
        if int(options["shift_batches"]) > 0:
            metrics["shift_accuracy"] = self._shifting(trial, make, inputs, labels, dataset, options)
        if not examples:
            return Outcome(metrics)
        return Outcome(metrics, {"alignment": [round(float(value), 4) for value in layers]})

    def _start(
        self, trial: Trial, make: Callable[[Trial], Any], inputs: Tensor, dataset: Dataset, options: Mapping[str, Value]
    ) -> tuple[nn.Sequential, Any]:
        """The network as all methods get it, and the rule built around it."""
        from torch import nn

        from replica.lab.problems.credit.networks import network

        net = network(
            str(options["network"]),
            tuple(inputs.shape[1:]),
            len(dataset.content.classes),
            depth=int(options["depth"]),
            width=int(options["width"]),
            generator=trial.generator("network"),
        )
        method = make(trial)
        check_protocol(
            method, ("build",), "an entry for credit has build(network, loss, example) and step(inputs, labels)"
        )
        rule = method.build(net, nn.functional.cross_entropy, inputs[:_EXAMPLE_ROWS].clone())
        rule = method if rule is None else rule
        check_protocol(
            rule, ("step",), "an entry for credit has build(network, loss, example) and step(inputs, labels)"
        )
        return net, rule

    def _shifting(
        self,
        trial: Trial,
        make: Callable[[Trial], Any],
        inputs: Tensor,
        labels: Tensor,
        dataset: Dataset,
        options: Mapping[str, Value],
    ) -> Proportion:
        """The share of rows predicted right, each before it is learned, while labels are renamed again and again."""
        import torch

        count, every, size = (int(options[name]) for name in ("shift_batches", "shift_every", "batch"))
        if trial.scale == "smoke":
            count, every = min(count, _SMOKE_BATCHES), min(every, _SMOKE_BATCHES // 2)
        net, rule = self._start(trial, make, inputs, dataset, options)
        names, rng = trial.rng("names"), trial.rng("shift-batches")
        classes = len(dataset.content.classes)
        stream = (
            rows for _ in iter(int, 1) for rows in _batches(len(inputs), size, 1, rng)
        )  # as many passes as it takes
        hits = seen = 0
        renamed = torch.arange(classes, device=labels.device)
        for number, rows in zip(range(count), stream, strict=False):
            if number and number % every == 0:
                renamed = torch.as_tensor(names.permutation(classes), device=labels.device)
            answers = renamed[labels[rows]]
            hits += int(_right(rule, net, inputs[rows], answers).sum())
            seen += len(answers)
            rule.step(inputs[rows], answers)
        return Proportion(hits, seen)

    def draw(self, figure: Figure, comparison: Any) -> None:
        """Draw the accuracy of every rule and, beside it, how far each layer's update goes along backprop's gradient."""
        from replica.lab.problems.credit.figure import draw

        draw(
            figure,
            comparison,
            metric=self.metrics[0],
            baselines=frozenset(baseline.name for baseline in self.baselines()),
        )


def _rows(
    trial: Trial, dataset: Dataset, options: Mapping[str, Value], split: Split
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Rows to learn from and rows to be asked, standardised by the first, in the network's form."""
    import torch

    from replica.lab.problems.credit.networks import arrange

    content = dataset.content
    train, test = classification_data.split(
        content.labels, float(options["test"]), int(options["train"]), trial.rng("split")
    )
    if trial.scale == "smoke":
        train, test = train[:_SMOKE_ROWS], test[:_SMOKE_TEST]
    if split == "validation":
        kept, held_out = classification_data.split(content.labels[train], VALIDATION_SHARE, 0, trial.rng("validation"))
        train, test = train[kept], train[held_out]
    known, unknown = classification_data.prepare(content, train, test)
    form = str(options["network"])

    def arranged(values: Any) -> Tensor:
        rows = torch.tensor(values, dtype=torch.float32, device=trial.device)
        return arrange(rows.view(len(rows), *content.shape) if content.shape else rows, form)

    def answers(rows: Any) -> Tensor:
        return torch.tensor(content.labels[rows], device=trial.device)

    return arranged(known), answers(train), arranged(unknown), answers(test)


def _batches(count: int, size: int, epochs: int, rng: np.random.Generator) -> Iterator[Any]:
    """Row numbers of each batch; every pass in an order of its own, the rest of a pass left out unless it is all."""
    for _ in range(epochs):
        order = rng.permutation(count)
        for start in range(0, max(1, count - size + 1), size):
            yield order[start : start + size]


def _right(rule: Any, net: nn.Sequential, inputs: Tensor, truth: Tensor) -> Tensor:
    """Which rows are predicted right."""
    import torch

    with torch.no_grad():
        if callable(getattr(rule, "predict", None)):
            given = rule.predict(inputs.clone())
            classes = int(net(inputs[:1]).shape[1])
            scores = torch.as_tensor(
                real_array(
                    f"{type(rule).__name__}.predict", given, (len(inputs), classes), ", scores of rows and classes",
                    lambda index: f"row {index[0]}, class {index[1]}",
                )
            ).to(truth.device)  # fmt: skip
        else:
            scores = net(inputs)
            if not torch.isfinite(scores).all():
                raise ReplicaError(f"{type(rule).__name__} left the network with scores that are no finite numbers.")
    return scores.argmax(dim=1) == truth


def _alignment(rule: Any, net: nn.Sequential, inputs: Tensor, labels: Tensor) -> list[float]:
    """Cosine of each layer's direction with minus the loss's gradient; the rule then takes its step on the batch."""
    import torch
    from torch import nn

    names = [name for name, _ in net.named_parameters()]
    parameters = list(net.parameters())
    plain = _plain_copy(net)
    loss = nn.functional.cross_entropy(plain(inputs), labels)
    gradient = dict(zip(names, torch.autograd.grad(loss, list(plain.parameters())), strict=True))
    if callable(getattr(rule, "gradients", None)):
        direction = {name: value.detach() for name, value in rule.gradients(inputs, labels).items()}
        unknown = set(direction) - set(names)
        if unknown:
            raise ReplicaError(
                f"{type(rule).__name__}.gradients names {min(unknown)!r}, which the network does not; "
                f"wanted names such as {names[0]!r}."
            )
        rule.step(inputs, labels)
    else:
        before = [parameter.detach().clone() for parameter in parameters]
        rule.step(inputs, labels)
        direction = {name: old - new.detach() for name, old, new in zip(names, before, parameters, strict=True)}
    cosines = []
    for layer, _ in net.named_children():
        own = [name for name in names if name.startswith(f"{layer}.")]
        along = torch.cat([gradient[name].flatten() for name in own])
        given = torch.cat([direction.get(name, torch.zeros_like(gradient[name])).flatten() for name in own])
        cosines.append(float(nn.functional.cosine_similarity(along, given.to(along.dtype), dim=0)))
    return cosines


def _plain_copy(net: nn.Sequential) -> nn.Sequential:
    """The network with its weights of now, without what a rule may have changed of how its layers compute."""
    import copy

    plain = copy.deepcopy(net)
    for module in plain.modules():
        module.__dict__.pop("forward", None)
        for hooks in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"):
            getattr(module, hooks).clear()
    return plain
