"""How people start a network and set its rates: baselines of the problem scaling."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from replica.lab.claims import Trial
from replica.lab.problems.baseline import Baselines
from replica.training import mlp

baselines = Baselines()

Groups = list[dict[str, Any]]


class Perceptron:
    """A ReLU network whose layers all learn at the same rate; a subclass says how it starts.

    Args:
        trial: Not used: the problem gives the generator.
    """

    def __init__(self, trial: Trial) -> None:
        pass

    def build(
        self, inputs: int, outputs: int, width: int, depth: int, generator: torch.Generator
    ) -> tuple[nn.Module, Groups]:
        """A network of ``depth`` hidden layers."""
        net = mlp((inputs, *[width] * depth, outputs), generator=generator)
        with torch.no_grad():
            for layer in net:
                if isinstance(layer, nn.Linear):
                    self.start(layer, generator)
        return net, [{"params": list(net.parameters()), "lr_scale": 1.0}]

    def start(self, layer: nn.Linear, generator: torch.Generator) -> None:
        """Give a layer its initial weights, in place of PyTorch's."""
        raise NotImplementedError


@baselines.entry(
    "pytorch-default", "weights and biases uniform in ±1/√inputs, one rate: what people use without thought"
)
class PytorchDefault(Perceptron):
    """Weights and biases uniform in ±1/√inputs, as `torch.nn.Linear` starts."""

    def start(self, layer: nn.Linear, generator: torch.Generator) -> None:
        """They are there."""


@baselines.entry("he", "normal weights of variance 2 / inputs, one rate (He et al., 2015)")
class He(Perceptron):
    """Normal weights of variance 2 / inputs, biases 0 (He, Zhang, Ren and Sun, 2015)."""

    def start(self, layer: nn.Linear, generator: torch.Generator) -> None:
        """Draw them."""
        layer.weight.normal_(0.0, math.sqrt(2 / layer.in_features), generator=generator)
        layer.bias.zero_()


@baselines.entry("xavier", "uniform weights of variance 2 / (inputs + outputs), one rate (Glorot and Bengio, 2010)")
class Xavier(Perceptron):
    """Uniform weights of variance 2 / (inputs + outputs), biases 0 (Glorot and Bengio, 2010)."""

    def start(self, layer: nn.Linear, generator: torch.Generator) -> None:
        """Draw them."""
        nn.init.xavier_uniform_(layer.weight, generator=generator)
        layer.bias.zero_()


class NtkLinear(nn.Module):
    """A linear layer whose weights start with variance 1 and are scaled in the forward pass: √(gain / inputs) W x + β b.

    Args:
        inputs: Values in.
        outputs: Values out.
        gain: 2 before a ReLU, 1 elsewhere.
        generator: Where the weights come from; biases start at 0.
    """

    bias_scale = 0.1

    def __init__(self, inputs: int, outputs: int, gain: float, generator: torch.Generator) -> None:
        super().__init__()
        drawn = torch.empty(outputs, inputs, device=generator.device).normal_(generator=generator)
        self.weight = nn.Parameter(drawn)
        self.bias = nn.Parameter(drawn.new_zeros(outputs))
        self.scale = math.sqrt(gain / inputs)

    def forward(self, inputs: Tensor) -> Tensor:
        """Shape ``(batch, inputs)`` to ``(batch, outputs)``."""
        return nn.functional.linear(inputs, self.scale * self.weight, self.bias_scale * self.bias)


@baselines.entry("ntk", "weights of variance 1, layers divided by √inputs, one rate (Jacot, Gabriel and Hongler, 2018)")
class NtkParametrization:
    """Weights of variance 1 and layers divided by √inputs: wide networks keep their tangent kernel (Jacot et al., 2018).

    Args:
        trial: Not used: the problem gives the generator.
    """

    def __init__(self, trial: Trial) -> None:
        pass

    def build(
        self, inputs: int, outputs: int, width: int, depth: int, generator: torch.Generator
    ) -> tuple[nn.Module, Groups]:
        """A ReLU network of ``depth`` hidden layers."""
        net = nn.Sequential()
        for number in range(depth):
            net.append(NtkLinear(inputs if number == 0 else width, width, 2.0, generator))
            net.append(nn.ReLU())
        net.append(NtkLinear(width, outputs, 1.0, generator))
        return net, [{"params": list(net.parameters()), "lr_scale": 1.0}]
