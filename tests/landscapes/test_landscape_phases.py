"""Metrics of landscapes on quadratic losses and known pairs; zoos of models in the order of their grid; phases."""

import pytest
import torch
from torch import Tensor, nn

from replica.kernels import linear_cka
from replica.landscapes import ModelZoo, PhaseThresholds, landscape_metrics, permute_units, phase_of
from replica.training import Replicas, mlp


def squared(model, inputs: Tensor, targets: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
    return (model(inputs) - targets).square().mean()


def metrics(first, second, batches, **options):  # type: ignore[no-untyped-def]
    given = {"layers": ["0"], "generator": torch.Generator().manual_seed(0), "bend_steps": 50} | options
    return landscape_metrics(Replicas(first), Replicas(second), squared, batches, **given)


def test_a_quadratic_loss_has_its_eigenvalues_and_no_barrier() -> None:
    generator = torch.Generator().manual_seed(1)
    nets = [nn.Sequential(nn.Linear(3, 1, bias=False)) for _ in range(2)]
    for net in nets:
        net[0].weight.data = torch.randn(1, 3, generator=generator)
    X = torch.randn(40, 3, generator=generator)
    Y = X @ torch.ones(3, 1)
    batches = [(X, Y)]
    found = metrics(nets, nets[::-1], batches, probes=400, products=30)
    hessian = 2 * X.T @ X / 40
    torch.testing.assert_close(found.sharpness, torch.linalg.eigvalsh(hessian)[-1].expand(2), rtol=0.01, atol=0)
    torch.testing.assert_close(found.trace, hessian.trace().expand(2), rtol=0.1, atol=0)
    mean = sum(float(squared(net, X, Y).detach()) for net in nets) / 2
    torch.testing.assert_close(found.loss, torch.full((2,), mean))
    # The curve of a convex loss goes through its bottom.
    assert (found.connectivity > 0.3 * mean).all()


def test_a_permuted_copy_is_as_similar_as_can_be_and_a_barrier_is_negative() -> None:
    generator = torch.Generator().manual_seed(2)
    net, other = (mlp((4, 12, 3), activation=nn.Tanh, generator=generator) for _ in range(2))
    copy = permute_units(net, {"0": torch.randperm(12, generator=generator)})
    X = 3 * torch.randn(60, 4, generator=generator)
    batches = list(zip(X.split(20), net(X).detach().split(20), strict=True))
    found = metrics([net, net], [copy, other], batches, layers=["0", "2"], bend_steps=1, bend_rate=1e-9)
    assert float(found.similarity[0]) == pytest.approx(1, abs=1e-5)
    expected = sum(float(linear_cka(net[:end](X), other[:end](X)).detach()) for end in (1, 3)) / 2
    assert float(found.similarity[1]) == pytest.approx(expected, abs=1e-5)
    assert found.connectivity[0] < -1e-3  # its straight line leaves the minimum
    half = {name: (a + copy.get_parameter(name)) / 2 for name, a in net.named_parameters()}
    loss = squared(lambda x: torch.func.functional_call(net, half, (x,)), X, net(X))
    torch.testing.assert_close(found.connectivity[0], -loss.detach(), rtol=1e-3, atol=0)


def test_connectivity_counts_what_it_is_told_to_and_dead_layers_are_like_nothing() -> None:
    nets = [mlp((2, 3, 1), generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    for parameter in nets[1][0].parameters():
        parameter.data.fill_(-1.0)
    X = torch.rand(9, 2)
    found = metrics(
        nets[:1], nets[1:], [(X, X[:, :1])], layers=["1"], error=lambda model, *batch: squared(model, *batch) * 0
    )
    assert (float(found.connectivity), float(found.similarity)) == (0, 0)


def test_zoos_are_laid_out_by_their_grid() -> None:
    calls = []

    def train(width: int, rate: list[float], decay: float) -> Replicas:
        calls.append((width, tuple(rate), decay))
        nets = [mlp((1, width, 1)) for _ in range(2 * len(rate))]
        for index, net in enumerate(nets):
            net[0].bias.data.fill_(float(index))
        return Replicas(nets)

    zoo = ModelZoo.build({"width": (2, 3), "rate": (0.1, 0.2, 0.3), "decay": (0.0,)}, train, together=["rate"])
    assert calls == [(2, (0.1, 0.2, 0.3), 0.0), (3, (0.1, 0.2, 0.3), 0.0)]
    rows = zoo.table(lambda block: {"bias": block.means(block.nets.parameters["0.bias"][:, 0].detach())})
    assert [(row["width"], row["rate"], row["bias"]) for row in rows[:3]] == [
        (2, 0.1, 0.5),
        (2, 0.2, 2.5),
        (2, 0.3, 4.5),
    ]
    first, second = zoo.blocks[0].pairs()
    assert first.parameters["0.bias"][:, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert second.parameters["0.bias"][:, 0].tolist() == [1, 0, 3, 2, 5, 4]
    with pytest.raises(ValueError, match="together: got"):
        ModelZoo.build({"width": (2,)}, train, together=["rate"])
    with pytest.raises(ValueError, match="grid: got"):
        ModelZoo.build({}, train)
    with pytest.raises(ValueError, match="train: got 1 networks"):
        ModelZoo.build({"rate": (1, 2)}, lambda rate: Replicas([mlp((1, 1))]), together=["rate"])


def test_phases_part_at_thresholds() -> None:
    at = PhaseThresholds(loss=1.0, barrier=0.1, similarity=0.5)
    cases = {
        "I": (2, -0.2, 1),
        "II": (2, -0.05, 1),
        "III": (0.5, -0.2, 1),
        "IV-A": (0.5, 0.3, 0.4),
        "IV-B": (0.5, -0.05, 0.6),
    }
    assert {name: phase_of(*values, at) for name, values in cases.items()} == {name: name for name in cases}
    with pytest.raises(ValueError, match="similarity: got NaN"):
        phase_of(1, 0, float("nan"), at)
    net = Replicas([mlp((2, 3, 1))])
    with pytest.raises(ValueError, match="points: got 2"):
        landscape_metrics(net, net, squared, [], layers=[], generator=torch.Generator(), points=2)
