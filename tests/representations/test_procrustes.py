"""Procrustes distance: beside SciPy's best rotation, in both forms, as a metric, and its gradient."""

import numpy as np
import pytest
import torch
from scipy.linalg import orthogonal_procrustes

from replica.representations import procrustes_distance


def layers(*shapes: tuple[int, ...]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(*shape, generator=generator, dtype=torch.float64) + 1 for shape in shapes]


@pytest.mark.parametrize("units", [(4, 4), (4, 6), (15, 11), (15, 4)])
def test_it_is_what_the_best_rotation_leaves(units: tuple[int, int]) -> None:
    first, second = layers((9, units[0]), (9, units[1]))
    padded = np.zeros((2, 9, max(units)))
    for place, layer in zip(padded, (first, second), strict=True):
        place[:, : layer.shape[1]] = layer - layer.mean(0)
        place /= np.linalg.norm(place)
    rotation, _ = orthogonal_procrustes(padded[1], padded[0])
    left = np.linalg.norm(padded[0] - padded[1] @ rotation)
    assert procrustes_distance(first, second).item() == pytest.approx(left)


def test_it_is_a_metric_blind_to_rotation_shift_and_scale() -> None:
    a, b, c, turn = layers((30, 5), (30, 5), (30, 5), (5, 5))
    turned = 4 * a @ torch.linalg.qr(turn)[0] + 3
    assert procrustes_distance(a, turned).item() == pytest.approx(0, abs=1e-6)
    assert procrustes_distance(turned, b).item() == pytest.approx(procrustes_distance(a, b).item())
    assert procrustes_distance(a, c) <= procrustes_distance(a, b) + procrustes_distance(b, c)
    apart = torch.eye(4, dtype=torch.float64)[[0, 1, 0, 1]], torch.eye(4, dtype=torch.float64)[[2, 2, 3, 3]]
    assert procrustes_distance(*apart).item() == pytest.approx(np.sqrt(2))


def test_many_pairs_at_once_and_gradients() -> None:
    first, second = layers((2, 6, 3), (4, 6, 8))
    pairs = procrustes_distance(first[:, None], second)
    assert pairs.shape == (2, 4)
    assert pairs[1, 3].item() == pytest.approx(procrustes_distance(first[1], second[3]).item())
    for samples in (4, 8):
        few = [layer.requires_grad_() for layer in layers((samples, 5), (samples, 6))]
        assert torch.autograd.gradcheck(procrustes_distance, few)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="second: got 5 samples, want 4 as in first"):
        procrustes_distance(torch.rand(4, 2), torch.rand(5, 2))
    with pytest.raises(ValueError, match="first: got a layer that is constant or not finite"):
        procrustes_distance(torch.full((4, 2), 0.1), torch.rand(4, 2))
