"""Exponentiated gradient against mirror descent by the entropy, and the optimiser's contract."""

import copy

import pytest
import torch
from torch import nn

from replica.generative import ExponentiatedGradient


def test_exponentiated_gradient_is_descent_by_the_entropys_mirror() -> None:
    """With φ = Σ |w| ln|w| − |w|: ∇φ(w') = ∇φ(w) − η∇L, that is ln|w| sign w moves along the gradient."""
    net = nn.Linear(3, 2, dtype=torch.float64)
    before, mirror = copy.deepcopy(net), {}
    optimiser = ExponentiatedGradient(net.parameters(), lr=0.1, momentum=0.5)
    for _ in range(3):
        optimiser.zero_grad()
        net(
            torch.randn(5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        ).square().sum().backward()
        for name, weights in net.named_parameters():
            mirror[name] = 0.5 * mirror.get(name, 0) + weights.grad
        old = {name: weights.detach().clone() for name, weights in net.named_parameters()}
        optimiser.step()
        for name, weights in net.named_parameters():
            step = (weights / old[name]).log() * old[name].sign()
            torch.testing.assert_close(step, -0.1 * mirror[name])
    for new, old_weights in zip(net.parameters(), before.parameters(), strict=True):
        assert torch.equal(new.sign(), old_weights.sign())


def test_optimiser_takes_closures_saves_its_state_and_leaves_zeros() -> None:
    weights = nn.Parameter(torch.tensor([2.0, 0.0]))
    optimiser = ExponentiatedGradient([weights], lr=0.1, momentum=0.9)

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = (weights - 1).square().sum()
        loss.backward()
        return loss

    assert float(optimiser.step(closure).detach()) == 2.0
    twin = nn.Parameter(weights.detach().clone())
    other = ExponentiatedGradient([twin], lr=0.1, momentum=0.9)
    other.load_state_dict(copy.deepcopy(optimiser.state_dict()))
    optimiser.step(closure)
    twin.grad = weights.grad.clone()
    other.step()
    assert torch.equal(weights, twin)
    assert float(weights.detach()[1]) == 0


def test_bad_arguments_are_named() -> None:
    weights = [nn.Parameter(torch.ones(1))]
    with pytest.raises(ValueError, match="lr"):
        ExponentiatedGradient(weights, lr=0.0)
    with pytest.raises(ValueError, match="momentum"):
        ExponentiatedGradient(weights, momentum=1.0)
