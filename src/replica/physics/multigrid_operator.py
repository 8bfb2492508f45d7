"""Multigrid neural operator: linear maps between functions on a grid as V-cycles of small learned convolutions.

He, Liu & Xu 2023, "MgNO: Efficient Parameterization of Linear Operators via Multigrid", arXiv 2310.19809. Their
letters: the linear operator W_Mg (here `MultigridOperator`), smoother B, system A, restriction of the right-hand side R
and of the state Π, prolongation P, levels ℓ = 1 … J, smoothing steps ν_ℓ.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, cast, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from .grid_boundaries import _PADDING, Boundary, _check_boundary, _cut, meet_boundary
from .grid_convolutions import draw_weights, grid_convolution

Transfer = Literal["state", "residual"]


FIVE_LEVELS: tuple[tuple[int, int], ...] = ((1, 0), (1, 0), (1, 0), (1, 0), (2, 0))


def smoothing_levels(grid: Sequence[int], boundary: Boundary, most: int = 6) -> tuple[tuple[int, int], ...]:
    """Levels for a grid: one smoothing step each and two on the coarsest, of 5 to 9 points a side, as the authors have it.

    Args:
        grid: points along each axis.
        boundary: a periodic grid is halved only where its points are even in number.
        most: levels at most.

    Example:
        >>> from replica.physics import smoothing_levels
        >>> smoothing_levels((33, 33), "dirichlet")
        ((1, 0), (1, 0), (1, 0), (2, 0))
    """
    halvings = min(most - 1, max(0, int(math.log2((min(grid) - 1) / 2)) - 1)) if min(grid) > 2 else 0
    while boundary == "periodic" and any(size % 2**halvings for size in grid):
        halvings -= 1
    return ((1, 0),) * halvings + ((2, 0),)


class _Smoothing(nn.Module):
    """One smoothing step u ← u + B ∗ (f − A ∗ u); a step that starts from u = 0 is u = B ∗ f and needs no A."""

    def __init__(self, convolution: Callable[..., nn.Module], sources: int, states: int, from_zero: bool) -> None:
        super().__init__()
        self.smoother = convolution(sources, states)
        self.system = None if from_zero else convolution(states, sources)

    def forward(self, state: Tensor | None, source: Tensor) -> Tensor:
        if self.system is None or state is None:
            return self.smoother(source)
        return state + self.smoother(source - self.system(state))


class _Level(nn.Module):
    """What one level of the V-cycle has: its smoothing steps and, but for the coarsest, its way down and up."""

    # Modules; None where this level or kind of transfer has none.
    restrict_source: Any
    restrict_state: Any
    residual_system: Any
    prolong: Any

    def __init__(
        self,
        convolution: Callable[..., nn.Module],
        sources: int,
        states: int,
        steps: tuple[int, int],
        *,
        from_zero: bool,
        transfer: Transfer,
        prolongation: nn.Module | None,
    ) -> None:
        super().__init__()
        before, after = steps
        self.before = nn.ModuleList(
            _Smoothing(convolution, sources, states, from_zero and step == 0) for step in range(before)
        )
        self.after = nn.ModuleList(_Smoothing(convolution, sources, states, False) for _ in range(after))
        coarsest = prolongation is None
        self.restrict_source = None if coarsest else convolution(sources, sources, stride=2)
        self.restrict_state = None if coarsest or transfer == "residual" else convolution(states, states, stride=2)
        self.residual_system = None if coarsest or transfer == "state" else convolution(states, sources)
        self.prolong = prolongation


class _Prolongation(nn.Module):
    """Transposed convolution of stride 2 onto exactly the finer grid; the coarse grid is extended as the boundary says.

    Fine point 2i lies on coarse point i, so that kernel size 3 is the transpose of the restriction.
    """

    def __init__(self, channels: int, dimensions: int, kernel_size: int, boundary: Boundary) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, channels, *(kernel_size,) * dimensions))
        self.mode = _PADDING[boundary]
        self.dimensions = dimensions

    def forward(self, coarse: Tensor, size: Sequence[int]) -> Tensor:
        padding = 1
        if self.mode != "zeros":  # a transposed convolution extends by zeros itself
            coarse = functional.pad(coarse, (1, 1) * self.dimensions, self.mode)
            padding += 2
        transposed = functional.conv_transpose1d if self.dimensions == 1 else functional.conv_transpose2d
        kernel = self.weight.shape[-1]
        # Kernel 4 gives an even number of points, kernel 3 an odd one: extended or cut by one to the finer grid.
        natural = [2 * (coarse.shape[2 + d] - 1) - 2 * padding + kernel for d in range(self.dimensions)]
        extra = [max(0, want - have) for want, have in zip(size, natural, strict=True)]
        fine = transposed(coarse, self.weight, stride=2, padding=padding, output_padding=extra)
        return _cut(fine, size)


class MultigridOperator(nn.Module):
    r"""Linear operator between functions on a grid, given by one V-cycle of learned convolutions (W_Mg).

    From u = 0 on the finest grid, on each level down, ν times

        u ← u + B ∗ (f − A ∗ u),

    then, onto a grid of half the resolution, (u, f) ← (Π ∗₂ u, R ∗₂ f) with `transfer="state"`, as in the authors'
    code, or (0, R ∗₂ (f − A ∗ u)) with `transfer="residual"`, as in a textbook V-cycle. Up again,
    u ← u + P ∗² u_coarse and the smoothing steps after it. The kernels are all 3 wide, those of P by default 4;
    each step has its own A and B. Cost and memory grow with the number of grid points, and the output depends on
    the whole input once the coarsest grid is a few points wide.

    The boundary condition is that of the extension that each convolution sees beyond the grid: zero for Dirichlet,
    mirrored at the outermost points for Neumann, wrapped round for periodic. So it is the same on every level,
    prolongation included.

    Args:
        in_channels: functions in f.
        out_channels: functions in u.
        smoothing: steps (before, after) the coarser levels, for each level from the finest (ν_ℓ); at least one
            before, and none after on the coarsest. Its length is the number of levels J.
        dimensions: of the grid, 1 or 2.
        boundary: "dirichlet", "neumann" or "periodic".
        transfer: what goes to the coarser grid, see above.
        prolongation_kernel: width of the kernels of P, 3 or 4, for all levels or one for each but the coarsest.
        exact: for grids whose outermost points lie on the boundary: the output meets the boundary condition there
            to rounding (`meet_boundary`); Dirichlet holds the outermost points of every level at zero.
        generator: source of the initial weights, uniform in ±1/√fan-in as PyTorch's own.
        device: where the weights live. Default the generator's device.
        dtype: their floating-point type.

    Shapes: f of (batch, in_channels, \*grid) gives u of (batch, out_channels, \*grid), for any grid whose coarsest
    level has a point left (2 points for Neumann, 3 for exact Dirichlet). Periodic grids must be divisible by
    2^(J − 1). Coarse points lie on fine ones to the end if the other grids have a multiple of 2^(J − 1) points and
    one more.

    Raises:
        ValueError: if an argument is out of range, or the input's channels or grid do not fit.

    Source: He et al. 2023, Section 4 (multigrid parameterisation), and the authors' code, class MgConv_DC.

    Example:
        >>> import torch
        >>> from replica.physics import MultigridOperator
        >>> operator = MultigridOperator(1, 8, smoothing=((1, 1), (1, 1), (2, 0)), boundary="periodic")
        >>> operator(torch.randn(4, 1, 32, 32)).shape
        torch.Size([4, 8, 32, 32])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        smoothing: Sequence[tuple[int, int]] = FIVE_LEVELS,
        dimensions: int = 2,
        boundary: Boundary = "dirichlet",
        transfer: Transfer = "state",
        prolongation_kernel: int | Sequence[int] = 4,
        exact: bool = False,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        _check_channels(in_channels=in_channels, out_channels=out_channels)
        _check_boundary(boundary)
        if transfer not in get_args(Transfer):
            raise ValueError(f"transfer: got {transfer!r}, want 'state' or 'residual'")
        steps = _checked_smoothing(smoothing)
        kernels = _checked_kernels(prolongation_kernel, len(steps) - 1)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.dimensions = dimensions
        self.boundary: Boundary = boundary
        self.transfer: Transfer = transfer
        self.exact = exact
        self._pinned = exact and boundary == "dirichlet"

        def convolution(ins: int, outs: int, stride: int = 1) -> nn.Module:
            return grid_convolution(
                dimensions, ins, outs, kernel_size=3, stride=stride, padding_mode=_PADDING[boundary], bias=False
            )

        self.levels = nn.ModuleList(
            _Level(
                convolution,
                in_channels,
                out_channels,
                steps[level],
                from_zero=level == 0 or transfer == "residual",
                transfer=transfer,
                prolongation=_Prolongation(out_channels, dimensions, kernels[level], boundary)
                if level < len(kernels)
                else None,
            )
            for level in range(len(steps))
        )
        draw_weights(self, generator, device, dtype)

    def extra_repr(self) -> str:
        """What `print` shows."""
        return f"levels={len(self.levels)}, boundary={self.boundary!r}, transfer={self.transfer!r}, exact={self.exact}"

    def forward(self, source: Float[Tensor, "batch in_channels *grid"]) -> Float[Tensor, "batch out_channels *grid"]:
        """The operator applied to f: one V-cycle."""
        self._check(source)
        result = self._cycle(0, source, None)
        return meet_boundary(result, self.boundary) if self.exact and not self._pinned else result

    def _cycle(self, number: int, source: Tensor, start: Tensor | None) -> Tensor:
        level = cast(_Level, self.levels[number])
        first, *others = level.before
        state = self._hold(first(start, source))
        for smoothing in others:
            state = self._hold(smoothing(state, source))
        if level.prolong is None:
            return state
        if self.transfer == "state":
            coarse = self._cycle(number + 1, level.restrict_source(source), self._hold(level.restrict_state(state)))
        else:
            coarse = self._cycle(number + 1, level.restrict_source(source - level.residual_system(state)), None)
        state = self._hold(state + level.prolong(coarse, source.shape[2:]))
        for smoothing in level.after:
            state = self._hold(smoothing(state, source))
        return state

    def _hold(self, state: Tensor) -> Tensor:
        return meet_boundary(state, "dirichlet") if self._pinned else state

    def _check(self, source: Tensor) -> None:
        wanted = f"(batch, {self.in_channels}, {', '.join(['size'] * self.dimensions)})"
        if source.dim() != self.dimensions + 2 or source.shape[1] != self.in_channels:
            raise ValueError(f"source: got shape {tuple(source.shape)}, want {wanted}")
        grid = source.shape[2:]
        halvings = 2 ** (len(self.levels) - 1)
        if self.boundary == "periodic":
            if any(size % halvings or not size for size in grid):
                raise ValueError(
                    f"source: got a grid of {tuple(grid)}, want sizes divisible by {halvings} "
                    f"for {len(self.levels)} levels of a periodic grid"
                )
            return
        coarsest = 3 if self._pinned else 2 if self.boundary == "neumann" else 1
        least = max((coarsest - 1) * halvings + 1, 3 if self.exact else 1)
        if any(size < least for size in grid):
            raise ValueError(
                f"source: got a grid of {tuple(grid)}, want sizes of at least {least} for {len(self.levels)} levels"
            )


def _check_channels(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name}: got {count}, want 1 or more")


def _checked_smoothing(smoothing: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    steps = [tuple(level) for level in smoothing]
    fits = steps and all(len(level) == 2 and level[0] >= 1 and level[1] >= 0 for level in steps)
    if not fits or steps[-1][1]:
        raise ValueError(
            f"smoothing: got {steps}, want (before, after) for each level, at least 1 before, 0 after on the last"
        )
    return [(before, after) for before, after in steps]


def _checked_kernels(kernel: int | Sequence[int], count: int) -> list[int]:
    kernels = [kernel] * count if isinstance(kernel, int) else list(kernel)
    if len(kernels) != count or not set(kernels) <= {3, 4}:
        raise ValueError(f"prolongation_kernel: got {kernel}, want 3 or 4, or one of these for each of {count} levels")
    return kernels
