"""Target projection: every layer fits a fixed random projection of the label while the forward pass goes through it."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from .optimiser_states import OptimiserStates

Loss = Callable[[Tensor, Tensor], Tensor]
Optimiser = Callable[[list[nn.Parameter]], torch.optim.Optimizer]
ADAM: Optimiser = partial(torch.optim.Adam, lr=1e-3)


def _along(outputs: Tensor, targets: Tensor) -> Tensor:
    """Minus the mean product of outputs and targets: its gradient is the projected target itself."""
    return -(outputs * targets).mean()


LAYER_LOSSES: dict[str, Loss] = {
    "squared_error": nn.functional.mse_loss,
    "absolute_error": nn.functional.l1_loss,
    "direct": _along,
}


class TargetProjection(OptimiserStates):
    """Trains a network in forward passes alone: target projection SGD (Lomnitz, Daniels, Zhang and Piacentino 2022).

    Hidden layer i has a fixed random matrix P_i. With inputs x_i that count as given, outputs y_i = f_i(x_i) and the
    one-hot label t, the layer descends

        J_i = layer_loss(y_i, P_i t)

    so that, for squared errors and y = σ(W x), W gains (P t − y) ⊙ σ′(W x) xᵀ; the head descends the loss of its scores.
    A layer is done before the next begins, and nothing of it is kept but its outputs.

    - Of a convolution's outputs the mean over positions meets the target, or all positions have the same, or each its own
      (`positions`).
    - Of a recurrent layer h_t = tanh(W x_t + U h_{t−1}) the last state meets the target, and within the layer the chain
      rule goes back in time; or every state meets it, x_t and h_{t−1} count as given, and one step's graph is there at a
      time (`moments`).

    With ``layer_loss="direct"`` this is direct random target projection (Frenkel, Lefebvre and Bol 2021), whose
    hidden layers move along P t ⊙ σ′ wherever they are; other losses generalise it.

    As an `nn.Module` the trainer moves with ``.to(…)`` (before the first step); its ``state_dict`` holds the network, the
    projections and the optimisers.

    Args:
        network: Its children are the layers, from the inputs to the head; it is trained in place. A recurrent layer is one
            with linear children ``input`` and ``recurrent``, tanh units, and sequences ``(batch, time, values)`` in and out.
        example: Inputs, for the shapes; one row is enough.
        loss: Mean loss of scores and labels, by which the head learns.
        layer_loss: Mean loss of a hidden layer's outputs and their targets: ``squared_error`` (the paper's ℓ2),
            ``absolute_error`` (ℓ1), ``direct``, or any function of the two.
        positions: What of a convolution meets its target: ``mean``, ``same`` or ``own``.
        moments: What of a recurrent layer does: ``last`` or ``every``.
        scale: Standard deviation of the projections' entries, which are normal.
        optimiser: Makes the optimiser of one layer from its parameters.
        generator: Where the projections come from.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from replica.plasticity import TargetProjection
        >>> generator = torch.Generator().manual_seed(0)
        >>> inputs, labels = torch.randn(60, 4, generator=generator), torch.arange(60) % 3
        >>> inputs[torch.arange(60), labels] += 4
        >>> _ = torch.manual_seed(0)
        >>> network = nn.Sequential(nn.Sequential(nn.Linear(4, 16), nn.Tanh()), nn.Linear(16, 3))
        >>> trainer = TargetProjection(network, inputs, generator=generator)
        >>> for _ in range(200):
        ...     trainer.step(inputs, labels)
        >>> bool((network(inputs).argmax(1) == labels).float().mean() > 0.9)
        True
    """

    def __init__(
        self,
        network: nn.Sequential,
        example: Float[Tensor, "batch *shape"],
        *,
        loss: Loss = nn.functional.cross_entropy,
        layer_loss: str | Loss = "squared_error",
        positions: Literal["mean", "same", "own"] = "mean",
        moments: Literal["last", "every"] = "last",
        scale: float = 1.0,
        optimiser: Optimiser = ADAM,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        layers = list(network.children())
        if not layers:
            raise ValueError("network: got no layers, want at least a head")
        if isinstance(layer_loss, str) and layer_loss not in LAYER_LOSSES:
            raise ValueError(f"layer_loss: got {layer_loss!r}, want one of {', '.join(LAYER_LOSSES)} or a function")
        if positions not in ("mean", "same", "own"):
            raise ValueError(f"positions: got {positions!r}, want mean, same or own")
        if moments not in ("last", "every"):
            raise ValueError(f"moments: got {moments!r}, want last or every")
        if not scale > 0:
            raise ValueError(f"scale: got {scale}, want a positive number")
        self.network, self.loss, self.positions, self.moments = network, loss, positions, moments
        self.layer_loss = LAYER_LOSSES[layer_loss] if isinstance(layer_loss, str) else layer_loss
        outputs = [example[:1]]
        with torch.no_grad():
            for layer in layers:
                outputs.append(layer(outputs[-1]))
        self.classes = outputs[-1].shape[-1]
        for number, (layer, output) in enumerate(zip(layers[:-1], outputs[1:], strict=False)):
            shape = self._target_shape(layer, output)
            drawn = output.new_empty(self.classes, math.prod(shape)).normal_(0.0, scale, generator=generator)
            self.register_buffer(f"projection{number}", drawn.view(self.classes, *shape))
        self.optimisers = [
            optimiser(list(layer.parameters())) if any(True for _ in layer.parameters()) else None for layer in layers
        ]

    def _target_shape(self, layer: nn.Module, output: Float[Tensor, "batch *shape"]) -> tuple[int, ...]:
        """The shape of one target: a state's, a channel's or an output's."""
        if is_recurrent(layer):
            return tuple(output.shape[2:])
        if self.positions != "own" and output.ndim > 2:
            return (output.shape[1],)
        return tuple(output.shape[1:])

    def forward(self, inputs: Float[Tensor, "batch *shape"]) -> Float[Tensor, "batch classes"]:
        """Scores of the network itself."""
        return self.network(inputs)

    def targets(self, number: int, labels: Int[Tensor, " batch"]) -> Float[Tensor, "batch *shape"]:
        """The projected labels of a hidden layer, counted from 0: rows of P t."""
        projection: Tensor = getattr(self, f"projection{number}")
        return projection[labels]

    def _assign(self, inputs: Float[Tensor, "batch *shape"], labels: Int[Tensor, " batch"]) -> Iterator[None]:
        """Put each layer's gradient into ``grad``, one layer after the other."""
        *hidden, head = self.network.children()
        for number, layer in enumerate(hidden):
            targets = self.targets(number, labels)
            if is_recurrent(layer) and self.moments == "every":
                inputs = self._step_by_step(layer, inputs, targets)
            else:
                outputs = layer(inputs)
                loss = self._layer_loss(layer, outputs, targets)
                if loss.requires_grad:
                    torch.autograd.backward(loss)
                inputs = outputs.detach()
                del outputs, loss  # and with them the layer's graph, before the next begins
            yield
        torch.autograd.backward(self.loss(head(inputs), labels))
        yield

    def _layer_loss(
        self, layer: nn.Module, outputs: Float[Tensor, "batch *shape"], targets: Float[Tensor, "batch *target"]
    ) -> Float[Tensor, ""]:
        """J_i of a whole layer."""
        if is_recurrent(layer):
            return self.layer_loss(outputs[:, -1], targets)
        if outputs.ndim > 2 and self.positions == "mean":
            return self.layer_loss(outputs.flatten(2).mean(2), targets)
        if outputs.ndim > 2 and self.positions == "same":
            targets = targets.view(*targets.shape, *[1] * (outputs.ndim - 2)).expand_as(outputs)
        return self.layer_loss(outputs, targets)

    def _step_by_step(
        self, layer: Any, sequence: Float[Tensor, "batch time values"], targets: Float[Tensor, "batch units"]
    ) -> Float[Tensor, "batch time units"]:
        """A recurrent layer's states; its gradient adds up step by step."""
        batch, time, _ = sequence.shape
        states = sequence.new_empty(batch, time, targets.shape[1])
        state = torch.zeros_like(states[:, 0])
        for moment in range(time):
            reached = torch.tanh(layer.input(sequence[:, moment]) + layer.recurrent(state))
            torch.autograd.backward(self.layer_loss(reached, targets) / time)
            state = reached.detach()
            states[:, moment] = state
        return states

    def step(self, inputs: Float[Tensor, "batch *shape"], labels: Int[Tensor, " batch"]) -> None:
        """One update of every layer on a batch, from the first to the last."""
        self._clear()
        for _, optimiser in zip(self._assign(inputs, labels), self.optimisers, strict=True):
            if optimiser is not None:
                optimiser.step()
                optimiser.zero_grad(set_to_none=True)

    def gradients(self, inputs: Float[Tensor, "batch *shape"], labels: Int[Tensor, " batch"]) -> dict[str, Tensor]:
        """The gradients of the layers' losses, by the network's names of parameters; no weight is changed by it."""
        self._clear()
        for _ in self._assign(inputs, labels):
            pass
        found = {name: value.grad for name, value in self.network.named_parameters() if value.grad is not None}
        self._clear()
        return found

    def _clear(self) -> None:
        for parameter in self.network.parameters():
            parameter.grad = None

    def learning(self) -> list[torch.optim.Optimizer]:
        """See `OptimiserStates.learning`."""
        return [optimiser for optimiser in self.optimisers if optimiser is not None]


def is_recurrent(layer: nn.Module) -> bool:
    """Whether a layer has linear children ``input`` and ``recurrent``."""
    return all(isinstance(getattr(layer, name, None), nn.Linear) for name in ("input", "recurrent"))
