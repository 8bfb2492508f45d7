"""Random views of image batches."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform, shift

from replica.training import Views

SOME = {"rotation": 20.0, "shear": 10.0, "scale": (0.8, 1.25), "shift": 0.1, "flip": 0.5, "jitter": 0.2, "noise": 0.1}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_quarter_turn_a_flip_and_a_shift_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.rand(4, 3, 6, 6)

    def ones(shape: tuple[int, ...], generator: torch.Generator | None) -> torch.Tensor:
        return torch.ones(shape)

    monkeypatch.setattr("replica.training.views._uniform", ones)
    turned = Views(rotation=90)(images)
    torch.testing.assert_close(turned, torch.rot90(images, 1, (2, 3)))
    # By half of the side to the top left, from where zeros come in.
    moved = Views(shift=0.5)(images)
    torch.testing.assert_close(moved[:, :, :3, :3], images[:, :, 3:, 3:])
    assert float(moved[:, :, 3:].max()) < 1e-5
    # Twice as large: the view's corners lie half way to the middle.
    large = Views(scale=(1.0, 2.0))(images)
    reference = torch.nn.functional.interpolate(images, scale_factor=2, mode="bilinear")[:, :, 3:9, 3:9]
    torch.testing.assert_close(large, reference)
    monkeypatch.setattr("replica.training.views._uniform", lambda shape, generator: torch.zeros(shape))
    torch.testing.assert_close(Views(flip=1)(images), images.flip(3))


def test_affine_maps_of_oblong_images_against_scipy() -> None:
    views, size = Views(rotation=40, shear=20, scale=(0.7, 1.4), shift=0.15, flip=0.5), (9, 14)
    images = torch.rand(8, 1, *size, dtype=torch.float64)
    out = views(images, seeded())
    maps = views.maps(8, size, seeded()).double().numpy()
    half, middle = np.array([size[1], size[0]]) / 2, (np.array(size) - 1) / 2
    for image, view, found in zip(images.numpy()[:, 0], out.numpy()[:, 0], maps, strict=True):
        pixels = np.diag(half) @ found[:, :2] @ np.diag(1 / half)
        # scipy's axes are rows and columns.
        matrix, offset = pixels[::-1, ::-1], (half * found[:, 2])[::-1]
        wanted = affine_transform(np.pad(image, 1), matrix, middle + offset - matrix @ middle + 1,
                                  output_shape=size, order=1)  # fmt: skip
        np.testing.assert_allclose(view, wanted, atol=1e-6)
        # Angles stay true: columns of the map in pixels are orthogonal but for the shear.
        assert abs(abs(np.linalg.det(pixels)) ** 0.5) <= 1 / 0.7 + 1e-6


def test_rotations_keep_angles_and_draws_keep_their_range() -> None:
    half = np.array([5.0, 20.0])
    maps = Views(rotation=30).maps(500, (40, 10), seeded()).double().numpy()
    pixels = np.diag(half) @ maps[:, :, :2] @ np.diag(1 / half)
    np.testing.assert_allclose(pixels @ pixels.transpose(0, 2, 1), np.broadcast_to(np.eye(2), (500, 2, 2)), atol=1e-6)
    angles = np.degrees(np.arctan2(pixels[:, 1, 0], pixels[:, 0, 0]))
    assert -30 <= angles.min() < -29
    assert 29 < angles.max() <= 30
    shrink = Views(scale=(0.5, 2.0)).maps(500, (8, 8), seeded())[:, 0, 0]
    assert abs(float(shrink.log().mean())) < 0.1
    assert math.isclose(float(shrink.min()), 0.5, rel_tol=0.05)
    assert torch.equal(
        Views(rotation=30, shift=0.1).maps(5, (8, 8), seeded())[:, :, :2],
        Views(rotation=30).maps(5, (8, 8), seeded())[:, :, :2],
    )


def test_jitter_is_by_image_and_channel_and_noise_by_pixel() -> None:
    images = torch.ones(200, 3, 4, 4)
    changed = Views(jitter=0.2)(images, seeded())
    assert torch.equal(changed.amax((2, 3)), changed.amin((2, 3)))
    assert len(set(changed[:, :, 0, 0].flatten().tolist())) > 590
    assert float(changed.min()) >= 0.6
    assert float(changed.max()) <= 1.4
    noise = Views(noise=0.3)(images, seeded()) - 1
    assert abs(float(noise.std()) - 0.3) < 0.01
    assert not torch.equal(noise[0], noise[1])


def test_seeded_and_leaves_alone_what_it_is_given() -> None:
    images, views = torch.rand(5, 2, 7, 9), Views(**SOME)  # type: ignore[arg-type]
    kept = images.clone()
    torch.manual_seed(3)
    state = torch.get_rng_state()
    one, again = views.pair(images, seeded()), views.pair(images, seeded())
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(images, kept)
    assert all(torch.equal(first, second) for first, second in zip(one, again, strict=True))
    assert not torch.equal(*one)
    assert views(images[:0]).shape == (0, 2, 7, 9)
    shifted = shift(images[0, 0].numpy(), (0, 0))
    np.testing.assert_allclose(Views()(images)[0, 0], shifted)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rotation": 200}, "rotation: got 200, want 0 to 180"),
        ({"noise": -1}, "noise: got -1, want 0 or more"),
        ({"scale": (2, 1)}, "scale: got"),
        ({"padding": "wrap"}, "padding: got 'wrap'"),
    ],
)
def test_bad_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Views(**options)  # type: ignore[arg-type]


def test_bad_images() -> None:
    with pytest.raises(ValueError, match="images: got"):
        Views()(torch.zeros(2, 8, 8))
