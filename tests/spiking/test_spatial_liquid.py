"""The spatial liquid beside its rules written out synapse by synapse, closed forms, and known networks."""

import math

import pytest
import torch
from torch import Tensor

from replica.spiking import (
    Astrocyte,
    SpatialLiquid,
    SpikeTimingPlasticity,
    branching_factor,
    local_branching_factor,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small(inputs: int = 6, **options: object) -> SpatialLiquid:
    return SpatialLiquid(
        inputs, (3, 3, 2), input_density=0.6, threshold=4.0, generator=generator(), **options  # type: ignore[arg-type]
    ).double()  # fmt: skip


def some_events(steps: int, batch: int, inputs: int = 6, rate: float = 0.3, seed: int = 1) -> Tensor:
    return (torch.rand(steps, batch, inputs, generator=generator(seed)) < rate).double()


def written_out(
    liquid: SpatialLiquid, events: Tensor, rule: SpikeTimingPlasticity, weights: Tensor
) -> tuple[Tensor, Tensor, list[float]]:
    """One recording (time, inputs), with a dense matrix of weights and one synapse after the other."""
    n, connected = liquid.neurons, liquid.connected
    w, v, c = weights.clone(), torch.zeros(n).double(), torch.zeros(n).double()
    last, trace = [-math.inf] * n, torch.zeros(n + liquid.inputs).double()
    gain, loss = rule.potentiation, rule.depression if rule.astrocyte is None else rule.astrocyte.rest
    share, spikes, levels = 1.0, [], []
    for t, given in enumerate(events):
        s = torch.tensor([float(v[i] >= liquid.threshold and t - last[i] > liquid.refractory) for i in range(n)])
        s = s.double()
        for i in range(n):
            if s[i]:
                last[i], v[i] = t, 0.0
        both = torch.cat([s, given])
        c = c * math.exp(-1 / liquid.synaptic_time) + w @ both / liquid.synaptic_time
        v = v * (1 - 1 / liquid.membrane_time) + c
        for i, j in connected.nonzero().tolist():
            inhibitory = liquid.excitatory <= j < n
            low, high = (0 if j < liquid.excitatory else -liquid.largest), (0 if inhibitory else liquid.largest)
            change = (gain if inhibitory else -loss) * trace[i] * (both[j] != 0)
            change += (-loss if inhibitory else gain) * trace[j] * s[i]
            w[i, j] = (w[i, j] + change).clamp(low, high)
        trace = (trace + rule.trace_step * (both != 0)) * math.exp(-1 / rule.trace_time)
        if rule.astrocyte is not None:
            cell = rule.astrocyte
            drive = share * (cell.coupling * float(s.sum() - (given != 0).sum()) + cell.rest)
            loss = loss + (drive - loss) / cell.time
        gain, loss, share = gain * rule.rate_decay, loss * rule.rate_decay, share * rule.rate_decay
        spikes.append(s)
        levels.append(float(loss))
    return torch.stack(spikes), w, levels


@pytest.mark.parametrize("astrocyte", [None, Astrocyte(0.1, rest=0.3, time=7.0)])
@pytest.mark.parametrize("decay", [1.0, 0.97])
def test_plasticity_is_the_written_out_one(astrocyte: Astrocyte | None, decay: float) -> None:
    liquid = small(refractory=1, synaptic_time=1.5)
    events = some_events(40, 2)
    events[3, 0, 2] = 3.0  # a count
    rule = SpikeTimingPlasticity(0.5, 0.2, astrocyte, trace_time=4.0, trace_step=0.3, rate_decay=decay)
    found = liquid.adapt(events, rule)
    assert found.spikes.sum() > 50
    for row in range(2):
        spikes, weights, levels = written_out(liquid, events[:, row], rule, liquid.weight)
        torch.testing.assert_close(found.spikes[:, row], spikes)
        torch.testing.assert_close(found.weights[row], weights[liquid.connected])
        torch.testing.assert_close(found.depression[:, row], torch.tensor(levels).double())
    assert not torch.allclose(found.weights[0], found.weights[1])


def test_settling_is_one_recording_after_the_other() -> None:
    liquid, rule = small(), SpikeTimingPlasticity(0.3, astrocyte=Astrocyte(0.05))
    recordings = some_events(25, 3).transpose(0, 1)
    expected = liquid.weight
    for events in recordings:
        expected = written_out(liquid, events, rule, expected)[1]
    before = liquid.weight.clone()
    settled = liquid.settle(recordings, rule)
    torch.testing.assert_close(settled[0], expected[liquid.connected])
    assert torch.equal(before, liquid.weight)
    liquid.set_weights(settled[0])
    torch.testing.assert_close(liquid.weight, expected)


def test_networks_side_by_side_do_not_meet() -> None:
    """Each with its own start and its own numbers."""
    liquid, recordings = small(), some_events(20, 3).transpose(0, 1)
    starts = torch.stack([liquid.synaptic_weights(scale) for scale in (1.0, 2.5)])
    couplings = torch.tensor([0.0, 0.2]).double()
    together = liquid.settle(recordings, SpikeTimingPlasticity(astrocyte=Astrocyte(couplings)), starts)
    for i in range(2):
        alone = SpikeTimingPlasticity(astrocyte=Astrocyte(float(couplings[i])))
        torch.testing.assert_close(together[i : i + 1], liquid.settle(recordings, alone, starts[i : i + 1]))
    # Without coupling the astrocyte rests: depression is fixed.
    fixed = liquid.settle(recordings, SpikeTimingPlasticity(0.15, 0.15), starts[:1])
    torch.testing.assert_close(together[:1], fixed)


def test_without_rates_the_plastic_run_is_the_static_one() -> None:
    liquid = small()
    events = some_events(60, 3)
    found = liquid.adapt(events, SpikeTimingPlasticity(0.0, 0.0))
    assert torch.equal(found.spikes, liquid(events))
    assert torch.equal(found.weights[1], liquid.synaptic_weights())
    assert found.spikes.sum() > 100


def test_one_pair_of_spikes_changes_a_weight_by_the_closed_form() -> None:
    """Sender at step 0, receiver fires d steps later: + A₊ x₀ e^(−d/τ); its reverse costs A₋ x₀ e^(−d/τ)."""
    liquid = SpatialLiquid(
        1, (1, 1, 1), input_density=1.0, threshold=2.5, synaptic_time=1e-9, refractory=20, generator=generator()
    ).double()
    liquid.weight[0, 1] = 3e-9  # arrives as 3, at once
    rule = SpikeTimingPlasticity(0.7, 0.4, trace_step=0.1, trace_time=10.0)
    events = torch.zeros(8, 1, 1).double()
    events[0] = 1.0  # the neuron fires at step 1
    up = 0.7 * 0.1 * math.exp(-0.1)
    assert liquid.adapt(events, rule).weights.item() == pytest.approx(3e-9 + up)
    events[6] = 1.0  # after the receiver's spike by 5 steps
    down = 0.4 * 0.1 * math.exp(-0.5)
    assert liquid.adapt(events, rule).weights.item() == pytest.approx(3e-9 + up - down)


def test_the_astrocyte_nears_its_fixed_point_geometrically() -> None:
    cell = Astrocyte(0.02, rest=0.15, time=50.0)
    level = torch.tensor([0.15]).double()
    for _ in range(30):
        level = cell.step(level, torch.tensor([12.0]), torch.tensor([2.0]))
    target = 0.15 + 0.02 * 10
    assert level.item() == pytest.approx(target + (0.15 - target) * (1 - 1 / 50) ** 30)


def test_near_neurons_are_connected_as_often_as_the_rule_says() -> None:
    """Expected numbers of synapses of the four kinds, over 40 liquids, within four standard deviations."""
    found, expected, variance = torch.zeros(4), torch.zeros(4), torch.zeros(4)
    shape, chances, length = (4, 3, 3), (0.2, 0.1, 0.3, 0.05), 2.0
    places = torch.cartesian_prod(*(torch.arange(n).float() for n in shape))
    fall = torch.exp(-((torch.cdist(places, places) / length) ** 2)).fill_diagonal_(0)
    for seed in range(40):
        liquid = SpatialLiquid(
            2, shape, connection=chances, length=length, input_density=1.0, generator=generator(seed)
        )
        e = liquid.excitatory
        blocks = liquid.recurrent.float().split([e, 36 - e]), (e, 36 - e)
        for place, (receivers, senders) in enumerate(((0, 0), (1, 0), (0, 1), (1, 1))):
            part = blocks[0][receivers].split(blocks[1], dim=1)[senders]
            found[place] += part.sum()
            share = blocks[1][receivers] * blocks[1][senders] - (blocks[1][receivers] if receivers == senders else 0)
            mean = chances[place] * fall.sum() / (36 * 35)
            expected[place] += share * mean
            variance[place] += share * mean  # binomial, and more where places vary
    assert ((found - expected).abs() < 5 * variance.sqrt()).all(), (found, expected)


def test_wiring() -> None:
    liquid = SpatialLiquid(20, (5, 4, 3), weight=1.5, generator=generator())
    assert (liquid.neurons, liquid.excitatory) == (60, 48)
    assert not liquid.recurrent.diagonal().any()
    assert int(liquid.connected[:, 60:].sum()) == int(60 * 20 * 0.15)
    assert (liquid.weight[:, :48][liquid.connected[:, :48]] == 1.5).all()
    assert (liquid.weight[:, 48:60][liquid.connected[:, 48:60]] == -1.5).all()
    assert set(liquid.weight[:, 60:][liquid.connected[:, 60:]].unique().tolist()) == {-1.5, 1.5}
    assert (liquid.weight[~liquid.connected] == 0).all()
    assert (liquid.synaptic_weights(0.5).abs() == 0.5).all()


def test_a_neuron_alone_fires_at_the_step_that_its_equation_gives() -> None:
    """A constant current I with kernel sum G = 1/(1 − e^−1): v nears τ_v G I; times of spikes by the recursion."""
    liquid = SpatialLiquid(1, (1, 1, 1), input_density=1.0, weight=1.0, generator=generator()).double()
    liquid.weight[0, 1] = 1.0
    spikes = liquid(torch.ones(60, 1, 1).double())[:, 0, 0]
    v = c = 0.0
    expected = []
    for t in range(60):
        fires = v >= 20.0 and (not expected or t - expected[-1] > 2)
        if fires:
            expected.append(t)
            v = 0.0
        c = c * math.exp(-1) + 1.0
        v = v * (1 - 1 / 64) + c
    assert spikes.nonzero().flatten().tolist() == expected
    assert len(expected) >= 3


def test_local_branching_by_its_words() -> None:
    """Beside the definition, spike by spike."""
    spikes = (torch.rand(40, 2, 5, generator=generator(3)) < 0.2).double()
    connected = torch.rand(5, 5, generator=generator(4)) < 0.5
    window, border = 3, 4
    found = local_branching_factor(spikes, connected, window=window, border=border)
    inner = spikes[border:-border]
    for row in range(2):
        neurons = []
        for i in range(5):
            ratios = []
            for t in range(window, len(inner) - window):
                if inner[t, row, i]:
                    before = sum(
                        inner[t - k, row, j] for j in range(5) if connected[i, j] for k in range(1, window + 1)
                    )
                    after = sum(inner[t + k, row, j] for j in range(5) if connected[j, i] for k in range(1, window + 1))
                    ratios.append(float(after) / max(1.0, float(before)))
            if ratios:
                neurons.append(sum(ratios) / len(ratios))
        assert found[row].item() == pytest.approx(sum(neurons) / len(neurons))
    assert local_branching_factor(torch.zeros(40, 1, 5), connected, border=0).isnan().all()


def test_activity_that_lives_on_unchanged_has_branching_one() -> None:
    """A ring around which one spike travels: one before, one after, each time; the population's slope knows no change."""
    ring = torch.roll(torch.eye(6), 1, 0).bool()  # neuron i receives from i − 1
    spikes = torch.eye(6)[torch.arange(30) % 6][:, None]
    assert local_branching_factor(spikes, ring, window=2, border=0).item() == pytest.approx(1.0)
    dying = torch.tensor([64.0, 32.0, 16.0, 8.0, 4.0, 2.0, 1.0])
    assert branching_factor(dying) == pytest.approx(0.5)


def test_the_astrocyte_depresses_a_loud_liquid_and_spares_a_quiet_one() -> None:
    """Against the same plasticity with fixed depression, from the same weights."""
    liquid = SpatialLiquid(30, (4, 4, 4), input_density=0.7, generator=generator())
    exciting = (liquid.connected.nonzero()[:, 1] < liquid.excitatory).float()
    cell, rule = Astrocyte(15 / 64), SpikeTimingPlasticity(0.15, 0.15)
    for rate, weight, louder in ((0.03, 3.0, True), (0.3, 0.4, False)):
        events = (torch.rand(80, 4, 30, generator=generator(2)) < rate).float()
        start = liquid.synaptic_weights(weight)
        with_cell = liquid.adapt(events, SpikeTimingPlasticity(0.15, astrocyte=cell), start)
        fixed = liquid.adapt(events, rule, start)
        assert with_cell.spikes.sum() > 0
        assert bool(with_cell.spikes.sum() > events.sum()) is louder
        assert bool(with_cell.depression[-1].mean() > 0.15) is louder
        assert bool((with_cell.weights @ exciting).mean() < (fixed.weights @ exciting).mean()) is louder


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(1, 1), (7, 1), (7, 4), (7, 0)])
def test_shapes_and_types(dtype: torch.dtype, shape: tuple[int, int]) -> None:
    liquid = small().to(dtype)
    events = torch.ones(*shape, 6, dtype=dtype)
    found = liquid.adapt(events, SpikeTimingPlasticity(astrocyte=Astrocyte()))
    assert found.spikes.shape == liquid(events).shape == (*shape, 18)
    assert found.spikes.dtype == found.weights.dtype == found.depression.dtype == dtype
    assert found.depression.shape == shape


def test_it_repeats_and_its_state_goes_round() -> None:
    first, second = (SpatialLiquid(5, (3, 3, 3), generator=generator(1)) for _ in range(2))
    assert torch.equal(first.weight, second.weight)
    other = SpatialLiquid(5, (3, 3, 3), generator=generator(2))
    assert not torch.equal(first.connected, other.connected)
    other.load_state_dict(first.state_dict())
    events = some_events(30, 2, 5, 0.5).float()
    rule = SpikeTimingPlasticity(astrocyte=Astrocyte())
    assert torch.equal(first.adapt(events, rule).weights, other.adapt(events, rule).weights)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("inputs", lambda: SpatialLiquid(0)),
        ("shape", lambda: SpatialLiquid(2, (0, 1, 1))),
        ("weight", lambda: SpatialLiquid(2, (2, 2, 2), weight=4.0)),
        ("input_density", lambda: SpatialLiquid(2, (2, 2, 2), input_density=0.0)),
        ("membrane_time", lambda: SpatialLiquid(2, (2, 2, 2), membrane_time=0.5)),
        ("refractory", lambda: SpatialLiquid(2, (2, 2, 2), refractory=-1)),
        ("events", lambda: small()(torch.zeros(3, 2, 5).double())),
        ("events", lambda: small().adapt(torch.zeros(3, 2, 5).double(), SpikeTimingPlasticity())),
        ("weights", lambda: small().adapt(some_events(3, 2), SpikeTimingPlasticity(), torch.zeros(3, 3))),
        ("recordings", lambda: small().settle(torch.zeros(3, 5), SpikeTimingPlasticity())),
        ("weights", lambda: small().settle(torch.zeros(1, 3, 6).double(), SpikeTimingPlasticity(), torch.zeros(3))),
        ("time", lambda: Astrocyte(time=0.0)),
        ("trace_time", lambda: SpikeTimingPlasticity(trace_time=0.0)),
        ("rate_decay", lambda: SpikeTimingPlasticity(rate_decay=1.5)),
        ("window", lambda: local_branching_factor(torch.zeros(9, 1, 2), torch.eye(2).bool(), border=3)),
        ("connected", lambda: local_branching_factor(torch.zeros(90, 1, 2), torch.eye(3).bool())),
    ],
)
def test_bad_arguments_are_named(name: str, call: object) -> None:
    with pytest.raises(ValueError, match=f"^{name}") as caught:
        call()  # type: ignore[operator]
    assert "\n" not in str(caught.value)
