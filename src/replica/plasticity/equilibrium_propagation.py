"""Equilibrium propagation: errors read from how a network at rest answers a nudge of its output."""

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Float, Inexact, Int
from torch import Tensor, nn

from .equilibrium import LayeredDynamics
from .holomorphic import value_and_derivative
from .jacobian_homeostasis import homeostatic_loss
from .settling import Settling, States

OutputLoss = Literal["cross_entropy", "squared_error"]

_LARGEST_MISFIT = 0.1
"""How far the mean over complex nudges may lie from the free state, in units of the response."""


class EquilibriumPropagation:
    """Trains layered dynamics without backpropagation, whether or not their weights are symmetric.

    The network rests at a free fixed point; then β ∂loss/∂a_L is added to its last layer's drive and it rests anew. Layer
    l takes da_l/dβ at β = 0 for its error vector, and its weights' direction is that error times what the weights carry
    (generalized equilibrium propagation; Laborieux and Zenke 2023). The derivative is a Cauchy integral over complex
    nudges of a finite size, exact but for O(radius^points); the errors are backpropagation's if the Jacobian is
    symmetric, and `homeostasis` adds the gradient of the homeostatic loss, which makes it so.

    Args:
        dynamics: The network; all its weights learn, feedback weights too.
        loss: Of scores; its gradient is continued to complex scores.
        learning_rate: Adam's.
        radius: Size of the nudge β (the paper's |β|).
        points: Nudges on the circle (the paper's N): 1 is the one-sided and 2 the symmetric real nudge, more are complex;
            0 is the limit of an infinitesimal nudge, by solving for the linear response.
        nudged_sweeps: The most sweeps after a nudge, as many as before it by default (the paper's T2, which is shorter than
            T1: an answer that would take long to settle, near a bifurcation, is cut short and cannot outweigh all others).
        homeostasis: Coefficient of the homeostatic loss (the paper's λ_homeo); 0 leaves it out.
        probes: Random vectors a step for that loss.
        precision: Type in which the network settles, that of its weights by default. Weak feedback over many layers leaves
            errors that single precision rounds away.
        generator: Where the probes come from.

    Attributes:
        converged: Share of rows at the last use whose errors can be trusted. They came to rest, free and nudged (see
            `LayeredDynamics` for the tolerance), and their complex nudges stayed where the dynamics are holomorphic: the
            mean of the nudged states is then the free one, here to a tenth of the response in every layer. A smaller
            `radius` helps the others. Rows that left the finite numbers teach nothing.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> net = LayeredDynamics.of_sizes((2, 8, 8), 2, generator=generator)
        >>> trainer = EquilibriumPropagation(net, learning_rate=0.03, homeostasis=1.0, generator=generator)
        >>> inputs, labels = torch.tensor([[-1.0, 1.0], [1.0, -1.0]]), torch.tensor([0, 1])
        >>> for _ in range(20):
        ...     trainer.step(inputs, labels)
        >>> trainer.predict(inputs).argmax(1), trainer.converged
        (tensor([0, 1]), 1.0)
    """

    def __init__(
        self,
        dynamics: LayeredDynamics,
        *,
        loss: OutputLoss = "cross_entropy",
        learning_rate: float = 1e-3,
        radius: float = 0.5,
        points: int = 4,
        nudged_sweeps: int | None = None,
        homeostasis: float = 0.0,
        probes: int = 5,
        precision: torch.dtype | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        if loss not in ("cross_entropy", "squared_error"):
            raise ValueError(f"loss: got {loss!r}, want 'cross_entropy' or 'squared_error'")
        if not radius > 0:
            raise ValueError(f"radius: got {radius}, want a positive number")
        if points < 0:
            raise ValueError(f"points: got {points}, want 0 or more")
        if nudged_sweeps is not None and nudged_sweeps < 2:
            raise ValueError(f"nudged_sweeps: got {nudged_sweeps}, want 2 or more")
        if not homeostasis >= 0:
            raise ValueError(f"homeostasis: got {homeostasis}, want 0 or more")
        if probes < 1:
            raise ValueError(f"probes: got {probes}, want 1 or more")
        if precision not in (None, torch.float32, torch.float64):
            raise ValueError(f"precision: got {precision}, want torch.float32 or torch.float64")
        self.dynamics, self.loss = dynamics, loss
        self.radius, self.points, self.nudged_sweeps = radius, points, nudged_sweeps
        self.homeostasis, self.probes, self.generator = homeostasis, probes, generator
        self.precision, self.converged = precision, 1.0
        self.optimiser = torch.optim.Adam(dynamics.parameters(), learning_rate)

    def step(self, inputs: Float[Tensor, "batch features"], labels: Int[Tensor, " batch"]) -> None:
        """One update on a batch."""
        for parameter, direction in zip(
            self.dynamics.parameters(), self._directions(inputs, labels).values(), strict=True
        ):
            parameter.grad = direction
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)

    def gradients(
        self, inputs: Float[Tensor, "batch features"], labels: Int[Tensor, " batch"]
    ) -> Mapping[str, Float[Tensor, "..."]]:
        """The directions that a step would descend, by the dynamics' names of parameters; nothing is changed."""
        before = None if self.generator is None else self.generator.get_state()
        found = self._directions(inputs, labels)
        if self.generator is not None and before is not None:
            self.generator.set_state(before)
        return found

    @torch.no_grad()
    def predict(self, inputs: Float[Tensor, "batch features"]) -> Float[Tensor, "batch classes"]:
        """Scores at the free fixed point."""
        free = self._settle(inputs)
        self.converged = float(free.converged.double().mean())
        return self.dynamics.scores(free.states).to(inputs.dtype)

    def errors(
        self, inputs: Float[Tensor, "batch features"], labels: Int[Tensor, " batch"]
    ) -> list[Float[Tensor, "batch units"]]:
        """The error vector of every layer, of each row's own loss."""
        return self._errors(inputs, labels, self._settle(inputs))

    def _settle(self, inputs: Tensor) -> Settling:
        dtype = inputs.dtype if self.precision is None else self.precision
        return self.dynamics.settle(inputs, start=self.dynamics.silent(len(inputs), dtype))

    def _errors(self, inputs: Tensor, labels: Tensor, free: Settling) -> States:
        states = free.states
        at_rest = free.converged
        if self.points == 0:
            answer = self._linear_response(inputs, labels, states)
            responses, at_rest = answer.states, at_rest & answer.converged
        else:
            sizes = [state.shape[-1] for state in states]

            def nudged(nudges: Tensor) -> Tensor:
                nonlocal at_rest
                factors = nudges[:, None, None]
                start = [state.to(nudges.dtype).expand(len(nudges), *state.shape) for state in states]
                answer = self.dynamics.settle(
                    inputs, push=lambda top: factors * self._push(top, labels), start=start, sweeps=self.nudged_sweeps
                )
                at_rest = at_rest & answer.converged.all(0)
                return torch.cat(answer.states, dim=-1)

            mean, derivative = value_and_derivative(
                nudged, self.radius, self.points, dtype=states[0].dtype, device=states[0].device
            )
            responses = list(derivative.split(sizes, dim=-1))
            if self.points > 2:
                for centre, state, response in zip(mean.split(sizes, dim=-1), states, responses, strict=True):
                    bound = _LARGEST_MISFIT * self.radius * response.norm(dim=-1)
                    at_rest = at_rest & ((centre - state).norm(dim=-1) <= bound)
        self.converged = float(at_rest.double().mean())
        finite = torch.stack([response.isfinite().all(-1) for response in responses]).all(0)[:, None]
        return self.dynamics.read_errors([torch.where(finite, response, 0.0) for response in responses])

    def _linear_response(self, inputs: Tensor, labels: Tensor, states: States, *, transposed: bool = False) -> Settling:
        push = [*(torch.zeros_like(state) for state in states[:-1]), self._push(states[-1], labels)]
        slopes = self.dynamics.slopes(inputs, states)
        return self.dynamics.respond(slopes, push, transposed=transposed, sweeps=self.nudged_sweeps)

    def _push(
        self, top: Inexact[Tensor, "*nudges batch units"], labels: Tensor
    ) -> Inexact[Tensor, "*nudges batch units"]:
        """∂loss/∂a of each row, a holomorphic function of the last layer's activations."""
        return self._output_error(self.dynamics.scores([top]), labels) @ self.dynamics.readout.weight.to(top.dtype)

    def _output_error(self, scores: Tensor, labels: Tensor) -> Tensor:
        target = nn.functional.one_hot(labels, scores.shape[-1]).to(scores.dtype)
        if self.loss == "squared_error":
            return scores - target
        real = scores.real if scores.is_complex() else scores
        powers = torch.exp(scores - real.amax(-1, keepdim=True))  # a shift of all scores cancels
        return powers / powers.sum(-1, keepdim=True) - target

    def _directions(self, inputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        dynamics, batch = self.dynamics, len(inputs)
        with torch.no_grad():
            free = self._settle(inputs)
            errors = self._errors(inputs, labels, free)
            states = [inputs.to(free.states[0].dtype), *free.states]
            found: dict[str, Tensor] = {}
            for number, (error, below) in enumerate(zip(errors, states, strict=False)):
                found[f"layers.{number}.weight"] = error.mT @ below / batch
                found[f"layers.{number}.bias"] = error.mean(0)
            out = self._output_error(dynamics.scores(free.states), labels)
            found["readout.weight"] = out.mT @ states[-1] / batch
            found["readout.bias"] = out.mean(0)
            for number, (upper, lower) in enumerate(dynamics.links):
                gain = dynamics.feedback_gain ** (upper - lower)
                found[f"feedback.{number}.weight"] = gain * errors[lower].mT @ states[upper + 1] / batch
        named = dict(dynamics.named_parameters())
        if self.homeostasis > 0 and dynamics.links:
            for name, pull in self._homeostatic_gradient(named).items():
                found[name] = found[name] + pull if name in found else pull
        return {name: found[name].to(parameter.dtype) for name, parameter in named.items() if name in found}

    def _homeostatic_gradient(self, named: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
        """Of the homeostatic loss; it reaches the weights between layers alone."""
        like = self.dynamics.readout.weight
        units = sum(layer.out_features for layer in self.dynamics.layers)  # type: ignore[misc]
        probes = torch.empty(self.probes, units, device=like.device, dtype=like.dtype)
        probes.normal_(generator=self.generator)
        with torch.enable_grad():
            value = self.homeostasis * homeostatic_loss(self.dynamics.jacobian_product, probes)
            pulls = torch.autograd.grad(value, list(named.values()), allow_unused=True)
        return {name: pull for name, pull in zip(named, pulls, strict=True) if pull is not None}


class RecurrentBackpropagation(EquilibriumPropagation):
    """The loss's gradient through the fixed point (Almeida, 1987; Pineda, 1987): what equilibrium propagation is to find.

    Errors settle by a linear dynamics of their own, with all weights transposed. Everything else, the homeostatic loss
    among it, is as with `EquilibriumPropagation`; nudges are of no use here.

    Example:
        >>> net = LayeredDynamics.of_sizes((2, 8), 2, generator=torch.Generator().manual_seed(0))
        >>> errors = RecurrentBackpropagation(net).errors(torch.zeros(3, 2), torch.tensor([0, 1, 1]))
        >>> [tuple(error.shape) for error in errors]
        [(3, 8)]
    """

    def _errors(self, inputs: Tensor, labels: Tensor, free: Settling) -> States:
        answer = self._linear_response(inputs, labels, free.states, transposed=True)
        self.converged = float((free.converged & answer.converged).double().mean())
        finite = torch.stack([state.isfinite().all(-1) for state in answer.states]).all(0)[:, None]
        return [torch.where(finite, state, 0.0) for state in answer.states]
