"""What the claims of jacobian_homeostasis stand on: errors, cosines, the rules' equal start, the entry in credit."""

import pytest
import torch
from torch import nn

from replica.lab.claims import Trial
from replica.lab.problems.credit.networks import network as credit_network
from replica.papers.plasticity.jacobian_homeostasis import (
    EXACT,
    cosines,
    equilibrium_propagation,
    images,
    learn,
    network,
    relative,
)


def test_errors_are_relative_over_all_parts() -> None:
    true = [torch.tensor([3.0]), torch.tensor([[0.0, 4.0]])]
    found = [torch.tensor([3.0]), torch.tensor([[1.0, 4.0]])]
    assert relative(found, true) == pytest.approx(0.2)


def test_tied_weights_are_aligned_and_others_are_not() -> None:
    trial = Trial(0, "smoke")
    (inputs, labels), _ = images(trial)
    options = {"sweeps": 500, "tolerance": 1e-10}
    tied = network(trial, inputs.shape[1], angle=0.0, **options).double()
    assert cosines(tied, inputs.double(), labels) == pytest.approx([1, 1, 1], abs=1e-5)
    apart = network(trial, inputs.shape[1], angle=90.0, **options).double()
    assert cosines(apart, inputs.double(), labels)[0] < 0.7


def test_rules_start_from_the_same_network() -> None:
    trial = Trial(1, "smoke")
    (one,), (other,) = (learn(trial, rule, (1e-12, 0.0)) for rule in ("equilibrium", EXACT))
    assert one["accuracy"] == other["accuracy"]
    assert one["alignment"] == pytest.approx(other["alignment"], abs=1e-3)


@pytest.mark.parametrize("depth", [2, 9])
def test_the_entry_stays_near_the_forward_pass_and_names_all_weights(depth: int) -> None:
    """Weak feedback: scores at rest are the network's; deep stacks take the linear response in place of a nudge."""
    generator = torch.Generator().manual_seed(0)
    net = credit_network("mlp", (6,), 3, depth=depth, width=12, generator=generator)
    inputs, labels = torch.randn(20, 6, generator=generator), torch.arange(20) % 3
    rule = equilibrium_propagation(Trial(0, "smoke"), homeostasis=0.0)
    trainer = rule.build(net, nn.functional.cross_entropy, inputs)
    assert trainer.points == (2 if depth == 2 else 0)
    directions = trainer.gradients(inputs, labels)
    assert set(directions) == {name for name, _ in net.named_parameters()}
    if depth == 2:
        plain = torch.autograd.grad(nn.functional.cross_entropy(net(inputs), labels), list(net.parameters()))
        head = nn.functional.cosine_similarity(directions["head.0.weight"].flatten(), plain[-2].flatten(), dim=0)
        assert float(head) > 0.9
        same = (trainer.predict(inputs).argmax(1) == net(inputs).argmax(1)).float().mean()
        assert float(same) > 0.7
