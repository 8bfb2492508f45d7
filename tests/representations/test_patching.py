import numpy as np
import pytest
import torch
from torch import nn

from replica.representations import (
    captured_activations,
    interchange,
    learn_subspace,
    patch_subspace,
    patched_activations,
)
from replica.training import conv_net, mlp


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_a_subspace_is_replaced_and_the_rest_is_kept():
    h, other, basis = normal(4, 6, 5), normal(4, 6, 5, seed=1), normal(5, 2, seed=2) * torch.tensor([3.0, 0.1])
    patched = patch_subspace(h, other, basis)
    projector = torch.from_numpy(basis.numpy() @ np.linalg.pinv(basis.numpy()))
    torch.testing.assert_close(patched, h @ (torch.eye(5) - projector) + other @ projector)
    torch.testing.assert_close(patch_subspace(h, other, normal(5, 5)), other)
    assert torch.autograd.gradcheck(lambda v: patch_subspace(h[0], other[0], v), basis.requires_grad_())
    half = patch_subspace(h.bfloat16(), other.bfloat16(), basis)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.double(), patched, atol=0.1, rtol=0)
    with pytest.raises(ValueError, match=r"subspace: got 2 dependent directions"):
        patch_subspace(h, other, torch.ones(5, 2).double())
    with pytest.raises(ValueError, match=r"subspace: got shape \(4,\), want \(5,\)"):
        patch_subspace(h, other, torch.ones(4).double())
    with pytest.raises(ValueError, match=r"source: got shape \(4, 5\)"):
        patch_subspace(h, other[:, 0], basis)


def test_a_whole_layer_is_the_sources_run_and_some_units_are_those_alone():
    net = conv_net((1, 4, 5), 3, size=(8, 8), generator=torch.Generator().manual_seed(0)).double()
    base, source = normal(6, 1, 8, 8), normal(6, 1, 8, 8, seed=1)
    torch.testing.assert_close(interchange(net, "act1", base, source), net(source))
    torch.testing.assert_close(interchange(net, "act1", base, source, subspace=normal(4, 4)), net(source))
    with captured_activations(net, ["act1", "act2"]) as own:
        net(base)
    sources = {"act1": normal(6, 4, 8, 8, seed=2), "act2": normal(6, 5, 8, 8, seed=3)}
    mask = torch.tensor([True, False, True, False])
    with (
        patched_activations(net, {"act1": sources["act1"]}, units=mask) as before,
        captured_activations(net, ["act1"]) as now,
    ):
        net(base)
    assert torch.equal(before["act1"], own["act1"])
    assert torch.equal(now["act1"][:, mask], sources["act1"][:, mask])
    assert torch.equal(now["act1"][:, ~mask], own["act1"][:, ~mask])
    with patched_activations(net, sources):  # the later one decides
        torch.testing.assert_close(net(base), net.head(sources["act2"].flatten(1)))
    with patched_activations(net, sources, unit_axis=2, units=[7]), captured_activations(net, ["act2"]) as now:
        net(base)
    assert torch.equal(now["act2"][:, :, 7], sources["act2"][:, :, 7])
    torch.testing.assert_close(net(base), interchange(net, "act1", base, base))
    assert not any(module._forward_hooks for module in net.modules())


def test_hooks_go_and_errors_tell():
    net = mlp((3, 4, 2))
    wrong = pytest.raises(ValueError, match=r"sources: got shape \(5, 3\) for '1', want \(2, 4\)")
    with wrong, patched_activations(net, {"1": torch.zeros(5, 3)}):
        net(torch.zeros(2, 3))
    assert not any(module._forward_hooks for module in net.modules())
    with pytest.raises(ValueError, match=r"layers: got '9'"):
        interchange(net, "9", torch.zeros(2, 3), torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"units: got units and a subspace"):
        interchange(net, "1", torch.zeros(2, 3), torch.zeros(2, 3), units=[0], subspace=torch.ones(4))
    with pytest.raises(ValueError, match=r"directions: got 5, want 1 to 4"):
        learn_subspace(net, "1", torch.zeros(2, 3), torch.zeros(2, 3), lambda out: out.sum(), directions=5)


def test_the_search_finds_the_only_subspace_that_swaps_what_is_read():
    """Outputs are two directions of an isotropic layer: no other plane gives both as the source has them."""
    readout = torch.linalg.qr(normal(7, 2, seed=3))[0]
    model = nn.Sequential(nn.Identity(), nn.Linear(7, 2, bias=False)).double()
    with torch.no_grad():
        model[1].weight.copy_(readout.T)
    base, source = normal(100, 7), normal(100, 7, seed=1)
    wanted = source @ readout
    generator = torch.Generator().manual_seed(0)
    found = learn_subspace(
        model, "0", base, source, lambda out: (out - wanted).square().mean(), directions=2, generator=generator
    )
    torch.testing.assert_close(found @ found.T, readout @ readout.T, atol=2e-3, rtol=0)
    assert not found.requires_grad
    assert model[1].weight.grad is None
    assert torch.equal(model[1].weight, readout.T)
