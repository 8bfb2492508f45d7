"""Losses and barriers along segments beside a loop over nets; Bézier curves beside their formula and a ring of minima."""

import pytest
import torch
from torch import Tensor, nn

from replica.landscapes import BezierCurve, average_connected_layers, barrier, interpolate, losses_along
from replica.training import Replicas, mlp


def nets(count: int) -> list[nn.Sequential]:
    return [
        mlp((3, 5, 4, 2), activation=nn.Tanh, generator=torch.Generator().manual_seed(seed)) for seed in range(count)
    ]


def squared(model, inputs: Tensor, targets: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
    return (model(inputs) - targets).square().mean()


GENERATOR = torch.Generator().manual_seed(9)
X, Y = torch.randn(11, 3, generator=GENERATOR), torch.randn(11, 2, generator=GENERATOR)
BATCHES = [(X[:4], Y[:4]), (X[4:], Y[4:])]


@pytest.mark.parametrize("layers", [None, ["2"], ["0.weight", "4"]])
@pytest.mark.parametrize("chunk", [None, 3])
def test_losses_are_those_of_nets_made_one_by_one(layers, chunk) -> None:  # type: ignore[no-untyped-def]
    start, end = nets(2)
    times = torch.linspace(0, 1, 7)
    found = losses_along(start, end, squared, BATCHES, times, layers=layers, chunk=chunk)
    probe = mlp((3, 5, 4, 2), activation=nn.Tanh)
    moved = {name for name, _ in start.named_parameters() if layers is None or name.startswith(tuple(layers))}
    for time, loss in zip(times, found, strict=True):
        with torch.no_grad():
            for name, tensor in probe.named_parameters():
                one, other = start.get_parameter(name), end.get_parameter(name)
                tensor.copy_((1 - time) * one + time * other if name in moved else one)
            torch.testing.assert_close(loss, squared(probe, X, Y))


def test_many_pairs_are_as_one_by_one() -> None:
    first, second = nets(4)[:3], nets(4)[1:]
    together = barrier(Replicas(first), Replicas(second), squared, BATCHES, points=9)
    assert together.losses.shape == (9, 3)
    for index, pair in enumerate(zip(first, second, strict=True)):
        alone = barrier(*pair, squared, BATCHES, points=9)
        torch.testing.assert_close(together.height[index], alone.height)
        assert together.at[index] == alone.at


def test_a_convex_loss_has_no_barrier_and_a_layer_alone_has_its_own() -> None:
    start, end = nets(2)
    assert barrier(start, end, squared, BATCHES, layers=["4"]).height == 0  # linear in the last layer
    assert barrier(start, start, squared, BATCHES).height == 0
    whole = barrier(start, end, squared, BATCHES)
    again = barrier(start, end, squared, BATCHES, layers=["0", "2", "4"])
    torch.testing.assert_close(whole.height, again.height)


def test_running_statistics_move_with_the_weights() -> None:
    start, end = (nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).eval() for _ in range(2))
    end[1].running_mean.fill_(4.0)
    end[1].num_batches_tracked.fill_(7)
    half = interpolate(start.state_dict(), end.state_dict(), 0.5)
    assert half["1.running_mean"].tolist() == [2, 2]
    assert half["1.num_batches_tracked"] == 0
    assert losses_along(start, end, squared, BATCHES, torch.linspace(0, 1, 3)).shape == (3,)


def test_a_bezier_curve_is_its_formula_and_its_ends_stay() -> None:
    start, end = nets(2)
    curve = BezierCurve(start, end)
    times = torch.linspace(0, 1, 5)
    torch.testing.assert_close(curve.losses(squared, BATCHES, times), losses_along(start, end, squared, BATCHES, times))
    seen = curve.train(squared, BATCHES, steps=100, rate=0.02, generator=torch.Generator().manual_seed(0))
    assert seen.shape == (100,)
    after, straight = curve.losses(squared, BATCHES, times), losses_along(start, end, squared, BATCHES, times)
    torch.testing.assert_close(after[[0, -1]], straight[[0, -1]])
    assert after[2] < straight[2]
    name, t = "2.weight", 0.3
    formula = 0.49 * start.get_parameter(name) + 0.42 * curve.bend[name][0] + 0.09 * end.get_parameter(name)
    torch.testing.assert_close(curve.at(t)[name][0], formula.detach())


def test_pairs_bend_by_themselves() -> None:
    """Two pairs at once, one with nothing to gain: its curve stays at its minimum while the other moves."""
    points = [nn.Linear(2, 1, bias=False) for _ in range(4)]
    for net, value in zip(points, ([1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]), strict=True):
        net.weight.data = torch.tensor([value])

    def ring(model, unit: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        return (model(unit).square().sum() - 1).square()

    curve = BezierCurve(Replicas([points[0], points[2]]), Replicas([points[1], points[3]]))
    curve.train(ring, [(torch.eye(2),)], steps=300, rate=0.05, generator=torch.Generator().manual_seed(0))
    assert curve.losses(ring, [(torch.eye(2),)], torch.tensor([0.5])).max() < 0.02
    assert (curve.bend["weight"][1] - torch.tensor([1.0, 0.0])).abs().max() < 0.01  # Adam makes much of rounding


def test_wrong_arguments_are_named() -> None:
    start, end = nets(2)
    with pytest.raises(ValueError, match="layers: got"):
        barrier(start, end, squared, BATCHES, layers=["7"])
    with pytest.raises(ValueError, match="points: got 2"):
        barrier(start, end, squared, BATCHES, points=2)
    with pytest.raises(ValueError, match="end: got"):
        barrier(start, mlp((3, 6, 4, 2)), squared, BATCHES)
    with pytest.raises(ValueError, match="batches: got none"):
        barrier(start, end, squared, [])
    with pytest.raises(ValueError, match="both nets"):
        barrier(start, Replicas([end]), squared, BATCHES)
    with pytest.raises(ValueError, match="steps: got 0"):
        BezierCurve(start, end).train(squared, BATCHES, steps=0, rate=0.1, generator=GENERATOR)


def test_a_layer_is_averaged_where_it_has_no_barrier() -> None:
    start, end = nets(2)
    merged, names = average_connected_layers(start, [end], squared, BATCHES, tolerance=0.0)
    assert "4" in names  # the loss is convex in the last layer
    for name, tensor in merged.named_parameters():
        one, other = start.get_parameter(name), end.get_parameter(name)
        torch.testing.assert_close(tensor, (one + other) / 2 if name[0] in names else one)
    with pytest.raises(ValueError, match="tolerance: got -1"):
        average_connected_layers(start, [end], squared, BATCHES, tolerance=-1)
    with pytest.raises(ValueError, match="others: got none"):
        average_connected_layers(start, [], squared, BATCHES, tolerance=1)
