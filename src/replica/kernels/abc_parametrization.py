"""How weights and learning rate scale with width, and what a network of infinite width then does.

An abc-parametrisation (Yang and Hu 2021, arXiv 2011.14522, Definition 1.1) of a perceptron with L hidden layers of n units:
layer l has W_l = n^(−a_l) w_l, where w_l learns from w_l ~ N(0, n^(−2 b_l)) at the rate η n^(−c).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

Kind = Literal["unstable", "trivial", "kernel", "feature learning"]
_CLOSE = 1e-9


class AbcClass(NamedTuple):
    """What gradient descent does to a network of infinite width.

    Attributes:
        kind: ``"unstable"``, something grows without bound; ``"trivial"``, the function does not move; ``"kernel"``, it moves by
            kernel gradient descent with fixed features; ``"feature learning"``.
        r: a step moves the features by n^(−r).
    """

    kind: Kind
    r: float


def classify(a: Sequence[float], b: Sequence[float], c: float | Sequence[float]) -> AbcClass:
    """Which of the four an abc-parametrisation is, under gradient descent with a smooth activation.

    With r = min(a_{L+1} + b_{L+1}, 2 a_{L+1} + c) + c − 1 + min_{l ≤ L} (2 a_l + 1[l = 1]), it is stable if a_1 + b_1 = 0,
    a_l + b_l = 1/2 between, a_{L+1} + b_{L+1} ≥ 1/2, r ≥ 0, 2 a_{L+1} + c ≥ 1 and a_{L+1} + b_{L+1} + r ≥ 1. It is not trivial
    if one of the last two is an equality; it then learns features if r = 0, and is a kernel method if r > 0.

    Args:
        a: exponents of the multipliers, one a layer, two or more layers.
        b: exponents of the initial deviations.
        c: exponent of the learning rate; one for all layers or one each. The paper has one: a layer's own is the same network
            as a common one with a_l and b_l shifted, see `AbcParametrization.shifted`.

    Raises:
        ValueError: if lengths differ or are below 2.

    Source: Yang and Hu 2021, Definition 3.2, Theorems 3.3 and 3.4, Corollary 3.9.

    Example:
        >>> from replica.kernels import classify
        >>> classify((0, 0.5, 0.5), (0, 0, 0), 0)  # the tangent parametrisation
        AbcClass(kind='kernel', r=0.5)
    """
    c = _checked(a, b, c)
    forward = a[-1] + b[-1]
    readout = 2 * a[-1] + c[-1]
    hidden = min(2 * a_l + c_l + (layer == 0) for layer, (a_l, c_l) in enumerate(zip(a[:-1], c[:-1], strict=True)))
    r = min(forward, readout) - 1 + hidden
    starts = [abs(a[0] + b[0]) < _CLOSE]
    starts += [abs(a_l + b_l - 0.5) < _CLOSE for a_l, b_l in zip(a[1:-1], b[1:-1], strict=True)]
    bounds = (forward - 0.5, r, readout - 1, forward + r - 1)
    if not all(starts) or min(bounds) < -_CLOSE:
        return AbcClass("unstable", r)
    if min(readout - 1, forward + r - 1) > _CLOSE:
        return AbcClass("trivial", r)
    return AbcClass("feature learning" if r < _CLOSE else "kernel", r)


@dataclass(frozen=True)
class AbcParametrization:
    """Exponents of width: of each layer's multiplier, initial deviation and learning rate.

    Args:
        a: exponents of the multipliers, hidden layers and readout: L + 1 of them.
        b: exponents of the initial deviations.
        c: exponent of the learning rate; one for all layers or one each.

    Raises:
        ValueError: if lengths differ or are below 2.

    Example:
        >>> import torch
        >>> from replica.kernels import AbcParametrization
        >>> mup = AbcParametrization.mup(depth=2)
        >>> mup.a, mup.classify().kind
        ((-0.5, 0.0, 0.5), 'feature learning')
        >>> mup.network(3, 10, 64, generator=torch.Generator().manual_seed(0))(torch.zeros(5, 3)).shape
        torch.Size([5, 10])
    """

    a: tuple[float, ...]
    b: tuple[float, ...]
    c: float | tuple[float, ...] = 0.0

    def __post_init__(self) -> None:
        _checked(self.a, self.b, self.c)

    @property
    def depth(self) -> int:
        """L, hidden layers."""
        return len(self.a) - 1

    @classmethod
    def standard(cls, depth: int, *, rate_exponent: float = 0.0) -> Self:
        """Weights of variance 1 / inputs, without multipliers. The rate must fall as 1 / n to be stable: ``rate_exponent=1``."""
        return cls((0.0,) * (depth + 1), (0.0, *(0.5,) * depth), rate_exponent)

    @classmethod
    def ntk(cls, depth: int) -> Self:
        """Weights of variance 1, layers divided by √n (Jacot, Gabriel and Hongler 2018)."""
        return cls((0.0, *(0.5,) * depth), (0.0,) * (depth + 1), 0.0)

    @classmethod
    def mean_field(cls) -> Self:
        """One hidden layer, whose mean is the output; the rate grows as n (Mei, Montanari and Nguyen 2018)."""
        return cls((0.0, 1.0), (0.0, 0.0), -1.0)

    @classmethod
    def mup(cls, depth: int, optimiser: Literal["sgd", "adam"] = "sgd") -> Self:
        """Maximal update: every layer moves as much as it can without growing beyond bounds.

        For Adam, whose steps do not depend on the gradient's size, rates have exponents of their own (Yang et al. 2022,
        arXiv 2203.03466, Table 8).
        """
        if optimiser not in ("sgd", "adam"):
            raise ValueError(f"optimiser: got {optimiser!r}, want 'sgd' or 'adam'")
        rates = 0.0 if optimiser == "sgd" else (0.5, *(1.0,) * (depth - 1), 0.5)
        return cls((-0.5, *(0.0,) * (depth - 1), 0.5), (0.5,) * (depth + 1), rates)

    def classify(self) -> AbcClass:
        """What it is under gradient descent, see `classify`."""
        return classify(self.a, self.b, self.c)

    def shifted(self, shift: float) -> Self:
        """The same networks, trained the same, written otherwise: a + θ, b − θ, c − 2θ."""
        c = _checked(self.a, self.b, self.c)
        return type(self)(
            tuple(x + shift for x in self.a), tuple(x - shift for x in self.b), tuple(x - 2 * shift for x in c)
        )

    def network(
        self,
        inputs: int,
        outputs: int,
        width: int,
        *,
        activation: Callable[[Tensor], Tensor] = torch.relu,
        gain: float = 1.0,
        base_width: int = 1,
        zero_readout: bool = False,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
    ) -> "AbcNetwork":
        """A perceptron of this parametrisation, see `AbcNetwork`."""
        return AbcNetwork(
            self, inputs, outputs, width, activation=activation, gain=gain, base_width=base_width,
            zero_readout=zero_readout, generator=generator, dtype=dtype,
        )  # fmt: skip


class AbcNetwork(nn.Module):
    """A perceptron without biases in an abc-parametrisation.

    Powers are of n = width / base_width: networks of all parametrisations are the same, and learn the same, at the base width.
    There, and in powers' place for base_width 1, variances are gain² / inputs for hidden layers and 1 / inputs for the readout.

    Args:
        parametrization: exponents; its depth is the number of hidden layers.
        inputs: dimension of x.
        outputs: dimension of f.
        width: units of each hidden layer.
        activation: φ.
        gain: of hidden layers, such as √2 with ReLU.
        base_width: the width from which powers count.
        zero_readout: whether the readout starts at 0, so that the first outputs do not depend on width.
        generator: source of the weights.
        dtype: of the weights.

    Raises:
        ValueError: if a size is below 1.
    """

    def __init__(
        self,
        parametrization: AbcParametrization,
        inputs: int,
        outputs: int,
        width: int,
        *,
        activation: Callable[[Tensor], Tensor] = torch.relu,
        gain: float = 1.0,
        base_width: int = 1,
        zero_readout: bool = False,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        for name, size in (("inputs", inputs), ("outputs", outputs), ("width", width), ("base_width", base_width)):
            if size < 1:
                raise ValueError(f"{name}: got {size}, want 1 or more")
        growth = width / base_width
        sizes = [inputs, *[width] * parametrization.depth, outputs]
        fans = [inputs, *[base_width] * parametrization.depth]
        device = None if generator is None else generator.device
        self.activation = activation
        self.multipliers = [growth**-a for a in parametrization.a]
        self.rates = [growth**-c for c in _checked(parametrization.a, parametrization.b, parametrization.c)]
        self.weights = nn.ParameterList()
        for layer, b in enumerate(parametrization.b):
            last = layer == parametrization.depth
            deviation = 0.0 if last and zero_readout else (1.0 if last else gain) * growth**-b / math.sqrt(fans[layer])
            start = torch.randn(sizes[layer + 1], sizes[layer], generator=generator, device=device, dtype=dtype)
            self.weights.append(nn.Parameter(start * deviation))

    def features(self, inputs: Float[Tensor, "... inputs"]) -> Float[Tensor, "... width"]:
        """x_L, the last hidden layer's activations."""
        hidden = inputs
        for weight, multiplier in zip(list(self.weights)[:-1], self.multipliers[:-1], strict=True):
            hidden = self.activation(multiplier * nn.functional.linear(hidden, weight))
        return hidden

    def forward(self, inputs: Float[Tensor, "... inputs"]) -> Float[Tensor, "... outputs"]:
        """f(x)."""
        return self.multipliers[-1] * nn.functional.linear(self.features(inputs), self.weights[-1])

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """Groups for an optimiser: each layer at its own rate, ``learning_rate`` times n^(−c)."""
        return [
            {"params": [weight], "lr": learning_rate * rate}
            for weight, rate in zip(self.weights, self.rates, strict=True)
        ]


def _checked(a: Sequence[float], b: Sequence[float], c: float | Sequence[float]) -> tuple[float, ...]:
    own = (c,) * len(a) if isinstance(c, int | float) else tuple(c)
    if not len(a) == len(b) == len(own) >= 2:
        raise ValueError(f"a, b, c: got {len(a)}, {len(b)} and {len(own)} layers, want two or more of each")
    return tuple(map(float, own))
