"""Concept shift: the same things come to be called by other names (Man, Damasio and Neven, 2022)."""

import torch
from jaxtyping import Bool, Int
from torch import Tensor


class LabelSwaps:
    """Streams of labels in which, now and then, two random classes exchange their names.

    Every stream starts with the names as they are. A swap draws two different names and exchanges them for all rows to come.

    Args:
        classes: Number of classes.
        streams: Streams with swaps of their own.
        generator: Where swaps are drawn from.
        device: Where names are kept.

    Attributes:
        names: What each class is called in each stream now, ``(streams, classes)``; a permutation a row.

    Raises:
        ValueError: If there are fewer than two classes or no stream.

    Source:
        Man, Damasio and Neven 2022 (arXiv 2205.08645), their form of concept shift.

    Example:
        >>> swaps = LabelSwaps(10, streams=2, generator=torch.Generator().manual_seed(0))
        >>> _ = swaps.swap(torch.tensor([True, False]))
        >>> (swaps.rename(torch.arange(10)) != torch.arange(10)).sum(1).tolist()
        [2, 0]
    """

    def __init__(
        self,
        classes: int,
        streams: int = 1,
        *,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        if classes < 2:
            raise ValueError(f"classes: got {classes}, want 2 or more")
        if streams < 1:
            raise ValueError(f"streams: got {streams}, want 1 or more")
        self.classes, self.generator = classes, generator
        self.names = torch.arange(classes, device=device).repeat(streams, 1)

    def swap(self, which: Bool[Tensor, " streams"] | None = None) -> Int[Tensor, "streams classes"]:
        """Exchange two names in these streams; in all if None.

        The draw is made for every stream, so that one stream's swaps do not depend on when others swap.

        Returns:
            What each name becomes, in each stream: rows that were called c are now called ``swapped[stream, c]``.

        Raises:
            ValueError: If ``which`` does not have one entry a stream.
        """
        streams = len(self.names)
        if which is not None and which.shape != (streams,):
            raise ValueError(f"which: got shape {tuple(which.shape)}, want ({streams},)")
        drawn = torch.rand(streams, self.classes, generator=self.generator, device=self.names.device).argsort(1)
        one, other = drawn[:, :1], drawn[:, 1:2]
        same = torch.arange(self.classes, device=self.names.device).expand_as(self.names)
        exchanged = torch.where(same == one, other, torch.where(same == other, one, same))
        if which is not None:
            exchanged = torch.where(which[:, None], exchanged, same)
        self.names = exchanged.gather(1, self.names)
        return exchanged

    def rename(self, labels: Int[Tensor, " batch"]) -> Int[Tensor, "streams batch"]:
        """What rows of these classes are called now, in every stream."""
        return self.names[:, labels]
