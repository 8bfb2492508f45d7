"""The toy against drawn data by autograd, autograd's Hessian, what gradient flow keeps, and what it must do beyond the edge."""

import math

import pytest
import torch

from replica.landscapes import OpposingToy

TOY = OpposingToy(signal=1.5, outlier=4.0, share=0.2, offset=0.7)
STATE = torch.tensor([0.8, -0.3, 0.2], dtype=torch.float64)


def test_losses_are_those_of_a_linear_network_on_drawn_data():
    generator = torch.Generator().manual_seed(0)
    count, dim = 400_000, 3
    z = torch.randn(count, dim, generator=generator, dtype=torch.float64)
    x = torch.zeros(count, dtype=torch.float64)
    x[: count // 10], x[count // 10 : count // 5] = 4.0, -4.0
    direction = torch.nn.functional.normalize(torch.ones(dim), dim=0).double()
    errors = z @ (1.5 * direction) + 0.7 * x.abs() - STATE[0] * (z @ (STATE[1] * direction) + STATE[2] * x)
    each = errors.square() / 2
    assert float(TOY.loss(STATE)) == pytest.approx(float(each.mean()), rel=0.01)
    up, down = (float(each[x == side].mean()) for side in (4.0, -4.0))
    assert TOY.group_losses(STATE).tolist() == pytest.approx([up, down], rel=0.03)


def test_curvature_and_steps_are_those_of_autograd():
    states = torch.stack([STATE, -2 * STATE, STATE.flip(0)])
    expected = torch.stack([torch.autograd.functional.hessian(TOY.loss, state) for state in states])
    torch.testing.assert_close(TOY.hessian(states), expected)
    path = TOY.descend(tuple(STATE.tolist()), rate=0.01, steps=3)
    state = STATE
    for step in range(4):
        torch.testing.assert_close(path.states[step], state)
        point = state.clone().requires_grad_()
        state = state - 0.01 * torch.autograd.grad(TOY.loss(point), point)[0]
    torch.testing.assert_close(path.losses, TOY.loss(path.states))
    torch.testing.assert_close(path.sharpness, torch.linalg.eigvalsh(TOY.hessian(path.states))[:, -1])


def test_flow_follows_the_logistic_law_and_keeps_the_balance():
    path = TOY.descend((0.1, 0.1, 0.0), rate=1e-4, steps=50_000)
    times = 1e-4 * torch.arange(50_001, dtype=torch.float64)
    curvature = TOY.hessian(path.states)[:, 2, 2]
    torch.testing.assert_close(curvature, TOY.flow_curvature(times, 0.1), rtol=2e-3, atol=0)
    assert float(curvature[-1]) == pytest.approx(0.2 * 16 * 1.5, rel=1e-4)
    u, w, v = TOY.descend((0.4, 0.1, 0.3), rate=1e-4, steps=20_000).states.T
    kept = u**2 - w**2 - v**2
    torch.testing.assert_close(kept, kept[0].expand_as(kept), rtol=0, atol=1e-3)
    assert float(v[-1].abs()) < 0.05


def test_beyond_the_edge_groups_take_turns_and_grow_and_below_they_shrink():
    toy = OpposingToy(signal=1.0, outlier=40.0)
    assert toy.share * toy.outlier**2 == pytest.approx(32)
    for rate, grows in ((2.2 / 32, True), (1.8 / 32, False)):
        path = toy.descend((1.0, 1.0, 1e-6), rate=rate, steps=10)
        gaps = path.group_losses.diff(dim=1).squeeze(1)
        assert (gaps[1:] * gaps[:-1] < 0).all()
        factor = abs(1 - rate * 32)
        torch.testing.assert_close(
            gaps[1:].abs() / gaps[:-1].abs(), torch.full_like(gaps[1:], factor), rtol=1e-3, atol=0
        )
        assert (factor > 1) == grows
    assert (OpposingToy(share=0.0).descend((0.1, 0.1, 0.5), rate=2.2 / 32, steps=500).losses.diff() <= 1e-15).all()


def test_bad_arguments():
    with pytest.raises(ValueError, match="outlier: got -1"):
        OpposingToy(outlier=-1.0)
    with pytest.raises(ValueError, match="signal: got inf"):
        OpposingToy(signal=math.inf)
    with pytest.raises(ValueError, match="share: got 2, want 0 to 1"):
        OpposingToy(share=2)
    with pytest.raises(ValueError, match="rate, steps: got 0"):
        TOY.descend((1.0, 1.0, 1.0), rate=0.0, steps=5)
    with pytest.raises(FloatingPointError, match="runs away: lower the rate"):
        OpposingToy(outlier=40.0).descend((1.0, 1.0, 0.1), rate=0.5, steps=100)
    with pytest.raises(ValueError, match="start: got 0"):
        TOY.flow_curvature(torch.zeros(1), 0.0)
