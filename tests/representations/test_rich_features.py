"""Rich features: planted cues are all found, each by a net of its own, and the joint net holds them."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from replica.representations import BonsaiFeatures, InvariantClassifier, rich_nets


def planted(rows: int = 2000, wrong: tuple[float, ...] = (0.05, 0.15)) -> tuple[torch.Tensor, torch.Tensor]:
    """Cues of ±1 that mislead independently, the strongest first, beside two columns of noise; labels."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(2, (rows,), generator=generator)
    turned = torch.rand(rows, len(wrong), generator=generator) < torch.tensor(wrong)
    signs = 2.0 * (turned ^ labels[:, None].bool()) - 1
    # The weaker a cue, the smaller it is: a net finds the first one first.
    sizes = torch.tensor([3.0, 1.0, 0.5][: len(wrong)])
    return torch.cat([sizes * signs, torch.randn(rows, 2, generator=generator)], 1), labels


SETTINGS = {"width": 16, "first_steps": 25, "steps": 300, "learning_rate": 1e-2}


def agreement(found: torch.Tensor, cue: torch.Tensor) -> float:
    return float(((cue > 0) == found.bool()).float().mean())


def test_every_planted_cue_is_found_by_a_net_of_its_own():
    inputs, labels = planted()
    made = rich_nets(inputs, labels, restarts=2, generator=torch.Generator().manual_seed(0), **SETTINGS)
    for restart in range(2):
        first, second = made.found[:, restart]
        assert agreement(first, inputs[:, 0]) > 0.95
        assert agreement(second, inputs[:, 1]) > 0.9
        assert agreement(second, inputs[:, 0]) < 0.9, "chance is 0.82, by way of the label"
        features = made.features[restart](inputs).numpy()
        for cue in range(2):
            probe = LogisticRegression(max_iter=2000).fit(features[:1000], inputs[:1000, cue] > 0)
            assert probe.score(features[1000:], inputs[1000:, cue] > 0) > 0.97


def test_the_groups_make_what_was_used_useless():
    """Among rows that the first net tells right, and those it tells wrong, its own cue has opposite signs: no net gains by it."""
    inputs, labels = planted(400, (0.05,))
    made = rich_nets(inputs, labels, generator=torch.Generator().manual_seed(0), width=8, steps=120, learning_rate=1e-2)
    right = made.found[0, 0] == labels
    second = made.found[1, 0] == labels
    least = min(float(second[right].float().mean()), float(second[~right].float().mean()))
    assert float(right.float().mean()) > 0.9
    assert least < 0.75, "there is no other cue to find"


def test_the_start_is_the_mean_of_the_heads():
    inputs, labels = planted(200)
    made = rich_nets(inputs, labels, rounds=3, width=8, steps=40, generator=torch.Generator().manual_seed(0))
    assert made.found.shape == (3, 1, 200)
    assert made.heads[0].weight.shape == (2, 8)
    told = made.heads[0](made.features[0](inputs)).argmax(1)
    votes = (made.found[:, 0].float().mean(0) > 0.5).long()
    assert float((told == votes).float().mean()) > 0.8


def test_more_restarts_are_restarts_alone():
    inputs, labels = planted(100)
    one, two = (rich_nets(inputs, labels, restarts=count, rounds=1, width=4, first_steps=20, steps=5,
                          generator=torch.Generator().manual_seed(0)) for count in (1, 2))  # fmt: skip
    assert torch.equal(one.found[0, 0], two.found[0, 0])
    assert not torch.equal(two.features[0][0].weight, two.features[1][0].weight)


def test_an_estimator_for_any_table():
    inputs, labels = planted(300)
    words = np.array(["no", "yes"])[labels.numpy()]
    features = BonsaiFeatures(width=8, steps=50, learning_rate=1e-2, random_state=0)
    again = BonsaiFeatures(width=8, steps=50, learning_rate=1e-2, random_state=0)
    given = features.fit_transform(inputs.numpy(), words)
    assert np.array_equal(given, again.fit(inputs.numpy(), words, environment=np.zeros(300)).transform(inputs.numpy()))
    model = InvariantClassifier("erm", features=features, steps=50, learning_rate=0.02, random_state=0).fit(
        inputs.numpy(), words
    )
    assert model.score(inputs.numpy(), words) > 0.9
    assert tuple(model.net_.weight.shape) == (2, 8)


@pytest.mark.parametrize("name", ["rounds", "restarts", "width", "steps"])
def test_counts_below_1_are_refused(name):
    with pytest.raises(ValueError, match=f"{name}: got 0"):
        rich_nets(*planted(20), **{name: 0})


def test_labels_of_another_length_are_refused():
    with pytest.raises(ValueError, match="labels: got shape"):
        rich_nets(torch.zeros(5, 2), torch.zeros(4, dtype=torch.long))
