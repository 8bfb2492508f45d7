"""AugLocal: local learning whose auxiliary networks have the forms of layers picked evenly from the rest of the network.

Ma, Wu, Si and Tan, "Scaling Supervised Local Learning with Augmented Auxiliary Networks", ICLR 2024.
"""

from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .local_blocks import auxiliary_network, layer_stack
from .local_training import ADAM, LocalTraining, Loss, Optimiser

Selection = Literal["uniform", "sequential", "repeated"]


def selected_layers(after: int, layers: int, depth: int, selection: Selection = "uniform") -> tuple[int, ...]:
    """Numbers, from 0, of the layers whose forms make the auxiliary network of layer l (``after``).

    With d (``depth``) of the L (``layers``) hidden layers,

    - ``uniform`` (the paper's): round(l + i (L − 1 − l) / d) for i = 1 … d, which spreads them over all layers that follow
      and always takes the last one; all that follow where they are d or fewer.
    - ``sequential``: the next d, or all that follow.
    - ``repeated``: layer l itself, as often as the uniform selection takes layers.

    Args:
        after: The layer, from 0.
        layers: Hidden layers of the network.
        depth: Layers to select.
        selection: How they are selected.

    Raises:
        ValueError: If a number is out of range or the selection unknown.

    Example:
        >>> selected_layers(0, 12, 3), selected_layers(9, 12, 3), selected_layers(0, 12, 3, "sequential")
        ((4, 7, 11), (10, 11), (1, 2, 3))
    """
    if not 0 <= after < layers:
        raise ValueError(f"after: got {after}, want 0 to {layers - 1}")
    if depth < 0:
        raise ValueError(f"depth: got {depth}, want 0 or more")
    if selection not in get_args(Selection):
        raise ValueError(f"selection: got {selection!r}, want one of {', '.join(get_args(Selection))}")
    following = layers - 1 - after
    depth = min(depth, following)
    if selection == "repeated":
        return (after,) * depth
    if selection == "sequential":
        return tuple(range(after + 1, after + 1 + depth))
    return tuple(round(after + following * number / depth) for number in range(1, depth + 1))


def tapered_depths(blocks: int, depth: int, taper: float = 0.5) -> tuple[int, ...]:
    """Depth of the auxiliary network of each block but the last, falling linearly with the block's place.

    For block k = 0 … K − 2 of K (``blocks``), with greatest depth d and taper τ:

        d_k = max(1, round(d (1 − τ k / (K − 2)) + τ k / (K − 2)))

    so that the first has depth d, and the last 1 where τ = 1. A depth of 0 stays 0: a linear classifier.

    Args:
        blocks: Local blocks of the network.
        depth: Of the first block's auxiliary network.
        taper: From 0 (the same depth for all) to 1.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> tapered_depths(9, 5), tapered_depths(9, 5, taper=1.0)
        ((5, 5, 4, 4, 4, 4, 3, 3), (5, 4, 4, 3, 3, 2, 2, 1))
    """
    if blocks < 1:
        raise ValueError(f"blocks: got {blocks}, want 1 or more")
    if depth < 0:
        raise ValueError(f"depth: got {depth}, want 0 or more")
    if not 0 <= taper <= 1:
        raise ValueError(f"taper: got {taper}, want 0 to 1")
    if depth == 0:
        return (0,) * (blocks - 1)
    shares = [taper * number / max(1, blocks - 2) for number in range(blocks - 1)]
    return tuple(max(1, round(depth * (1 - share) + share)) for share in shares)


class AugLocal(LocalTraining):
    """Local learning with augmented auxiliary networks.

    The auxiliary network of a block has the form of a few later layers of the network, picked evenly (see
    `selected_layers`), and of its head, with weights of its own; it is less deep the later the block (see
    `tapered_depths`). A block so learns features that layers like those that follow can use. With ``depth=0`` all
    auxiliary networks are linear classifiers: greedy local learning. With ``blocks=1`` there are none: backpropagation.

    Args:
        network: Hidden layers and a head, applied in turn: see `layer_stack`. Trained in place.
        example: A few inputs, shape ``(batch, *shape)``, to see shapes by.
        depth: Layers in the first block's auxiliary network (the paper's d).
        taper: How far depth falls towards 1 at the last of them (the paper's τ), 0 to 1.
        selection: How layers are picked: ``"uniform"``, or for comparison ``"sequential"`` or ``"repeated"``.
        blocks: Local blocks K, runs of neighbouring layers. Default one a hidden layer.
        last: Hidden layers in the last block, which learns by the network's own head. Default as many as the others have.
            The authors' script for ImageNet has 1; that for CIFAR-10 has d + 1, so that no auxiliary network lacks layers
            to select.
        loss: Mean loss of scores and labels.
        optimiser: Makes a block's optimiser from its parameters. Default Adam at 0.001.
        generator: Where the auxiliary networks' weights come from.

    Attributes:
        selected: Numbers of the layers in each auxiliary network.

    Raises:
        ValueError: If an argument is out of range, or the network cannot be taken apart.

    Example:
        >>> import torch
        >>> from replica.plasticity import AugLocal
        >>> from replica.training import conv_net
        >>> generator = torch.Generator().manual_seed(0)
        >>> network = conv_net((1, 4, 4, 8, 8), 10, pool_after=(2,), generator=generator)
        >>> images, labels = torch.randn(32, 1, 8, 8, generator=generator), torch.arange(32) % 10
        >>> trainer = AugLocal(network, images[:2], depth=2, generator=generator)
        >>> trainer.selected
        ((2, 3), (2, 3), (3,))
        >>> losses = [trainer.step(images, labels) for _ in range(30)]
        >>> bool((losses[-1] < losses[0]).all())
        True
    """

    def __init__(
        self,
        network: nn.Sequential,
        example: Float[Tensor, "batch *shape"],
        *,
        depth: int = 3,
        taper: float = 0.5,
        selection: Selection = "uniform",
        blocks: int | None = None,
        last: int | None = None,
        loss: Loss = nn.functional.cross_entropy,
        optimiser: Optimiser = ADAM,
        generator: torch.Generator | None = None,
    ) -> None:
        stack = layer_stack(network, example)
        ranges = stack.blocks(blocks, last)
        depths = tapered_depths(len(ranges), depth, taper)
        lasts = [end - 1 for _, end in ranges[:-1]]
        selected = tuple(
            selected_layers(last, len(stack), own, selection) for last, own in zip(lasts, depths, strict=True)
        )
        super().__init__(
            network,
            stack.modules(ranges),
            [auxiliary_network(stack, last, own, generator) for last, own in zip(lasts, selected, strict=True)],
            loss=loss,
            optimiser=optimiser,
        )
        self.selected = selected
