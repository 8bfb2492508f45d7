"""Monotone Boltzmann machines at work: trained to complete what is hidden, as a memory of ±1 patterns, as a classifier of rows.

The training follows the authors' code for Feng, Winston and Kolter 2023 (arXiv 2307.04990): every batch hides nodes at random and
asks for them. Memory and classifier are ours.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import one_hot

from replica.training import Minibatches, fit

from .monotone_boltzmann import ConvolutionalMonotoneBoltzmann, MonotoneBoltzmann

Machine = MonotoneBoltzmann | ConvolutionalMonotoneBoltzmann


def start_at_frequencies(machine: Machine, frequencies: Float[Tensor, "nodes states"], *, scale: float = 10.0) -> None:
    """Set the biases of the first layer so that it starts at these frequencies.

    Args:
        machine: Changed in place.
        frequencies: How often each node of the first layer has each state.
        scale: Readout scale of every node; 10 is the authors' for pixels.
    """
    with torch.no_grad():
        machine.log_scales.fill_(np.log(scale))
        # Half a count in fifty for what is never seen: no bias is infinite.
        logarithms = (frequencies + 0.01).log()
        machine.biases[: frequencies.numel()] = ((logarithms - logarithms.mean(-1, keepdim=True)) / scale).flatten()


def learn_to_complete(
    machine: Machine,
    states: Int[Tensor, "count nodes"],
    labels: Int[Tensor, "count 1"],
    *,
    steps: int,
    rate: float,
    generator: torch.Generator,
    size: int = 64,
    seen: float | None = 0.4,
    label_weight: float = 0.2,
) -> None:
    """Train a machine of three layers (visible, hidden, label) by Adam on the cross-entropy of what is not seen.

    Args:
        machine: Changed in place.
        states: State of each visible node.
        labels: State of the label, never seen.
        steps: Gradient steps.
        rate: Learning rate, from which a cosine falls to zero.
        generator: Draws batches and masks.
        size: Rows of a batch.
        seen: Share of visible nodes that are seen; None draws a share for each row.
        label_weight: Weight of the label's cross-entropy; the visible nodes' have the rest.
    """

    def loss(_: Any, states: Tensor, labels: Tensor) -> Tensor:
        drawn = torch.rand(len(states), 1, generator=generator, device=states.device)
        share = drawn if seen is None else torch.full_like(drawn, seen)
        mask = torch.rand(states.shape, generator=generator, device=states.device) < share
        found = machine.loss(states, None, labels, known=(mask, None, None))
        on_states = 0 * machine.biases.sum() if found[0] is None else found[0]
        return on_states if found[2] is None else (1 - label_weight) * on_states + label_weight * found[2]

    _fit(machine, loss, states, labels, steps=steps, rate=rate, size=size, generator=generator)


class BoltzmannMemory:
    """A monotone machine trained to complete the stored ±1 patterns, as a memory.

    Training hides entries and gives others wrongly; recall takes the cue as evidence of strength `evidence` (log-odds) for
    each entry, none where the cue is 0, and gives the sign of the marginals.

    Args:
        hidden: binary hidden nodes.
        evidence: log-odds that an entry of ±1 in a cue is right; with flips of a share p, ln((1 − p) / p).
        rate: of Adam.
        steps: of training.
        generator: all randomness.
    """

    def __init__(self, hidden: int, evidence: float, rate: float, steps: int, generator: torch.Generator) -> None:
        self.hidden, self.evidence, self.rate, self.steps = hidden, evidence, rate, steps
        self.generator = generator
        self.machine: MonotoneBoltzmann

    def store(self, patterns: Float[Tensor, "count dim"]) -> None:
        """Train the machine on patterns of ±1."""
        dim, device, generator = patterns.shape[1], patterns.device, self.generator
        machine = MonotoneBoltzmann(
            [(dim, 2), (self.hidden, 2)], rank=min(2 * dim, dim + self.hidden), gain=0.3, tolerance=1e-2,
            generator=generator, device=device,
        )  # fmt: skip
        states = (patterns > 0).long()
        start_at_frequencies(machine, one_hot(states, 2).float().mean(0))

        def loss(_: Any, states: Tensor) -> Tensor:
            truth = (2 * states - 1).to(machine.biases.dtype)
            kept, share = (torch.rand(len(states), 1, generator=generator, device=device) for _ in range(2))
            wrong = torch.rand(truth.shape, generator=generator, device=device) < 0.3 * share
            shown = torch.rand(truth.shape, generator=generator, device=device) < 0.5 + 0.5 * kept
            cues = truth * torch.where(wrong, -1.0, 1.0) * shown
            found = machine.readout(machine.infer(fields=(self.fields(cues),)))[0]
            return -found.gather(-1, states.unsqueeze(-1)).mean()

        _fit(machine, loss, states, steps=self.steps, rate=self.rate, size=64, generator=generator)
        machine.tolerance = 1e-3
        self.machine = machine

    def recall(self, cues: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        """The more probable sign of each entry."""
        with torch.no_grad():
            found = self.machine.readout(self.machine.infer(fields=(self.fields(cues),)))[0]
        return torch.where(found[..., 1] >= found[..., 0], 1.0, -1.0).to(cues.dtype)

    def fields(self, cues: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim 2"]:
        """The evidence that cues are for the two states of each entry."""
        half = 0.5 * self.evidence * cues
        return torch.stack([-half, half], -1)


class BoltzmannClassifier:
    """A monotone machine over a row's features, cut into levels, and its label.

    Levels are cut at the quantiles of the rows to learn from. Training hides features and asks for them and for the label.

    Args:
        hidden: binary hidden nodes.
        levels: of each feature, at most.
        rate: of Adam.
        steps: of training.
        generator: all randomness.
    """

    def __init__(self, hidden: int, levels: int, rate: float, steps: int, generator: torch.Generator) -> None:
        self.hidden, self.levels, self.rate, self.steps = hidden, levels, rate, steps
        self.generator = generator

    def fit(self, X: NDArray[Any], y: NDArray[Any]) -> "BoltzmannClassifier":
        """Learn from rows (rows, features) and labels."""
        self.classes_, codes = np.unique(y, return_inverse=True)
        # Midway between two values that occur: equal values never part.
        ordered = np.sort(X, axis=0)
        places = np.arange(1, self.levels) * len(X) // self.levels
        self.cuts = (ordered[places] + ordered[np.maximum(places - 1, 0)]) / 2
        states = self.states(X)
        labels = torch.as_tensor(codes, device=self.generator.device).long().unsqueeze(1)
        layers = [(X.shape[1], self.levels), (self.hidden, 2), (1, max(2, len(self.classes_)))]
        self.machine = MonotoneBoltzmann(layers, rank=64, gain=0.3, tolerance=1e-2, generator=self.generator)
        start_at_frequencies(self.machine, one_hot(states, self.levels).float().mean(0))
        learn_to_complete(
            self.machine, states, labels, steps=self.steps, rate=self.rate, generator=self.generator, seen=None,
            label_weight=0.8,
        )  # fmt: skip
        self.machine.tolerance = 1e-3
        return self

    def predict_proba(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """The label's probabilities, given all features."""
        with torch.no_grad():
            found = self.machine.readout(self.machine.infer(self.states(X)))[2]
        return found[:, 0, : len(self.classes_)].double().softmax(-1).cpu().numpy()

    def predict(self, X: NDArray[Any]) -> NDArray[Any]:
        """The most probable label."""
        return self.classes_[self.predict_proba(X).argmax(1)]

    def states(self, X: NDArray[Any]) -> Int[Tensor, "rows features"]:
        """The level of each feature."""
        return torch.as_tensor((X[:, None] > self.cuts).sum(1), device=self.generator.device)


def _fit(
    machine: Machine, loss: Any, *tensors: Tensor, steps: int, rate: float, size: int, generator: torch.Generator
) -> None:
    optimiser = torch.optim.Adam(machine.parameters(), rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    batches = Minibatches(*tensors, size=min(size, len(tensors[0])), generator=generator)
    fit(machine, loss, batches, optimiser=optimiser, steps=steps, schedule=schedule)
