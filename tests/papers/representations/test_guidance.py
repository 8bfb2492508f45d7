"""The study of guidance: networks side by side do as they would alone, and judges on a made table."""

import pandas as pd
import pytest
import torch
from torch.nn.functional import cross_entropy

from replica.lab.claims import Trial
from replica.papers.representations.guidance import (
    FORMS,
    HIDDEN,
    NETS,
    OWN,
    TRAINED,
    UNGUIDED,
    UNTRAINED,
    Layers,
    at_best,
    guided,
    losses,
    paper,
    parts,
    share_right,
)
from replica.training import Replicas, mlp


def table():
    """Two epochs of every network; the first validates best in the plain form, the second in the form with decay."""
    rows = []
    for method, gain, rise in ((UNGUIDED, 0.0, 0.5), (TRAINED, 0.04, 0.2), (UNTRAINED, 0.02, 0.3), (OWN, -0.01, 0.4)):
        for form in FORMS if method != OWN else ("plain",):
            for epoch in (1, 2):
                known = {"seed": 0, "epoch": epoch, "method": method, "form": form, "guide": 0.45}
                best = (
                    0.4 + gain
                    if form == "decay" and epoch == 2
                    else 0.3 + gain
                    if form == "plain" and epoch == 1
                    else 0.2
                )
                loss = 2 + rise * (epoch - 1) if form == "plain" else 9.0
                alike = {f"like {TRAINED}": 0.3 + 10 * gain, f"like {UNTRAINED}": 0.2 + 20 * gain}
                rows.append({**known, "validation": best, "test": best - 0.05, "loss": loss, **alike})
    return pd.DataFrame(rows)


def test_judges_compare_methods_at_the_form_and_epoch_that_validate_best():
    best = at_best(table())
    assert best.loc[TRAINED, ["form", "epoch"]].tolist() == ["decay", 2]
    assert best.loc[OWN, ["form", "epoch"]].tolist() == ["plain", 1]
    found = paper.claims["overcomes_overfitting"].measures(table())
    shared = {"guide_ahead": 0.1, "accuracy_of_unguided": 0.35}
    rises = {"rise_saved": 0.3, "rise_of_unguided": 0.5}
    assert found == pytest.approx({"gain": 0.04, "alignment_gained": 0.4} | rises | shared)
    found = paper.claims["untrained_guide"].measures(table())
    own = {"gain_over_own_kind": 0.03, "gain_of_own_kind": -0.01, "short_of_trained": 0.02}
    assert found == pytest.approx({"gain": 0.02, "alignment_gained": 0.4} | own | shared)


def test_test_accuracy_picks_nothing():
    changed = table()
    changed.loc[(changed["form"] == "dropout") & (changed["method"] == UNGUIDED), "test"] = 1.0
    assert paper.claims["overcomes_overfitting"].measures(changed)["accuracy_of_unguided"] == pytest.approx(0.35)


def test_networks_side_by_side_are_those_alone():
    nets = [mlp((4, *[3] * HIDDEN, 2), generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    images, labels = torch.randn(6, 1, 2, 2, generator=torch.Generator().manual_seed(2)), torch.arange(6) % 2
    logits, hidden = Replicas([Layers(net) for net in nets])(images)
    for place, net in enumerate(nets):
        alone = net(images.flatten(1))
        torch.testing.assert_close(logits[place], alone)
        torch.testing.assert_close(hidden[-1][place], net[:-1](images.flatten(1)))
        torch.testing.assert_close(losses(logits, labels)[place], cross_entropy(alone, labels))
        assert float(share_right(logits, labels)[place]) == float((alone.argmax(1) == labels).double().mean())
    none = torch.zeros(HIDDEN, 6, 3)
    dropped = Layers(nets[0])(images, none)[0]
    torch.testing.assert_close(dropped, nets[0][-1].bias.expand(6, 2))


def test_parts_share_no_image_and_are_standardised_by_the_first():
    drawn = parts(Trial(100, "smoke"))
    assert [len(labels) for _, labels in drawn] == [60, 40, 40]
    torch.testing.assert_close(drawn[0][0].mean(), torch.tensor(0.0), atol=1e-5, rtol=0)
    torch.testing.assert_close(drawn[0][0].std(), torch.tensor(1.0), atol=1e-3, rtol=0)


def test_guides_move_their_own_networks_alone_and_a_trial_repeats_bit_for_bit():
    rows = pd.DataFrame(guided(Trial(100, "smoke")))
    assert len(rows) == len(NETS)
    plain = rows[rows["form"] == "plain"].set_index("method")["loss"]
    assert plain.nunique() == 4  # all start alike, and every guide leads elsewhere
    pd.testing.assert_frame_equal(rows, pd.DataFrame(guided(Trial(100, "smoke"))))
