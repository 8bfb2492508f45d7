"""Patterns from a folder of images."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from replica.data.sets.patterns import Patterns, check_shape, refuse, to_patterns

if TYPE_CHECKING:
    from PIL.Image import Image

ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm", ".pbm"})


def read_image_folder(folder: Path) -> Patterns:
    """Read every image that lies in a folder, in the natural order of their names (2 before 10), as
    greyscale.

    Colours become luminance, transparent pixels lie on white, 16-bit images come down to 0 … 255, and of an
    animation the first picture counts. Hidden files, other files and sub-folders are passed over.

    Raises:
        ReplicaError: If there is no image, one cannot be read, they differ in size, or they are too many for
            the memory.
    """
    from PIL import Image, UnidentifiedImageError

    files = sorted(
        (
            file
            for file in folder.iterdir()
            if file.suffix.lower() in ENDINGS and not file.name.startswith(".") and file.is_file()
        ),
        key=lambda file: _natural(file.name),
    )
    if not files:
        raise refuse(folder, _what_lies_there(folder), "wanted images: " + " ".join(sorted(ENDINGS)))

    broken = (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError)
    stack: NDArray[np.float32] | None = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # check_shape judges large pictures, errors tell of damaged ones
        for i, file in enumerate(files):
            try:
                with Image.open(file) as image:
                    size = (image.height, image.width)
                    if stack is None:
                        check_shape(folder, (len(files), *size), np.dtype(np.float32), "the stack of images")
                        stack = np.empty((len(files), *size), np.float32)
                    if size != stack.shape[1:]:
                        height, width = stack.shape[1:]
                        raise refuse(
                            folder,
                            f"{file.name} is {size[1]} × {size[0]} pixels, {files[0].name} {width} × {height}",
                            "wanted images of one size",
                        )
                    stack[i] = _greyscale(image)
            except broken as error:
                raise refuse(folder, f"{file.name} cannot be read ({error})", "wanted whole images") from error
    assert stack is not None
    return to_patterns(
        folder,
        stack,
        locate=lambda row, rest: f"{files[row].name}, pixel {rest[1] + 1} of line {rest[0] + 1}",
    )


def _natural(name: str) -> list[int | str]:
    # Split at numbers: every second part is one, so numbers meet numbers and text meets text.
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"([0-9]+)", name.lower()))]


def _greyscale(image: Image) -> NDArray[Any]:
    from PIL import Image as pillow

    if image.mode.startswith("I"):
        return np.asarray(image, np.float32) / 257  # 65,535 becomes 255
    if image.mode == "F":
        return np.asarray(image, np.float32)
    if "A" in image.getbands() or "transparency" in image.info:
        drawn = image.convert("RGBA")
        image = pillow.alpha_composite(pillow.new("RGBA", drawn.size, "white"), drawn)
    return np.asarray(image.convert("L"), np.float32)


def _what_lies_there(folder: Path) -> str:
    for below in sorted(folder.iterdir()):
        if below.is_dir() and any(file.suffix.lower() in ENDINGS for file in below.iterdir()):
            return f"has no images itself, but its sub-folder {below.name!r} has: name that one"
    return "is a folder without images"
