"""Functionality and partition of neurons: beside scikit-learn, brute force, and planted groups."""

from itertools import combinations

import pytest
import torch
from sklearn.metrics import average_precision_score

from replica.representations import neuron_functionality, partition_neurons


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("kind", ["distinct", "with ties", "constant"])
def test_functionality_is_scikit_learns_average_precision(kind: str) -> None:
    activations = torch.randn(80, 6, generator=seeded(), dtype=torch.float64)
    if kind == "with ties":
        activations = activations.relu().round(decimals=0)
    if kind == "constant":
        activations[:, 0] = 0.3
    functions = torch.randint(3, (80,), generator=seeded(1))
    found = neuron_functionality(activations, functions)
    assert found.shape == (6, 3)
    for neuron in range(6):
        for function in range(3):
            wanted = average_precision_score(functions == function, activations[:, neuron])
            assert found[neuron, function].item() == pytest.approx(wanted, abs=1e-12)


def test_a_neuron_that_fires_for_one_function_alone_has_1_and_order_is_all_that_counts() -> None:
    functions = torch.arange(30) % 3
    activations = torch.stack([(functions == 2) * 1.0 + 0.1 * torch.rand(30, generator=seeded())], 1)
    scores = neuron_functionality(activations, functions)
    assert scores[0, 2] == 1
    assert torch.equal(scores, neuron_functionality(activations.exp() * 5, functions))


@pytest.mark.parametrize("seed", range(4))
def test_partition_is_the_best_of_all_for_few_neurons(seed: int) -> None:
    rows = torch.randn(8, 3, generator=seeded(seed), dtype=torch.float64)

    def spread(brick: torch.Tensor) -> float:
        return sum(float((part - part.mean(0)).square().sum()) for part in (rows[brick == 0], rows[brick == 1]))

    every = [torch.tensor([int(i in chosen) for i in range(8)]) for chosen in combinations(range(8), 4)]
    found = partition_neurons(rows, 2, restarts=20, generator=seeded())
    assert torch.bincount(found).tolist() == [4, 4]
    assert spread(found) == pytest.approx(min(spread(brick) for brick in every))


def test_the_best_restart_is_taken() -> None:
    rows = torch.randn(30, 3, generator=seeded(), dtype=torch.float64)

    def spread(brick: torch.Tensor) -> float:
        return sum(float((rows[brick == i] - rows[brick == i].mean(0)).square().sum()) for i in range(5))

    starts = seeded(1)
    singles = [spread(partition_neurons(rows, 5, restarts=1, generator=starts)) for _ in range(5)]
    assert min(singles) < min(singles[0], singles[-1])
    assert spread(partition_neurons(rows, 5, restarts=5, generator=seeded(1))) == pytest.approx(min(singles))


def test_planted_bricks_are_found_by_keys_and_by_co_activation() -> None:
    planted = torch.arange(48) % 4
    centres = torch.randn(4, 20, generator=seeded())
    keys = centres[planted] + 0.3 * torch.randn(48, 20, generator=seeded(1))
    active = (torch.randn(200, 20, generator=seeded(2)) @ keys.T).relu()
    together = (active - active.mean(0)) / active.std(0)
    for features in (keys, together.T):
        found = partition_neurons(features, 4, generator=seeded())
        assert len({tuple(pair) for pair in torch.stack([planted, found], 1).tolist()}) == 4


def test_bricks_are_of_one_size_where_groups_are_not_and_repeat() -> None:
    keys = torch.cat([torch.zeros(9, 2), torch.ones(3, 2)]) + 0.01 * torch.randn(12, 2, generator=seeded())
    found = partition_neurons(keys, 3, generator=seeded())
    assert torch.bincount(found).tolist() == [4, 4, 4]
    assert torch.equal(found, partition_neurons(keys, 3, generator=seeded()))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: neuron_functionality(torch.rand(5, 2), torch.zeros(4, dtype=torch.int64)), "functions: got shape"),
        (lambda: neuron_functionality(torch.rand(2, 2) / 0, torch.tensor([0, 1])), "activations: got numbers"),
        (lambda: neuron_functionality(torch.rand(2, 2), torch.tensor([0, 2])), "functions: got \\[1, 0, 1\\]"),
        (lambda: neuron_functionality(torch.rand(2, 2), torch.tensor([0, 1]), 3), "functions: got \\[1, 1, 0\\]"),
        (lambda: neuron_functionality(torch.rand(2, 2), torch.tensor([0, 1]), 1), "functions: got \\[1, 1\\]"),
        (lambda: partition_neurons(torch.rand(6), 2), "features: got shape"),
        (lambda: partition_neurons(torch.rand(6, 2), 4), "bricks: got 4"),
        (lambda: partition_neurons(torch.rand(6, 2), 2, restarts=0), "restarts: got 0"),
        (lambda: partition_neurons(torch.full((6, 2), torch.nan), 2), "features: got numbers"),
    ],
)
def test_bad_arguments_are_named(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
