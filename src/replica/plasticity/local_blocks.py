"""A stack of layers taken apart into local blocks, and fresh networks made of the forms of its layers."""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

M = TypeVar("M", bound=nn.Module)

_POOLS = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class LayerStack:
    """A network as hidden layers and a head, with the shape that each of them takes.

    Attributes:
        layers: Hidden layers in order; what they share with the network are its own modules.
        head: From the last hidden layer's output to scores.
        takes: Shape of one input of every layer, and last that of the head.
        outputs: What every hidden layer gives for the example.
    """

    layers: tuple[nn.Module, ...]
    head: nn.Module
    takes: tuple[torch.Size, ...]
    outputs: tuple[Tensor, ...]

    def __len__(self) -> int:
        """Hidden layers."""
        return len(self.layers)

    def blocks(self, count: int | None = None, last: int | None = None) -> tuple[tuple[int, int], ...]:
        """Runs of neighbouring layers, as (first, one after the last); their lengths differ by one at most.

        Args:
            count: Number of blocks. Default as many as there can be: one a layer.
            last: Layers of the last block, which the others then share none of. Default as many as the others have.

        Raises:
            ValueError: If there are fewer layers than blocks, no block, or more layers in the last than there are.
        """
        if last is not None and not 1 <= last <= len(self):
            raise ValueError(f"last: got {last}, want 1 to {len(self)}, the number of hidden layers")
        most = len(self) if last is None else len(self) - last + 1
        if count is None:
            count = most
        fewest = 1 if last in (None, len(self)) else 2
        if not fewest <= count <= most:
            raise ValueError(f"blocks: got {count}, want {fewest} to {most} for {len(self)} hidden layers")
        if last is None:
            ends = [round(len(self) * number / count) for number in range(count + 1)]
        else:
            before = len(self) - last
            ends = [round(before * number / max(1, count - 1)) for number in range(count)] + [len(self)]
        return tuple(pairwise(ends))

    def modules(self, blocks: Sequence[tuple[int, int]]) -> list[nn.Module]:
        """The layers of each block as one module; the head belongs to the last."""
        parts = [list(self.layers[first:end]) for first, end in blocks]
        parts[-1].append(self.head)
        return [part[0] if len(part) == 1 else nn.Sequential(*part) for part in parts]


def layer_stack(network: nn.Sequential, example: Float[Tensor, "batch *shape"]) -> LayerStack:
    """Find the hidden layers and the head of a network.

    A layer begins at every child that holds weights (a parameter of two axes or more); children without, such as
    activations, normalisation and pooling, belong to the layer before them. The last layer is the head.

    Args:
        network: Its children are applied in turn.
        example: A few inputs, to see shapes by; the network's state is left as it is.

    Raises:
        ValueError: If there are fewer than two layers with weights, so none that is hidden.

    Example:
        >>> import torch
        >>> from replica.training import conv_net
        >>> stack = layer_stack(conv_net((1, 4, 8), 3), torch.zeros(2, 1, 8, 8))
        >>> len(stack), [tuple(shape) for shape in stack.takes]
        (2, [(1, 8, 8), (4, 8, 8), (8,)])
    """
    groups: list[list[nn.Module]] = [[]]
    for child in network.children():
        weighty = any(parameter.ndim > 1 for parameter in child.parameters())
        if weighty and any(parameter.ndim > 1 for module in groups[-1] for parameter in module.parameters()):
            groups.append([])
        groups[-1].append(child)
    if len(groups) < 2:
        raise ValueError(
            f"network: got {len(groups)} layer with weights or none, want a hidden layer and a head at least"
        )
    *layers, head = [group[0] if len(group) == 1 else nn.Sequential(*group) for group in groups]
    training = {module: module.training for module in network.modules()}
    network.eval()
    states = [example]
    with torch.no_grad():
        for layer in layers:
            states.append(layer(states[-1]))
    for module, was in training.items():
        module.training = was
    return LayerStack(tuple(layers), head, tuple(state.shape[1:] for state in states), tuple(states[1:]))


def fresh_copy(module: nn.Module, generator: torch.Generator | None = None) -> nn.Module:
    """A module of the same form with weights of its own.

    Weights (two axes or more) are drawn normal with the mean square that they have in the original, so that signals keep
    their size whatever start the original had; biases and normalisation are copied.
    """
    copied = copy.deepcopy(module)
    with torch.no_grad():
        for parameter in copied.parameters():
            if parameter.ndim > 1:
                parameter.copy_(_normal(parameter, float(parameter.square().mean().sqrt()), generator))
            parameter.requires_grad_()
            parameter.grad = None
    return copied


def auxiliary_network(
    stack: LayerStack, after: int, chosen: Sequence[int], generator: torch.Generator | None = None
) -> nn.Sequential:
    """From a hidden layer's output to scores, through fresh copies of chosen layers and of the head.

    Where layers are left out, what arrives may have another shape than the next copy takes. A copy of a convolutional
    layer takes more positions as they are and halves them, by a stride of 2 where its model has none, until they are as
    many as the model's; for other layers (a residual block of a class of its own, say) they are averaged to as many as it
    takes. A linear map over channels (a 1 × 1 convolution) carries them to another number. Before
    the head a convolution's output is averaged over positions, and of a sequence the last step is taken. A copy that
    begins by averaging over all positions itself takes them as they are. Such averages are done by a module that gives
    the same as the network's and needs less memory on the way back.

    Args:
        stack: The network.
        after: Number of the layer, from 0, whose output is the input.
        chosen: Numbers of the layers to be copied, in the order in which they are applied.
        generator: Where the weights come from.

    Raises:
        ValueError: If a layer cannot follow on what arrives.
    """
    parts: list[nn.Module] = []
    arriving, source = stack.outputs[after], stack.layers[after]
    with torch.no_grad():
        for number in (*chosen, len(stack)):
            model = stack.head if number == len(stack) else stack.layers[number]
            copied = lean_averages(fresh_copy(model, generator))
            anywhere = _averages(copied) or (model is not stack.head and _halves(copied, arriving, stack, number))
            for part in (*_bridge(arriving, source, anywhere, stack.takes[number], generator), copied):
                arriving = part.eval()(arriving)
                parts.append(part.train())
            source = model
    return nn.Sequential(*parts)


class _LastStep(nn.Module):
    def forward(self, sequence: Float[Tensor, "batch time units"]) -> Float[Tensor, "batch units"]:
        return sequence[:, -1]


class _GlobalMean(nn.Module):
    """Mean over all positions, each axis kept as one."""

    def forward(self, inputs: Float[Tensor, "batch channels *grid"]) -> Float[Tensor, "batch channels *ones"]:
        axes = tuple(range(2, inputs.ndim))
        return inputs.sum(axes, keepdim=True) / math.prod(inputs.shape[2:])


def lean_averages(module: M) -> M:
    """Have all global average pooling within a module done by one that needs less memory on the way back; in place.

    The gradient of a mean is written out for every position; that of a sum is one number seen from all of them, which
    counts where memory is what local learning is for.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        >>> lean_averages(head)(torch.ones(1, 2, 4, 4)), head[0]
        (tensor([[1., 1.]]), _GlobalMean())
    """
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if isinstance(child, _POOLS) and set(torch.as_tensor(child.output_size).flatten().tolist()) == {1}:
                setattr(parent, name, _GlobalMean())
    return module


def _averages(module: nn.Module) -> bool:
    """Whether the first thing that a module does is to average over all positions."""
    return isinstance(next(part for part in module.modules() if not isinstance(part, nn.Sequential)), _GlobalMean)


def _halves(copied: nn.Module, arriving: Tensor, stack: LayerStack, number: int) -> bool:
    """Have a plain convolutional layer halve the positions if there are more than it takes; whether it is such a layer."""
    chain = all(isinstance(part, nn.Sequential) or not list(part.children()) for part in copied.modules())
    weighty = [part for part in copied.modules() if any(own.ndim > 1 for own in part.parameters(recurse=False))]
    taken, given, sides = stack.takes[number][1:], stack.outputs[number].shape[2:], arriving.shape[2:]
    if not chain or len(taken) != len(sides) or not sides:
        return False
    convolutions = [part for part in weighty if isinstance(part, _ConvNd)]
    if len(convolutions) < len(weighty) or any(side < own for side, own in zip(sides, taken, strict=True)):
        return False
    if len(given) != len(taken) or tuple(given) == tuple(taken):  # it does not halve by itself
        strides = zip(convolutions[0].stride, sides, taken, strict=True)
        convolutions[0].stride = tuple(own * (2 if round(side / wanted) > 1 else 1) for own, side, wanted in strides)
    return True


class _WindowMean(nn.Module):
    """Mean over windows side by side: what adaptive pooling does where sizes divide, in a third of its time."""

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        self.sizes = tuple(sizes)

    def forward(self, inputs: Float[Tensor, "batch channels *grid"]) -> Float[Tensor, "batch channels *smaller"]:
        for axis in range(len(self.sizes) + 1, 1, -1):
            if (size := self.sizes[axis - 2]) > 1:
                inputs = inputs.unflatten(axis, (-1, size)).mean(axis + 1)
        return inputs


def _bridge(
    arriving: Tensor, source: nn.Module, anywhere: bool, wanted: torch.Size, generator: torch.Generator | None
) -> list[nn.Module]:
    """What carries the output of one layer to the shape that another takes."""
    shape = arriving.shape[1:]
    if shape == wanted:
        return []
    spatial = any(isinstance(module, _ConvNd) for module in source.modules()) or len(shape) > 2
    places = len(shape) - 1
    bridge: list[nn.Module] = []
    if len(wanted) == 1 and places:
        bridge = [_GlobalMean(), nn.Flatten()] if spatial else [_LastStep()]
        places = 0
    elif len(wanted) != len(shape):
        raise ValueError(
            f"network: a layer takes inputs of shape {tuple(wanted)}, but {tuple(shape)} would reach its copy"
        )
    elif spatial and not anywhere and any(given > taken for given, taken in zip(shape[1:], wanted[1:], strict=True)):
        sides = tuple(min(pair) for pair in zip(shape[1:], wanted[1:], strict=True))
        factors = [given // side for given, side in zip(shape[1:], sides, strict=True)]
        whole = all(side * factor == given for given, side, factor in zip(shape[1:], sides, factors, strict=True))
        bridge = [_WindowMean(factors) if whole else _POOLS[places - 1](sides)]
    channels, taken = (shape[0], wanted[0]) if spatial else (shape[-1], wanted[-1])
    if channels != taken:
        options = {"bias": False, "device": arriving.device, "dtype": arriving.dtype}
        mapping: nn.Module
        if spatial and places:
            mapping = nn.utils.skip_init(_CONVOLUTIONS[places - 1], channels, taken, 1, **options)
        else:
            mapping = nn.utils.skip_init(nn.Linear, channels, taken, **options)
        (weight,) = mapping.parameters()
        with torch.no_grad():
            weight.copy_(_normal(weight, 1 / math.sqrt(channels), generator))
        bridge.append(mapping)
    return bridge


def _normal(like: Tensor, deviation: float, generator: torch.Generator | None) -> Tensor:
    where = like.device if generator is None else generator.device
    return torch.empty(like.shape, dtype=like.dtype, device=where).normal_(0.0, deviation, generator=generator).to(like)
