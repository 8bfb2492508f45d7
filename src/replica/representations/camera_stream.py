"""A life-like stream of frames: a camera that drifts slowly over one thing and then looks at another (Orhan and Lake 2024).

In place of video from a child's head: what is seen at one moment is much like what is seen at the next.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

_FRAMES_AT_ONCE = 2048


class CameraStream(NamedTuple):
    """Frames in order of time, and which image each shows."""

    frames: Float[Tensor, "frames channels height width"]
    shown: Int[Tensor, " frames"]


def camera_stream(
    images: Float[Tensor, "images channels height width"],
    frames: int,
    *,
    dwell: float = 8.0,
    drift: float = 8.0,
    rotation: float = 15.0,
    shift: float = 0.1,
    zoom: float = 0.15,
    generator: torch.Generator | None = None,
) -> CameraStream:
    """What a camera sees that looks at images one after another and never holds still.

    Each frame is an image turned, shifted and magnified as the camera is placed, resampled bilinearly, with zeros beyond its
    border. Angle, shifts and log magnification are independent stationary Gaussian processes with correlation exp(−Δt / drift),
    which go on when the camera turns to another image. Images are looked at in shuffled order, all of them before one again.

    Args:
        images: floating-point.
        frames: how many.
        dwell: mean number of frames for which an image is looked at; the time is geometric. 1 or more.
        drift: number of frames over which the camera's place changes; above 0. Infinite: it keeps its place.
        rotation: standard deviation of the angle, in degrees.
        shift: of the shift along each axis, as a share of the side.
        zoom: of the logarithm of the magnification.
        generator: source of all draws. Results are on the images' device.

    Raises:
        ValueError: if images are not floats of four axes, or a number is out of range.

    Example:
        >>> images = torch.rand(3, 1, 8, 8)
        >>> frames, shown = camera_stream(images, 100, drift=float("inf"), generator=torch.Generator().manual_seed(0))
        >>> bool((frames[1:] == frames[:-1]).flatten(1).all(1).eq(shown[1:] == shown[:-1]).all())  # without drift
        True
    """
    if images.ndim != 4 or not len(images) or not images.is_floating_point():
        wanted = "floats (images, channels, height, width)"
        raise ValueError(f"images: got {images.dtype} of shape {tuple(images.shape)}, want {wanted}")
    if frames < 1 or not 1 <= dwell < math.inf or not drift > 0 or not min(rotation, shift, zoom) >= 0:
        given = f"{frames}, {dwell}, {drift}, {rotation}, {shift} and {zoom}"
        wanted = "1 or more, 1 or more, above 0, and 0 or more for the others"
        raise ValueError(f"frames, dwell, drift, rotation, shift, zoom: got {given}, want {wanted}")
    device = torch.device("cpu") if generator is None else generator.device
    turns = torch.rand(frames, generator=generator, device=device) < 1 / dwell
    fixation = turns.cumsum(0) - turns[0].long()
    rounds = int(fixation[-1]) // len(images) + 1
    order = torch.rand(rounds, len(images), generator=generator, device=device).argsort(1).flatten()
    shown = order[fixation].to(images.device)
    angle, across, down, larger = _stationary(4, frames, drift, generator).to(images)
    shrink, angle = torch.exp(-zoom * larger), math.radians(rotation) * angle
    cosine, sine = shrink * angle.cos(), shrink * angle.sin()
    aspect = images.shape[2] / images.shape[3]
    maps = torch.stack(
        [
            torch.stack([cosine, -sine * aspect, 2 * shift * across], 1),
            torch.stack([sine / aspect, cosine, 2 * shift * down], 1),
        ],
        1,
    )
    # In parts: the grid of a long stream would take several times the memory of its frames.
    parts = []
    for mapped, number in zip(maps.split(_FRAMES_AT_ONCE), shown.split(_FRAMES_AT_ONCE), strict=True):
        grid = nn.functional.affine_grid(mapped, [len(number), *images.shape[1:]], align_corners=False)
        parts.append(nn.functional.grid_sample(images[number], grid, align_corners=False))
    return CameraStream(torch.cat(parts), shown)


def temporal_pairs(
    frames: int, pairs: int, *, gap: int = 4, generator: torch.Generator | None = None
) -> tuple[Int[Tensor, " pairs"], Int[Tensor, " pairs"]]:
    """Pairs of moments that are near in time, as positives for learning without labels.

    Args:
        frames: of the stream.
        pairs: how many, drawn independently.
        gap: most frames from one to the other; from 1 on all are as likely, and either may come first.
        generator: source of the draws.

    Raises:
        ValueError: if a number is below 1, or the gap not below the frames.

    Example:
        >>> first, second = temporal_pairs(50, 1000, gap=3, generator=torch.Generator().manual_seed(0))
        >>> (first - second).abs().unique().tolist()
        [1, 2, 3]
    """
    if pairs < 1 or not 1 <= gap < frames:
        raise ValueError(f"frames, pairs, gap: got {frames}, {pairs} and {gap}, want 1 or more, gap below frames")
    device = None if generator is None else generator.device
    apart = torch.randint(1, gap + 1, (pairs,), generator=generator, device=device)
    early = (torch.rand(pairs, generator=generator, device=device) * (frames - apart)).long()
    swap = torch.rand(pairs, generator=generator, device=device) < 0.5
    late = early + apart
    return torch.where(swap, late, early), torch.where(swap, early, late)


def _stationary(
    count: int, length: int, drift: float, generator: torch.Generator | None
) -> Float[Tensor, "count length"]:
    """Gaussian processes of variance 1 and correlation exp(−Δt / drift)."""
    from scipy.signal import lfilter

    device = None if generator is None else generator.device
    noise = torch.randn(count, length, generator=generator, device=device, dtype=torch.float64).cpu().numpy()
    kept = math.exp(-1 / drift)
    noise[:, 1:] *= math.sqrt(1 - kept**2)
    return torch.from_numpy(np.ascontiguousarray(lfilter([1.0], [1.0, -kept], noise)))
