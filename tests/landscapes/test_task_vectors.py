"""Task vectors and their composition: against weights put together by hand, autograd, least squares, and each network itself."""

import copy

import pytest
import torch
from torch import nn
from torch.func import functional_call

from replica.landscapes import AnisotropicComposition, TaskVector, learn_scales
from replica.training import Replicas, mlp, train_replicas


def made(count=3, seed=0, sizes=(4, 6, 3)):
    generator = torch.Generator().manual_seed(seed)
    base, *nets = (mlp(sizes, generator=generator, dtype=torch.float64) for _ in range(count + 1))
    return base, nets, [TaskVector.between(base, net) for net in nets]


X = torch.randn(9, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("partitions", [0, 1, 5])
def test_one_hot_scales_reproduce_each_network_and_zeros_the_base(partitions):
    base, nets, vectors = made()
    composed = AnisotropicComposition(base, vectors, partitions=partitions)
    torch.testing.assert_close(composed(X), base(X))
    for index, net in enumerate(nets):
        with torch.no_grad():
            composed.scales.zero_()[index] = 1
        torch.testing.assert_close(composed(X), net(X))
        torch.testing.assert_close(composed.merged(base)(X), net(X))
    assert [name for name, _ in composed.named_parameters()] == ["scales"]


def test_each_block_and_vector_has_its_own_scale():
    base, nets, vectors = made()
    composed = AnisotropicComposition(base, vectors)
    scales = torch.randn(3, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    composed.scales.data = scales
    values = {}
    for block, (name, start) in enumerate(base.named_parameters()):
        moves = [scales[i, block] * (net.get_parameter(name) - start) for i, net in enumerate(nets)]
        values[name] = start + sum(moves)
    torch.testing.assert_close(composed(X), functional_call(base, values, X))
    # and with as many groups as entries each entry has its own
    entries = AnisotropicComposition(base, vectors[:1], partitions=10**6)
    assert entries.scales.numel() == sum(p.numel() for p in base.parameters())


def test_groups_part_a_block_evenly_and_at_random():
    base, _, vectors = made(1, sizes=(8, 8))
    groups = [
        AnisotropicComposition(base, vectors, partitions=4, generator=torch.Generator().manual_seed(seed)).groups0
        for seed in (0, 0, 1)
    ]
    assert torch.bincount(groups[0].flatten()).tolist() == [16] * 4
    assert torch.equal(groups[0], groups[1])
    assert not torch.equal(groups[0], groups[2])
    composed = AnisotropicComposition(base, vectors, partitions=4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        composed.scales[0, 2] = 1
    moved = composed.values()["0.weight"] != base[0].weight
    assert torch.equal(moved, groups[0] == 2)


def test_gradients_are_right_and_the_base_gets_none():
    base, _, vectors = made()
    composed = AnisotropicComposition(base, vectors, partitions=2)
    at = torch.randn_like(composed.scales).requires_grad_()
    assert torch.autograd.gradcheck(lambda scales: functional_call(composed, {"scales": scales}, X), (at,))
    composed(X).sum().backward()
    assert all(parameter.grad is None for parameter in base.parameters())


def test_frozen_blocks_have_no_scales_and_tied_ones_move_together():
    base, nets, _ = made(2)
    for net in nets:
        net[2].load_state_dict(base[2].state_dict())
    assert AnisotropicComposition(base, [TaskVector.between(base, net) for net in nets]).scales.shape == (2, 2)
    tied = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    tied[1].weight = tied[0].weight
    other = copy.deepcopy(tied)
    with torch.no_grad():
        other[0].weight += 1
    composed = AnisotropicComposition(tied, [TaskVector.between(tied, other)])
    composed.scales.data.fill_(1)
    torch.testing.assert_close(composed(X.float()), other(X.float()))


def test_arithmetic_of_vectors():
    base, nets, (first, second, _) = made()
    moved = (first + 2 * second).applied(base)
    for name, start in base.named_parameters():
        wanted = nets[0].get_parameter(name) + 2 * (nets[1].get_parameter(name) - start)
        torch.testing.assert_close(moved.get_parameter(name), wanted)
    torch.testing.assert_close((-first).applied(nets[0])(X), base(X))
    random = first.random_like(torch.Generator().manual_seed(0))
    for name, block in first.blocks.items():
        torch.testing.assert_close(random.blocks[name].norm(), block.norm())
        assert abs(float(torch.cosine_similarity(random.blocks[name].flatten(), block.flatten(), 0))) < 0.9
    with pytest.raises(ValueError, match="tuned: got other parameters"):
        TaskVector.between(base, mlp((4, 5, 3)))
    with pytest.raises(ValueError, match="base: got a network without"):
        first.applied(nn.Linear(4, 3))


def test_scales_that_are_learned_find_the_network_that_made_the_labels():
    """Labels of a network half way along one block of one vector: the loss has its least there, where it is convex."""
    generator = torch.Generator().manual_seed(3)
    base, *tuned = (nn.Linear(3, 2, dtype=torch.float64) for _ in range(3))
    vectors = [TaskVector.between(base, net) for net in tuned]
    truth = AnisotropicComposition(base, vectors)
    truth.scales.data = torch.tensor([[0.7, -0.4], [0.2, 0.5]], dtype=torch.float64)
    inputs = torch.randn(4000, 3, generator=generator, dtype=torch.float64)
    labels = torch.multinomial(truth(inputs).detach().softmax(1), 1, generator=generator)[:, 0]
    learned = AnisotropicComposition(base, vectors)
    losses = learn_scales(
        learned, [(inputs[:2000], labels[:2000]), (inputs[2000:], labels[2000:])], steps=400, rate=0.05
    )
    final = nn.functional.cross_entropy(learned(inputs), labels).detach()
    assert float(final) <= float(nn.functional.cross_entropy(truth(inputs), labels).detach()) + 1e-4, (
        "the least is at most the truth's"
    )
    assert losses.shape == (400,)
    assert losses[-1] < losses[0]
    for wrong in ({"rows": []}, {"steps": 0}, {"rate": 0.0}):
        with pytest.raises(ValueError, match="want"):
            learn_scales(learned, **{"rows": [(inputs, labels)], **wrong})


def test_many_compositions_learn_side_by_side_as_each_alone():
    base, _, vectors = made()
    labels = torch.arange(9) % 3
    alone = AnisotropicComposition(base, vectors)
    learn_scales(alone, [(X, labels)], steps=5, rate=0.01, clip_norm=1e9)
    replicas = Replicas([AnisotropicComposition(base, vectors), AnisotropicComposition(base, vectors[::-1])])
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(torch.optim.SGD([torch.zeros(1)], 1.0), 5)
    shares = []
    for _ in range(5):
        shares.append(cosine.get_last_lr()[0])
        cosine.optimizer.step()
        cosine.step()
    loss = lambda net, x, y: nn.functional.cross_entropy(net(x), y)  # noqa: E731
    train_replicas(replicas, loss, [(X, labels)], steps=5, rates=0.01, optimiser="adam", schedule=shares.__getitem__)
    torch.testing.assert_close(replicas.parameters["scales"][0], alone.scales)
    torch.testing.assert_close(replicas.parameters["scales"][1].flip(0), alone.scales)
