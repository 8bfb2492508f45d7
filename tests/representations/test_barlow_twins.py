"""Barlow Twins: the loss by its definition, its minimum for linear encoders, and what training does."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from scipy.linalg import eigh
from torch import Tensor

from replica.representations import BarlowTwins, barlow_twins_loss
from replica.training import Views, conv_net


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("shape", [(30, 5), (6, 40), (9, 9)])
@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_the_loss_by_its_definition(shape: tuple[int, int], weight: float) -> None:
    a, b = 3 * drawn(*shape) + 1, drawn(*shape, seed=1) - 2
    correlation = np.corrcoef(a.T.numpy(), b.T.numpy())[: shape[1], shape[1] :]
    diagonal = np.eye(shape[1], dtype=bool)
    wanted = ((1 - correlation[diagonal]) ** 2).sum() + weight * (correlation[~diagonal] ** 2).sum()
    assert float(barlow_twins_loss(a, b, weight)) == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("shape", [(7, 3), (4, 6)])
def test_its_gradient(shape: tuple[int, int]) -> None:
    a, b = drawn(*shape).requires_grad_(), drawn(*shape, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(partial(barlow_twins_loss, weight=0.1), (a, b))


def test_white_twins_lose_nothing_and_scales_and_offsets_do_not_matter() -> None:
    white = torch.linalg.qr(drawn(50, 4) - drawn(50, 4).mean(0))[0] * 50**0.5
    assert float(barlow_twins_loss(white, white)) < 1e-8
    a, b = drawn(50, 4), drawn(50, 4, seed=1)
    assert float(barlow_twins_loss(7 * a + 3, b)) == pytest.approx(float(barlow_twins_loss(a, b)), rel=1e-4)
    copied = a[:, :1].expand(50, 4)
    assert float(barlow_twins_loss(copied, copied, 0.0)) < 1e-6, "the invariance term alone lets outputs repeat"
    assert float(barlow_twins_loss(copied, copied, 1.0)) == pytest.approx(12, rel=1e-3)


def test_the_minimum_of_a_linear_encoder_is_known() -> None:
    """k (1 - H)² for the harmonic mean H of the k largest shares of variance that two views have in common.

    The shares s are the generalised eigenvalues of the covariance of pairs within that of views. Where C is held diagonal,
    outputs of unit variance are S^(-1/2) Q C^(1/2) in their basis for orthonormal Q, so that 1 / C_ii = (Q' S^-1 Q)_ii, of which
    only the sum is fixed; (1 - 1/r)² is convex below r = 3/2, and equal r are best where all shares are above 2/3.
    """
    count, dim, outputs = 4000, 5, 2
    signal = drawn(count, dim) * torch.tensor([2.0, 1.5, 1.0, 0.5, 0.2]).double()
    one, other = (signal + drawn(count, dim, seed=seed) for seed in (1, 2))
    one, other = one - one.mean(0), other - other.mean(0)
    both = torch.cat(
        [torch.cat([one, other]), torch.cat([other, one])], dim=1
    )  # exchange makes the twins' moments equal
    first, second = both[:, :dim], both[:, dim:]
    pairs, views = (first.T @ second / len(both)).numpy(), (first.T @ first / len(both)).numpy()
    shares = eigh(pairs, views, eigvals_only=True)[::-1]
    weights = (0.1 * drawn(dim, outputs, seed=3)).requires_grad_()
    solver = torch.optim.LBFGS([weights], max_iter=300, line_search_fn="strong_wolfe", tolerance_grad=1e-9)

    def closure() -> Tensor:
        solver.zero_grad()
        loss = barlow_twins_loss(first @ weights, second @ weights, 100.0)
        loss.backward()
        return loss

    solver.step(closure)  # type: ignore[arg-type]
    outputs_of = (rows @ weights.detach() for rows in (first, second))
    assert shares[outputs - 1] > 2 / 3
    harmonic = outputs / (1 / shares[:outputs]).sum()
    wanted = outputs * (1 - harmonic) ** 2
    assert float(barlow_twins_loss(*outputs_of, 100.0)) == pytest.approx(wanted, rel=1e-3)
    assert wanted < ((1 - shares[:outputs]) ** 2).sum(), "decorrelated outputs, one a direction, are not the minimum"
    basis = np.linalg.qr(weights.detach().numpy())[0]
    best = np.linalg.qr(eigh(pairs, views)[1][:, ::-1][:, :outputs])[0]
    assert np.linalg.svd(basis.T @ best, compute_uv=False).min() > 0.99


def test_training_lowers_the_loss_and_leaves_the_rest_alone() -> None:
    images = torch.rand(70, 1, 8, 8, generator=torch.Generator().manual_seed(0))

    def run(weight: float = 0.1, epochs: int = 15) -> BarlowTwins:
        weights, state = torch.Generator().manual_seed(1), torch.get_rng_state()
        twins = BarlowTwins(
            Views(shift=0.1, noise=0.1), weight=weight, projector=(24, 12), batch=32, learning_rate=3e-3
        )
        twins.pretrain(images, lambda: conv_net((1, 4), 8, size=(8, 8), generator=weights), weights, epochs)
        assert torch.equal(torch.get_rng_state(), state)
        return twins

    twins = run()
    assert len(twins.losses) == 15 * 2, "batches of one size: the last six images wait"
    assert np.mean(twins.losses[-4:]) < 0.7 * np.mean(twins.losses[:4])
    assert torch.equal(twins.embed(images), run().embed(images))
    assert not torch.equal(twins.embed(images), run(weight=0.0).embed(images))
    assert run(epochs=0).losses == []
    assert twins.embed(images).requires_grad is False


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="a, b: got shapes"):
        barlow_twins_loss(torch.zeros(4, 2), torch.zeros(4, 3))
    with pytest.raises(ValueError, match="weight: got -1"):
        barlow_twins_loss(torch.zeros(4, 2), torch.zeros(4, 2), -1)
    with pytest.raises(ValueError, match="weight: got -1"):
        BarlowTwins(Views(), weight=-1)
    with pytest.raises(ValueError, match="batch, learning_rate"):
        BarlowTwins(Views(), batch=1)
