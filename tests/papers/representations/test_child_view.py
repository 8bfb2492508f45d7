"""Judges of child_view on a made table, and its study's images and tasks."""

import pandas as pd
import pytest
import torch

from replica.lab.claims import Trial
from replica.papers.representations import child_view
from replica.papers.representations.child_view import CHILDREN, children, paper, seen_and_asked


def table():
    accuracy = {
        "untrained": (0.5, 0.3),
        CHILDREN[0]: (0.7, 0.4),
        CHILDREN[1]: (0.72, 0.4),
        CHILDREN[2]: (0.74, 0.4),
        "reference": (0.8, 0.6),
        "reference, unrelated": (0.5, 0.4),
    }
    return pd.DataFrame(
        [
            {"learner": learner, "task": task, "accuracy": value}
            for learner, pair in accuracy.items()
            for task, value in zip(("digits", "letters"), pair, strict=True)
        ]
    )


def test_children_are_judged_by_their_share_of_the_gain():
    assert paper.claims["most_of_the_reference"].measures(table()) == pytest.approx(
        {
            "gain_past_70_percent": 0.16 - 0.7 * 0.3,
            "share_of_accuracy": 0.8,
            "share_of_accuracy_untrained": 4 / 7,
            "gain_of_reference": 0.3,
            "gain_of_children": 0.16,
            "reference_over_unrelated": 0.25,
        }
    )


def test_children_are_compared_by_their_mean_over_tasks():
    found = paper.claims["children_agree"].measures(table())
    assert found == pytest.approx({"spread": 0.01, "spread_of_digits": 0.02, "gain_of_children": 0.16})


def test_probes_are_asked_of_images_that_no_stream_has_shown():
    images, tasks = seen_and_asked(Trial(100, "smoke"))
    known, labels, asked, answers = tasks["digits"]
    assert (len(known), len(asked)) == (len(labels), len(answers))
    whole = torch.cat([images, known, asked]).flatten(1)
    assert len(whole) == 1797
    alike = torch.cdist(whole, whole, compute_mode="donot_use_mm_for_euclid_dist").fill_diagonal_(1)
    assert alike[: len(images), len(images) :].min() > 0


def test_children_see_digits_of_their_own_from_one_start(monkeypatch):
    shown, starts = [], []

    class Watched(child_view.StreamDistillation):
        def learn(self, images, encoder, generator, **options):
            shown.append((images, options["steps"], self.related))
            starts.append([parameter.clone() for parameter in encoder.parameters()])
            return super().learn(images, encoder, generator, **options)

    monkeypatch.setattr(child_view, "StreamDistillation", Watched)
    rows = pd.DataFrame(children(Trial(100, "smoke")))
    assert len(rows) == 12
    assert all(torch.equal(one, two) for start in starts for one, two in zip(start, starts[0], strict=True))
    assert [len(images) for images, _, _ in shown] == [100, 10, 10, 10, 100, 100]
    assert [steps > 0 for _, steps, _ in shown] == [False, True, True, True, True, True]
    assert [related for _, _, related in shown] == [True] * 5 + [False]
    own = torch.cat([images for images, _, _ in shown[1:4]]).flatten(1)
    assert len(own.unique(dim=0)) == 30
