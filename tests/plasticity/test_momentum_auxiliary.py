import pytest
import torch
from torch import nn

from replica.plasticity import FollowedLayer, MomentumAuxiliary
from replica.training import conv_net, mlp


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def built(depth=3, **options):
    net = mlp((4, *[5] * depth, 3), generator=seeded(), dtype=torch.float64)
    inputs = torch.randn(16, 4, generator=seeded(1), dtype=torch.float64)
    return net, inputs, torch.arange(16) % 3, MomentumAuxiliary(net, inputs, generator=seeded(2), **options)


def test_an_average_of_a_moving_layer_is_the_geometric_sum():
    layer, momentum, steps = nn.Linear(3, 2).double(), 0.8, 25
    follower = FollowedLayer(layer, momentum=momentum, bias=False)
    weights = [layer.weight.detach().clone()]
    for _ in range(steps):
        with torch.no_grad():
            layer.weight.add_(torch.randn(layer.weight.shape, generator=seeded(len(weights)), dtype=torch.float64))
        weights.append(layer.weight.detach().clone())
        follower.follow(layer)
    by_hand = momentum**steps * weights[0]
    for age, weight in enumerate(reversed(weights[1:])):
        by_hand = by_hand + (1 - momentum) * momentum**age * weight
    torch.testing.assert_close(follower.average.weight, by_hand)


def test_limits_of_the_momentum():
    """At 0 the average is the layer of now, at 1 that of the start."""
    for momentum in (0.0, 1.0):
        _, inputs, labels, trainer = built(momentum=momentum)
        starts = [auxiliary[0].average.state_dict()["0.weight"].clone() for auxiliary in trainer.auxiliaries]
        for _ in range(4):
            trainer.step(inputs, labels)
        for start, auxiliary, layer in zip(starts, trainer.auxiliaries, trainer.followed, strict=True):
            wanted = layer[0].weight if momentum == 0 else start
            torch.testing.assert_close(auxiliary[0].average[0].weight, wanted.detach())
            assert not torch.equal(layer[0].weight.detach(), start)


def test_the_output_is_the_sum_of_average_and_bias():
    layer = nn.Sequential(nn.Linear(4, 5), nn.ReLU())
    inputs = torch.randn(2, 3, 4)
    both = FollowedLayer(layer, generator=seeded())
    torch.testing.assert_close(both(inputs), layer(inputs) + both.bias(inputs))
    alone = FollowedLayer(layer, average=False, generator=seeded())
    torch.testing.assert_close(alone(inputs), both.bias(inputs))
    assert alone.average is None


def test_averages_get_no_gradient_but_let_it_through():
    _, inputs, labels, trainer = built(bias=False)
    found = trainer.gradients(inputs, labels)
    assert float(found["0.weight"].abs().max()) > 0
    averages = [p for auxiliary in trainer.auxiliaries for p in auxiliary[0].parameters()]
    assert averages
    assert not any(p.requires_grad for p in averages)
    assert not set(averages) & {p for o in trainer.optimisers for group in o.param_groups for p in group["params"]}


def test_blocks_follow_the_first_layer_of_the_next():
    net, _, _, trainer = built(depth=6, blocks=3)
    assert [id(layer[0]) for layer in trainer.followed] == [id(net[4]), id(net[8])]
    assert len(trainer.auxiliaries) == 2


def test_without_average_and_bias_a_linear_classifier_remains():
    _, inputs, labels, trainer = built(average=False, bias=False)
    assert [[tuple(p.shape) for p in a.parameters()] for a in trainer.auxiliaries] == [[(3, 5), (3,)]] * 2
    trainer.step(inputs, labels)


def test_a_followed_layer_with_a_stride_and_normalisation():
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(),
        nn.Conv2d(4, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.ReLU(),
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)),
    )  # fmt: skip
    images, labels = torch.randn(9, 1, 8, 8), torch.arange(9) % 3
    trainer = MomentumAuxiliary(net, images[:2], generator=seeded())
    for _ in range(3):
        trainer.step(images, labels)
    assert trainer.auxiliaries[0][0](net[:3](images)).shape == (9, 6, 4, 4)


def test_the_layer_followed_is_only_read():
    net = conv_net((1, 4, 4), 3, generator=seeded())
    MomentumAuxiliary(net, torch.zeros(1, 1, 6, 6))
    assert all(p.requires_grad for p in net.parameters())


@pytest.mark.parametrize("momentum", [-0.1, 1.1])
def test_bad_arguments_are_named(momentum):
    with pytest.raises(ValueError, match="momentum: got"):
        built(momentum=momentum)
    with pytest.raises(ValueError, match="average, bias: got neither"):
        FollowedLayer(nn.Linear(2, 2), average=False, bias=False)
