"""Competitive networks: the equations one by one, closed forms, and modules that share nothing."""

import math

import pytest
import torch
from torch import Tensor

from replica.spiking import WinnerTakeAllNetwork


def network(modules: int = 2, **options: float) -> WinnerTakeAllNetwork:
    settings = {"drive": 0.3, "learning_rate": 0.2, "threshold_step": 0.05, **options}
    generator = torch.Generator().manual_seed(0)
    return WinnerTakeAllNetwork(12, 4, modules, generator=generator, **settings).double()


def trains(time: int, batch: int, seed: int = 1) -> Tensor:
    drawn = torch.rand(time, batch, 12, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (drawn < 0.5).double()


def written_out(net: WinnerTakeAllNetwork, spikes: Tensor, module: int) -> tuple[list[int], list[float], Tensor]:
    """The docstring's equations for one module and one train, number by number: counts, thresholds, weights."""
    units, weights = net.units, net.weights[module].clone()
    beta = math.exp(-net.step / net.membrane)
    v, y, theta = [0.0] * units, [0.0] * units, net.thresholds[module].tolist()
    x, counts = torch.zeros(net.inputs, dtype=torch.float64), [0] * units
    change = torch.zeros_like(weights)
    for s in spikes:
        x = torch.where(s > 0, 1.0, x * math.exp(-net.step / 20))
        u = [beta * v[n] + net.drive * float(s @ net.weights[module][:, n]) for n in range(units)]
        n = max(range(units), key=lambda i: u[i] - 1 - theta[i])
        fires = u[n] - 1 - theta[n] >= 0
        if fires:
            change[:, n] += x * y[n]
        y = [value * math.exp(-net.step / 40) for value in y]
        v = [value - net.inhibition * (value - net.reversal) if fires else value for value in u]
        if fires:
            v[n], y[n] = 0.0, 1.0
            theta[n] += net.threshold_step
            counts[n] += 1
    weights = (weights + net.learning_rate * change).clamp(0, 1)
    return counts, theta, weights * 0.1 / weights.mean(0)


@pytest.mark.parametrize(("inhibition", "reversal"), [(0.0, 0.0), (0.4, 0.0), (1.0, 0.0), (0.1, -2.7)])
def test_learning_is_the_equations_one_by_one(inhibition: float, reversal: float) -> None:
    net = network(inhibition=inhibition, reversal=reversal)
    for seed in range(3):
        spikes = trains(30, 2, seed)
        expected = [written_out(net, spikes[:, module], module) for module in range(2)]
        counts = net.learn(spikes)
        for module, (fired, theta, weights) in enumerate(expected):
            assert counts[module].tolist() == fired
            assert sum(fired) > 2
            torch.testing.assert_close(net.thresholds[module], torch.tensor(theta, dtype=torch.float64))
            torch.testing.assert_close(net.weights[module], weights)


def test_answers_are_the_equations_without_learning() -> None:
    net = network(inhibition=0.6)
    net.thresholds.uniform_(0, 0.5, generator=torch.Generator().manual_seed(2))
    spikes, before = trains(30, 5), copy_of(net)
    counts = net(spikes)
    net.learning_rate = net.threshold_step = 0.0
    for row in range(5):
        for module in range(2):
            assert counts[row, module].tolist() == written_out(net, spikes[:, row], module)[0]
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def copy_of(net: WinnerTakeAllNetwork) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}


def test_modules_share_nothing() -> None:
    together, spikes = network(modules=3), trains(20, 3)
    alone = []
    for module in range(3):
        net = network(modules=1)
        net.weights.copy_(together.weights[module : module + 1])
        net.learn(spikes[:, module : module + 1])
        alone.append(net)
    together.learn(spikes)
    torch.testing.assert_close(together.weights, torch.cat([net.weights for net in alone]))
    torch.testing.assert_close(together(spikes), torch.cat([net(spikes) for net in alone], dim=1))


def test_a_lone_unit_fires_at_the_interval_of_the_closed_form() -> None:
    net = WinnerTakeAllNetwork(4, 1, drive=0.5, step=5.0).double()
    net.weights.fill_(0.1)
    beta, current = math.exp(-0.05), 0.5 * 4 * 0.1
    # u_k = current (1 − βᵏ) / (1 − β) reaches 1 at this k
    interval = math.ceil(math.log(1 - (1 - beta) / current) / math.log(beta))
    assert net(torch.ones(10 * interval, 1, 4, dtype=torch.float64)).item() == 10
    assert net(torch.ones(10 * interval - 1, 1, 4, dtype=torch.float64)).item() == 9


def test_one_unit_a_module_and_step_fires_and_pays_for_it() -> None:
    net = network(drive=5.0)
    counts = net.learn(trains(25, 2))
    assert (counts.sum(1) <= 25).all()
    torch.testing.assert_close(net.thresholds, 0.05 * counts)
    torch.testing.assert_close(net.weights.mean(1), torch.full((2, 4), 0.1, dtype=torch.float64))


def test_a_unit_takes_on_what_it_is_shown() -> None:
    """Two inputs in turn: each gets a unit of its own, whose weights lie on its half of the lines."""
    net = WinnerTakeAllNetwork(
        12, 2, drive=0.5, learning_rate=0.3, threshold_step=0.005, generator=torch.Generator().manual_seed(3)
    )
    shown = torch.zeros(2, 40, 1, 12)
    shown[0, ::2, :, :6], shown[1, ::2, :, 6:] = 1.0, 1.0
    for turn in range(40):
        net.learn(shown[turn % 2])
    winners = [int(net(train)[0, 0].argmax()) for train in shown]
    assert sorted(winners) == [0, 1]
    for half, winner in zip((slice(0, 6), slice(6, 12)), winners, strict=True):
        assert net.weights[0, half, winner].sum() > 0.9 * net.weights[0, :, winner].sum()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"inputs": 0}, "inputs"), ({"units": 0}, "units"), ({"modules": 0}, "modules"), ({"step": 0.0}, "step"),
        ({"drive": -1.0}, "drive"), ({"membrane": 0.0}, "membrane"), ({"inhibition": 1.5}, "inhibition"),
        ({"reversal": 1.0}, "reversal"),
        ({"learning_rate": -1.0}, "learning_rate"), ({"threshold_step": math.nan}, "threshold_step"),
    ],
)  # fmt: skip
def test_bad_arguments_are_named(arguments: dict[str, float], named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named}: got"):
        WinnerTakeAllNetwork(**{"inputs": 3, "units": 2, **arguments})  # type: ignore[arg-type]


def test_trains_of_another_shape_are_refused() -> None:
    net = network()
    with pytest.raises(ValueError, match=r"spikes: got shape \(5, 2, 3\), want \(time, batch, 12\)"):
        net(torch.zeros(5, 2, 3))
    with pytest.raises(ValueError, match=r"want \(time, 2, inputs\)"):
        net.learn(torch.zeros(5, 3, 12, dtype=torch.float64))
