"""Coloured digits: shape tells the label a little, colour more, until the colour turns (Arjovsky et al. 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from replica.data.sets.digits import digits
from replica.data.sets.images import Images
from replica.data.sets.labelled import Labelled


@dataclass(frozen=True)
class ColouredDigits(Labelled):
    """Images of two colour channels, of which one holds the digit and the other nothing.

    As `replica.data.Labelled`, whose ``features`` are float32 of shape ``(count, 2, height, width)`` and whose ``groups`` are
    the environments; besides, what was planted:

    Args:
        digits: Which digit each image shows, 0 to 9, int64, shape ``(count,)``.
        shapes: The label before noise: 0 for the digits 0 to 4, 1 for 5 to 9.
        colours: The channel that holds the digit, 0 or 1.
    """

    digits: NDArray[np.int64] = field(repr=False)
    shapes: NDArray[np.int64] = field(repr=False)
    colours: NDArray[np.int64] = field(repr=False)


def coloured_digits(
    environments: Sequence[float] = (0.1, 0.2, 0.9),
    label_noise: float = 0.25,
    *,
    images: Images | None = None,
    shares: Sequence[float] | None = None,
    seed: int | np.random.Generator = 0,
) -> ColouredDigits:
    """Colour digits by a noisy label, with another strength of the cue in each environment.

    The label is whether the digit is above 4, turned round with probability ``label_noise``. The digit is put into the channel
    that its label names, or with probability ``environments[e]`` into the other one. With the defaults, those of Arjovsky et al.
    (2019, "Invariant Risk Minimization", Section 5.2), colour tells 90 % and 80 % of the labels in the first two environments
    and 10 % in the third; shape tells 75 % in all of them.

    Args:
        environments: In each environment the probability that the colour does not match the label, 0 to 1.
        label_noise: Probability that the label does not match the shape, 0 to 1.
        images: Digits with labels 0 to 9; those of scikit-learn, 8 × 8, if None. Sides of 28 pixels (MNIST) are halved by
            taking every second pixel, as the authors do. No image is shown twice.
        shares: How large the environments are, relative to each other; equally large if None.
        seed: Draws which image goes where, the noise and the colours: a number, or a generator that is drawn from.

    Returns:
        As many images as came, the environments one after another.

    Raises:
        ValueError: If a probability or share is out of range, or an environment would be empty.

    Example:
        >>> made = coloured_digits()
        >>> made.features.shape, np.bincount(made.groups).tolist()
        ((1797, 2, 8, 8), [599, 599, 599])
        >>> [round(float((made.colours == made.labels)[made.groups == e].mean()), 1) for e in range(3)]
        [0.9, 0.8, 0.1]
    """
    flips = np.asarray(environments, np.float64)
    if flips.ndim != 1 or not len(flips) or not ((flips >= 0) & (flips <= 1)).all():
        raise ValueError(f"environments: got {environments!r:.60}, want one or more probabilities from 0 to 1")
    if not 0 <= label_noise <= 1:
        raise ValueError(f"label_noise: got {label_noise}, want a probability from 0 to 1")
    parts = np.ones(len(flips)) if shares is None else np.asarray(shares, np.float64)
    if parts.shape != flips.shape or not (parts > 0).all() or not np.isfinite(parts).all():
        raise ValueError(f"shares: got {shares!r:.60}, want {len(flips)} positive numbers, one an environment")
    images = digits() if images is None else images
    ends = np.rint(np.cumsum(parts) / parts.sum() * len(images)).astype(np.int64)
    sizes = np.diff(ends, prepend=0)
    if sizes.min() < 1:
        raise ValueError(f"images: got {len(images)}, want enough for {len(flips)} environments of shares {shares}")
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(images))
    groups = np.repeat(np.arange(len(flips)), sizes)
    shown, numbers = images.values[order], images.labels[order]
    if shown.shape[1:] == (28, 28):
        shown = shown[:, ::2, ::2]
    shapes = (numbers > 4).astype(np.int64)
    labels = shapes ^ (rng.random(len(order)) < label_noise)
    colours = labels ^ (rng.random(len(order)) < flips[groups])
    values = np.zeros((len(order), 2, *shown.shape[1:]), np.float32)
    values[np.arange(len(order)), colours] = shown
    return ColouredDigits(
        values, labels=labels, classes=("0 to 4", "5 to 9"), groups=groups,
        group_names=tuple(f"{flip:g} turned" for flip in flips), digits=numbers, shapes=shapes, colours=colours,
    )  # fmt: skip
