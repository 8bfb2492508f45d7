"""Convolutional kernels beside fully connected ones, the authors' formulas, networks of finite width and Neural Tangents."""

import math

import pytest
import torch
from torch import nn

from replica.kernels import ConvolutionalKernel, wide_kernel

KINDS = ("ntk", "nngp")


def points(count, inputs, seed=0, dtype=torch.float64):
    return torch.randn(count, inputs, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def on_circles(count, patches, seed=0):
    drawn = points(count * patches, 2, seed)
    return (drawn / drawn.norm(dim=1, keepdim=True)).reshape(count, -1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("activation", [torch.relu, torch.erf])
def test_one_patch_is_the_fully_connected_kernel(kind, activation):
    X, Z = points(6, 3), points(4, 3, 1)
    settings = {"activation": activation, "weight_variance": 1.7, "bias_variance": 0.2, "kind": kind}
    kernel = ConvolutionalKernel((3, 1, 1), **settings)
    torch.testing.assert_close(kernel(X, Z), wide_kernel(X, Z, depth=3, **settings), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(kernel(X), wide_kernel(X, depth=3, **settings), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_two_layers_on_circles_are_written_out(kind):
    """κ₁ and κ₀, the arc-cosine kernels: K² = κ₁(mean κ₁(c)), Θ² = K² + κ₀(mean κ₁) mean (κ₁ + κ₀ c)."""
    X = on_circles(5, 4)
    cosines = torch.einsum("nps,mps->pnm", X.reshape(5, 4, 2), X.reshape(5, 4, 2)).clamp(-1, 1)

    def k0(t):
        return 1 - t.clamp(-1, 1).arccos() / math.pi

    def k1(t):
        return ((1 - t.square()).clamp_min(0).sqrt() + math.pi * k0(t) * t) / math.pi

    below = k1(cosines).unflatten(0, (2, 2)).mean(1)
    tangent = (k1(cosines) + k0(cosines) * cosines).unflatten(0, (2, 2)).mean(1)
    wanted = k1(below) + (k0(below) * tangent if kind == "ntk" else 0)
    kernel = ConvolutionalKernel((2, 2), kind=kind)
    torch.testing.assert_close(kernel(X), wanted.mean(0), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(kernel.of_cosines(list(cosines)), wanted.mean(0), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_finite_network_tends_to_it(kind):
    """Convolutions and a readout of all places, weights N(0, 1): the mean over networks of f f', or of gradients' products."""
    width, X = 250, points(3, 8, 3)
    generator = torch.Generator().manual_seed(1)
    found = torch.zeros(3, 3, dtype=torch.float64)
    for _ in range(20):
        shapes = ((width, 1, 2), (width, width, 2), (1, width, 2))
        weights = [torch.randn(s, generator=generator, dtype=torch.float64, requires_grad=True) for s in shapes]
        hidden = X[:, None]
        for weight in weights:
            scale = math.sqrt(2 / weight[0].numel())
            hidden = scale * nn.functional.conv1d(
                torch.relu(hidden) if weight is not weights[0] else hidden, weight, stride=2
            )
        outputs = hidden.squeeze(1).squeeze(1)
        # Given the last hidden layer f is Gaussian: gradients of the readout alone have its covariance.
        rows = []
        for output in outputs:
            parts = torch.autograd.grad(output, weights if kind == "ntk" else weights[-1:], retain_graph=True)
            rows.append(torch.cat([part.flatten() for part in parts]))
        found += torch.stack(rows) @ torch.stack(rows).T / 20
    wanted = ConvolutionalKernel((2, 2), kind=kind)(X)
    torch.testing.assert_close(found, wanted, rtol=0.06, atol=0.06 * float(wanted.diagonal().mean()))


@pytest.mark.parametrize("kind", KINDS)
def test_levels_are_the_kernels_of_networks_that_end_there(kind):
    X, Z = points(7, 24), points(5, 24, 1)
    sizes = (2, 3, 2)
    kernel = ConvolutionalKernel(sizes, bias_variance=0.3, kind=kind)
    for given in (None, Z):
        levels = kernel.levels(X, given)
        for layer in range(3):
            alone = ConvolutionalKernel(sizes[: layer + 1], bias_variance=0.3, kind=kind)
            torch.testing.assert_close(levels[layer], alone(X, given), rtol=1e-12, atol=1e-12)
            if given is None:
                assert torch.equal(levels[layer].diagonal(), alone.diagonal(X))


def test_blocks_symmetry_and_permutations(monkeypatch):
    X = points(40, 8)
    kernel = ConvolutionalKernel((2, 2, 2))
    whole = kernel(X)
    monkeypatch.setattr("replica.kernels.convolutional_kernel._BLOCK_ENTRIES", {"cpu": 700})
    torch.testing.assert_close(kernel(X), whole, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(kernel(X, X), whole, rtol=1e-6, atol=1e-6)
    assert torch.equal(whole, whole.T)
    assert torch.linalg.eigvalsh(whole)[0] > 0
    # Patches of one parent may change places; patches of two may not.
    of_one, of_two = ([2, 3, 0, 1, 4, 5, 6, 7], [4, 5, 2, 3, 0, 1, 6, 7])
    torch.testing.assert_close(kernel(X[:, of_one]), whole, rtol=1e-12, atol=1e-12)
    assert (kernel(X[:, of_two]) - whole).abs().max() > 1e-2


def test_single_precision_and_gradients():
    X = points(6, 8)
    kernel = ConvolutionalKernel((2, 2, 2), bias_variance=0.1)
    torch.testing.assert_close(kernel(X.float()).double(), kernel(X), rtol=1e-4, atol=1e-4)
    Z = points(2, 8, 1)
    assert torch.autograd.gradcheck(lambda one: kernel(one, Z), X[:2].requires_grad_())


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: ConvolutionalKernel(()), "patch_sizes"),
        (lambda: ConvolutionalKernel((2,), weight_variance=0.0), "weight_variance"),
        (lambda: ConvolutionalKernel((2,), kind="cnn"), "kind"),
        (lambda: ConvolutionalKernel((2, 2))(points(3, 6)), "X: got"),
        (lambda: ConvolutionalKernel((2, 2))(points(3, 4), points(3, 8)), "Z: got"),
        (lambda: ConvolutionalKernel((2, 2))(points(3, 4) / 0), "not finite"),
        (lambda: ConvolutionalKernel((2, 2)).of_cosines([torch.ones(1)]), "cosines"),
    ],
)
def test_what_makes_no_kernel_is_refused(make, match):
    with pytest.raises(ValueError, match=match):
        make()


@pytest.mark.parametrize("kind", KINDS)
def test_against_neural_tangents(kind):
    pytest.importorskip("neural_tangents", exc_type=ImportError)
    import jax
    from neural_tangents import stax

    jax.config.update("jax_enable_x64", True)
    weight, bias = math.sqrt(1.7), math.sqrt(0.2)
    layers = []
    for size in (2, 3):
        layers += [
            stax.Conv(1, (size,), (size,), "VALID", W_std=weight, b_std=bias, dimension_numbers=("NHC", "HIO", "NHC"))
        ]
        layers += [stax.Relu()]
    network = stax.serial(*layers, stax.Flatten(), stax.Dense(1, W_std=weight, b_std=bias))
    X, Z = points(5, 12), points(4, 12, 1)
    peer = network[2](X.numpy()[..., None], Z.numpy()[..., None], kind)
    ours = ConvolutionalKernel((2, 3), weight_variance=1.7, bias_variance=0.2, kind=kind)(X, Z)
    torch.testing.assert_close(ours, torch.tensor(peer.__array__()), rtol=1e-6, atol=1e-6)
