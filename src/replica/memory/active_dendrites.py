"""Dendritic segments that detect sparse patterns with few synapses, and a neuron with many such segments.

Ahmad and Hawkins 2016, "How do neurons operate on sparse distributed representations?", arXiv 1601.00720. Their
letters: presynaptic cells n (`cells`), active cells a (`active`), synapses that a pattern gives to a segment s
(`synapses_per_pattern`), spike threshold θ (`threshold`), patterns mixed in one segment M (`patterns_per_segment`).

Patterns come in two forms, told apart by their dtype: bool or floating, one entry a cell; or integer, the distinct
indices of the active cells, where −1 fills up shorter rows. With indices nothing of size n is built.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn


def sparse_patterns(
    count: int,
    cells: int,
    active: int,
    *,
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
) -> Int[Tensor, "count active"]:
    """Draw random patterns, each a set of active cells, all sets of that size alike.

    Cells are drawn with repeats, and repeats drawn anew until there are none: where few cells are active the cost is
    that of sorting those, whatever the number of cells.

    Args:
        count: Number of patterns.
        cells: n, number of cells.
        active: a, number of active cells, from 0 to n.
        generator: Where the random numbers come from; its device must be ``device``.
        device: Where the result lives; the generator's device if None.

    Returns:
        Indices of the active cells in ascending order, int64.

    Raises:
        ValueError: If a number is negative or ``active`` exceeds ``cells``.

    Example:
        >>> sparse_patterns(2, 200_000, 2_000, generator=torch.Generator().manual_seed(0)).shape
        torch.Size([2, 2000])
    """
    if count < 0:
        raise ValueError(f"count is {count}; wanted 0 or more")
    if not 0 <= active <= cells:
        raise ValueError(f"active is {active}; wanted a number from 0 to cells = {cells}")
    if device is None and generator is not None:
        device = generator.device
    if 8 * active > cells:  # repeats would be many: rank random numbers instead
        score = torch.rand(count, cells, generator=generator, device=device, dtype=torch.float64)
        return score.topk(active, -1, sorted=False).indices.sort(-1).values
    drawn = torch.randint(cells, (count, active), generator=generator, device=device).sort(-1).values
    while True:
        row, column = (drawn[:, 1:] == drawn[:, :-1]).nonzero(as_tuple=True)
        if not len(row):
            return drawn
        drawn[row, column] = torch.randint(cells, row.shape, generator=generator, device=device)
        drawn = drawn.sort(-1).values


def swap_active(
    patterns: Int[Tensor, "count active"], cells: int, changed: int, *, generator: torch.Generator | None = None
) -> Int[Tensor, "count active"]:
    """Swap v random active cells of each pattern for v random cells outside of it: the paper's noise.

    Args:
        patterns: Distinct indices of the active cells of each pattern, without −1.
        cells: n, number of cells.
        changed: v, at most the number of active cells and the number of silent ones.
        generator: Where the random numbers come from, on the device of ``patterns``.

    Returns:
        Indices of the active cells of the noisy patterns, in ascending order.

    Raises:
        ValueError: If ``patterns`` are no indices or ``changed`` is out of its range.

    Source: arXiv 1601.00720, Section 4.1.

    Example:
        >>> swap_active(torch.tensor([[0, 1]]), 4, 2).tolist()
        [[2, 3]]
    """
    if patterns.ndim != 2 or patterns.is_floating_point() or patterns.dtype == torch.bool:
        raise ValueError(f"patterns is {patterns.dtype} of shape {tuple(patterns.shape)}; wanted integers, two axes")
    count, active = patterns.shape
    most = min(active, cells - active)
    if not 0 <= changed <= most:
        raise ValueError(f"changed is {changed}; wanted a number from 0 to {most}, the active or the silent cells")
    order = torch.rand(count, active, generator=generator, device=patterns.device).argsort(-1)
    kept = patterns.gather(-1, order[:, changed:])
    ranks = sparse_patterns(count, cells - active, changed, generator=generator, device=patterns.device)
    return torch.cat((kept, _outside(patterns.sort(-1).values, ranks)), -1).sort(-1).values


class ActiveDendriteSegments(nn.Module):
    r"""Dendritic segments, each of which spikes where enough of its few synapses are active together.

    Segment D with synapses on some of n cells and a pattern A of active cells: overlap D · A, and a spike where
    D · A ≥ θ. A segment learns a pattern in one shot, by s synapses on a random sample of its active cells; it learns
    several as their union, the sets of their synapses mixed together.

    How often it spikes wrongly, or does not spike, is known exactly (`replica.memory.log_false_match`,
    `log_false_negative`, `log_union_false_match`).

    Overlaps with patterns given by indices cost O(batch · a · log(synapses)) plus the number of synapses met. Dense
    floating patterns are summed over the synapses, cell activities of any size, and gradients flow to them.

    Args:
        cells: n, number of presynaptic cells.
        threshold: θ ≥ 1, active synapses that make a spike.
        synapses_per_pattern: s ≥ θ, synapses that a pattern gives to its segment.

    Attributes:
        synapses: Cell of each synapse, ``(segments, slots)`` int64, in ascending order; −1 where a slot is free.

    Raises:
        ValueError: If an argument is out of its range.

    Source: arXiv 1601.00720, Sections 2.1 and 3.3.

    Example:
        >>> draw = torch.Generator().manual_seed(0)
        >>> patterns = sparse_patterns(100, 10_000, 300, generator=draw)
        >>> segments = ActiveDendriteSegments(10_000, threshold=12, synapses_per_pattern=30)
        >>> noisy = swap_active(patterns, 10_000, 60, generator=draw)
        >>> torch.equal(segments.store(patterns, generator=draw)(noisy), torch.eye(100, dtype=torch.bool))
        True
    """

    synapses: Tensor

    def __init__(self, cells: int, *, threshold: int, synapses_per_pattern: int) -> None:
        super().__init__()
        if threshold < 1:
            raise ValueError(f"threshold is {threshold}; wanted 1 or more")
        if not threshold <= synapses_per_pattern <= cells:
            raise ValueError(
                f"synapses_per_pattern is {synapses_per_pattern}; wanted from threshold = {threshold} to cells = {cells}"
            )
        self.cells = cells
        self.threshold = threshold
        self.synapses_per_pattern = synapses_per_pattern
        self.register_buffer("synapses", torch.zeros(0, 0, dtype=torch.long))
        # The same synapses in the order of their cells, to find those that a list of active cells meets.
        self.register_buffer("_sorted_cells", torch.zeros(0, dtype=torch.long), persistent=False)
        self.register_buffer("_sorted_segments", torch.zeros(0, dtype=torch.long), persistent=False)

    @property
    def segments(self) -> int:
        """Number of segments."""
        return len(self.synapses)

    def store(
        self,
        patterns: Shaped[Tensor, "count entries"],
        segment: Int[Tensor, " count"] | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> "ActiveDendriteSegments":
        """Learn patterns in one shot, in place of what was there.

        Args:
            patterns: Dense, ``(count, cells)``, or indices, ``(count, active)``; each with s active cells or more.
            segment: The segment that each pattern goes to; patterns of one segment form a union. A segment of its
                own for each pattern if None.
            generator: Where the random samples come from, on the device of ``patterns``.

        Returns:
            The module itself.

        Raises:
            ValueError: If ``patterns`` or ``segment`` has the wrong form or a pattern too few active cells.
        """
        chosen = self._sample(patterns, generator)
        if segment is None:
            segment = torch.arange(len(chosen), device=chosen.device)
        self._check_segment(segment, len(chosen))
        self._keep(segment.unsqueeze(-1).expand_as(chosen).flatten(), chosen.flatten())
        return self

    def add(
        self,
        patterns: Shaped[Tensor, "count entries"],
        segment: Int[Tensor, " count"],
        *,
        generator: torch.Generator | None = None,
    ) -> "ActiveDendriteSegments":
        """Learn more patterns and keep what was there; arguments as for `store`, new segments as needed.

        Example:
            >>> draw = torch.Generator().manual_seed(0)
            >>> first, second = sparse_patterns(2, 1000, 20, generator=draw).split(1)
            >>> segments = ActiveDendriteSegments(1000, threshold=10, synapses_per_pattern=15)
            >>> where = torch.tensor([0])
            >>> union = segments.store(first, where, generator=draw).add(second, where, generator=draw)
            >>> union.segments, union(first).item(), union(second).item()
            (1, True, True)
        """
        chosen = self._sample(patterns, generator)
        self._check_segment(segment, len(chosen))
        held, slot = (self.synapses >= 0).nonzero(as_tuple=True)
        self._keep(
            torch.cat((held, segment.unsqueeze(-1).expand_as(chosen).flatten())),
            torch.cat((self.synapses[held, slot], chosen.flatten())),
            at_least=self.segments,
        )
        return self

    def overlaps(self, patterns: Shaped[Tensor, "*batch entries"]) -> Shaped[Tensor, "*batch segments"]:
        """Active synapses of each segment, D · A.

        Args:
            patterns: Dense, ``(..., cells)``, or indices, ``(..., active)``.

        Returns:
            ``(..., segments)``: int64 counts, or sums in the dtype of floating patterns.

        Raises:
            ValueError: If ``patterns`` has the wrong form.
        """
        batch = patterns.shape[:-1]
        if patterns.is_floating_point():
            self._check_dense(patterns)
            met = patterns[..., self.synapses.clamp_min(0)]
            return torch.where(self.synapses >= 0, met, torch.zeros_like(met)).sum(-1)
        if patterns.dtype == torch.bool:
            self._check_dense(patterns)
            row, cell = patterns.reshape(-1, self.cells).nonzero(as_tuple=True)
        else:
            self._check_indices(patterns)
            flat = patterns.reshape(-1, patterns.shape[-1])
            row, slot = (flat >= 0).nonzero(as_tuple=True)
            cell = flat[row, slot]
        return self._meet(row, cell.long(), batch.numel()).reshape(*batch, self.segments)

    def forward(self, patterns: Shaped[Tensor, "*batch entries"]) -> Bool[Tensor, "*batch segments"]:
        """Which segments spike: D · A ≥ θ."""
        return self.overlaps(patterns) >= self.threshold

    def extra_repr(self) -> str:
        """What the module prints of itself."""
        return f"cells={self.cells}, segments={self.segments}, threshold={self.threshold}"

    def _meet(self, row: Tensor, cell: Tensor, rows: int) -> Tensor:
        """Counts, ``(rows, segments)``, of the synapses on active cells, given as pairs of a row and a cell."""
        first = torch.searchsorted(self._sorted_cells, cell)
        met = torch.searchsorted(self._sorted_cells, cell, right=True) - first
        pair = torch.repeat_interleave(torch.arange(len(cell), device=cell.device), met)
        within = torch.arange(len(pair), device=cell.device) - (met.cumsum(0) - met)[pair]
        segment = self._sorted_segments[first[pair] + within]
        return torch.bincount(row[pair] * self.segments + segment, minlength=rows * self.segments)[
            : rows * self.segments
        ].reshape(rows, self.segments)

    def _sample(self, patterns: Tensor, generator: torch.Generator | None) -> Tensor:
        """Cells of s random active cells of each pattern."""
        if patterns.ndim != 2 or not len(patterns):
            raise ValueError(f"patterns has shape {tuple(patterns.shape)}; wanted two axes and one pattern or more")
        dense = patterns.is_floating_point() or patterns.dtype == torch.bool
        if dense:
            self._check_dense(patterns)
            usable = patterns > 0
        else:
            self._check_indices(patterns)
            usable = patterns >= 0
            ordered = patterns.sort(-1).values
            if bool(((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any()):
                raise ValueError("patterns has a row with the same index twice; wanted distinct indices")
        fewest = int(usable.sum(-1).min())
        if fewest < self.synapses_per_pattern:
            raise ValueError(
                f"patterns has a row with {fewest} active cells; wanted at least synapses_per_pattern = "
                f"{self.synapses_per_pattern}"
            )
        score = torch.rand(patterns.shape, generator=generator, device=patterns.device)
        chosen = score.masked_fill(~usable, -1.0).topk(self.synapses_per_pattern, -1).indices
        return chosen if dense else patterns.gather(-1, chosen).long()

    def _keep(self, segment: Tensor, cell: Tensor, at_least: int = 0) -> None:
        """Take over synapses, given as pairs of a segment and a cell, each pair once."""
        pairs = torch.unique(segment * self.cells + cell)
        segment, cell = pairs // self.cells, pairs % self.cells
        counts = torch.bincount(segment, minlength=at_least)
        slot = torch.arange(len(pairs), device=pairs.device) - (counts.cumsum(0) - counts)[segment]
        synapses = torch.full((len(counts), int(counts.max())), -1, device=pairs.device)
        synapses[segment, slot] = cell
        self.synapses = synapses.to(self.synapses.device)
        self._sort()

    def _sort(self) -> None:
        segment, slot = (self.synapses >= 0).nonzero(as_tuple=True)
        self._sorted_cells, order = self.synapses[segment, slot].sort()
        self._sorted_segments = segment[order]

    def _check_dense(self, patterns: Tensor) -> None:
        if not patterns.ndim or patterns.shape[-1] != self.cells:
            raise ValueError(
                f"patterns has shape {tuple(patterns.shape)}; wanted (..., {self.cells}), one entry a cell"
            )

    def _check_indices(self, patterns: Tensor) -> None:
        if not patterns.ndim:
            raise ValueError("patterns has no axis; wanted (..., active), indices of the active cells")
        if patterns.numel():
            low, high = int(patterns.min()), int(patterns.max())
            if low < -1 or high >= self.cells:
                raise ValueError(f"patterns has the index {low if low < -1 else high}; wanted −1 to {self.cells - 1}")
            if self.cells > 2 and patterns.shape[-1] == self.cells and low >= 0 and high <= 1:
                raise ValueError(
                    "patterns is dense and of an integer dtype; wanted bool or floating for dense patterns"
                )

    @staticmethod
    def _check_segment(segment: Tensor, count: int) -> None:
        if segment.shape != (count,) or segment.is_floating_point() or segment.dtype == torch.bool:
            raise ValueError(f"segment is {segment.dtype} of shape {tuple(segment.shape)}; wanted ({count},) integers")
        if int(segment.min()) < 0:
            raise ValueError(f"segment has {int(segment.min())}; wanted numbers of at least 0")

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any, **kwargs: Any) -> None:
        # Saved segments have their own number and length: the buffer makes room for them.
        saved = state_dict.get(prefix + "synapses")
        if saved is not None:
            self.synapses = torch.empty_like(saved, device=self.synapses.device)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        self._sort()


class ActiveDendriteNeuron(nn.Module):
    r"""A neuron that detects many patterns, each by a few synapses on one of its dendritic segments.

    It is active where any of its segments spikes, max_j (D_j · A) ≥ θ. A random pattern activates it with
    probability 1 − (1 − p)^S, S segments with false match probability p each (`replica.memory.log_any_match`).

    Args:
        cells: n, number of presynaptic cells.
        threshold: θ ≥ 1, active synapses that make a segment spike.
        synapses_per_pattern: s ≥ θ, synapses that a pattern gets.
        patterns_per_segment: M ≥ 1, patterns mixed in each segment; the last one may hold fewer.

    Attributes:
        dendrites: The segments, `ActiveDendriteSegments`.

    Raises:
        ValueError: If an argument is out of its range.

    Source: arXiv 1601.00720, Figure 1C and Eq. (7).

    Example:
        >>> draw = torch.Generator().manual_seed(0)
        >>> patterns = sparse_patterns(300, 10_000, 200, generator=draw)
        >>> neuron = ActiveDendriteNeuron(10_000, threshold=13, synapses_per_pattern=20, patterns_per_segment=2)
        >>> learned = neuron.store(patterns, generator=draw)(swap_active(patterns, 10_000, 20, generator=draw))
        >>> strange = neuron(sparse_patterns(300, 10_000, 200, generator=draw))
        >>> neuron.dendrites.segments, int(learned.sum()), int(strange.sum())
        (150, 300, 0)
    """

    def __init__(self, cells: int, *, threshold: int, synapses_per_pattern: int, patterns_per_segment: int = 1) -> None:
        super().__init__()
        if patterns_per_segment < 1:
            raise ValueError(f"patterns_per_segment is {patterns_per_segment}; wanted 1 or more")
        self.patterns_per_segment = patterns_per_segment
        self.dendrites = ActiveDendriteSegments(cells, threshold=threshold, synapses_per_pattern=synapses_per_pattern)

    def store(
        self, patterns: Shaped[Tensor, "count entries"], *, generator: torch.Generator | None = None
    ) -> "ActiveDendriteNeuron":
        """Learn patterns in one shot, in place of what was there; forms and errors as for the segments."""
        segment = torch.arange(len(patterns), device=patterns.device) // self.patterns_per_segment
        self.dendrites.store(patterns, segment, generator=generator)
        return self

    def forward(self, patterns: Shaped[Tensor, "*batch entries"]) -> Bool[Tensor, "*batch"]:
        """Whether the neuron is active: whether any segment spikes."""
        return self.dendrites(patterns).any(-1)

    def evidence(self, patterns: Shaped[Tensor, "*batch entries"]) -> Float[Tensor, "*batch"]:
        """Largest overlap of any segment over the threshold, 1 and more where the neuron is active: a graded answer."""
        overlaps = self.dendrites.overlaps(patterns)
        return overlaps.amax(-1) / self.dendrites.threshold


def _outside(members: Int[Tensor, "count members"], ranks: Int[Tensor, "count ranks"]) -> Int[Tensor, "count ranks"]:
    """The r-th cell that is no member, for each rank r; members in ascending order."""
    # Member k has m_k − k non-members before it, so those with m_k − k ≤ r come before the r-th non-member.
    before = members - torch.arange(members.shape[-1], device=members.device)
    return ranks + torch.searchsorted(before.contiguous(), ranks.contiguous(), right=True)
