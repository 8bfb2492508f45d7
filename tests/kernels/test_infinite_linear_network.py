"""The infinitely wide linear network against wide ones, its equations, and kernel descent where features stand still."""

import math

import pytest
import torch

from replica.kernels import AbcParametrization, InfiniteLinearNetwork

INPUTS, OUTPUTS = 5, 2


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def rows(count=12):
    inputs = torch.randn(count, INPUTS, generator=seeded(1), dtype=torch.float64)
    return inputs, inputs[:, :OUTPUTS].sin() + 1


def descend(net, optimiser, steps=6):
    inputs, targets = rows()
    for _ in range(steps):
        optimiser.zero_grad()
        (net(inputs) - targets).square().sum(1).mean().backward()
        optimiser.step()
    return net(inputs).detach()


def trained(net, rate=0.2, **options):
    return descend(net, torch.optim.SGD(net.parameters(), rate, **options))


def test_one_step_of_a_very_wide_network():
    limit = InfiniteLinearNetwork(INPUTS, OUTPUTS, dtype=torch.float64)
    wide = AbcParametrization.mup(1).network(
        INPUTS, OUTPUTS, 65_536, activation=lambda x: x, generator=seeded(), dtype=torch.float64
    )
    expected = descend(limit, torch.optim.SGD(limit.parameters(), 0.2), 1)
    found = descend(wide, torch.optim.SGD(wide.parameter_groups(0.2)), 1)
    assert float((found - expected).norm() / expected.norm()) < 5 / math.sqrt(65_536)


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9, "weight_decay": 0.1}])
@pytest.mark.parametrize("bias", [0.0, 0.7])
def test_finite_networks_tend_to_it_as_one_over_the_root_of_width(bias, options):
    limit = InfiniteLinearNetwork(INPUTS, OUTPUTS, readout_scale=0.5, bias=bias, dtype=torch.float64)
    expected = trained(limit, 0.05, **options)
    errors = []
    for width in (64, 4096):
        fresh = InfiniteLinearNetwork(INPUTS, OUTPUTS, readout_scale=0.5, bias=bias, dtype=torch.float64)
        runs = [trained(fresh.sample(width, seeded(seed)), 0.05, **options) for seed in range(40)]
        errors.append(math.sqrt(sum(float((run - expected).square().sum()) for run in runs)))
    # Sixty-four times the width: an eighth of the error.
    assert errors[0] / errors[1] == pytest.approx(8, rel=0.3)


def test_a_step_is_that_of_the_papers_equations():
    limit = InfiniteLinearNetwork(INPUTS, OUTPUTS, dtype=torch.float64)
    features, readout = limit.features.detach().clone(), limit.readout.detach().clone()
    inputs, targets = rows(1)
    assert not limit(inputs).any()  # directions of inputs and outputs are orthogonal
    chi = 2 * (limit(inputs) - targets).detach()  # derivative of the loss in the output
    descend_once = torch.optim.SGD(limit.parameters(), 0.3)
    (limit(inputs) - targets).square().sum().backward()
    descend_once.step()
    # Z^u ← Z^u − η χ ξ Z^v and Z^v ← Z^v − η χ ξ Z^u, in coordinates.
    torch.testing.assert_close(limit.features.detach(), features - 0.3 * readout.T @ chi.T @ inputs)
    torch.testing.assert_close(limit.readout.detach(), readout - 0.3 * chi.T @ (inputs @ features.T))


def test_its_state_can_be_sampled_after_training():
    limit = InfiniteLinearNetwork(INPUTS, OUTPUTS, dtype=torch.float64)
    output = trained(limit)
    wide = limit.sample(40_000, seeded())
    assert float((wide(rows()[0]) - output).norm() / output.norm()) < 0.05


def test_large_starts_learn_as_a_kernel_does():
    # With σ_u = σ_v = s large and the rate over s², features hardly move: the output is that of descent with kernel 2 s² x·x'.
    scale = 300.0
    limit = InfiniteLinearNetwork(INPUTS, OUTPUTS, feature_scale=scale, readout_scale=scale, dtype=torch.float64)
    found = trained(limit, 0.1 / (2 * scale**2))
    inputs, targets = rows()
    output = torch.zeros_like(targets)
    for _ in range(6):
        output = output - 0.1 * inputs @ inputs.T @ (2 * (output - targets) / len(inputs))
    torch.testing.assert_close(found, output, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: InfiniteLinearNetwork(0, 1), "inputs: got 0"),
        (lambda: InfiniteLinearNetwork(1, 1, readout_scale=-1.0), "readout_scale: got -1"),
        (lambda: InfiniteLinearNetwork(1, 1).sample(0, seeded()), "width: got 0"),
    ],
)
def test_wrong_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
