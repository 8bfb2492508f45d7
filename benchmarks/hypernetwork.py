"""A hypernetwork beside a Python loop over samples, and beside the same computation written out by hand.

The floating-point operations of a forward pass are those of h's last layer, 2 · width · weights a condition, and of the
primary network, 2 · weights · positions a sample; a backward pass doubles them twice.
"""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import adaptive_avg_pool2d, conv2d, cross_entropy, leaky_relu, linear

from replica.architectures import Hypernetwork

from .case import Case

WIDTH = 128
SIDE = 16


def primary(channels: int) -> nn.Sequential:
    """Three convolutions and a linear layer."""
    return nn.Sequential(
        nn.Conv2d(1, channels, 3, padding=1), nn.LeakyReLU(), nn.Conv2d(channels, channels, 3, padding=1), nn.LeakyReLU(),
        nn.Conv2d(channels, channels, 3, padding=1), nn.LeakyReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(channels, 10),
    )  # fmt: skip


def loop(hypernet: Hypernetwork, images: Tensor, conditions: Tensor) -> Tensor:
    """One call of the primary network a sample, with all weights written at once."""
    weights = hypernet.weights(conditions)
    rows = [
        functional_call(hypernet.primary, {name: value[row] for name, value in weights.items()}, (images[row, None],))
        for row in range(len(images))
    ]
    return torch.cat(rows)


def by_hand(
    network: nn.Module, shapes: list[torch.Size], images: Tensor, condition: Tensor, angle: float = torch.pi / 2
) -> Tensor:
    """The authors' structure and nothing around it: a fully connected net, its output cut and reshaped."""
    flat = network(torch.cat([(angle * condition).cos(), (angle * condition).sin()], -1))
    parts, start = [], 0
    for shape in shapes:
        parts.append(flat.narrow(0, start, shape.numel()).view(shape))
        start += shape.numel()
    features = images
    for place in (0, 2, 4):
        features = leaky_relu(conv2d(features, parts[place], parts[place + 1], padding=1))
    return linear(adaptive_avg_pool2d(features, 1).flatten(1), parts[6], parts[7])


def step(forward: partial[Tensor], labels: Tensor, network: nn.Module) -> None:
    """Forward and backward."""
    network.zero_grad()
    cross_entropy(forward(), labels).backward()


def cases(device: str = "cpu") -> Iterator[Case]:
    """A condition a sample, forward, and forward with backward; one condition a batch, forward with backward."""
    for channels, batch in ((8, 64), (16, 256)):
        draw = torch.Generator(device).manual_seed(0)
        module = primary(channels).to(device)
        weights = sum(parameter.numel() for parameter in module.parameters())
        shapes = [parameter.shape for parameter in module.parameters()]
        hypernet = Hypernetwork(module, hidden=(16, WIDTH), generator=draw)
        images = torch.rand(batch, 1, SIDE, SIDE, generator=draw, device=device)
        labels = torch.randint(10, (batch,), generator=draw, device=device)
        conditions = torch.rand(batch, 1, generator=draw, device=device)
        size = f"{batch} samples, {weights:,} weights"
        on_images = 2.0 * batch * weights * SIDE**2

        ours, peer = partial(hypernet, images, conditions), partial(loop, hypernet, images, conditions)
        arithmetic = 2.0 * batch * WIDTH * weights + on_images
        yield Case(f"a condition a sample beside a loop, forward ({size})", ours, peer, arithmetic, 1.0)
        yield Case(
            f"a condition a sample beside a loop, with backward ({size})",
            partial(step, ours, labels, hypernet.network),
            partial(step, peer, labels, hypernet.network),
            3 * arithmetic,
            1.0,
        )
        ours = partial(hypernet, images, conditions[0])
        peer = partial(by_hand, hypernet.network, shapes, images, conditions[0])
        yield Case(
            f"a condition a batch beside written out by hand, with backward ({size})",
            partial(step, ours, labels, hypernet.network),
            partial(step, peer, labels, hypernet.network),
            3 * (2.0 * WIDTH * weights + on_images),
            1.1,
        )
