"""A step of counter-current learning beside the algorithm as the paper writes it: all levels at once, one optimiser.

The operations are those of the network: products with the weights on the way up, and those of the weights' own gradients.
"""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from replica.plasticity import CounterCurrentLearning, counter_current_loss

from .case import Case


def at_once(trainer: CounterCurrentLearning, optimiser: torch.optim.Optimizer, inputs: Tensor, labels: Tensor) -> None:
    """The peer: both networks whole with detached inputs, the sum of all losses, one backward pass."""
    ups, downs = [inputs], [torch.eye(trainer.classes)]
    for layer in trainer.network:
        ups.append(layer(ups[-1].detach()))
    for layer in reversed(trainer.feedback):
        downs.append(layer(downs[-1].detach()))
    losses = [counter_current_loss(up, down, labels) for up, down in zip(ups[:-1], downs[:0:-1], strict=True)]
    losses.append(nn.functional.cross_entropy(ups[-1], labels))
    optimiser.zero_grad(set_to_none=True)
    torch.stack(losses).sum().backward()
    optimiser.step()


def cases() -> Iterator[Case]:
    generator = torch.Generator().manual_seed(0)
    depth, channels, side, rows = 12, 32, 24, 64
    layers = [
        nn.Sequential(nn.Conv2d(channels if number else 1, channels, 3, padding=1), nn.ELU()) for number in range(depth)
    ]
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))
    inputs = torch.randn(rows, 1, side, side, generator=generator)
    labels = torch.randint(10, (rows,), generator=generator)
    trainer = CounterCurrentLearning(nn.Sequential(*layers, head), inputs, generator=generator)
    peer = copy.deepcopy(trainer)
    optimiser = torch.optim.Adam(peer.parameters(), lr=1e-3)
    yield Case(
        f"counter-current step, {depth} convolutions, beside all levels at once",
        lambda: trainer.step(inputs, labels),
        lambda: at_once(peer, optimiser, inputs, labels),
        operations=2 * 2 * rows * side**2 * 9 * (channels + (depth - 1) * channels**2),
        target=1.1,
        memory=True,
    )
