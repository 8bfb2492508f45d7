"""Small nets that several papers train, with initial weights from a generator."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import nn


def conv_net(
    channels: Sequence[int],
    outputs: int,
    *,
    size: tuple[int, int] | None = None,
    kernels: int | Sequence[int] = 3,
    pool_after: Sequence[int] = (),
    activation: Callable[[], nn.Module] = nn.ReLU,
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> nn.Sequential:
    """Convolutional classifier: convolutions with an activation each, and one linear layer at the end.

    Its modules are named: conv1, act1, pool1 (where there is one), conv2, …, then flatten or pool, and head.
    Convolutions keep the image's size; poolings take the largest of 2 × 2 pixels.

    Args:
        channels: of the input image and of each convolution.
        outputs: dimension of the output, such as the number of classes.
        size: (height, width) of the input: the head then sees every position, as in AlexNet. Without it the head sees
            the mean over positions, and images may have any size.
        kernels: side of the convolutions' kernels, odd; one for all or one each.
        pool_after: numbers, from 1, of the convolutions that are followed by a pooling.
        activation: makes the module after a convolution.
        generator: source of the initial weights: He et al. 2015, normal with variance 2 / inputs, for the convolutions;
            the same with 1 / inputs for the head. Biases start at 0.
        device: where the net lives. Default the generator's device.
        dtype: its floating-point type.

    Raises:
        ValueError: if a number is out of range, a kernel is even, or poolings leave no pixel.

    Example:
        >>> import torch
        >>> from replica.training import conv_net
        >>> net = conv_net((1, 8, 16), 10, pool_after=(2,), generator=torch.Generator().manual_seed(0))
        >>> net(torch.zeros(5, 1, 8, 8)).shape
        torch.Size([5, 10])
    """
    depth = len(channels) - 1
    if depth < 1 or min(channels) < 1:
        raise ValueError(f"channels: got {tuple(channels)}, want two or more, each at least 1")
    if outputs < 1:
        raise ValueError(f"outputs: got {outputs}, want 1 or more")
    sides = [kernels] * depth if isinstance(kernels, int) else list(kernels)
    if len(sides) != depth or any(side < 1 or side % 2 == 0 for side in sides):
        raise ValueError(f"kernels: got {kernels}, want an odd number, or {depth} of them")
    if not set(pool_after) <= set(range(1, depth + 1)):
        raise ValueError(f"pool_after: got {tuple(pool_after)}, want numbers from 1 to {depth}")
    if size is not None and min(size) >> len(set(pool_after)) < 1:
        raise ValueError(f"size: got {size}, want at least {2 ** len(set(pool_after))} pixels a side for the poolings")
    if device is None:  # skip_init would take None for the meta device
        device = torch.get_default_device() if generator is None else generator.device
    net = nn.Sequential()
    for number, (side, ins, outs) in enumerate(zip(sides, channels[:-1], channels[1:], strict=True), start=1):
        # Skipping PyTorch's own start leaves its global random state alone.
        layer = nn.utils.skip_init(nn.Conv2d, ins, outs, side, padding=side // 2, device=device, dtype=dtype)
        nn.init.normal_(layer.weight, 0.0, math.sqrt(2 / (ins * side * side)), generator=generator)
        nn.init.zeros_(layer.bias)
        net.add_module(f"conv{number}", layer)
        net.add_module(f"act{number}", activation())
        if number in pool_after:
            net.add_module(f"pool{number}", nn.MaxPool2d(2))
    pixels = 1
    if size is not None:
        pixels = (size[0] >> len(set(pool_after))) * (size[1] >> len(set(pool_after)))
    else:
        net.add_module("pool", nn.AdaptiveAvgPool2d(1))
    net.add_module("flatten", nn.Flatten())
    head = nn.utils.skip_init(nn.Linear, channels[-1] * pixels, outputs, device=device, dtype=dtype)
    nn.init.normal_(head.weight, 0.0, math.sqrt(1 / (channels[-1] * pixels)), generator=generator)
    nn.init.zeros_(head.bias)
    net.add_module("head", head)
    return net


def mlp(
    sizes: Sequence[int],
    *,
    activation: Callable[[], nn.Module] = nn.ReLU,
    end: Callable[[], nn.Module] | None = None,
    bias: bool = True,
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> nn.Sequential:
    """Multilayer perceptron: linear layers with an activation between them.

    Args:
        sizes: dimension of the input, of each hidden layer, and of the output.
        activation: makes the module between two layers.
        end: makes a module after the last layer. Default none.
        bias: whether layers have biases.
        generator: source of the initial weights, uniform in ±1/√inputs as PyTorch's own.
        device: where the net lives. Default the generator's device.
        dtype: its floating-point type.

    Raises:
        ValueError: with fewer than two sizes or one below 1.

    Example:
        >>> import torch
        >>> from replica.training import mlp
        >>> mlp((64, 32, 10), generator=torch.Generator().manual_seed(0))(torch.zeros(5, 64)).shape
        torch.Size([5, 10])
    """
    if len(sizes) < 2 or min(sizes) < 1:
        raise ValueError(f"sizes: got {tuple(sizes)}, want two or more, each at least 1")
    if device is None:  # skip_init would take None for the meta device
        device = torch.get_default_device() if generator is None else generator.device
    layers: list[nn.Module] = []
    for ins, outs in pairwise(sizes):
        # Skipping PyTorch's own start leaves its global random state alone.
        layer = nn.utils.skip_init(nn.Linear, ins, outs, bias=bias, device=device, dtype=dtype)
        for parameter in layer.parameters():
            nn.init.uniform_(parameter, -1 / math.sqrt(ins), 1 / math.sqrt(ins), generator=generator)
        layers += [layer, activation()]
    return nn.Sequential(*layers[:-1], *([] if end is None else [end()]))
