"""A step of AugLocal beside the plain written-out loop: every block's loss first, then one backward pass over their sum.

The peer holds all activations until the end, as a straightforward script does; ours frees each block's before the next. The
operations are those of the convolutions forward and back, counted in ours. Both do the same arithmetic, so that one is the
limit; what ours may take besides is eleven more starts of a backward pass and of an optimiser, a hundredth of the step.
"""

import copy
from collections.abc import Iterator

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from replica.plasticity import AugLocal
from replica.training import conv_net

from .case import Case


class AllAtOnce:
    """The same blocks and auxiliary networks under one optimiser and one backward pass."""

    def __init__(self, trainer: AugLocal) -> None:
        self.trainer = trainer
        self.optimiser = torch.optim.Adam(trainer.parameters(), lr=1e-3)

    def step(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        """One update on a batch."""
        states, total = images, torch.zeros((), device=images.device)
        for number, block in enumerate(self.trainer.blocks):
            states = block(states.detach())
            last = number == len(self.trainer.auxiliaries)
            scores = states if last else self.trainer.auxiliaries[number](states)
            total = total + nn.functional.cross_entropy(scores, labels)
        self.optimiser.zero_grad()
        total.backward()
        self.optimiser.step()


def cases(device: str = "cpu") -> Iterator[Case]:
    """Twelve layers of 16 channels on 256 images of 16 × 16 pixels."""
    generator = torch.Generator(device).manual_seed(0)
    images = torch.randn(256, 1, 16, 16, generator=generator, device=device)
    labels = torch.arange(256, device=device) % 10
    network = conv_net((1, *[16] * 12), 10, pool_after=(4, 8), generator=generator)
    ours = AugLocal(network, images[:2], generator=generator)
    peer = AllAtOnce(copy.deepcopy(ours))
    counter = FlopCounterMode(display=False)
    with counter:
        ours.step(images, labels)
    yield Case(
        "a step of AugLocal, 12 layers, beside one backward pass over all losses",
        lambda: ours.step(images, labels),
        lambda: peer.step(images, labels),
        float(counter.get_total_flops()),
        1.1,
        memory=True,
    )
