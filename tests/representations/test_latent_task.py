"""Latent tasks: their alignment in closed form, what can be told by a plane, noise, and bad arguments."""

import math

import pytest
import torch

from replica.kernels import kernel_alignment
from replica.representations import latent_task


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("separability", [0.0, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("targets", [("a",), ("ab",), ("b", "ab"), ("a", "b"), ("a", "b", "ab")])
def test_alignment_of_inputs_and_targets_in_closed_form(separability: float, targets: tuple[str, ...]) -> None:
    task = latent_task(separability, targets, dim=9, generator=seeded(), dtype=torch.float64)
    squares = {"a": 1, "b": 1, "ab": separability**2}
    wanted = sum(squares[each] for each in targets) / math.sqrt(len(targets) * (2 + separability**4))
    assert kernel_alignment(task.input_kernel, task.target_kernel).item() == pytest.approx(wanted, abs=1e-12)


def test_conditions_labels_and_noise() -> None:
    task = latent_task(0.5, ["a", "b", "ab"], noise=0.2, generator=seeded())
    assert task.labels.T.tolist() == [
        [False, False, True, True],
        [False, True, False, True],
        [True, False, False, True],
    ]
    inputs, labels, conditions = task.draw(20_000, seeded(1))
    assert torch.equal(labels, task.labels[conditions])
    assert torch.bincount(conditions).min() > 4800
    rest = inputs - task.means[conditions]
    assert rest.std().item() == pytest.approx(0.2, rel=0.01)
    assert (torch.stack([inputs[conditions == each].mean(0) for each in range(4)]) - task.means).abs().max() < 0.02


@pytest.mark.parametrize(("separability", "told"), [(0.0, False), (0.5, True)])
def test_xor_can_be_told_by_a_plane_only_where_inputs_hold_the_product(separability: float, told: bool) -> None:
    task = latent_task(separability, ["ab"], generator=seeded())
    rows = torch.cat([task.means, torch.ones(4, 1)], 1)
    read = rows @ torch.linalg.pinv(rows) @ (2.0 * task.labels - 1)
    assert bool(((read > 1e-3) == task.labels).all() and (read.abs() > 1e-3).all()) is told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"separability": -1.0}, "separability: got -1.0"),
        ({"targets": ["c"]}, "targets: got \\['c'\\]"),
        ({"targets": ["a", "a"]}, "targets: got"),
        ({"targets": []}, "targets: got"),
        ({"dim": 2}, "dim: got 2"),
        ({"noise": -0.1}, "noise: got -0.1"),
    ],
)
def test_bad_arguments_are_named(arguments, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        latent_task(**{"separability": 1.0, "targets": ["a"]} | arguments)
