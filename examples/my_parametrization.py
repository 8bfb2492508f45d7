"""A parametrisation of one's own, to enter into the problem scaling:

replica compare scaling --entry examples/my_parametrization.py:FallingRates
"""

from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import nn

from replica.lab.claims import LogUniform


class FallingRates:
    """A tanh network as PyTorch starts it, whose layers of many inputs learn at lower rates."""

    space: ClassVar = {"base": LogUniform(16, 256)}  # what --tune may try

    def __init__(self, base: float = 64.0) -> None:
        self.base = base

    def build(
        self, inputs: int, outputs: int, width: int, depth: int, generator: torch.Generator
    ) -> tuple[nn.Module, list[dict[str, Any]]]:
        """The network, and by how much of the swept rate each group of its parameters moves."""
        sizes = [inputs, *[width] * depth, outputs]
        net, groups = nn.Sequential(), []
        for ins, outs in pairwise(sizes):
            layer = nn.Linear(ins, outs)
            for parameter in layer.parameters():
                nn.init.uniform_(parameter, -(ins**-0.5), ins**-0.5, generator=generator)
            net.extend([layer, nn.Tanh()])
            groups.append({"params": [layer.weight], "lr_scale": self.base / ins})
            groups.append({"params": [layer.bias], "lr_scale": 1.0})
        return net[:-1], groups
