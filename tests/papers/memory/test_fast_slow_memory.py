import copy

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from replica.data import digits
from replica.data.sets.few_shot_streams import FewShotStreams
from replica.lab.claims import Trial
from replica.papers.memory.fast_slow_memory import (
    LEARNING_RATES,
    StreamLearner,
    Training,
    as_tensors,
    make_feedback,
    paper,
    right_answers,
    split_characters,
    stream_sizes,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def streams():
    return FewShotStreams(digits(), ways=3, rare=1, common_shots=5, rare_shots=2).draw(8, np.random.default_rng(0))


def trained(streams, chunk, feedback=None, descent=None, batches=1):
    learner = StreamLearner(64, 3, seeded())
    training = Training(learner, 1e-3, chunk, feedback, descent)
    for _ in range(batches):
        training.batch(*as_tensors(streams, torch.device("cpu")))
    return learner


def test_coupled_training_is_plain_backpropagation(streams):
    learner = StreamLearner(64, 3, seeded())
    descent = torch.optim.Adam(learner.parameters(), 1e-3)
    images, labels = as_tensors(streams, torch.device("cpu"))
    cross_entropy(learner(images, labels)[0].flatten(0, 1), labels.flatten()).backward()
    torch.nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
    descent.step()
    for (name, expected), found in zip(learner.named_parameters(), trained(streams, 12).parameters(), strict=True):
        torch.testing.assert_close(found, expected, msg=name)


def test_feedback_changes_the_controllers_only_once_it_has_learned(streams):
    truncated = trained(streams, 4)
    silent = make_feedback(seeded(1))
    for one, other in zip(trained(streams, 4, silent).parameters(), truncated.parameters(), strict=True):
        assert torch.equal(one, other)
    feedback = make_feedback(seeded(1))
    before = copy.deepcopy(feedback.state_dict())
    descent = torch.optim.Adam(feedback.parameters(), 1e-2)
    decoupled = trained(streams, 4, feedback, descent, batches=3)
    assert any(not torch.equal(value, before[name]) for name, value in feedback.state_dict().items())
    truncated = trained(streams, 4, batches=3)
    pairs = zip(decoupled.parameters(), truncated.parameters(), strict=True)
    assert any(not torch.allclose(one, other) for one, other in pairs)


def test_alphabets_of_the_test_are_not_trained_on():
    trial = Trial(0, "smoke")
    test, *parts = (set(part.labels.tolist()) for part in split_characters(trial, 2))
    assert len(test) == 4
    assert len(parts[0]) == len(parts[1]) == 3
    assert not test & parts[0]
    assert not test & parts[1]
    assert not parts[0] & parts[1]
    assert set(split_characters(trial, 1)[0].labels.tolist()) == test


def test_training_makes_answers_better():
    trial = Trial(0, "smoke")
    source = FewShotStreams(digits(), **stream_sizes(trial))
    learner = StreamLearner(64, 3, seeded())
    held_out = source.draw(64, np.random.default_rng(1))
    later = held_out.instances > 1
    before = right_answers(trial, learner, held_out)[later].mean()
    feedback = make_feedback(seeded(1))
    training = Training(learner, 3e-3, 4, feedback, torch.optim.Adam(feedback.parameters(), 1e-3))
    rng = np.random.default_rng(2)
    for _ in range(25):
        training.batch(*as_tensors(source.draw(16, rng), torch.device("cpu")))
    after = right_answers(trial, learner, held_out)[later].mean()
    assert after > max(0.5, before)


def test_a_method_that_learns_nothing_gains_nothing(monkeypatch):
    """At learning rate 0 all ways of training leave the same network, and no gain is measured."""
    for method in LEARNING_RATES:
        monkeypatch.setitem(LEARNING_RATES, method, 0.0)
    for name, claim in paper.claims.items():
        measures, _ = claim(Trial(0, "smoke"))
        gains = [value for measure, value in measures.items() if measure.startswith("gain")]
        assert gains, name
        assert gains == [0.0] * len(gains), name
