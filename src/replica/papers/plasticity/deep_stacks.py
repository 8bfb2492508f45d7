"""Where papers on local learning are tested: convolutional stacks so deep that greedy local learning falls behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import pandas as pd
import torch
from matplotlib.axes import Axes
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from replica.data import digits, mnist, mnist_1d
from replica.lab.claims import Trial
from replica.lab.problems.credit.networks import network
from replica.lab.problems.credit.step_memory import peak_step_bytes
from replica.plasticity.local_blocks import lean_averages
from replica.plasticity.local_training import LocalTraining, Optimiser

Make = Callable[..., LocalTraining]
"""``make(network, example, optimiser=…, generator=…)`` gives a trainer of the network."""

RATES = (0.003, 0.01)


def adam(learning_rate: float) -> Optimiser:
    """Adam for every block."""
    return partial(torch.optim.Adam, lr=learning_rate)


@dataclass(frozen=True)
class Samples:
    """Samples to learn from, to choose a learning rate by, and to test; standardised by the first two.

    Shape ``(count, 1, *grid)``.
    """

    inputs: Tensor
    labels: Tensor
    held: Tensor
    held_labels: Tensor
    asked: Tensor
    truth: Tensor


def samples(trial: Trial) -> Samples:
    """Signals of MNIST-1D, a fifth of them to test; MNIST's images as they are split at full scale.

    A fifth of what is there to learn from is held out to choose the learning rate by.
    """
    if trial.scale == "full":
        parts = [(torch.tensor(part.values), torch.tensor(part.labels)) for part in (mnist("train"), mnist("test"))]
    else:
        signals = mnist_1d()
        order = torch.as_tensor(trial.rng("split").permutation(len(signals.labels)))
        train, test = order.split([len(order) - len(order) // 5, len(order) // 5])
        if trial.scale == "smoke":
            train, test = train[:80], test[:40]
        values, labels = torch.as_tensor(signals.features), torch.as_tensor(signals.labels)
        parts = [(values[rows], labels[rows]) for rows in (train, test)]
    mean, deviation = parts[0][0].mean(), parts[0][0].std()
    (inputs, labels), (asked, truth) = [
        (((values - mean) / deviation)[:, None].to(trial.device), own.to(trial.device)) for values, own in parts
    ]
    order = torch.as_tensor(trial.rng("held out").permutation(len(labels))).to(trial.device)
    learn, held = order.split([len(order) - len(order) // 5, len(order) // 5])
    return Samples(inputs[learn], labels[learn], inputs[held], labels[held], asked, truth)


def stack(trial: Trial, depth: int, grid: tuple[int, ...]) -> nn.Sequential:
    """The network: ``depth`` convolutional layers and a head, the same for all methods of one trial.

    Its head averages as auxiliary networks do, so that backpropagation saves that memory as well.
    """
    width = trial.pick(smoke=4, laptop=16, full=32)
    net = network("conv", (1, *grid), 10, depth=depth, width=width, generator=trial.generator("network"))
    lean_averages(net)
    return net


class Trained(NamedTuple):
    """What a method comes to: share of test samples told right, and the learning rate that it had."""

    accuracy: float
    rate: float


def trained(trial: Trial, data: Samples, depth: int, make: Make) -> Trained:
    """Train a method with Adam, its learning rate chosen without the test samples, the same way for every method.

    With each of `RATES` it learns for half of the epochs, from the same start and by the same batches for all; the one
    that then tells more of the held-out samples right goes on to the end.
    """
    return trained_alike(trial, data, depth, {"": make})[""]


def trained_alike(trial: Trial, data: Samples, depth: int, makes: Mapping[str, Make]) -> dict[str, Trained]:
    """Train variants of a method at one learning rate: the one that is better for them in the mean (see `trained`)."""
    runs: dict[float, dict[str, tuple[LocalTraining, Iterator[None]]]] = {}
    told = {}
    for rate in RATES:
        trainers = {name: _trainer(trial, depth, data.inputs, make, rate) for name, make in makes.items()}
        runs[rate] = {name: (trainer, _epochs(trial, data, trainer)) for name, trainer in trainers.items()}
        for _, epochs in runs[rate].values():
            for _ in range(trial.pick(smoke=1, laptop=6, full=10)):
                next(epochs)
        told[rate] = sum(_right(trainer, data.held, data.held_labels) for trainer in trainers.values())
    best = max(told, key=lambda rate: told[rate])
    found = {}
    for name, (trainer, rest) in runs[best].items():
        for _ in rest:
            pass
        found[name] = Trained(_right(trainer, data.asked, data.truth), best)
    return found


def _trainer(trial: Trial, depth: int, inputs: Tensor, make: Make, rate: float) -> LocalTraining:
    net = stack(trial, depth, tuple(inputs.shape[2:]))
    return make(net, inputs[:4], optimiser=adam(rate), generator=trial.generator("auxiliaries"))


def _epochs(trial: Trial, data: Samples, trainer: LocalTraining) -> Iterator[None]:
    order, size = trial.generator("batches"), trial.pick(smoke=32, laptop=128, full=128)
    for _ in range(trial.pick(smoke=2, laptop=12, full=20)):
        rows = torch.randperm(len(data.inputs), generator=order, device=trial.device)
        for batch in rows.split(size)[: len(rows) // size]:
            trainer.step(data.inputs[batch], data.labels[batch])
        yield


def _right(trainer: LocalTraining, inputs: Tensor, labels: Tensor) -> float:
    with torch.no_grad():
        parts = zip(inputs.split(2000), labels.split(2000), strict=True)
        right = [trainer(part).argmax(1) == answers for part, answers in parts]
    return float(torch.cat(right).double().mean())


class Memory(NamedTuple):
    """Bytes that a step takes at its peak, and bytes that lie there all the time: weights and what the optimiser keeps."""

    step: int
    kept: int

    def __truediv__(self, other: Memory) -> float:
        """How much of another's memory it is, all in all."""
        return sum(self) / sum(other)


def memory(trial: Trial, depth: int, make: Make) -> Memory:
    """Memory of training on 1,024 digits (8 × 8) at a time; on MNIST's 28 × 28 at full scale, on 64 at smoke scale."""
    images = mnist("train") if trial.scale == "full" else digits()
    count = trial.pick(smoke=64, laptop=1024, full=1024)
    batch, answers = [torch.tensor(part[:count]).to(trial.device) for part in (images.values, images.labels)]
    batch = batch[:, None]
    trainer = _trainer(trial, depth, batch, make, RATES[0])
    trainer.step(batch[:2], answers[:2])  # the optimisers make their state at the first step
    peak = peak_step_bytes(trial, lambda: trainer.step(batch, answers))
    kept = {id(tensor): tensor for tensor in (*trainer.parameters(), *trainer.buffers())}
    for optimiser in trainer.optimisers:
        for state in optimiser.state.values():
            kept |= {id(value): value for value in state.values() if isinstance(value, Tensor)}
    return Memory(peak, sum(tensor.numel() * tensor.element_size() for tensor in kept.values()))


def memory_over_layers(trial: Trial, methods: Mapping[str, Make]) -> tuple[dict[str, Memory], dict[str, list[Any]]]:
    """Memory of all methods at 12 layers (24 at full scale), and over the number of layers."""
    judged = trial.pick(smoke=4, laptop=12, full=24)
    series: dict[str, list[Any]] = {"layers": [], "method": [], "megabytes": [], "kept_megabytes": []}
    found: dict[str, Memory] = {}
    for layers in trial.pick(smoke=(2, 4), laptop=(4, 8, 12, 16, 32), full=(4, 8, 12, 16, 24, 55)):
        here = {name: memory(trial, layers, make) for name, make in methods.items()}
        if layers == judged:
            found = here
        for name, own in here.items():
            series["layers"].append(layers)
            series["method"].append(name)
            series["megabytes"].append(sum(own) / 1e6)
            series["kept_megabytes"].append(own.kept / 1e6)
    return found, series


def operations(trial: Trial, data: Samples, depth: int, make: Make) -> int:
    """Floating-point operations of one step, counted while it runs."""
    trainer = _trainer(trial, depth, data.inputs, make, RATES[0])
    counter = FlopCounterMode(display=False)
    with counter:
        trainer.step(data.inputs[:32], data.labels[:32])
    return int(counter.get_total_flops())


def memory_axes(axes: Axes, table: pd.DataFrame) -> None:
    """Label the axes of memory over the number of layers, and mark where claims are judged."""
    layers = sorted(table["layers"].unique())
    axes.set(xscale="log", xlabel="hidden layers, each a local block", ylabel="memory of training (MB)", ylim=(0, None))
    axes.set_xticks(layers, [str(number) for number in layers])
    axes.set_xticks([], minor=True)
    if 12 in layers:
        axes.axvline(12, color="tab:gray", linestyle=":", linewidth=1, label="judged here")
    axes.legend(fontsize=9)
