"""The sharpness along training: against dense Hessians, in other coordinates, and as the end of stable steps."""

import pytest
import torch
from torch import nn

from replica.kernels import AbcParametrization, ResidualPerceptron, SharpnessTracker
from replica.training import Replicas


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def net(seed=0):
    return ResidualPerceptron(3, 2, 5, 2, activation=torch.tanh, generator=seeded(seed), dtype=torch.float64)


def batch():
    drawn = torch.randn(6, 5, generator=seeded(9), dtype=torch.float64)
    return drawn[:, :3], drawn[:, 3:]


def squared(model, inputs, targets):
    return (model(inputs) - targets).square().mean()


def test_sharpness_is_the_top_of_the_dense_hessian():
    nets = Replicas([net(seed) for seed in range(3)])
    tracker = SharpnessTracker(squared, [batch()], rates=0.3, generator=seeded(1), tolerance=1e-6)
    found = tracker.measure(nets)
    dense = torch.linalg.eigvalsh(nets.hessian(squared, [batch()]).dense())
    torch.testing.assert_close(found, 0.3 * dense[:, -1])
    assert tracker.last.converged.all()
    cold = tracker.last.products
    tracker.measure(nets)
    assert tracker.last.products < cold, "the next search starts where the last one ended"
    one = SharpnessTracker(squared, [batch()], rates=0.3, generator=seeded(2), tolerance=1e-6).measure(nets.model(1))
    torch.testing.assert_close(one, found[1])


def test_rate_times_sharpness_does_not_depend_on_how_a_training_is_written():
    start = AbcParametrization.mup(2)
    found = []
    for kind in (start, start.shifted(0.4)):
        model = kind.network(3, 2, 10, activation=torch.tanh, base_width=5, generator=seeded(), dtype=torch.float64)
        rates = {f"weights.{number}": group["lr"] for number, group in enumerate(model.parameter_groups(0.3))}
        found.append(
            SharpnessTracker(squared, [batch()], rates=rates, generator=seeded(1), tolerance=1e-6).measure(model)
        )
    torch.testing.assert_close(*found)


def test_descent_is_stable_below_two_and_not_above():
    """On a quadratic: one layer, linear outputs."""
    losses = {}
    for target in (1.9, 2.1):
        model = nn.Linear(3, 2, dtype=torch.float64, bias=False)
        nn.init.normal_(model.weight, generator=seeded(3))
        sharpness = SharpnessTracker(squared, [batch()], generator=seeded(), tolerance=1e-6).measure(model)
        optimiser = torch.optim.SGD(model.parameters(), lr=target / float(sharpness))
        start = float(squared(model, *batch()).detach())
        for _ in range(300):
            optimiser.zero_grad()
            squared(model, *batch()).backward()
            optimiser.step()
        losses[target] = float(squared(model, *batch()).detach()) / start
    assert losses[1.9] < 1.01
    assert losses[2.1] > 1e3


def test_a_replica_that_diverged_is_no_number_and_leaves_the_others_alone():
    nets = Replicas([net(seed) for seed in range(2)])
    tracker = SharpnessTracker(squared, [batch()], generator=seeded(1))
    before = tracker.measure(nets)
    with torch.no_grad():
        nets.parameters["readout_weight"][0] = torch.nan
    for _ in range(2):
        found = tracker.measure(nets)
        assert found[0].isnan()
        torch.testing.assert_close(found[1], before[1], rtol=1e-3, atol=0.0)
    assert not found.requires_grad


def test_wrong_arguments():
    with pytest.raises(ValueError, match="rates: got"):
        SharpnessTracker(squared, [batch()], rates=0.0, generator=seeded())
    with pytest.raises(ValueError, match="got none for"):
        SharpnessTracker(squared, [batch()], rates={"a": 1.0}, generator=seeded()).measure(net())
