"""Difference target propagation: layers learn targets that approximate inverses carry down from the loss."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from .mirrored_layers import MirroredLayer
from .optimiser_states import OptimiserStates

Loss = Callable[[Tensor, Tensor], Tensor]
Optimiser = Callable[[list[nn.Parameter]], torch.optim.Optimizer]
ADAM: Optimiser = partial(torch.optim.Adam, lr=1e-3)


class DifferenceTargetPropagation(OptimiserStates):
    """Trains a network by targets for its hidden layers instead of errors (Lee, Zhang, Fischer and Bengio 2015).

    With layers h_l = f_l(h_{l−1}) and an approximate inverse g_l of each but the first and the head:

    - the last hidden layer's target is a step down the loss, ĥ = h − η ∂(sum of losses)/∂h;
    - a lower one's is ĥ_{l−1} = h_{l−1} + g_l(ĥ_l) − g_l(h_l), which errors of the inverse leave alone;
    - f_l descends the mean of |f_l(h_{l−1}) − ĥ_l|² / 2, the head the loss itself;
    - g_l descends the mean of |g_l(f_l(h_{l−1} + ε)) − h_{l−1} − ε|² / 2 with normal noise ε, in every step before the
      targets are made.

    As an `nn.Module` the trainer moves with ``.to(…)`` (before the first step); its ``state_dict`` holds the network, the
    inverses and the optimisers.

    Args:
        network: Its children are the layers, from the inputs to the head; each hidden one but the first can be mirrored
            (see `MirroredLayer`). It is trained in place.
        example: Inputs, for the shapes; one row is enough.
        loss: Mean loss of scores and labels.
        activation: Makes the inverses' activation.
        step_size: η.
        noise: Standard deviation of ε.
        inverse_steps: Updates of the inverses a step.
        optimiser: Makes an optimiser from parameters: one for each layer, one for each inverse.
        generator: Where the inverses' weights and the noise come from.

    Raises:
        ValueError: If a layer cannot be mirrored, or an argument is out of its range.

    Example:
        >>> import torch
        >>> from replica.plasticity import DifferenceTargetPropagation
        >>> from torch import nn
        >>> generator = torch.Generator().manual_seed(0)
        >>> inputs, labels = torch.randn(60, 4, generator=generator), torch.arange(60) % 3
        >>> inputs[torch.arange(60), labels] += 4
        >>> _ = torch.manual_seed(0)
        >>> hidden = [nn.Sequential(nn.Linear(ins, 16), nn.Tanh()) for ins in (4, 16)]
        >>> network = nn.Sequential(*hidden, nn.Linear(16, 3))
        >>> trainer = DifferenceTargetPropagation(network, inputs, generator=generator)
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
        activation: Callable[[], nn.Module] = nn.Tanh,
        step_size: float = 1.0,
        noise: float = 0.1,
        inverse_steps: int = 1,
        optimiser: Optimiser = ADAM,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not step_size > 0:
            raise ValueError(f"step_size: got {step_size}, want a positive number")
        if not noise >= 0:
            raise ValueError(f"noise: got {noise}, want 0 or more")
        if inverse_steps < 0:
            raise ValueError(f"inverse_steps: got {inverse_steps}, want 0 or more")
        self.network, self.loss = network, loss
        self.step_size, self.noise, self.inverse_steps, self.generator = step_size, noise, inverse_steps, generator
        inverses, state = [], example[:1]
        for number, layer in enumerate(list(network.children())[:-1]):
            if number:
                inverses.append(MirroredLayer(layer, state, activation=activation, bias=True, generator=generator))
            with torch.no_grad():
                state = layer(state)
        self.inverses = nn.ModuleList(inverses)
        self.optimisers = [optimiser(list(layer.parameters())) for layer in network.children()]
        self.inverse_optimisers = [optimiser(list(inverse.parameters())) for inverse in self.inverses]

    def forward(self, inputs: Float[Tensor, "batch *shape"]) -> Float[Tensor, "batch classes"]:
        """Scores of the network itself."""
        return self.network(inputs)

    def states(self, inputs: Float[Tensor, "batch *shape"]) -> list[Float[Tensor, "batch *shape"]]:
        """The hidden layers' outputs h_1, …, h_{L−1}, without a graph."""
        found = []
        with torch.no_grad():
            for layer in list(self.network.children())[:-1]:
                inputs = layer(inputs)
                found.append(inputs)
        return found

    def targets(
        self, states: list[Float[Tensor, "batch *shape"]], labels: Int[Tensor, " batch"]
    ) -> list[Float[Tensor, "batch *shape"]]:
        """What the hidden layers should put out: ĥ_1, …, ĥ_{L−1}."""
        head = list(self.network.children())[-1]
        last = states[-1].clone().requires_grad_()
        (down,) = torch.autograd.grad(self.loss(head(last), labels), last)
        found = [states[-1] - self.step_size * len(labels) * down]
        with torch.no_grad():
            for below, above, inverse in zip(states[-2::-1], states[:0:-1], reversed(self.inverses), strict=True):
                found.append(below + inverse(found[-1]) - inverse(above))
        return found[::-1]

    def inverse_losses(self, states: list[Float[Tensor, "batch *shape"]]) -> Iterator[Float[Tensor, ""]]:
        """How far each inverse is from undoing its layer near the states, in turn from the lowest."""
        hidden = list(self.network.children())[1:-1]
        for layer, inverse, below in zip(hidden, self.inverses, states, strict=False):
            moved = below + self.noise * torch.empty_like(below).normal_(generator=self.generator)
            with torch.no_grad():
                above = layer(moved)
            yield _distance(inverse(above), moved)

    def losses(
        self, inputs: Float[Tensor, "batch *shape"], labels: Int[Tensor, " batch"]
    ) -> Iterator[Float[Tensor, ""]]:
        """The loss of each layer in turn, the head's last; gradients end at the layer's input."""
        *hidden, head = self.network.children()
        states = self.states(inputs)
        wanted = self.targets(states, labels) if hidden else []
        for layer, below, target in zip(hidden, [inputs, *states], wanted, strict=False):
            yield _distance(layer(below), target)
        yield self.loss(head(states[-1] if hidden else inputs), labels)

    def step(self, inputs: Float[Tensor, "batch *shape"], labels: Int[Tensor, " batch"]) -> None:
        """One update of the inverses, then of every layer, on a batch."""
        if self.inverse_steps and len(self.inverses):
            states = self.states(inputs)
            for _ in range(self.inverse_steps):
                self._descend(self.inverse_losses(states), self.inverse_optimisers)
            del states
        self._descend(self.losses(inputs, labels), self.optimisers)

    @staticmethod
    def _descend(losses: Iterator[Tensor], optimisers: list[torch.optim.Optimizer]) -> None:
        for loss, optimiser in zip(losses, optimisers, strict=True):
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

    def gradients(self, inputs: Float[Tensor, "batch *shape"], labels: Int[Tensor, " batch"]) -> dict[str, Tensor]:
        """The gradients of the layers' losses, by the network's names of parameters; nothing is changed by it."""
        found = {}
        named = self.network.named_children()
        for (name, layer), loss in zip(named, self.losses(inputs, labels), strict=True):
            own = dict(layer.named_parameters())
            for key, gradient in zip(own, torch.autograd.grad(loss, list(own.values())), strict=True):
                found[f"{name}.{key}"] = gradient
        return found

    def learning(self) -> list[torch.optim.Optimizer]:
        """See `OptimiserStates.learning`."""
        return [*self.optimisers, *self.inverse_optimisers]


def _distance(values: Tensor, target: Tensor) -> Tensor:
    """Half the squared distance, the mean over rows."""
    return (values - target).square().sum() / (2 * len(values))
