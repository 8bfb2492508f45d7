import pytest
import torch
from torch import nn

from replica.plasticity import MirroredLayer

POOLED = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4))
LAYERS = {
    "linear": (nn.Linear(5, 3), (5,)),
    "linear at every step": (nn.Linear(5, 3), (7, 5)),
    "flattened": (nn.Sequential(nn.Flatten(), nn.Linear(30, 4)), (5, 2, 3)),
    "pooled": (POOLED, (3, 4, 5)),
    "convolution": (nn.Conv2d(2, 3, 3, padding=1), (2, 6, 5)),
    "strided": (nn.Sequential(nn.Conv2d(2, 3, 3, stride=2, padding=1), nn.ReLU()), (2, 7, 6)),
    "convolution and pooling": (nn.Sequential(nn.Conv2d(2, 3, 5, padding=2), nn.MaxPool2d(2)), (2, 8, 8)),
    "even kernel": (nn.Conv2d(2, 3, 2), (2, 6, 6)),
    "signal": (nn.Conv1d(2, 3, 3, stride=2), (2, 9)),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_leads_from_the_outputs_shape_back_to_the_inputs(name, dtype):
    layer, shape = LAYERS[name]
    layer = layer.to(dtype)
    inputs = torch.randn(4, *shape, dtype=dtype)
    back = MirroredLayer(layer, inputs, bias=True, generator=torch.Generator().manual_seed(0))
    signals = back(layer(inputs))
    assert signals.shape == inputs.shape
    assert signals.dtype == dtype
    layer.to(torch.float32)


def test_a_pooled_layers_values_are_spread_evenly():
    back = MirroredLayer(POOLED, torch.zeros(1, 3, 4, 5))
    signals = back(torch.randn(2, 4))
    assert torch.equal(signals, signals[:, :, :1, :1].expand_as(signals))


def test_a_linear_layers_mirror_is_one_product():
    back = MirroredLayer(
        nn.Linear(5, 3), torch.zeros(1, 5), activation=nn.Tanh, generator=torch.Generator().manual_seed(0)
    )
    (weight,) = back.parameters()
    signals = torch.randn(4, 3)
    torch.testing.assert_close(back(signals), torch.tanh(signals @ weight.T))
    assert float(weight.detach().abs().max()) <= 3**-0.5


def test_a_strided_convolutions_mirror_repeats_then_convolves():
    layer = nn.Conv2d(2, 3, 3, stride=2, padding=1)
    back = MirroredLayer(layer, torch.zeros(1, 2, 6, 6))
    signals = torch.randn(4, 3, 3, 3)
    repeated = signals.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    torch.testing.assert_close(back(signals), nn.functional.conv2d(repeated, back.weights.weight, padding=1))


def test_the_generator_decides_and_the_global_state_is_left_alone():
    before = torch.random.get_rng_state()
    first, again, other = (
        MirroredLayer(
            LAYERS["linear"][0], torch.zeros(1, 5), generator=torch.Generator().manual_seed(seed)
        ).weights.weight
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.ReLU(), (4,)),
        (nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)), (4,)),
        (nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten()), (2, 5, 5)),
    ],
)
def test_what_cannot_be_mirrored_is_named(layer, shape):
    with pytest.raises(ValueError, match="layer: got"):
        MirroredLayer(layer, torch.zeros(1, *shape))
