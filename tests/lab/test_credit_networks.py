"""The networks of credit: plain stacks of layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from replica.lab.problems.credit.networks import arrange, network

FORMS = {"mlp": (5,), "conv": (1, 9, 8), "recurrent": (6, 3)}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("depth", [1, 4])
def test_networks_are_stacks_of_layers_and_a_head(form: str, depth: int) -> None:
    generator = torch.Generator().manual_seed(0)
    net = network(form, FORMS[form], 4, depth=depth, width=6, generator=generator)
    assert [name for name, _ in net.named_children()] == [f"layer{i + 1}" for i in range(depth)] + ["head"]
    assert net(torch.zeros(2, *FORMS[form])).shape == (2, 4)
    again = network(form, FORMS[form], 4, depth=depth, width=6, generator=torch.Generator().manual_seed(0))
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), again.parameters(), strict=True))


def test_signals_grow_neither_nor_vanish_with_depth() -> None:
    inputs = torch.randn(50, 64, generator=torch.Generator().manual_seed(1))
    net = network("mlp", (64,), 10, depth=20, width=256, generator=torch.Generator().manual_seed(0))
    states = net[:-1](inputs)
    assert 0.3 < float(states.detach().square().mean()) < 3


def test_the_recurrent_layer_is_torchs() -> None:
    """Same weights, same numbers as `torch.nn.RNN`."""
    layer = network("recurrent", (6, 3), 4, depth=1, width=5, generator=torch.Generator().manual_seed(0)).layer1
    peer = nn.RNN(3, 5, batch_first=True)
    with torch.no_grad():
        peer.weight_ih_l0.copy_(layer.input.weight)
        peer.weight_hh_l0.copy_(layer.recurrent.weight)
        peer.bias_ih_l0.copy_(layer.input.bias)
        peer.bias_hh_l0.zero_()
    inputs = torch.randn(4, 6, 3)
    torch.testing.assert_close(layer(inputs), peer(inputs)[0])


def test_rows_are_arranged_for_the_network() -> None:
    images, signals = torch.zeros(4, 9, 8), torch.zeros(4, 9)
    assert [tuple(arrange(images, form).shape) for form in FORMS] == [(4, 72), (4, 1, 9, 8), (4, 9, 8)]
    assert [tuple(arrange(signals, form).shape) for form in FORMS] == [(4, 9), (4, 1, 9), (4, 9, 1)]


net = nn.Sequential(*(layer for _ in range(6) for layer in (nn.Linear(64, 64), nn.ReLU())))


@pytest.mark.parametrize("form", ["mlp", "conv"])
def test_hidden_layers_may_have_tanh(form: str) -> None:
    """A lesser start then: variance 1 / inputs, where a ReLU has 2 / inputs."""
    nets = [
        network(form, FORMS[form], 4, depth=2, width=6, generator=torch.Generator().manual_seed(0), activation=name)
        for name in ("relu", "tanh")
    ]
    assert [type(net.layer2[1]) for net in nets] == [nn.ReLU, nn.Tanh]
    torch.testing.assert_close(nets[0].layer1[0].weight, 2**0.5 * nets[1].layer1[0].weight)
    torch.testing.assert_close(nets[0].head[-1].weight, nets[1].head[-1].weight)
