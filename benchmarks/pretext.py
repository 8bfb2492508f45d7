"""Views of a batch beside a loop over its images, and the loss of Barlow Twins beside lightly's."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from replica.representations import barlow_twins_loss
from replica.training import Views

from .case import Case

BATCH, SIDE = 512, 14
ROWS, WIDTH = 512, 2048


def cases(device: str = "cpu") -> Iterator[Case]:
    """Turned, scaled and moved views of 512 images; the loss and its gradient for 512 outputs of length 2,048."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(BATCH, 1, SIDE, SIDE, generator=generator).to(device)
    views = Views(rotation=15, shear=10, scale=(0.8, 1.25), shift=0.1, jitter=0.2, noise=0.1)

    def one_by_one() -> Tensor:
        return torch.cat([views(image, generator) for image in images.split(1)])

    # Four products a pixel and channel, and two numbers of its place by three products each.
    yield Case(
        f"views of {BATCH} images of {SIDE} × {SIDE}, one by one", lambda: views(images, generator), one_by_one,
        2.0 * BATCH * SIDE**2 * 10, 0.2,
    )  # fmt: skip

    one, other = (torch.randn(ROWS, WIDTH, generator=generator).to(device).requires_grad_() for _ in range(2))
    peer = _lightly()
    if peer is not None:
        assert torch.allclose(barlow_twins_loss(one, other, 0.005), peer(one, other), rtol=1e-3)

        def with_gradient(loss: Callable[[Tensor, Tensor], Tensor]) -> tuple[Tensor, ...]:
            return torch.autograd.grad(loss(one, other), (one, other))

        # Two Gram matrices, and twice that for the gradient.
        yield Case(
            f"Barlow Twins' loss and gradient, {ROWS} outputs of length {WIDTH:,}, lightly",
            lambda: with_gradient(lambda a, b: barlow_twins_loss(a, b, 0.005)), lambda: with_gradient(peer),
            3 * 2 * 2.0 * ROWS**2 * WIDTH, 1.0, memory=True,
        )  # fmt: skip


def _lightly() -> Callable[[Tensor, Tensor], Tensor] | None:
    try:
        from lightly.loss import BarlowTwinsLoss
    except ImportError:
        return None
    loss: Callable[[Tensor, Tensor], Tensor] = BarlowTwinsLoss(lambda_param=5e-3)
    return loss
