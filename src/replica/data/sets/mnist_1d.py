"""MNIST-1D: digits as signals of 40 values, made from ten short templates."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from replica.data.sets.labelled import Labelled

# The ten templates of 12 values (Greydanus and Kobak, ICML 2024, after the package mnist1d).
TEMPLATES = np.array(
    [
        [5, 6, 6.5, 6.75, 7, 7, 7, 7, 6.75, 6.5, 6, 5],
        [5, 3, 3, 3.4, 3.8, 4.2, 4.6, 5, 5.4, 5.8, 5, 5],
        [5, 6, 6.5, 6.5, 6, 5.25, 4.75, 4, 3.5, 3.5, 4, 5],
        [5, 6, 6.5, 6.5, 6, 5, 5, 6, 6.5, 6.5, 6, 5],
        [5, 4.4, 3.8, 3.2, 2.6, 2.6, 5, 5, 5, 5, 5, 5],
        [5, 3, 3, 3, 3, 5, 6, 6.5, 6.5, 6, 4.5, 5],
        [5, 4, 3.5, 3.25, 3, 3, 3, 3, 3.25, 3.5, 4, 5],
        [5, 7, 7, 6.6, 6.2, 5.8, 5.4, 5, 4.6, 4.2, 5, 5],
        [5, 4, 3.5, 3.5, 4, 5, 5, 4, 3.5, 3.5, 4, 5],
        [5, 4, 3.5, 3.5, 4, 5, 5, 5, 5, 4.7, 4.3, 5],
    ]
)
SAMPLES = 5000
LENGTH = 40
_PADDING = (36, 60)
_DILATED = 72
_SCALE = 0.4
_SHIFTS = 48
_CORRELATED_NOISE = 0.25
_WHITE_NOISE = 0.02
_SHEAR = 0.75
_SMOOTHING = 2.0
SEED = 42
"""Of the set that goes by the plain name."""


@cache
def mnist_1d(seed: int = SEED) -> Labelled:
    """Make the 5,000 signals of MNIST-1D, 500 a digit; the same on every call with one seed.

    Each is its digit's template, followed by 36 to 60 zeros and stretched to 72 places; its values are scaled by
    1 ± 0.2; it is shifted around by up to 47 places; where it is zero, smooth noise takes its place (standard
    deviation 0.25 before a Gaussian filter of width 2); white noise (0.02) and a slope of up to ±0.375 are added; and
    it is read at 40 places. The set is then brought to mean 0 and standard deviation 1.

    The recipe is that of the paper (Greydanus and Kobak, "Scaling down deep learning with MNIST-1D", ICML
    2024); the random numbers are ours, so single signals differ from those of the authors' file.

    Args:
        seed: Another seed, other signals.

    Returns:
        Signals of shape ``(5000, 40)``, float32, with labels 0 to 9.

    Example:
        >>> mnist_1d().features.shape
        (5000, 40)
    """
    from scipy.ndimage import gaussian_filter1d

    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(TEMPLATES)), SAMPLES // len(TEMPLATES))
    signals, drawn = _dilated(labels, rng.integers(*_PADDING, endpoint=True, size=SAMPLES))
    signals *= 1 + _SCALE * (rng.random((SAMPLES, 1)) - 0.5)
    rolled = (np.arange(_DILATED) - rng.integers(_SHIFTS, size=(SAMPLES, 1))) % _DILATED
    signals, drawn = np.take_along_axis(signals, rolled, axis=1), np.take_along_axis(drawn, rolled, axis=1)
    smooth = gaussian_filter1d(_CORRELATED_NOISE * rng.standard_normal(signals.shape), _SMOOTHING, axis=1)
    signals = np.where(drawn, signals, smooth) + _WHITE_NOISE * rng.standard_normal(signals.shape)
    signals -= _SHEAR * (rng.random((SAMPLES, 1)) - 0.5) * np.linspace(-0.5, 0.5, _DILATED)
    signals = _read_at(signals, np.broadcast_to(np.linspace(0, _DILATED - 1, LENGTH), (SAMPLES, LENGTH)))
    signals = (signals - signals.mean()) / signals.std()
    order = rng.permutation(SAMPLES)
    return Labelled(
        signals[order].astype(np.float32), labels[order].astype(np.int64), tuple(map(str, range(len(TEMPLATES))))
    )


def _dilated(labels: NDArray[np.int64], padding: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Each label's template with zeros after it, stretched to one length; and where the template itself was drawn."""
    ends = np.pad(_normalised(), ((0, 0), (0, 1)))  # one zero stands for all
    length = TEMPLATES.shape[1]
    places = np.linspace(0, 1, _DILATED) * (length + padding[:, None] - 1)
    return _read_at(ends[labels], np.minimum(places, length)), places < length


def _read_at(signals: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linear interpolation of every row at places of its own, counted in samples from 0."""
    left = np.minimum(places.astype(np.intp), signals.shape[1] - 2)
    before, after = np.take_along_axis(signals, left, axis=1), np.take_along_axis(signals, left + 1, axis=1)
    result: NDArray[np.float64] = before + (places - left) * (after - before)
    return result


def _normalised() -> NDArray[np.float64]:
    centred = TEMPLATES - TEMPLATES.mean(axis=1, keepdims=True)
    centred /= centred.std(axis=1, keepdims=True)
    result: NDArray[np.float64] = (centred - centred[:, :1]) / 6.0  # starts at 0, where the zeros go on
    return result
