"""Penalties against automatic differentiation and by hand, and training that finds the cue that holds everywhere."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from replica.representations import (
    InvariantClassifier,
    environment_risks,
    environment_shares,
    group_dro,
    irm_penalty,
    train_invariant,
    vrex_penalty,
)
from replica.training import Replicas, mlp


def drawn(rows: int = 30, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(rows, classes, generator=generator, dtype=torch.float64)
    return logits, torch.arange(rows) % classes, torch.arange(rows) % 7 // 3


def test_the_irm_penalty_is_the_squared_slope_over_a_scale():
    logits, labels, environment = drawn()
    scale = torch.ones((), dtype=torch.float64, requires_grad=True)
    slopes = []
    for number in range(3):
        own = environment == number
        risk = functional.cross_entropy(scale * logits[own], labels[own])
        slopes.append(torch.autograd.grad(risk, scale)[0])
    wanted = torch.stack(slopes).square().mean()
    torch.testing.assert_close(irm_penalty(logits, labels, environment), wanted)


def test_the_irm_penalty_of_a_linear_scalar_is_known():
    """z = w·x with x = ±1 and p = P(right): the slope is w (σ(w) − p), and 0 at the best w = ln(p / (1 − p))."""
    x = torch.ones(100, dtype=torch.float64)
    labels = (torch.arange(100) < 80).long()
    environment = torch.zeros(100, dtype=torch.long)
    for weight in (0.5, 2.0, float(np.log(4))):
        logits = torch.stack([0 * x, weight * x], 1)
        wanted = (weight * (1 / (1 + np.exp(-weight)) - 0.8)) ** 2
        assert float(irm_penalty(logits, labels, environment)) == pytest.approx(wanted, abs=1e-15)


def test_risks_their_variance_and_their_largest():
    logits, labels, environment = drawn()
    risks = environment_risks(logits, labels, environment)
    wanted = [functional.cross_entropy(logits[environment == e], labels[environment == e]) for e in range(3)]
    torch.testing.assert_close(risks, torch.stack(wanted))
    assert float(vrex_penalty(logits, labels, environment)) == pytest.approx(float(risks.numpy().var()))
    assert float(group_dro(logits, labels, environment)) == float(risks.max())
    torch.testing.assert_close(environment_risks(logits, labels, environment_shares(environment)), risks)


def test_gradients_are_right():
    logits, labels, environment = drawn(8)
    for penalty in (irm_penalty, vrex_penalty):
        assert torch.autograd.gradcheck(lambda z, p=penalty: p(z, labels, environment % 2), logits.requires_grad_())


def cues(rows: int = 4000) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A cause that misleads in a quarter of each environment, and a cue that does in 10 % and 30 %."""
    generator = torch.Generator().manual_seed(0)
    environment, labels = torch.arange(rows) % 2, torch.randint(2, (rows,), generator=generator)
    wrong = torch.tensor([[0.25, 0.1], [0.25, 0.3]])[environment]
    turned = torch.rand(rows, 2, generator=generator) < wrong
    return 2.0 * (turned ^ labels[:, None].bool()) - 1, labels, environment


@pytest.mark.parametrize("objective", ["irm", "vrex"])
def test_a_penalty_turns_a_linear_model_from_the_cue_to_the_cause(objective):
    inputs, labels, environment = cues()
    shares = {}
    for name in ("erm", "group_dro", objective):
        nets = Replicas([mlp((2, 2), generator=torch.Generator().manual_seed(0))])
        train_invariant(nets, inputs, labels, environment, name, warmup=50, steps=400, learning_rate=0.03)
        slopes = (nets.parameters["0.weight"][0, 1] - nets.parameters["0.weight"][0, 0]).detach()
        shares[name] = float(slopes[1] / slopes.sum())
    assert abs(shares[objective]) < 0.2
    assert shares["erm"] > 0.4  # the two cues' log odds are 1.1 and 1.39
    assert shares["group_dro"] > 0.2


def test_replicas_train_as_one_alone_on_shared_and_on_own_inputs():
    inputs, labels, environment = cues(200)
    made = [mlp((2, 4, 2), generator=torch.Generator().manual_seed(seed)) for seed in range(3)]
    together, alone, own = Replicas(made), Replicas(made[1:2]), Replicas(made)
    for nets, given in ((together, inputs), (alone, inputs), (own, inputs.expand(3, -1, -1))):
        train_invariant(nets, given, labels, environment, "irm", penalty=10, warmup=3, steps=10, learning_rate=0.01)
    for name, tensor in together.parameters.items():
        torch.testing.assert_close(tensor[1], alone.parameters[name][0])
        torch.testing.assert_close(tensor, own.parameters[name])


def test_a_classifier_takes_words_and_tells_what_is_wrong():
    inputs, labels, environment = (part.numpy() for part in cues(200))
    words = np.array(["no", "yes"])[labels]
    model = InvariantClassifier("group_dro", steps=60, width=8, learning_rate=0.02, random_state=0)
    model.fit(inputs, words, np.array(["b", "a"])[environment])
    assert model.score(inputs, words) > 0.75
    with pytest.raises(ValueError, match="environment: got shape"):
        model.fit(inputs, words, environment[:5])
    with pytest.raises(ValueError, match="objective: got 'best'"):
        InvariantClassifier("best").fit(inputs, words)
    with pytest.raises(ValueError, match="got no row of number 1"):
        environment_shares(torch.tensor([0, 2]))
    with pytest.raises(ValueError, match="penalty: got -1"):
        train_invariant(
            Replicas([mlp((2, 2))]), torch.zeros(2, 2), torch.tensor([0, 1]), torch.tensor([0, 1]), penalty=-1
        )
