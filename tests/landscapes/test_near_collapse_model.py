"""The near-collapse model: gradients, the unconstrained frame, the Hessian by autograd, the flow's derivative, and theorems."""

import numpy as np
import pytest
import torch

from replica.landscapes import (
    NearCollapseModel,
    class_scatter,
    frame_distance,
    unconstrained_frame,
    within_class_variability,
)

K, N, D = 3, 4, 6
LABELS = torch.arange(K * N) % K
DECAYS = {"weight_decay": 0.02, "feature_decay": 0.03}


def drawn(seed=0, shape=(K * N, D)):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_objective_is_the_paper_s_and_the_last_layer_its_best():
    model = NearCollapseModel(drawn(), LABELS, attraction=0.7, **DECAYS)
    features, weights = drawn(1), drawn(2, (K, D))
    H, W, Y = features.T, weights, torch.nn.functional.one_hot(LABELS).double().T
    expected = ((W @ H - Y) ** 2).sum() / (2 * K * N) + 0.02 * (W**2).sum() / (2 * K)
    expected += 0.03 * (H**2).sum() / (2 * K * N) + 0.7 * ((H - drawn().T) ** 2).sum() / (2 * K * N)
    torch.testing.assert_close(model.loss(features, weights), expected)
    best = model.weights(features).requires_grad_()
    (slope,) = torch.autograd.grad(model.loss(features, best), best)
    assert slope.abs().max() < 1e-12
    torch.testing.assert_close(model.loss(features), model.loss(features, best.detach()))


@pytest.mark.parametrize("attraction", [0.05, 1.0, 100.0])
def test_gradient_is_nothing_at_the_minimiser(attraction):
    model = NearCollapseModel(drawn(), LABELS, attraction=attraction, **DECAYS)
    found = model.minimize().requires_grad_()
    (slope,) = torch.autograd.grad(model.loss(found), found)
    assert slope.abs().max() < 1e-8 * max(attraction, 1)


def test_with_little_attraction_the_minimiser_is_the_unconstrained_models():
    """Theorem 2.1: orthogonal, of squared length (1 − √(λ_H λ_W)) √(λ_W / λ_H); and with it given, it stays."""
    model = NearCollapseModel(drawn(), LABELS, attraction=1e-4, **DECAYS)
    found = model.minimize()
    assert within_class_variability(found, LABELS, traces=True) < 1e-2
    frame = unconstrained_frame(K, D, **DECAYS)
    assert frame_distance(torch.stack([found[k == LABELS].mean(0) for k in range(K)]), torch.eye(K)) < 0.02
    kept = NearCollapseModel(frame[LABELS], LABELS, attraction=2.0, **DECAYS)
    torch.testing.assert_close(kept.minimize(), frame[LABELS])
    torch.testing.assert_close(kept.collapsed_minimizer(), frame[LABELS])


@pytest.mark.parametrize("attraction", [0.3, 1.0, 50.0])
def test_first_order_is_the_implicit_function_theorems_with_the_hessian_by_autograd(attraction):
    """For any given class means, not the frame's alone."""
    model = NearCollapseModel(drawn(4, (K, D))[LABELS], LABELS, attraction=attraction, **DECAYS)
    collapsed = model.collapsed_minimizer()
    torch.testing.assert_close(model.minimize(), collapsed, atol=1e-7, rtol=1e-7)
    size = K * N * D
    hessian = torch.autograd.functional.hessian(model.loss, collapsed).reshape(size, size)
    assert torch.linalg.eigvalsh(hessian)[0] > 0
    perturbations = drawn(5, (2, K * N, D))
    expected = torch.linalg.solve(hessian, perturbations.reshape(2, size).T * attraction / (K * N)).T
    torch.testing.assert_close(model.first_order(perturbations), expected.reshape(2, K * N, D))


def test_spectra_of_theorem_4_2():
    """For large β: 1 and 1 − √(λ_H / λ_W) / β within a class, 2 λ_H (1 − √(λ_H λ_W)) / β between classes."""
    beta, lam, mu = 1e4, 0.3, 0.1
    frame = unconstrained_frame(K, D, weight_decay=lam, feature_decay=mu)
    model = NearCollapseModel(frame[LABELS], LABELS, weight_decay=lam, feature_decay=mu, attraction=beta)
    same, other = (torch.linalg.svdvals(model.response_block(0, k)) for k in (0, 1))
    assert float(same[0]) == pytest.approx(1, abs=1e-3 / beta)
    assert float((1 - same[-1]) * beta) == pytest.approx((mu / lam) ** 0.5, rel=1e-3)
    assert float(other[0] * beta) == pytest.approx(2 * mu * (1 - (lam * mu) ** 0.5), rel=1e-3)
    assert other[1] < 1e-12


def test_a_block_is_the_response_of_one_class_to_another():
    model = NearCollapseModel(drawn(4, (K, D))[LABELS], LABELS, attraction=2.0, **DECAYS)
    perturbation = torch.zeros(K * N, D, dtype=torch.float64)
    perturbation[LABELS == 2] = drawn(6, (N, D))
    expected = model.first_order(perturbation)[LABELS == 1]
    found = model.response_block(2, 1) @ drawn(6, (N, D)).reshape(-1)
    torch.testing.assert_close(found, expected.reshape(-1))


def test_flow_starts_down_the_gradient_and_variability_falls():
    model = NearCollapseModel(drawn(), LABELS, attraction=1.0, **DECAYS)
    path = model.flow([0.0, 1e-5, 1.0, 10.0, 50.0])
    torch.testing.assert_close(path[0], drawn())
    start = drawn().requires_grad_()
    (slope,) = torch.autograd.grad(model.loss(start), start)  # the attraction is at rest at the given features
    torch.testing.assert_close((path[1] - path[0]) / 1e-5, -K * N * slope, atol=1e-4, rtol=1e-3)
    ratios = np.array([float(within_class_variability(features, LABELS, traces=True)) for features in path])
    assert (np.diff(ratios) < 0).all()
    # Theorem 3.1: apart from their common decay, one trace falls, the other rises.
    within, between = (
        torch.stack(traces) for traces in zip(*(class_scatter(step, LABELS) for step in path), strict=True)
    )
    common = torch.tensor([0.0, 1e-5, 1.0, 10.0, 50.0]).mul(2 * 0.03).exp()
    assert ((common * within).diff() < 0).all()
    assert ((common * between).diff() > 0).all()
    near = NearCollapseModel(drawn(), LABELS, attraction=1e3, **DECAYS)
    torch.testing.assert_close(near.minimize() - drawn(), model.flow([1e-3])[0] - drawn(), atol=1e-6, rtol=5e-3)


def test_bad_arguments():
    options = DECAYS | {"attraction": 1.0}
    with pytest.raises(ValueError, match="given, labels: got classes of"):
        NearCollapseModel(drawn(), torch.arange(12) % 5 % 3, **options)
    with pytest.raises(ValueError, match="features as many as these"):
        NearCollapseModel(drawn()[:, :2], LABELS, **options)
    with pytest.raises(ValueError, match="weight_decay, feature_decay, attraction"):
        NearCollapseModel(drawn(), LABELS, **(options | {"attraction": 0.0}))
    with pytest.raises(ValueError, match="times: got"):
        NearCollapseModel(drawn(), LABELS, **options).flow([1.0, 0.5])
    with pytest.raises(ValueError, match="vary within classes"):
        NearCollapseModel(drawn(), LABELS, **options).first_order(drawn())
    with pytest.raises(ValueError, match=r"perturbation: got \(3, 6\)"):
        NearCollapseModel(drawn(4, (K, D))[LABELS], LABELS, **options).first_order(drawn()[:3])
    with pytest.raises(ValueError, match="classes, dim, weight_decay, feature_decay"):
        unconstrained_frame(3, 2, **DECAYS)
