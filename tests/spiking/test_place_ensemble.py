"""Places from an ensemble: scores, assignment and removal by brute force; curves beside scikit-learn's."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import precision_recall_curve
from torch import Tensor

from replica.spiking import (
    PlaceEnsemble,
    absolute_differences,
    area_under_precision_recall,
    choose_share,
    match_precision,
    patch_normalise,
    precision_recall,
)


def images(count: int, seed: int = 0) -> Tensor:
    return (torch.rand(count, 6, 6, generator=torch.Generator().manual_seed(seed)) > 0.6).float()


def fitted(regions: int = 3, places: int = 4, traverses: int = 2, **options: float) -> tuple[PlaceEnsemble, Tensor]:
    generator = torch.Generator().manual_seed(5)
    settings = {"drive": 0.2, "learning_rate": 0.2, "threshold_step": 0.01, **options}
    ensemble = PlaceEnsemble(36, regions, places=places, units=12, generator=generator, **settings)
    seen = images(regions * places)
    labels = torch.arange(len(seen)).repeat(traverses)
    ensemble.fit(seen.repeat(traverses, 1, 1), labels, epochs=8, generator=generator)
    return ensemble, seen


def test_planted_places_are_told_apart() -> None:
    ensemble, seen = fitted()
    noisy = (seen + 0.2 * torch.rand(seen.shape, generator=torch.Generator().manual_seed(9))).clamp(0, 1)
    truth = torch.arange(len(seen))
    assert match_precision(ensemble.match(noisy, generator=torch.Generator().manual_seed(1)), truth) > 0.8
    again = ensemble.match(noisy.numpy(), generator=torch.Generator().manual_seed(1))
    assert torch.equal(ensemble.match(noisy, generator=torch.Generator().manual_seed(1)), again)


def test_units_belong_to_the_place_of_their_region_that_they_answer_most() -> None:
    ensemble, seen = fitted(traverses=1)
    generator = torch.Generator().manual_seed(7)
    state = generator.get_state()
    ensemble._record(seen.flatten(1), torch.arange(len(seen)), generator)
    responses = ensemble.respond(seen, generator=generator.set_state(state))
    for region in range(3):
        own = responses[4 * region : 4 * region + 4, region]
        for unit in range(12):
            expected = 4 * region + int(own[:, unit].argmax()) if own[:, unit].max() > 0 else -1
            assert int(ensemble.assigned[region, unit]) == expected
    torch.testing.assert_close(ensemble.activity(), (responses > 0).float().mean(0))
    torch.testing.assert_close(ensemble.activity([0, 5]), (responses[[0, 5]] > 0).float().mean(0))


def test_scores_are_means_over_the_units_of_a_place() -> None:
    ensemble, seen = fitted()
    responses = ensemble.respond(seen, generator=torch.Generator().manual_seed(2))
    ensemble.remove_hyperactive(0.3)
    assert 0 < ensemble.kept.float().mean() < 1
    found = ensemble.scores(responses)
    for image in range(len(seen)):
        for place in range(12):
            units = [
                float(responses[image, r, n]) * bool(ensemble.kept[r, n])
                for r in range(3)
                for n in range(12)
                if ensemble.assigned[r, n] == place
            ]
            assert float(found[image, place]) == pytest.approx(sum(units) / max(len(units), 1), abs=1e-5)


def test_removal_goes_by_the_share_and_can_be_taken_back() -> None:
    ensemble, _ = fitted()
    activity = ensemble.activity()
    for share in (0.05, 0.2, 2.0):
        ensemble.remove_hyperactive(share)
        assert torch.equal(ensemble.kept, activity < share)
    assert ensemble.kept.all()
    with pytest.raises(ValueError, match="share: got 0"):
        ensemble.remove_hyperactive(0)


def test_a_planted_unit_that_answers_everywhere_is_removed_and_matches_come_back() -> None:
    """Three regions of two places, one unit each, and a seventh that fires for every image."""
    ensemble = PlaceEnsemble(4, 3, places=2, units=3)
    ensemble.assigned.copy_(torch.tensor([[0, 1, 0], [2, 3, -1], [4, 5, -1]]))
    responses = torch.zeros(6, 3, 3)
    for place in range(6):
        responses[place, place // 2, place % 2] = 5.0
    responses[:, 0, 2] = 20.0
    ensemble.presented.fill_(1.0)
    ensemble.answered.copy_((responses > 0).float())
    truth = torch.arange(6)
    assert match_precision(ensemble.scores(responses), truth) == pytest.approx(1 / 6)
    assert choose_share(ensemble, responses, truth, [0.1, 0.5, 0.9, 2.0]) == 0.9  # of equals the largest
    assert match_precision(ensemble.scores(responses), truth) == 1.0
    assert (~ensemble.kept).nonzero().tolist() == [[0, 2]]
    assert choose_share(ensemble, responses[2:4], truth[2:4], [0.5, 2.0]) == 2.0
    with pytest.raises(ValueError, match="candidates"):
        choose_share(ensemble, responses, truth, [])


@pytest.mark.parametrize(("score", "right"), [(0.0, False), (-math.inf, False), (2.0, True)])
@pytest.mark.parametrize("places", [1, 3])
def test_an_image_that_no_place_answers_is_wrong(score: float, right: bool, places: int) -> None:
    scores, truth = torch.full((4, places), score), torch.zeros(4, dtype=torch.long)
    assert match_precision(scores, truth) == right
    assert precision_recall(scores, truth)[0][-1] == right


def test_scores_that_are_not_above_zero_are_no_answers_and_distances_can_be_made_scores() -> None:
    distances, truth = torch.tensor([[2.0, 0.0], [1.0, 3.0]]), torch.tensor([1, 0])
    assert match_precision(-distances, truth) == 0.0
    assert match_precision(1 / (1 + distances), truth) == 1.0


def test_one_region_and_unequal_numbers_of_images() -> None:
    generator = torch.Generator().manual_seed(0)
    ensemble = PlaceEnsemble(36, 2, places=3, units=5, generator=generator)
    labels = torch.tensor([0, 1, 2, 3, 4, 5, 5, 5])
    ensemble.fit(images(8), labels, epochs=1, generator=generator)
    assert ensemble.presented.tolist() == [1, 1, 1, 1, 1, 3]
    assert (ensemble.assigned[0] < 3).all()
    assert ensemble.match(images(0), generator=generator).shape == (0, 6)


def scored(seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(60, 20, generator=generator).mul(8).round().double()
    truth = torch.randint(20, (60,), generator=generator)
    scores[torch.arange(60), truth] += 3
    return scores, truth


@pytest.mark.parametrize("seed", range(4))
def test_precision_is_scikit_learns_and_recall_is_counted(seed: int) -> None:
    scores, truth = scored(seed)
    precision, recall = precision_recall(scores, truth)
    best, found = scores.max(1)
    correct = found == truth
    expected, _, thresholds = precision_recall_curve(correct, best)
    np.testing.assert_allclose(precision[1:].flip(0), expected[:-1])
    for threshold, share in zip(thresholds[::-1], recall[1:].tolist(), strict=True):
        accepted = best >= threshold
        right = int((correct & accepted).sum())
        assert share == pytest.approx(right / (right + int((~accepted).sum())))
    assert precision[-1] == match_precision(scores, truth)
    assert (recall[0], recall[-1], precision[0]) == (0, 1, 1)
    assert area_under_precision_recall(scores, truth) == pytest.approx(np.trapezoid(precision, recall))


def test_area_of_a_perfect_and_a_hopeless_match() -> None:
    truth = torch.arange(5)
    assert area_under_precision_recall(torch.eye(5), truth) == 1
    assert area_under_precision_recall(1 - torch.eye(5), truth) == 0


def test_patches_are_normalised_as_written_out() -> None:
    shown = images(3).double() + torch.rand(3, 6, 6, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    found = patch_normalise(shown, 5)
    for image, normal in zip(shown.numpy(), found.numpy(), strict=True):
        padded = np.pad(image, 2, constant_values=np.nan)
        for row in range(6):
            for column in range(6):
                patch = padded[row : row + 5, column : column + 5]
                value = (image[row, column] - np.nanmean(patch)) / np.nanstd(patch)
                assert normal[row, column] == pytest.approx((1 + np.clip(value, -1, 1)) / 2)
    torch.testing.assert_close(patch_normalise(0.3 * shown + 7, 5), found)  # light and contrast go
    assert patch_normalise(np.zeros((1, 9, 9), np.float32)).unique().tolist() == [0.5]


def test_differences_are_those_to_the_nearest_image_of_a_place() -> None:
    queries, references, places = images(4), images(6, 1), torch.tensor([0, 1, 2, 0, 1, 2])
    found = absolute_differences(queries, references, places)
    for query in range(4):
        for place in range(3):
            options = [float((queries[query] - references[r]).abs().sum()) for r in range(6) if r % 3 == place]
            assert float(found[query, place]) == pytest.approx(-min(options))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [({"regions": 0}, "regions"), ({"places": 0}, "places"), ({"steps": 0}, "steps"), ({"peak": 2.0}, "peak")],
)
def test_bad_arguments_are_named(arguments: dict[str, float], named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named}: got"):
        PlaceEnsemble(**{"inputs": 4, "regions": 2, **arguments})  # type: ignore[arg-type]


def test_what_does_not_fit_is_refused() -> None:
    ensemble = PlaceEnsemble(36, 2, places=3, units=5)
    with pytest.raises(ValueError, match="images: got shape"):
        ensemble.match(torch.zeros(2, 5, 5))
    with pytest.raises(ValueError, match=r"places: got shape \(5,\), want \(6,\)"):
        ensemble.fit(images(6), torch.arange(5))
    with pytest.raises(ValueError, match="places: got 5 of them"):
        ensemble.fit(images(6), torch.tensor([0, 1, 2, 3, 4, 4]))
    with pytest.raises(ValueError, match="epochs: got 0"):
        ensemble.fit(images(6), torch.arange(6), epochs=0)
    with pytest.raises(ValueError, match="patch: got 4"):
        patch_normalise(images(1), 4)
