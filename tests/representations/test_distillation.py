"""Distillation from a frozen teacher: starts, the loss, and the loop."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from replica.representations import (
    PrototypeHead,
    distil,
    distillation_loss,
    frozen_outputs,
    interpolated_start,
)
from replica.training import mlp


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def net(seed: int) -> nn.Sequential:
    encoder = mlp((5, 16, 8), end=nn.ReLU, generator=seeded(seed))
    return nn.Sequential(encoder, PrototypeHead(8, 12, widths=(8, 4), generator=seeded(seed + 100)))


def distance(one: nn.Module, other: nn.Module) -> float:
    return max(float((p - q).detach().abs().max()) for p, q in zip(one.parameters(), other.parameters(), strict=True))


def test_starts_have_the_variance_of_a_draw_and_end_at_both_nets() -> None:
    nets = [mlp((400, 400), generator=seeded(seed)).double() for seed in range(2)]
    assert distance(interpolated_start(*nets, 0.0), nets[0]) == 0
    assert distance(interpolated_start(*nets, 1.0), nets[1]) == 0
    for alpha in (0.2, 0.5, 0.9):
        start = interpolated_start(*nets, alpha)[0].weight.detach()
        assert float(start.var() / nets[0][0].weight.detach().var()) == pytest.approx(1, abs=0.02)
        along = torch.corrcoef(torch.stack([start.flatten(), nets[0][0].weight.detach().flatten()]))[0, 1]
        assert float(along) == pytest.approx((1 - alpha) / ((1 - alpha) ** 2 + alpha**2) ** 0.5, abs=0.01)
    frozen = nets[0].requires_grad_(False)
    assert all(p.requires_grad for p in interpolated_start(frozen, nets[1], 0.5).parameters())


def test_the_loss_is_the_cross_entropy_less_the_teachers_entropy() -> None:
    student, teacher = torch.randn(2, 6, 7, generator=seeded(0), dtype=torch.float64)
    student.requires_grad_()
    loss = distillation_loss(student, teacher, student_temperature=0.1, teacher_temperature=0.4)
    shares = torch.distributions.Categorical(logits=teacher / 0.4)
    cross = nn.functional.cross_entropy(student / 0.1, shares.probs)
    torch.testing.assert_close(loss, cross - shares.entropy().mean())
    gradient = ((student / 0.1).softmax(1) - shares.probs) / 0.1 / 6  # of the cross-entropy, in closed form
    torch.testing.assert_close(torch.autograd.grad(loss, student)[0], gradient.detach())


def test_a_copy_of_the_teacher_has_no_gradient_but_where_it_must_grow_sharper() -> None:
    inputs = torch.randn(9, 5, generator=seeded(1)).double()
    teacher = net(0).double()
    student = interpolated_start(teacher, net(1).double(), 0.0)

    def slopes(**temperatures: float) -> list[Tensor]:
        loss = distillation_loss(student(inputs), frozen_outputs(teacher, inputs), **temperatures)
        return list(torch.autograd.grad(loss, list(student.parameters())))

    assert max(float(slope.abs().max()) for slope in slopes()) < 1e-15
    assert max(float(slope.abs().max()) for slope in slopes(student_temperature=0.1, teacher_temperature=0.1)) < 1e-14
    sharper = slopes(student_temperature=0.1, teacher_temperature=0.04)
    assert min(float(slope.abs().max()) for slope in sharper) > 1e-4


def test_distillation_is_a_plain_loop_of_adam_with_the_teacher_asked_anew() -> None:
    inputs, teacher = torch.randn(20, 5, generator=seeded(1)).double(), net(0).double()
    before = copy.deepcopy(teacher)
    student, other = net(1).double(), net(1).double()
    history = distil(
        student, teacher, inputs, steps=30, batch=10, learning_rate=0.01, weight_decay=0.1,
        student_temperature=0.1, teacher_temperature=0.04,
    )  # fmt: skip
    adam = torch.optim.AdamW(other.parameters(), 0.01, weight_decay=0.1)
    for step in range(30):
        rows = inputs[:10] if step % 2 == 0 else inputs[10:]
        loss = nn.functional.cross_entropy(other(rows) / 0.1, (before(rows) / 0.04).softmax(1).detach())
        adam.zero_grad()
        loss.backward()
        adam.step()
    assert distance(student, other) < 1e-9
    assert distance(teacher, before) == 0
    assert len(history.losses) == 30
    assert history.losses[-1] < history.losses[0]


def test_teachers_are_asked_in_evaluation_mode_and_keep_their_own() -> None:
    model = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout().eval())
    inputs = torch.randn(2000, 2, generator=seeded(0))
    torch.testing.assert_close(frozen_outputs(model, inputs), inputs / (1 + 1e-5) ** 0.5)
    assert (model.training, model[0].training, model[1].training) == (True, True, False)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: interpolated_start(net(0), net(1), 1.5), "alpha"),
        (lambda: interpolated_start(net(0), mlp((5, 3)), 0.5), "fresh"),
        (lambda: distillation_loss(torch.zeros(2, 3), torch.zeros(2, 4)), "shapes"),
        (lambda: distillation_loss(torch.zeros(2), torch.zeros(2), teacher_temperature=0.0), "temperatures"),
        (lambda: distil(net(0), net(1), torch.zeros(0, 5), steps=1), "inputs"),
        (lambda: distil(net(0), net(1), torch.zeros(3, 5), steps=1, batch=0), "batch"),
        (lambda: distil(net(0), net(1), torch.zeros(3, 5), steps=0), "steps"),
    ],
)
def test_what_does_not_fit_is_named(call: Any, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        call()
