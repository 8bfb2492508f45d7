"""The U-Net: its settings, and how far it sees."""

from __future__ import annotations

import pytest
import torch

from replica.physics.unet import UNet


def test_unet_details() -> None:
    with pytest.raises(ValueError, match="dimensions is 3; want 1 or 2"):
        UNet(1, 1, 3)
    one, two = UNet(1, 1, 2, width=4, levels=1), UNet(1, 1, 2, width=4, levels=1)
    two.load_state_dict(one.state_dict())
    x = torch.randn(1, 1, 7, 7)
    torch.testing.assert_close(one(x), two(x))
    assert one.double()(x.double()).dtype == torch.float64
    # The coarsest grid sees across the domain, which convolutions of three nodes alone do not.
    x = torch.zeros(1, 1, 33, 33, requires_grad=True)
    UNet(1, 1, 2, width=4, levels=3)(x)[0, 0, 0, 0].backward()
    assert x.grad is not None
    assert x.grad[0, 0, 20, 20] != 0
