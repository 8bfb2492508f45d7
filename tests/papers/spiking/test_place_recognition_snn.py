"""What the claims on place recognition stand on: parts of a journey, means over maps, histograms of gradients."""

import numpy as np
import pytest
import torch

from replica.lab.claims import Trial
from replica.papers.spiking.place_recognition_snn import (
    AUTHORS,
    _mean_precision,
    gradient_histograms,
    journey_of,
    learn_and_calibrate,
    paper,
    sizes_of,
)
from replica.spiking import match_precision


def test_a_part_of_a_journey_keeps_images_beside_their_places() -> None:
    journey = journey_of(Trial(100, "smoke"), 12)
    part = journey.part(4, 5)
    assert part.reference_places.tolist() == [0, 1, 2, 3, 4] * 2
    for image, place in zip(part.reference, part.reference_places, strict=True):
        assert any(torch.equal(image, journey.reference[row]) for row in (4 + int(place), 16 + int(place)))
    assert torch.equal(part.queries, journey.queries[4:9])


def test_tested_places_are_numbered_after_those_for_calibration() -> None:
    trial = Trial(100, "smoke")
    found = learn_and_calibrate(trial, AUTHORS, sizes_of(trial))
    assert found.first == 4
    found.ensemble.remove_hyperactive(2.0)
    assert torch.equal(found.scores(2.0), found.ensemble.scores(found.responses)[4:, 4:])
    assert found.truth.tolist() == list(range(8))


def test_precision_over_maps_is_the_mean_of_their_own() -> None:
    scores = torch.rand(12, 12, generator=torch.Generator().manual_seed(0))
    maps = [range(0, 4), range(4, 8), range(8, 12)]
    expected = [match_precision(scores[m.start : m.stop, m.start : m.stop], torch.arange(4)) for m in maps]
    assert _mean_precision(maps, lambda rows: scores) == pytest.approx(np.mean(expected))
    assert _mean_precision([range(12)], lambda rows: scores) == match_precision(scores, torch.arange(12))


def test_histograms_tell_directions_and_not_light() -> None:
    steps = torch.arange(28.0)
    across, down = steps.expand(1, 28, 28), steps[:, None].expand(1, 28, 28)
    found = [gradient_histograms(images, cells=4, bins=8)[0].view(8, 16) for images in (across, down)]
    assert found[0].argmax(0).unique().tolist() == [0]
    assert found[1].argmax(0).unique().tolist() == [4]
    images = torch.rand(3, 28, 28, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(
        gradient_histograms(0.2 * images + 0.5), gradient_histograms(images), atol=1e-4, rtol=1e-4
    )


def test_the_measures_of_removal_hang_together() -> None:
    measures, series = paper.claims["removal"](Trial(100, "smoke"))
    assert measures["gain_precision"] == pytest.approx(measures["precision"] - measures["precision_of_all"])
    assert measures["gain_area"] == pytest.approx(measures["area"] - measures["area_of_all"])
    assert len(series["recall"]) == 42
    at_the_end = [p for r, p in zip(series["recall"], series["precision"], strict=True) if r == 1.0]
    assert at_the_end == pytest.approx([measures["precision_of_all"], measures["precision"]])
