"""Joint means and covariances of the units of two layers, accumulated in one pass.

Li et al. 2015, "Convergent Learning", arXiv 1511.07543, Section 2. Their letters: mean μ, standard deviation σ, within-net
correlation c^{n,n}, between-net correlation c^{n,m}.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from replica.training.mixed_precision import autocast_off

# Rows multiplied at once: few enough that a float32 product of them keeps its digits, enough to hide the sum's cost.
_ROWS = 1024


class UnitStatistics(nn.Module):
    """Mean and covariance of the units of two layers over all samples seen, in (first + second)² memory.

    Each batch is centred on its own mean, multiplied in its own type, and merged in float64 by the pairwise update
    of Chan, Golub and LeVeque (1983): a large common offset or a long stream costs no digits. Units that never vary
    are `dead`: their correlations are 0.

    Covariances divide by the number of samples. Updates carry no gradients; what is read is a buffer's value.

    Args:
        first: number of units of the one layer.
        second: number of units of the other.
        device: where the sums live.
        dtype: type of the sums.

    Raises:
        ValueError: if a number of units is below 1.

    Example:
        >>> import torch
        >>> from replica.representations import UnitStatistics
        >>> statistics = UnitStatistics(2, 1)
        >>> samples = torch.randn(1000, 2, generator=torch.Generator().manual_seed(0))
        >>> for batch in samples.split(100):
        ...     statistics.update(batch, batch[:, :1] + batch[:, 1:])
        >>> statistics.between.shape
        torch.Size([2, 1])
    """

    count: Tensor
    mean: Tensor
    scatter: Tensor
    reference: Tensor
    varies: Tensor

    def __init__(
        self,
        first: int,
        second: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        super().__init__()
        if first < 1 or second < 1:
            name, value = ("first", first) if first < 1 else ("second", second)
            raise ValueError(f"{name}: got {value} units, want 1 or more")
        self.first = first
        self.second = second
        units = first + second
        options: dict[str, Any] = {"device": device, "dtype": dtype}
        self.register_buffer("count", torch.zeros((), dtype=torch.int64, device=device))
        self.register_buffer("mean", torch.zeros(units, **options))
        self.register_buffer("scatter", torch.zeros(units, units, **options))
        self.register_buffer("reference", torch.zeros(units, **options))
        self.register_buffer("varies", torch.zeros(units, dtype=torch.bool, device=device))

    def extra_repr(self) -> str:
        """What `print` shows."""
        return f"first={self.first}, second={self.second}, samples={int(self.count)}"

    @torch.no_grad()
    def update(self, first: Float[Tensor, "samples first"], second: Float[Tensor, "samples second"]) -> None:
        """Adds samples: row by row what the two layers did at the same time.

        Raises:
            ValueError: if a shape or type does not fit, or a value is NaN or infinite.
        """
        for name, rows, units in (("first", first, self.first), ("second", second, self.second)):
            if rows.dim() != 2 or rows.shape[1] != units or not rows.is_floating_point():
                raise ValueError(
                    f"{name}: got shape {tuple(rows.shape)} of {rows.dtype}, want (samples, {units}) of "
                    "floating-point numbers"
                )
        if len(first) != len(second):
            raise ValueError(f"second: got {len(second)} samples, want {len(first)} as in first")
        for ours, theirs in zip(first.split(_ROWS), second.split(_ROWS), strict=True):
            if len(ours):
                with autocast_off(self.mean.device):
                    self._merge_rows(ours, theirs)

    def _merge_rows(self, first: Tensor, second: Tensor) -> None:
        blocks = [rows.float() if rows.dtype.itemsize < 4 else rows for rows in (first, second)]
        count = len(first)
        sums = self.mean.dtype
        means = [rows.mean(0) for rows in blocks]
        mean = torch.cat([value.to(sums) for value in means])
        if not bool(mean.isfinite().all()):
            name = "first" if not bool(means[0].isfinite().all()) else "second"
            raise ValueError(f"{name}: got NaN or infinite activations, want finite ones")
        row = torch.cat([rows[0].to(sums) for rows in blocks])
        if not self.count:
            self.reference.copy_(row)
        self.varies |= row != self.reference
        for rows, varies in zip(blocks, self.varies.split((self.first, self.second)), strict=True):
            still = (~varies).nonzero().squeeze(-1)  # few after the first rows, which saves a pass over the data
            varies[still] = (rows[:, still] != rows[0, still]).any(0)

        ours, theirs = (rows - value for rows, value in zip(blocks, means, strict=True))
        for (above, below), (rows, columns) in zip(
            self._blocks(), ((ours, ours), (theirs, theirs), (ours, theirs)), strict=True
        ):
            self.scatter[above, below] += rows.T @ columns.to(rows.dtype)
        # The mean in the rows' own type is off by rounding: what that adds to the products is taken out again.
        left = torch.cat([rows.sum(0).to(sums) for rows in (ours, theirs)]) / count
        self._shift(count, mean + left, left)

    def _blocks(self) -> tuple[tuple[slice, slice], ...]:
        """Where the scatter is kept: within the first, within the second, between. The fourth block stays 0."""
        ours, theirs = slice(0, self.first), slice(self.first, None)
        return (ours, ours), (theirs, theirs), (ours, theirs)

    def _shift(self, count: int, mean: Tensor, left: Tensor) -> None:
        """Moves the scatter, to which that of `count` samples about `mean` − `left` was added, to the common mean."""
        before = int(self.count)
        step = mean - self.mean
        weight = before * count / (before + count)
        one, other = torch.stack([weight * step, -count * left], 1), torch.stack([step, left])
        for above, below in self._blocks():
            self.scatter[above, below].addmm_(one[above], other[:, below])
        self.mean += step * (count / (before + count))
        self.count += count

    @torch.no_grad()
    def merge(self, other: "UnitStatistics") -> None:
        """Adds the samples that another has seen, as if they had been seen here.

        Raises:
            ValueError: if the other's units differ in number.
        """
        if (other.first, other.second) != (self.first, self.second):
            raise ValueError(
                f"other: got {other.first} and {other.second} units, want {self.first} and {self.second} as here"
            )
        if not other.count:
            return
        reference = other.reference.to(self.reference)
        if not self.count:
            self.reference.copy_(reference)
        self.varies |= other.varies.to(self.varies) | (reference != self.reference)
        self.scatter += other.scatter.to(self.scatter)
        self._shift(int(other.count), other.mean.to(self.mean), torch.zeros_like(self.mean))

    @property
    def covariance(self) -> Float[Tensor, "units units"]:
        """Covariance of all units, those of the first layer before those of the second; zero for dead units."""
        self._check()
        alive = self.varies.to(self.scatter)
        return self._symmetric() * (alive * alive[:, None] / self.count)

    def _symmetric(self) -> Float[Tensor, "units units"]:
        """The whole scatter: a float32 product with itself is symmetric only up to rounding, and one block is not kept."""
        ours, theirs = slice(0, self.first), slice(self.first, None)
        whole = self.scatter + self.scatter.T
        whole[ours, ours] /= 2
        whole[theirs, theirs] /= 2
        return whole

    @property
    def deviation(self) -> Float[Tensor, " units"]:
        """Standard deviation of each unit (σ)."""
        return self.covariance.diagonal().clamp(min=0).sqrt()

    @property
    def correlation(self) -> Float[Tensor, "units units"]:
        """Correlation of all units; 0 where one is dead, its own included."""
        covariance = self.covariance
        scale = covariance.diagonal().clamp(min=0).sqrt()
        scale = torch.where(scale > 0, 1 / scale, torch.zeros_like(scale))
        found = (covariance * scale * scale[:, None]).clamp(-1, 1)
        # A unit's correlation with itself is 1 without rounding.
        return found.diagonal_scatter((scale > 0).to(found))

    @property
    def between(self) -> Float[Tensor, "first second"]:
        """Correlation of each unit of the first layer with each of the second (c^{n,m})."""
        return self.correlation[: self.first, self.first :]

    @property
    def within_first(self) -> Float[Tensor, "first first"]:
        """Correlations among the first layer's units (c^{n,n})."""
        return self.correlation[: self.first, : self.first]

    @property
    def within_second(self) -> Float[Tensor, "second second"]:
        """Correlations among the second layer's units."""
        return self.correlation[self.first :, self.first :]

    @property
    def dead(self) -> Bool[Tensor, " units"]:
        """Which units had one value only."""
        self._check()
        return ~self.varies

    def swapped(self) -> "UnitStatistics":
        """The same with the two layers' places exchanged."""
        order = torch.arange(self.first + self.second, device=self.mean.device).roll(-self.first)
        return self._derived(
            self.second, self.first, self.mean[order], self._symmetric()[order][:, order], self.reference[order],
            self.varies[order],
        )  # fmt: skip

    def mapped(self, matrix: Float[Tensor, "second directions"]) -> "UnitStatistics":
        """Statistics with the second layer's units replaced by linear combinations of them: `second @ matrix`.

        Exact, without a new pass over the data.

        Raises:
            ValueError: if the matrix does not have one row a unit.
        """
        if matrix.dim() != 2 or matrix.shape[0] != self.second or not matrix.shape[1]:
            raise ValueError(f"matrix: got shape {tuple(matrix.shape)}, want ({self.second}, directions)")
        matrix = matrix.to(self.scatter)
        whole = torch.block_diag(torch.eye(self.first, dtype=matrix.dtype, device=matrix.device), matrix)
        return self._derived(
            self.first, matrix.shape[1], self.mean @ whole, whole.T @ self._symmetric() @ whole, self.reference @ whole,
            ((whole != 0) & self.varies[:, None]).any(0),
        )  # fmt: skip

    def _derived(
        self, first: int, second: int, mean: Tensor, scatter: Tensor, reference: Tensor, varies: Tensor
    ) -> "UnitStatistics":
        other = UnitStatistics(first, second, device=mean.device, dtype=mean.dtype)
        scatter = scatter.clone()
        scatter[first:, :first] = 0
        state = {"count": self.count, "mean": mean, "scatter": scatter, "reference": reference, "varies": varies}
        other.load_state_dict(state)
        return other

    def _check(self) -> None:
        if not self.count:
            raise ValueError("UnitStatistics: has seen no samples yet, call update first")
