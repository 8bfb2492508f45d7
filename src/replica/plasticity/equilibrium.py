"""Layers of units that drive one another until they rest, with feedback weights of their own."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Inexact
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from replica.training.mixed_precision import in_own_precision
from replica.training.tracing import is_exported

from .holomorphic import shifted_sigmoid
from .settling import Settling, States


@dataclass(frozen=True)
class _Weights:
    forward: States
    feedback: States
    constant: States  # what a layer gets from outside the states: inputs and biases


class LayeredDynamics(nn.Module):
    """A recurrent network of layers whose answer is read from its fixed point.

    Layer l with activations a_l = σ(u_l) rests where

        u_l = W_l a_{l−1} + b_l + Σ_k γ^{k−l} B_{kl} a_k,   a_0 = x,   scores = R a_L + c

    over the feedback links k → l. A nudge adds β ∂loss/∂a_L to the last layer's u. W and B (the paper's θ_F) need not be
    tied. In the coordinates of the activations the Jacobian is W + B − 1/σ′; it is symmetric if B_{l+1,l} = W_{l+1}ᵀ, and
    then the network descends an energy. Layers are updated in turn, up and down, each given its neighbours, which has the
    same fixed points as the paper's update of all at once; with symmetric weights and a bounded, increasing σ every turn
    lowers the energy, so that it converges. Under autocast they run in the type of the weights.

    `forward` is differentiable by the implicit function theorem: the gradient of a function of the scores is that of
    backpropagation through all time (recurrent backpropagation; Almeida, 1987), whatever the weights.

    Args:
        layers: Forward weights and biases, of the first layer first.
        readout: From the last layer to the scores.
        links: Feedback, from which layer to which lower one, layers counted from 1; by default each to the one below.
        angle: Degrees between feedback weights at first and the transposed forward ones: B = cos(α) Wᵀ + sin(α) R with R
            drawn as W is in size; links that skip layers are all R.
        feedback_gain: γ, how strong feedback is beside the forward drive (1 in the paper). Below 1 the fixed point comes
            close to a forward pass (Xie and Seung, 2003), and an error that reaches layer l is read as γ^{l−L} times what
            is seen there.
        activation: σ, elementwise, holomorphic if complex nudges are to be given.
        sweeps: The most sweeps over the layers, up and down counted apart.
        tolerance: Change of activations, relative to 1 + their size, at which they count as at rest; 50 times the
            rounding of their type by default.
        damping: Share of its old activation that a unit keeps at each update.
        generator: Where R comes from.

    Raises:
        ValueError: If layers do not fit one another, a link does not go down, or a number is out of its range.

    Example:
        >>> net = LayeredDynamics.of_sizes((4, 8, 8), 3, generator=torch.Generator().manual_seed(0))
        >>> net(torch.zeros(5, 4)).shape
        torch.Size([5, 3])
    """

    def __init__(
        self,
        layers: Sequence[nn.Linear],
        readout: nn.Linear,
        *,
        links: Sequence[tuple[int, int]] | None = None,
        angle: float = 90.0,
        feedback_gain: float = 1.0,
        activation: Callable[[Tensor], Tensor] = shifted_sigmoid,
        sweeps: int = 100,
        tolerance: float | None = None,
        damping: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not layers:
            raise ValueError("layers: got none, want at least one")
        sizes = [layer.out_features for layer in layers]
        for below, above in zip([*layers], [*layers[1:], readout], strict=True):
            if below.out_features != above.in_features:
                raise ValueError(
                    f"layers: one gives {below.out_features} values where the next takes {above.in_features}"
                )
        if sweeps < 2:
            raise ValueError(f"sweeps: got {sweeps}, want 2 or more")
        if not 0 <= damping < 1:
            raise ValueError(f"damping: got {damping}, want at least 0 and below 1")
        if not 0 < feedback_gain < math.inf:
            raise ValueError(f"feedback_gain: got {feedback_gain}, want a positive finite number")
        if tolerance is not None and not tolerance > 0:
            raise ValueError(f"tolerance: got {tolerance}, want a positive number")
        depth = len(layers)
        links = [(lower + 1, lower) for lower in range(1, depth)] if links is None else list(links)
        for upper, lower in links:
            if not 1 <= lower < upper <= depth:
                raise ValueError(
                    f"links: got {(upper, lower)}, want a pair of layers from 1 to {depth}, the higher first"
                )
        self.layers = nn.ModuleList(layers)
        self.readout = readout
        self.links = tuple((upper - 1, lower - 1) for upper, lower in links)
        like = readout.weight
        self.feedback = nn.ModuleList(
            _undrawn(sizes[upper], sizes[lower], bias=False, device=like.device, dtype=like.dtype)
            for upper, lower in self.links
        )
        self.feedback_gain, self.activation = feedback_gain, activation
        self.sweeps, self.tolerance, self.damping = sweeps, tolerance, damping
        self._draw_feedback(angle, generator)

    @classmethod
    def of_sizes(
        cls, sizes: Sequence[int], classes: int, *, generator: torch.Generator | None = None, **options: Any
    ) -> "LayeredDynamics":
        """Draw forward weights too: normal with variance 1 / inputs, biases 0 (the paper's).

        Args:
            sizes: Inputs, then the units of each layer.
            classes: Scores.
            generator: Where all weights come from.
            **options: As the class takes them.

        Raises:
            ValueError: If there are fewer than two sizes, or one is not positive.
        """
        if len(sizes) < 2 or min(sizes) < 1 or classes < 1:
            raise ValueError(
                f"sizes: got {tuple(sizes)} and {classes} classes, want two or more positive numbers and a class"
            )
        device = torch.device("cpu") if generator is None else generator.device
        made = []
        for inputs, outputs in zip(sizes, [*sizes[1:], classes], strict=True):
            layer = _undrawn(inputs, outputs, device=device)
            with torch.no_grad():
                layer.weight.normal_(0.0, 1 / math.sqrt(inputs), generator=generator)
                layer.bias.zero_()
            made.append(layer)
        return cls(made[:-1], made[-1], generator=generator, **options)

    @classmethod
    def around(cls, network: nn.Module, **options: Any) -> "LayeredDynamics":
        """Take the linear layers of a feedforward network as the forward weights, shared with it; the last reads out, and
        what else there is (activations) is left aside.

        Args:
            network: With two linear layers or more, in the order in which they act.
            **options: As the class takes them.

        Raises:
            ValueError: If there are too few linear layers, or other weights than theirs.
        """
        linear = [module for module in network.modules() if isinstance(module, nn.Linear)]
        own = {id(parameter) for layer in linear for parameter in layer.parameters()}
        other = [name for name, parameter in network.named_parameters() if id(parameter) not in own]
        if len(linear) < 2 or other:
            found = f"also {other[0]}" if other else f"{len(linear)} linear layers"
            raise ValueError(f"network: got {found}, want two or more linear layers and no other weights")
        return cls(linear[:-1], linear[-1], **options)

    def _draw_feedback(self, angle: float, generator: torch.Generator | None) -> None:
        turn = math.radians(angle)
        with torch.no_grad():
            for (upper, lower), link in zip(self.links, self.feedback, strict=True):
                weight, forward = _weight(link), _weight(self.layers[upper])
                spread = float(forward.square().mean().sqrt())
                weight.normal_(0.0, 1.0, generator=generator)
                if upper == lower + 1:
                    weight.mul_(spread * math.sin(turn)).add_(math.cos(turn) * forward.T)
                else:
                    weight.mul_(1 / math.sqrt(weight.shape[1]))

    @in_own_precision
    def forward(self, inputs: Float[Tensor, "batch features"]) -> Float[Tensor, "batch classes"]:
        """Scores at the fixed point, differentiable through it.

        Warns:
            RuntimeWarning: if rows, or on the way back their errors, are not at rest after the last sweep.
        """
        settled = self.settle(inputs)
        settled.warn_of_unrest("LayeredDynamics: forward")
        drives = [
            self._constant(level, inputs) + self._incoming(level, settled.states, self._weights(None))
            for level in range(len(self.layers))
        ]
        return self.readout(_AtRest.apply(self, *drives)[-1])

    @in_own_precision
    @torch.no_grad()
    def settle(
        self,
        inputs: Float[Tensor, "batch features"],
        *,
        push: Callable[[Inexact[Tensor, "*nudges batch units"]], Tensor] | None = None,
        start: Sequence[Inexact[Tensor, "*nudges batch units"]] | None = None,
        sweeps: int | None = None,
    ) -> Settling:
        """Let the layers come to rest.

        Args:
            inputs: Held fixed.
            push: What is added to the drive of the last layer, a function of its activations: the nudge.
            start: Activations to start from, 0 by default; complex ones run the dynamics in the complex plane.
            sweeps: The most, if not those of the network.

        Raises:
            ValueError: If the inputs are not rows of the first layer's size.
        """
        features = self.layers[0].in_features
        if inputs.ndim != 2 or inputs.shape[1] != features:
            raise ValueError(f"inputs: got shape {tuple(inputs.shape)}, want (batch, {features})")
        states = self.silent(len(inputs), inputs.dtype) if start is None else list(start)
        weights = self._weights(states[0].dtype, inputs)
        top = len(states) - 1

        def update(level: int) -> Tensor:
            drive = weights.constant[level] + self._incoming(level, states, weights)
            if push is not None and level == top:
                drive = drive + push(states[top])
            new = self.activation(drive)
            return new if self.damping == 0 else torch.lerp(new, states[level], self.damping)

        return self._sweep(states, update, sweeps)

    def silent(self, batch: int, dtype: torch.dtype | None = None) -> list[Float[Tensor, "batch units"]]:
        """Activations of 0, of the weights' type or another."""
        like = self.readout.weight
        return [
            torch.zeros(batch, layer.out_features, dtype=dtype or like.dtype, device=like.device)  # type: ignore[call-overload]
            for layer in self.layers
        ]

    @in_own_precision
    def scores(
        self, states: Sequence[Inexact[Tensor, "*nudges batch units"]]
    ) -> Inexact[Tensor, "*nudges batch classes"]:
        """Read activations of the last layer out, real or complex."""
        top = states[-1]
        return nn.functional.linear(top, self.readout.weight.to(top.dtype), _like(self.readout.bias, top))

    @in_own_precision
    def slopes(
        self, inputs: Float[Tensor, "batch features"], states: Sequence[Float[Tensor, "batch units"]]
    ) -> list[Float[Tensor, "batch units"]]:
        """σ′ of every unit at rest."""
        found = []
        weights = self._weights(states[0].dtype, inputs)
        for level in range(len(states)):
            drive = (weights.constant[level] + self._incoming(level, states, weights)).detach().requires_grad_()
            with torch.enable_grad():
                found.append(torch.autograd.grad(self.activation(drive).sum(), drive)[0])
        return found

    @in_own_precision
    @torch.no_grad()
    def respond(
        self,
        slopes: Sequence[Float[Tensor, "batch units"]],
        push: Sequence[Tensor],
        *,
        transposed: bool = False,
        sweeps: int | None = None,
    ) -> Settling:
        """How activations answer an infinitesimal push: (1/σ′ − W − B)⁻¹ push, by the same sweeps as the dynamics.

        Args:
            slopes: σ′ at rest: see `slopes`.
            push: On the drive of each layer.
            transposed: Take Wᵀ and Bᵀ: then the response to ∂loss/∂a is the loss's gradient with respect to the drives,
                the error vectors of recurrent backpropagation.
            sweeps: The most, if not those of the network.
        """
        weights = self._weights(slopes[0].dtype)
        states = [torch.zeros_like(slope) for slope in slopes]
        return self._sweep(
            states,
            lambda level: slopes[level] * (push[level] + self._incoming(level, states, weights, transposed=transposed)),
            sweeps,
        )

    @in_own_precision
    def jacobian_product(self, vectors: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        """J times vectors over the units of all layers, the first layer's first; differentiable in the weights.

        J holds W and B; its diagonal −1/σ′, symmetric whatever the weights, is left out. Layers are scaled by γ^{l/2}, so
        that forward and feedback weights stand at equal strength √γ: J is symmetric if and only if B = Wᵀ.
        """
        sizes = [layer.out_features for layer in self.layers]
        scales = [self.feedback_gain ** (level / 2) for level in range(len(sizes))]
        parts = [part / scale for part, scale in zip(vectors.split(sizes, dim=-1), scales, strict=True)]
        weights = self._weights(None)
        made = [
            scale * self._incoming(level, parts, weights).expand_as(parts[level]) for level, scale in enumerate(scales)
        ]
        return torch.cat(made, dim=-1)

    def read_errors(self, responses: Sequence[Tensor]) -> States:
        """What each layer takes the error to be from how it answers a push on the last: γ^{l−L} times the answer."""
        last = len(responses) - 1
        return [self.feedback_gain ** (level - last) * response for level, response in enumerate(responses)]

    # --- One update of one layer

    def _weights(self, dtype: torch.dtype | None, inputs: Tensor | None = None) -> _Weights:
        """Weights in the type of the states, cast once; None to keep them as they are."""
        cast = (lambda value: value) if dtype is None else (lambda value: value.to(dtype))
        constant = [] if inputs is None else [cast(self._constant(level, inputs)) for level in range(len(self.layers))]
        gains = [self.feedback_gain ** (upper - lower) for upper, lower in self.links]
        return _Weights(
            [cast(_weight(layer)) for layer in self.layers],
            [cast(_weight(link)) * gain for link, gain in zip(self.feedback, gains, strict=True)],
            constant,
        )

    def _constant(self, level: int, inputs: Tensor) -> Tensor:
        layer = self.layers[level]
        if level == 0:
            return layer(inputs)
        return inputs.new_zeros(()) if layer.bias is None else layer.bias  # type: ignore[return-value]

    def _incoming(self, level: int, states: Sequence[Tensor], weights: _Weights, *, transposed: bool = False) -> Tensor:
        """What the other layers send to one: W a from below and γB a from above; transposed, the same the other way."""
        total: Tensor | None = None
        forward = level + 1 if transposed else level
        if 0 < forward < len(states):
            source = level + 1 if transposed else level - 1
            weight = weights.forward[forward]
            total = states[source] @ (weight if transposed else weight.mT)
        for (upper, lower), weight in zip(self.links, weights.feedback, strict=True):
            if (upper if transposed else lower) == level:
                sent = states[lower] @ weight if transposed else states[upper] @ weight.mT
                total = sent if total is None else total + sent
        return states[level].new_zeros(()) if total is None else total

    def _sweep(self, states: States, update: Callable[[int], Tensor], sweeps: int | None) -> Settling:
        """Update layers in turn, up and down, until nothing changes; the list of states is changed in place."""
        top = len(states) - 1
        rounding = torch.finfo(states[0].dtype).eps
        tolerance = 50 * rounding if self.tolerance is None else self.tolerance
        limit = self.sweeps if sweeps is None else sweeps
        made = 0
        while True:
            # The first layer has just been updated when the next way up begins, and the last when the way down begins.
            for level in range(min(made, 1), top):
                states[level] = update(level)
            change: Tensor | None = None
            for level in range(top, -1, -1):
                new = update(level)
                moved = ((new - states[level]).abs() / (1 + new.abs())).amax(-1)
                change = moved if change is None else torch.maximum(change, moved)
                states[level] = new
            made += 2
            assert change is not None
            converged = change <= tolerance  # a change that is no number is above any
            if made >= limit or (not is_exported() and bool(converged.all())):
                return Settling(states, change, converged, made)


class _AtRest(torch.autograd.Function):
    """Activations of drives that are at a fixed point; backward, errors settle as activations did."""

    @staticmethod
    def forward(ctx: Any, dynamics: LayeredDynamics, *drives: Tensor) -> tuple[Tensor, ...]:
        ctx.dynamics = dynamics
        ctx.save_for_backward(*drives)
        return tuple(dynamics.activation(drive) for drive in drives)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *errors: Tensor) -> tuple[Tensor | None, ...]:
        slopes = []
        for drive in ctx.saved_tensors:
            at = drive.detach().requires_grad_()
            with torch.enable_grad():
                slopes.append(torch.autograd.grad(ctx.dynamics.activation(at).sum(), at)[0])
        settled = ctx.dynamics.respond(slopes, errors, transposed=True)
        settled.warn_of_unrest("LayeredDynamics: backward")
        return None, *settled.states


def _undrawn(inputs: int, outputs: int, **options: Any) -> nn.Linear:
    """A linear layer whose weights are still to be drawn, from the caller's generator."""
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs, **options)
    assert isinstance(layer, nn.Linear)
    return layer


def _weight(layer: nn.Module) -> Tensor:
    assert isinstance(layer, nn.Linear)
    return layer.weight


def _like(bias: Tensor | None, other: Tensor) -> Tensor | None:
    return None if bias is None else bias.to(other.dtype)
