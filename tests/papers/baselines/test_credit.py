"""The baselines of credit: each rule against backpropagation or a closed form."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from replica.lab.claims import Trial
from replica.lab.problems.credit.networks import network
from replica.papers.baselines.credit import (
    Backpropagation,
    DirectFeedbackAlignment,
    FeedbackAlignment,
    ForwardForward,
    GradientRule,
    GreedyLocal,
)

FORMS = {"mlp": (5,), "conv": (1, 9, 8), "recurrent": (6, 3)}


def built(rule: GradientRule, form: str = "mlp", depth: int = 3, seed: int = 0) -> tuple[nn.Sequential, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    net = network(form, FORMS[form], 4, depth=depth, width=6, generator=generator)
    inputs = torch.randn(7, *FORMS[form], generator=generator)
    rule.build(net, nn.functional.cross_entropy, inputs)
    return net, inputs, torch.randint(4, (7,), generator=generator)


@pytest.mark.parametrize("form", FORMS)
def test_backpropagation_is_the_gradient(form: str) -> None:
    rule = Backpropagation(Trial(0))
    net, inputs, labels = built(rule, form)
    loss = nn.functional.cross_entropy(net(inputs), labels)
    expected = torch.autograd.grad(loss, list(net.parameters()))
    for (name, value), wanted in zip(rule.gradients(inputs, labels).items(), expected, strict=True):
        torch.testing.assert_close(value, wanted, msg=name)


@pytest.mark.parametrize("form", FORMS)
def test_feedback_through_the_weights_themselves_is_backpropagation(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way back of feedback alignment, given the forward weights, gives the gradient."""
    from replica.papers.baselines import credit as credit_rules

    monkeypatch.setattr(
        credit_rules,
        "_through",
        lambda module, feedback, real=credit_rules._through: real(module, module.weight.detach()),
    )
    rule, plain = FeedbackAlignment(Trial(0)), Backpropagation(Trial(0))
    _, inputs, labels = built(rule, form)
    built(plain, form)
    expected = plain.gradients(inputs, labels)
    for name, value in rule.gradients(inputs, labels).items():
        torch.testing.assert_close(value, expected[name], msg=name)


@pytest.mark.parametrize("form", FORMS)
def test_random_feedback_changes_hidden_layers_alone(form: str) -> None:
    rule, plain = FeedbackAlignment(Trial(0)), Backpropagation(Trial(0))
    _, inputs, labels = built(rule, form)
    built(plain, form)
    found, expected = rule.gradients(inputs, labels), plain.gradients(inputs, labels)
    for name, value in found.items():
        assert torch.allclose(value, expected[name], atol=1e-6) == name.startswith("head"), name


def test_direct_feedback_by_the_chain_of_weights_is_backpropagation() -> None:
    """In a linear network the matrices that carry the error exactly are products of the weights above."""
    rule = DirectFeedbackAlignment(Trial(0))
    net, inputs, labels = built(rule)
    for layer in net[:-1]:
        layer[1] = nn.Identity()
    weights = [layer[0].weight.detach() for layer in net]
    rule.feedback = [torch.linalg.multi_dot([*reversed(weights[i + 1 :])]) if i < 2 else weights[3] for i in range(3)]
    loss = nn.functional.cross_entropy(net(inputs), labels)
    expected = torch.autograd.grad(loss, list(net.parameters()))
    for (name, value), wanted in zip(rule.gradients(inputs, labels).items(), expected, strict=True):
        torch.testing.assert_close(value, wanted, msg=name)


@pytest.mark.parametrize("kind", [GreedyLocal, ForwardForward])
def test_local_rules_send_no_error_down(kind: type) -> None:
    """What a layer learns does not depend on the weights above it."""
    rule, other = kind(Trial(0)), kind(Trial(0))
    _, inputs, labels = built(rule)
    net2, _, _ = built(other)
    with torch.no_grad():
        for parameter in [*net2.layer3.parameters(), *net2.head.parameters()]:
            parameter.mul_(3.0)
    found, changed = rule.gradients(inputs, labels), other.gradients(inputs, labels)
    for name in ("layer1.0.weight", "layer2.0.weight"):
        torch.testing.assert_close(found[name], changed[name])
    assert not torch.allclose(found["layer3.0.weight"], changed["layer3.0.weight"])


@pytest.mark.parametrize("kind", [GreedyLocal, ForwardForward])
def test_stepping_layer_by_layer_is_one_step_of_adam(kind: type) -> None:
    rule, whole = kind(Trial(0)), kind(Trial(0))
    net, inputs, labels = built(rule)
    net2, _, _ = built(whole)
    for _ in range(3):
        rule.step(inputs, labels)
        GradientRule.step(whole, inputs, labels)
    for one, other in zip(net.parameters(), net2.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_forward_forward_scores_are_goodness_of_each_label() -> None:
    rule = ForwardForward(Trial(0))
    net, inputs, _ = built(rule, depth=2)
    marked = inputs.clone()
    marked[:, rule.places] = 0
    marked[:, rule.places[2]] = inputs.abs().max()

    def unit(values: Tensor) -> Tensor:
        return values / values.square().mean(1, keepdim=True).sqrt()

    second = net.layer2(unit(net.layer1(unit(marked)))).square().mean(1)
    torch.testing.assert_close(rule.predict(inputs)[:, 2], second, rtol=1e-4, atol=1e-5)


net = nn.Sequential(*(layer for _ in range(6) for layer in (nn.Linear(64, 64), nn.ReLU())))
