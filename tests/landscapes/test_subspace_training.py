"""Random subspaces: projections against their matrices and each other, training against direct training, the crossing."""

import copy
import math

import pytest
import scipy.linalg
import torch
from torch import nn

from replica.landscapes import (
    DenseProjection,
    FastfoodProjection,
    SparseProjection,
    SubspaceClassifier,
    SubspaceTraining,
    dimension_at_score,
    hadamard_transform,
    random_projection,
    train_in_subspaces,
)
from replica.training import mlp

KINDS = {"dense": DenseProjection, "sparse": SparseProjection, "fastfood": FastfoodProjection}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("size", [1, 2, 16, 64])
def test_the_transform_is_scipys_matrix(size):
    values = torch.randn(3, size, generator=seeded(), dtype=torch.float64)
    matrix = torch.from_numpy(scipy.linalg.hadamard(size)).double()
    torch.testing.assert_close(hadamard_transform(values), values @ matrix)


@pytest.mark.parametrize("kind", KINDS)
def test_columns_are_of_length_one_and_nearly_orthogonal(kind):
    projection = random_projection(kind, 12, 6000, generator=seeded())
    assert isinstance(projection, KINDS[kind])
    columns = projection(torch.eye(12))
    assert columns.shape == (12, 6000)
    gram = columns @ columns.T
    exact = {"atol": 1e-5, "rtol": 0} if kind != "fastfood" else {"atol": 0.06, "rtol": 0}
    torch.testing.assert_close(gram.diagonal(), torch.ones(12), **exact)
    # Entries of the Gram matrix of random directions are of order 1/√6000; at four deviations with room.
    assert (gram - torch.diag(gram.diagonal())).abs().max() < 0.12
    coordinates = torch.randn(5, 12, generator=seeded(1))
    torch.testing.assert_close(projection(coordinates), coordinates @ columns, atol=1e-5, rtol=1e-5)


def test_fastfood_is_its_product_of_matrices_and_its_numbers_look_gaussian():
    projection = FastfoodProjection(4, 8, generator=seeded())
    hadamard = torch.from_numpy(scipy.linalg.hadamard(4)).float()
    blocks = [
        hadamard @ torch.diag(gauss) @ torch.eye(4)[order] @ hadamard @ torch.diag(signs)
        for signs, gauss, order in zip(projection.signs, projection.gauss, projection.order, strict=True)
    ]
    torch.testing.assert_close(projection(torch.eye(4)).T, torch.cat(blocks) / 32**0.5)
    numbers = FastfoodProjection(200, 20_000, generator=seeded())(torch.eye(200)).flatten() * 20_000**0.5
    assert float(numbers.square().mean()) == pytest.approx(1, rel=0.05)
    assert float(numbers.pow(4).mean()) == pytest.approx(3, rel=0.1)


def test_sparse_columns_have_a_root_of_the_numbers():
    projection = SparseProjection(50, 10_000, generator=seeded())
    assert len(projection.values) == 50 * 100
    assert len(projection.places.unique(dim=1).T) == 50 * 100


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.other, self.norm = nn.Linear(4, 4), nn.Linear(4, 4, bias=False), nn.BatchNorm1d(4)
        self.other.weight = self.one.weight

    def forward(self, inputs):
        return self.norm(self.other(self.one(inputs).tanh()))


def test_it_starts_as_the_module_and_moves_along_p_tied_parameters_too():
    module = Tied()
    net = SubspaceTraining(module, 5, generator=seeded())
    inputs = torch.randn(6, 4, generator=seeded(1))
    torch.testing.assert_close(net(inputs), copy.deepcopy(module)(inputs))
    assert [name for name, _ in net.named_parameters()] == ["coordinates"]
    with torch.no_grad():
        net.coordinates.normal_(generator=seeded(2))
        moves = net.projection(net.coordinates)
        start = 0
        for parameter in module.parameters():
            parameter += moves[start : start + parameter.numel()].view_as(parameter)
            start += parameter.numel()
    assert start == 16 + 4 + 4 + 4
    torch.testing.assert_close(net(inputs), module(inputs))


def test_all_dimensions_reach_what_direct_training_reaches():
    """With d = D the directions span everything: the least loss of a linear regression."""
    inputs, targets = torch.randn(30, 3, generator=seeded()).double(), torch.randn(30, 1, generator=seeded(1)).double()
    net = SubspaceTraining(nn.Linear(3, 1).double(), 4, generator=seeded())
    optimiser = torch.optim.LBFGS(net.parameters(), max_iter=200, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def closure():
        optimiser.zero_grad()
        loss = (net(inputs) - targets).square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    ones = torch.cat([inputs, torch.ones(30, 1)], 1)
    least = (ones @ torch.linalg.pinv(ones) @ targets - targets).square().sum()
    assert closure().item() == pytest.approx(least.item(), rel=1e-6)


def test_subspaces_side_by_side_train_as_each_alone():
    inputs = torch.randn(40, 4, generator=seeded()).double()
    labels = (inputs.prod(1) > 0).long()
    start = mlp((4, 8, 2), generator=seeded(1), dtype=torch.float64)
    dims, steps = (3, 10), 30
    batches = [(inputs[:20], labels[:20]), (inputs[20:], labels[20:])]

    def loss(model, inputs, labels):
        return nn.functional.cross_entropy(model(inputs), labels)

    nets, tail = train_in_subspaces(start, dims, loss, batches, steps=steps, rates=(0.1, 0.02), generator=seeded(2))
    found = nets(inputs)
    for index, (dim, rate) in enumerate(zip(dims, (0.1, 0.02), strict=True)):
        alone = SubspaceTraining(start, dim, generator=seeded(3))
        alone.projection.matrix = random_projection("dense", 10, 58, generator=seeded(2)).matrix[:, :dim].double()
        optimiser = torch.optim.Adam(alone.parameters(), rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda done: (1 + math.cos(math.pi * done / steps)) / 2)
        losses = []
        for step in range(steps):
            optimiser.zero_grad()
            value = loss(alone, *batches[step % 2])
            value.backward()
            losses.append(value.item())
            optimiser.step()
            schedule.step()
        torch.testing.assert_close(found[index], alone(inputs))
        assert float(tail[index]) == pytest.approx(sum(losses[-3:]) / 3)


def test_the_crossing_is_read_off_between_sizes():
    assert dimension_at_score([10, 100], [0.0, 1.0], 0.5) == pytest.approx(10**1.5)
    assert dimension_at_score([10, 100, 1000], [0.8, 0.6, 1.0], 0.85) == pytest.approx(10**2.5)  # pooled to 0.7, 0.7
    assert dimension_at_score([10, 100], [0.9, 1.0], 0.5) == 10
    assert dimension_at_score([10, 100], [0.1, 0.2], 0.5) == math.inf
    with pytest.raises(ValueError, match="rising"):
        dimension_at_score([10, 10], [0.1, 0.2], 0.5)


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="no parameters"):
        SubspaceTraining(nn.ReLU(), 3)
    with pytest.raises(ValueError, match="projection: got 'random'"):
        SubspaceTraining(nn.Linear(2, 2), 3, "random")
    with pytest.raises(ValueError, match="power of 2"):
        hadamard_transform(torch.zeros(3))
    with pytest.raises(ValueError, match="dim, size"):
        FastfoodProjection(0, 3)
    with pytest.raises(ValueError, match="one pass only"):
        train_in_subspaces(nn.Linear(1, 1), [1], lambda model, x: model(x).sum(), [], steps=1)
    with pytest.raises(ValueError, match="steps, rate"):
        SubspaceClassifier(steps=0).fit([[0.0], [1.0]], [0, 1])
