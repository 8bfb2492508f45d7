"""What the claims on place recognition stand on: routes, removal at random, maps that share out all places."""

import pandas as pd
import pytest
import torch

from replica.lab.claims import Trial
from replica.papers.spiking import place_recognition_snn as study
from replica.spiking import match_precision


def test_reference_images_lie_beside_their_places():
    route = study.route_of(Trial(100, "smoke"), 12, 80)
    assert route.reference_places.tolist() == [*range(12), *range(12)]
    scores = study.pixel_differences(route._replace(queries=route.reference[12:]))
    assert match_precision(scores, torch.arange(12)) == 1.0


def test_calibration_places_are_neither_queries_nor_matches(monkeypatch):
    seen = []
    monkeypatch.setattr(study, "match_precision", lambda scores, truth: seen.append((scores, truth)) or 0.0)
    rows = pd.DataFrame(study.recognition(Trial(100, "smoke"), study.AUTHORS, draws=3))
    pixels, truth = seen[0]
    route = study.route_of(Trial(100, "smoke"), 16, 80)
    assert torch.equal(pixels, study.pixel_differences(route)[4:, 4:])
    assert truth.tolist() == list(range(12))
    assert (rows["method"] == "as many at random").sum() == 3


def test_as_many_units_are_removed_at_random(monkeypatch):
    monkeypatch.setattr(study, "choose_share", lambda *_: 0.01)
    removed = pd.DataFrame(study.recognition(Trial(100, "smoke"), study.TUNED, draws=3)).groupby("method")["removed"]
    assert removed.first()["hyperactive removed"] > 0
    assert removed.first()["as many at random"] == pytest.approx(removed.first()["hyperactive removed"])
    assert removed.first()["all units"] == 0


def test_maps_of_a_size_get_all_queries_once():
    rows = pd.DataFrame(study.growth(Trial(100, "smoke"))).set_index(["method", "places"])["precision"]
    pixels = study.pixel_differences(study.route_of(Trial(100, "smoke"), 16, 80))[4:, 4:]
    one_by_one = [match_precision(pixels[at : at + 4, at : at + 4], torch.arange(4)) for at in (0, 4, 8)]
    assert rows["pixel differences", 4] == pytest.approx(sum(one_by_one) / 3)
    assert rows["pixel differences", 12] == match_precision(pixels, torch.arange(12))
