import copy

import pytest
import torch
from torch import nn

from replica.lab.problems.credit.networks import network
from replica.plasticity import CounterCurrentLearning, counter_current_loss

SHAPES = {"mlp": (5,), "conv": (1, 9, 8)}


def built(form="mlp", depth=3, seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    net = network(form, SHAPES[form], 4, depth=depth, width=6, generator=generator)
    inputs = torch.randn(9, *SHAPES[form], generator=generator)
    labels = torch.randint(4, (9,), generator=generator)
    return CounterCurrentLearning(net, inputs, generator=generator, **options), inputs, labels


@pytest.mark.parametrize("shape", [(6,), (2, 3, 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_loss_is_its_formula(shape, dtype):
    features, signals = torch.randn(5, *shape, dtype=dtype), torch.randn(3, *shape, dtype=dtype)
    labels = torch.tensor([0, 2, 1, 1, 0])

    def cos(one, other):
        one, other = one.flatten(), other.flatten()
        return float(one @ other / (one.norm() * other.norm()))

    across = [(cos(a, b) - int(labels[i] == j)) ** 2 for i, a in enumerate(features) for j, b in enumerate(signals)]
    found = counter_current_loss(features, signals, labels)
    assert float(found) == pytest.approx(float(sum(across) / len(across)), rel=1e-5)
    within = 0.0
    for rows in (features, signals):
        pairs = [(cos(a, b) - (i == k)) ** 2 for i, a in enumerate(rows) for k, b in enumerate(rows)]
        within += sum(pairs) / len(pairs)
    found = counter_current_loss(features, signals, labels, decorrelation=0.3) - found
    assert float(found) == pytest.approx(0.3 * within, rel=1e-4)


def test_the_loss_does_not_see_lengths_and_vanishes_when_classes_are_apart():
    signals = torch.eye(4)
    labels = torch.tensor([3, 0, 0, 2, 1])
    assert float(counter_current_loss(7 * signals[labels], signals, labels)) == pytest.approx(0, abs=1e-12)
    features = torch.randn(5, 4)
    lengths = torch.rand(5, 1) + 0.5
    torch.testing.assert_close(
        counter_current_loss(lengths * features, signals, labels), counter_current_loss(features, 2 * signals, labels)
    )


def test_the_losss_gradient_is_right():
    features, signals = (torch.randn(n, 4, dtype=torch.float64, requires_grad=True) for n in (5, 3))
    labels = torch.tensor([0, 2, 1, 1, 0])
    assert torch.autograd.gradcheck(
        lambda a, b: counter_current_loss(a, b, labels, decorrelation=0.5), (features, signals)
    )


@pytest.mark.parametrize("form", SHAPES)
def test_one_step_is_the_papers_algorithm_written_out(form):
    """All levels at once, with detached inputs, one backward pass through the sum of losses and one optimiser."""
    trainer, inputs, labels = built(form, optimiser=lambda p: torch.optim.SGD(p, lr=0.1))
    peer = copy.deepcopy(trainer)
    losses = trainer.step(inputs, labels)
    ups, downs = [inputs], [torch.eye(4)]
    for layer in peer.network:
        ups.append(layer(ups[-1].detach()))
    for layer in reversed(peer.feedback):
        downs.append(layer(downs[-1].detach()))
    downs = downs[::-1]
    wanted = [counter_current_loss(a, b, labels) for a, b in zip(ups[:-1], downs[:-1], strict=True)]
    wanted.append(nn.functional.cross_entropy(ups[-1], labels))
    optimiser = torch.optim.SGD(peer.parameters(), lr=0.1)
    torch.stack(wanted).sum().backward()
    optimiser.step()
    torch.testing.assert_close(losses, torch.stack(wanted).detach())
    for ours, theirs in zip(trainer.parameters(), peer.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_no_error_leaves_its_level():
    trainer, inputs, labels = built()
    levels = [[trainer.feedback[0]]]
    levels += [[trainer.network[i], trainer.feedback[i + 1]] for i in range(3)]
    levels += [[trainer.network[3]]]
    for number, level in enumerate(levels):
        trainer.zero_grad()
        list(trainer.losses(inputs, labels))[number].backward()
        touched = {parameter for parameter in trainer.parameters() if parameter.grad is not None}
        assert touched == {parameter for module in level for parameter in module.parameters()}


@pytest.mark.parametrize("form", SHAPES)
def test_gradients_are_what_a_step_descends_and_change_nothing(form):
    trainer, inputs, labels = built(form, optimiser=lambda p: torch.optim.SGD(p, lr=1.0))
    before = {name: parameter.detach().clone() for name, parameter in trainer.network.named_parameters()}
    found = trainer.gradients(inputs, labels)
    assert set(found) == set(before)
    assert all(torch.equal(before[name], parameter) for name, parameter in trainer.network.named_parameters())
    trainer.step(inputs, labels)
    for name, parameter in trainer.network.named_parameters():
        torch.testing.assert_close(before[name] - parameter, found[name], rtol=1e-4, atol=1e-6)


def test_feedback_that_does_not_learn_stays_as_drawn():
    trainer, inputs, labels = built(feedback_learns=False)
    before = copy.deepcopy(trainer.state_dict())
    trainer.step(inputs, labels)
    after = trainer.state_dict()
    for name in before:
        if "weight" in name:
            assert torch.equal(before[name], after[name]) == name.startswith("feedback"), name


def test_state_dict_carries_on_as_if_nothing_had_happened():
    trainer, inputs, labels = built()
    trainer.step(inputs, labels)
    other, _, _ = built(seed=7)
    other.load_state_dict(copy.deepcopy(trainer.state_dict()))
    for each in (trainer, other):
        each.step(inputs, labels)
    for ours, theirs in zip(trainer.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_it_learns_what_one_layer_cannot():
    """Exclusive or of two signs, in float64."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(400, 2, generator=generator, dtype=torch.float64)
    labels = (inputs.prod(1) > 0).long()
    net = nn.Sequential(
        nn.Sequential(nn.Linear(2, 32), nn.ELU()), nn.Sequential(nn.Linear(32, 32), nn.ELU()), nn.Linear(32, 2)
    ).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.uniform_(-0.7, 0.7, generator=generator)
    trainer = CounterCurrentLearning(net, inputs, optimiser=lambda p: torch.optim.Adam(p, lr=0.01), generator=generator)
    for _ in range(200):
        trainer.step(inputs, labels)
    assert float((trainer(inputs).argmax(1) == labels).double().mean()) > 0.93


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="network: got no layers"):
        CounterCurrentLearning(nn.Sequential(), torch.zeros(1, 2))
    with pytest.raises(ValueError, match="decorrelation: got -1"):
        CounterCurrentLearning(nn.Sequential(nn.Linear(2, 2)), torch.zeros(1, 2), decorrelation=-1)
    with pytest.raises(ValueError, match="decorrelation: got -1"):
        counter_current_loss(torch.ones(2, 3), torch.ones(2, 3), torch.tensor([0, 1]), decorrelation=-1)
    with pytest.raises(ValueError, match="signals: got"):
        counter_current_loss(torch.ones(2, 3), torch.ones(2, 4), torch.tensor([0, 1]))
