"""Measures of collapse against their definitions written out, scikit-learn, and cases whose answer is known."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestCentroid

from replica.landscapes import (
    class_means,
    collapse_metrics,
    duality_distance,
    frame_distance,
    nearest_mean_agreement,
    orthogonal_frame,
    simplex_frame,
    within_class_variability,
)


@pytest.fixture
def drawn():
    """Features of four uneven classes in seven dimensions, apart but not collapsed."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), (9, 5, 3, 2))
    features = 2 * rng.standard_normal((4, 7))[labels] + rng.standard_normal((19, 7))
    return torch.from_numpy(features), torch.from_numpy(labels)


def test_variability_is_that_of_covariances_written_out(drawn):
    features, labels = (part.numpy() for part in drawn)
    means = np.stack([features[labels == k].mean(0) for k in range(4)])
    within = sum(np.outer(row - means[k], row - means[k]) for row, k in zip(features, labels, strict=True)) / 19
    apart = means - features.mean(0)
    between = sum(np.outer(row, row) for row in apart) / 4
    np.testing.assert_allclose(class_means(*drawn), means)
    assert within_class_variability(*drawn) == pytest.approx(np.trace(within @ np.linalg.pinv(between)) / 4)
    assert within_class_variability(*drawn, traces=True) == pytest.approx(np.trace(within) / np.trace(between))


def test_variability_knows_no_scale_shift_or_rotation_and_the_first_no_linear_map(drawn):
    features, labels = drawn
    turn = torch.linalg.qr(torch.randn(7, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))[0]
    for traces in (False, True):
        expected = within_class_variability(features, labels, traces=traces)
        found = within_class_variability(3 * features @ turn + 5, labels, traces=traces)
        torch.testing.assert_close(found, expected)


def test_nearest_means_are_scikit_learns(drawn):
    features, labels = drawn
    peer = NearestCentroid().fit(features.numpy(), labels.numpy())
    said = torch.nn.functional.one_hot(torch.from_numpy(peer.predict(features.numpy())), 4).double()
    assert nearest_mean_agreement(features, labels, said) == 1
    assert nearest_mean_agreement(features, labels, said.roll(1, 1)) == 0


def test_frames():
    corners = torch.eye(5, dtype=torch.float64) - 1 / 5
    turn = torch.linalg.qr(torch.randn(9, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))[0]
    assert frame_distance(4 * corners @ turn.T, simplex_frame(5)) == pytest.approx(0, abs=1e-12)
    cosines = simplex_frame(5) / simplex_frame(5)[0, 0]
    torch.testing.assert_close(cosines[~torch.eye(5, dtype=torch.bool)], torch.full((20,), -1 / 4, dtype=torch.float64))
    lengths = torch.tensor([1.0, 2, 3, 4, 0], dtype=torch.float64)
    vectors = lengths[:, None] * turn.T
    assert frame_distance(vectors, orthogonal_frame(lengths**2)) == pytest.approx(0, abs=1e-12)
    # ‖I/√K − (I − 11ᵀ/K)/√(K−1)‖² = 2 − 2 √((K−1)/K)
    assert frame_distance(turn.T, simplex_frame(5)) == pytest.approx((2 - 2 * 0.8**0.5) ** 0.5)
    assert frame_distance(turn.T[:2], torch.tensor([[0.0, 1], [1, 0]])) == pytest.approx(2**0.5)
    assert duality_distance(vectors, 7 * vectors) == pytest.approx(0, abs=1e-12)
    assert duality_distance(vectors, -vectors) == pytest.approx(2)


def test_all_at_once_of_a_collapsed_head_and_of_a_drawn_one(drawn):
    labels = drawn[1]
    corners = simplex_frame(4)
    ended = collapse_metrics(corners[labels] - 3, labels, 2 * corners)
    assert float(ended.variability) == pytest.approx(0, abs=1e-12)
    # The mean of uneven classes is not the simplex's centre.
    assert float(ended.means_off_frame) > 0.05
    even = torch.arange(12) % 4
    ended = collapse_metrics(corners[even] - 3, even, 2 * corners)
    assert [float(value) for value in ended] == pytest.approx([0, 0, 0, 0, 0, 1], abs=1e-12)
    uncentred = collapse_metrics(corners[labels], labels, 2 * corners, frame=simplex_frame(4))
    assert float(uncentred.means_off_frame) == pytest.approx(0, abs=1e-12)
    open_ = collapse_metrics(*drawn, torch.eye(4, 7, dtype=torch.float64))
    assert all(float(value) > 0.1 for value in open_[:5])


def test_a_gradient_leads_to_less_variability(drawn):
    features = drawn[0].clone().requires_grad_()
    before = within_class_variability(features, drawn[1])
    (slope,) = torch.autograd.grad(before, features)
    assert within_class_variability(features - 0.01 * slope, drawn[1]) < before


def test_bad_arguments(drawn):
    features, labels = drawn
    with pytest.raises(ValueError, match="labels: got no sample of class 1"):
        class_means(features, labels * 2)
    with pytest.raises(ValueError, match=r"features, labels: got \(19, 7\) and \(18,\)"):
        class_means(features, labels[1:])
    with pytest.raises(ValueError, match=r"weights: got shape \(3, 7\), want \(4, 7\)"):
        collapse_metrics(features, labels, torch.zeros(3, 7, dtype=torch.float64))
    with pytest.raises(ValueError, match="frame: got shape"):
        frame_distance(features[:3], simplex_frame(4))
    with pytest.raises(ValueError, match="squared_lengths"):
        orthogonal_frame(torch.tensor([1.0, -1]))
    with pytest.raises(ValueError, match="classes: got 1"):
        simplex_frame(1)
