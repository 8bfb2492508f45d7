"""Cells, layers, the liquid and the alignment of Lin et al. 2023: noise cell by cell, the fused neurons, closed forms."""

import copy
import math

import pytest
import torch
from torch import nn

from replica.spiking import (
    AlignedProjections,
    ResistiveCells,
    ResistiveLinear,
    ResistiveLiquid,
    contrastive_loss,
    match_accuracy,
    same_class_rows,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_formed_cells_are_normal_within_their_range() -> None:
    cells = ResistiveCells(spread=10.0)
    found = cells.form(400, 400, generator=seeded())
    assert float(found.mean()) == pytest.approx(50.0, abs=0.1)
    assert float(found.std()) == pytest.approx(10.0, rel=0.01)
    assert float(found.min()) >= 20.0
    assert float(found.max()) <= 80.0
    wide = ResistiveCells(spread=1000.0).form(100, 100, generator=seeded())
    assert set(wide[(wide == 20) | (wide == 80)].tolist()) == {20.0, 80.0}


@pytest.mark.parametrize("levels", [2, 3, 7, 61])
def test_written_cells_hold_the_nearest_level(levels: int) -> None:
    targets = torch.linspace(0, 100, 1001, dtype=torch.float64)
    held = ResistiveCells(levels=levels).write(targets)
    allowed = torch.linspace(20, 80, levels, dtype=torch.float64)
    nearest = allowed[(targets.clamp(20, 80)[:, None] - allowed).abs().argmin(dim=1)]
    assert float((held - targets.clamp(20, 80)).abs().max()) <= 30 / (levels - 1) + 1e-9
    # Halfway between two levels either is as near.
    torch.testing.assert_close((held - targets.clamp(20, 80)).abs(), (nearest - targets.clamp(20, 80)).abs())


def test_stuck_cells_lie_at_the_ends_in_their_share() -> None:
    held = ResistiveCells(stuck=0.2).write(torch.full((300, 300), 50.0), generator=seeded())
    shares = [float((held == value).float().mean()) for value in (20.0, 80.0)]
    assert shares == pytest.approx([0.1, 0.1], abs=0.01)
    assert float(ResistiveCells(stuck=1.0).form(50, 50, generator=seeded()).sub(50).abs().min()) == 30.0


def test_writing_misses_by_the_write_noise() -> None:
    held = ResistiveCells(write_noise=3.0).write(torch.full((300, 300), 45.0), generator=seeded())
    assert (float(held.mean()), float(held.std())) == pytest.approx((45.0, 3.0), abs=0.05)


def test_a_written_layer_gives_the_product_and_limits_it_to_the_range() -> None:
    weight = torch.randn(6, 9, dtype=torch.float64, generator=seeded())
    inputs = torch.randn(4, 3, 9, dtype=torch.float64, generator=seeded(1))
    layer = ResistiveLinear(9, 6, weight=weight)
    torch.testing.assert_close(layer(inputs), inputs @ weight.T)
    cut = ResistiveLinear(9, 6, weight=weight, scale=0.01)
    torch.testing.assert_close(cut.weight, weight.clamp(-0.6, 0.6))  # 60 µS at 0.01 a microsiemens


@pytest.mark.parametrize("binary", [True, False])
def test_read_noise_is_that_of_every_cell_read_anew(binary: bool) -> None:
    """The noise of a row in one number, beside the sum of noises drawn for each cell: both mean and covariance."""
    draws, sigma = 20_000, 5.0
    layer = ResistiveLinear(8, 3, cells=ResistiveCells(read_noise=sigma), generator=seeded())
    row = torch.tensor([1.0, 0, 1, 1, 0, 0, 1, 1]) if binary else torch.randn(8, generator=seeded(1))
    ours = layer(row.expand(draws, 8), generator=seeded(2))
    noise = sigma * torch.randn(draws, 2, 3, 8, generator=seeded(3))
    brute = layer.scale * ((layer.positive + noise[:, 0]) - (layer.negative + noise[:, 1])) @ row
    for found in (ours, brute):
        torch.testing.assert_close(found.mean(0), layer.weight @ row, atol=0.03, rtol=0)
    expected = torch.eye(3) * float(layer.scale) ** 2 * 2 * sigma**2 * float(row.square().sum())
    for found in (ours, brute):
        torch.testing.assert_close(torch.cov(found.T), expected, atol=0.04 * float(expected.max()), rtol=0)


def test_a_silent_input_has_no_noise() -> None:
    layer = ResistiveLinear(5, 4, cells=ResistiveCells(read_noise=9.0), generator=seeded())
    assert not layer(torch.zeros(3, 5), generator=seeded()).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("noise", [0.0, 1e-9])
def test_it_is_its_equations_written_out(batch: int, dtype: torch.dtype, noise: float) -> None:
    """Fused without noise and step by step with it; a noise of no size changes nothing."""
    cells = ResistiveCells(read_noise=noise)
    options = {"input_gain": 3.0, "recurrent_gain": 1.5, "decay": 0.8, "threshold": 1.2}
    liquid = ResistiveLiquid(7, 30, cells=cells, generator=seeded(), **options).to(dtype)
    events = (torch.rand(25, batch, 7, generator=seeded(1)) < 0.3).to(dtype)
    potential, spikes, found = torch.zeros(batch, 30, dtype=dtype), torch.zeros(batch, 30, dtype=dtype), []
    for event in events:
        before = 0.8 * potential + event @ liquid.input.weight.T + spikes @ liquid.recurrent.weight.T
        spikes = (before >= 1.2).to(dtype)
        potential = before * (1 - spikes)
        found.append(spikes)
    expected = torch.stack(found)
    assert 0.02 < float(expected.mean()) < 0.5
    assert torch.equal(liquid.spikes(events), expected)
    torch.testing.assert_close(liquid(events), expected.sum(0) / 25)


def test_gradients_reach_the_events() -> None:
    """The same gradient by the fused sequence and by the loop."""
    found = []
    for cells in (ResistiveCells(), ResistiveCells(read_noise=1e-9)):
        liquid = ResistiveLiquid(4, 12, cells=cells, input_gain=3.0, generator=seeded()).double()
        events = torch.rand(9, 2, 4, generator=seeded(1), dtype=torch.float64).requires_grad_()
        (liquid(events) * torch.arange(12)).sum().backward()
        found.append(events.grad)
    assert found[0].abs().max() > 0
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-6)


def test_gains_are_those_of_the_weights_however_they_came_into_the_cells() -> None:
    weights = (torch.randn(40, 20, generator=seeded()), torch.randn(40, 40, generator=seeded(1)))
    for options in ({}, {"weights": weights}, {"weights": weights, "cells": ResistiveCells(levels=2, stuck=0.1)}):
        liquid = ResistiveLiquid(20, 40, input_gain=2.0, recurrent_gain=0.7, generator=seeded(), **options)
        assert float(liquid.input.weight.square().mean().sqrt()) * math.sqrt(20) == pytest.approx(2.0, rel=1e-5)
        assert float(liquid.recurrent.weight.square().mean().sqrt()) * math.sqrt(40) == pytest.approx(0.7, rel=1e-5)


def test_the_spectrum_of_recurrent_weights_has_the_radius_of_the_gain() -> None:
    """Girko's circular law."""
    liquid = ResistiveLiquid(1, 400, recurrent_gain=1.3, generator=seeded())
    assert float(torch.linalg.eigvals(liquid.recurrent.weight).abs().max()) == pytest.approx(1.3, rel=0.06)


def test_nothing_is_learned_and_noise_comes_from_the_generator() -> None:
    liquid = ResistiveLiquid(6, 20, cells=ResistiveCells(read_noise=2.0), input_gain=3.0, generator=seeded())
    assert not list(liquid.parameters())
    events = (torch.rand(10, 3, 6, generator=seeded(1)) < 0.4).float()
    first, again, other = (liquid(events, generator=seeded(seed)) for seed in (2, 2, 3))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    copied = copy.deepcopy(liquid)
    copied.load_state_dict(liquid.state_dict())
    assert torch.equal(copied(events, generator=seeded(2)), first)


def test_the_loss_is_the_cross_entropy_of_both_directions() -> None:
    first, second = (nn.functional.normalize(torch.randn(9, 5, generator=seeded(seed)), dim=1) for seed in (0, 1))
    scores, places = first @ second.T / 0.3, torch.arange(9)
    both = (nn.functional.cross_entropy(scores, places) + nn.functional.cross_entropy(scores.T, places)) / 2
    torch.testing.assert_close(contrastive_loss(first, second, temperature=0.3), both)
    # Labels that are all different are no labels.
    torch.testing.assert_close(contrastive_loss(first, second, temperature=0.3, labels=places), both)


def test_with_labels_no_arrangement_beats_the_entropy_of_the_classes() -> None:
    """Classes on axes of their own: at low temperature the loss is the logarithm of a class's size."""
    labels = torch.arange(12) % 3
    vectors = torch.eye(3)[labels]
    best = float(contrastive_loss(vectors, vectors, temperature=0.01, labels=labels))
    assert best == pytest.approx(math.log(4), abs=1e-5)
    for seed in range(5):
        other = nn.functional.normalize(torch.randn(12, 3, generator=seeded(seed)), dim=1)
        assert float(contrastive_loss(other, other, temperature=0.01, labels=labels)) > best


def test_the_loss_has_the_right_gradient() -> None:
    values = [torch.randn(4, 3, dtype=torch.float64, generator=seeded(seed), requires_grad=True) for seed in (0, 1)]
    labels = torch.tensor([0, 1, 0, 2])
    assert torch.autograd.gradcheck(lambda a, b: contrastive_loss(a, b, temperature=0.5, labels=labels), values)


def test_projections_learn_to_match_two_views() -> None:
    """Two random linear views of the same points: partners are found among points never seen."""
    hidden = torch.randn(600, 4, generator=seeded())
    views = [hidden @ torch.randn(4, width, generator=seeded(seed)) for seed, width in ((1, 10), (2, 7))]
    projections = AlignedProjections(10, 7, dim=16, generator=seeded(3))
    optimiser = torch.optim.Adam(projections.parameters(), lr=0.01)
    for step in range(300):
        rows = torch.randint(500, (64,), generator=seeded(100 + step))
        loss = contrastive_loss(*projections(views[0][rows], views[1][rows]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    first, second = projections(views[0][500:], views[1][500:])
    torch.testing.assert_close(first.norm(dim=1), torch.ones(100))
    assert float(((first @ second.T).argmax(1) == torch.arange(100)).float().mean()) > 0.7


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: ResistiveCells(low=5, high=5), "low"),
        (lambda: ResistiveCells(levels=1), "levels"),
        (lambda: ResistiveCells(read_noise=-1), "read_noise"),
        (lambda: ResistiveCells(stuck=2), "stuck"),
        (lambda: ResistiveLinear(3, 0), "outputs"),
        (lambda: ResistiveLinear(3, 2, scale=0.0), "scale"),
        (lambda: ResistiveLinear(3, 2, cells=ResistiveCells(spread=0)), "spread"),
        (lambda: ResistiveLinear(3, 2, weight=torch.zeros(2, 2)), "weight"),
        (lambda: ResistiveLinear(3, 2, weight=torch.zeros(2, 3)).amplify(1.0), "weight"),
        (lambda: ResistiveLinear(3, 2)(torch.zeros(4, 2)), "inputs"),
        (lambda: ResistiveLiquid(3, 2, input_gain=0), "input_gain"),
        (lambda: ResistiveLiquid(3, 2, recurrent_gain=-1), "recurrent_gain"),
        (lambda: ResistiveLiquid(3, 2)(torch.zeros(4, 3)), "events"),
        (lambda: AlignedProjections(3, 2, dim=0), "dim"),
        (lambda: contrastive_loss(torch.zeros(3, 2), torch.zeros(2, 2)), "second"),
        (lambda: contrastive_loss(torch.eye(2), torch.eye(2), temperature=0), "temperature"),
        (lambda: contrastive_loss(torch.eye(2), torch.eye(2), labels=torch.zeros(3)), "labels"),
    ],
)
def test_bad_arguments_are_named(call, named) -> None:
    with pytest.raises(ValueError, match=named):
        call()


def test_rows_drawn_together_have_one_class_and_every_row_its_turn() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = [torch.randint(10, (90,), generator=generator), torch.arange(70) % 10]
    seen = torch.tensor([0, 3, 7])
    rows, classes = same_class_rows(labels, seen, 4000, generator=generator)
    for own, chosen in zip(labels, rows, strict=True):
        assert torch.equal(own[chosen], classes)
        counts = torch.bincount(chosen, minlength=len(own))
        assert torch.equal(counts > 0, torch.isin(own, seen))
    shares = torch.bincount(classes, minlength=10)[seen] / 4000
    torch.testing.assert_close(shares, torch.full((3,), 1 / 3), atol=0.03, rtol=0)


def test_a_class_that_one_kind_lacks_is_not_drawn() -> None:
    labels = [torch.tensor([0, 1, 2, 1]), torch.tensor([2, 0, 0])]
    rows, classes = same_class_rows(labels, torch.arange(4), 200, generator=torch.Generator().manual_seed(0))
    assert set(classes.tolist()) == {0, 2}
    assert torch.equal(labels[1][rows[1]], classes)
    with pytest.raises(ValueError, match="classes"):
        same_class_rows(labels, torch.tensor([1]), 5)


def test_matches_are_the_nearest_among_the_classes_that_count() -> None:
    labels = torch.arange(10).repeat(3)
    axes, swapped = torch.eye(10)[labels], torch.eye(10)[labels.where(labels < 8, 17 - labels)]
    two = torch.tensor([8, 9])
    assert match_accuracy(axes, axes, labels, labels, two) == 1.0
    assert match_accuracy(axes, swapped, labels, labels, two) == 0.0
    assert match_accuracy(axes, swapped, labels, labels, torch.arange(10)) == pytest.approx(0.8)
