"""Few-shot streams: episodes of never-seen classes, shown one image at a time, some of them rare."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from replica.data.sets.images import Images


@dataclass(frozen=True)
class Streams:
    """A batch of streams of one length.

    Args:
        values: Brightness in [0, 1], float32, shape ``(streams, length, height, width)``.
        labels: Numbers that the classes bear in their stream, int64, shape ``(streams, length)``.
        instances: The how-manieth image of its class each image is, from 1, int64, shape ``(streams, length)``.
        rare: Whether its class is one of the stream's rare ones, shape ``(streams, length)``.
        classes: Class number that each label of a stream stands for, int64, shape ``(streams, ways)``.
    """

    values: NDArray[np.float32] = field(repr=False)
    labels: NDArray[np.int64] = field(repr=False)
    instances: NDArray[np.int64] = field(repr=False)
    rare: NDArray[np.bool_] = field(repr=False)
    classes: NDArray[np.int64] = field(repr=False)

    def __len__(self) -> int:
        return len(self.labels)


class FewShotStreams:
    """Draws streams in which a learner meets new classes, guesses each image's label, and is then told it.

    Each stream has ``ways`` classes that are drawn at random and numbered at random, so that only the stream itself
    tells which number means what (Santoro et al. 2016, "Meta-Learning with Memory-Augmented Neural Networks").
    ``rare`` of the classes come ``rare_shots`` times, the others ``common_shots`` times, in random order; no image
    comes twice in a stream.

    Args:
        images: Where classes and images come from. Of every class as many are used as the smallest class has.
        ways: Classes a stream.
        rare: How many of them are rare.
        common_shots: Images of each common class in a stream.
        rare_shots: Images of each rare class in a stream.

    Raises:
        ValueError: If a number is out of range, or there are too few classes or images.

    Example:
        >>> from replica.data import digits
        >>> source = FewShotStreams(digits(), ways=4, rare=1, common_shots=5, rare_shots=2)
        >>> streams = source.draw(3, np.random.default_rng(0))
        >>> streams.values.shape, int(streams.rare.sum())
        ((3, 17, 8, 8), 6)
    """

    def __init__(
        self, images: Images, *, ways: int = 5, rare: int = 2, common_shots: int = 8, rare_shots: int = 3
    ) -> None:
        classes, counts = np.unique(images.labels, return_counts=True)
        if not 1 <= ways <= len(classes):
            raise ValueError(f"ways: got {ways}, want from 1 to {len(classes)}, the number of classes")
        if not 0 <= rare <= ways:
            raise ValueError(f"rare: got {rare}, want from 0 to {ways}, the classes of a stream")
        for name, shots in (("common_shots", common_shots), ("rare_shots", rare_shots)):
            if not 1 <= shots <= counts.min():
                raise ValueError(
                    f"{name}: got {shots}, want from 1 to {counts.min()}, the images of the smallest class"
                )
        self.ways = ways
        self.rare = rare
        self.common_shots = common_shots
        self.rare_shots = rare_shots
        self._values = images.values
        self._classes = classes
        self._members = np.stack([np.flatnonzero(images.labels == label)[: counts.min()] for label in classes])
        # Label of each place before the places are shuffled. The first `rare` labels are the rare classes; classes are
        # drawn in random order, and labels are renumbered at random too, so that the number tells nothing.
        self._places = np.repeat(np.arange(ways), [rare_shots] * rare + [common_shots] * (ways - rare))

    @property
    def length(self) -> int:
        """Images a stream."""
        return len(self._places)

    def draw(self, streams: int, rng: np.random.Generator) -> Streams:
        """Draw streams, each with classes, images, order, and numbers of its own.

        Raises:
            ValueError: If ``streams`` is not at least 1.
        """
        if streams < 1:
            raise ValueError(f"streams: got {streams}, want 1 or more")
        drawn = _permutations(rng, streams, len(self._classes))[:, : self.ways]
        numbers = _permutations(rng, streams, self.ways)
        order = _permutations(rng, streams, self.length)
        places = self._places[order]  # which of the stream's classes comes when
        shown = places[..., None] == np.arange(self.ways)
        instances = np.take_along_axis(shown.cumsum(1), places[..., None], 2)[..., 0]
        shuffled = _permutations(rng, streams * self.ways, self._members.shape[1]).reshape(streams, self.ways, -1)
        rows = np.arange(streams)[:, None]
        members = self._members[drawn[rows, places], shuffled[rows, places, instances - 1]]
        classes = np.empty_like(drawn)
        np.put_along_axis(classes, numbers, drawn, 1)
        return Streams(
            values=self._values[members],
            labels=np.take_along_axis(numbers, places, 1).astype(np.int64),
            instances=instances.astype(np.int64),
            rare=places < self.rare,
            classes=self._classes[classes].astype(np.int64),
        )


def with_rotations(images: Images) -> Images:
    """The images and their quarter turns, each turn of a class a class of its own: four times as many classes.

    Santoro et al. 2016 multiply Omniglot's characters so. Images must be square.

    Raises:
        ValueError: If they are not.

    Example:
        >>> from replica.data import digits
        >>> int(with_rotations(digits()).labels.max())
        39
    """
    if images.values.shape[1] != images.values.shape[2]:
        raise ValueError(f"images: got {images.values.shape[1]} × {images.values.shape[2]} pixels, want square ones")
    step = int(images.labels.max()) + 1
    turned = [np.rot90(images.values, turns, (1, 2)) for turns in range(4)]
    return Images(np.concatenate(turned), np.concatenate([images.labels + turns * step for turns in range(4)]))


def _permutations(rng: np.random.Generator, rows: int, length: int) -> NDArray[np.intp]:
    return rng.random((rows, length)).argsort(axis=1)
