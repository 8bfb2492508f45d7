"""Full-batch descent against steps by hand, and against descent in closed form."""

import pytest
import torch

from replica.training import full_batch_descent


def squared(model, x, y):
    return (model(x) - y).square().sum(-1)


def line():
    model = torch.nn.Linear(1, 1, bias=False).double()
    torch.nn.init.constant_(model.weight, 0.5)
    return model


DATA = torch.tensor([[1.0], [2.0], [-1.0]]).double(), torch.tensor([[1.0], [1.0], [2.0]]).double()


def test_losses_are_those_of_the_weights_in_closed_form():
    model = line()
    rate, x, y = 0.05, *DATA
    seen = []
    losses = full_batch_descent(
        model,
        squared,
        DATA,
        optimiser=torch.optim.SGD(model.parameters(), rate),
        steps=7,
        before_step=lambda done, each: seen.append((done, float(model.weight.detach()), each.clone())),
    )
    best = float((x * y).mean() / (x * x).mean())
    factor = 1 - 2 * rate * float((x * x).mean())
    weights = [best + (0.5 - best) * factor**step for step in range(8)]
    expected = torch.stack([(w * x - y).square().squeeze(-1) for w in weights])
    torch.testing.assert_close(losses, expected)
    assert [done for done, _, _ in seen] == list(range(8))
    assert [weight for _, weight, _ in seen] == pytest.approx(weights)
    assert torch.equal(torch.stack([each for _, _, each in seen]), losses)
    assert float(model.weight.detach()) == pytest.approx(weights[-1])


def test_optimisers_keep_their_state():
    model, twin = line(), line()
    full_batch_descent(model, squared, DATA, optimiser=torch.optim.Adam(model.parameters(), 0.1), steps=5)
    adam = torch.optim.Adam(twin.parameters(), 0.1)
    for _ in range(5):
        adam.zero_grad()
        squared(twin, *DATA).mean().backward()
        adam.step()
    assert torch.equal(model.weight, twin.weight)


def test_bad_arguments_and_losses_that_run_away():
    model = line()
    descent = torch.optim.SGD(model.parameters(), 10.0)
    with pytest.raises(ValueError, match="steps: got 0"):
        full_batch_descent(model, squared, DATA, optimiser=descent, steps=0)
    with pytest.raises(ValueError, match=r"loss: got shape \(\)"):
        full_batch_descent(model, lambda *batch: squared(*batch).mean(), DATA, optimiser=descent, steps=1)
    with pytest.raises(FloatingPointError, match="steps: lower the learning rate"):
        full_batch_descent(model, squared, DATA, optimiser=descent, steps=500)
