"""Parallelism and cross-condition generalisation: known geometries, brute force, invariance, scikit-learn's ridge."""

from itertools import permutations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from replica.representations import cross_condition_generalization, parallelism_score

LATENTS = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]], dtype=torch.float64)
FIRST, SECOND, XOR = LATENTS[:, 0] > 0, LATENTS[:, 1] > 0, LATENTS.prod(1) > 0
SHAPES = {  # corners, and the scores of the first latent and of XOR
    "square": (LATENTS, (1.0, -1.0)),
    "tetrahedron": (torch.eye(4, dtype=torch.float64), (0.0, 0.0)),
    "product alone": (torch.cat([LATENTS * 1e-9, LATENTS.prod(1, keepdim=True)], 1), (0.0, 1.0)),
}


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("shape", ["square", "tetrahedron"])
def test_known_geometries_turned_and_shifted(shape: str) -> None:
    corners, wanted = SHAPES[shape]
    turn = torch.linalg.qr(drawn(6, 6)).Q[: corners.shape[1]]
    for labels, score in zip((FIRST, XOR), wanted, strict=True):
        assert parallelism_score(3 * corners @ turn + 2, labels).item() == pytest.approx(score, abs=1e-12)
    assert parallelism_score(SHAPES["product alone"][0], XOR).item() == pytest.approx(1)


def test_it_is_the_best_pairing_by_brute_force_and_that_of_contexts() -> None:
    means = drawn(5, 6, 4)
    labels = torch.tensor([True, False, False, True, True, False])
    scores = parallelism_score(means, labels)
    for batch, score in zip(means.numpy(), scores, strict=True):
        best = []
        for order in permutations([1, 2, 5]):
            vectors = [batch[on] - batch[off] for on, off in zip((0, 3, 4), order, strict=True)]
            vectors = [vector / np.linalg.norm(vector) for vector in vectors]
            best.append(np.mean([vectors[i] @ vectors[j] for i in range(3) for j in range(i)]))
        assert score.item() == pytest.approx(max(best))
    contexts = torch.tensor([7, 2, 9, 9, 2, 7])
    vectors = torch.stack([means[:, 0] - means[:, 5], means[:, 3] - means[:, 2], means[:, 4] - means[:, 1]], 1)
    cosines = torch.cosine_similarity(vectors[:, [0, 0, 1]], vectors[:, [1, 2, 2]], dim=-1).mean(1)
    torch.testing.assert_close(parallelism_score(means, labels, contexts), cosines)


def test_readouts_carry_over_where_codes_are_parallel() -> None:
    conditions = torch.arange(400) % 4
    noise = 0.1 * drawn(400, 2)
    square = LATENTS[conditions] + noise
    first, second = FIRST.long(), SECOND.long()
    assert cross_condition_generalization(square, conditions, FIRST, second) == 1
    assert cross_condition_generalization(square, conditions, SECOND, first) == 1
    assert cross_condition_generalization(square, conditions, XOR, first) == 0
    assert 0.6 < cross_condition_generalization(square, conditions, FIRST) < 0.9  # across diagonals it is a guess
    assert cross_condition_generalization(square * torch.tensor([1, 0.2]), conditions, FIRST) == 1
    apart = torch.eye(4, dtype=torch.float64)[conditions] + 0.01 * drawn(400, 4)
    assert 0.3 < cross_condition_generalization(apart, conditions, FIRST) < 0.7


@pytest.mark.parametrize("units", [5, 60])
def test_the_readout_is_ridge_regression_on_conditions_that_count_alike(units: int) -> None:
    conditions = torch.cat([torch.arange(4), torch.randint(4, (36,), generator=torch.Generator().manual_seed(1))])
    layers = drawn(2, 40, units) + 0.5 * drawn(4, units, seed=2)[conditions]
    found = []
    for layer in layers.numpy():
        shares = []
        for held in ((2, 0), (2, 1), (3, 0), (3, 1)):
            seen = ~np.isin(conditions, held)
            weights = 1 / np.bincount(conditions)[conditions[seen]]
            weights /= weights.sum()
            spread = (weights[:, None] * (layer[seen] - weights @ layer[seen]) ** 2).sum()
            ridge = Ridge(1e-3 * spread, solver="svd").fit(layer[seen], np.where(conditions[seen] > 1, 1, -1), weights)
            right = ridge.predict(layer) * np.where(conditions > 1, 1, -1) > 0
            shares += [right[conditions == each].mean() for each in held]
        found.append(np.mean(shares))
    torch.testing.assert_close(cross_condition_generalization(layers, conditions, FIRST), torch.tensor(found))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: parallelism_score(LATENTS, FIRST[:3]), "labels: got shape"),
        (lambda: parallelism_score(LATENTS, torch.tensor([True, True, True, False])), "labels: got 3 conditions on"),
        (lambda: parallelism_score(LATENTS, FIRST, torch.tensor([0, 0, 1, 1])), "contexts: got one"),
        (lambda: parallelism_score(LATENTS, FIRST, torch.arange(3)), "contexts: got shape"),
        (lambda: parallelism_score(torch.rand(16, 2), torch.arange(16) < 8), "contexts: got none for 8 pairs"),
        (lambda: cross_condition_generalization(LATENTS, torch.arange(3), FIRST), "conditions: got shape"),
        (lambda: cross_condition_generalization(LATENTS, torch.tensor([0, 1, 2, 2]), FIRST), "conditions: got 3"),
        (lambda: cross_condition_generalization(LATENTS, torch.arange(4), torch.arange(4) > 2), "labels: got 1"),
        (lambda: cross_condition_generalization(LATENTS, torch.arange(4), FIRST, FIRST.long()), "contexts: got one"),
        (lambda: cross_condition_generalization(LATENTS, torch.arange(4), FIRST, penalty=0), "penalty: got 0"),
    ],
)
def test_bad_arguments_are_named(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
