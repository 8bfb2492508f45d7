"""Thinning: lines of one pixel, connections kept, the paper's rules pixel by pixel."""

import numpy as np
import pytest
import torch
from scipy.ndimage import label

from replica.data import digits
from replica.data.skeletons import skeletons


def test_a_bar_is_thinned_to_a_line() -> None:
    image = torch.zeros(1, 9, 15, dtype=torch.bool)
    image[0, 3:6, 2:13] = True
    line = skeletons(image)[0]
    assert line.sum(0).max() == 1
    assert int(line.sum()) >= 8
    assert set(line.nonzero()[:, 0].tolist()) == {4}


@pytest.mark.parametrize("start", [0, 100])
def test_thinning_stays_inside_keeps_connections_and_is_done_at_once(start: int) -> None:
    images = torch.from_numpy(digits().values[start : start + 40] > 0.4)
    large = images.repeat_interleave(3, 1).repeat_interleave(3, 2)
    thin = skeletons(large)
    assert bool((large | ~thin).all())
    assert torch.equal(skeletons(thin), thin)
    assert float(thin.float().mean()) < 0.5 * float(large.float().mean())
    eight = torch.ones(3, 3).numpy()
    for before, after in zip(large.numpy(), thin.numpy(), strict=True):
        assert label(before, eight)[1] == label(after, eight)[1]


def thinned_pixel_by_pixel(image: list[list[int]]) -> list[list[int]]:
    """Zhang and Suen's two subiterations as they are told: P2 is north of P1, P3 to P9 follow clockwise."""
    height, width = len(image), len(image[0])

    def at(row: int, column: int) -> int:
        return image[row][column] if 0 <= row < height and 0 <= column < width else 0

    changed = True
    while changed:
        changed = False
        for subiteration in (1, 2):
            gone = []
            for r in range(height):
                for c in range(width):
                    if not image[r][c]:
                        continue
                    p2, p3, p4, p5 = at(r - 1, c), at(r - 1, c + 1), at(r, c + 1), at(r + 1, c + 1)
                    p6, p7, p8, p9 = at(r + 1, c), at(r + 1, c - 1), at(r, c - 1), at(r - 1, c - 1)
                    ring = [p2, p3, p4, p5, p6, p7, p8, p9, p2]
                    patterns = sum(ring[i : i + 2] == [0, 1] for i in range(8))
                    sides = (p2 * p4 * p6, p4 * p6 * p8) if subiteration == 1 else (p2 * p4 * p8, p2 * p6 * p8)
                    if 2 <= sum(ring[:8]) <= 6 and patterns == 1 and not any(sides):
                        gone.append((r, c))
            for r, c in gone:
                image[r][c] = 0
            changed = changed or bool(gone)
    return image


def test_thinning_is_that_of_the_paper_pixel_by_pixel() -> None:
    images = torch.from_numpy(digits().values[:12] > 0.4).repeat_interleave(3, 1).repeat_interleave(3, 2)
    for image, thin in zip(images, skeletons(images), strict=True):
        assert thinned_pixel_by_pixel(image.int().tolist()) == thin.int().tolist()


def test_thinning_is_near_scikit_images_table() -> None:
    morphology = pytest.importorskip("skimage.morphology")
    images = torch.from_numpy(digits().values[:20] > 0.4).repeat_interleave(3, 1).repeat_interleave(3, 2)
    theirs = np.stack([morphology.skeletonize(image.numpy(), method="zhang") for image in images])
    assert (
        theirs == skeletons(images).numpy()
    ).mean() > 0.98  # its table also takes corners that the paper's rules leave
