"""How near a rule's direction comes to backpropagation's, layer by layer."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from replica.errors import ReplicaError


def alignment(rule: Any, net: nn.Sequential, inputs: Tensor, labels: Tensor) -> list[float]:
    """Cosine of each layer's direction with minus the loss's gradient; the rule then takes its step on the batch."""
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
    plain = copy.deepcopy(net)
    for module in plain.modules():
        module.__dict__.pop("forward", None)
        for hooks in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"):
            getattr(module, hooks).clear()
    return plain
