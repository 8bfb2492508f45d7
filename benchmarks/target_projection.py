"""A step of target projection beside one of backpropagation on the same deep network.

The operations are those of the network: products with the weights on the way up, and those of the weights' own gradients.
"""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from replica.plasticity import TargetProjection

from .case import Case


def backpropagate(network: nn.Module, optimiser: torch.optim.Optimizer, inputs: Tensor, labels: Tensor) -> None:
    """The peer: the gradient through the whole network."""
    optimiser.zero_grad(set_to_none=True)
    nn.functional.cross_entropy(network(inputs), labels).backward()
    optimiser.step()


def cases() -> Iterator[Case]:
    generator = torch.Generator().manual_seed(0)
    depth, channels, side, rows = 12, 32, 24, 64
    layers = [
        nn.Sequential(nn.Conv2d(channels if number else 1, channels, 3, padding=1), nn.Tanh())
        for number in range(depth)
    ]
    network = nn.Sequential(*layers, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10)))
    inputs = torch.randn(rows, 1, side, side, generator=generator)
    labels = torch.randint(10, (rows,), generator=generator)
    peer = copy.deepcopy(network)
    trainer = TargetProjection(network, inputs, generator=generator)
    optimiser = torch.optim.Adam(peer.parameters(), lr=1e-3)
    yield Case(
        f"target-projection step, {depth} convolutions, beside backpropagation",
        lambda: trainer.step(inputs, labels),
        lambda: backpropagate(peer, optimiser, inputs, labels),
        operations=2 * 2 * rows * side**2 * 9 * (channels + (depth - 1) * channels**2),
        target=1.0,
        memory=True,
    )
