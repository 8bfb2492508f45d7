"""Momentum auxiliary networks: local blocks that learn through a moving average of the block that follows.

Su, Cai, Zhu, He, Xu, Guan and Si, "Momentum Auxiliary Network for Supervised Local Learning", ECCV 2024.
"""

import copy

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .local_blocks import auxiliary_network, fresh_copy, layer_stack
from .local_training import ADAM, LocalTraining, Loss, Optimiser


class FollowedLayer(nn.Module):
    """A layer's moving average, beside a trainable layer of the same form that learns what it leaves to be desired.

        y = E(x) + B(x),    θ_E ← m θ_E + (1 − m) θ

    with θ the parameters of the layer that is followed. E is fixed but for its average; B, the learnable bias, is trained.

    Args:
        layer: The layer that is followed; it is only read.
        momentum: m, 0 to 1.
        average: Whether there is E.
        bias: Whether there is B.
        generator: Where B's weights come from.

    Raises:
        ValueError: If the momentum is out of range, or there is neither E nor B.

    Example:
        >>> import torch
        >>> followed = torch.nn.Linear(3, 2)
        >>> follower = FollowedLayer(followed, momentum=0.9, bias=False)
        >>> inputs = torch.randn(4, 3)
        >>> torch.equal(follower(inputs), followed(inputs))
        True
    """

    def __init__(
        self,
        layer: nn.Module,
        *,
        momentum: float = 0.995,
        average: bool = True,
        bias: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum: got {momentum}, want 0 to 1")
        if not average and not bias:
            raise ValueError("average, bias: got neither, want at least one")
        self.momentum = momentum
        self.average = copy.deepcopy(layer).requires_grad_(False) if average else None
        self.bias = fresh_copy(layer, generator) if bias else None

    def forward(self, inputs: Float[Tensor, "batch *shape"]) -> Float[Tensor, "batch *given"]:
        """The sum of both."""
        parts = [part(inputs) for part in (self.average, self.bias) if part is not None]
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]

    @torch.no_grad()
    def follow(self, layer: nn.Module) -> None:
        """Move the average towards a layer's parameters of now."""
        if self.average is not None:
            for own, other in zip(self.average.parameters(), layer.parameters(), strict=True):
                own.lerp_(other, 1 - self.momentum)


class MomentumAuxiliary(LocalTraining):
    """Local learning in which each block sees what the next one has learned.

    A block's auxiliary network is a `FollowedLayer` of the first layer of the next block, and a classifier of the head's
    form. After each step the averages move on by (1 − m) of the way. No gradient goes from block to block; the weights are
    what is exchanged.

    Args:
        network: Hidden layers and a head, applied in turn: see `layer_stack`. Trained in place.
        example: A few inputs, shape ``(batch, *shape)``, to see shapes by.
        momentum: m of the averages, 0 to 1: they reach back about 1 / (1 − m) steps, which should be few beside all steps.
        average: Whether auxiliary networks hold the average; without it only a trainable layer of the same form.
        bias: Whether they hold the learnable bias. With neither they are linear classifiers: greedy local learning.
        blocks: Local blocks K, runs of neighbouring layers. Default one a hidden layer.
        loss: Mean loss of scores and labels.
        optimiser: Makes a block's optimiser from its parameters. Default Adam at 0.001.
        generator: Where the auxiliary networks' weights come from.

    Raises:
        ValueError: If an argument is out of range, or the network cannot be taken apart.

    Example:
        >>> import torch
        >>> from replica.plasticity import MomentumAuxiliary
        >>> from replica.training import conv_net
        >>> generator = torch.Generator().manual_seed(0)
        >>> network = conv_net((1, 4, 4, 8, 8), 10, pool_after=(2,), generator=generator)
        >>> images, labels = torch.randn(32, 1, 8, 8, generator=generator), torch.arange(32) % 10
        >>> trainer = MomentumAuxiliary(network, images[:2], generator=generator)
        >>> losses = [trainer.step(images, labels) for _ in range(30)]
        >>> bool((losses[-1] < losses[0]).all())
        True
    """

    def __init__(
        self,
        network: nn.Sequential,
        example: Float[Tensor, "batch *shape"],
        *,
        momentum: float = 0.995,
        average: bool = True,
        bias: bool = True,
        blocks: int | None = None,
        loss: Loss = nn.functional.cross_entropy,
        optimiser: Optimiser = ADAM,
        generator: torch.Generator | None = None,
    ) -> None:
        stack = layer_stack(network, example)
        ranges = stack.blocks(blocks)
        auxiliaries: list[nn.Module] = []
        for _, end in ranges[:-1]:
            if not average and not bias:
                auxiliaries.append(auxiliary_network(stack, end - 1, (), generator))
                continue
            follower = FollowedLayer(
                stack.layers[end], momentum=momentum, average=average, bias=bias, generator=generator
            )
            auxiliaries.append(nn.Sequential(follower, *auxiliary_network(stack, end, (), generator)))
        super().__init__(network, stack.modules(ranges), auxiliaries, loss=loss, optimiser=optimiser)
        self.followed = tuple(stack.layers[end] for _, end in ranges[:-1])

    def after_step(self) -> None:
        """Move every average towards the layer that it follows."""
        for auxiliary, layer in zip(self.auxiliaries, self.followed, strict=True):
            follower = next(iter(auxiliary.children()))
            if isinstance(follower, FollowedLayer):
                follower.follow(layer)
