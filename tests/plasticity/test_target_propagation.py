import copy

import pytest
import torch
from torch import nn

from replica.lab.problems.credit.networks import network
from replica.plasticity import DifferenceTargetPropagation

SHAPES = {"mlp": (5,), "conv": (1, 9, 8)}


def built(form="mlp", depth=3, seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    net = network(form, SHAPES[form], 4, depth=depth, width=6, generator=generator)
    inputs = torch.randn(9, *SHAPES[form], generator=generator)
    labels = torch.randint(4, (9,), generator=generator)
    return DifferenceTargetPropagation(net, inputs, generator=generator, **options), inputs, labels


def test_with_exact_inverses_targets_reach_the_last_target():
    """Linear invertible layers: putting out the lower targets gives the last one."""
    torch.manual_seed(0)
    net = nn.Sequential(*(nn.Linear(4, 4, bias=False) for _ in range(4))).double()
    inputs, labels = torch.randn(6, 4, dtype=torch.float64), torch.arange(6) % 4
    trainer = DifferenceTargetPropagation(net, inputs, activation=nn.Identity)
    with torch.no_grad():
        for layer, inverse in zip(list(net)[1:-1], trainer.inverses, strict=True):
            inverse.weights.weight.copy_(torch.linalg.inv(layer.weight))
    targets = trainer.targets(trainer.states(inputs), labels)
    torch.testing.assert_close(net[2](net[1](targets[0])), targets[2])
    torch.testing.assert_close(net[1](targets[0]), targets[1])


def test_targets_of_poor_inverses_are_the_states_where_there_is_nothing_to_correct():
    trainer, inputs, labels = built()
    trainer.loss = lambda scores, labels: 0.0 * scores.sum()
    states = trainer.states(inputs)
    for state, target in zip(states, trainer.targets(states, labels), strict=True):
        torch.testing.assert_close(state, target)


@pytest.mark.parametrize("form", SHAPES)
def test_the_last_hidden_layer_and_the_head_get_backpropagations_gradient(form):
    trainer, inputs, labels = built(form)
    wanted = dict(trainer.network.named_parameters())
    loss = nn.functional.cross_entropy(trainer.network(inputs), labels)
    gradients = dict(zip(wanted, torch.autograd.grad(loss, list(wanted.values())), strict=True))
    found = trainer.gradients(inputs, labels)
    assert set(found) == set(wanted)
    for name in wanted:
        if name.startswith(("layer3", "head")):
            torch.testing.assert_close(found[name], gradients[name], rtol=1e-3, atol=1e-6, msg=name)


@pytest.mark.parametrize("form", SHAPES)
def test_inverses_learn_to_invert(form):
    trainer, inputs, _ = built(form, noise=0.01, optimiser=lambda p: torch.optim.Adam(p, lr=0.01))
    states = trainer.states(inputs)
    before = [float(loss.detach()) for loss in trainer.inverse_losses(states)]
    for _ in range(100):
        trainer._descend(trainer.inverse_losses(states), trainer.inverse_optimisers)
    after = [float(loss.detach()) for loss in trainer.inverse_losses(states)]
    assert len(after) == 2
    assert all(late < 0.9 * early for early, late in zip(before, after, strict=True))


def test_gradients_change_nothing_and_steps_repeat():
    first, inputs, labels = built()
    second, _, _ = built()
    first.gradients(inputs, labels)
    for trainer in (first, second):
        for _ in range(2):
            trainer.step(inputs, labels)
    for ours, theirs in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_state_dict_carries_on_as_if_nothing_had_happened():
    trainer, inputs, labels = built(noise=0.0)
    trainer.step(inputs, labels)
    other, _, _ = built(seed=7, noise=0.0)
    other.load_state_dict(copy.deepcopy(trainer.state_dict()))
    for each in (trainer, other):
        each.step(inputs, labels)
    for ours, theirs in zip(trainer.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_head_alone_is_logistic_regression():
    net = nn.Sequential(nn.Linear(3, 2))
    trainer = DifferenceTargetPropagation(net, torch.zeros(1, 3))
    inputs, labels = torch.randn(8, 3), torch.arange(8) % 2
    trainer.step(inputs, labels)
    wanted = torch.autograd.grad(nn.functional.cross_entropy(net(inputs), labels), list(net.parameters()))
    for ours, theirs in zip(trainer.gradients(inputs, labels).values(), wanted, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("wrong", [{"step_size": 0.0}, {"noise": -1.0}, {"inverse_steps": -1}])
def test_bad_arguments_are_named(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}: got"):
        DifferenceTargetPropagation(nn.Sequential(nn.Linear(2, 2)), torch.zeros(1, 2), **wrong)
