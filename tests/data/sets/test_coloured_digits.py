"""Coloured digits: the frequencies that were asked for, every image once, and colour and shape told apart."""

import numpy as np
import pytest

from replica.data import Images, coloured_digits, digits


def test_colour_and_shape_tell_the_label_as_often_as_was_asked_for():
    images = Images(np.ones((60_000, 2, 2), np.float32), np.arange(60_000) % 10)
    made = coloured_digits((0.1, 0.2, 0.9), 0.25, images=images, shares=(2, 2, 1), seed=3)
    assert np.bincount(made.groups).tolist() == [24_000, 24_000, 12_000]
    for number, flip in enumerate((0.1, 0.2, 0.9)):
        there = made.groups == number
        assert abs((made.colours != made.labels)[there].mean() - flip) < 0.015  # more than four deviations
        assert abs((made.shapes != made.labels)[there].mean() - 0.25) < 0.016
        # Noise of the label and of the colour are independent: colour tells of the shape by way of the label alone.
        assert abs((made.colours != made.shapes)[there].mean() - (0.25 + flip - 0.5 * flip)) < 0.02


def test_every_image_is_shown_once_in_the_channel_of_its_colour():
    made, source = coloured_digits(seed=1), digits()
    rows = np.arange(len(made))
    assert not made.features[rows, 1 - made.colours].any()
    assert (made.shapes == (made.digits > 4)).all()
    shown = made.features[rows, made.colours].reshape(len(made), -1)
    keys = [np.column_stack((numbers, values)) for numbers, values in (
        (made.digits, shown), (source.labels, source.values.reshape(len(source), -1)),
    )]  # fmt: skip
    assert np.array_equal(*(key[np.lexsort(key.T)] for key in keys))


def test_without_noise_the_colour_is_the_label_and_the_label_the_shape():
    made = coloured_digits((0.0, 1.0), 0.0)
    assert (made.labels == made.shapes).all()
    assert (made.colours == made.labels ^ made.groups).all()


def test_a_seed_draws_anew_and_the_same_one_the_same():
    first, again, other = (coloured_digits(seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first.features, again.features)
    assert not np.array_equal(first.labels, other.labels)
    drawn = coloured_digits(seed=np.random.default_rng(0))
    assert np.array_equal(first.features, drawn.features)


def test_sides_of_28_pixels_are_halved():
    images = Images(np.arange(2 * 784, dtype=np.float32).reshape(2, 28, 28), np.array([3, 8]))
    made = coloured_digits((0.0,), 0.0, images=images)
    assert np.array_equal(made.features[made.labels == 0][0, 0], images.values[0, ::2, ::2])


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"environments": (0.1, 1.2)}, "environments"),
        ({"environments": ()}, "environments"),
        ({"label_noise": -0.1}, "label_noise"),
        ({"shares": (1, 1)}, "shares: got .* want 3"),
        ({"shares": (1, 0, 1)}, "shares"),
        ({"images": Images(np.zeros((2, 8, 8), np.float32), np.arange(2))}, "images: got 2"),
    ],
)
def test_what_is_out_of_range_is_refused(given, wanted):
    with pytest.raises(ValueError, match=wanted):
        coloured_digits(**given)
