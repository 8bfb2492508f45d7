"""Hypernetwork: a network that writes the weights of another one as a function of a condition.

Gonzalez Ortiz, Guttag and Dalca 2023, "Magnitude Invariant Parametrizations Improve Hypernetwork Learning",
arXiv 2304.07645. Their letters: condition γ (`conditions`), hypernetwork h with weights ω (`network`), primary
weights θ, independent weights θ⁰ (`base`), input encoding E_L2 (`constant_norm_encoding`).
"""

import copy
import math
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils import _pytree as pytree

from replica.training import mlp

from .constant_norm import constant_norm_encoding

Form = Literal["magnitude-invariant", "encoded", "additive", "plain"]
OutputScale = Literal["fan-out", "primary"]

_GAIN = math.sqrt(2)  # Of half-linear activations; LeakyReLU's slope of 0.01 changes its fifth digit.


class Hypernetwork(nn.Module):
    r"""Any module, with weights that a small fully connected network h writes as a function of a condition.

    Four forms, the last three for comparison and ablation:

        magnitude-invariant   θ(γ) = θ⁰ + h(E(γ)),   E(γ) = [cos(πγ/2), sin(πγ/2)]
        plain                 θ(γ) = h(γ)
        encoded               θ(γ) = h(E(γ))
        additive              θ(γ) = θ⁰ + h(γ)

    In the plain form ‖θ(γ)‖ is proportional to ‖γ‖: exactly so at the start, when all biases are zero and the
    activation is half-linear (LeakyReLU, ReLU). θ⁰ is the bias of the last layer of h: it starts at the primary
    network's own weights in the additive forms, at zero in the others, and is learned in all four, so that all
    have the same size. A pretrained primary network may so be conditioned without losing what it knows.

    Args:
        primary: the module whose weights are written. It is copied; the copy keeps the parameters that are not
            written, trainable, and its buffers.
        conditions: how many numbers a condition has.
        form: see above.
        hidden: widths of the hidden layers of h; empty for a linear h.
        parameters: glob patterns of the names of the parameters to write, such as ``"*.weight"``. Default all.
        low: smallest value of a condition, or of each of them; it becomes γ = 0.
        high: largest value; it becomes γ = 1.
        activation: makes the module between two layers of h.
        output_scale: size of h's outputs at the start, for an input of norm 1. ``"fan-out"``: variance
            2 / (entries of the parameter), as the authors have it. ``"primary"``: the mean square of the
            primary network's own parameter, so that a plain hypernetwork starts at the usual scale.
        generator: source of the initial weights of h.

    Shapes: `inputs` (batch, ...); `conditions` (conditions,) for one condition for the whole batch, or (batch,
    conditions) for one a sample. A number will do where `conditions` is 1.

    Raises:
        ValueError: if `conditions` or a hidden width is below 1, `form` or `output_scale` is unknown, no parameter
            matches, those that match have several devices or types or are no real numbers, or `low` is not
            below `high`.

    Modules for which `torch.vmap` has no rule, such as LSTM, take one condition for the batch.

    Source: Gonzalez Ortiz et al. 2023, Figure 2; initial weights (Kaiming with fan-out, zero biases) as in the
    authors' code, hyperlight.

    Example:
        >>> import torch
        >>> from replica.architectures import Hypernetwork
        >>> draw = torch.Generator().manual_seed(0)
        >>> hypernet = Hypernetwork(torch.nn.Linear(8, 3), conditions=1, generator=draw)
        >>> images, strengths = torch.rand(5, 8, generator=draw), torch.rand(5, 1, generator=draw)
        >>> hypernet(images, 0.3).shape, hypernet(images, strengths).shape
        (torch.Size([5, 3]), torch.Size([5, 3]))
        >>> hypernet.primary_at(0.3)(images).equal(hypernet(images, 0.3))
        True
    """

    low: Tensor
    high: Tensor

    def __init__(
        self,
        primary: nn.Module,
        conditions: int = 1,
        *,
        form: Form = "magnitude-invariant",
        hidden: Sequence[int] = (16, 128),
        parameters: str | Sequence[str] | None = None,
        low: float | Sequence[float] = 0.0,
        high: float | Sequence[float] = 1.0,
        activation: Callable[[], nn.Module] = nn.LeakyReLU,
        output_scale: OutputScale = "fan-out",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if conditions < 1:
            raise ValueError(f"conditions: got {conditions}, want 1 or more")
        if any(width < 1 for width in hidden):
            raise ValueError(f"hidden: got {tuple(hidden)}, want widths of 1 or more")
        if form not in get_args(Form):
            raise ValueError(f"form: got {form!r}, want one of {', '.join(get_args(Form))}")
        if output_scale not in get_args(OutputScale):
            raise ValueError(f"output_scale: got {output_scale!r}, want one of {', '.join(get_args(OutputScale))}")
        self.conditions = conditions
        self.form: Form = form
        self.primary = copy.deepcopy(primary)
        self._names, written = _take_parameters(self.primary, parameters)
        self._shapes = [tuple(parameter.shape) for parameter in written]
        self._sizes = [parameter.numel() for parameter in written]
        like = written[0]
        for name, value in (("low", low), ("high", high)):
            bound = torch.as_tensor(value, dtype=like.dtype, device=like.device)
            if bound.dim() > 1 or bound.numel() not in (1, conditions):
                raise ValueError(f"{name}: got shape {tuple(bound.shape)}, want one number or {conditions}")
            self.register_buffer(name, bound.expand(conditions).clone(), persistent=False)
        if not bool((self.low < self.high).all()):
            raise ValueError(f"low: got {low} with high {high}, want it below high")
        inputs = 2 * conditions if self.encodes else conditions
        self.network = mlp(
            (inputs, *hidden, sum(self._sizes)),
            activation=activation,
            generator=generator,
            device=like.device,
            dtype=like.dtype,
        )
        self._start(written, output_scale, generator)

    @property
    def encodes(self) -> bool:
        """Whether conditions are encoded at constant norm."""
        return self.form in ("magnitude-invariant", "encoded")

    @property
    def adds(self) -> bool:
        """Whether h's output starts as a change of the primary network's own weights."""
        return self.form in ("magnitude-invariant", "additive")

    @property
    def base(self) -> nn.Parameter:
        """Flat weights θ⁰ that do not depend on the condition: the bias of h's last layer."""
        return self._output_layer.bias

    @property
    def _output_layer(self) -> nn.Linear:
        return self._linear_layers()[-1]

    def _linear_layers(self) -> list[nn.Linear]:
        return [layer for layer in self.network if isinstance(layer, nn.Linear)]

    def extra_repr(self) -> str:
        """What `print` shows."""
        return f"conditions={self.conditions}, form={self.form!r}, writes={sum(self._sizes)} weights"

    @torch.no_grad()
    def _start(self, written: list[nn.Parameter], scale: OutputScale, generator: torch.Generator | None) -> None:
        *hidden, output = self._linear_layers()
        for layer in hidden:
            layer.weight.normal_(0, _GAIN / math.sqrt(layer.out_features), generator=generator)
            layer.bias.zero_()
        # Each parameter has its own fan-out, as if it had a last layer of its own.
        for rows, parameter in zip(output.weight.split(self._sizes), written, strict=True):
            fan_out = _GAIN / math.sqrt(max(1, parameter.numel()))
            own = float(parameter.detach().square().mean().sqrt())
            rows.normal_(0, 1, generator=generator).mul_(fan_out if scale == "fan-out" else own)
        output.bias.zero_()
        if self.adds:
            output.bias.copy_(torch.cat([parameter.detach().flatten() for parameter in written]))

    def flat_weights(self, conditions: float | Float[Tensor, "... conditions"]) -> Float[Tensor, "... weights"]:
        """All weights that h writes for each condition, θ(γ), parameter after parameter."""
        conditions = self._as_conditions(conditions)
        codes = (conditions - self.low) / (self.high - self.low)
        return self.network(constant_norm_encoding(codes) if self.encodes else codes)

    def weights(self, conditions: float | Float[Tensor, "... conditions"]) -> dict[str, Tensor]:
        """The weights that h writes, by the name of the primary network's parameter, shape (..., *its own).

        A parameter that the primary network has under several names stands under the first.

        Raises:
            ValueError: if the last dimension is not that of a condition.
        """
        flat = self.flat_weights(conditions)
        return {
            names[0]: part.reshape((*flat.shape[:-1], *shape))
            for names, part, shape in zip(self._names, flat.split(self._sizes, dim=-1), self._shapes, strict=True)
        }

    def forward(
        self,
        inputs: Float[Tensor, "batch ..."],
        conditions: float | Float[Tensor, " conditions"] | Float[Tensor, "batch conditions"],
        **options: Any,
    ) -> Any:
        """What the primary network makes of the inputs with the weights for the condition.

        Results may be nested; with a condition a sample, each has the batch first.

        Args:
            inputs: shape (batch, ...).
            conditions: one for the batch, or one a sample; see the class.
            **options: further arguments of the primary network, the same for all samples.

        Raises:
            ValueError: if a shape does not fit, or samples have conditions of their own while the primary
                network has batch normalisation in training mode.
        """
        conditions = self._as_conditions(conditions)
        if conditions.dim() == 1:
            return self._call(self.weights(conditions), inputs, options)
        if conditions.dim() != 2 or len(conditions) != len(inputs):
            raise ValueError(
                f"conditions: got shape {tuple(conditions.shape)}, want ({self.conditions},) for the batch or "
                f"({len(inputs)}, {self.conditions}) for its samples"
            )
        for name, module in self.primary.named_modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training:
                raise ValueError(
                    f"conditions: got one a sample with batch normalisation in training mode ({name or 'primary'}), "
                    "want one for the batch, or eval()"
                )

        def of_sample(weights: dict[str, Tensor], sample: Tensor) -> Any:
            result = self._call(weights, sample.unsqueeze(0), options)
            return pytree.tree_map(lambda value: value.squeeze(0), result)

        return torch.vmap(of_sample, randomness="different")(self.weights(conditions), inputs)

    def primary_at(self, conditions: float | Float[Tensor, " conditions"]) -> nn.Module:
        """A copy of the primary network with its weights fixed at those for one condition.

        Raises:
            ValueError: if it is not one condition.
        """
        conditions = self._as_conditions(conditions)
        if conditions.dim() != 1:
            raise ValueError(f"conditions: got shape {tuple(conditions.shape)}, want ({self.conditions},)")
        module = copy.deepcopy(self.primary)
        for names, value in zip(self._names, self.weights(conditions).values(), strict=True):
            parameter = nn.Parameter(value.detach().clone())
            for name in names:
                owner, _, attribute = name.rpartition(".")
                delattr(module.get_submodule(owner), attribute)
                module.get_submodule(owner).register_parameter(attribute, parameter)
        return module

    def _call(self, weights: dict[str, Tensor], inputs: Tensor, options: dict[str, Any]) -> Any:
        named = {name: weights[names[0]] for names in self._names for name in names}
        return functional_call(self.primary, named, (inputs,), options)

    def _as_conditions(self, conditions: float | Tensor) -> Tensor:
        like = self._output_layer.weight
        conditions = torch.as_tensor(conditions, dtype=like.dtype, device=like.device)
        if not conditions.dim() and self.conditions == 1:
            conditions = conditions.unsqueeze(0)
        if conditions.dim() < 1 or conditions.shape[-1] != self.conditions:
            raise ValueError(f"conditions: got shape {tuple(conditions.shape)}, want (..., {self.conditions})")
        return conditions


def _take_parameters(
    module: nn.Module, patterns: str | Sequence[str] | None
) -> tuple[list[tuple[str, ...]], list[nn.Parameter]]:
    """Takes the parameters that match out of a module: all names of each, and each."""
    wanted = ("*",) if patterns is None else (patterns,) if isinstance(patterns, str) else tuple(patterns)
    names: dict[nn.Parameter, list[str]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        names.setdefault(parameter, []).append(name)
    taken = {
        parameter: tuple(aliases)
        for parameter, aliases in names.items()
        if any(fnmatchcase(name, pattern) for name in aliases for pattern in wanted)
    }
    if not taken:
        known = ", ".join(aliases[0] for aliases in names.values()) or "none"
        raise ValueError(f"parameters: got {wanted}, want patterns that match at least one of: {known}")
    kinds = {(parameter.device, parameter.dtype) for parameter in taken}
    if len(kinds) > 1 or not next(iter(taken)).is_floating_point():
        raise ValueError(
            f"primary: got parameters of {sorted(map(str, kinds))}, want one device and one floating-point type"
        )
    for aliases in taken.values():
        for name in aliases:
            owner, _, attribute = name.rpartition(".")
            place = module.get_submodule(owner)
            delattr(place, attribute)
            # functional_call fills a place only where there is one; an empty buffer costs and saves nothing.
            place.register_buffer(attribute, torch.empty(0), persistent=False)
    return list(taken.values()), list(taken)
