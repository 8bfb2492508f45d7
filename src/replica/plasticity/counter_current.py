"""Counter-current learning: a network for inputs and one for targets, running against each other, learn from one another."""

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


def counter_current_loss(
    features: Float[Tensor, "batch *shape"],
    signals: Float[Tensor, "classes *shape"],
    labels: Int[Tensor, " batch"],
    *,
    decorrelation: float = 0.0,
) -> Float[Tensor, ""]:
    """How far features of inputs are from lying along the signal of their own class and across those of all others.

        L = mean over i, j of (cos(a_i, b_j) − [y_i = j])²

    With ``decorrelation`` d, d · (mean over i, k of (cos(a_i, a_k) − [i = k])² + the same of the b_j) is added, as the
    authors do in convolutional networks.

    Args:
        features: One layer's outputs (the paper's â_l).
        signals: The feedback network's, one a class (b̂_l).
        labels: Class numbers.
        decorrelation: Weight of the terms that drive rows of one network apart.

    Returns:
        The loss (Kao and Hariharan 2024, equation 2, as a mean of squares, with one row of signals a class).

    Raises:
        ValueError: If one feature and one signal differ in shape, or decorrelation is negative.

    Example:
        >>> import torch
        >>> from replica.plasticity import counter_current_loss
        >>> counter_current_loss(3 * torch.eye(4), torch.eye(4), torch.arange(4)).item()
        0.0
    """
    if features.shape[1:] != signals.shape[1:]:
        raise ValueError(f"signals: got {tuple(signals.shape[1:])} each, want {tuple(features.shape[1:])} as features")
    if not decorrelation >= 0:
        raise ValueError(f"decorrelation: got {decorrelation}, want 0 or more")
    ours = nn.functional.normalize(features.flatten(1), eps=1e-8)
    theirs = nn.functional.normalize(signals.flatten(1), eps=1e-8)
    same = nn.functional.one_hot(labels, len(signals)).to(ours.dtype)
    loss = (ours @ theirs.T - same).square().mean()
    if decorrelation:
        for rows in (ours, theirs):
            apart = torch.eye(len(rows), dtype=rows.dtype, device=rows.device)
            loss = loss + decorrelation * (rows @ rows.T - apart).square().mean()
    return loss


class CounterCurrentLearning(OptimiserStates):
    """Trains a network beside its mirror image, layer by layer, without an error that travels.

    The network runs bottom-up, a_l = g_l(a_{l−1}) from the inputs a_0; its mirror image runs top-down, b_{l−1} = h_l(b_l)
    from the one-hot codes b_L of all classes. At every level but the top, `counter_current_loss` of a_l and b_l trains g_l
    and h_{l+1}, whose own inputs count as given; at the bottom, where a_0 are the inputs, h_1 alone. The head g_L descends
    the loss of its scores. So each level learns what comes up from the inputs and, at the same level, what comes
    down from the targets; no weights are shared or transported (Kao and Hariharan 2024, section 3).

    Levels learn one after the other, and each frees its activations before the next begins. As an `nn.Module` the trainer
    moves with ``.to(…)`` (before the first step); its ``state_dict`` holds both networks and the optimisers.

    Args:
        network: Its children are the layers, from the inputs to the head. Each holds one linear layer or convolution:
            see `MirroredLayer`. It is trained in place.
        example: Inputs, for the shapes; one row is enough.
        loss: Mean loss of scores and labels, by which the head learns.
        activation: Makes the feedback layers' activation, ELU in the paper; the lowest has none.
        decorrelation: See `counter_current_loss`; the authors take half the weight of the main term for convolutional
            networks and 0 for others.
        feedback_learns: Whether the feedback network learns too, or stays as drawn (a learning rate of 0 in the paper's
            section 4.5).
        optimiser: Makes the optimiser of one level from its parameters.
        generator: Where the feedback weights come from.

    Raises:
        ValueError: If a layer cannot be mirrored, or an argument is out of its range.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from replica.plasticity import CounterCurrentLearning
        >>> generator = torch.Generator().manual_seed(0)
        >>> inputs, labels = torch.randn(60, 4, generator=generator), torch.arange(60) % 3
        >>> inputs[torch.arange(60), labels] += 4
        >>> _ = torch.manual_seed(0)
        >>> network = nn.Sequential(nn.Sequential(nn.Linear(4, 16), nn.ELU()), nn.Linear(16, 3))
        >>> trainer = CounterCurrentLearning(network, inputs, generator=generator)
        >>> for _ in range(200):
        ...     losses = trainer.step(inputs, labels)
        >>> bool((network(inputs).argmax(1) == labels).float().mean() > 0.9)
        True
    """

    def __init__(
        self,
        network: nn.Sequential,
        example: Float[Tensor, "batch *shape"],
        *,
        loss: Loss = nn.functional.cross_entropy,
        activation: Callable[[], nn.Module] = nn.ELU,
        decorrelation: float = 0.0,
        feedback_learns: bool = True,
        optimiser: Optimiser = ADAM,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        layers = list(network.children())
        if not layers:
            raise ValueError("network: got no layers, want at least a head")
        if not decorrelation >= 0:
            raise ValueError(f"decorrelation: got {decorrelation}, want 0 or more")
        self.network, self.loss, self.decorrelation = network, loss, decorrelation
        mirrored, state = [], example[:1]
        for number, layer in enumerate(layers):
            mirrored.append(MirroredLayer(layer, state, activation=activation if number else None, generator=generator))
            with torch.no_grad():
                state = layer(state)
        self.feedback = nn.ModuleList(mirrored).requires_grad_(feedback_learns)
        self.classes = state.shape[-1]
        self.optimisers = [optimiser(piece) if piece else None for piece in self._pieces()]

    def _pieces(self) -> list[list[nn.Parameter]]:
        """What each level trains, from the inputs' to the head."""
        *hidden, head = self.network.children()
        levels = [[self.feedback[0]]]
        levels += [[layer, back] for layer, back in zip(hidden, list(self.feedback)[1:], strict=True)]
        levels.append([head])
        return [
            [parameter for module in level for parameter in module.parameters() if parameter.requires_grad]
            for level in levels
        ]

    def forward(self, inputs: Float[Tensor, "batch *shape"]) -> Float[Tensor, "batch classes"]:
        """Scores of the network itself."""
        return self.network(inputs)

    def signals(self) -> list[Float[Tensor, "classes *shape"]]:
        """What the feedback network makes of every class: b_0, …, b_{L−1}, from the inputs' level to the last hidden one.

        Gradients end at the input of each feedback layer.
        """
        weight = next(self.feedback.parameters())
        signal = torch.eye(self.classes, dtype=weight.dtype, device=weight.device)
        found: list[Tensor] = []
        for layer in reversed(self.feedback):
            signal = layer(signal.detach())
            found.append(signal)
        return found[::-1]

    def losses(
        self, inputs: Float[Tensor, "batch *shape"], labels: Int[Tensor, " batch"]
    ) -> Iterator[Float[Tensor, ""]]:
        """The loss of each level in turn: the inputs', each hidden layer's, the head's."""
        signals = self.signals()
        *hidden, head = self.network.children()
        yield counter_current_loss(inputs, signals[0], labels, decorrelation=self.decorrelation)
        for number, layer in enumerate(hidden, start=1):
            outputs = layer(inputs)
            yield counter_current_loss(outputs, signals[number], labels, decorrelation=self.decorrelation)
            inputs = outputs.detach()
            del outputs  # and with it the layer's graph, before the next begins
        yield self.loss(head(inputs), labels)

    def step(self, inputs: Float[Tensor, "batch *shape"], labels: Int[Tensor, " batch"]) -> Float[Tensor, " levels"]:
        """One update of every level on a batch.

        Returns:
            The losses before it, cut off from their graphs.
        """
        found = []
        for loss, optimiser in zip(self.losses(inputs, labels), self.optimisers, strict=True):
            if optimiser is not None:
                optimiser.zero_grad(set_to_none=True)
                torch.autograd.backward(loss)
                optimiser.step()
                optimiser.zero_grad(set_to_none=True)
            found.append(loss.detach())
            del loss
        return torch.stack(found)

    def gradients(self, inputs: Float[Tensor, "batch *shape"], labels: Int[Tensor, " batch"]) -> dict[str, Tensor]:
        """The gradients of the levels' losses, by the network's names of parameters; nothing is changed by it."""
        names = {parameter: name for name, parameter in self.network.named_parameters()}
        found = {}
        for piece, loss in zip(self._pieces(), self.losses(inputs, labels), strict=True):
            own = [parameter for parameter in piece if parameter in names]
            for parameter, gradient in zip(own, torch.autograd.grad(loss, own) if own else (), strict=True):
                found[names[parameter]] = gradient
        return found

    def learning(self) -> list[torch.optim.Optimizer]:
        """See `OptimiserStates.learning`."""
        return [optimiser for optimiser in self.optimisers if optimiser is not None]
