"""Weight matching beside rebasin: the units of a perceptron and a convolutional net, permuted and with noise.

The operations are those of one product of units with units a layer and pass, for two passes.
"""

import copy
from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import nn

from replica.landscapes import permute_units, weight_matching
from replica.training import conv_net, mlp

from .case import Case


def noisy_copy(net: nn.Sequential, generator: torch.Generator) -> nn.Sequential:
    """The net with units in another order, its weights a little moved."""
    identity = weight_matching(net, net).order
    other = permute_units(
        net, {name: torch.randperm(len(units), generator=generator) for name, units in identity.items()}
    )
    with torch.no_grad():
        for tensor in other.parameters():
            tensor += 0.3 * tensor.std() * torch.randn(tensor.shape, generator=generator)
    return other


def cases(device: str = "cpu") -> Iterator[Case]:
    """Four hidden layers of up to 512 units; four convolutions of up to 128 channels."""
    try:
        from rebasin import PermutationCoordinateDescent
    except ImportError:
        return
    generator = torch.Generator().manual_seed(0)
    nets = {
        "perceptron 784-256-512-512-256-10": (mlp((784, 256, 512, 512, 256, 10), generator=generator), (8, 784)),
        "convolutions 3-32-64-128-128": (conv_net((3, 32, 64, 128, 128), 10, generator=generator), (8, 3, 16, 16)),
    }
    for name, (net, shape) in nets.items():
        other = noisy_copy(net, generator)
        net, other, inputs = net.to(device), other.to(device), torch.zeros(shape, device=device)

        def ours(net: nn.Sequential = net, other: nn.Sequential = other) -> nn.Sequential:
            return weight_matching(net, other).model

        def theirs(
            net: nn.Sequential = net, other: nn.Sequential = other, inputs: torch.Tensor = inputs
        ) -> nn.Sequential:
            moved = copy.deepcopy(other)
            PermutationCoordinateDescent(net, moved, inputs).rebasin()  # it works in place
            return moved

        found = closeness(net, ours()), closeness(net, theirs())
        assert found[0] > found[1] * (1 - 1e-3), f"ours ends at {found[0]:.1f}, rebasin at {found[1]:.1f}"
        yield Case(f"weight matching of {name}, rebasin", ours, theirs, operations(net), 1 / 3)


def closeness(net: nn.Sequential, other: nn.Sequential) -> float:
    """What matching maximises: Σ of products of weights."""
    return sum(
        float((one.detach() * two.detach()).sum())
        for one, two in zip(net.parameters(), other.parameters(), strict=True)
    )


def operations(net: nn.Sequential) -> float:
    """Two passes of products over the weights of each hidden layer's inputs and outputs."""
    weights = [module.weight for module in net.modules() if isinstance(module, (nn.Linear, nn.Conv2d))]
    return sum(4.0 * len(one) * (one.numel() + two.numel()) for one, two in pairwise(weights))
