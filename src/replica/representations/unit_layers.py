"""Hidden layers of a feedforward net as lists of units that can be taken out: for chains of linear layers and convolutions."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import fusion

_BETWEEN = (
    nn.ReLU, nn.LeakyReLU, nn.Identity, nn.Dropout, nn.Dropout2d, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d, nn.Flatten,
)  # fmt: skip
"""Modules that act on each unit alone and commute with positive factors."""


@dataclass
class Chain:
    """Weights of a chain of layers, each as (outputs, inputs, positions): units, and a kernel's pixels or a map's.

    Attributes:
        model: the net that the weights came from, with batch normalisation folded into the layer before it.
        names: of the layers. All but the last are hidden layers, whose outputs are units.
        weights: of each layer.
        biases: of each layer; None where it has none.
    """

    model: nn.Sequential
    names: list[str]
    weights: list[Float[Tensor, "outputs inputs positions"]]
    biases: list[Float[Tensor, " outputs"] | None]

    @classmethod
    def of(cls, model: nn.Sequential) -> "Chain":
        """Reads a net; the net itself is left alone.

        Raises:
            ValueError: if it is no chain of linear layers and convolutions with rectifiers and poolings in between, with
                one hidden layer or more.
        """
        if not isinstance(model, nn.Sequential):
            raise ValueError(f"model: got {type(model).__name__}, want a Sequential")
        model = copy.deepcopy(model)
        _fold_normalisation(model)
        layers: list[tuple[str, nn.Linear | nn.Conv2d]] = []
        for name, module in model.named_modules():
            if isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1):
                layers.append((name, module))
            elif not isinstance(module, (nn.Sequential, *_BETWEEN)):
                kind = "grouped Conv2d" if isinstance(module, nn.Conv2d) else type(module).__name__
                raise ValueError(
                    f"model: got {kind} at {name!r}, want a chain of Linear and Conv2d with rectifiers and poolings between"
                )
        if len(layers) < 2:
            raise ValueError(f"model: got {len(layers)} layers of weights, want 2 or more")
        for (_, writer), (name, reader) in pairwise(layers):
            if reader.weight.shape[1] % len(writer.weight):
                raise ValueError(
                    f"model: got {reader.weight.shape[1]} inputs at {name!r}, want a multiple of {len(writer.weight)}"
                )
        units = [layers[0][1].weight.shape[1], *[len(layer.weight) for _, layer in layers]]
        weights = [
            layer.weight.detach().clone().reshape(len(layer.weight), inputs, -1)
            for inputs, (_, layer) in zip(units, layers, strict=False)
        ]
        biases = [None if layer.bias is None else layer.bias.detach().clone() for _, layer in layers]
        return cls(model, [name for name, _ in layers], weights, biases)

    def net(self) -> nn.Sequential:
        """A net with these weights, with as many units as they have."""
        net = copy.deepcopy(self.model)
        for name, weight, bias in zip(self.names, self.weights, self.biases, strict=True):
            layer = net.get_submodule(name)
            if isinstance(layer, nn.Conv2d):
                layer.out_channels, layer.in_channels = weight.shape[:2]
                layer.weight = nn.Parameter(weight.reshape(*weight.shape[:2], *layer.kernel_size).clone())
            elif isinstance(layer, nn.Linear):
                layer.out_features, layer.in_features = len(weight), weight[0].numel()
                layer.weight = nn.Parameter(weight.flatten(1).clone())
            if bias is not None:
                layer.bias = nn.Parameter(bias.clone())
        return net

    @property
    def parameters(self) -> int:
        """Weights and biases in all."""
        return sum(
            weight.numel() + (0 if bias is None else len(bias))
            for weight, bias in zip(self.weights, self.biases, strict=True)
        )


def keep_units(model: nn.Sequential, kept: Mapping[str, Sequence[int] | Tensor]) -> nn.Sequential:
    """A smaller copy of a net: of the named hidden layers only some units (channels of a convolution) are left.

    Args:
        model: a chain of Linear and Conv2d layers with rectifiers and poolings in between; batch normalisation is folded
            into the layer before it, as it acts in evaluation mode.
        kept: numbers of the units to keep, by the name of the layer of weights whose outputs they are.

    Raises:
        ValueError: if the net is none such, or a name is not one of a hidden layer.

    Example:
        >>> import torch
        >>> from replica.representations import keep_units
        >>> from replica.training import mlp
        >>> keep_units(mlp((4, 8, 2)), {"0": [1, 5, 6]})
        Sequential(
          (0): Linear(in_features=4, out_features=3, bias=True)
          (1): ReLU()
          (2): Linear(in_features=3, out_features=2, bias=True)
        )
    """
    chain = Chain.of(model)
    for name, units in kept.items():
        if name not in chain.names[:-1]:
            raise ValueError(f"kept: got {name!r}, want the name of a hidden layer, of {', '.join(chain.names[:-1])}")
        index, chosen = chain.names.index(name), torch.as_tensor(units, device=chain.weights[0].device)
        bias = chain.biases[index]
        chain.weights[index] = chain.weights[index][chosen]
        chain.biases[index] = None if bias is None else bias[chosen]
        chain.weights[index + 1] = chain.weights[index + 1][:, chosen]
    return chain.net()


def _fold_normalisation(model: nn.Sequential) -> None:
    """Puts batch normalisation, as it acts in evaluation mode, into the layer before it, in place."""
    leaves = [(name, module) for name, module in model.named_modules() if not isinstance(module, nn.Sequential)]
    for (name, layer), (own_name, norm) in pairwise(leaves):
        if not isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d) or not isinstance(layer, nn.Linear | nn.Conv2d):
            continue
        training = layer.training
        if isinstance(layer, nn.Conv2d):
            folded: nn.Module = fusion.fuse_conv_bn_eval(layer.eval(), norm.eval())
        else:
            folded = fusion.fuse_linear_bn_eval(layer.eval(), norm.eval())
        model.set_submodule(name, folded.train(training))
        model.set_submodule(own_name, nn.Identity())
