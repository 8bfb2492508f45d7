"""Delayed synapses: shifts written out, the authors' kernel, convolutions, streams, gradients."""

import math

import pytest
import torch
from torch import Tensor, nn

from replica.spiking import DelayedLinear, DelayedSpikingNetwork, LeakyIntegrator, NarrowingSchedule
from replica.spiking.delayed_linear import convolve_spectrum, convolve_taps
from replica.training import fit


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=seeded(seed))


def shifted(layer: DelayedLinear, inputs: Tensor) -> Tensor:
    """Each synapse by itself: its input, so many steps late, times its weight."""
    outputs = torch.zeros(*inputs.shape[:2], layer.out_features, dtype=inputs.dtype)
    for o in range(layer.out_features):
        for i in range(layer.in_features):
            late = int(layer.delay[o, i].round())
            for t in range(late, len(inputs)):
                outputs[t, :, o] += layer.weight[o, i] * inputs[t - late, :, i]
    return outputs


def written_out_kernel(layer: DelayedLinear) -> Tensor:
    """The formula of the docstring, one number at a time."""
    kernel = torch.zeros(layer.out_features, layer.in_features, layer.max_delay + 1, dtype=torch.float64)
    sigma = float(layer.sigma)
    for o, i in torch.cartesian_prod(torch.arange(layer.out_features), torch.arange(layer.in_features)).tolist():
        taps = [
            math.exp(-((k - float(layer.delay.detach()[o, i])) ** 2) / (2 * sigma**2))
            for k in range(layer.max_delay + 1)
        ]
        for k, tap in enumerate(taps):
            kernel[o, i, k] = float(layer.weight.detach()[o, i]) * tap / sum(taps)
    return kernel


@pytest.mark.parametrize(("time", "batch", "max_delay"), [(1, 1, 3), (9, 2, 4), (5, 3, 11), (12, 1, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rounded_delays_are_shifts_exactly(time: int, batch: int, max_delay: int, dtype: torch.dtype) -> None:
    """Weights that are multiples of 1/8 and spikes leave no rounding error: every bit is the same."""
    layer = DelayedLinear(4, 3, max_delay, generator=seeded()).to(dtype).eval()
    with torch.no_grad():
        layer.weight.mul_(8).round_().div_(8)
    spikes = (torch.rand(time, batch, 4, generator=seeded(1)) < 0.4).to(dtype)
    with torch.no_grad():
        assert torch.equal(layer(spikes), shifted(layer, spikes))
        layer.discretise()
        assert torch.equal(layer.delay, layer.delay.round())
        assert torch.equal(layer(spikes), shifted(layer, spikes))
        # With no width left, training hears the same, to rounding where it goes by frequencies.
        torch.testing.assert_close(layer.train()(spikes), shifted(layer, spikes))


@pytest.mark.parametrize("sigma", [0.1, 0.5, 3.0])
def test_the_kernel_is_the_formula(sigma: float) -> None:
    layer = DelayedLinear(3, 4, 6, sigma=sigma, generator=seeded()).double()
    torch.testing.assert_close(layer.kernel().contiguous(), written_out_kernel(layer))
    # A tap's weight is spread, and none of it lost.
    torch.testing.assert_close(layer.kernel().sum(2), layer.weight)


def test_the_layer_is_pytorchs_convolution_with_its_kernel() -> None:
    layer, inputs = DelayedLinear(3, 5, 7, bias=True, generator=seeded()).double(), drawn(30, 4, 3)
    with torch.no_grad():
        layer.bias.copy_(drawn(5))
    padded = nn.functional.pad(inputs.permute(1, 2, 0), (7, 0))
    expected = nn.functional.conv1d(padded, layer.kernel().flip(2), layer.bias).permute(2, 0, 1)
    torch.testing.assert_close(layer(inputs), expected)
    layer.rounds = False
    torch.testing.assert_close(layer.eval()(inputs), expected)


@pytest.mark.parametrize(("time", "taps"), [(1, 1), (1, 4), (2, 3), (7, 4), (8, 4), (40, 13)])
def test_both_ways_of_computing_agree_forward_and_backward(time: int, taps: int) -> None:
    inputs, weights = drawn(time, 3, 2).requires_grad_(), drawn(taps, 2, 5, seed=1).requires_grad_()
    one, other = convolve_taps(inputs, weights), convolve_spectrum(inputs, weights)
    torch.testing.assert_close(one, other)
    for found, wanted in zip(
        torch.autograd.grad(one.square().sum(), [inputs, weights]),
        torch.autograd.grad(other.square().sum(), [inputs, weights]),
        strict=True,
    ):
        torch.testing.assert_close(found, wanted)
    assert torch.autograd.gradcheck(convolve_taps, (inputs, weights))


def test_long_sequences_keep_single_precision() -> None:
    inputs, weights = torch.randn(1500, 1, 2, generator=seeded()), torch.randn(60, 2, 2, generator=seeded(1))
    exact = convolve_taps(inputs.double(), weights.double())
    error = (convolve_spectrum(inputs, weights) - exact).abs().max() / exact.abs().max()
    assert error < 2e-6


@pytest.mark.parametrize(("time", "max_delay", "units"), [(30, 9, 6), (6, 2, 2)])
def test_gradients_of_weights_and_delays(time: int, max_delay: int, units: int) -> None:
    layer, inputs = DelayedLinear(units, 3, max_delay, sigma=0.8, generator=seeded()).double(), drawn(time, 2, units)

    def call(weight: Tensor, delay: Tensor) -> Tensor:
        return torch.func.functional_call(layer, {"weight": weight, "delay": delay}, (inputs,))

    start = (
        drawn(3, units, seed=2).requires_grad_(),
        (1 + drawn(3, units, seed=3).sigmoid()).detach().requires_grad_(),
    )
    assert torch.autograd.gradcheck(call, start)


def test_a_stream_is_the_sequence() -> None:
    for training in (True, False):
        layer, inputs = DelayedLinear(3, 4, 5, bias=True, generator=seeded()).double().train(training), drawn(12, 2, 3)
        past, found = None, []
        for current in inputs:
            output, past = layer.step(current, past)
            found.append(output)
        torch.testing.assert_close(torch.stack(found), layer(inputs))
        assert past.shape == (5, 2, 3)


def test_without_delays_it_is_a_linear_layer() -> None:
    layer, inputs = DelayedLinear(3, 4, 0, generator=seeded()), torch.randn(5, 2, 3, generator=seeded())
    torch.testing.assert_close(layer(inputs), inputs @ layer.weight.T)
    assert not layer.learns_delays
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    output, past = layer.step(inputs[0])
    torch.testing.assert_close(output, layer(inputs)[0])
    assert past.shape == (0, 2, 3)


def test_fixed_delays_are_whole_and_have_no_width() -> None:
    layer = DelayedLinear(4, 3, 6, learn_delays=False, generator=seeded()).double()
    assert torch.equal(layer.delay, layer.delay.round())
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    spikes = (torch.rand(20, 2, 4, generator=seeded(1)) < 0.3).double()
    torch.testing.assert_close(layer.train()(spikes), shifted(layer, spikes))


def test_delays_come_back_into_range() -> None:
    layer = DelayedLinear(2, 2, 5, generator=seeded())
    with torch.no_grad():
        layer.delay.copy_(torch.tensor([[-3.0, 9.0], [2.0, 5.4]]))
    assert torch.equal(layer.rounded_delays(), torch.tensor([[0.0, 5.0], [2.0, 5.0]]))
    layer(torch.ones(3, 1, 2))
    assert torch.equal(layer.delay.detach(), torch.tensor([[0.0, 5.0], [2.0, 5.0]]))
    # Twice in one graph: bringing them back disturbs no gradient.
    (layer(torch.ones(3, 1, 2)) + layer(torch.ones(3, 1, 2))).sum().backward()


def test_a_single_delay_is_found_from_far_with_wide_taps_alone() -> None:
    """One synapse of delay 2 is to become 15: narrow taps have no gradient there, narrowing ones lead to it."""
    generator = seeded()
    inputs = (torch.rand(60, 20, 1, generator=generator) < 0.1).float()
    target = torch.cat([inputs.new_zeros(15, 20, 1), inputs[:-15]])
    found = {}
    for start in (10.0, 0.5):
        layer = DelayedLinear(1, 1, 20, sigma=start)
        with torch.no_grad():
            layer.delay.fill_(2.0), layer.weight.fill_(1.0)
        schedule = NarrowingSchedule(start)
        optimiser = torch.optim.Adam([{"params": [layer.weight], "lr": 0.01}, {"params": [layer.delay], "lr": 0.3}])
        fit(
            layer, lambda layer, inputs, target: (layer(inputs) - target).square().mean(), [(inputs, target)],
            optimiser=optimiser, steps=200, after_step=lambda step, s=schedule, one=layer: s.apply(one, step / 200),
        )  # fmt: skip
        found[start] = float(layer.rounded_delays())
    assert found[10.0] == 15
    assert found[0.5] != 15


def test_the_schedule_is_geometric_and_stays() -> None:
    schedule = NarrowingSchedule(12.0, 0.5, share=0.25)
    widths = [schedule(progress) for progress in (0.0, 0.1, 0.2, 0.25, 1.0)]
    assert widths[0] == 12
    assert widths[3] == widths[4] == pytest.approx(0.5)
    assert widths[1] / widths[0] == pytest.approx(widths[2] / widths[1])
    network = DelayedSpikingNetwork(3, (4,), 2, max_delay=4)
    schedule.apply(network, 1.0)
    assert [float(layer.sigma) for layer in network.synapses] == [0.5, 0.5]


def plain_network(network: DelayedSpikingNetwork, events: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Layer by layer and step by step, with shifts, stored statistics and single neurons' equations."""
    carried, spikes = torch.cat([events, events.new_zeros(network.silence, *events.shape[1:])]), []
    for layer, norm in zip(network.synapses, network.norms, strict=False):
        currents = shifted(layer, carried)
        currents = (currents - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias
        potential, fired = torch.zeros_like(currents[0]), []
        for current in currents:
            potential = network.neurons.decay * potential + current
            fired.append((potential >= 1).to(events.dtype))
            potential = potential * (1 - fired[-1])
        carried = torch.stack(fired)
        spikes.append(carried)
    return LeakyIntegrator(network.read_out.decay)(shifted(network.synapses[-1], carried)), spikes


def test_the_network_is_its_layers_written_out_and_its_additions_are_counted_one_by_one() -> None:
    network = DelayedSpikingNetwork(4, (6, 5), 3, max_delay=4, decay=0.7, generator=seeded()).double()
    events = (torch.rand(12, 3, 4, generator=seeded(1)) < 0.3).double()
    for _ in range(5):
        network(events)  # the statistics of normalisation
    network.eval()
    with torch.no_grad():
        potentials, spikes = network.run(events)
        expected, fired = plain_network(network, events)
    torch.testing.assert_close(potentials, expected)
    assert all(torch.equal(one, other) for one, other in zip(spikes, fired, strict=True))
    assert all(each.any() for each in spikes)
    counted = network.operations(events)
    assert counted.spikes == float(sum(each.sum() for each in fired))
    assert counted.additions == float(events.sum() * 6 + fired[0].sum() * 5 + fired[1].sum() * 3)
    assert counted.dense == (12 + network.silence) * 3 * (4 * 6 + 6 * 5 + 5 * 3)


def test_delays_have_a_rate_of_their_own() -> None:
    network = DelayedSpikingNetwork(4, (6,), 3, max_delay=4)
    weights, delays = network.parameter_groups(1e-3, delay_rate=50)
    assert delays["lr"] == pytest.approx(0.05)
    assert delays["weight_decay"] == 0
    assert [tuple(each.shape) for each in delays["params"]] == [(6, 4), (3, 6)]
    assert sum(len(group["params"]) for group in (weights, delays)) == len(list(network.parameters()))
    assert len(DelayedSpikingNetwork(4, (6,), 3, max_delay=4, learn_delays=False).parameter_groups(1e-3)) == 1


def test_one_recording_of_one_step_can_be_learned_from() -> None:
    network = DelayedSpikingNetwork(4, (6,), 3, max_delay=0)
    assert torch.isfinite(network(torch.ones(1, 1, 4))).all()


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: DelayedLinear(0, 1, 1), "in_features"), (lambda: DelayedLinear(1, 1, -1), "max_delay"),
        (lambda: DelayedLinear(1, 1, 1, sigma=-0.5), "sigma"), (lambda: DelayedLinear(2, 1, 1)(torch.ones(3, 2)), "inputs"),
        (lambda: DelayedLinear(2, 1, 1)(torch.ones(3, 1, 3)), "inputs"),
        (lambda: DelayedLinear(2, 1, 1).step(torch.ones(3, 1, 2)), "current"),
        (lambda: NarrowingSchedule(0.0), "start"), (lambda: NarrowingSchedule(1.0, share=-1.0), "share"),
        (lambda: DelayedSpikingNetwork(2, (3,), 2, max_delay=1, dropout=1.0), "dropout"),
        (lambda: DelayedSpikingNetwork(2, (3,), 2, max_delay=1, silence=-1), "silence"),
        (lambda: DelayedSpikingNetwork(2, (3,), 2, max_delay=1)(torch.ones(3, 2)), "events"),
    ],
)  # fmt: skip
def test_bad_arguments_are_named(call, named: str) -> None:
    with pytest.raises(ValueError, match=rf"^{named}: got .*, want "):
        call()
