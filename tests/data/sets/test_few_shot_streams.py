"""Few-shot streams: what is drawn, how often, and that numbers tell nothing outside their stream."""

from __future__ import annotations

import numpy as np
import pytest

from replica.data import Images, digits
from replica.data.sets.few_shot_streams import FewShotStreams, with_rotations


def marked(classes: int = 7, each: int = 6) -> Images:
    """Images that say which they are: the first pixel is the class, the second the number within it."""
    labels = np.repeat(np.arange(classes), each) * 3 + 5
    values = np.zeros((classes * each, 2, 2), np.float32)
    values[:, 0, 0] = labels
    values[:, 0, 1] = np.tile(np.arange(each), classes)
    order = np.random.default_rng(1).permutation(len(labels))
    return Images(values[order], labels[order])


SIZES = {"ways": 4, "rare": 1, "common_shots": 5, "rare_shots": 2}


def test_each_stream_is_what_it_says() -> None:
    source = FewShotStreams(marked(), **SIZES)
    streams = source.draw(200, np.random.default_rng(0))
    assert len(streams) == 200
    assert streams.values.shape == (200, source.length, 2, 2) == (200, 17, 2, 2)
    for row in range(200):
        labels = streams.labels[row]
        assert sorted(np.bincount(labels)) == [2, 5, 5, 5]
        for label in range(4):
            at = np.flatnonzero(labels == label)
            assert set(streams.values[row, at, 0, 0]) == {streams.classes[row, label]}
            assert len(set(streams.values[row, at, 0, 1])) == len(at), "no image twice"
            assert streams.instances[row, at].tolist() == list(range(1, len(at) + 1))
            assert (streams.rare[row, at] == (len(at) == 2)).all()
        assert len(set(streams.classes[row])) == 4


def test_classes_numbers_and_places_are_drawn_evenly() -> None:
    streams = FewShotStreams(marked(), **SIZES).draw(7000, np.random.default_rng(3))
    chosen = np.unique(streams.classes, return_counts=True)[1]
    np.testing.assert_allclose(chosen, 4000, rtol=0.06)
    by_number = np.array([np.unique(streams.classes[:, n], return_counts=True)[1] for n in range(4)])
    np.testing.assert_allclose(by_number, 1000, rtol=0.13)  # a class bears any number
    rare_numbers = np.bincount(streams.labels[streams.rare & (streams.instances == 1)])
    np.testing.assert_allclose(rare_numbers, 1750, rtol=0.1)  # and a number may be a rare class
    np.testing.assert_allclose(streams.rare.mean(0), 2 / 17, rtol=0.15)  # rare classes come anywhere
    images = np.unique(streams.values[..., 0, 1], return_counts=True)[1]
    np.testing.assert_allclose(images, 7000 * 17 / 6, rtol=0.06)


def test_the_same_generator_gives_the_same_streams() -> None:
    source = FewShotStreams(digits(), **SIZES)
    first, second, other = (source.draw(3, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert np.array_equal(first.values, second.values)
    assert np.array_equal(first.labels, second.labels)
    assert not np.array_equal(first.labels, other.labels)
    assert first.values.dtype == np.float32
    assert first.labels.dtype == first.instances.dtype == first.classes.dtype == np.int64


def test_rotations_are_quarter_turns_with_classes_of_their_own() -> None:
    images = marked()
    turned = with_rotations(images)
    assert len(turned) == 4 * len(images)
    assert len(np.unique(turned.labels)) == 4 * len(np.unique(images.labels))
    for turns in range(4):
        part = slice(turns * len(images), (turns + 1) * len(images))
        assert np.array_equal(turned.values[part], np.stack([np.rot90(image, turns) for image in images.values]))


@pytest.mark.parametrize(
    ("sizes", "named"),
    [
        ({"ways": 8}, "ways: got 8, want from 1 to 7"),
        ({"ways": 0}, "ways: got 0"),
        ({"rare": 5}, "rare: got 5, want from 0 to 4"),
        ({"common_shots": 7}, "common_shots: got 7, want from 1 to 6"),
        ({"rare_shots": 0}, "rare_shots: got 0"),
    ],
)
def test_wrong_sizes_are_named(sizes: dict[str, int], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        FewShotStreams(marked(), **{**SIZES, **sizes})


def test_other_wrong_use_is_named() -> None:
    with pytest.raises(ValueError, match="streams: got 0"):
        FewShotStreams(marked(), **SIZES).draw(0, np.random.default_rng(0))
    with pytest.raises(ValueError, match="images: got 2 × 3 pixels"):
        with_rotations(Images(np.zeros((1, 2, 3), np.float32), np.zeros(1, np.int64)))
