"""What a slope is, and that held-out images are held out."""

import numpy as np
import pandas as pd
import pytest

from replica.lab.claims import Trial
from replica.papers.architectures.magnitude_invariant import slopes, split_images


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_slope_of_a_power(power):
    conditions = np.logspace(-1, 0, 9)
    rows = {"form": "plain", "step": 0, "condition": conditions, "deviation": 3 * conditions**power}
    assert slopes(pd.DataFrame(rows), 0)["plain"] == pytest.approx(power, abs=1e-9)


def test_no_image_is_both_trained_on_and_held_out():
    images, _, others, _ = split_images(Trial(0, "laptop"))
    train = {image.numpy().tobytes() for image in images}
    # Two of the digits' images may be equal; nearly all must be new.
    assert sum(image.numpy().tobytes() in train for image in others) <= 1
