"""The problem merge: which way of combining trained networks keeps most of what each knew?"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from replica.errors import ReplicaError
from replica.lab.claims import Scale, Trial
from replica.lab.problems import own_rows
from replica.lab.problems.labelled_rows import LabelledRows, labelled_options
from replica.lab.problems.merge.data import FOLDER, Folder, holds_networks, kinds, listed, read_folder
from replica.lab.problems.problem import Dataset, Measured, Metric, Option, Options, Split, Start, rank_by
from replica.lab.problems.protocol import timed

_KEPT = Metric("kept", "of single nets'", "higher", "Accuracy kept")
_WORST = Metric("worst", "of single nets'", "higher", "Accuracy kept of the worst task")
_ACCURACY = Metric("accuracy", "share of rows", "higher", "Accuracy")
_SINGLE = Metric("single", "share of rows", "higher", "Accuracy of the single nets")
_LEARNED = Metric("learned", "numbers", "lower", "Numbers learned")
_SIZE = Metric("size", "networks", "lower", "Numbers kept, in networks")
_SECONDS = Metric("seconds", "s", "lower", "Time to merge")
_BARRIER = Metric("barrier", "nats", "lower", "Barrier between the networks")
_OF_TRAINING = (
    "setting", "networks", "kinds", "strength", "network", "depth", "width", "common_epochs", "epochs", "train"
)  # fmt: skip
"""Options of the networks that a trial trains; the user's own are as they are."""


class Merge(own_rows.LabelledData, LabelledRows):
    """Combine trained networks into one that keeps what each knew.

    **The networks.** A trial trains ``networks`` of them, all with the same budget, on rows of the data:

    - ``--setting tasks``: one network learns the rows as they are, for ``common_epochs`` passes. From it each network learns the
      rows seen in another way (turned, sheared, with less contrast, with noise, in another order; ``strength`` says how far),
      for ``epochs`` passes, its last layer frozen. Rows of a table are seen in other contrasts, noises and orders.
    - ``--setting forks``: one network, from which all go on with the same rows in other batches.
    - ``--setting seeds``: networks of other random starts, for as many passes together.

    **Your own networks.** ``--data my_networks/`` names a folder of trained networks, with a Python file that builds them::

        my_networks/
            build.py            with a function build() that makes a network, a torch.nn.Module
            cats.safetensors    weights of one, as safetensors.torch.save_file(net.state_dict(), ...) writes them
            cats.npz            rows of what it knows: X, as the network takes it, and y, classes from 0
            dogs.safetensors
            dogs.npz
            base.safetensors    what all were trained on from, if there is such a network

    ``rows.npz`` stands for those without an ``.npz`` of their own. Code in ``build.py`` is run.

    **What a method gives.** ``merge`` is given what all networks were trained on from (``base``: where they share no start, their
    average), the networks, in evaluation mode, and by network a pair of inputs and labels that it was not trained on (at most
    ``held_out`` rows). All are copies. It returns a module of inputs, which is not told the task. A method that has a number
    ``numbers_learned`` after that says by it how many numbers it fitted.

    What is measured, on test rows of each network:

    - ``kept``: the merged network's accuracy over that of the network itself; mean over networks.
    - ``worst``: the least of these.
    - ``accuracy``: of the merged network, mean over networks.
    - ``single``: of the networks themselves, each on its own rows; the same for all methods.
    - ``learned``: numbers that the method says it fitted; 0 where it says nothing.
    - ``size``: numbers that the merged module keeps, in those of one network. Some keep all networks.
    - ``seconds``: wall-clock time of ``merge``.
    - ``barrier``: by how much the loss rises on the straight line between two of the networks above what lies straight between
      theirs, mean over pairs. It is the same for all methods: how hard the networks are to average.

    For validation (``--tune``) other networks are trained, on fewer rows; of the user's networks rows are taken that the test
    does not read. At smoke scale two small networks are trained a little.
    """

    name = "merge"
    question = "Which way of combining trained networks keeps most of what each knew?"
    protocol = (
        "merge(base: nn.Module, networks: list[nn.Module], held_out: list[tuple[Tensor, Tensor]]) -> nn.Module",
    )
    protocol_note = ", which gives a module"
    metrics = (_KEPT, _WORST, _ACCURACY, _SINGLE, _LEARNED, _SIZE, _SECONDS, _BARRIER)
    options = (
        Option("setting", "tasks", "what the networks share: a start and no task, a start and a task, a task and no start",
               choices=("tasks", "forks", "seeds"), label="Setting"),
        Option("networks", 4, "networks that are trained; in the setting tasks, one a task", minimum=2, maximum=20,
               label="Networks"),
        Option("kinds", "", "how tasks see rows, such as turn,shear, of turn, shear, contrast, noise, order; all if empty"),
        Option("strength", 1.0, "how far tasks are from the rows as they are", minimum=0, maximum=3,
               label="Strength of the tasks"),
        Option("held_out", 200, "rows that are kept from the networks, for the method", minimum=1, label="Rows held out"),
        Option("network", "mlp", "the networks that are trained", choices=("mlp", "conv")),
        Option("depth", 3, "their hidden layers", minimum=1, maximum=20, label="Hidden layers"),
        Option("width", 64, "their units or channels a layer", minimum=2, maximum=1024, label="Units or channels a layer"),
        Option("common_epochs", 20, "passes over the rows before tasks or forks part", minimum=0, maximum=1000,
               label="Passes in common"),
        Option("epochs", 10, "passes of each network after that", minimum=0, maximum=1000, label="Passes"),
        *labelled_options(train=2000),
        *own_rows.READ,
        *own_rows.SPLIT,
        rank_by(metrics),
    )  # fmt: skip
    data_names: ClassVar[Mapping[str, str]] = {
        **own_rows.LabelledData.data_names,
        "mnist": "MNIST's 10,000 test digits at 14 × 14 pixels, 10 classes (11 MB, downloaded once)",
    }
    data_formats: ClassVar[tuple[str, ...]] = (*own_rows.LabelledData.data_formats, FOLDER)  # type: ignore[misc]
    files: ClassVar[str] = "a file, a folder of images by class, or one of trained networks"  # type: ignore[misc]
    default_sweep = ("setting", ("seeds", "tasks", "forks"))

    def named(self, name: str, seed: int | None, options: Options) -> Any:
        """See `Problem.named`; MNIST at 14 × 14, as means of four pixels."""
        content = super().named(name, seed, options)
        if name != "mnist":
            return content
        return type(content)(content.features.reshape(-1, 14, 2, 14, 2).mean((2, 4)), content.labels, content.classes)

    def read(self, path: Path, options: Options) -> Any:
        """See `Problem.read`, and `data.read_folder`."""
        if not holds_networks(path):
            return super().read(path, options)
        for option in self.options:
            if option.reads == "own" and options[option.name] != option.default:
                raise ReplicaError(f"{path} holds networks; leave --{option.name.replace('_', '-')} out.")
        return read_folder(path)

    def size(self, content: Any, options: Options) -> str:
        """See `Problem.size`."""
        if not isinstance(content, Folder):
            return super().size(content, options)
        rows = {id(y): len(y) for _, y in content.rows.values()}
        return f"{len(content.networks)} networks and {sum(rows.values()):,} rows"

    def identity(self, content: Any) -> tuple[Any, ...]:
        """See `Problem.identity`."""
        if not isinstance(content, Folder):
            return super().identity(content)
        code = np.frombuffer(content.build.read_bytes(), np.uint8)
        nets = [content.base or {}, *content.networks.values()]
        form = [[(name, value.shape, str(value.dtype)) for name, value in sorted(net.items())] for net in nets]
        arrays = [value for net in nets for _, value in sorted(net.items())]
        pairs = [part for pair in content.rows.values() for part in pair]
        shapes = [(part.shape, str(part.dtype)) for part in pairs]
        return (list(content.networks), form, shapes), code, *arrays, *pairs

    def check(self, dataset: Dataset, options: Options) -> None:
        """See that rows of all classes are left to learn from, and that networks of the user's are not asked to be others."""
        if not isinstance(dataset.content, Folder):
            for kind in listed(str(options["kinds"])):
                there = kinds(tuple(dataset.content.shape))
                if kind not in there:
                    raise ReplicaError(f"Option kinds names {kind!r:.40}; wanted {', '.join(there)}.")
            return super().check(dataset, options)
        for option in self.options:
            if option.name in _OF_TRAINING and options[option.name] != option.default:
                asked = option.name.replace("_", "-")
                raise ReplicaError(f"{dataset.name} holds networks that are trained; leave --{asked} out.")

    def check_validation(self, dataset: Dataset, options: Options) -> None:
        """See that rows can be held out."""
        if not isinstance(dataset.content, Folder):
            return super().check_validation(dataset, options)
        fewest = min(len(y) for _, y in dataset.content.rows.values())
        if fewest - max(1, round(float(options["test"]) * fewest)) < 2:
            raise ReplicaError(f"Tuning holds rows out of those that are not tested, but a network has {fewest} in all; "
                               "give a smaller --test, or leave --tune out.")  # fmt: skip

    def used(self, dataset: Dataset, options: Options, scale: Scale) -> Mapping[str, str]:
        """See `Problem.used`."""
        if isinstance(dataset.content, Folder):
            return dict.fromkeys(_OF_TRAINING, "")
        from replica.lab.problems.merge.nets import Plan

        plan = Plan.of(options, Trial(0, scale))
        told = {"networks": plan.networks, "depth": plan.depth, "width": plan.width, "common_epochs": plan.common}
        train, test = self.rows(Trial(0, scale), dataset.content, options, "test")
        away = min(plan.held_out, len(train) // 2)
        rows = {"train": len(train) - away, "held_out": away, "test": len(test)}
        return {**{name: str(value) for name, value in told.items()}, "epochs": str(plan.epochs),
                **{name: f"{count:,} rows" for name, count in rows.items()}}  # fmt: skip

    def measure(self, trial: Trial, start: Start, dataset: Dataset, options: Options, split: Split) -> Measured:
        """Merge the trial's networks, and test the outcome on what each knew; see the class for the measures."""
        from torch import nn

        from replica.lab.problems.merge.nets import trained
        from replica.lab.problems.merge.own_networks import given
        from replica.lab.problems.merge.scores import accuracy

        content = dataset.content
        if isinstance(content, Folder):
            nets = given(trial, content, dataset.digest, options, split)
        else:
            parts = self.rows(trial, content, options, split)
            nets = trained(trial, content, dataset.digest, parts, options, split)
        method = start()
        base, copies = copy.deepcopy((nets.base, nets.networks))
        held_out = [(inputs.clone(), labels.clone()) for inputs, labels in nets.held_out]
        merged, seconds = timed(trial, lambda: method.merge(base, copies, held_out))
        name = f"{type(method).__name__}.merge"
        if not isinstance(merged, nn.Module):
            raise ReplicaError(f"{name} returned {type(merged).__name__}; wanted a torch.nn.Module.")
        merged.eval()
        single = [accuracy(net, rows, name) for net, rows in zip(nets.networks, nets.tests, strict=True)]
        found = [accuracy(merged, rows, f"{name}'s module") for rows in nets.tests]
        # A network that knows nothing counts as one that tells one row right.
        kept = [ours / max(own, 1 / len(rows[1])) for ours, own, rows in zip(found, single, nets.tests, strict=True)]
        learned = getattr(method, "numbers_learned", 0)
        if not isinstance(learned, int | np.integer) or learned < 0:
            raise ReplicaError(f"{type(method).__name__}.numbers_learned is {learned!r:.60}; wanted a whole number.")
        metrics = {
            "kept": math.fsum(kept) / len(kept),
            "worst": min(kept),
            "accuracy": math.fsum(found) / len(found),
            "single": math.fsum(single) / len(single),
            "learned": float(learned),
            "size": _numbers(merged) / _numbers(nets.networks[0]),
            "seconds": seconds,
            "barrier": nets.barrier,
        }
        return metrics, lambda: {"names": nets.names, "single": single, "merged": found}


def _numbers(net: Any) -> int:
    """Parameters and floating-point buffers of a network, each once."""
    held = {id(each): each.numel() for each in (*net.parameters(), *net.buffers()) if each.is_floating_point()}
    return max(1, int(sum(held.values())))
