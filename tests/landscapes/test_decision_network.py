"""The decision network against PyTorch's own recurrent layer, and the trials against what an observer can make of them."""

import math

import pytest
import torch

from replica.landscapes import DecisionNetwork, perceptual_decisions


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_states_are_those_of_a_recurrent_layer_of_pytorch():
    network = DecisionNetwork(torch.randn(6, 6, generator=seeded()), inputs=4, outputs=2, generator=seeded(1)).double()
    layer = torch.nn.RNN(4, 6, nonlinearity="relu", bias=False, batch_first=True).double()
    layer.weight_hh_l0.data.copy_(network.recurrent.data)
    layer.weight_ih_l0.data.copy_(network.input.data)
    inputs = torch.randn(3, 5, 4, generator=seeded(2), dtype=torch.float64)
    states = layer(inputs)[0]
    torch.testing.assert_close(network.states(inputs), states)
    torch.testing.assert_close(network(inputs), states @ network.readout.T)
    assert network.input.abs().max() <= 0.5
    assert network.readout.abs().max() <= 6**-0.5


def test_trials_show_the_side_that_is_to_be_chosen():
    inputs, labels = perceptual_decisions(4000, coherences=(0.064,), generator=seeded())
    assert labels[:, :-1].eq(0).all()
    assert inputs[:, -1].eq(0).all()
    assert inputs[:, :-1, 0].eq(1).all()
    side = labels[:, -1]
    assert sorted(side.unique().tolist()) == [1, 2]
    assert float(side.eq(1).double().mean()) == pytest.approx(0.5, abs=0.03)
    # An observer who sums evidence is right as often as signal detection says.
    evidence = (inputs[:, :-1, 1] - inputs[:, :-1, 2]).sum(1)
    right = float(((evidence > 0) == (side == 1)).double().mean())
    signal = 0.064 * 7 / (0.1 * math.sqrt(2 * 7))
    assert right == pytest.approx(0.5 * (1 + math.erf(signal / math.sqrt(2))), abs=0.02)
    assert float(inputs[:, :-1, 1:].mean()) == pytest.approx(0.5, abs=0.005)


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"recurrent: got shape \(2, 3\)"):
        DecisionNetwork(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="inputs, outputs: got 0 and 3"):
        DecisionNetwork(torch.eye(2), inputs=0)
    with pytest.raises(ValueError, match=r"inputs: got shape \(1, 2, 4\), want \(batch, steps, 3\)"):
        DecisionNetwork(torch.eye(2))(torch.zeros(1, 2, 4))
    with pytest.raises(ValueError, match="count, steps: got 0 and 8"):
        perceptual_decisions(0)
    with pytest.raises(ValueError, match="coherences, noise"):
        perceptual_decisions(1, coherences=())
