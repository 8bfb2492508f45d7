"""LAMB against its algorithm in NumPy, and its invariance."""

import numpy as np
import pytest
import torch

from replica.memory import Lamb


def test_steps_are_the_algorithms():
    start = [np.array([3.0, -4.0]), np.array([[0.5, 2.0], [20.0, 1.0]]), np.zeros(2)]
    rng = np.random.default_rng(0)
    gradients = [[rng.normal(size=part.shape) for part in start] for _ in range(5)]
    weights = [torch.nn.Parameter(torch.tensor(part)) for part in start]
    optimiser = Lamb(weights, lr=0.1, betas=(0.8, 0.9), eps=1e-3, weight_decay=0.2)
    for step in gradients:
        for weight, gradient in zip(weights, step, strict=True):
            weight.grad = torch.tensor(gradient)
        optimiser.step()
    for number, part in enumerate(start):
        w, m, v = part.copy(), np.zeros_like(part), np.zeros_like(part)
        for age, step in enumerate(gradients, start=1):
            g = step[number]
            m, v = 0.8 * m + 0.2 * g, 0.9 * v + 0.1 * g**2
            r = (m / (1 - 0.8**age)) / (np.sqrt(v / (1 - 0.9**age)) + 1e-3) + 0.2 * w
            norm = min(np.linalg.norm(w), 10.0)
            w = w - 0.1 * (norm / np.linalg.norm(r) if norm > 0 else 1.0) * r
        np.testing.assert_allclose(weights[number].detach().numpy(), w, rtol=1e-10)


def test_a_step_is_a_share_of_the_norm_whatever_the_gradients_size():
    moves = []
    for size in (1e-3, 1.0, 1e3):
        weight = torch.nn.Parameter(torch.tensor([3.0, 4.0], dtype=torch.float64))
        optimiser = Lamb([weight], lr=0.01, eps=1e-12)
        weight.grad = size * torch.tensor([1.0, -2.0], dtype=torch.float64)
        optimiser.step()
        moves.append(weight.detach() - torch.tensor([3.0, 4.0]))
    for move in moves:
        assert float(move.norm()) == pytest.approx(0.05)
        torch.testing.assert_close(move, moves[0])


def test_its_state_goes_round_and_parameters_without_gradient_stay():
    def trained(steps, optimiser, weight):
        for _ in range(steps):
            optimiser.zero_grad()
            (weight - 1).square().sum().backward()
            optimiser.step()

    first, idle = torch.nn.Parameter(torch.ones(3) * 4), torch.nn.Parameter(torch.ones(2))
    optimiser = Lamb([first, idle], lr=0.1)
    trained(3, optimiser, first)
    second = torch.nn.Parameter(first.detach().clone())
    resumed = Lamb([second, torch.nn.Parameter(torch.ones(2))], lr=0.1)
    resumed.load_state_dict(optimiser.state_dict())
    trained(3, optimiser, first)
    trained(3, resumed, second)
    assert torch.equal(first, second)
    assert torch.equal(idle.detach(), torch.ones(2))


def test_a_closure_is_called_with_gradients():
    weight = torch.nn.Parameter(torch.ones(2))

    def closure():
        loss = weight.square().sum()
        loss.backward()
        return loss

    assert Lamb([weight]).step(closure).detach() == 2.0


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"lr": -1.0}, "lr"),
        ({"eps": 0.0}, "eps"),
        ({"betas": (1.0, 0.9)}, "betas"),
        ({"largest_norm": 0.0}, "largest_norm"),
    ],
)
def test_bad_options_are_named(options, named):
    with pytest.raises(ValueError, match=named):
        Lamb([torch.nn.Parameter(torch.ones(1))], **options)
