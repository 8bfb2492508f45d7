"""Traverses of photographs: the same places, other light."""

import importlib.util

import numpy as np
import pytest

from replica.data import PHOTOGRAPHS, Appearance, traverses
from replica.data.sets.traverses import photograph, seen
from replica.errors import ReplicaError

HERE = ("china", "flower")
HAS_SCIKIT_IMAGE = importlib.util.find_spec("skimage") is not None


def test_places_are_windows_that_do_not_overlap() -> None:
    found = traverses(60, np.random.default_rng(0), photographs=HERE, appearances=[Appearance()])
    assert found.images.shape == (1, 60, 28, 28)
    assert len(found) == 60
    for place, (name, corner) in enumerate(zip(found.photographs, found.corners, strict=True)):
        row, column = corner
        window = photograph(name)[row : row + 80, column : column + 80]
        assert found.images[0, place].mean() == pytest.approx(window.mean(), abs=2e-3)
        others = [c for n, c in zip(found.photographs[:place], found.corners[:place], strict=True) if n == name]
        assert all(np.abs(corner - other).max() >= 80 for other in others)


def test_they_follow_a_path() -> None:
    """The next window of a photograph touches the last one, unless plain ones between them were left out."""
    found = traverses(50, np.random.default_rng(3), photographs=("china",), window=40, appearances=[Appearance()])
    steps = np.abs(np.diff(found.corners, axis=0)).sum(1)
    assert np.median(steps) == 40


def test_the_same_seed_gives_the_same_traverses() -> None:
    one, other, third = (traverses(8, np.random.default_rng(s), photographs=HERE).images for s in (1, 1, 2))
    assert np.array_equal(one, other)
    assert not np.array_equal(one, third)


def test_appearance_does_what_it_says() -> None:
    images = np.random.default_rng(0).uniform(size=(5, 20, 20)).astype(np.float32)

    def look(**options: float) -> np.ndarray:
        return seen(images, Appearance(**options), np.random.default_rng(1))

    np.testing.assert_allclose(look(), images, atol=1e-6)
    np.testing.assert_allclose(look(gamma=2.0), images**2, atol=1e-6)
    np.testing.assert_allclose(look(contrast=0.5, light=0.1), 0.35 + images / 2, atol=1e-6)
    assert look(shadow=0.6).mean() < 0.9 * images.mean()
    assert look(blur=1.0).std() < 0.5 * images.std()
    assert np.std(look(contrast=0.0, noise=0.1)) == pytest.approx(0.1, rel=0.1)


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(ReplicaError, match=r"no photograph 'sea'.*china"):
        photograph("sea")
    with pytest.raises(ReplicaError, match=r"There are .* places of 80 × 80 pixels in these photographs, not 500"):
        traverses(500, np.random.default_rng(0), photographs=HERE)


@pytest.mark.skipif(not HAS_SCIKIT_IMAGE, reason="scikit-image is not installed")
@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_every_photograph_is_there(name: str) -> None:
    picture = photograph(name)
    assert picture.ndim == 2
    assert min(picture.shape) >= 300
    assert picture.min() >= 0
    assert 0.05 < picture.std() < 0.5
    assert picture.max() <= 1


@pytest.mark.skipif(HAS_SCIKIT_IMAGE, reason="scikit-image is installed")
def test_a_missing_package_is_named() -> None:
    with pytest.raises(ReplicaError, match=r"pip install 'replica-papers\[photographs\]'"):
        photograph("camera")
