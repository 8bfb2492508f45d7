"""Nets that a trial of the problem similarity trains."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from replica.data import digits
from replica.lab.claims import Trial
from replica.lab.problems.credit.networks import arrange, network
from replica.lab.problems.problem import Options, Split
from replica.lab.problems.similarity.data import TRAINED_ON, Nets, sizes
from replica.training import Minibatches, fit

LEARNING_RATE = 3e-3


def trained(trial: Trial, options: Options, split: Split) -> Nets:
    """The trial's nets on the digits that they were not trained on, in random order; for validation other nets.

    Nets differ in their start and in the order of their batches. The last ones made are kept: all methods, and all points of
    a sweep over noise, look at the same ones.
    """
    count, depth, width, epochs = sizes(options, trial.scale)
    return _trained(trial, str(options["network"]), count, depth, width, epochs, split)


@lru_cache(maxsize=4)  # the seeds on which hyperparameters are chosen, and one more
def _trained(trial: Trial, form: str, count: int, depth: int, width: int, epochs: int, split: Split) -> Nets:
    images = digits()
    order = trial.rng("images").permutation(len(images))
    shown = arrange(torch.tensor(images.values[order]), form).to(trial.device)
    labels = torch.tensor(images.labels[order], device=trial.device)
    seen = 200 if trial.scale == "smoke" else TRAINED_ON
    activations = {}
    for number in range(1, count + 1):
        weights, batches = (trial.generator(f"{split} {what} {number}") for what in ("weights", "batches"))
        net = network(form, tuple(shown.shape[1:]), 10, depth=depth, width=width, generator=weights)
        descent = torch.optim.Adam(net.parameters(), LEARNING_RATE)
        minibatches = Minibatches(shown[:seen], labels[:seen], size=64, generator=batches)
        fit(net, _cross_entropy, minibatches, optimiser=descent, steps=epochs * len(minibatches))
        activations[f"net {number}"] = _hidden(net, shown[TRAINED_ON:])
    return Nets(tuple(name for name, _ in net.named_children() if name != "head"), activations)


def _cross_entropy(net: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    return nn.functional.cross_entropy(net(images), labels)


@torch.no_grad()
def _hidden(net: nn.Sequential, shown: Tensor) -> tuple[NDArray[np.float32], ...]:
    found = []
    for name, layer in net.named_children():
        if name != "head":
            shown = layer(shown)
            found.append(shown.flatten(1).cpu().numpy())
    return tuple(found)
