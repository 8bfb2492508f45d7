"""Need is all you need: homeostatic neural networks adapt to concept shift (Man, Damasio and Neven 2022)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from replica.lab.claims import Choice, LogUniform, Paper, Reported, Trial, Uniform, above
from replica.lab.claims.drawing import draw_spread
from replica.plasticity.concept_shift import LabelSwaps
from replica.plasticity.homeostatic import HomeostaticLearner, Regulation

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Result = tuple[dict[str, float], dict[str, list[Any]]]

LEARNERS: dict[str, Regulation] = {"homeostatic": "foresight", "constant": "none", "random": "random"}
STYLES = {
    "homeostatic": ("tab:blue", "o", "-"),
    "constant": ("tab:orange", "s", "--"),
    "random": ("tab:green", "^", ":"),
}
BATCH = 10
CLASSES = 10


class StackedPerceptron(nn.Module):
    """Equal perceptrons with ELU side by side, as the authors draw them: weights of variance 2/inputs, biases of 1."""

    def __init__(self, sizes: Sequence[int], replicas: int, generator: torch.Generator) -> None:
        super().__init__()
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for inputs, units in zip(sizes[:-1], sizes[1:], strict=True):
            weight = torch.randn(inputs, units, generator=generator, device=generator.device) * math.sqrt(2 / inputs)
            bias = torch.randn(1, units, generator=generator, device=generator.device)
            self.weights.append(weight.repeat(replicas, 1, 1))
            self.biases.append(bias.repeat(replicas, 1, 1))

    def forward(self, inputs: Float[Tensor, "replicas batch inputs"]) -> Float[Tensor, "replicas batch classes"]:
        """Scores of every replica."""
        last = len(self.weights) - 1
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            inputs = torch.baddbmm(bias, inputs, weight)
            inputs = inputs if number == last else nn.functional.elu(inputs)
        return inputs


@dataclass(frozen=True)
class History:
    """What became of learners on streams: right answers and rates by batch, ``(batches, streams, rates)``."""

    right: Float[Tensor, "batches streams rates"]
    rate: Float[Tensor, "batches streams rates"]

    @property
    def accuracy(self) -> Float[Tensor, "streams rates"]:
        """Share of rows named right, each before it was learned."""
        return self.right.mean(0)


def data(trial: Trial) -> tuple[Float[Tensor, "rows inputs"], Int[Tensor, " rows"]]:
    """Digits of 8×8 values from 0 to 1; MNIST at full scale."""
    from replica.lab.data import digits, mnist

    images = mnist("train") if trial.scale == "full" else digits()
    values = torch.from_numpy(np.asarray(images.values)).flatten(1).float()
    return values.to(trial.device), torch.from_numpy(np.asarray(images.labels)).long().to(trial.device)


def live(
    trial: Trial, name: str, regulation: Regulation, swaps_at: np.ndarray, rates: Float[Tensor, "streams rates"]
) -> History:
    """Let learners of one kind live through streams; all that share ``name`` meet the same rows, swaps and first weights.

    Args:
        trial: Where randomness comes from.
        name: Of the streams.
        regulation: How they treat their learning rate.
        swaps_at: Whether two labels are swapped before a batch, ``(batches, streams)``.
        rates: First rates of the learners on each stream.
    """
    inputs, labels = data(trial)
    batches, streams = swaps_at.shape
    tried = rates.shape[1]
    replicas = streams * tried
    hidden = (80, 60)
    net = StackedPerceptron((inputs.shape[1], *hidden, CLASSES), replicas, trial.generator("network"))
    learner = HomeostaticLearner(
        net,
        nn.functional.cross_entropy,
        rates.flatten().to(trial.device),
        regulation=regulation,
        replicas=replicas,
        generator=trial.generator(f"{name}-choices"),
    )
    names = LabelSwaps(CLASSES, streams, generator=trial.generator(f"{name}-swaps"), device=trial.device)
    order, left = trial.generator(f"{name}-rows"), torch.empty(0, dtype=torch.long, device=trial.device)
    right, path = [], []
    for swaps in swaps_at:
        if len(left) < BATCH:
            left = torch.randperm(len(inputs), generator=order, device=trial.device)
        rows, left = left[:BATCH], left[BATCH:]
        if swaps.any():
            names.swap(torch.as_tensor(swaps, device=trial.device))
        shown = inputs[rows].expand(replicas, -1, -1)
        called = names.rename(labels[rows]).repeat_interleave(tried, 0)
        with torch.no_grad():
            right.append((net(shown).argmax(-1) == called).float().mean(1))
        learner.step(shown, called)
        path.append(learner.rate)
    return History(*(torch.stack(values).view(batches, streams, tried).cpu() for values in (right, path)))


def regular(batches: int, every: Sequence[int]) -> np.ndarray:
    """Streams with a swap before every so many batches, none where it is 0."""
    number = np.arange(batches)[:, None]
    spacing = np.array(every)[None]
    return (number > 0) & (spacing > 0) & (number % np.maximum(spacing, 1) == 0)
