"""Many homeostatic perceptrons side by side, their gradients and futures written out."""

import itertools
import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from .homeostatic import Regulation

_FLOOR = 1e-8


class HomeostaticPerceptrons:
    """What `HomeostaticLearner` does with ``simulate="sample"``, for perceptrons with ELU and cross-entropy, but faster.

    The perceived row's part of the gradient has rank one in every layer, so that a future is looked into without making its
    weights: h (W − η a δᵀ) = h W − η (h·a) δᵀ. Both futures are rows of one batch. Learners of all kinds take their step
    together. All start from the same weights, drawn as the authors do: weights of variance 2 / inputs, normal biases.

    Args:
        sizes: Units from inputs to classes.
        kinds: How learners regulate their rate, a block of replicas each; ``"foresight"`` may come first alone.
        rates: First rate of every replica, ``(kinds, block)``; weights take its type and device.
        generator: Of the weights.
        choices: Of the choices of ``"random"``.
        effect: δ as a share of the first rate.
        memory: Rows remembered.

    Attributes:
        rate: ``(kinds · block,)``.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        kinds: Sequence[Regulation],
        rates: Float[Tensor, "kinds block"],
        *,
        generator: torch.Generator,
        choices: torch.Generator,
        effect: float = 0.1,
        memory: int = 20,
    ) -> None:
        if "foresight" in kinds[1:]:
            raise ValueError(f"kinds: got {tuple(kinds)}, want foresight first")
        self.kinds, self.block, self.choices, self.memory = tuple(kinds), rates.shape[1], choices, memory
        self.rate, self.amount = rates.flatten().clone(), effect * rates.flatten()
        self.weights, self.biases = [], []
        for inputs, units in itertools.pairwise(sizes):
            weight = torch.randn(inputs, units, generator=generator, device=rates.device) * math.sqrt(2 / inputs)
            bias = torch.randn(1, units, generator=generator, device=rates.device)
            self.weights.append(weight.to(rates.dtype).repeat(rates.numel(), 1, 1))
            self.biases.append(bias.to(rates.dtype).repeat(rates.numel(), 1, 1))
        self.inputs = torch.empty(0, sizes[0], device=rates.device, dtype=rates.dtype)
        self.labels = torch.empty(len(self.rate), 0, dtype=torch.long, device=rates.device)

    @torch.no_grad()
    def step(
        self, inputs: Float[Tensor, "batch features"], labels: Int[Tensor, "replicas batch"]
    ) -> Float[Tensor, " replicas"]:
        """Choose by the first row, and take one step of gradient descent; gives the share of rows right before it."""
        states = [inputs.expand(len(labels), -1, -1)]
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            states.append(nn.functional.elu(torch.baddbmm(bias, states[-1], weight)))
        scores = torch.baddbmm(self.biases[-1], states[-1], self.weights[-1])
        delta = scores.softmax(-1)
        delta.scatter_add_(-1, labels[..., None], delta.new_full((), -1.0).expand(*labels.shape, 1))
        deltas = [delta / len(inputs)]
        for state, weight in zip(reversed(states[1:]), reversed(self.weights[1:]), strict=True):
            deltas.insert(0, torch.bmm(deltas[0], weight.mT) * (state.clamp(max=0) + 1))
        guesses = scores.argmax(-1)
        self._regulate(states, deltas, guesses[:, 0], labels[:, 0])
        for weight, bias, state, delta in zip(self.weights, self.biases, states, deltas, strict=True):
            scaled = delta * self.rate[:, None, None]
            weight.baddbmm_(state.mT, scaled, alpha=-1)
            bias -= scaled.sum(1, keepdim=True)
        self.inputs = torch.cat([self.inputs, inputs])[-self.memory :]
        self.labels = torch.cat([self.labels, labels], dim=1)[:, -self.memory :]
        return (guesses == labels).to(self.rate.dtype).mean(1)

    def rename(self, becomes: Int[Tensor, "replicas classes"]) -> None:
        """Tell the learners that classes have other names now, also those of the rows that they remember."""
        self.labels = becomes.gather(1, self.labels)

    def _regulate(self, states: list[Tensor], deltas: list[Tensor], guess: Tensor, truth: Tensor) -> None:
        classes = self.weights[-1].shape[-1]
        take = torch.zeros_like(truth, dtype=torch.bool)
        for number, kind in enumerate(self.kinds):
            own = slice(number * self.block, (number + 1) * self.block)
            if kind == "random":
                take[own] = torch.rand(self.block, generator=self.choices, device=truth.device) > 0.5
            elif kind == "foresight" and len(self.inputs) == self.memory:
                futures = torch.stack([self.rate[own], self._moved(guess, classes)[own]], dim=1)
                stays, takes = self._foreseen(futures, states, deltas).unbind(1)
                take[own] = takes > stays
        self.rate = torch.where(take, self._moved(truth, classes), self.rate)

    def _moved(self, perceived: Tensor, classes: int) -> Tensor:
        moved = torch.where(perceived >= classes // 2, self.rate + self.amount, self.rate - self.amount)
        return torch.where(moved < 0, _FLOOR, moved)

    def _foreseen(
        self, rates: Float[Tensor, "block futures"], states: list[Tensor], deltas: list[Tensor]
    ) -> Int[Tensor, "block futures"]:
        """Remembered rows that are classified right after a step with each rate along the first row's part of the gradient."""
        block, futures = rates.shape
        steps = -rates.repeat_interleave(self.memory, 1)[..., None]
        known = self.inputs.repeat(futures, 1).expand(block, -1, -1)
        last = len(self.weights) - 1
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            first, delta = states[layer][:block, :1], deltas[layer][:block, :1]
            along = steps * (torch.bmm(known, first.mT) + 1)
            known = torch.baddbmm(bias[:block], known, weight[:block]) + along * delta
            known = known if layer == last else nn.functional.elu(known)
        correct = known.argmax(-1).view(block, futures, self.memory) == self.labels[:block, None]
        return correct.sum(-1)
