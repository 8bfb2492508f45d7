"""Traverses of places: natural photographs seen window by window along a path, again and again under other light."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from replica.errors import ReplicaError

_OF_SCIKIT_IMAGE = {
    "astronaut": "astronaut.png", "brick": "brick.png", "camera": "camera.png", "cat": "chelsea.png",
    "coffee": "coffee.png", "coins": "coins.png", "grass": "grass.png", "gravel": "gravel.png", "moon": "moon.png",
    "motorcycle": "motorcycle_left.png", "rocket": "rocket.jpg",
}  # fmt: skip
PHOTOGRAPHS: tuple[str, ...] = ("china", "flower", *_OF_SCIKIT_IMAGE)
"""Names of the photographs: the first two ship with scikit-learn, the others with scikit-image (extra ``photographs``)."""

_PLAIN = 0.03
"""Standard deviation of brightness under which a window shows nothing to know it by."""


@dataclass(frozen=True)
class Appearance:
    """How a traverse looks.

    Args:
        gamma: Brightness is raised to this power; above 1 it is darker.
        contrast: Distance from middle grey is multiplied by it.
        light: Added to brightness.
        shadow: How much of its light the darker side of each image loses; the edge lies at random.
        blur: Standard deviation in pixels of the image.
        noise: Standard deviation of a pixel.
        shift: The most that the view moves to each side, as a share of the window.
    """

    gamma: float = 1.0
    contrast: float = 1.0
    light: float = 0.0
    shadow: float = 0.0
    blur: float = 0.0
    noise: float = 0.0
    shift: float = 0.0


MORNING = Appearance(gamma=0.8, shadow=0.2, noise=0.01, shift=0.03)
AFTERNOON = Appearance(gamma=1.2, contrast=0.9, shadow=0.3, noise=0.01, shift=0.03)
DUSK = Appearance(gamma=1.8, contrast=0.7, light=-0.05, shadow=0.5, blur=0.7, noise=0.03, shift=0.06)


@dataclass(frozen=True)
class Traverses:
    """The same places in the same order, once for each traverse.

    Args:
        images: Brightness in [0, 1], float32, shape ``(traverses, places, size, size)``.
        photographs: Of each place.
        corners: Of each place: row and column of its window in the photograph, before the view moves.
    """

    images: NDArray[np.float32] = field(repr=False)
    photographs: tuple[str, ...] = field(repr=False)
    corners: NDArray[np.int64] = field(repr=False)

    def __len__(self) -> int:
        return len(self.photographs)


def traverses(
    places: int,
    rng: np.random.Generator,
    *,
    appearances: Sequence[Appearance] = (MORNING, AFTERNOON, DUSK),
    photographs: Sequence[str] = PHOTOGRAPHS,
    window: int = 80,
    size: int = 28,
) -> Traverses:
    """Follow a path through photographs several times.

    The path goes to and fro over each photograph, in windows that touch and do not overlap, from a random corner of the
    grid's play; photographs follow each other in a random order. Windows in which nothing is to be seen are left out, and the
    places are the first so many.

    Args:
        places: How many.
        rng: Source of the path and of what changes.
        appearances: One for each traverse.
        photographs: Names out of `PHOTOGRAPHS`.
        window: Side of a window in pixels of the photograph.
        size: Side of an image in pixels.

    Raises:
        ReplicaError: If there is no such photograph, its package is not installed, or there are too few places.

    Example:
        >>> found = traverses(8, np.random.default_rng(0), photographs=("china", "flower"))
        >>> found.images.shape, found.images.dtype
        ((3, 8, 28, 28), dtype('float32'))
    """
    from PIL import Image

    path: list[tuple[str, int, int]] = []
    for name in rng.permutation(np.array(list(photographs), dtype=object)):
        path += [(str(name), *corner) for corner in _windows(photograph(name), window, rng)]
    if len(path) < places or places < 1:
        raise ReplicaError(
            f"There are {len(path)} places of {window} × {window} pixels in these photographs, not {places}."
        )
    path = path[:places]
    pictures = {name: Image.fromarray(photograph(name)) for name in {name for name, _, _ in path}}
    images = np.empty((len(appearances), places, size, size), np.float32)
    for traverse, look in enumerate(appearances):
        moved = rng.uniform(-look.shift, look.shift, (places, 2)) * window
        for place, (name, row, column) in enumerate(path):
            picture = pictures[name]
            top = float(np.clip(row + moved[place, 0], 0, picture.height - window))
            left = float(np.clip(column + moved[place, 1], 0, picture.width - window))
            box = (left, top, left + window, top + window)
            images[traverse, place] = np.asarray(picture.resize((size, size), Image.Resampling.BOX, box=box))
        images[traverse] = seen(images[traverse], look, rng)
    return Traverses(images, tuple(name for name, _, _ in path), np.array([corner for _, *corner in path], np.int64))


def seen(images: NDArray[np.float32], look: Appearance, rng: np.random.Generator) -> NDArray[np.float32]:
    """Images ``(count, height, width)`` as a traverse shows them: light, contrast, shadow, blur, noise, in this order.

    Example:
        >>> bright = np.ones((1, 4, 4), np.float32)
        >>> float(seen(bright, Appearance(contrast=0.5), np.random.default_rng(0)).mean())
        0.75
    """
    from scipy.ndimage import gaussian_filter

    count, height, width = images.shape
    found = np.clip(images, 0, 1) ** look.gamma
    found = 0.5 + look.contrast * (found - 0.5) + look.light
    # A straight soft edge at a random angle and place: the sun's side and the other.
    angle = rng.uniform(0, 2 * np.pi, (count, 1, 1))
    across = np.linspace(-1, 1, width) * np.cos(angle) + np.linspace(-1, 1, height)[:, None] * np.sin(angle)
    dark = 1 / (1 + np.exp(-(across - rng.uniform(-0.7, 0.7, (count, 1, 1))) / 0.1))
    found = found * (1 - look.shadow * dark)
    if look.blur:
        found = gaussian_filter(found, (0, look.blur, look.blur), mode="nearest")
    found = found + look.noise * rng.standard_normal(found.shape)
    return np.clip(found, 0, 1).astype(np.float32)


@cache
def photograph(name: str) -> NDArray[np.float32]:
    """Brightness in [0, 1] of a photograph, read from an installed package: no network is needed.

    Example:
        >>> photograph("china").shape
        (427, 640)
    """
    from PIL import Image

    if name not in PHOTOGRAPHS:
        raise ReplicaError(f"There is no photograph {name!r}; there are {', '.join(PHOTOGRAPHS)}.")
    if name in _OF_SCIKIT_IMAGE:
        picture: Image.Image = Image.open(_folder(name) / _OF_SCIKIT_IMAGE[name])
    else:
        from sklearn.datasets import load_sample_image

        picture = Image.fromarray(load_sample_image(f"{name}.jpg"))
    brightness = np.asarray(picture.convert("L")).astype(np.float32) / np.float32(255)
    brightness.setflags(write=False)
    return brightness


def _windows(picture: NDArray[np.float32], window: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    height, width = picture.shape
    top, left = (int(rng.integers(0, side % window + 1)) for side in (height, width))
    corners = []
    for number, row in enumerate(range(top, height - window + 1, window)):
        columns = list(range(left, width - window + 1, window))
        corners += [(row, column) for column in (columns[::-1] if number % 2 else columns)]
    return [(r, c) for r, c in corners if picture[r : r + window, c : c + window].std() >= _PLAIN]


def _folder(name: str) -> Path:
    """The folder of the installed package; it is not imported, as only its files are needed."""
    found = importlib.util.find_spec("skimage")
    if found is None or not found.submodule_search_locations:
        raise ReplicaError(
            f"Photograph {name} ships with a package of the extra photographs: pip install 'replica-papers[photographs]'"
        )
    return Path(found.submodule_search_locations[0]) / "data"
