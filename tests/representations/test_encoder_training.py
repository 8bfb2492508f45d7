"""The loop that trains encoders without labels, and the projector behind them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from replica.representations import EncoderTraining, TwoViews, projection_head
from replica.training import Views, mlp


class Seen(EncoderTraining):
    """Remembers what it is given; the loss is a sum of weights."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.batches: list[Tensor] = []
        self.steps: list[int] = []

    def loss(self, encoder: nn.Module, head: nn.Module, generator: torch.Generator, *batch: Any) -> Tensor:
        self.batches.append(batch[0][:, 0])
        return head(encoder(batch[0])).mean()

    def after_step(self, step: int) -> None:
        self.steps.append(step)


def flat(generator: torch.Generator) -> nn.Module:
    return nn.Sequential(mlp((4, 3), generator=generator))


def test_every_image_is_seen_once_an_epoch_in_batches_of_one_size() -> None:
    images, generator = torch.arange(20.0).view(10, 2).repeat(1, 2), torch.Generator().manual_seed(0)
    seen = Seen(batch=4, weight_decay=0.0)
    seen.pretrain(images, lambda: flat(generator), generator, 3)
    assert [len(batch) for batch in seen.batches] == [4] * 6
    assert seen.steps == [1, 2, 3, 4, 5, 6]
    for epoch in range(3):
        drawn = torch.cat(seen.batches[2 * epoch : 2 * epoch + 2])
        assert len(drawn.unique()) == 8
    assert not torch.equal(seen.batches[0], seen.batches[2])
    small = Seen(batch=64)
    small.pretrain(images, lambda: flat(generator), generator, 2)
    assert [len(batch) for batch in small.batches] == [10, 10], "a batch is no larger than all"
    assert not Seen().pretrain(images[:1], lambda: flat(generator), generator, 2).losses


def test_the_rate_falls_as_a_cosine_to_zero() -> None:
    generator = torch.Generator().manual_seed(0)
    moves, before = [], None

    class Watched(Seen):
        def after_step(self, step: int) -> None:
            nonlocal before
            now = self.encoder[0][0].bias.detach().clone()  # type: ignore[index]
            moves.append(float((now - before).abs().mean()))
            before = now

    def encoder() -> nn.Module:
        nonlocal before
        net = flat(generator)
        before = net[0][0].bias.detach().clone()  # type: ignore[index]
        return net

    Watched(batch=10, learning_rate=0.01, weight_decay=0.0).pretrain(torch.ones(10, 4), encoder, generator, 8)
    # Adam moves by its rate where gradients stay the same, as here.
    wanted = [0.01 * (1 + torch.cos(torch.tensor(torch.pi * step / 8))) / 2 for step in range(8)]
    torch.testing.assert_close(torch.tensor(moves), torch.stack(wanted), rtol=1e-3, atol=1e-6)


def test_two_views_go_one_after_the_other_through_one_network() -> None:
    given = []

    def criterion(a: Tensor, b: Tensor) -> Tensor:
        given.append((a, b))
        return (a - b).square().mean() + a.mean()

    images, generator = torch.rand(16, 1, 6, 6), torch.Generator().manual_seed(0)
    encoder = nn.Sequential(nn.Flatten(), mlp((36, 5), generator=generator))
    apart = TwoViews(criterion, Views(noise=0.1), projector=(7, 4), batch=16).pretrain(
        images, lambda: encoder, generator, 1
    )
    (one, other), head = given[0], projection_head(5, (7, 4))
    assert one.shape == other.shape == (16, 4)
    assert not torch.equal(one, other)
    assert apart.embed(images).shape == (16, 5)
    assert [type(layer).__name__ for layer in head] == ["Linear", "BatchNorm1d", "ReLU", "Linear"]
    assert head[0].bias is None
    assert torch.equal(projection_head(5, ())(images[:, 0, 0, :5]), images[:, 0, 0, :5])
    with pytest.raises(ValueError, match="widths: got"):
        projection_head(5, (0,))
