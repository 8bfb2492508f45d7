import math

import pytest
import torch
from torch import nn

from replica.training import conv_net, mlp


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_layers_in_order_by_name_and_shapes():
    net = conv_net((1, 4, 6), 10, size=(8, 12), kernels=(5, 3), pool_after=(2,), generator=seeded())
    assert [name for name, _ in net.named_children()] == [
        "conv1", "act1", "conv2", "act2", "pool2", "flatten", "head",
    ]  # fmt: skip
    assert net.conv1.kernel_size == (5, 5)
    assert net[:4](torch.zeros(2, 1, 8, 12)).shape == (2, 6, 8, 12)
    assert net(torch.zeros(2, 1, 8, 12)).shape == (2, 10)
    assert net.head.in_features == 6 * 4 * 6


@pytest.mark.parametrize("size", [(8, 8), (5, 7), (28, 28)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_without_a_size_any_image_fits(size, dtype):
    net = conv_net((3, 4), 2, activation=nn.Tanh, generator=seeded(), dtype=dtype)
    found = net(torch.ones(1, 3, *size, dtype=dtype))
    assert found.dtype == dtype
    assert isinstance(net.act1, nn.Tanh)
    by_hand = net.head(net.conv1(torch.ones(1, 3, *size, dtype=dtype)).tanh().mean((2, 3)))
    torch.testing.assert_close(found, by_hand)


def test_initial_weights_keep_the_signal_and_come_from_the_generator():
    before = torch.get_rng_state()
    net, twin, other = (conv_net((1, 64, 64, 64), 10, size=(8, 8), generator=seeded(s)) for s in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    for (name, ours), theirs in zip(net.named_parameters(), twin.parameters(), strict=True):
        assert torch.equal(ours, theirs)
        assert not name.endswith("bias") or not ours.any()
    assert not torch.equal(net.conv1.weight, other.conv1.weight)
    assert net.conv2.weight.std().item() == pytest.approx(math.sqrt(2 / (64 * 9)), rel=0.02)
    images = torch.randn(20, 1, 8, 8, generator=seeded(2))
    powers = [net[: 2 * i](images).square().mean().item() for i in (1, 2, 3)]
    assert max(powers) / min(powers) < 3


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (((1,), 3), {}, r"channels: got \(1,\), want two or more"),
        (((1, 0), 3), {}, r"channels: got \(1, 0\)"),
        (((1, 2), 0), {}, r"outputs: got 0"),
        (((1, 2), 3), {"kernels": 4}, r"kernels: got 4, want an odd number"),
        (((1, 2), 3), {"kernels": (3, 3)}, r"kernels: got \(3, 3\)"),
        (((1, 2), 3), {"pool_after": (2,)}, r"pool_after: got \(2,\), want numbers from 1 to 1"),
        (((1, 2, 2), 3), {"pool_after": (1, 2), "size": (3, 8)}, r"size: got \(3, 8\), want at least 4"),
    ],
)
def test_wrong_arguments_are_named(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        conv_net(*arguments, **options)


def test_without_generator_and_device_weights_are_real():
    assert torch.isfinite(mlp((3, 2))(torch.ones(1, 3))).all()
    assert torch.isfinite(conv_net((1, 4), 2)(torch.ones(1, 1, 8, 8))).all()
