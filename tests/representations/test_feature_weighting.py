"""Weights of layers: the closed form against descent, against independent features by hand and brute force; Gaussian pairs."""

import pytest
import torch
from torch import nn

from replica.representations import (
    HeadTraining,
    ReweightingHead,
    feature_weights,
    layerwise_weights_closed_form,
    linear_spectral_loss,
    spectral_contrastive_loss,
)
from replica.representations.head_training import on_sphere
from replica.training import Views, mlp

DIM = 5


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def moments(seed=0, dim=DIM):
    """Of signals with correlated noise: the two do not commute."""
    signal, noise = (torch.randn(dim, 3 * dim, dtype=torch.float64, generator=seeded(seed + k)) for k in (1, 2))
    pair, noise = signal @ signal.T / (3 * dim), noise @ noise.T / (3 * dim)
    return pair + noise, pair


def test_loss_is_the_mean_over_pairs_one_by_one():
    first, second = (torch.randn(6, 3, dtype=torch.float64, generator=seeded(k)) for k in (0, 1))
    alike = sum(first[i] @ second[i] for i in range(6)) / 6
    others = sum((first[i] @ second[j]) ** 2 for i in range(6) for j in range(6) if i != j) / 30
    torch.testing.assert_close(spectral_contrastive_loss(first, second), others - 2 * alike)


def test_loss_of_gaussian_pairs_is_that_of_their_moments():
    second, pair = moments()
    weights = torch.randn(2, DIM, dtype=torch.float64, generator=seeded(3)) / 2
    root, spread = (torch.linalg.cholesky(part) for part in (pair, second - pair))
    signal, one, two = (torch.randn(4000, DIM, dtype=torch.float64, generator=seeded(k)) for k in (4, 5, 6))
    views = [(signal @ root.T + noise @ spread.T) @ weights.T for noise in (one, two)]
    expected = linear_spectral_loss(weights, second, pair)
    torch.testing.assert_close(spectral_contrastive_loss(*views), expected, rtol=0.1, atol=0.02)


def test_independent_features_are_weighed_as_by_hand():
    variances, noise = torch.tensor([1.0, 0.5, 2.0]), torch.tensor([0.1, 1.0, 0.5])
    found = layerwise_weights_closed_form(torch.diag(variances + noise), torch.diag(variances), width=3, depth=3)
    wanted = (variances.sqrt() / (variances + noise)).sort(descending=True)
    for layer, weights in enumerate(found.weights, 1):
        torch.testing.assert_close(weights, wanted.values ** (layer / 3))
    assert found.directions.abs().argmax(0).equal(wanted.indices)


@pytest.mark.parametrize("width", [2, DIM])
def test_closed_form_is_the_least_loss_of_its_rank(width):
    second, pair = moments()
    found = layerwise_weights_closed_form(second, pair, width=width)
    best = (torch.diag(found.weights[-1]) @ found.directions.T).requires_grad_()
    least = linear_spectral_loss(best, second, pair)
    assert torch.autograd.grad(least, best)[0].abs().max() < 1e-10
    tried = torch.randn(width, DIM, dtype=torch.float64, generator=seeded(7)).requires_grad_()
    descent = torch.optim.LBFGS([tried], max_iter=500, line_search_fn="strong_wolfe", tolerance_change=1e-12)

    def closure():
        descent.zero_grad()
        loss = linear_spectral_loss(tried, second, pair)
        loss.backward()
        return loss

    descent.step(closure)
    assert closure().item() == pytest.approx(least.item(), rel=1e-4)
    torch.testing.assert_close((tried.T @ tried).detach(), (best.T @ best).detach(), atol=2e-2, rtol=0)


def test_layers_that_start_balanced_stay_so_and_end_at_the_closed_form():
    second, pair = moments()
    left, _, right = torch.linalg.svd(torch.randn(DIM, DIM, dtype=torch.float64, generator=seeded(8)))
    weights = [(0.3 * right).requires_grad_(), (0.3 * left).requires_grad_()]
    descent = torch.optim.SGD(weights, 0.01)
    for _ in range(2500):
        descent.zero_grad()
        linear_spectral_loss(weights[1] @ weights[0], second, pair).backward()
        descent.step()
    one, two = (weight.detach() for weight in weights)
    torch.testing.assert_close(one @ one.T, two.T @ two, atol=1e-2, rtol=0)
    found = layerwise_weights_closed_form(second, pair, width=DIM)
    for weights_there, product in zip(found.weights, (one, two @ one), strict=True):
        torch.testing.assert_close((product @ found.directions).norm(dim=0), weights_there, atol=2e-2, rtol=0)


def test_weights_are_lengths_of_images_and_of_jacobians():
    net = mlp((4, 6, 3), activation=nn.Tanh, generator=seeded()).double()
    inputs, directions = (torch.randn(n, 4, dtype=torch.float64, generator=seeded(n)) for n in (5, 7))
    slopes = torch.stack([torch.autograd.functional.jacobian(net, x) for x in inputs]) @ directions.T
    torch.testing.assert_close(feature_weights(net, inputs, directions), slopes.square().sum(1).mean(0).sqrt())
    linear = feature_weights(net[0], inputs, directions)
    torch.testing.assert_close(linear, (directions @ net[0].weight.T).norm(dim=1))
    images = feature_weights(nn.AvgPool2d(2), torch.zeros(3, 1, 2, 2), torch.ones(1, 1, 2, 2))
    assert images.tolist() == [1.0]


def test_the_fixed_head_weighs_by_powers():
    assert ReweightingHead(3, 2.0)(torch.eye(3)).diagonal().tolist() == [0.5, 0.25, 0.125]
    assert torch.equal(ReweightingHead(3, 1.0)(torch.eye(3)), torch.eye(3))
    assert not list(ReweightingHead(3).parameters())


def test_bad_arguments():
    eye = torch.eye(2)
    for call, said in (
        (lambda: spectral_contrastive_loss(torch.zeros(1, 2), torch.zeros(1, 2)), "first, second: got shapes"),
        (lambda: layerwise_weights_closed_form(eye, torch.eye(3), width=1), "second_moment, pair_moment"),
        (lambda: layerwise_weights_closed_form(eye, eye, width=0), "width, depth: got 0 and 2"),
        (lambda: layerwise_weights_closed_form(torch.ones(2, 2), eye, width=1), "second_moment: got an eigenvalue"),
        (lambda: feature_weights(torch.sin, torch.zeros(3, 2), torch.zeros(1, 3)), "directions: got shape"),
    ):
        with pytest.raises(ValueError, match=said):
            call()


def test_features_before_the_head_and_after_it_are_of_one_network():
    images = torch.rand(40, 1, 4, 4, generator=seeded(1))

    def trained(**options):
        weights = seeded(2)
        training = HeadTraining(Views(noise=0.1), batch=20, **options)
        return training.pretrain(
            images, lambda: nn.Sequential(nn.Flatten(), mlp((16, 6), generator=weights)), seeded(3), 3
        )

    before, after = trained().embed(images), trained(place="after")
    torch.testing.assert_close(before, super(HeadTraining, after).embed(images))
    torch.testing.assert_close(after.embed(images), after.behind(before))
    fixed = trained(place="after", kappa=2.0)
    powers = 2.0 ** -torch.arange(1.0, 7)
    torch.testing.assert_close(fixed.embed(images), super(HeadTraining, fixed).embed(images) * powers)


def test_loss_on_the_sphere_is_that_of_cosines():
    one, two = (torch.randn(5, 32, generator=seeded(k)) for k in (1, 2))
    wanted = spectral_contrastive_loss(*(2**0.5 * nn.functional.normalize(view) for view in (one, two)))
    torch.testing.assert_close(on_sphere(one, 3 * two), wanted)
    with pytest.raises(ValueError, match="place: got 'beside'"):
        HeadTraining(Views(), place="beside")
