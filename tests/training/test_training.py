import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from replica.training import Minibatches, fit, mean_loss, mlp, split_indices


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def squared(model, inputs, targets):
    return (model(inputs) - targets).square().mean()


def line(count=64, noise=0.0):
    inputs = torch.linspace(-1, 1, count)[:, None]
    return inputs, 3 * inputs + 1 + noise * torch.randn(count, 1, generator=seeded(9))


def test_full_batches_are_plain_gradient_descent():
    inputs, targets = line()
    model, twin = (mlp((1, 8, 1), activation=nn.Tanh, generator=seeded()) for _ in range(2))
    history = fit(
        model,
        squared,
        Minibatches(inputs, targets, size=64),
        optimiser=torch.optim.SGD(model.parameters(), 0.1),
        steps=20,
    )
    losses = []
    for _ in range(20):
        loss = squared(twin, inputs, targets)
        losses.append(loss.item())
        for parameter, slope in zip(twin.parameters(), torch.autograd.grad(loss, list(twin.parameters())), strict=True):
            parameter.data -= 0.1 * slope
    assert history.losses == pytest.approx(losses, rel=1e-5)
    assert history.steps == history.best_step == 20
    assert math.isnan(history.best_score)
    assert not model.training
    for ours, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_same_generators_same_numbers_and_global_state_untouched():
    inputs, targets = line(noise=0.1)
    before = torch.get_rng_state()

    def run(seed):
        model = mlp((1, 8, 1), generator=seeded(seed))
        batches = Minibatches(inputs, targets, size=10, generator=seeded(seed))
        return fit(model, squared, batches, optimiser=torch.optim.Adam(model.parameters()), steps=30).losses

    assert run(0) == run(0)
    assert run(0) != run(1)
    assert torch.equal(torch.get_rng_state(), before)


def test_validation_keeps_the_best_weights_and_patience_stops():
    scores = iter([5.0, 3.0, 1.0, 2.0, 4.0, 0.5])
    seen = []
    model = nn.Linear(1, 1)

    def validate():
        assert not model.training
        assert not torch.is_grad_enabled()
        seen.append(model.weight.detach().clone())
        return next(scores)

    history = fit(
        model,
        squared,
        Minibatches(*line(), size=64),
        optimiser=torch.optim.SGD(model.parameters(), 0.01),
        steps=100,
        validate=validate,
        every=10,
        patience=2,
    )
    assert history.stopped_early
    assert history.scores == [(0, 5.0), (10, 3.0), (20, 1.0), (30, 2.0), (40, 4.0)]
    assert (history.steps, history.best_step, history.best_score) == (40, 20, 1.0)
    assert torch.equal(model.weight, seen[2])


def test_clipping_schedule_and_hook():
    model = nn.Linear(1, 1)
    optimiser = torch.optim.SGD(model.parameters(), 1.0)
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, 1, 0.5)
    path = [torch.cat([p.detach().flatten() for p in model.parameters()])]

    def record(step):
        assert step == len(path)
        path.append(torch.cat([p.detach().flatten() for p in model.parameters()]))

    fit(
        model,
        lambda model, x, y: 1e6 * squared(model, x, y),
        Minibatches(*line(), size=64),
        optimiser=optimiser,
        schedule=schedule,
        steps=4,
        clip_norm=0.1,
        after_step=record,
    )
    moves = [float((b - a).norm()) for a, b in pairwise(path)]
    assert moves == pytest.approx([0.1, 0.05, 0.025, 0.0125], rel=1e-3)


def test_an_epoch_holds_every_row_once_and_epochs_differ():
    batches = Minibatches(torch.arange(10), -torch.arange(10), size=4, generator=seeded())
    epochs = [list(batches) for _ in range(3)]
    assert len(batches) == 3
    orders = [torch.cat([first for first, _ in epoch]).tolist() for epoch in epochs]
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert orders[0] != orders[1] != orders[2]
    assert all(torch.equal(first, -second) for epoch in epochs for first, second in epoch)
    assert [rows.tolist() for (rows,) in Minibatches(torch.arange(3), size=2)] == [[0, 1], [2]]


@pytest.mark.parametrize(("count", "fractions"), [(10, (0.5, 0.5)), (17, (0.6, 0.2, 0.2)), (9, (0.3,))])
def test_parts_are_disjoint(count, fractions):
    parts = split_indices(count, fractions, seeded())
    rows = torch.cat(parts).tolist()
    assert len(set(rows)) == len(rows) == round(count * sum(fractions))
    assert [len(part) for part in parts] == pytest.approx([count * f for f in fractions], abs=1)


def test_mean_loss_weights_batches_by_rows():
    model = nn.Linear(1, 1)
    inputs, targets = line(10, 1.0)
    whole = squared(model, inputs, targets).item()
    assert mean_loss(model, squared, Minibatches(inputs, targets, size=4)) == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_mlp_layers_and_spread(dtype):
    net = mlp((100, 50, 2), end=nn.Tanh, generator=seeded(), dtype=dtype)
    assert [type(layer).__name__ for layer in net] == ["Linear", "ReLU", "Linear", "Tanh"]
    first = net[0].weight
    assert first.dtype == dtype
    assert first.abs().max() <= 0.1
    assert float(first.detach().std()) == pytest.approx(0.1 / math.sqrt(3), rel=0.05)
    assert mlp((3, 1), bias=False)[0].bias is None


def test_mistakes_are_named():
    model, batches = nn.Linear(1, 1), Minibatches(*line(), size=8)
    descent = torch.optim.SGD(model.parameters(), 0.1)
    for name, call in (
        ("steps", lambda: fit(model, squared, batches, optimiser=descent, steps=0)),
        ("every", lambda: fit(model, squared, batches, optimiser=descent, steps=1, every=0)),
        ("patience", lambda: fit(model, squared, batches, optimiser=descent, steps=1, patience=3)),
        ("batches", lambda: fit(model, squared, [], optimiser=descent, steps=1)),
        ("batches", lambda: fit(model, squared, iter(list(batches)), optimiser=descent, steps=99)),
        ("batches", lambda: mean_loss(model, squared, [])),
        ("tensors", lambda: Minibatches(torch.zeros(3), torch.zeros(4), size=2)),
        ("tensors", lambda: Minibatches(size=2)),
        ("size", lambda: Minibatches(torch.zeros(3), size=0)),
        ("fractions", lambda: split_indices(10, (0.9, 0.2), seeded())),
        ("fractions", lambda: split_indices(3, (0.1, 0.9), seeded())),
        ("sizes", lambda: mlp((3,))),
    ):
        with pytest.raises(ValueError, match=f"^{name}: got .*want .*"):
            call()


def test_divergence_is_an_error_not_a_number():
    model = nn.Linear(1, 1)
    with pytest.raises(FloatingPointError, match="step"):
        fit(
            model,
            squared,
            Minibatches(*line(), size=64),
            optimiser=torch.optim.SGD(model.parameters(), 1e9),
            steps=100,
        )
    model = nn.Linear(1, 1)
    with pytest.raises(FloatingPointError, match="validation"):
        fit(
            model,
            squared,
            Minibatches(*line(), size=64),
            optimiser=torch.optim.SGD(model.parameters(), 0.1),
            steps=10,
            validate=lambda: float("nan"),
        )
