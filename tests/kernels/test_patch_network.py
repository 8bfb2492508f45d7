"""Networks over patches: what plugging in the signal gives, what symmetries they have, and their gradients."""

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import nn

from replica.data.sets.teachers.dynamic_signals import DynamicSignals, bayes_error
from replica.kernels import PatchNetwork, soft_threshold

DOUBLE = torch.float64


def made(sharing, patches=5, dim=4, **options):
    return PatchNetwork(
        patches, dim, sharing, generator=torch.Generator().manual_seed(0), dtype=DOUBLE, **{"threshold": 0.3, **options}
    )


def examples(patches=5, dim=4, count=40, seed=1):
    return torch.randn(count, patches, dim, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


def knowing(sharing, teacher, threshold):
    """A network whose weights are the signal, at any length: it divides by the norm."""
    patches, dim = teacher.shape
    network, signal = made(sharing, patches, dim, threshold=threshold), torch.from_numpy(teacher.signal)
    rows = {"cnn": signal[None], "lcn": signal.expand(patches, dim), "fcn": torch.kron(torch.eye(patches), signal)}
    network.weight = nn.Parameter(3 * rows[sharing].to(DOUBLE))
    return network


def share_wrong(network, drawn):
    with torch.no_grad():
        return float((network(torch.from_numpy(drawn.inputs)).sign().numpy() != drawn.targets).mean())


@pytest.mark.parametrize("sharing", ["cnn", "lcn", "fcn"])
def test_the_signal_plugged_in_gives_the_bayes_error(sharing):
    alone = DynamicSignals(1, 6, 0.6, np.random.default_rng(0))
    drawn = alone.examples(100_000, np.random.default_rng(1))
    assert share_wrong(knowing(sharing, alone, 1e-6), drawn) == pytest.approx(bayes_error(1, 0.6), abs=0.003)
    # Of several patches the threshold keeps noise out, nearly as well as the posterior does; without it all noise is summed.
    many = DynamicSignals(8, 6, 0.3, np.random.default_rng(0))
    drawn = many.examples(40_000, np.random.default_rng(1))
    linear, thresholded = (share_wrong(knowing(sharing, many, b), drawn) for b in (1e-6, 0.4))
    assert linear == pytest.approx(norm.cdf(-1 / (0.3 * 8**0.5)), abs=0.005)
    assert bayes_error(8, 0.3) - 0.003 < thresholded < 1.25 * bayes_error(8, 0.3)


def test_permuted_patches_leave_shared_weights_alone_and_only_them():
    inputs, order = examples(), torch.tensor([2, 0, 4, 1, 3])
    for sharing in ("cnn", "lcn", "fcn"):
        network = made(sharing)
        assert torch.allclose(network(inputs), network(inputs[:, order])) == (sharing == "cnn")
    local, permuted = made("lcn"), made("lcn")
    permuted.weight = nn.Parameter(local.weight[order].detach())
    assert torch.allclose(permuted(inputs[:, order]), local(inputs))


def descended(sharing, turn, tested):
    """Answers after ten steps of descent where all inputs, and the weights at the start, are turned."""
    network, inputs = made(sharing), examples()
    targets = inputs[:, 0, 0].sign()
    network.weight = nn.Parameter(turn(network.weight.detach()))
    descent = torch.optim.SGD(network.parameters(), 0.5)
    seen = turn(inputs.flatten(1)).view_as(inputs)
    for _ in range(10):
        descent.zero_grad()
        nn.functional.softplus(-targets * network(seen)).mean().backward()
        descent.step()
    return network(turn(tested.flatten(1)).view_as(tested)).detach()


def test_descent_of_the_fully_connected_network_is_rotation_equivariant():
    rotation = torch.linalg.qr(examples(20, 20, 1)[0]).Q
    tested = examples(seed=2)
    straight = descended("fcn", lambda rows: rows, tested)
    assert torch.allclose(descended("fcn", lambda rows: rows @ rotation, tested), straight, atol=1e-9)
    assert straight.std() > 0.1
    # A network that sees patches is so under rotations of each patch alone.
    inner = torch.linalg.qr(examples(4, 4, 1)[0]).Q
    for sharing in ("cnn", "lcn"):
        network, inputs = made(sharing), examples()
        before = network(inputs)
        network.weight = nn.Parameter(network.weight.detach() @ inner)
        assert torch.allclose(network(inputs @ inner), before)
        assert not torch.allclose(network((inputs.flatten(1) @ rotation).view_as(inputs)), before, atol=0.1)


def test_soft_threshold_is_its_closed_form_and_its_threshold_learns():
    u = torch.tensor([-3.0, -0.7, -0.2, 0.0, 0.9, 2.5], dtype=DOUBLE)
    b = torch.tensor(1.0, dtype=DOUBLE, requires_grad=True)
    found = soft_threshold(u, b)
    assert torch.equal(found, torch.tensor([-2.0, 0.0, 0.0, 0.0, 0.0, 1.5], dtype=DOUBLE))
    assert torch.equal(found, nn.functional.softshrink(u, 1.0))
    weights = torch.arange(1.0, 7.0, dtype=DOUBLE)
    (slope,) = torch.autograd.grad((weights * found).sum(), b)
    assert slope == 1 - 6  # −sign(u) where |u| > b


def test_start_length_and_gain():
    network, inputs = made("lcn"), examples()
    assert torch.allclose(network.weight.norm(dim=1), torch.ones(5, dtype=DOUBLE))
    assert network.threshold.item() == pytest.approx(0.3)
    before = network(inputs).detach()
    network.weight.data.mul_(7.0)
    network.log_gain.data.fill_(np.log(2.0))
    assert torch.allclose(network(inputs[None]), 2 * before[None])
    assert (made("fcn").weight.shape, made("fcn", units=3).weight.shape) == ((5, 20), (3, 20))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sharing": "gcn"}, "sharing: got 'gcn', want 'cnn', 'lcn' or 'fcn'"),
        ({"sharing": "cnn", "units": 2}, "units: got 2"),
        ({"sharing": "cnn", "patches": 0}, "patches: got 0, want 1 or more"),
        ({"sharing": "cnn", "threshold": 0.0}, "threshold: got 0.0"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        made(**options)
    with pytest.raises(ValueError, match=r"inputs: got shape \(40, 4, 5\)"):
        made("cnn")(examples(4, 5))
