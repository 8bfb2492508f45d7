import pandas as pd
import pytest
import torch

from replica.lab.claims import Trial
from replica.papers.representations.subspace_illusion import (
    CONNECTED,
    FOUND,
    LAYER,
    RANDOM,
    MixedBits,
    ResidualNet,
    loss,
    paper,
    patches,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_judges_on_a_planted_table():
    rows = []
    for site, effects in (
        ("one", (0.9, 0.1, 0.01, -0.2)),
        ("two", (0.5, 0.3, -0.02, 0.1)),
        ("stream", (2.0, 1.8, 0.0, 2.0)),
    ):
        facts = {"site": site, "accuracy": 0.99, "flagged": float(site == "one"), "agreement": 0.7, "seed": 0}
        for patch, effect in zip((FOUND, CONNECTED, RANDOM, LAYER), effects, strict=True):
            rows.append({**facts, "patch": patch, "effect": effect})
    found = paper.claims["illusion"].measures(pd.DataFrame(rows))
    assert found == pytest.approx(
        {
            "effect_lost": 0.5,
            "least_effect_lost": 0.2,
            "effect_of_direction": 0.7,
            "flagged": 0.5,
            "effect_of_layer": 0.2,
            "effect_of_random": 0.02,
            "accuracy": 0.99,
        }
    )
    kept = paper.claims["success_case"].measures(pd.DataFrame(rows))
    assert kept == pytest.approx({"share_kept": 0.9, "agreement": 0.7, "effect_of_direction": 2.0, "accuracy": 0.99})


def test_labels_are_the_feature_and_parities_and_inputs_hide_them_in_a_rotation():
    bits = MixedBits(2, seeded())
    inputs, labels = bits.draw(500)
    seen = inputs @ bits.mix.T
    assert torch.equal(seen[:, 0].sign(), labels[:, 0])
    assert ((seen[:, 1] * seen[:, 2]).sign() == labels[:, 1]).float().mean() > 0.999
    assert ((seen[:, 3] * seen[:, 4]).sign() == labels[:, 2]).float().mean() > 0.999
    _, turned = bits.draw(500, -labels[:, 0])
    assert torch.equal(turned[:, 0], -labels[:, 0])
    assert not torch.equal(turned[:, 1], labels[:, 1])  # the rest is drawn anew


def test_writing_is_paid_for():
    net, (inputs, labels) = ResidualNet(5, 3, 8, 16, 2, seeded()), MixedBits(2, seeded()).draw(50)
    logits, written = net.run(inputs)
    plain = torch.nn.functional.binary_cross_entropy_with_logits(logits, (labels + 1) / 2)
    paid = 0.1 * sum(each.square().mean() for each in written)
    torch.testing.assert_close(loss(net, inputs, labels), plain + paid)
    torch.testing.assert_close(net(inputs), logits)


def test_a_trial_repeats_bit_for_bit():
    rows = pd.DataFrame(patches(Trial(100, "smoke")))
    assert len(rows) == 2 * 4
    again = pd.DataFrame(patches(Trial(100, "smoke")))
    pd.testing.assert_frame_equal(rows, again)
