"""The small network for inputs of any shape."""

from __future__ import annotations

import pytest
import torch

from replica.training import SmallNet, as_images, image_shape, small_net

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    "shape", [(8, 8), (5, 4), (28, 28), (17, 31), (16, 16, 3), (3, 20, 33), (5,), (2, 3), (7, 2, 9)]
)
def test_nets_of_any_shape(shape: tuple[int, ...]) -> None:
    net = small_net(shape, 3, torch.Generator().manual_seed(0), CPU)
    again = small_net(shape, 3, torch.Generator().manual_seed(0), CPU)
    x = torch.randn(2, *shape)
    assert net(x).shape == (2, 3)
    assert net.represent(x).shape == (2, net.features)
    assert torch.equal(net(x), again(x))
    other = SmallNet(shape, 3)
    other.load_state_dict(net.state_dict())
    assert torch.equal(net(x), other(x))
    net(x).sum().backward()
    assert all(weight.grad is not None for weight in net.parameters())
    assert net.double()(x.double()).dtype == torch.float64


def test_what_is_an_image() -> None:
    assert image_shape((3, 9)) is None
    assert image_shape((8, 8, 8)) is None
    assert as_images(torch.zeros(2, 8, 9, 3)).shape == (2, 3, 8, 9)
