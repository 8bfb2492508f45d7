"""A folder of images as one stack, the one reader of pictures."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from replica.data.files.sources import reading
from replica.data.sets.patterns import check_shape, refuse

if TYPE_CHECKING:
    from PIL.Image import Image

ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm", ".pbm"})


@dataclass(frozen=True)
class ImageStack:
    """Images of one size: brightness 0 to 255, float32 ``(count, height, width)``, with colour ``(count, 3, height, width)``.

    What was ``done``, such as colour made grey, comes with how many images it was done to.
    """

    values: NDArray[np.float32] = field(repr=False)
    files: tuple[Path, ...] = field(repr=False)
    done: Mapping[str, int] = field(default_factory=dict)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was decided, in words."""
        return tuple(f"{count:,} {what}" for what, count in self.done.items())


def read_images(folder: Path, *, colour: bool = False) -> ImageStack:
    """Read every image that lies in a folder, in the natural order of their names (2 before 10).

    Colours become luminance, transparent pixels lie on white, 16-bit images come down to 0 … 255, and of an
    animation the first picture counts; all of this is noted. Hidden files, other files and sub-folders are passed over.
    """
    from PIL import Image

    files = sorted(
        (f for f in folder.iterdir() if f.suffix.lower() in ENDINGS and not f.name.startswith(".") and f.is_file()),
        key=lambda file: _natural(file.name),
    )
    if not files:
        raise refuse(folder, _what_lies_there(folder), "wanted images: " + " ".join(sorted(ENDINGS)))
    stack: NDArray[np.float32] | None = None
    told: Counter[str] = Counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # check_shape judges large pictures, errors tell of damaged ones
        for i, file in enumerate(files):
            with reading(folder, "wanted whole images", f"{file.name} cannot be read"), Image.open(file) as image:
                size = (image.height, image.width)
                if stack is None:
                    shape = (len(files), *((3,) if colour else ()), *size)
                    check_shape(folder, shape, np.dtype(np.float32), "the stack of images")
                    stack = np.empty(shape, np.float32)
                if size != stack.shape[-2:]:
                    first = f"{stack.shape[-1]} × {stack.shape[-2]}"
                    wrong = f"{file.name} is {size[1]} × {size[0]} pixels, {files[0].name} {first}"
                    raise refuse(folder, wrong, "wanted images of one size")
                stack[i], what = _values(image, colour)
                told.update(what)
    assert stack is not None
    return ImageStack(stack, tuple(files), told)


def _values(image: Image, colour: bool) -> tuple[NDArray[Any], list[str]]:
    """The image's values, and what was done to them."""
    from PIL import Image as pillow

    notes = ["animations read as their first picture"] * (getattr(image, "n_frames", 1) > 1)
    if image.mode.startswith("I") or image.mode == "F":
        deep = image.mode.startswith("I")
        values = np.asarray(image, np.float32) / (257 if deep else 1)  # 65,535 becomes 255
        notes += ["images of 16 bits brought to 0 … 255"] * deep
        return np.broadcast_to(values, (3, *values.shape)) if colour else values, notes
    if "A" in image.getbands() or "transparency" in image.info:
        drawn = image.convert("RGBA")
        notes += ["transparent images laid on white"] * bool(np.asarray(drawn.getchannel("A")).min() < 255)
        image = pillow.alpha_composite(pillow.new("RGBA", drawn.size, "white"), drawn)
    full = image if image.mode in ("1", "L") else image.convert("RGB")
    if colour:
        return np.moveaxis(np.asarray(full.convert("RGB"), np.float32), -1, 0), notes
    if full.mode == "RGB" and np.ptp(np.asarray(full), axis=-1).any():
        notes.append("colour images made grey")
    return np.asarray(image.convert("L"), np.float32), notes


def _natural(name: str) -> list[int | str]:
    # Split at numbers: every second part is one, so numbers meet numbers and text meets text.
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"([0-9]+)", name.lower()))]


def _what_lies_there(folder: Path) -> str:
    for below in sorted(folder.iterdir()):
        if below.is_dir() and any(file.suffix.lower() in ENDINGS for file in below.iterdir()):
            return f"has no images itself, but its sub-folder {below.name!r} has: name that one"
    return "is a folder without images"
