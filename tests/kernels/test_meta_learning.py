"""Meta-learning of networks and of kernels: against one that is written out, and against each other."""

import numpy as np
import pytest
import torch
from torch import nn

from replica.kernels import InfiniteLinearNetwork, KernelMaml, NetworkMaml, one_shot_tasks
from replica.training import Replicas

TASKS, WAYS, DIM = 6, 3, 4


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def pool():
    return torch.randn(40, DIM, generator=seeded(), dtype=torch.float64)


def tasks(seed):
    drawn = torch.stack([torch.randperm(40, generator=seeded(100 * seed + task))[: 2 * WAYS] for task in range(TASKS)])
    labels = torch.arange(WAYS).expand(TASKS, WAYS)
    return drawn[:, :WAYS], labels, drawn[:, WAYS:], labels


def linear():
    layer = nn.Linear(DIM, WAYS, bias=False, dtype=torch.float64)
    nn.init.zeros_(layer.weight)
    return layer


def test_networks_meta_learn_as_written_out():
    rates, points = torch.tensor([0.1, 0.9], dtype=torch.float64), pool()
    start = InfiniteLinearNetwork(DIM, WAYS, readout_scale=0.3, dtype=torch.float64)
    maml = NetworkMaml(Replicas.of(start, 2), rates, clip_norm=0.05)
    for seed in range(3):
        support, labels, query, asked = tasks(seed)
        maml.learn(points[support], labels, points[query], asked)
    for index, rate in enumerate(rates.tolist()):
        net = InfiniteLinearNetwork(DIM, WAYS, readout_scale=0.3, dtype=torch.float64)
        for seed in range(3):
            support, labels, query, asked = tasks(seed)
            total = [torch.zeros_like(p) for p in net.parameters()]
            for task in range(TASKS):
                inner = InfiniteLinearNetwork(DIM, WAYS, dtype=torch.float64)
                inner.load_state_dict(net.state_dict())
                nn.functional.cross_entropy(inner(points[support[task]]), labels[task]).backward()
                with torch.no_grad():
                    for parameter in inner.parameters():
                        parameter -= 0.4 * parameter.grad
                        parameter.grad = None
                nn.functional.cross_entropy(inner(points[query[task]]), asked[task]).backward()
                total = [t + p.grad / TASKS for t, p in zip(total, inner.parameters(), strict=True)]
            norm = torch.cat([t.flatten() for t in total]).norm()
            with torch.no_grad():
                for parameter, slope in zip(net.parameters(), total, strict=True):
                    parameter -= rate * slope * min(1.0, 0.05 / float(norm))
        for ours, theirs in zip(maml.replicas.model(index).parameters(), net.parameters(), strict=True):
            torch.testing.assert_close(ours, theirs)


def test_a_linear_kernel_meta_learns_as_a_linear_network():
    rates, points = torch.tensor([0.1, 2.0], dtype=torch.float64), pool()
    net = NetworkMaml(Replicas.of(linear(), 2), rates, clip_norm=0.3)
    kernel = KernelMaml(points @ points.T, WAYS, rates, clip_norm=0.3)
    for seed in range(5):
        support, labels, query, asked = tasks(seed)
        net.learn(points[support], labels, points[query], asked)
        kernel.learn(support, labels, query, asked)
    support, labels, query, _ = tasks(9)
    torch.testing.assert_close(
        kernel.scores(support, labels, query, steps=4), net.scores(points[support], labels, points[query], steps=4)
    )
    assert not torch.equal(kernel.coefficients[0], kernel.coefficients[1])


def test_a_kernels_scale_is_that_of_its_matrix_and_a_pool_is_looked_up():
    points, scale = pool(), torch.tensor([0.3, 2.0], dtype=torch.float64)
    rates = torch.tensor([0.1, 0.5], dtype=torch.float64)
    scaled = KernelMaml(points @ points.T, WAYS, rates, scales=scale, clip_norm=0.3)
    plain = [
        KernelMaml(float(s) * points @ points.T, WAYS, r[None], clip_norm=0.3)
        for s, r in zip(scale, rates, strict=True)
    ]
    nets = [NetworkMaml(Replicas.of(linear(), 1), rates[:1], pool=given) for given in (points, None)]
    for seed in range(5):
        support, labels, query, asked = tasks(seed)
        for learner in (scaled, *plain, nets[0]):
            learner.learn(support, labels, query, asked)
        nets[1].learn(points[support], labels, points[query], asked)
    support, labels, query, asked = tasks(9)
    expected = torch.cat([one.scores(support, labels, query, steps=4) for one in plain])
    torch.testing.assert_close(scaled.scores(support, labels, query, steps=4), expected)
    assert not torch.equal(scaled.coefficients[0], scaled.coefficients[1])
    for index in range(2):
        torch.testing.assert_close(scaled.only(index).scores(support, labels, query, steps=4)[0], expected[index])
    right = (expected.argmax(-1) == asked).double().mean((1, 2))
    torch.testing.assert_close(scaled.accuracy(support, labels, query, asked, steps=4), right)
    looked_up = nets[0].only(0).scores(support, labels, query, steps=2)
    torch.testing.assert_close(looked_up, nets[1].scores(points[support], labels, points[query], steps=2))


def test_tasks_ask_for_another_copy_of_the_same_classes():
    classes, copies = np.array([3, 5, 6, 9]), 4
    found = one_shot_tasks(200, classes, ways=3, copies=copies, rng=np.random.default_rng(0))
    assert torch.equal(found.support // copies, found.query // copies)
    assert not (found.support == found.query).any()
    assert all(len(set(task)) == 3 for task in (found.support // copies).tolist())
    # Every copy of these classes is drawn, and none of others.
    every = {copies * c + copy for c in classes.tolist() for copy in range(copies)}
    assert set(found.query.flatten().tolist()) == every
    assert found.query_labels.tolist() == [[0, 1, 2]] * 200


def test_without_meta_steps_one_step_asks_the_nearest_example():
    points = pool()
    kernel = KernelMaml(points @ points.T, WAYS, torch.ones(1))
    support, labels, query, _ = tasks(1)
    found = kernel.scores(support, labels, query, steps=1)[0].argmax(-1)
    nearest = torch.einsum("tqd,tsd->tqs", points[query], points[support]).argmax(-1)
    assert torch.equal(found, labels.gather(1, nearest))


def test_wrong_arguments():
    with pytest.raises(ValueError, match="rates: got 1, want 2"):
        NetworkMaml(Replicas.of(linear(), 2), torch.ones(1))
    with pytest.raises(ValueError, match=r"gram: got shape \(2, 3\)"):
        KernelMaml(torch.ones(2, 3), WAYS, torch.ones(1))
    with pytest.raises(ValueError, match="scales: got 2, want 1"):
        KernelMaml(torch.eye(3), WAYS, torch.ones(1), scales=torch.ones(2))
    for options, message in (({"ways": 5, "copies": 2}, "ways: got 5"), ({"ways": 2, "copies": 1}, "copies: got 1")):
        with pytest.raises(ValueError, match=message):
            one_shot_tasks(1, np.arange(4), rng=np.random.default_rng(0), **options)
