"""Average precision of all neurons for all functions at once, beside scikit-learn's, one neuron and function after the other.

The arithmetic limit is that of sorting: tokens · log₂ tokens comparisons a neuron, and two operations a token and function.
"""

import math
from collections.abc import Iterator
from functools import partial

import torch
from sklearn.metrics import average_precision_score
from torch import Tensor

from replica.representations import neuron_functionality

from .case import Case


def one_by_one(activations: Tensor, functions: Tensor, count: int) -> None:
    """Each neuron and each function."""
    units, masks = activations.cpu().numpy().T, [(functions == each).cpu().numpy() for each in range(count)]
    for unit in units:
        for mask in masks:
            average_precision_score(mask, unit)


def cases(device: str = "cpu") -> Iterator[Case]:
    """The claims' size."""
    tokens, neurons, count = 6144, 256, 4
    generator = torch.Generator(device).manual_seed(0)
    activations = torch.randn(tokens, neurons, generator=generator, device=device)
    functions = torch.randint(count, (tokens,), generator=generator, device=device)
    yield Case(
        f"neuron functionality, beside scikit-learn's average precision ({tokens} × {neurons}, {count} functions)",
        partial(neuron_functionality, activations, functions),
        partial(one_by_one, activations, functions, count),
        neurons * tokens * (math.log2(tokens) + 2.0 * count),
        1.0,
    )
