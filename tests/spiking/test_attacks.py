"""Attacks on spiking networks: surrogates that follow the potentials, rate gradients, and flips of binary events."""

import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from replica.lab.claims import Trial
from replica.papers.baselines.events import SpikingNetwork
from replica.spiking import (
    FastSigmoid,
    LeakyIntegrateAndFire,
    LeakyIntegrator,
    PotentialDependent,
    Rectangle,
    RecurrentLeakyIntegrateAndFire,
    SparseDynamicAttack,
    fast_gradient_sign,
    gradient_flips,
    projected_gradient,
    random_flips,
    rate_gradients,
    replaced_surrogates,
)

SPREADS = ("channel", "recording")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=seeded(seed))


class Reader(nn.Module):
    """A small spiking classifier of ``(batch, time, units)``."""

    def __init__(self, units: int = 6, width: int = 20, classes: int = 3) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            self.net = nn.Sequential(
                nn.Linear(units, width), LeakyIntegrateAndFire(decay=0.7), nn.Linear(width, width),
                RecurrentLeakyIntegrateAndFire(width, generator=seeded()), nn.Linear(width, classes),
            )  # fmt: skip

    def forward(self, events: Tensor) -> Tensor:
        return self.net(events.transpose(0, 1)).mean(0)


def binary(count: int = 12, steps: int = 8, units: int = 6, seed: int = 0) -> Tensor:
    return (torch.rand(count, steps, units, generator=seeded(seed)) < 0.3).float()


def bell(x: Tensor, sigma: Tensor, offset: float) -> Tensor:
    return torch.distributions.Normal(offset * sigma, sigma).log_prob(x).exp()


class GivenSlope(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, slope):
        ctx.save_for_backward(slope)
        return (x >= 0).to(x.dtype)

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.saved_tensors[0], None


def slope_written_out(x: list[Tensor], spread: str, offset: float) -> Tensor:
    """The definition: the standard deviation of all potentials so far, group by group."""
    past = torch.stack(x).detach()
    group = 1 if spread == "recording" else 2
    axes = [axis for axis in range(past.ndim) if axis != group]
    numbers = math.prod(past.shape[axis] for axis in axes)
    sigma = past.std(axes, keepdim=True, correction=min(1, numbers - 1))[0]
    sigma = torch.where(sigma > 0, sigma, 1.0)
    return bell(x[-1].detach(), sigma.expand_as(x[-1]), offset)


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("shape", [(6, 4, 5), (5, 3, 4, 2, 3), (4, 1, 5), (3, 1, 1), (1, 1, 4)])
def test_the_width_is_the_standard_deviation_of_the_past(spread, shape) -> None:
    x = drawn(*shape)
    found = PotentialDependent(offset=0.3, spread=spread).derivative_over_time(x)
    wanted = [slope_written_out(list(x[: t + 1]), spread, 0.3) for t in range(len(x))]
    torch.testing.assert_close(found, torch.stack(wanted))


def test_potentials_that_never_differ_have_a_width_of_one() -> None:
    x = torch.full((4, 3, 2), -0.7)
    for spread in SPREADS:
        assert torch.equal(PotentialDependent(spread=spread).deviation(x), torch.ones_like(x[:, :1, :1]).expand(
            4, *((3, 1) if spread == "recording" else (1, 2))))  # fmt: skip
    far = drawn(7, 5, 3).float() * 1e-2 + 100  # a mean far from 0 leaves the spread as it is
    torch.testing.assert_close(
        PotentialDependent().deviation(far)[-1, 0], far.double().std((0, 1)).float(), rtol=1e-3, atol=0
    )


@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
@pytest.mark.parametrize("detach", [False, True])
@pytest.mark.parametrize("spread", SPREADS)
def test_the_fused_loop_is_the_loop_written_out(reset, detach, spread) -> None:
    neurons = LeakyIntegrateAndFire(
        decay=0.8, reset=reset, detach_reset=detach, surrogate=PotentialDependent(spread=spread)
    ).double()
    currents, weights = drawn(9, 4, 5).requires_grad_(), drawn(9, 4, 5, seed=1)
    potential, past, spikes = torch.zeros_like(currents[0]), [], []
    for current in currents:
        before = 0.8 * potential + current
        past.append(before - 1)
        spike = GivenSlope.apply(before - 1, slope_written_out(past, spread, 0.5))
        passed = spike.detach() if detach else spike
        potential = {"subtract": before - passed, "zero": before * (1 - passed), "none": before}[reset]
        spikes.append(spike)
    found = neurons(currents)
    assert torch.equal(found, torch.stack(spikes))
    (wanted,) = torch.autograd.grad((torch.stack(spikes) * weights).sum(), currents)
    (ours,) = torch.autograd.grad((found * weights).sum(), currents)
    torch.testing.assert_close(ours, wanted)


def test_the_bell_is_the_slope_of_its_smooth_step() -> None:
    surrogate = PotentialDependent()
    x = drawn(50, 3).requires_grad_()
    (slope,) = torch.autograd.grad(surrogate.smooth(x).sum(), x)
    torch.testing.assert_close(slope, surrogate.derivative(x.detach()))
    (passed,) = torch.autograd.grad(surrogate(x).sum(), x)
    torch.testing.assert_close(passed, slope)


def test_the_rectangle_is_the_slope_of_a_ramp() -> None:
    x = torch.linspace(-2, 2, 40, dtype=torch.float64).requires_grad_()
    (slope,) = torch.autograd.grad(Rectangle(0.8).smooth(x).sum(), x)
    torch.testing.assert_close(slope, Rectangle(0.8).derivative(x.detach()))


def test_replaced_surrogates_change_gradients_alone_and_come_back() -> None:
    net, events = Reader(), binary().requires_grad_()
    own = [part.surrogate for part in net.modules() if isinstance(part, LeakyIntegrateAndFire)]
    plain = net(events)
    (wanted,) = torch.autograd.grad(plain.sum(), events, retain_graph=True)
    with replaced_surrogates(net, PotentialDependent()):
        seen = net(events)
    assert torch.equal(seen, plain)
    (found,) = torch.autograd.grad(seen.sum(), events)  # after the context: the surrogate of the forward pass counts
    assert not torch.allclose(found, wanted)
    assert [part.surrogate for part in net.modules() if isinstance(part, LeakyIntegrateAndFire)] == own
    with pytest.raises(RuntimeError), replaced_surrogates(net, Rectangle()):
        raise RuntimeError
    assert [part.surrogate for part in net.modules() if isinstance(part, LeakyIntegrateAndFire)] == own
    with replaced_surrogates(net, FastSigmoid()):
        (same,) = torch.autograd.grad(net(events).sum(), events)
    torch.testing.assert_close(same, wanted)


def test_by_recording_a_gradient_does_not_depend_on_the_batch() -> None:
    net, events = Reader(), binary()
    alone, together = [], None
    with replaced_surrogates(net, PotentialDependent(spread="recording")):
        for rows in (events, *events.split(1)):
            given = rows.clone().requires_grad_()
            (grad,) = torch.autograd.grad(net(given)[:, 0].sum(), given)
            alone.append(grad)
    together, *single = alone
    torch.testing.assert_close(together, torch.cat(single))


def test_rates_pass_gradients_by_their_slope() -> None:
    """The slopes are those of a continuous line through (0, 0) that reaches the rate 1 at twice the threshold."""
    for decay, low, threshold in itertools.product((0.0, 0.5, 0.9), (0.0, 0.2), (1.0, 2.0)):
        neurons = LeakyIntegrateAndFire(decay=decay, threshold=threshold)
        grid = torch.linspace(-1, 3, 4001, dtype=torch.float64)
        currents = (threshold * grid).expand(3, 1, -1).clone().requires_grad_()
        with rate_gradients(neurons, low_slope=low):
            spikes = neurons(currents)
        assert torch.equal(spikes, neurons(currents))
        (slope,) = torch.autograd.grad(spikes.sum(), currents)
        area = float(torch.trapezoid(slope[0, 0], currents[0, 0].detach()))
        assert area == pytest.approx(1, abs=0.01)
        assert slope[:, 0, (grid < -1e-9) | (grid > 2 + 1e-9)].abs().max() == 0


def test_the_sign_step_is_the_closed_form_on_a_linear_model() -> None:
    """With two classes the cross-entropy falls along the difference of the weights, wherever one stands."""
    net = nn.Linear(5, 2).double()
    inputs, labels = torch.full((3, 5), 0.5, dtype=torch.float64), torch.tensor([0, 1, 0])
    towards = (net.weight[1] - net.weight[0]).sign()
    wanted = 0.5 + 0.3 * torch.stack([towards, -towards, towards])
    torch.testing.assert_close(fast_gradient_sign(net, inputs, labels, budget=0.3), wanted)
    torch.testing.assert_close(projected_gradient(net, inputs, labels, budget=0.3, generator=seeded()), wanted)
    clipped = fast_gradient_sign(net, inputs, labels, budget=0.9, low=0.2, high=0.7)
    assert sorted(clipped.unique().tolist()) == [0.2, 0.7]


def test_steps_stay_in_the_cube_and_repeat() -> None:
    net, frames, labels = Reader(), 3 * binary(), torch.arange(12) % 3
    moved = projected_gradient(net, frames, labels, budget=0.4, high=math.inf, generator=seeded())
    assert (moved - frames).abs().max() <= 0.4 + 1e-6
    assert moved.min() >= 0
    again = projected_gradient(net, frames, labels, budget=0.4, high=math.inf, generator=seeded())
    assert torch.equal(moved, again)
    assert torch.equal(fast_gradient_sign(net, frames, labels, budget=0.0, high=math.inf), frames)


def linear_model(events: Tensor) -> Tensor:
    """Class 0 as long as the weighted count is above 2.5."""
    weights = torch.tensor([4.0, 3.0, 2.0, 1.0, 1.0, -5.0], dtype=events.dtype)
    return torch.stack([events @ weights, torch.full_like(events[:, 0], 2.5)], 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_on_a_linear_model_greedy_flips_are_the_fewest(dtype) -> None:
    """For all 64 recordings of six events, against a search through all sets of flips."""
    events = torch.tensor(list(itertools.product((0.0, 1.0), repeat=6)), dtype=dtype)
    labels = torch.zeros(64, dtype=torch.long)
    found = gradient_flips(linear_model, events, labels)
    for row, flips in zip(events, found.flips.tolist(), strict=True):
        fewest = min(
            int((other != row).sum())
            for other, wrong in zip(events, linear_model(events).argmax(1), strict=True)
            if wrong
        )
        assert flips == fewest
    assert found.success.all()
    assert torch.equal((found.events != events).sum(1), found.flips)
    sparse = SparseDynamicAttack(linear_model, candidates=6, generator=seeded())(events, labels)
    pieces = SparseDynamicAttack(linear_model, candidates=6, rows=7, generator=seeded())(events, labels)
    assert torch.equal(sparse.events, pieces.events), "how many are tried at a time changes nothing"
    assert sparse.success.all()
    assert torch.equal(sparse.flips, found.flips), (
        "the largest differences, which are kept last, are the largest weights"
    )
    assert (sparse.generated >= sparse.flips).all()


@pytest.mark.parametrize("shape", [(12, 8, 6), (1, 8, 6), (5, 8, 2, 3)])
def test_a_sparse_attack_does_what_it_says(shape) -> None:
    net = Reader()

    def model(events: Tensor) -> Tensor:
        return net(events.flatten(2))

    events = (torch.rand(shape, generator=seeded(2)) < 0.3).float()
    labels = model(events).argmax(1)
    grown, found = (
        SparseDynamicAttack(model, candidates=3, reduce=reduce, generator=seeded())(events, labels)
        for reduce in (False, True)
    )
    assert grown.success.any()
    assert torch.equal(found.success, model(found.events).argmax(1) != labels)
    assert torch.equal(found.success, grown.success), "reduction keeps success"
    assert torch.equal(found.generated, grown.flips)
    assert (found.flips <= grown.flips).all()
    assert torch.equal((found.events != events).flatten(1).sum(1), found.flips)
    assert found.events.unique().tolist() == [0, 1]
    changed = (found.events != events) & (grown.events == events)
    assert not changed.any(), "what is kept was flipped before"
    again = SparseDynamicAttack(model, candidates=3, generator=seeded())(events, labels)
    assert torch.equal(again.events, found.events)


def test_recordings_are_attacked_as_if_alone() -> None:
    net, events = Reader().double(), binary().double()
    labels = net(events).argmax(1)

    def attack(rows: Tensor, classes: Tensor):
        # Enough candidates that no tie is broken at random.
        with replaced_surrogates(net, PotentialDependent(spread="recording")):
            return SparseDynamicAttack(net, candidates=48, steps=1)(rows, classes)

    together = attack(events, labels)
    for row in range(len(events)):
        alone = attack(events[row : row + 1], labels[row : row + 1])
        assert torch.equal(alone.events[0], together.events[row])
        assert alone.success[0] == together.success[row]


def test_taking_back_one_flip_more_would_not_do() -> None:
    """What remains is least along the order of the differences: without the weakest flip kept, the model is right again."""
    events, labels = torch.ones(1, 6), torch.tensor([0])
    found = SparseDynamicAttack(linear_model, candidates=6)(events, labels)
    kept = (found.events != events).nonzero()[:, 1]
    weights = torch.tensor([4.0, 3.0, 2.0, 1.0, 1.0, -5.0])
    weakest = kept[weights[kept].abs().argmin()]
    undone = found.events.clone()
    undone[0, weakest] = 1 - undone[0, weakest]
    assert linear_model(undone).argmax(1) == labels


def test_what_errs_already_is_left_and_what_cannot_be_fooled_too() -> None:
    def steadfast(events: Tensor) -> Tensor:
        return torch.stack([0 * events.sum(1) + 1, 0 * events.sum(1)], 1)

    events = torch.ones(2, 4)
    for attack in (
        lambda labels: SparseDynamicAttack(steadfast, candidates=2, steps=3)(events, labels),
        lambda labels: gradient_flips(steadfast, events, labels, per_step=3),
        lambda labels: random_flips(steadfast, events, labels, growing=True),
    ):
        found = attack(torch.tensor([0, 1]))
        assert found.success.tolist() == [False, True]
        assert found.flips.tolist() == [0, 0]
        assert torch.equal(found.events, events)


def test_flips_are_counted_by_the_step_and_stop_at_the_most() -> None:
    def counts(events: Tensor) -> Tensor:
        return torch.stack([events.sum(1) - 4.5, 0 * events.sum(1)], 1)

    events, labels = torch.ones(1, 12), torch.tensor([0])
    assert gradient_flips(counts, events, labels).flips.tolist() == [8]
    assert gradient_flips(counts, events, labels, per_step=3).flips.tolist() == [9]
    assert gradient_flips(counts, events, labels, per_step=2, growing=True).flips.tolist() == [12]
    assert random_flips(counts, events, labels, generator=seeded()).flips.tolist() == [8]
    assert not gradient_flips(counts, events, labels, most=7).success


def test_the_problems_own_spiking_network_can_be_attacked() -> None:
    """A network of another making, whose surrogate cannot be replaced: gradients are its own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = SpikingNetwork(6, 3, width=32)
    events = binary(8, 12)
    labels = net(events).argmax(1)
    found = SparseDynamicAttack(net, candidates=4, generator=Trial(0).generator("ties"))(events, labels)
    assert found.success.all()
    assert (net(found.events).argmax(1) != labels).all()
    assert (found.flips > 0).all()


def test_wrong_arguments_are_named() -> None:
    net, events, labels = Reader(), binary(2), torch.zeros(2, dtype=torch.long)
    for wrong, name in (
        (lambda: PotentialDependent(offset=math.nan), "offset"),
        (lambda: PotentialDependent(spread="unit"), "spread"),
        (lambda: Rectangle(0.0), "width"),
        (lambda: replaced_surrogates(nn.Linear(2, 2), Rectangle()).__enter__(), "module"),
        (lambda: rate_gradients(nn.Linear(2, 2)).__enter__(), "module"),
        (lambda: rate_gradients(net, low_slope=2.0).__enter__(), "low_slope"),
        (lambda: fast_gradient_sign(net, events, labels, budget=-1.0), "budget"),
        (lambda: fast_gradient_sign(net, events, labels, budget=0.1, low=1.0), "low"),
        (lambda: fast_gradient_sign(net, events, labels[:1], budget=0.1), "labels"),
        (lambda: projected_gradient(net, events, labels, budget=0.1, steps=0), "steps"),
        (lambda: projected_gradient(net, events, labels, budget=0.1, step_size=-1.0), "step_size"),
        (lambda: SparseDynamicAttack(net, candidates=0), "candidates"),
        (lambda: SparseDynamicAttack(net, steps=0), "steps"),
        (lambda: SparseDynamicAttack(net, rows=0), "rows"),
        (lambda: SparseDynamicAttack(net)(events / 2, labels), "events"),
        (lambda: SparseDynamicAttack(net)(events, labels[:1]), "labels"),
        (lambda: gradient_flips(net, events, labels, per_step=0), "per_step"),
        (lambda: random_flips(net, events, labels, most=0), "most"),
    ):
        with pytest.raises(ValueError, match=name):
            wrong()


def test_a_read_out_without_spikes_keeps_its_gradient() -> None:
    net = nn.Sequential(nn.Linear(4, 3), LeakyIntegrateAndFire(), LeakyIntegrator())
    events = drawn(6, 2, 4).float().requires_grad_()
    with replaced_surrogates(net, PotentialDependent()):
        (grad,) = torch.autograd.grad(net(events).sum(), events)
    assert grad.abs().sum() > 0
