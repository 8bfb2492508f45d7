"""Bases and edges against closed forms of linear nets, the algorithm with a constant unit, and brute force."""

from itertools import pairwise

import pytest
import torch
from sklearn.decomposition import PCA
from torch import nn

from replica.representations import (
    ablate_edges,
    ablate_nodes,
    interaction_edges,
    local_interaction_basis,
    principal_basis,
    strongest_edges,
)
from replica.training import mlp

LAYERS = ("0", "1", "2")


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def same(first, second):
    torch.testing.assert_close(first, second, rtol=1e-6, atol=1e-8)


def net(*, between=None):
    """Three stages with biases; a matrix may mix the second's units, which the third undoes."""
    first, second, third = (
        mlp(sizes, generator=torch.Generator().manual_seed(7)) for sizes in ((4, 9, 6), (6, 9, 7), (7, 3))
    )
    stages = [first.double(), second.double(), third.double()]
    with torch.no_grad():
        for stage in stages:
            for place, layer in enumerate(module for module in stage if isinstance(module, nn.Linear)):
                layer.bias.copy_(normal(len(layer.bias), seed=place) / 2)
    if between is not None:
        mix, undo = (nn.Linear(7, 7, bias=False).double() for _ in range(2))
        mix.weight.data, undo.weight.data = between, torch.linalg.inv(between)
        stages = [stages[0], nn.Sequential(stages[1], mix), nn.Sequential(undo, stages[2])]
    return nn.Sequential(*stages).requires_grad_(False)


def test_a_deep_linear_nets_basis_is_the_singular_vectors_of_the_whitened_product():
    later = nn.Sequential(nn.Identity(), nn.Linear(9, 6), nn.Linear(6, 5)).double().requires_grad_(False)
    for place, layer in enumerate(later[1:]):
        layer.weight.copy_(normal(*layer.weight.shape, seed=place))
    inputs = normal(200, 9, seed=3) @ normal(9, 9, seed=4) + 2
    centred = inputs - inputs.mean(0)
    values, vectors = torch.linalg.eigh(centred.T @ centred / 200)
    product, root = later[2].weight @ later[1].weight, vectors * values.sqrt()
    basis = local_interaction_basis(later, LAYERS, inputs, chunk=64)[0]
    _, singular, right = torch.linalg.svd(product @ root, full_matrices=False)
    same(basis.importance, singular**2)
    same(basis.encoder.abs(), (torch.linalg.inv(root).mT @ right.T * singular).abs())
    same(basis.decoder @ basis.encoder, torch.eye(5, dtype=torch.float64))


def test_any_invertible_mixing_of_the_units_leaves_the_nodes_and_edges_as_they_are():
    inputs = normal(300, 4)
    plain, mixed = net(), net(between=normal(7, 7, seed=5))
    bases, others = (local_interaction_basis(model, LAYERS, inputs) for model in (plain, mixed))
    for basis, other in zip(bases, others, strict=True):
        same(basis.importance, other.importance)
    for place in (0, 1):
        edges = [
            interaction_edges(model, *both[place : place + 2], inputs)
            for model, both in ((plain, bases), (mixed, others))
        ]
        same(*edges)
    principal = [principal_basis(model, LAYERS, inputs)[1].importance for model in (plain, mixed)]
    assert (principal[0] / principal[1]).log().abs().max() > 0.1


def test_the_algorithm_with_a_constant_unit_gives_the_same_basis():
    """Biases folded into a unit that is 1, whose direction is kept apart: as the authors' code has it."""
    inputs, model = normal(300, 4), net()
    _, basis, _ = local_interaction_basis(model, LAYERS, inputs)
    given = model[:2](inputs)
    folded = torch.cat([given, torch.ones(300, 1).double()], 1)
    shift = torch.eye(8).double()
    shift[-1, :-1] = -given.mean(0)
    gram = (folded @ shift).T @ (folded @ shift) / 300
    values, vectors = torch.linalg.eigh(gram)
    constant = vectors[-1].abs().argmax()
    kept = [place for place in range(8) if place != constant and values[place] > 1e-12]
    roots, unmix = values[kept].sqrt(), vectors[:, kept].T @ torch.linalg.inv(shift)
    weights = torch.cat([model[2][0].weight, model[2][0].bias[:, None]], 1)
    inner = roots[:, None] * unmix @ weights.T @ weights @ unmix.T * roots
    found, turn = (part.flip(-1)[..., :3] for part in torch.linalg.eigh(inner))
    encoder = shift @ vectors[:, kept] / roots @ turn * found.sqrt()
    same(basis.importance, found)
    same(basis.encoder.abs(), encoder[:-1].abs())
    coordinates = folded @ encoder
    same(basis.coordinates(given).abs(), coordinates.abs())  # the constant's row centres
    same(coordinates.mean(0), torch.zeros(3).double())
    same(coordinates.T @ coordinates / 300, found.diag())


@pytest.mark.parametrize("make", [local_interaction_basis, principal_basis])
def test_all_edges_and_all_nodes_give_the_function_and_none_gives_means(make):
    inputs, model = 3 * normal(100, 4), net()
    bases = make(model, LAYERS, inputs)
    for start, end in pairwise(bases):
        every = torch.ones(len(end.decoder), len(start.decoder), dtype=torch.bool)
        same(ablate_edges(model, start, end, every, inputs, rows=150), model(inputs))
    same(ablate_nodes(model, bases[1], len(bases[1].decoder), inputs), model(inputs))
    alone = model[2](model[:2](inputs).mean(0)).expand(100, -1)
    same(ablate_nodes(model, bases[1], 0, inputs), alone)
    same(ablate_edges(model, *bases[1:], torch.zeros_like(every), inputs), alone)


class Mean(nn.Module):
    """Positions that see one another, so that gradients go across."""

    def forward(self, stream):
        return torch.tanh(stream + stream.flip(1).roll(1, -1))[:, :2]


def test_edges_over_positions_and_cuts_are_those_of_brute_force():
    model = nn.Sequential(nn.Identity(), Mean(), nn.Flatten(2))
    inputs = normal(20, 3, 4) + 0.3
    start, end, _ = bases = local_interaction_basis(model, LAYERS, inputs, chunk=7)
    nodes = start.coordinates(inputs)
    wanted = torch.zeros(len(end.decoder), len(start.decoder)).double()
    for sample in nodes:
        slopes = torch.func.jacrev(lambda f: end.coordinates(model[1](start.activations(f)[None])[0]))(sample)
        wanted += torch.einsum("pisj,sj->pij", slopes, sample).square().sum(0) / (20 * 3)
    edges = interaction_edges(model, start, end, inputs, chunk=7)
    same(edges, wanted)
    kept = strongest_edges(edges, 9)
    assert int(kept.sum()) == 9
    assert edges[kept].min() >= edges[~kept].max()
    cut = torch.stack(
        [end.coordinates(model[1](start.activations(nodes * row)))[..., place] for place, row in enumerate(kept)], -1
    )
    same(ablate_edges(model, start, end, kept, inputs), end.activations(cut))
    same(bases[2].coordinates(inputs), inputs)


def test_principal_components_are_scikit_learns_and_single_precision_drops_what_is_rounding():
    inputs = normal(50, 4) @ normal(4, 6, seed=1) + 3  # six units of rank 4
    model = nn.Sequential(nn.Identity(), nn.Flatten())
    basis = principal_basis(model, ("0", ""), inputs)[0]
    peer = PCA(4).fit(inputs.numpy())
    same(basis.importance, torch.from_numpy(peer.explained_variance_) * 49 / 50)
    same(basis.decoder.abs(), torch.from_numpy(peer.components_).abs())
    single = principal_basis(model, ("0", ""), inputs.float())[0]
    assert single.importance.shape == (4,)
    assert local_interaction_basis(model, ("0", ""), inputs.float())[0].importance.shape == (4,)


def test_wrong_arguments_are_named():
    model, inputs = net(), normal(30, 4)
    with pytest.raises(ValueError, match="layers: got 1, want two"):
        principal_basis(model, ("0",), inputs)
    with pytest.raises(ValueError, match="layers: got '0', whose activations are constant"):
        local_interaction_basis(model, ("0", ""), torch.ones(30, 4).double())
    start, end = principal_basis(model, ("1", "2"), inputs)
    with pytest.raises(ValueError, match="count: got 99"):
        strongest_edges(torch.ones(3, 2), 99)
    with pytest.raises(ValueError, match="count: got -1"):
        start.first(-1)
    with pytest.raises(ValueError, match="kept: got shape"):
        ablate_edges(model, start, end, torch.ones(2, 2, dtype=torch.bool), inputs)
