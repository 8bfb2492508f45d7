import pytest
import torch

from replica.lab.claims import Trial
from replica.papers.plasticity.split_digits import split
from replica.papers.plasticity.target_projection import FORMS, paper, shallow


@pytest.mark.parametrize("form", FORMS)
def test_networks_are_shallow_and_drawn_by_the_trial(form):
    trial = Trial(0, "smoke")
    inputs, labels, asked, truth = split(trial, 0, FORMS[form])
    net = shallow(trial, 0, form, inputs)
    assert len(net) == 3
    assert net(inputs).shape == (len(labels), 10)
    assert len(asked) == len(truth)
    again, other = shallow(trial, 0, form, inputs), shallow(trial, 1, form, inputs)
    assert torch.equal(net(inputs), again(inputs))
    assert not torch.equal(net(inputs), other(inputs))


def test_entries_take_every_network():
    assert all(not entry.needs for entry in paper.entries.values())
    assert set(paper.entries) == {"target-projection", "direct-random-target-projection"}
