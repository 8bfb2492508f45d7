import math

import pytest
import torch

from replica.physics import FourierOperator, SpectralConvolution


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=seeded(seed), dtype=dtype)


def test_one_dimension_agrees_with_sums_over_modes():
    part = SpectralConvolution(2, 3, modes=4, dimensions=1, generator=seeded(), dtype=torch.float64)
    u = normal(2, 2, 11)
    x = torch.arange(11, dtype=torch.float64) / 11
    expected = torch.zeros(2, 3, 11, dtype=torch.float64)
    for k in range(4):
        wave = torch.exp(2j * math.pi * k * x)
        coefficient = (u.to(wave.dtype) * wave.conj()).mean(-1) @ torch.view_as_complex(part.weight)[k]
        expected += (2 if k else 1) * (coefficient[..., None] * wave).real
    torch.testing.assert_close(part(u), expected)


def test_two_dimensions_agree_with_sums_over_modes():
    part = SpectralConvolution(2, 3, modes=3, generator=seeded(), dtype=torch.float64)
    u = normal(2, 2, 7, 8)
    x, y = torch.arange(7, dtype=torch.float64) / 7, torch.arange(8, dtype=torch.float64) / 8
    expected = torch.zeros(2, 3, 7, 8, dtype=torch.float64)
    for row, k in enumerate((0, 1, 2, -3, -2, -1)):
        for m in range(3):
            wave = torch.exp(2j * math.pi * (k * x[:, None] + m * y))
            coefficient = (u.to(wave.dtype) * wave.conj()).mean((-2, -1)) @ torch.view_as_complex(part.weight)[row, m]
            term = (coefficient[..., None, None] * wave).real
            expected += (2 if m else 1) * term
    torch.testing.assert_close(part(u), expected)


@pytest.mark.parametrize("dimensions", [1, 2])
def test_it_agrees_with_neuraloperators_layer_of_equal_weights(dimensions):
    spectral = pytest.importorskip("neuralop.layers.spectral_convolution")
    modes = 4
    ours = SpectralConvolution(3, 2, modes=modes, dimensions=dimensions, generator=seeded())
    peer = spectral.SpectralConv(3, 2, (2 * modes,) * dimensions, bias=False)
    weight = torch.view_as_complex(ours.weight.detach())
    with torch.no_grad():
        peer.weight.tensor.zero_()  # it keeps one mode more in the last dimension
        if dimensions == 1:
            peer.weight.tensor[..., :modes] = weight.permute(1, 2, 0)
        else:
            peer.weight.tensor[..., :modes] = weight.roll(modes, 0).permute(2, 3, 0, 1)
    u = normal(5, 3, *(16, 21)[:dimensions], dtype=torch.float32)
    torch.testing.assert_close(ours(u), peer(u), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("dimensions", [1, 2])
def test_it_commutes_with_shifts_and_means_the_same_on_every_grid(dimensions):
    part = SpectralConvolution(1, 2, modes=3, dimensions=dimensions, generator=seeded(), dtype=torch.float64)
    u = normal(1, 1, *(12,) * dimensions)
    for axis in range(2, 2 + dimensions):
        torch.testing.assert_close(part(u.roll(5, axis)), part(u).roll(5, axis))

    def smooth(points):
        axes = [torch.arange(points, dtype=torch.float64) / points] * dimensions
        grids = torch.meshgrid(*axes, indexing="ij")
        return sum(torch.cos(2 * math.pi * (grid + 0.1)) for grid in grids)[None, None]

    coarse, fine = part(smooth(12)), part(smooth(36))
    torch.testing.assert_close(fine[(..., *(slice(None, None, 3),) * dimensions)], coarse)


def test_parameters_are_those_of_the_paper():
    # Li et al. 2021, two dimensions: 12 modes, width 32, 4 layers, 2.37 million real numbers; nearly all in R.
    net = FourierOperator(channels=32, modes=12, layers=4)
    assert sum(weight.numel() for weight in net.parameters()) == 4 * (24 * 12 * 32 * 32 * 2 + 32 * 32 + 32) + (
        3 * 32 + 32 + 32 * 128 + 128 + 128 + 1
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("dimensions", [1, 2])
@pytest.mark.parametrize("padding", [0.0, 0.25])
def test_one_net_fits_any_grid_batch_and_dtype(dimensions, dtype, padding):
    net = FourierOperator(
        2, 3, channels=4, modes=3, layers=2, hidden=8, dimensions=dimensions, padding=padding, generator=seeded()
    ).to(dtype)
    for batch, size in ((1, 6), (3, 9), (2, 16)):
        shape = (size, size + 3)[:dimensions]
        result = net(normal(batch, 2, *shape, dtype=dtype))
        assert result.shape == (batch, 3, *shape)
        assert result.dtype == dtype


def test_gradients_are_right():
    net = FourierOperator(channels=2, modes=2, layers=2, hidden=3, padding=0.3, generator=seeded(), dtype=torch.float64)
    names, weights = zip(*net.named_parameters(), strict=True)

    def output(u, *weights):
        return torch.func.functional_call(net, dict(zip(names, weights, strict=True)), (u,))

    assert torch.autograd.gradcheck(output, (normal(2, 1, 5, 6).requires_grad_(), *weights))


def test_weights_come_from_the_generator_alone_and_go_through_a_state_dict():
    before = torch.random.get_rng_state()
    first, second, other = (FourierOperator(channels=4, modes=3, generator=seeded(s)) for s in (3, 3, 4))
    assert torch.equal(torch.random.get_rng_state(), before)
    u = normal(2, 1, 8, 8, dtype=torch.float32)
    assert torch.equal(first(u), second(u))
    assert not torch.allclose(first(u), other(u))
    other.load_state_dict(first.state_dict())
    assert torch.equal(first(u), other(u))


@pytest.mark.parametrize("name", ["in_channels", "out_channels", "channels", "modes", "layers", "hidden"])
def test_wrong_arguments_are_named(name):
    with pytest.raises(ValueError, match=f"{name}: got 0, want 1 or more"):
        FourierOperator(**{name: 0})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dimensions": 3}, "dimensions: got 3"),
        ({"padding": -0.1}, "padding: got -0.1"),
        ({"padding": math.nan}, "padding"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        FourierOperator(**options)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 2, 9, 9), r"values: got shape \(1, 2, 9, 9\), want \(batch, 1, size, size\)"),
        ((1, 1, 9), "values: got shape"),
        ((1, 1, 9, 7), "want at least 8 points each way for 4 modes"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_in_one_line(shape, message):
    with pytest.raises(ValueError, match=message) as caught:
        FourierOperator(channels=2, modes=4)(torch.zeros(shape))
    assert "\n" not in str(caught.value)
