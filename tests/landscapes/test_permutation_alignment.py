"""Weight and activation matching beside permuted copies, all permutations by brute force, and a plain coordinate ascent."""

from itertools import combinations, permutations, product

import pytest
import torch
from torch import nn

from replica.landscapes import activation_matching, barrier, permute_units, weight_matching
from replica.training import mlp


def drawn(net: nn.Module, seed: int) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in (*net.named_parameters(), *net.named_buffers()):
        if tensor.is_floating_point():
            value = torch.randn(tensor.shape, generator=generator) / 4
            tensor.data.copy_(value.abs() + 0.5 if "var" in name else value)
    return net.eval()


def chains() -> dict[str, nn.Sequential]:
    body = nn.Sequential(nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6), nn.PReLU(6), nn.MaxPool2d(2))
    return {
        "perceptron": nn.Sequential(nn.Linear(5, 9), nn.Tanh(), nn.Linear(9, 7), nn.LayerNorm(7), nn.ReLU(), nn.Linear(7, 3)),
        "convolutions": nn.Sequential(
            body, nn.Conv2d(6, 5, 3, bias=False), nn.LayerNorm((5, 2, 2)), nn.GELU(), nn.Flatten(), nn.Linear(20, 8),
            nn.BatchNorm1d(8, affine=False), nn.Tanh(), nn.Linear(8, 3),
        ),
        "averages": nn.Sequential(
            nn.Conv1d(2, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool1d(4), nn.Flatten(), nn.BatchNorm1d(24), nn.Linear(24, 3)
        ),
    }  # fmt: skip


INPUTS = {"perceptron": (40, 5), "convolutions": (40, 2, 8, 8), "averages": (40, 2, 12)}


@pytest.mark.parametrize("kind", INPUTS)
def test_a_permuted_copy_comes_back_exactly(kind: str) -> None:
    generator = torch.Generator().manual_seed(3)
    net = drawn(chains()[kind], 1)
    inputs = torch.randn(INPUTS[kind], generator=generator)
    known = weight_matching(net, net).order
    order = {name: torch.randperm(len(units), generator=generator) for name, units in known.items()}
    assert all(units.equal(torch.arange(len(units))) for units in known.values())
    copy = permute_units(net, order)
    torch.testing.assert_close(copy(inputs), net(inputs))
    assert not all(one.equal(other) for one, other in zip(copy.parameters(), net.parameters(), strict=True))

    def squared(model, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:  # type: ignore[no-untyped-def]
        return (model(inputs) - targets).square().mean()

    batches = [(inputs, torch.zeros_like(net(inputs)))]
    assert barrier(net, copy, squared, batches, points=5).losses.std() > 1e-3
    for found in (weight_matching(net, copy), activation_matching(net, copy, inputs)):
        for name, tensor in net.state_dict().items():
            torch.testing.assert_close(found.model.state_dict()[name], tensor, rtol=0, atol=0)
        for name, units in order.items():
            assert units[found.order[name]].equal(torch.arange(len(units)))
        assert float(barrier(net, found.model, squared, batches, points=5).height) < 1e-6


def closeness(net: nn.Sequential, other: nn.Sequential) -> float:
    return sum(float((a * b).detach().sum()) for a, b in zip(net.parameters(), other.parameters(), strict=True))


def test_no_single_layer_can_be_ordered_better_and_the_best_is_near() -> None:
    """Coordinate ascent ends where no layer alone gains; all 4! · 3! pairs of orders say how far that is from the best."""
    reached = 0
    for seed in range(8):
        net, other = (drawn(mlp((6, 4, 3, 2)), 10 * seed + which) for which in (1, 2))
        found = weight_matching(net, other)
        got = closeness(net, found.model)
        for name, size in (("0", 4), ("2", 3)):
            alone = (permute_units(found.model, {name: torch.tensor(units)}) for units in permutations(range(size)))
            assert got >= max(closeness(net, one) for one in alone) - 1e-5
        both = product(permutations(range(4)), permutations(range(3)))
        orders = ({"0": torch.tensor(first), "2": torch.tensor(second)} for first, second in both)
        best = max(closeness(net, permute_units(other, order)) for order in orders)
        reached += got > best - 1e-5
    assert reached >= 5


@pytest.mark.parametrize("kind", ["convolutions", "deep"])
def test_no_exchange_of_two_units_brings_nets_nearer(kind: str) -> None:
    """The gain of a matching is that of the permuted net itself, and it goes on until nothing changes."""
    for seed in range(1 if kind == "convolutions" else 8):
        made = (chains()[kind] if kind == "convolutions" else mlp((3, 6, 6, 6, 2)) for _ in range(2))
        net, other = (drawn(one, 10 * seed + index) for index, one in enumerate(made))
        found = weight_matching(net, other)
        got = closeness(net, found.model)
        for name, units in found.order.items():
            for one, two in combinations(range(len(units)), 2):
                swapped = torch.arange(len(units))
                swapped[[one, two]] = swapped[[two, one]]
                assert got >= closeness(net, permute_units(found.model, {name: swapped})) - 1e-5


@pytest.mark.parametrize(
    ("net", "named"),
    [
        (nn.Linear(2, 2), "want a Sequential"),
        (nn.Sequential(nn.Linear(2, 3)), "got 1 layers"),
        (nn.Sequential(nn.Linear(2, 3), nn.Softmax(-1), nn.Linear(3, 2)), "got Softmax at '1'"),
        (nn.Sequential(nn.Conv2d(2, 4, 1, groups=2), nn.Flatten(), nn.Linear(4, 2)), "2 groups"),
        (nn.Sequential(nn.Conv2d(2, 4, 1), nn.Linear(4, 2)), "want a Flatten before it"),
        (nn.Sequential(nn.Linear(2, 4), nn.GroupNorm(2, 4), nn.Linear(4, 2)), "got GroupNorm"),
    ],
)
def test_what_cannot_be_aligned_is_said(net: nn.Module, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        weight_matching(net, net)  # type: ignore[arg-type]


def test_wrong_pairs_and_orders_are_refused() -> None:
    net = mlp((2, 3, 1))
    with pytest.raises(ValueError, match=r"model_b: got other 0\.weight"):
        weight_matching(net, mlp((2, 4, 1)))
    with pytest.raises(ValueError, match="order: got '2'"):
        permute_units(net, {"2": torch.arange(1)})
    with pytest.raises(ValueError, match="each once"):
        permute_units(net, {"0": torch.tensor([0, 0, 1])})
