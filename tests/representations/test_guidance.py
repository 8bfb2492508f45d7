"""Guidance against its formula written out, gradients by differences, and what it is for."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from replica.representations import Guidance, guidance_loss, pair_layers
from replica.training import conv_net, mlp


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cka(first, second):
    """Kornblith et al. 2019, by Gram matrices and the centring matrix."""
    ours, theirs = first @ first.T, second @ second.T
    centre = np.eye(len(first)) - 1 / len(first)
    hsic = lambda a, b: np.trace(a @ centre @ b @ centre)  # noqa: E731
    return hsic(ours, theirs) / np.sqrt(hsic(ours, ours) * hsic(theirs, theirs))


def pair(seed=0):
    """A perceptron and a convolutional guide with dropout."""
    generator = torch.Generator().manual_seed(seed)
    target = nn.Sequential(nn.Flatten(), *mlp((36, 12, 12, 5), generator=generator)).double()
    guide = conv_net((1, 3, 4), 5, generator=generator, activation=lambda: nn.Sequential(nn.ReLU(), nn.Dropout(0.5)))
    return target, guide.double()


def test_the_loss_is_the_sum_of_one_less_cka_written_out_and_its_gradient_that_of_differences():
    ours, theirs = [normal(9, 4), normal(9, 15, seed=1)], [normal(9, 7, seed=2), normal(9, 3, seed=3)]
    wanted = sum(1 - cka(a.numpy(), b.numpy()) for a, b in zip(ours, theirs, strict=True))
    assert float(guidance_loss(ours, theirs)) == pytest.approx(wanted)
    side_by_side = [torch.stack([each, normal(*each.shape, seed=9)]) for each in ours]
    both = guidance_loss(side_by_side, theirs)
    assert both.shape == (2,)
    assert float(both[0]) == pytest.approx(wanted)
    leaves = [each.requires_grad_() for each in ours]
    assert torch.autograd.gradcheck(lambda *layers: guidance_loss(layers, theirs), leaves)


def test_rotated_scaled_and_shifted_layers_are_the_same():
    layer = normal(20, 6)
    rotation = torch.linalg.qr(normal(6, 6, seed=1))[0]
    assert float(guidance_loss([layer], [3 * layer @ rotation - 2])) == pytest.approx(0, abs=1e-12)
    assert float(guidance_loss([layer], [layer @ normal(6, 6, seed=2)])) > 0.05


def test_the_term_is_that_of_both_networks_layers_and_reaches_the_target_alone():
    (target, guide), images = pair(), normal(10, 1, 6, 6)
    guide.train()
    output, term = Guidance(target, guide, [("2", "act1"), ("4", "act2")], weight=0.3)(images)
    assert guide.training
    guide.eval()  # in which its dropout drops nothing
    first, second = target[:3](images), target[:5](images)
    one = guide.act1(guide.conv1(images))
    two = guide.act2(guide.conv2(one))
    wanted = sum(
        1 - cka(a.flatten(1).detach().numpy(), b.flatten(1).detach().numpy()) for a, b in ((first, one), (second, two))
    )
    assert float(term.detach()) == pytest.approx(0.3 * wanted)
    torch.testing.assert_close(output, target(images))
    term.backward()
    assert target[1].weight.grad.abs().sum() > 0
    assert target[5].weight.grad is None  # the head has no partner
    assert all(weight.grad is None for weight in guide.parameters())
    noise = normal(10, 1, 6, 6, seed=4)
    other = Guidance(target, guide, [("2", "act1")])(images, noise).term
    assert float(other.detach()) == pytest.approx(
        float(guidance_loss([first.detach()], [guide.act1(guide.conv1(noise)).flatten(1)]))
    )


def test_gradients_pass_rectifiers_that_work_in_place():
    """The layer before one keeps what it gave out."""
    images, (_, guide) = normal(10, 1, 6, 6), pair()
    target = nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.ReLU(inplace=True), nn.Linear(8, 5)).double()
    _, term = Guidance(target, guide, [("1", "act1")])(images)
    shown = guide.eval().act1(guide.conv1(images)).flatten(1)
    assert float(term) == pytest.approx(float(guidance_loss([target[1](images.flatten(1))], [shown])))
    term.backward()


def test_a_guided_target_comes_to_represent_as_the_guide_does():
    images, labels = normal(40, 1, 6, 6), torch.arange(40) % 5
    ends = []
    for weight in (0.0, 1.0):
        target, guide = pair()
        before = {name: value.clone() for name, value in guide.state_dict().items()}
        guidance = Guidance(target, guide, [("2", "act1"), ("4", "act2")], weight=weight)
        descent = torch.optim.Adam(target.parameters(), 0.01)
        for _ in range(40):
            output, term = guidance(images)
            descent.zero_grad()
            (cross_entropy(output, labels) + term).backward()
            descent.step()
        ends.append(float(Guidance(target, guide, guidance.layers)(images).term.detach()))
        assert all(torch.equal(value, before[name]) for name, value in guide.state_dict().items())
    assert ends[1] < ends[0] - 0.5


def test_layers_are_paired_at_equal_relative_depth():
    assert pair_layers(range(10), range(4)) == [(0, 0), (3, 1), (6, 2), (9, 3)]
    assert pair_layers(["a", "b"], range(5)) == [("a", 0), ("b", 4)]
    assert pair_layers(range(3), range(3)) == [(0, 0), (1, 1), (2, 2)]
    assert pair_layers(range(4), ["one"]) == [(3, "one")]


def test_wrong_arguments_are_named():
    target, guide = pair()
    with pytest.raises(ValueError, match="target: got 0 layers and 2"):
        pair_layers([], [1, 2])
    with pytest.raises(ValueError, match="guides: got 1 layers for 2"):
        guidance_loss([normal(5, 2)] * 2, [normal(5, 2)])
    with pytest.raises(ValueError, match="layers: got none"):
        Guidance(target, guide, [])
    with pytest.raises(ValueError, match="weight: got -1"):
        Guidance(target, guide, [("2", "act1")], weight=-1)
    with pytest.raises(ValueError, match="layers: got 'act9'"):
        Guidance(target, guide, [("2", "act9")])(normal(4, 1, 6, 6))
    with pytest.raises(ValueError, match="layers: got '99'"):
        Guidance(target, guide, [("99", "act1")])(normal(4, 1, 6, 6))
