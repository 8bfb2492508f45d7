"""Random views of images: affine maps, channel jitter and noise, a whole batch at once."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

_DRAWS = 6
"""Numbers drawn an image for its geometry, whatever is asked: options that stay the same keep their draws."""


@dataclass(frozen=True)
class Views:
    """Random views of a batch of images, each image by its own draw: one `grid_sample`, no loop.

    An image is turned, sheared, scaled, shifted and perhaps flipped about its centre in one bilinear resampling; then each of
    its channels gets a gain and an offset; then noise is added. What is 0 is left out: without options a view is the image.

    Args:
        rotation: Largest angle, in degrees, to either side.
        shear: Largest angle of the horizontal shear, in degrees below 90, to either side.
        scale: Least and greatest magnification; drawn evenly in logarithms, above 1 things look larger.
        shift: Largest shift along each axis, as a share of the side.
        flip: Probability that left and right are exchanged.
        jitter: Largest change of a channel's gain from 1 and of its offset from 0, each to either side.
        noise: Standard deviation of Gaussian noise on each pixel, in the image's units.
        padding: What lies beyond the border: ``"zeros"``, the ``"border"``'s own colour, or a ``"reflection"``.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> import torch
        >>> from replica.training import Views
        >>> images = torch.rand(32, 1, 14, 14)
        >>> one, other = Views(rotation=15, shift=0.1, noise=0.1).pair(images, torch.Generator().manual_seed(0))
        >>> one.shape == other.shape == images.shape, bool((one == other).any())
        (True, False)
        >>> torch.equal(Views()(images), images)
        True
    """

    rotation: float = 0.0
    shear: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    shift: float = 0.0
    flip: float = 0.0
    jitter: float = 0.0
    noise: float = 0.0
    padding: Literal["zeros", "border", "reflection"] = "zeros"

    def __post_init__(self) -> None:
        for name, most in (("rotation", 180.0), ("shear", 89.0), ("shift", 1.0), ("flip", 1.0)):
            if not 0 <= getattr(self, name) <= most:
                raise ValueError(f"{name}: got {getattr(self, name)}, want 0 to {most:g}")
        for name in ("jitter", "noise"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name}: got {getattr(self, name)}, want 0 or more")
        if len(self.scale) != 2 or not 0 < self.scale[0] <= self.scale[1] < math.inf:
            raise ValueError(f"scale: got {self.scale}, want two numbers above 0, the least first")
        if self.padding not in ("zeros", "border", "reflection"):
            raise ValueError(f"padding: got {self.padding!r}, want 'zeros', 'border' or 'reflection'")

    @property
    def moves(self) -> bool:
        """Whether pixels change their place."""
        return any((self.rotation, self.shear, self.shift, self.flip)) or tuple(self.scale) != (1, 1)

    def __call__(
        self, images: Float[Tensor, "batch channels height width"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "batch channels height width"]:
        """One view of each image, on the images' device; draws come from the generator, on its own.

        Raises:
            ValueError: If images are not a floating-point tensor of four axes.
        """
        if images.ndim != 4 or not images.is_floating_point():
            raise ValueError(
                f"images: got {images.dtype} of shape {tuple(images.shape)}, want floats (batch, channels, height, width)"
            )
        count, channels, height, width = images.shape
        views = images
        if self.moves and images.numel():
            maps = self.maps(count, (height, width), generator).to(images)
            grid = nn.functional.affine_grid(maps, [count, channels, height, width], align_corners=False)
            views = nn.functional.grid_sample(views, grid, padding_mode=self.padding, align_corners=False)
        if self.jitter:
            gain, offset = self.jitter * (2 * _uniform((2, count, channels, 1, 1), generator).to(images) - 1)
            views = views * (1 + gain) + offset
        if self.noise:
            device = None if generator is None else generator.device
            drawn = torch.randn(images.shape, generator=generator, device=device)
            views = views + self.noise * drawn.to(images)
        return views

    def pair(
        self, images: Float[Tensor, "batch channels height width"], generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Two views of each image, drawn apart."""
        return self(images, generator), self(images, generator)

    def maps(
        self, count: int, size: tuple[int, int], generator: torch.Generator | None = None
    ) -> Float[Tensor, "count 2 3"]:
        """Draws affine maps from places in the view to places in the image, as `torch.nn.functional.affine_grid` takes them.

        Places run from -1 to 1 along each axis; angles are true angles also where (height, width) differ.
        """
        draws = _uniform((_DRAWS, count), generator)
        turn, lean, across, down = 2 * draws[:4] - 1
        angle, slope = math.radians(self.rotation) * turn, torch.tan(math.radians(self.shear) * lean)
        low, high = map(math.log, self.scale)
        shrink = torch.exp(-(low + (high - low) * draws[4]))
        mirror = torch.where(draws[5] < self.flip, -1.0, 1.0)
        cosine, sine = shrink * angle.cos(), shrink * angle.sin()
        # Rotation times shear times flip, in pixels; the off-diagonal entries then take the aspect ratio.
        aspect = size[0] / size[1]
        first = torch.stack([mirror * cosine, (slope * cosine - sine) * aspect, 2 * self.shift * across], dim=1)
        second = torch.stack([mirror * sine / aspect, slope * sine + cosine, 2 * self.shift * down], dim=1)
        return torch.stack([first, second], dim=1)


def _uniform(shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    return torch.rand(shape, generator=generator, device=None if generator is None else generator.device)
