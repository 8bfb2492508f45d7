"""Made events: what was planted is there, and known answers are right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from replica import data
from replica.data import EventSet, coincidence_scores, delayed_coincidences, saccade_events


def test_planted_delays_are_where_they_were_planted() -> None:
    made = delayed_coincidences(120, jitter=0, lost=0.0, noise=0.0, seed=3)
    assert made.delays is not None
    step = made.events.argmax(axis=1)
    assert (made.events.sum(axis=1) == 1).all()
    wanted = made.delays[made.labels]
    np.testing.assert_array_equal(step - step[:, :1], wanted - wanted[:, :1])
    assert (coincidence_scores(made.events, made.delays, jitter=0)[np.arange(120), made.labels] == 20).all()


def test_counts_tell_nothing_of_delays_and_the_known_answer_is_right() -> None:
    made = delayed_coincidences(3000, seed=5)
    counts = made.events.sum(axis=1)
    means = np.array([counts[made.labels == label].mean() for label in range(10)])
    assert np.ptp(means) < 0.1
    assert counts.mean() == pytest.approx(0.8 + 60 * 0.02, abs=0.04)
    scores = coincidence_scores(made.events[:500], made.delays)
    assert (scores.argmax(axis=1) == made.labels[:500]).mean() > 0.99


def test_coincidences_are_counted_as_a_loop_would() -> None:
    rng = np.random.default_rng(0)
    events = (rng.random((3, 12, 4)) < 0.3).astype(np.uint8)
    delays = rng.integers(5, size=(2, 4))
    found = coincidence_scores(events, delays)
    for row, delay, score in zip(np.repeat(events, 2, axis=0), np.tile(delays, (3, 1)), found.ravel(), strict=True):
        assert score == max(
            sum(any(row[t, i] for t in range(max(0, s + d - 1), min(12, s + d + 2))) for i, d in enumerate(delay))
            for s in range(12)
        )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"classes": 1}, "classes: got 1"),
        ({"steps": 10}, "steps: got 10, want 22"),
        ({"lost": 1.0}, "lost: got 1.0"),
        ({"count": 3}, "count: got 3"),
    ],
)
def test_numbers_out_of_range_are_named(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        delayed_coincidences(**{"count": 50} | given)


def test_latencies_are_the_images() -> None:
    made, images = data.latency_digits(), data.digits()
    ink = 16 - made.events.argmax(axis=1)
    np.testing.assert_array_equal(ink.reshape(-1, 8, 8), images.values * 16)
    assert (made.events.sum(axis=1) == 1).all()


def test_crossings_lead_from_level_to_level() -> None:
    signals = np.random.default_rng(0).normal(size=(5, 30)).cumsum(axis=1)
    levels = np.linspace(-3, 3, 7)
    events = data.level_crossings(signals, levels).astype(int)
    rises = (events[:, :, 0] - events[:, :, 1]).sum(axis=2).cumsum(axis=1)
    above = (signals[:, :, None] >= levels).sum(axis=2)
    np.testing.assert_array_equal(rises, above - above[:, :1])


def test_a_still_eye_sees_nothing_and_a_moving_one_sees_edges() -> None:
    flat = np.full((1, 8, 8), 0.5, np.float32)
    events = saccade_events(flat, reach=2.0)
    inside = events[:, :, :, :5, :5]  # the path comes no closer than that to the dark outside
    assert not inside.any()
    assert events.any()
    bar = np.zeros((1, 8, 8), np.float32)
    bar[0, :, 4] = 1
    on_off = saccade_events(bar, reach=2.0)[0]
    assert on_off[:, 0].any()
    assert on_off[:, 1].any()
    # All that rises has fallen again once the eye is back where it was: as many OFF events as ON, to one.
    balance = on_off[:, 0].astype(int).sum(axis=0) - on_off[:, 1].astype(int).sum(axis=0)
    assert np.abs(balance).max() <= 2
    np.testing.assert_array_equal(saccade_events(np.kron(bar, np.ones((2, 2), np.float32)), reach=4.0, pool=2)[0, 0], 0)


def test_a_set_of_events_fits_together() -> None:
    with pytest.raises(ValueError, match="must have shape"):
        EventSet(np.zeros((2, 3)), np.zeros(2, int), ("a",), (3,))
    with pytest.raises(ValueError, match="labels must have shape"):
        EventSet(np.zeros((2, 3, 4)), np.zeros(3, int), ("a",), (4,))
    with pytest.raises(ValueError, match="must arrange 4 units"):
        EventSet(np.zeros((2, 3, 4)), np.zeros(2, int), ("a",), (3,))
