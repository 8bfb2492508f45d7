"""Low-rank starts and the turn of linear networks' kernels: spectra, autograd's kernel, means over tasks, gradient descent."""

import math

import pytest
import torch

from replica.kernels import empirical_tangent_kernel, kernel_alignment
from replica.landscapes import (
    aligned_low_rank,
    effective_rank,
    expected_alignment,
    low_rank_initialization_,
    small_weight_alignment,
    two_layer_flow,
)

D = 8


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


def covariance(seed=3):
    factor = drawn(D, D, seed=seed)
    return factor @ factor.T + torch.eye(D, dtype=torch.float64)


@pytest.mark.parametrize("shape", [(12, 12), (9, 20), (20, 9)])
def test_a_cut_start_is_the_best_of_its_rank_and_keeps_the_norm(shape):
    full, cut = (
        low_rank_initialization_(torch.empty(shape, dtype=torch.float64), rank, gain=1.3, generator=seeded())
        for rank in (min(shape), 3)
    )
    assert float(full.norm()) == pytest.approx(1.3 * math.sqrt(shape[0]), rel=0.15)
    torch.testing.assert_close(cut.norm(), full.norm())
    assert torch.linalg.matrix_rank(cut) == 3
    scale = full.norm() / torch.linalg.svdvals(full)[:3].norm()
    # Eckart and Young: what is left has the other singular values.
    torch.testing.assert_close(torch.linalg.svdvals(full - cut / scale)[:2], torch.linalg.svdvals(full)[3:5])


def test_effective_rank_counts_equal_directions_and_no_more():
    frame = torch.linalg.qr(drawn(9, 4))[0]
    torch.testing.assert_close(effective_rank(7e-200 * frame @ frame.T), torch.tensor(4.0, dtype=torch.float64))
    values = torch.linalg.svdvals(drawn(5, 7)).square()
    torch.testing.assert_close(effective_rank(drawn(5, 7)), values.sum() ** 2 / values.square().sum())


def test_alignment_of_the_flow_is_that_of_tangent_kernels_by_autograd():
    target, sigma = drawn(D, seed=1), covariance()
    end = two_layer_flow(0.4 * drawn(6, D), target, covariance=sigma, time=4.0, steps=800)
    root = torch.linalg.cholesky(sigma)
    inputs = math.sqrt(D) * torch.linalg.qr(drawn(D, D, seed=5))[0] @ root.T  # exactly of this covariance
    kernels = []
    for layer, readout in ((0.4 * drawn(6, D), torch.zeros(6)), (end.first_layer, end.readout)):
        net = torch.nn.Sequential(torch.nn.Linear(D, 6, bias=False), torch.nn.Linear(6, 1, bias=False)).double()
        net[0].weight.data.copy_(layer)
        net[1].weight.data.copy_(readout[None])
        kernels.append(empirical_tangent_kernel(net, inputs))
    torch.testing.assert_close(end.alignment, kernel_alignment(*kernels, centring="none"))
    outputs = net(inputs).squeeze(-1)
    share = (outputs - inputs @ target).square().sum() / (inputs @ target).square().sum()
    torch.testing.assert_close(end.loss, share.detach())


def test_flow_is_gradient_descents_limit_and_keeps_what_it_must():
    start, target, sigma = 0.3 * drawn(5, D), drawn(D, seed=1), covariance()
    end = two_layer_flow(start, target, covariance=sigma, time=0.2, steps=100)
    layer, readout = start.clone().requires_grad_(), torch.zeros(5, dtype=torch.float64, requires_grad=True)
    for _ in range(5000):
        error = target - readout @ layer
        slopes = torch.autograd.grad(error @ sigma @ error / 2, (layer, readout))
        with torch.no_grad():
            layer -= 0.2 / 5000 * slopes[0]
            readout -= 0.2 / 5000 * slopes[1]
    torch.testing.assert_close(end.first_layer, layer.detach(), atol=2e-3, rtol=0)
    torch.testing.assert_close(end.readout, readout.detach(), atol=2e-3, rtol=0)
    kept = end.first_layer @ end.first_layer.T - torch.outer(end.readout, end.readout)
    torch.testing.assert_close(kept, start @ start.T, atol=1e-6, rtol=0)


@pytest.mark.parametrize("sigma", [None, covariance() / covariance().trace() * D])
def test_from_small_weights_the_flow_ends_where_the_closed_form_says(sigma):
    targets = torch.nn.functional.normalize(drawn(5, D, seed=1), dim=-1)
    starts = torch.stack(
        [low_rank_initialization_(drawn(D, D), rank, generator=seeded(rank)) for rank in (1, 2, 3, 5, 8)]
    )
    end = two_layer_flow(1e-5 * starts, targets, covariance=sigma, time=150.0, steps=3000)
    assert float(end.loss.max()) < 1e-8
    closed = small_weight_alignment(starts, targets, covariance=sigma)
    torch.testing.assert_close(end.alignment, closed, atol=1e-3, rtol=0)


def test_the_mean_over_tasks_depends_on_the_effective_rank_alone():
    tasks = drawn(20_000, D, seed=2)
    for layer in (drawn(5, D), drawn(20, D), drawn(3, 1) * drawn(1, D)):
        mean = small_weight_alignment(layer, tasks).mean()
        torch.testing.assert_close(mean, expected_alignment(layer), rtol=0.02, atol=0)


@pytest.mark.parametrize("rank", [1, 3, D])
def test_an_aligned_start_beats_every_other_of_its_rank(rank):
    target, sigma = drawn(D, seed=1), covariance()
    best = aligned_low_rank(target, rank, 10, covariance=sigma, norm=2.5, generator=seeded())
    assert torch.linalg.matrix_rank(best) == rank
    assert float(best.norm()) == pytest.approx(2.5)
    found = float(small_weight_alignment(best, target, covariance=sigma))
    left, right = (torch.eye(n) + 0.05 * drawn(200, n, n, seed=n) for n in (10, D))
    rivals = left @ best @ right
    assert float(small_weight_alignment(rivals, target, covariance=sigma).max()) <= found + 1e-9
    assert (found == pytest.approx(1)) == (rank == D)
    assert torch.equal(best, aligned_low_rank(target, rank, 10, covariance=sigma, norm=2.5, generator=seeded()))


def test_bad_arguments():
    with pytest.raises(ValueError, match="rank: got 0, want 1 to 3"):
        low_rank_initialization_(torch.empty(3, 4), 0)
    with pytest.raises(ValueError, match="gain: got -1"):
        low_rank_initialization_(torch.empty(3, 4), 1, gain=-1.0)
    with pytest.raises(ValueError, match="weight: got a matrix of zeros"):
        effective_rank(torch.zeros(2, 3, 3))
    with pytest.raises(ValueError, match="target: got a map of zeros"):
        aligned_low_rank(torch.zeros(3), 1, 3)
    with pytest.raises(ValueError, match="covariance: got a matrix"):
        aligned_low_rank(torch.ones(3), 1, 3, covariance=-torch.eye(3))
    with pytest.raises(ValueError, match="first_layer, target: got shapes"):
        small_weight_alignment(torch.ones(3, 3), torch.ones(4))
    with pytest.raises(ValueError, match="time, steps: got 0"):
        two_layer_flow(torch.ones(3, 3), torch.ones(3), time=0.0, steps=1)
