"""Where papers on local learning are tested: convolutional stacks so deep that greedy local learning falls behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from replica.lab.claims import Trial
from replica.lab.data import mnist, mnist_1d
from replica.lab.problems.credit_networks import network
from replica.lab.problems.step_memory import peak_step_bytes
from replica.plasticity.local_training import LocalTraining, Optimiser

Make = Callable[..., LocalTraining]
"""``make(network, example, generator=…)`` gives a trainer of the network."""


def adam(learning_rate: float) -> Optimiser:
    """Adam for every block."""
    return partial(torch.optim.Adam, lr=learning_rate)


class LocalLearner:
    """A trainer of local blocks in the form that the problem credit asks for."""

    trainer: LocalTraining

    def __init__(self, make: Make) -> None:
        self.make = make

    def build(self, net: nn.Sequential, loss: Callable[[Tensor, Tensor], Tensor], example: Tensor) -> None:
        """Take over a network."""
        self.trainer = self.make(net, example, loss=loss)

    def step(self, inputs: Tensor, labels: Tensor) -> None:
        """One update on a batch."""
        self.trainer.step(inputs, labels)

    def gradients(self, inputs: Tensor, labels: Tensor) -> Mapping[str, Tensor]:
        """The directions alone."""
        return self.trainer.gradients(inputs, labels)


@dataclass(frozen=True)
class Samples:
    """Samples to learn from and to test, standardised by the former, shape ``(count, 1, *grid)``."""

    inputs: Tensor
    labels: Tensor
    asked: Tensor
    truth: Tensor


def samples(trial: Trial) -> Samples:
    """Signals of MNIST-1D, a fifth of them to test; MNIST's images as they are split at full scale."""
    if trial.scale == "full":
        parts = [(torch.tensor(part.values), torch.tensor(part.labels)) for part in (mnist("train"), mnist("test"))]
    else:
        signals = mnist_1d()
        order = torch.as_tensor(trial.rng("split").permutation(len(signals.labels)))
        train, test = order.split([len(order) - len(order) // 5, len(order) // 5])
        if trial.scale == "smoke":
            train, test = train[:64], test[:40]
        values, labels = torch.as_tensor(signals.features), torch.as_tensor(signals.labels)
        parts = [(values[rows], labels[rows]) for rows in (train, test)]
    mean, deviation = parts[0][0].mean(), parts[0][0].std()
    (inputs, labels), (asked, truth) = [
        (((values - mean) / deviation)[:, None].to(trial.device), own.to(trial.device)) for values, own in parts
    ]
    return Samples(inputs, labels, asked, truth)


def stack(trial: Trial, depth: int) -> nn.Sequential:
    """The network: ``depth`` convolutional layers and a head, the same for all methods of one trial."""
    grid = trial.pick(smoke=(40,), laptop=(40,), full=(28, 28))
    width = trial.pick(smoke=4, laptop=16, full=32)
    generator = trial.generator("network")
    return network("conv", (1, *grid), 10, depth=depth, width=width, generator=generator)


def accuracy(trial: Trial, data: Samples, depth: int, make: Make) -> float:
    """Share of test samples told right after training; batches come in the same order for all methods of one trial."""
    trainer = make(stack(trial, depth), data.inputs[:4], generator=trial.generator("auxiliaries"))
    order = trial.generator("batches")
    size = trial.pick(smoke=32, laptop=128, full=128)
    for _ in range(trial.pick(smoke=1, laptop=12, full=20)):
        rows = torch.randperm(len(data.inputs), generator=order, device=trial.device)
        for batch in rows.split(size)[: len(rows) // size]:
            trainer.step(data.inputs[batch], data.labels[batch])
    with torch.no_grad():
        right = [trainer(part).argmax(1) == answers for part, answers in _parts(data.asked, data.truth)]
    return float(torch.cat(right).double().mean())


def memory(trial: Trial, data: Samples, depth: int, make: Make) -> tuple[int, int]:
    """Bytes that a step takes at its peak, and bytes that lie there all the time: weights and what the optimiser keeps."""
    trainer = make(stack(trial, depth), data.inputs[:4], generator=trial.generator("auxiliaries"))
    batch, answers = data.inputs[:1024], data.labels[:1024]
    trainer.step(batch[:2], answers[:2])  # the optimisers make their state at the first step
    peak = peak_step_bytes(trial, lambda: trainer.step(batch, answers))
    kept = {id(tensor): tensor for tensor in (*trainer.parameters(), *trainer.buffers())}
    for optimiser in trainer.optimisers:
        for state in optimiser.state.values():
            kept |= {id(value): value for value in state.values() if isinstance(value, Tensor)}
    return peak, sum(tensor.numel() * tensor.element_size() for tensor in kept.values())


def memory_over_layers(
    trial: Trial, methods: Mapping[str, Make], judged: str
) -> tuple[list[float], dict[str, list[Any]]]:
    """Share of backpropagation's memory that a method saves, over the number of layers; memory of all methods."""
    data = samples(trial)
    series: dict[str, list[Any]] = {"layers": [], "method": [], "megabytes": []}
    saved = []
    for layers in trial.pick(smoke=(2, 4), laptop=(4, 8, 16, 55), full=(4, 8, 16, 55)):
        found = {name: sum(memory(trial, data, layers, make)) for name, make in methods.items()}
        saved.append(1 - found[judged] / found["backprop"])
        series["layers"] += [layers] * len(found)
        series["method"] += list(found)
        series["megabytes"] += [value / 1e6 for value in found.values()]
    return saved, series


def operations(trial: Trial, data: Samples, depth: int, make: Make) -> int:
    """Floating-point operations of one step, counted while it runs."""
    trainer = make(stack(trial, depth), data.inputs[:4], generator=trial.generator("auxiliaries"))
    counter = FlopCounterMode(display=False)
    with counter:
        trainer.step(data.inputs[:32], data.labels[:32])
    return int(counter.get_total_flops())


def _parts(*tensors: Tensor) -> Any:
    return zip(*(tensor.split(2000) for tensor in tensors), strict=True)
