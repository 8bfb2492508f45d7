"""The camera against its images where it stands still, its correlations in time, and pairs of moments by their odds."""

import math

import pytest
import torch

from replica.representations import camera_stream, temporal_pairs

STILL = {"rotation": 0.0, "shift": 0.0, "zoom": 0.0}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def pictures(count=5, size=(1, 6, 8)):
    return torch.rand(count, *size, generator=seeded(9), dtype=torch.float64)


def test_without_motion_frames_are_the_images():
    images = pictures()
    frames, shown = camera_stream(images, 200, generator=seeded(), **STILL)
    torch.testing.assert_close(frames, images[shown], atol=1e-6, rtol=0)


def test_a_camera_that_keeps_its_place_gives_identical_frames_of_an_image():
    frames, shown = camera_stream(pictures(), 200, drift=math.inf, generator=seeded())
    for number in range(5):
        same = frames[shown == number]
        assert torch.equal(same, same[:1].expand_as(same))
    assert not torch.allclose(frames, pictures()[shown], atol=0.05)


def test_all_images_are_looked_at_before_one_again_for_as_long_as_asked():
    shown = camera_stream(pictures(40, (1, 2, 2)), 6000, dwell=12.0, generator=seeded()).shown
    starts = torch.cat([shown[:1], shown[1:][shown[1:] != shown[:-1]]])
    assert len(starts[:40].unique()) == 40
    assert len(shown) / len(starts) == pytest.approx(12, rel=0.15)


def test_places_are_correlated_in_time_as_they_should_be():
    """A faint ramp tells the shift: brightness of the middle is linear in it."""
    side = 17
    ramp = torch.linspace(-1, 1, side, dtype=torch.float64).expand(1, 1, side, side)
    motion = STILL | {"shift": 0.05}
    frames = camera_stream(ramp, 20_000, drift=5.0, generator=seeded(), **motion).frames
    middle = frames[:, 0, side // 2, side // 2]
    assert middle.std() == pytest.approx(0.1, rel=0.1)  # 0.05 of a side that is 2 long
    for lag in (1, 5, 10):
        found = torch.corrcoef(torch.stack([middle[lag:], middle[:-lag]]))[0, 1]
        assert float(found) == pytest.approx(math.exp(-lag / 5), abs=0.05)


def test_angles_and_magnifications_are_what_they_say():
    """A bright pixel off the middle goes round it, or outwards."""
    image = torch.zeros(1, 1, 41, 41, dtype=torch.float64)
    image[0, 0, 19:22, 30:33] = 1
    across = torch.arange(41, dtype=torch.float64) - 20

    def places(**motion):
        frames = camera_stream(image, 4000, drift=1.0, generator=seeded(), **STILL | motion).frames[:, 0]
        mass = frames.sum((1, 2))
        return torch.stack([(frames.sum(1) @ across) / mass, (frames.sum(2) @ across) / mass])

    x, y = places(rotation=10.0)
    assert float(torch.rad2deg(torch.atan2(y, x)).std()) == pytest.approx(10, rel=0.1)
    torch.testing.assert_close(x.hypot(y), torch.full((4000,), 11.0, dtype=torch.float64), atol=0.3, rtol=0)
    x, y = places(zoom=0.1)
    assert float((x / 11).log().std()) == pytest.approx(0.1, rel=0.1)
    assert y.abs().max() < 0.2


def test_pairs_are_near_in_time_and_either_comes_first():
    first, second = temporal_pairs(12, 60_000, gap=3, generator=seeded())
    apart = second - first
    assert first.min() == second.min() == 0
    assert first.max() == second.max() == 11
    assert torch.minimum(first, second)[apart.abs() == 1].max() == 10
    shares = torch.bincount(apart + 3, minlength=7) / 60_000
    torch.testing.assert_close(shares, torch.tensor([1, 1, 1, 0, 1, 1, 1]) / 6, atol=0.01, rtol=0)


def test_bad_arguments():
    for call, said in (
        (lambda: camera_stream(torch.zeros(3, 4, 4), 5), "images: got"),
        (lambda: camera_stream(pictures(), 5, dwell=0.5), "frames, dwell, drift"),
        (lambda: camera_stream(pictures(), 5, drift=0.0), "frames, dwell, drift"),
        (lambda: camera_stream(pictures(), 5, zoom=-1.0), "rotation, shift, zoom"),
        (lambda: temporal_pairs(4, 1, gap=4), "frames, pairs, gap: got 4, 1 and 4"),
    ):
        with pytest.raises(ValueError, match=said):
            call()
