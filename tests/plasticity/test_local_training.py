import copy
import io

import pytest
import torch
from torch import nn

from replica.plasticity import AugLocal, LocalTraining, MomentumAuxiliary
from replica.training import conv_net, mlp


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def example(dtype=torch.float64):
    generator = seeded(1)
    return torch.randn(8, 5, generator=generator, dtype=dtype), torch.randint(3, (8,), generator=generator)


def net_of(dtype=torch.float64, depth=4, seed=0):
    return mlp((5, *[6] * depth, 3), generator=seeded(seed), dtype=dtype)


def trainers(net, inputs, **options):
    return (
        AugLocal(net, inputs, depth=2, generator=seeded(2), **options),
        MomentumAuxiliary(net, inputs, generator=seeded(2), **options),
        AugLocal(net, inputs, depth=0, generator=seeded(2), **options),
    )


@pytest.mark.parametrize("which", range(3))
@pytest.mark.parametrize("blocks", [None, 2, 3])
def test_gradients_are_those_of_each_blocks_own_loss(which, blocks):
    """Beside autograd on losses written out one by one; finite differences on one weight a block."""
    inputs, labels = example()
    net = net_of()
    trainer = trainers(net, inputs, blocks=blocks)[which]
    found = trainer.gradients(inputs, labels)
    names = {parameter: name for name, parameter in net.named_parameters()}
    assert set(found) == set(names.values())
    state = inputs
    for number, block in enumerate(trainer.blocks):

        def loss(block=block, number=number, state=state):
            output = block(state)
            scores = trainer.auxiliaries[number](output) if number < len(trainer.auxiliaries) else output
            return nn.functional.cross_entropy(scores, labels)

        for parameter in block.parameters():
            (wanted,) = torch.autograd.grad(loss(), parameter)
            torch.testing.assert_close(found[names[parameter]], wanted)
            with torch.no_grad():
                flat, step = parameter.view(-1), 1e-6
                flat[0] += step
                higher = float(loss())
                flat[0] -= 2 * step
                slope = (higher - float(loss())) / (2 * step)
                flat[0] += step
            assert abs(slope - float(wanted.flatten()[0])) < 1e-6
        state = block(state).detach()


def test_a_block_does_not_see_what_comes_later():
    """The first block's gradient stays what it is, whatever the primary layers behind it hold."""
    inputs, labels = example()
    net = net_of()
    trainer = AugLocal(net, inputs, depth=2, generator=seeded(2))
    before = trainer.gradients(inputs, labels)
    with torch.no_grad():
        for layer in list(net)[2:]:
            for parameter in layer.parameters():
                parameter.normal_(generator=seeded(5))
    after = trainer.gradients(inputs, labels)
    assert torch.equal(before["0.weight"], after["0.weight"])
    assert not torch.allclose(before["4.weight"], after["4.weight"])


def test_one_block_is_backpropagation():
    inputs, labels = example()
    net, plain = net_of(), net_of()
    trainer = AugLocal(net, inputs, blocks=1, optimiser=lambda own: torch.optim.SGD(own, 0.3))
    descent = torch.optim.SGD(plain.parameters(), 0.3)
    for _ in range(5):
        descent.zero_grad()
        loss = nn.functional.cross_entropy(plain(inputs), labels)
        loss.backward()
        descent.step()
        (found,) = trainer.step(inputs, labels)
        torch.testing.assert_close(found, loss.detach())
    for own, other in zip(net.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(own, other)


def test_a_step_is_the_optimisers_on_those_gradients():
    inputs, labels = example()
    for which in range(3):
        net = net_of()
        trainer = trainers(net, inputs, optimiser=lambda own: torch.optim.SGD(own, 0.1))[which]
        wanted = trainer.gradients(inputs, labels)
        before = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
        auxiliaries = copy.deepcopy(trainer.auxiliaries.state_dict())
        losses = trainer.step(inputs, labels)
        assert losses.shape == (len(trainer.blocks),)
        for name, parameter in net.named_parameters():
            torch.testing.assert_close(parameter.detach(), before[name] - 0.1 * wanted[name])
            assert parameter.grad is None
        assert any(
            not torch.equal(value, auxiliaries[name]) for name, value in trainer.auxiliaries.state_dict().items()
        )


def test_gradients_change_nothing():
    inputs, labels = example()
    net = net_of()
    trainer = AugLocal(net, inputs, generator=seeded())
    before = copy.deepcopy(trainer.state_dict())
    trainer.gradients(inputs, labels)
    for name, value in trainer.state_dict().items():
        assert name == "_extra_state" or torch.equal(value, before[name])
    assert all(parameter.grad is None for parameter in trainer.parameters())


@pytest.mark.parametrize("which", range(3))
def test_training_goes_on_where_a_state_dict_left_it(which):
    inputs, labels = example()
    first = trainers(net_of(), inputs)[which]
    for _ in range(3):
        first.step(inputs, labels)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = trainers(net_of(seed=4), inputs)[which]
    second.load_state_dict(torch.load(file, weights_only=True))
    third = copy.deepcopy(first)
    for _ in range(3):
        one, other, last = (trainer.step(inputs, labels) for trainer in (first, second, third))
        assert torch.equal(one, other)
        assert torch.equal(one, last)
    assert torch.equal(first(inputs), second(inputs))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("which", range(3))
def test_it_learns_images_in_both_precisions_and_repeats(which, dtype):
    generator = seeded()
    labels = torch.arange(60) % 3
    images = (
        torch.randn(60, 1, 6, 6, generator=generator, dtype=dtype)
        + 2 * torch.eye(6, dtype=dtype)[labels][:, None, None]
    )
    ends = []
    for _ in range(2):
        net = conv_net((1, 6, 6, 6), 3, pool_after=(2,), size=(6, 6), generator=seeded(3), dtype=dtype)
        trainer = trainers(net, images[:4], optimiser=lambda own: torch.optim.Adam(own, 3e-3))[which]
        for _ in range(40):
            losses = trainer.step(images, labels)
        assert losses.dtype == dtype
        assert float((trainer(images).argmax(1) == labels).double().mean()) > 0.9
        ends.append(net.state_dict())
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())


def test_the_global_random_state_is_left_alone():
    inputs, labels = example()
    before = torch.random.get_rng_state()
    for trainer in trainers(net_of(), inputs):
        trainer.step(inputs, labels)
    assert torch.equal(before, torch.random.get_rng_state())


def test_activations_of_one_block_at_a_time():
    """What autograd keeps for the way back, counted by its own hooks: never more than one block's at once."""
    inputs, labels = example()
    trainer = AugLocal(net_of(depth=10), inputs, depth=0, generator=seeded())
    alive = most = 0

    class Kept:
        def __init__(self, value):
            nonlocal alive, most
            self.value = value
            alive += 1
            most = max(most, alive)

        def __del__(self):
            nonlocal alive
            alive -= 1

    with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.value):
        trainer.step(inputs, labels)
        local, most = most, 0
        nn.functional.cross_entropy(trainer(inputs), labels).backward()
    assert local < most / 3


def test_bad_arguments_are_named():
    inputs, _ = example()
    with pytest.raises(ValueError, match="auxiliaries: got 0 for 2 blocks"):
        LocalTraining(nn.Identity(), [nn.Linear(2, 2), nn.Linear(2, 2)], [])
    for options in ({"blocks": 9}, {"depth": -1}, {"taper": 1.5}, {"selection": "random"}):
        with pytest.raises(ValueError, match=f"{next(iter(options))}: got"):
            AugLocal(net_of(), inputs, **options)
