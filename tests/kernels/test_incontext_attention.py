"""Attention in context: the formula term by term, its patterns planted, its limit, and its approximate loss by Monte Carlo."""

import math

import pytest
import torch

from replica.kernels import InContextAttention, attention_circuits, attention_risk, debiased_gradient_step


def prompts(count, examples, dim, noise, seed=0):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(count, examples + 1, dim, generator=generator, dtype=torch.float64)
    weights = torch.randn(count, dim, 1, generator=generator, dtype=torch.float64) / math.sqrt(dim)
    errors = math.sqrt(noise) * torch.randn(count, examples + 1, generator=generator, dtype=torch.float64)
    targets = (inputs @ weights)[..., 0] + errors
    return inputs[:, 1:], targets[:, 1:], inputs[:, 0], targets[:, 0]


def planted(dim, strengths, outputs):
    """A layer whose circuits are ω_h diag(I, 0) and μ_h in the last entry."""
    model = InContextAttention(dim, len(strengths)).double()
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
        for head, (strength, output) in enumerate(zip(strengths, outputs, strict=True)):
            model.query[head, :dim, :dim] = torch.eye(dim)
            model.key[head, :dim, :dim] = strength * math.sqrt(dim + 1) * torch.eye(dim)
            model.value[head] = torch.eye(dim + 1)
            model.output[head, dim] = output
    return model


def test_it_is_the_sum_over_heads_of_softmax_attention():
    model = InContextAttention(3, 2, generator=torch.Generator().manual_seed(0)).double()
    inputs, targets, queries, _ = prompts(4, 6, 3, 0.1)
    for row in range(4):
        prompt = torch.cat([inputs[row].T, targets[row][None]])  # (d + 1, L), as in the paper
        query = torch.cat([queries[row], torch.zeros(1)])
        expected = 0.0
        for head in range(2):
            scores = prompt.T @ model.key[head].T @ model.query[head] @ query / math.sqrt(4)
            expected += model.output[head] @ model.value[head] @ prompt @ torch.softmax(scores, 0)
        torch.testing.assert_close(model(inputs, targets, queries)[row], expected)


def test_the_order_of_the_examples_does_not_matter():
    model = InContextAttention(3, 2).double()
    inputs, targets, queries, _ = prompts(4, 6, 3, 0.1)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(model(inputs[:, order], targets[:, order], queries), model(inputs, targets, queries))


def test_planted_circuits_are_read_off():
    circuits = attention_circuits(planted(4, [0.3, -0.2], [2.0, -1.0]))
    torch.testing.assert_close(circuits.strengths, torch.tensor([0.3, -0.2], dtype=torch.float64))
    torch.testing.assert_close(circuits.outputs, torch.tensor([2.0, -1.0], dtype=torch.float64))
    assert circuits.off_diagonal.max() < 1e-12
    assert circuits.unequal.max() < 1e-12
    assert circuits.other_outputs.max() < 1e-12
    assert circuits.imbalance == pytest.approx(1 / 3)
    torch.testing.assert_close(circuits.weights, torch.tensor([0.75, 0.25], dtype=torch.float64))


def test_a_disturbed_circuit_is_seen():
    model = planted(4, [0.3, -0.2], [2.0, -1.0])
    with torch.no_grad():
        model.query[1, 0, 0] = 3.0
        model.output[1, 0] = 0.5
    circuits = attention_circuits(model)
    assert circuits.off_diagonal[1] < 1e-12
    assert circuits.unequal[0] < 1e-12
    assert circuits.unequal[1] == pytest.approx(math.sqrt(3) / 3)  # of 3, 1, 1, 1 over their mean
    assert circuits.other_outputs[1] == pytest.approx(0.25)
    assert circuits.other_outputs[0] < 1e-12


def test_the_row_that_meets_the_targets_counts_as_off_the_diagonal():
    model = planted(4, [0.3], [2.0])
    with torch.no_grad():
        model.key[0, 1, 4] = 0.6 * math.sqrt(5)  # KᵀQ then has 0.6 in its last row, second column
    assert attention_circuits(model).off_diagonal[0] == pytest.approx(2 / 4)


def test_two_opposite_weak_heads_are_a_debiased_gradient_step():
    inputs, targets, queries, _ = prompts(50, 30, 3, 0.1)
    small = 1e-4
    model = planted(3, [small, -small], [0.5 / small, -0.5 / small])
    expected = debiased_gradient_step(inputs, targets, queries)
    torch.testing.assert_close(model(inputs, targets, queries), expected, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(expected, debiased_gradient_step(inputs, targets, queries, debiased=False), atol=1e-2)


def test_a_debiased_step_is_the_gradient_of_least_squares_with_an_intercept():
    inputs, targets, queries, _ = prompts(5, 12, 3, 0.1)
    weights = torch.zeros(5, 3, dtype=torch.float64, requires_grad=True)
    predicted = (inputs @ weights[..., None])[..., 0] + targets.mean(-1, keepdim=True)
    (slope,) = torch.autograd.grad(0.5 * (predicted - targets).square().mean(-1).sum(), weights)
    torch.testing.assert_close(debiased_gradient_step(inputs, targets, queries, 0.3), -0.3 * (slope * queries).sum(-1))


@pytest.mark.parametrize(("strengths", "outputs"), [((0.2, -0.2), (2.0, -2.0)), ((0.15,), (1.0,))])
def test_the_approximate_loss_is_the_loss_of_long_prompts(strengths, outputs):
    dim, examples, noise = 5, 400, 0.1
    *prompt, truth = prompts(4000, examples, dim, noise)
    errors = (planted(dim, strengths, outputs)(*prompt).detach() - truth).square()
    theory = attention_risk(torch.tensor(strengths), torch.tensor(outputs), dim, examples, noise)
    assert float(errors.mean()) == pytest.approx(float(theory), abs=4 * float(errors.std()) / math.sqrt(4000))
