"""Bricks: pruned neurons are zeros, all bricks are the whole, the oracle by hand, grown layers start as they were, merging."""

import copy

import pytest
import torch
from torch import nn

from replica.representations import BrickRouter, grow_brick, merge_bricks, prune_neurons
from replica.training import mlp


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def layer(activation=nn.GELU, bias: bool = True) -> nn.Sequential:
    return mlp((5, 12, 4), activation=activation, bias=bias, generator=seeded(), dtype=torch.float64)


INPUTS = torch.randn(3, 7, 5, generator=seeded(1), dtype=torch.float64)


@pytest.mark.parametrize("bias", [True, False])
def test_pruned_neurons_are_as_if_their_values_were_zero(bias: bool) -> None:
    whole = layer(nn.Sigmoid, bias)  # of which units are not 0 where their keys are
    zeroed = copy.deepcopy(whole)
    zeroed[2].weight.data[:, [1, 7, 8]] = 0
    smaller = prune_neurons(whole, torch.tensor([8, 1, 7]))
    assert smaller[0].out_features == 9
    torch.testing.assert_close(smaller(INPUTS), zeroed(INPUTS))
    torch.testing.assert_close(prune_neurons(whole, [])(INPUTS), whole(INPUTS))


def test_routing_by_hand_and_whole_when_all_are_kept() -> None:
    whole, bricks = layer(), torch.tensor([2, 0, 1, 2, 0, 1, 0, 0, 1, 2, 1, 2])
    torch.testing.assert_close(BrickRouter(whole, bricks, 3)(INPUTS), whole(INPUTS))
    routed = BrickRouter(whole, bricks, 1)(INPUTS)
    fired = whole[1](whole[0](INPUTS))
    parts = torch.stack([fired[..., bricks == each] @ whole[2].weight[:, bricks == each].T for each in range(3)], -2)
    for row, token in zip(parts.flatten(0, 1), routed.flatten(0, 1), strict=True):
        torch.testing.assert_close(token, row[row.norm(dim=1).argmax()] + whole[2].bias)
    torch.testing.assert_close(BrickRouter(whole, bricks, 1).outputs(INPUTS), parts)


def test_a_gate_decides_and_is_fitted_to_the_oracle() -> None:
    whole, bricks = layer(), torch.arange(12) % 3
    last = nn.Linear(5, 3, dtype=torch.float64)
    nn.init.zeros_(last.weight)
    last.bias.data = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)
    kept = prune_neurons(whole, (bricks != 2).nonzero().flatten())
    torch.testing.assert_close(BrickRouter(whole, bricks, 1, last)(INPUTS), kept(INPUTS))
    router = BrickRouter(whole, bricks, 1)
    tokens = torch.randn(50, 5, generator=seeded(2), dtype=torch.float64)
    gate = router.fit_gate(tokens, penalty=1e-9)
    assert router.gate is gate
    design = torch.cat([tokens, torch.ones(50, 1, dtype=torch.float64)], 1)
    solved = torch.linalg.lstsq(design, router.outputs(tokens).norm(dim=-1)).solution
    torch.testing.assert_close(gate(tokens), design @ solved, rtol=1e-5, atol=1e-7)


def test_two_planted_blocks_are_kept_apart_by_the_oracle() -> None:
    """Neurons of one block fire for one half of the inputs: one brick of two is the whole there."""
    whole = nn.Sequential(nn.Linear(2, 8, bias=False), nn.ReLU(), nn.Linear(8, 3, bias=False))
    nn.init.normal_(whole[2].weight, generator=seeded())
    whole[0].weight.data = torch.tensor([[1.0, 0.1], [1.0, -0.1], [2.0, 0.0], [1.0, 0.2]]).repeat(2, 1)
    whole[0].weight.data[4:] *= -1
    inputs = torch.tensor([[1.0, 0.5], [-2.0, 1.0], [3.0, 0.0]])
    torch.testing.assert_close(BrickRouter(whole, torch.arange(8) // 4, 1)(inputs), whole(inputs))
    assert not torch.allclose(BrickRouter(whole, torch.arange(8) % 2, 1)(inputs), whole(inputs))


def test_a_grown_layer_learns_and_the_old_one_stays_bit_for_bit() -> None:
    whole = layer()
    before = whole(INPUTS)
    grown = grow_brick(whole, 6, generator=seeded(3))
    assert torch.equal(grown(INPUTS), before)
    learning = [parameter for parameter in grown.parameters() if parameter.requires_grad]
    assert sum(parameter.numel() for parameter in learning) == 6 * 5 + 6 + 4 * 6 + 4
    descent = torch.optim.Adam(learning, 0.05)
    losses = []
    for _ in range(200):
        loss = (grown(INPUTS) - INPUTS[..., :4].sin()).square().mean()
        descent.zero_grad()
        loss.backward()
        descent.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 10
    grown.enabled = False
    assert torch.equal(grown(INPUTS), before)
    assert all(parameter.requires_grad for parameter in whole.parameters()), "the layer that was given is left alone"


def test_merged_is_the_average_and_task_arithmetic() -> None:
    base, first, second = (mlp((3, 4, 2), generator=seeded(seed)) for seed in range(3))
    for weight, share in ((None, 0.5), (0.3, 0.3), (1.0, 1.0)):
        merged = merge_bricks(base, [first, second], weight)
        for name, tensor in base.state_dict().items():
            moves = first.state_dict()[name] - tensor, second.state_dict()[name] - tensor
            torch.testing.assert_close(merged.state_dict()[name], tensor + share * (moves[0] + moves[1]))
    torch.testing.assert_close(merge_bricks(base, [first], 1.0)[0].weight, first[0].weight)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: prune_neurons(layer(), [12]), "neurons: got 12 to 12"),
        (lambda: prune_neurons(layer(), list(range(12))), "neurons: got all 12"),
        (lambda: prune_neurons(nn.Sequential(nn.Linear(2, 2)), [0]), "ffn: got \\['Linear'\\]"),
        (lambda: BrickRouter(layer(), torch.arange(12) % 3, 1).fit_gate(INPUTS), "inputs: got shape"),
        (lambda: BrickRouter(layer(), torch.arange(12) % 3, 1).fit_gate(INPUTS[0], penalty=0), "penalty: got 0"),
        (lambda: merge_bricks(layer(), []), "bricks: got none"),
        (lambda: merge_bricks(layer(), [layer(), mlp((5, 3, 4))]), "bricks: got other tensors in number 1"),
    ],
)
def test_bad_arguments_are_named(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
