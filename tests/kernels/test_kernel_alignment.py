"""Kernel alignment and linear CKA: by brute force, in both forms, debiased, under rotations, and their gradients."""

import numpy as np
import pytest
import torch

from replica.kernels import kernel_alignment, linear_cka, pairwise_linear_cka


def layers(*shapes: tuple[int, ...], seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(*shape, generator=generator, dtype=torch.float64) + 2 for shape in shapes]


def hsic(K: np.ndarray, L: np.ndarray, debiased: bool) -> float:
    """Independence criterion by its definition: means over pairs, triples and quadruples (all different, if debiased)."""
    n = len(K)
    terms: list[list[float]] = [[], [], []]
    for i in range(n):
        for j in range(n):
            if debiased and i == j:
                continue
            terms[0].append(K[i, j] * L[i, j])
            for q in range(n):
                if debiased and q in (i, j):
                    continue
                terms[1].append(K[i, j] * L[i, q])
                for r in range(n):
                    if not (debiased and r in (i, j, q)):
                        terms[2].append(K[i, j] * L[q, r])
    pairs, triples, quadruples = map(np.mean, terms)
    return float(pairs + quadruples - 2 * triples)


@pytest.mark.parametrize("debiased", [False, True])
@pytest.mark.parametrize("units", [(2, 3), (9, 3), (9, 12)])
def test_it_is_the_cosine_of_the_independence_criterion(units: tuple[int, int], debiased: bool) -> None:
    X, Y = layers((7, units[0]), (7, units[1]))
    K, L = (X @ X.T).numpy(), (Y @ Y.T).numpy()
    expected = hsic(K, L, debiased) / np.sqrt(hsic(K, K, debiased) * hsic(L, L, debiased))
    assert linear_cka(X, Y, debiased=debiased).item() == pytest.approx(expected, rel=1e-9)
    centring = "debiased" if debiased else "biased"
    assert kernel_alignment(X @ X.T, Y @ Y.T, centring=centring).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("debiased", [False, True])
@pytest.mark.parametrize("samples", [10, 50])
def test_rotations_shifts_and_scale_do_not_matter_but_stretching_does(samples: int, debiased: bool) -> None:
    X, Y, turn, stretch = layers((samples, 20), (samples, 6), (20, 20), (20,))
    turned = 3 * X @ torch.linalg.qr(turn)[0] - 7
    torch.testing.assert_close(linear_cka(turned, Y, debiased=debiased), linear_cka(X, Y, debiased=debiased))
    assert linear_cka(X, turned, debiased=debiased).item() == pytest.approx(1)
    assert linear_cka(X, X * stretch.abs(), debiased=debiased).item() < 0.99


def test_only_debiased_is_zero_for_independent_layers() -> None:
    X, Y = layers((200, 20, 30), (200, 20, 30))
    assert linear_cka(X, Y).mean().item() > 0.5
    assert linear_cka(X, Y, debiased=True).mean().item() == pytest.approx(0, abs=0.02)


def test_many_pairs_at_once() -> None:
    X, Y = layers((2, 8, 5), (3, 8, 4))
    pairs = linear_cka(X[:, None], Y)
    assert pairs.shape == (2, 3)
    assert pairs[1, 2].item() == pytest.approx(linear_cka(X[1], Y[2]).item())
    grams = kernel_alignment((X @ X.mT)[:, None], Y @ Y.mT)
    torch.testing.assert_close(grams, pairs)
    assert kernel_alignment(torch.eye(4), torch.ones(4, 4), centring="none").item() == pytest.approx(0.5)


def test_neither_many_units_nor_many_samples_make_a_large_matrix() -> None:
    for shape in ((4, 200_000), (200_000, 4)):  # the larger matrix would take 160 GB
        wide = torch.rand(*shape, generator=torch.Generator().manual_seed(0))
        assert linear_cka(wide, wide).item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("debiased", [False, True])
@pytest.mark.parametrize("samples", [5, 9])
def test_gradients(samples: int, debiased: bool) -> None:
    X, Y = (layer.requires_grad_() for layer in layers((samples, 6), (samples, 3)))
    assert torch.autograd.gradcheck(lambda x, y: linear_cka(x, y, debiased=debiased), (X, Y))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: linear_cka(torch.rand(5, 2), torch.rand(6, 2)), "second: got 6 samples, want 5"),
        (lambda: linear_cka(torch.rand(5), torch.rand(5, 2)), r"first: got shape \(5,\)"),
        (lambda: linear_cka(torch.rand(3, 2), torch.rand(3, 2), debiased=True), "first: got 3 samples, want 4 or more"),
        (
            lambda: linear_cka(torch.rand(5, 2), torch.full((5, 2), 0.1)),
            "second: got a representation that is constant",
        ),
        (lambda: linear_cka(torch.full((5, 2), torch.nan), torch.rand(5, 2)), "first: .* constant or not finite"),
        (lambda: kernel_alignment(torch.rand(5, 4), torch.eye(5)), r"first: got shape \(5, 4\)"),
        (lambda: kernel_alignment(torch.ones(5, 5), torch.eye(5)), "first: got a kernel matrix that is constant"),
        (lambda: kernel_alignment(torch.eye(5), torch.eye(5), centring="no"), "centring: got 'no'"),  # type: ignore
    ],
)
def test_what_cannot_be_compared_is_refused(call, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        call()


@pytest.mark.parametrize("debiased", [False, True])
@pytest.mark.parametrize("samples", [12, 60])
def test_all_pairs_at_once_are_the_pairs_one_by_one(samples: int, debiased: bool) -> None:
    ours, theirs = layers((samples, 20), (samples, 3), (samples, 9)), layers((samples, 25), (samples, 4), seed=1)
    found = pairwise_linear_cka(ours, theirs, debiased=debiased)
    one_by_one = [[linear_cka(a, b, debiased=debiased) for b in theirs] for a in ours]
    torch.testing.assert_close(found, torch.tensor(one_by_one, dtype=torch.float64))
    torch.testing.assert_close(pairwise_linear_cka(ours, debiased=debiased).diagonal(), torch.ones(3).double())
    with pytest.raises(ValueError, match=r"second\[1\]: got shape \(5, 2\), want"):
        pairwise_linear_cka(ours, [theirs[0], torch.ones(5, 2)])


def test_many_units_in_blocks_are_the_whole_covariance() -> None:
    X, Y = layers((900, 600), (900, 300))
    X, Y = X - X.mean(0), Y - Y.mean(0)
    whole = (X.T @ Y).square().sum() / (X.T @ X).norm() / (Y.T @ Y).norm()
    assert linear_cka(X, Y).item() == pytest.approx(whole.item(), rel=1e-12)
