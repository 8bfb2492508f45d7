"""What monotone Boltzmann machines share: evidence, mean-field inference, readout and loss, whatever their connections.

Feng, Winston and Kolter 2023, "Monotone deep Boltzmann machines", arXiv 2307.04990. Their letters: pairwise potentials
Φ (`couplings`), strong monotonicity m (`margin`), marginals q, unary potentials b (`biases`), readout temperatures τ²
(`scales`).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import one_hot

from replica.training.mixed_precision import at_least_single, in_own_precision

from .mean_field_solvers import Couple, MeanField, NodeLayout, attach_gradient, forward_backward

UNKNOWN = -1
"""The state of a node that is not observed."""


class Inference(NamedTuple):
    """The mean-field solution of a batch, layer by layer.

    Attributes:
        marginals: of each layer, shape (batch, nodes, states); known nodes have their one-hot state.
        logits: what each node's neighbours and bias tell of it, Φ q + b, of each layer, also for known nodes.
        solution: how the solver went.
    """

    marginals: tuple[Float[Tensor, "batch nodes states"], ...]
    logits: tuple[Float[Tensor, "batch nodes states"], ...]
    solution: MeanField


class _MonotoneMachine(nn.Module, ABC):
    """What dense and convolutional machines share: biases, scales, inference and its gradient."""

    def __init__(
        self,
        layers: Sequence[tuple[int, int]],
        margin: float,
        steps: int,
        tolerance: float,
        momentum: bool,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__()
        if not -1 < margin < 1:
            raise ValueError(f"margin: got {margin}, want above −1 and below 1")
        if steps < 1:
            raise ValueError(f"steps: got {steps}, want 1 or more")
        if not tolerance > 0:
            raise ValueError(f"tolerance: got {tolerance}, want above 0")
        self.layout = NodeLayout(tuple((int(nodes), int(states)) for nodes, states in layers))
        self.margin = margin
        self.steps = steps
        self.tolerance = tolerance
        self.momentum = momentum
        self.biases = nn.Parameter(torch.zeros(self.layout.entries, device=device, dtype=dtype))
        self.log_scales = nn.Parameter(torch.zeros(len(self.layout.layers), device=device, dtype=dtype))

    def extra_repr(self) -> str:
        """What `print` shows."""
        return f"layers={self.layout.layers}, margin={self.margin}"

    @abstractmethod
    def coupling(self) -> tuple[Couple, float]:
        """The map q ↦ Φ q, differentiable in the parameters, and an upper bound L of the eigenvalues of I − Φ."""

    @in_own_precision
    def couplings(self) -> Float[Tensor, "entries entries"]:
        """Φ written out: symmetric, zero within each node, its eigenvalues at most 1 − m."""
        couple, _ = self.coupling()
        biases = at_least_single(self.biases)
        return couple(torch.eye(self.layout.entries, device=biases.device, dtype=biases.dtype))

    def forward(
        self,
        *states: Int[Tensor, "batch nodes"] | None,
        fields: Sequence[Float[Tensor, "batch nodes states"] | None] | None = None,
    ) -> tuple[Float[Tensor, "batch nodes states"], ...]:
        """Marginals of every layer, given the states of some nodes; see `infer`."""
        return self.infer(*states, fields=fields).marginals

    @in_own_precision
    def infer(
        self,
        *states: Int[Tensor, "batch nodes"] | None,
        fields: Sequence[Float[Tensor, "batch nodes states"] | None] | None = None,
        start: Float[Tensor, "batch entries"] | None = None,
        batch: int | None = None,
    ) -> Inference:
        """Solves the mean-field equations for the unknown nodes, the others clamped: q = softmax(Φ q + b).

        Any nodes can be known and any asked for: pixels given the label, the label given some pixels, or both given
        the other pixels.

        Under autocast it runs in the parameters' own type, and half precision is solved in float32: the fixed point would
        not be found to the tolerance otherwise.

        Args:
            states: for each layer the state of its nodes, −1 where unknown; None, or left out, where all are.
            fields: for each layer what is added to b, such as log-likelihoods of noisy observations; None for nothing.
            start: marginals to start the solver from; the solution does not depend on it. Default equal probabilities.
            batch: rows, where neither states nor fields tell. Default 1.

        Returns:
            Marginals, logits, and how the solver went. Gradients of marginals and logits are those of the fixed point.

        Raises:
            ValueError: if there are more layers than the machine has, shapes do not fit, or a state is out of range.
        """
        given, known, unary = self._evidence(states, fields, batch)
        given, unary = at_least_single(given), at_least_single(unary)
        couple, lipschitz = self.coupling()
        if start is not None:
            given = torch.where(known, given, start.expand_as(given).to(given.dtype))
        with torch.no_grad():
            solution = forward_backward(
                couple, unary.detach(), self.layout,
                lipschitz=lipschitz, margin=self.margin, momentum=self.momentum,
                start=given, known=known, steps=self.steps, tolerance=self.tolerance,
            )  # fmt: skip
        logits = couple(solution.marginals) + unary
        fixed = attach_gradient(logits, couple, self.layout, known=known, tolerance=min(1e-2, self.tolerance))
        marginals = torch.where(known, given, fixed)
        if marginals.requires_grad:
            logits = couple(marginals) + unary  # now with the gradient of q
        given_back = self.biases.dtype
        return Inference(
            self.layout.split(marginals.to(given_back)), self.layout.split(logits.to(given_back)), solution
        )

    def readout(self, inference: Inference) -> tuple[Float[Tensor, "batch nodes states"], ...]:
        """Log-probabilities of every node's states, ln softmax(τ² (Φ q + b)), with a learned scale τ² a layer.

        The bound on Φ keeps marginals soft; the scale lets the machine be as sure as the data say.
        """
        scales = self.log_scales.exp()
        return tuple((scale * part).log_softmax(-1) for scale, part in zip(scales, inference.logits, strict=True))

    def loss(
        self, *states: Int[Tensor, "batch nodes"] | None, known: Sequence[Bool[Tensor, "batch nodes"] | None]
    ) -> tuple[Float[Tensor, ""] | None, ...]:
        """Mean cross-entropy, in nats, of the nodes that are not known, given those that are; one for each layer.

        Args:
            states: for each layer the true states; None for a hidden layer.
            known: for each layer which of them inference may see; None for none.

        Returns:
            For each layer the mean over its unknown nodes; None for hidden layers and where all nodes are known.

        Raises:
            ValueError: see `infer`.
        """
        seen = [
            None if true is None or mask is None else torch.where(mask, true, UNKNOWN)
            for true, mask in zip(states, known, strict=True)
        ]
        found = self.readout(self.infer(*seen))
        losses: list[Tensor | None] = []
        for layer, true in enumerate(states):
            if true is None:
                losses.append(None)
                continue
            mask = known[layer]
            asked = torch.ones_like(true, dtype=torch.bool) if mask is None else ~mask
            surprise = -found[layer].gather(-1, true.unsqueeze(-1)).squeeze(-1)
            losses.append((surprise * asked).sum() / asked.sum() if bool(asked.any()) else None)
        return tuple(losses)

    def _evidence(
        self, states: Sequence[Tensor | None], fields: Sequence[Tensor | None] | None, batch: int | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Values of known nodes (equal probabilities elsewhere), which entries are known, and b with fields."""
        layers = self.layout.layers
        fields = () if fields is None else fields
        for name, parts in (("states", states), ("fields", fields)):
            if len(parts) > len(layers):
                raise ValueError(f"{name}: got {len(parts)} layers, want at most {len(layers)}")
        present = [part for part in (*states, *fields) if part is not None]
        batch = len(present[0]) if present else 1 if batch is None else batch
        values, known, unary = [], [], []
        for layer, (nodes, count) in enumerate(layers):
            own = states[layer] if layer < len(states) else None
            field = fields[layer] if layer < len(fields) else None
            like = self.biases
            if own is None:
                values.append(like.new_full((batch, nodes, count), 1 / count))
                known.append(torch.zeros(batch, nodes, count, dtype=torch.bool, device=like.device))
            else:
                if own.shape != (batch, nodes):
                    raise ValueError(f"states: layer {layer} has shape {tuple(own.shape)}, want ({batch}, {nodes})")
                if own.is_floating_point() or bool(((own < UNKNOWN) | (own >= count)).any()):
                    raise ValueError(
                        f"states: layer {layer} wants integers from −1 (unknown) to {count - 1}, got others"
                    )
                seen = (own != UNKNOWN).unsqueeze(-1)
                hot = one_hot(own.clamp_min(0).long(), count).to(like.dtype)
                values.append(torch.where(seen, hot, 1 / count))
                known.append(seen.expand_as(hot))
            if field is not None and field.shape != (batch, nodes, count):
                raise ValueError(
                    f"fields: layer {layer} has shape {tuple(field.shape)}, want ({batch}, {nodes}, {count})"
                )
            unary.append(like.new_zeros(batch, nodes, count) if field is None else field)
        return self.layout.join(values), self.layout.join(known), self.layout.join(unary) + self.biases


def _shrinkage(grams: Float[Tensor, "... states states"], margin: float) -> Float[Tensor, "..."]:
    """min(1, √(1 − m) / ‖A_i‖₂) from A_iᵀA_i: one number a node."""
    squared = torch.linalg.eigvalsh(grams)[..., -1]
    limit = 1 - margin
    return torch.where(squared > limit, (limit / squared.clamp_min(limit)).sqrt(), torch.ones_like(squared))
