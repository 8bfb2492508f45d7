"""What a parametrisation builds at one size: a module, and by how much of the swept rate each parameter moves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from replica.errors import ReplicaError
from replica.lab.problems.protocol import takes

_FORM = 'a module and a list of groups such as {"params": [...], "lr_scale": 1.0}'
_KEYS = {"params", "lr_scale"}


@dataclass(frozen=True)
class Built:
    """A network at one size.

    Args:
        module: Maps ``(batch, inputs)`` to ``(batch, outputs)``; its parameters are the initial ones and stay so.
        scales: By name of each parameter that learns, the multiple of the swept rate that it learns at.
        name: Who built it, for errors.
    """

    module: nn.Module
    scales: Mapping[str, float]
    name: str


def build(
    method: Any, example: Tensor, outputs: int, width: int, depth: int, generator: torch.Generator, optimiser: str
) -> Built:
    """Ask a method for its network at one size, and check it.

    Args:
        method: Has ``build``; see `Scaling`.
        example: Some inputs, shape ``(batch, inputs)``.
        outputs: Scores that the network gives.
        width: Units of a hidden layer.
        depth: Hidden layers.
        generator: Where the initial weights come from.
        optimiser: ``"sgd"`` or ``"adam"``; told where ``build`` takes it.

    Raises:
        ReplicaError: If what it gives has not the form that is wanted: see `Scaling`.
    """
    name = f"{type(method).__name__}.build"
    told = takes(method.build, {"optimiser": optimiser})
    given = method.build(example.shape[1], outputs, width, depth, generator, **told)
    if not (isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], nn.Module)):
        raise ReplicaError(f"{name} returned {type(given).__name__}; wanted {_FORM}.")
    module, groups = given
    module = module.to(example.device)
    scales = _scales(name, module, groups)
    with torch.no_grad():
        scores = module(example)
    shape = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
    if shape != (len(example), outputs):
        raise ReplicaError(
            f"{name}: the module gave {shape} for inputs {tuple(example.shape)}; wanted {(len(example), outputs)}."
        )
    if not torch.isfinite(scores).all():
        raise ReplicaError(f"{name}: the module gives scores that are no finite numbers before it has learned.")
    return Built(module, scales, name)


def _scales(name: str, module: nn.Module, groups: Any) -> dict[str, float]:
    """The multiple of the rate of each parameter, by its name."""
    if not (isinstance(groups, (list, tuple)) and groups and all(isinstance(group, Mapping) for group in groups)):
        raise ReplicaError(f"{name} gave no list of groups beside the module; wanted {_FORM}.")
    names = {id(parameter): known for known, parameter in module.named_parameters()}
    scales: dict[str, float] = {}
    for group in groups:
        if "params" not in group or not set(group) <= _KEYS:
            raise ReplicaError(
                f"{name} gave a group with {', '.join(map(repr, group))}; wanted 'params' and 'lr_scale'."
            )
        scale = group.get("lr_scale", 1.0)
        if not isinstance(scale, (int, float)) or not (math.isfinite(scale) and scale >= 0):
            raise ReplicaError(f"{name} gave a group with lr_scale {scale!r:.30}; wanted a number of 0 or more.")
        held = group["params"]
        for parameter in [held] if isinstance(held, Tensor) else held:
            known = names.get(id(parameter))
            if known is None:
                raise ReplicaError(f"{name} gave a group with a tensor that is no parameter of the module.")
            if known in scales:
                raise ReplicaError(f"{name} gave {known} in two groups; wanted every parameter in one.")
            scales[known] = float(scale)
    left = [known for known, parameter in module.named_parameters() if parameter.requires_grad and known not in scales]
    if left:
        raise ReplicaError(f"{name} left {', '.join(left[:4])} out of the groups; wanted every parameter in one.")
    return scales
