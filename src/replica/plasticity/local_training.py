"""Supervised local learning: blocks of a network that learn by losses of their own, each through an auxiliary network."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

Loss = Callable[[Tensor, Tensor], Tensor]
Optimiser = Callable[[list[nn.Parameter]], torch.optim.Optimizer]
ADAM: Optimiser = partial(torch.optim.Adam, lr=1e-3)


class LocalTraining(nn.Module):
    """Trains a network block by block: no gradient goes from one block into another.

    Block k turns the output x of the block before, cut off from its graph, into y_k; its auxiliary network a_k turns y_k
    into scores, and

        L_k = loss(a_k(y_k), labels)

    trains the block's and the auxiliary network's parameters alone. The last block ends in the network's head and has no
    auxiliary network. A step holds the activations of one block and its auxiliary network at a time: each block's graph is
    freed before the next begins. For prediction the auxiliary networks play no part: calling the trainer is calling
    the network.

    As an `nn.Module` it moves with ``.to(…)`` (before the first step), and its ``state_dict`` holds the network, the
    auxiliary networks and the optimisers.

    Args:
        network: The network that is trained, in place.
        blocks: Its modules in order, as one module a block; the last one gives scores.
        auxiliaries: One a block but the last: from its output to scores.
        loss: Mean loss of scores and labels.
        optimiser: Makes the optimiser of one block from its parameters.

    Raises:
        ValueError: If the numbers of blocks and auxiliary networks do not fit.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from replica.plasticity import LocalTraining
        >>> _ = torch.manual_seed(0)
        >>> network = nn.Sequential(nn.Sequential(nn.Linear(4, 8), nn.ReLU()), nn.Linear(8, 3))
        >>> trainer = LocalTraining(network, list(network), [nn.Linear(8, 3)])
        >>> trainer.step(torch.randn(16, 4), torch.arange(16) % 3).shape
        torch.Size([2])
    """

    def __init__(
        self,
        network: nn.Module,
        blocks: Sequence[nn.Module],
        auxiliaries: Sequence[nn.Module],
        *,
        loss: Loss = nn.functional.cross_entropy,
        optimiser: Optimiser = ADAM,
    ) -> None:
        super().__init__()
        if len(blocks) != len(auxiliaries) + 1:
            raise ValueError(
                f"auxiliaries: got {len(auxiliaries)} for {len(blocks)} blocks, want one for each but the last"
            )
        self.network = network
        self.auxiliaries = nn.ModuleList(auxiliaries)
        self.loss = loss
        self.blocks = tuple(blocks)  # the network's own modules: a tuple does not register them twice
        self.optimisers = [
            optimiser(
                [
                    parameter
                    for module in (block, *self.auxiliaries[number : number + 1])
                    for parameter in module.parameters()
                    if parameter.requires_grad
                ]
            )
            for number, block in enumerate(self.blocks)
        ]

    def forward(self, inputs: Float[Tensor, "batch *shape"]) -> Float[Tensor, "batch classes"]:
        """Scores of the network itself."""
        return self.network(inputs)

    def block_scores(self, inputs: Float[Tensor, "batch *shape"]) -> Iterator[Float[Tensor, "batch classes"]]:
        """Scores by which each block learns, from the first to the last, which are the network's.

        Gradients end at the input of each block. Nothing is kept from one block to the next but the block's output.
        """
        for number, block in enumerate(self.blocks):
            inputs = block(inputs)
            yield self.auxiliaries[number](inputs) if number < len(self.auxiliaries) else inputs
            inputs = inputs.detach()  # and with it goes the block's graph, before the next begins

    def losses(
        self, inputs: Float[Tensor, "batch *shape"], labels: Int[Tensor, " batch"]
    ) -> Iterator[Float[Tensor, ""]]:
        """The loss of each block in turn."""
        for scores in self.block_scores(inputs):
            loss = self.loss(scores, labels)
            del scores
            yield loss

    def step(self, inputs: Float[Tensor, "batch *shape"], labels: Int[Tensor, " batch"]) -> Float[Tensor, " blocks"]:
        """One update of every block on a batch, from the first to the last.

        Returns:
            The losses before it, cut off from their graphs.
        """
        found = []
        for loss, optimiser in zip(self.losses(inputs, labels), self.optimisers, strict=True):
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            found.append(loss.detach())
            del loss
        self.after_step()
        return torch.stack(found)

    def after_step(self) -> None:
        """What else changes once all blocks are updated; nothing by default."""

    def gradients(self, inputs: Float[Tensor, "batch *shape"], labels: Int[Tensor, " batch"]) -> dict[str, Tensor]:
        """The gradients of the blocks' losses, by the network's names of parameters; nothing is changed by it."""
        names = {parameter: name for name, parameter in self.network.named_parameters() if parameter.requires_grad}
        found: dict[str, Tensor] = {}
        for block, loss in zip(self.blocks, self.losses(inputs, labels), strict=True):
            own = [parameter for parameter in block.parameters() if parameter in names]
            gradients = torch.autograd.grad(loss, own, allow_unused=True)
            found |= {
                names[parameter]: gradient
                for parameter, gradient in zip(own, gradients, strict=True)
                if gradient is not None
            }
        return found

    def get_extra_state(self) -> dict[str, Any]:
        """The optimisers' part of ``state_dict``."""
        return {"optimisers": [optimiser.state_dict() for optimiser in self.optimisers]}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Give the optimisers back what ``state_dict`` held of them."""
        for optimiser, own in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(own)
