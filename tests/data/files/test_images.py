"""The one reader of pictures: what is done to them is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from replica.data import read_labelled, read_patterns
from replica.data.files.images import read_images


def test_colour_made_grey_is_said_and_colour_can_be_kept(tmp_path: Path) -> None:
    for name, colour in (("red", (200, 0, 0)), ("blue", (0, 0, 200))):
        (tmp_path / name).mkdir()
        for i in range(3):
            Image.new("RGB", (4, 5), colour).save(tmp_path / name / f"{i}.png")
    assert read_patterns(tmp_path / "red").notes == ("3 colour images made grey",)
    assert read_labelled(tmp_path).notes == ("6 colour images made grey",)
    kept = read_labelled(tmp_path, colour=True)
    assert kept.notes == ()
    assert kept.shape == (3, 5, 4)
    np.testing.assert_allclose(kept.features[0, :, 0, 0], [0, 0, 200 / 255], rtol=1e-6)


def test_grey_images_saved_in_colour_are_grey(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (5, 4), np.uint8)
    Image.fromarray(np.stack([grey] * 3, axis=-1)).save(tmp_path / "a.png")
    found = read_images(tmp_path)
    assert found.notes == ()
    np.testing.assert_array_equal(found.values[0], grey)


def test_depth_transparency_and_animations_are_said(tmp_path: Path) -> None:
    Image.fromarray(np.full((2, 2), 65535, np.uint16)).save(tmp_path / "1.png")
    Image.new("RGBA", (2, 2), (9, 9, 9, 0)).save(tmp_path / "2.png")
    Image.new("L", (2, 2), 3).save(tmp_path / "3.gif", save_all=True, append_images=[Image.new("L", (2, 2), 200)])
    found = read_images(tmp_path)
    np.testing.assert_array_equal(found.values[:, 0, 0], [255, 255, 3])
    assert found.notes == (
        "1 images of 16 bits brought to 0 … 255", "1 transparent images laid on white",
        "1 animations read as their first picture",
    )  # fmt: skip
