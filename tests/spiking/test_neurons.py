"""Leaky integrate-and-fire neurons: closed forms, the loop written out, streams, gradients."""

import math

import pytest
import torch
from torch import Tensor

from replica.spiking import (
    ArcTangent,
    FastSigmoid,
    LeakyIntegrateAndFire,
    LeakyIntegrator,
    Logistic,
    RecurrentLeakyIntegrateAndFire,
    Triangle,
)

SURROGATES = (FastSigmoid(5.0), ArcTangent(), Logistic(), Triangle(0.7))
RESETS = ("subtract", "zero", "none")


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def plain(neurons: LeakyIntegrateAndFire, currents: Tensor) -> Tensor:
    """The equations of the docstring, one by one, under autograd."""
    potential, found = torch.zeros_like(currents[0]), []
    for current in currents:
        before = neurons.decay * potential + current
        spike = neurons.surrogate(before - neurons.threshold)
        passed = spike.detach() if neurons.detach_reset else spike
        potential = {
            "subtract": before - neurons.threshold * passed,
            "zero": before * (1 - passed),
            "none": before,
        }[neurons.reset]
        found.append(spike)
    return torch.stack(found)


@pytest.mark.parametrize("decay", [0.5, 0.9])
@pytest.mark.parametrize("current", [0.08, 0.3, 0.7])
def test_a_constant_current_gives_intervals_of_the_closed_form(decay: float, current: float) -> None:
    """From rest, u_t = I (1 − β^t)/(1 − β) reaches θ first at t = ⌈ln(1 − θ(1 − β)/I)/ln β⌉; after a reset to zero again."""
    spikes = LeakyIntegrateAndFire(decay=decay, reset="zero")(torch.full((100, 1, 1), current)).flatten()
    if current / (1 - decay) <= 1:
        assert not spikes.any()
        return
    interval = math.ceil(math.log(1 - (1 - decay) / current) / math.log(decay) - 1e-9)
    assert spikes.nonzero().flatten().tolist() == list(range(interval - 1, 100, interval))


def test_without_leak_charge_is_kept() -> None:
    """With β = 1 and a subtracting reset, spikes times θ is the charge that came in, but for the rest."""
    currents = torch.rand(200, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    spikes, before = LeakyIntegrateAndFire(decay=1.0).double().run(currents * 0.9)
    rest = before[-1] - spikes[-1]
    torch.testing.assert_close(spikes.sum(0) + rest, 0.9 * currents.sum(0))


@pytest.mark.parametrize("surrogate", SURROGATES)
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("detach", [False, True])
@pytest.mark.parametrize("units", [None, 5])
def test_the_fused_loop_is_the_loop_written_out(surrogate, reset, detach, units) -> None:
    neurons = LeakyIntegrateAndFire(
        units, decay=0.8, threshold=0.9, reset=reset, surrogate=surrogate, detach_reset=detach, learn_decay=True
    ).double()
    currents, weights = drawn(20, 3, 5), drawn(20, 3, 5, seed=1).detach()
    ours, theirs = neurons(currents), plain(neurons, currents)
    assert torch.equal(ours, theirs)
    wanted = torch.autograd.grad((theirs * weights).sum(), [currents, neurons.decay_logit], allow_unused=True)
    found = torch.autograd.grad((ours * weights).sum(), [currents, neurons.decay_logit])
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("surrogate", SURROGATES)
def test_a_surrogate_is_the_slope_of_its_smooth_step(surrogate) -> None:
    x = torch.linspace(-3, 3, 41, dtype=torch.float64).add(0.01).requires_grad_()
    (slope,) = torch.autograd.grad(surrogate.smooth(x).sum(), x)
    torch.testing.assert_close(slope, surrogate.derivative(x.detach()))
    (passed,) = torch.autograd.grad(surrogate(x).sum(), x)
    torch.testing.assert_close(passed, slope)
    assert surrogate(x).unique().tolist() == [0, 1]
    assert surrogate.derivative(x.detach()).argmax() == x.detach().abs().argmin()


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("detach", [False, True])
def test_recurrent_neurons_are_their_steps(reset, detach) -> None:
    neurons = RecurrentLeakyIntegrateAndFire(
        6, reset=reset, detach_reset=detach, generator=torch.Generator().manual_seed(0)
    ).double()
    currents, weights = drawn(15, 3, 6), drawn(15, 3, 6, seed=1).detach()
    state, found = None, []
    for current in currents:
        spikes, state = neurons.step(current, state)
        found.append(spikes)
    streamed = torch.stack(found)
    assert torch.equal(neurons(currents), streamed)
    wanted = torch.autograd.grad((streamed * weights).sum(), [currents, neurons.weight])
    ours = torch.autograd.grad((neurons(currents) * weights).sum(), [currents, neurons.weight])
    for one, other in zip(ours, wanted, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("reset", RESETS)
def test_a_stream_gives_what_the_sequence_gives(reset) -> None:
    neurons = LeakyIntegrateAndFire(decay=0.7, reset=reset)
    currents = drawn(30, 2, 4).detach().float()
    potential, found = None, []
    for current in currents:
        spikes, potential = neurons.step(current, potential)
        found.append(spikes)
    assert torch.equal(neurons(currents), torch.stack(found))
    first, _ = neurons.run(currents[:10])
    middle = None
    for current in currents[:10]:
        _, middle = neurons.step(current, middle)
    second, _ = neurons.run(currents[10:], middle)
    assert torch.equal(torch.cat([first, second]), neurons(currents))


def test_the_integrator_is_a_running_mean() -> None:
    currents = drawn(12, 2, 3)
    readout = LeakyIntegrator(0.8)
    potential, found = torch.zeros(2, 3, dtype=torch.float64), []
    for current in currents:
        potential = 0.8 * potential + 0.2 * current
        found.append(potential)
    torch.testing.assert_close(readout(currents), torch.stack(found))
    assert torch.autograd.gradcheck(readout, (currents,))
    assert torch.autograd.gradgradcheck(readout, (currents,))


def test_shapes_dtypes_and_wrong_arguments() -> None:
    for shape in ((7, 1), (7, 2, 3), (7, 2, 3, 4, 5), (1, 2, 3)):
        for dtype in (torch.float32, torch.float64):
            spikes = LeakyIntegrateAndFire()(torch.ones(shape, dtype=dtype))
            assert spikes.shape == shape
            assert spikes.dtype == dtype
    strided = torch.rand(4, 5, 6).permute(2, 0, 1)
    assert torch.equal(LeakyIntegrateAndFire()(strided), LeakyIntegrateAndFire()(strided.contiguous()))
    for wrong, name in (
        (lambda: LeakyIntegrateAndFire(decay=1.2), "decay"),
        (lambda: LeakyIntegrateAndFire(threshold=0.0), "threshold"),
        (lambda: LeakyIntegrateAndFire(reset="soft"), "reset"),
        (lambda: LeakyIntegrateAndFire(0), "units"),
        (lambda: LeakyIntegrateAndFire(4)(torch.ones(3, 2, 5)), "currents"),
        (lambda: LeakyIntegrator(1.0), "decay"),
        (lambda: RecurrentLeakyIntegrateAndFire(0), "units"),
        (lambda: RecurrentLeakyIntegrateAndFire(3)(torch.ones(2, 2, 2)), "currents"),
        (lambda: FastSigmoid(0.0), "slope"),
        (lambda: ArcTangent(-1.0), "slope"),
        (lambda: Logistic(0.0), "slope"),
        (lambda: Triangle(0.0), "width"),
    ):
        with pytest.raises(ValueError, match=name):
            wrong()


def test_a_call_keeps_one_tensor_of_the_inputs_size() -> None:
    """What a call keeps for its backward pass: u, and no graph of steps."""
    kept: list[int] = []

    def pack(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    currents = torch.rand(50, 4, 8, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        LeakyIntegrateAndFire()(currents)
    assert sum(kept) <= currents.numel() + 1
