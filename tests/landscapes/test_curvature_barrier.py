"""Curvature along segments beside Hessians' products; the identity with Green's function by quadrature; forked batches."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from replica.landscapes import (
    barrier,
    barrier_from_curvature,
    curvature_along,
    forked_batches,
    losses_along,
    permute_units,
)
from replica.training import Hessian, Replicas, mlp, train_replicas


def nets(count: int) -> list[nn.Sequential]:
    def made(seed: int) -> nn.Sequential:
        generator = torch.Generator().manual_seed(seed)
        net = mlp((3, 6, 5, 4), activation=nn.GELU, generator=generator, dtype=torch.float64)
        with torch.no_grad():
            for tensor in net.parameters():
                tensor *= 3
        return net

    return [made(seed) for seed in range(count)]


def entropy(model, inputs: Tensor, labels: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
    return nn.functional.cross_entropy(model(inputs), labels)


GENERATOR = torch.Generator().manual_seed(9)
X, Y = torch.randn(13, 3, generator=GENERATOR, dtype=torch.float64), torch.arange(13) % 4
BATCHES = [(X[:4], Y[:4]), (X[4:], Y[4:])]


@pytest.mark.parametrize("layers", [None, ["2"]])
def test_curvature_is_the_hessians(layers) -> None:  # type: ignore[no-untyped-def]
    """δᵀHδ from products with the Hessian at nets made one by one."""
    start, end = nets(2)
    times = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64)
    found = curvature_along(start, end, entropy, BATCHES, times, layers=layers)
    names = [name for name, _ in start.named_parameters() if layers is None or name.startswith("2.")]
    step = {name: (end.get_parameter(name) - start.get_parameter(name)).detach() for name in names}
    for time, curvature in zip(times, found, strict=True):
        (net,) = nets(1)
        with torch.no_grad():
            for name in names:
                net.get_parameter(name).add_(time * step[name])
        hessian = Hessian.of(net, entropy, BATCHES, names=names)
        torch.testing.assert_close(curvature, hessian.quadratic(hessian.flatten(step)))


@pytest.mark.parametrize("layers", [None, ["0"]])
def test_the_barrier_is_greens_function_times_curvature(layers) -> None:  # type: ignore[no-untyped-def]
    """L(θ_t) − linear = −∫ min(s, t) (1 − max(s, t)) c(s) ds, by Gauss's quadrature on either side of t."""
    start, end = nets(2)
    nodes, weights = (torch.from_numpy(each) for each in np.polynomial.legendre.leggauss(40))
    for t in (0.2, 0.5, 0.7):
        total = torch.zeros((), dtype=torch.float64)
        for low, high in ((0.0, t), (t, 1.0)):
            s = low + (high - low) * (nodes + 1) / 2
            green = torch.minimum(s, torch.tensor(t)) * (1 - torch.maximum(s, torch.tensor(t)))
            curvature = curvature_along(start, end, entropy, BATCHES, s, layers=layers)
            total -= (green * curvature * weights).sum() * (high - low) / 2
        looked = torch.tensor([0.0, t, 1.0], dtype=torch.float64)
        losses = losses_along(start, end, entropy, BATCHES, looked, layers=layers)
        torch.testing.assert_close(total, losses[1] - (1 - t) * losses[0] - t * losses[2], rtol=1e-6, atol=1e-8)


def test_predictions_come_near_the_barrier_as_curvatures_get_more() -> None:
    (start,) = nets(1)
    end = permute_units(start, {"0": torch.arange(6).flip(0), "2": torch.arange(5).flip(0)})
    told = [(X, start(X).argmax(1))]
    measured = float(barrier(start, end, entropy, told, points=201).height)
    assert measured > 0.1
    errors = []
    for count in (3, 6, 12, 18):
        at = [float(0.5 - 0.5 * np.cos(np.pi * (k + 0.5) / count)) for k in range(count)]  # Chebyshev's
        predicted = barrier_from_curvature(start, end, entropy, told, at=at)
        errors.append(abs(float(predicted.height) - measured))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.03 * measured


def test_half_way_it_is_the_closed_form() -> None:
    start, end = nets(2)
    one = barrier_from_curvature(start, end, entropy, BATCHES, at=[0.4])
    torch.testing.assert_close(one.middle, -one.curvatures[0] / 8)
    three = barrier_from_curvature(start, end, entropy, BATCHES)
    c = three.curvatures
    torch.testing.assert_close(three.middle, -(c[0] + 10 * c[1] + c[2]) / 96)


def test_pairs_at_once_are_as_one_by_one_and_a_linear_loss_has_no_curvature() -> None:
    every = nets(4)
    together = barrier_from_curvature(Replicas(every[:3]), Replicas(every[1:]), entropy, BATCHES)
    for index in range(3):
        alone = barrier_from_curvature(every[index], every[index + 1], entropy, BATCHES)
        torch.testing.assert_close(together.height[index], alone.height)
        torch.testing.assert_close(together.curvatures[:, index], alone.curvatures)

    def sums(model, inputs: Tensor, _: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        return model(inputs).mean()

    flat = barrier_from_curvature(every[0], every[1], sums, BATCHES, layers=["4"])
    assert flat.height == 0
    assert not flat.curvatures.any()


def test_forks_share_their_trunk_and_then_part() -> None:
    rows = torch.arange(10)
    generator = torch.Generator().manual_seed(0)
    batches = list(forked_batches(rows, rows, size=3, steps=8, forks=[0, 2, 8], runs=2, generator=generator))
    assert len(batches) == 8
    seen = torch.stack([first for first, _ in batches]).view(8, 2, 3, 2, 3)
    assert all(first.equal(second) for first, second in batches)
    same = (seen[:, :, :, 0] == seen[:, :, :, 1]).all(-1)
    assert same[:, :, 2].all()
    assert same[:2, :, 1].all()
    assert not same[2:, :, 1].any()
    assert not same[:, :, 0].any()
    assert seen[:2, :, 1].equal(seen[:2, :, 2])  # one trunk for all forks of a run
    assert not (seen[:, 0] == seen[:, 1]).all(-1).any()  # another for another run
    epoch = seen[:3, :, [0, 2]].movedim(0, 3).flatten(3).sort(-1).values
    assert (epoch.diff(dim=-1) > 0).all()  # no row twice in an epoch


def test_forks_train_as_replicas_do() -> None:
    net = nets(1)[0]
    forks = Replicas.of(net, 4)
    generator = torch.Generator().manual_seed(0)
    batches = forked_batches(X, Y, size=4, steps=6, forks=[0, 6], generator=generator)
    train_replicas(forks, entropy, batches, steps=6, rates=0.05, shared=False)
    apart = barrier(forks, Replicas([forks.model(i) for i in (1, 0, 3, 2)]), entropy, BATCHES).losses
    torch.testing.assert_close(apart[:, 2], apart[:1, 2].expand(25))
    assert apart[:, 0].std() > 1e-8


def test_wrong_arguments_are_named() -> None:
    start, end = nets(2)
    for at in ((), (0.5, 0.5), (-0.1,)):
        with pytest.raises(ValueError, match="at: got"):
            barrier_from_curvature(start, end, entropy, BATCHES, at=at)
    with pytest.raises(ValueError, match="forks: got"):
        forked_batches(X, size=2, steps=3, forks=[4], generator=GENERATOR)
    with pytest.raises(ValueError, match="size: got"):
        forked_batches(X, Y[:3], size=2, steps=3, forks=[1], generator=GENERATOR)
