"""Minimisers of deep linear networks: the objective's own value and gradient there, grids, descents from many starts."""

import numpy as np
import pytest
import torch

from replica.landscapes import (
    class_means,
    deep_linear_loss,
    deep_linear_minimizer,
    descend_deep_linear,
    frame_distance,
    layerwise_collapse,
    lbfgs_descent,
    linear_layers,
    scale_logit_shape,
    simplex_frame,
)

DEPTHS = (1, 2, 3, 6)


def objective(labels, classes, weight_decay, feature_decay, bias=None, cross_entropy=False):
    """The regularised loss of features (samples, dim) and weights W_1 …, written out."""
    targets = torch.nn.functional.one_hot(labels, classes).double()

    def loss(features, *weights):
        outputs = features
        for weight in weights:
            outputs = outputs @ weight.T
        if cross_entropy:
            error = torch.nn.functional.cross_entropy(outputs, labels)
        else:
            offset = 0 if bias is None else bias
            error = (outputs + offset - targets).square().sum() / (2 * len(labels))
        decay = (
            weight_decay * sum(weight.square().sum() for weight in weights) + feature_decay * features.square().sum()
        )
        return error + decay / 2

    return loss


def value_and_slope(loss, tensors):
    tensors = [tensor.clone().requires_grad_() for tensor in tensors]
    value = loss(*tensors)
    return float(value.detach()), max(float(slope.abs().max()) for slope in torch.autograd.grad(value, tensors))


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize(("counts", "bias"), [((20, 10, 5, 1), False), ((8, 8, 8), True), ((8, 8, 8), False)])
def test_value_and_gradient_at_the_minimiser(counts, bias, depth):
    found = deep_linear_minimizer(counts, depth, weight_decay=4e-3, feature_decay=2e-3, bias=bias)
    weights, means = found.layers(6, torch.Generator().manual_seed(depth))
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    loss = objective(labels, len(counts), 4e-3, 2e-3, found.bias)
    value, slope = value_and_slope(loss, [means.T[labels], *weights])
    assert value == pytest.approx(found.loss, rel=1e-12)
    assert slope < 1e-12
    product = torch.linalg.multi_dot([*weights[::-1], torch.eye(6, dtype=torch.float64)])
    torch.testing.assert_close(product @ product.T, found.weights_gram)
    torch.testing.assert_close(means.T @ means, found.means_gram)
    torch.testing.assert_close(product @ means, found.outputs)
    if bias:
        assert frame_distance(product, simplex_frame(3)) < 1e-12


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_no_descent_goes_below_and_some_arrive(depth):
    counts, decays = (12, 6, 2), {"weight_decay": 1e-2, "feature_decay": 1e-2}
    found = deep_linear_minimizer(counts, depth, **decays)
    starts = [torch.Generator().manual_seed(start) for start in range(12)]
    ends = [descend_deep_linear(counts, depth, 4, deviation=1.0, generator=start, **decays)[1] for start in starts]
    losses = [end.loss for end in ends]
    assert min(losses) == pytest.approx(found.loss, rel=1e-6)
    assert min(losses) > found.loss - 1e-9
    best = ends[int(np.argmin(losses))]
    assert best.gradient_norm < 1e-6
    means = class_means(best.features, torch.arange(3).repeat_interleave(torch.tensor(counts)))
    torch.testing.assert_close(means @ means.T, found.means_gram, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("depth", DEPTHS)
def test_roots_are_those_of_a_grid_on_both_sides_of_minority_collapse(depth):
    edge = (depth - 1) ** ((depth - 1) / depth) / depth
    for ratio in (0.01, 0.5 * edge, 0.99 * edge, 1.01 * edge, 1.2 * edge):
        # One class of a hundred samples with λ_H = 1/100: N λ_H = 1, b = 100 M λ_W.
        found = deep_linear_minimizer([100], depth, weight_decay=ratio / depth, feature_decay=0.01)
        x = np.linspace(0, 200, 2_000_001)
        costs = (1 / (x**depth + 1) + ratio * x) / 2
        assert found.loss == pytest.approx(costs.min(), rel=1e-6)
        assert float(found.singular_values**2) == pytest.approx(x[costs.argmin()], abs=2e-4)
        assert bool(found.singular_values > 0) == (ratio < edge)


def test_one_layer_in_closed_form():
    """X = √(n_k / b) − 1; with equal decays, weights and features are dual."""
    found = deep_linear_minimizer([30, 10], 1, weight_decay=0.003, feature_decay=0.005)
    b = 40 * 40 * 0.003 * 0.005
    expected = 40 * 0.005 * (np.sqrt(np.array([30, 10]) / b) - 1)
    np.testing.assert_allclose(found.singular_values**2, expected)


@pytest.mark.parametrize("depth", [1, 3])
def test_scaled_shape_is_a_critical_point_of_the_whole_objective(depth):
    """Factors that share the singular values as the formula says: the objective's value is the loss, its gradient 0."""
    count, lam, mu = 5, 2e-3, 1e-3
    shape = simplex_frame(4)
    found = scale_logit_shape(shape, count, depth, weight_decay=lam, feature_decay=mu)
    values, vectors = torch.linalg.eigh(count**0.5 * found.scale * shape)
    values, vectors = values[1:], vectors[:, 1:]
    share = (values * lam ** (depth / 2) * mu**0.5) ** (2 / (depth + 1))
    layer = (share / lam).sqrt()
    weights = [torch.diag(layer)] * (depth - 1) + [vectors * layer]
    means = vectors * (share / mu).sqrt() / count**0.5
    labels = torch.arange(4).repeat_interleave(count)
    loss = objective(labels, 4, lam, mu, cross_entropy=True)
    value, slope = value_and_slope(loss, [means[labels], *weights])
    assert value == pytest.approx(found.loss, rel=1e-10)
    assert slope < 1e-7


def test_for_one_layer_no_descent_on_cross_entropy_goes_below_the_simplex():
    found = scale_logit_shape(simplex_frame(3), 4, 1, weight_decay=1e-2, feature_decay=1e-2)
    loss = objective(torch.arange(3).repeat_interleave(4), 3, 1e-2, 1e-2, cross_entropy=True)
    generator = torch.Generator().manual_seed(0)
    draws = [[torch.randn(n, 4, dtype=torch.float64, generator=generator) for n in (12, 3)] for _ in range(5)]
    losses = [lbfgs_descent(loss, starts).loss for starts in draws]
    assert losses == pytest.approx([found.loss] * 5, rel=1e-7)
    none = scale_logit_shape(simplex_frame(3), 4, 1, weight_decay=1.0, feature_decay=1.0)
    assert none.scale == 0
    assert none.loss == pytest.approx(np.log(3))


@pytest.mark.parametrize("cross_entropy", [False, True])
def test_the_part_s_loss_is_the_one_written_out(cross_entropy):
    generator = torch.Generator().manual_seed(0)
    features, first, last, bias = (
        torch.randn(shape, dtype=torch.float64, generator=generator) for shape in ((6, 4), (5, 4), (3, 5), (3,))
    )
    labels = torch.arange(6) % 3
    decays = {"weight_decay": 0.3, "feature_decay": 0.7, "cross_entropy": cross_entropy}
    expected = objective(labels, 3, 0.3, 0.7, cross_entropy=cross_entropy)(features, first, last)
    torch.testing.assert_close(deep_linear_loss(features, [first, last], labels, **decays), expected)
    if not cross_entropy:
        expected = objective(labels, 3, 0.3, 0.7, bias)(features, first, last)
        torch.testing.assert_close(deep_linear_loss(features, [first, last], labels, bias=bias, **decays), expected)


def test_every_layer_of_the_minimiser_is_collapsed_and_none_of_a_drawn_one():
    found = deep_linear_minimizer([5] * 4, 3, weight_decay=1e-3, feature_decay=1e-3, bias=True)
    weights, means = found.layers(7, torch.Generator().manual_seed(0))
    labels = torch.arange(20) % 4
    layers = layerwise_collapse(means.T[labels], weights, labels, simplex_frame(4))
    assert len(layers) == 3
    for layer in layers:
        assert [float(value) for value in layer] == pytest.approx([0, 0, 0, 0, 0, 1], abs=1e-6)
    spoiled = [
        weights[0],
        torch.roll(weights[1], 1, 0),
        weights[2],
    ]  # where one layer is not aligned, all before it see it
    off = [float(layer.duality) for layer in layerwise_collapse(means.T[labels], spoiled, labels, simplex_frame(4))]
    assert min(off[:2]) > 0.1
    torch.testing.assert_close(linear_layers(means.T, weights).T, found.outputs)


def test_bad_arguments():
    decays = {"weight_decay": 0.1, "feature_decay": 0.1}
    with pytest.raises(ValueError, match="counts, depth: got"):
        deep_linear_minimizer([], 1, **decays)
    with pytest.raises(ValueError, match="want equal ones beside a bias"):
        deep_linear_minimizer([2, 1], 1, bias=True, **decays)
    with pytest.raises(ValueError, match="weight_decay, feature_decay"):
        deep_linear_minimizer([2], 1, weight_decay=0.0, feature_decay=1.0)
    with pytest.raises(ValueError, match="width: got 1, want 2 or more"):
        deep_linear_minimizer([2, 1], 1, **decays).layers(1)
    with pytest.raises(ValueError, match="weights: got 0 layers"):
        deep_linear_loss(torch.ones(2, 2), [], torch.tensor([0, 1]), **decays)
    with pytest.raises(ValueError, match="shape: got"):
        scale_logit_shape(torch.zeros(2, 2), 1, 1, **decays)
    with pytest.raises(ValueError, match="starts, steps"):
        lbfgs_descent(torch.sum, [])
    with pytest.raises(ValueError, match="counts, depth, width, steps"):
        descend_deep_linear([2, 0], 1, 2, **decays)
