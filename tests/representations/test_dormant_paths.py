import numpy as np
import pytest
import scipy.linalg
import torch
from torch import nn

from replica.representations import dormant_decomposition, interchange, patch_subspace


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def toy():
    """The paper's: h = (x, 0, x), y = 2 h₂ + h₃; the first unit is read by nothing, the second never moves."""
    model = nn.Sequential(nn.Linear(1, 3, bias=False), nn.Identity(), nn.Linear(3, 1, bias=False)).double()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0], [0.0], [1.0]]))
        model[2].weight.copy_(torch.tensor([[0.0, 2.0, 1.0]]))
    return model


def test_the_papers_toy_swaps_wholly_by_a_dormant_path():
    model, base, source = toy(), normal(20, 1), normal(20, 1, seed=1)
    illusory = torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(interchange(model, "1", base, source, subspace=illusory), source)
    for axis in (0, 1):  # alone, neither part does anything
        torch.testing.assert_close(interchange(model, "1", base, source, subspace=torch.eye(3).double()[axis]), base)
    torch.testing.assert_close(interchange(model, "1", base, source, units=[2]), source)  # the true one
    h = model[0](base).detach()
    each = torch.diag(model[2].weight.detach()[0])  # as if the units were read apart
    found = dormant_decomposition(illusory, each, h)
    assert (found.null_share, found.reading_of_null, found.row_activity) == pytest.approx((0.5, 1, 0))
    assert found.illusory
    # One readout sees one direction, (0, 2, 1), along which the true unit moves too: 0.6 of the reading is disconnected.
    merged = dormant_decomposition(illusory, model[2].weight.detach(), h)
    assert merged.reading_of_null == pytest.approx(0.6)
    torch.testing.assert_close(merged.row, torch.tensor([0, 0.8, 0.4]).double())
    true = dormant_decomposition(torch.tensor([0.0, 0.0, 1.0]).double(), each, h)
    assert (true.null_share, true.reading_of_null, true.row_activity) == pytest.approx((0, 0, 1))
    assert not true.illusory


def test_parts_are_those_of_scipys_null_space():
    weights, v, h = normal(4, 9), normal(9, seed=1), normal(50, 9, seed=2)
    weights[3] = weights[0] - 2 * weights[1]  # of rank 3
    found = dormant_decomposition(v, weights, h)
    kernel = torch.from_numpy(scipy.linalg.null_space(weights.numpy()))
    assert kernel.shape == (9, 6)
    torch.testing.assert_close(found.null, kernel @ kernel.T @ v)
    torch.testing.assert_close(found.row + found.null, v)
    reading = np.polyfit((h @ v).numpy(), (h @ found.null).numpy(), 1)[0]
    assert found.reading_of_null == pytest.approx(reading)
    # Brute force: how far a patch along v moves pairs along the row part, and how far they are apart there.
    base, source = h[:, None].expand(50, 50, 9), h.expand(50, 50, 9)
    moved = (patch_subspace(base, source, v) - base) @ found.row
    assert found.row_activity == pytest.approx(float(((source - base) @ found.row).std() / moved.std()))
    assert dormant_decomposition(v, 0 * weights, h).row_activity == 0
    with pytest.raises(ValueError, match=r"weights: got shape \(4, 8\)"):
        dormant_decomposition(v, weights[:, 1:], h)
    with pytest.raises(ValueError, match="do not vary along the direction"):
        dormant_decomposition(v, weights, torch.ones(5, 9).double())
