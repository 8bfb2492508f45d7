"""MgNO: nonlinear layers of multigrid operators, and the network of them that learns a solution map.

He, Liu & Xu 2023, "MgNO: Efficient Parameterization of Linear Operators via Multigrid", arXiv 2310.19809. Their
nonlinear operator layer O is `OperatorLayer`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from .grid_boundaries import Boundary, _cut, meet_boundary
from .grid_convolutions import draw_weights, grid_convolution
from .multigrid_operator import FIVE_LEVELS, MultigridOperator, Transfer, _check_channels


class OperatorLayer(nn.Module):
    r"""Nonlinear operator layer O(u) = σ(W u + B): as in a fully connected layer, with operators for weights.

    Neuron i is the function O_i(u) = σ(Σ_j W_ij u_j + B_i). W is one `MultigridOperator` over all channels. The bias
    function is B = K u + b(x): a pointwise linear map of u and a constant, all that the authors have for Darcy flow,
    and with `bias_grid` a learned function of the place, which they have for the Helmholtz equation. Nothing else than
    a bias function or zero padding tells places apart: on a periodic grid without one, a constant input has an output
    that repeats every 2^(J − 1) points.

    Args:
        in_channels: functions in u.
        out_channels: functions, or neurons, in the output.
        bias_grid: points each way on which b(x) is learned, from zero; interpolated linearly to the input's grid, so
            that the layer fits any resolution. Default none: b is a constant.
        normalize: whether W u is shifted and scaled to mean 0 and variance 1 over channels and grid, as the authors do
            for the Helmholtz and Navier-Stokes equations.
        activation: makes σ.
        generator: source of the initial weights.
        device: where the weights live. Default the generator's device.
        dtype: their floating-point type.
        **operator: further arguments of `MultigridOperator`.

    Shapes: (batch, in_channels, \*grid) gives (batch, out_channels, \*grid).

    Raises:
        ValueError: if an argument is out of range, or the input's channels or grid do not fit.

    Source: He et al. 2023, Section 3 (definition of the layer); authors' code, classes MgNO_DC and MgNO_helm.

    Example:
        >>> import torch
        >>> from replica.physics import OperatorLayer
        >>> layer = OperatorLayer(3, 8, dimensions=1, boundary="neumann", bias_grid=17)
        >>> layer(torch.randn(2, 3, 65)).shape
        torch.Size([2, 8, 65])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        bias_grid: int | None = None,
        normalize: bool = False,
        activation: Callable[[], nn.Module] = nn.GELU,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **operator: Any,
    ) -> None:
        super().__init__()
        if bias_grid is not None and bias_grid < 2:
            raise ValueError(f"bias_grid: got {bias_grid}, want 2 or more, or None")
        self.operator = MultigridOperator(
            in_channels, out_channels, generator=generator, device=device, dtype=dtype, **operator
        )
        dimensions = self.operator.dimensions
        self.bias = grid_convolution(dimensions, in_channels, out_channels)
        draw_weights(self.bias, generator, device, dtype)
        self.bias_function = None
        if bias_grid is not None:
            weight = next(self.bias.parameters())
            self.bias_function = nn.Parameter(weight.new_zeros(out_channels, *(bias_grid,) * dimensions))
        self.normalize = normalize
        self.activation = activation()

    def forward(self, values: Float[Tensor, "batch in_channels *grid"]) -> Float[Tensor, "batch out_channels *grid"]:
        """σ(W u + K u + b)."""
        if values.dim() == 4:  # the layout of the weights (`draw_weights`): converted once, not by each convolution
            values = values.contiguous(memory_format=torch.channels_last)
        result = self.operator(values)
        if self.normalize:
            result = functional.layer_norm(result, result.shape[1:])
        result = result + self.bias(values)
        if self.bias_function is not None:
            result = result + self._on_grid(self.bias_function, values.shape[2:])
        return self.activation(result)

    def _on_grid(self, function: Tensor, grid: Sequence[int]) -> Float[Tensor, "1 out_channels *grid"]:
        bias, periodic = function[None], self.operator.boundary == "periodic"
        if periodic:  # its last point comes before the first one again
            bias = functional.pad(bias, (0, 1) * len(grid), "circular")
        mode = "linear" if len(grid) == 1 else "bilinear"
        size = [points + periodic for points in grid]
        return _cut(functional.interpolate(bias, size, mode=mode, align_corners=True), grid)


class MgNO(nn.Module):
    r"""Multigrid neural operator: nonlinear operator layers one after another, and a linear readout.

    The first layer takes the input functions as they are and the last is read out by a sum over channels: there is
    no lifting or projecting network (Section 3). The weights fit every grid that the levels admit, so that a net
    can be evaluated at a resolution it was not trained on.

    Args:
        in_channels: functions given.
        out_channels: functions sought.
        channels: neurons a layer. Authors: 24 for Darcy flow.
        layers: nonlinear operator layers. Authors: 4 or 5 for Darcy flow.
        smoothing: see `MultigridOperator`. Authors: ``((1, 0),) * 5 + ((2, 0),)`` for Darcy flow at 256 × 256.
        dimensions: of the grid, 1 or 2.
        boundary: "dirichlet", "neumann" or "periodic", on all layers and levels.
        transfer: see `MultigridOperator`.
        prolongation_kernel: see `MultigridOperator`.
        bias_grid: see `OperatorLayer`.
        normalize: see `OperatorLayer`.
        exact: for grids whose outermost points lie on the boundary: the output meets the homogeneous boundary
            condition there to rounding. Not in the paper, whose nets meet it as well as they learn to.
        activation: makes σ.
        generator: source of the initial weights.
        device: where the weights live. Default the generator's device.
        dtype: their floating-point type.

    Shapes: (batch, in_channels, \*grid) gives (batch, out_channels, \*grid).

    Source: He et al. 2023, Sections 3 and 4; authors' code, class MgNO_DC.

    Example:
        >>> import torch
        >>> from replica.physics import MgNO
        >>> net = MgNO(channels=24, layers=4, smoothing=((1, 0),) * 5 + ((2, 0),))
        >>> sum(weight.numel() for weight in net.parameters())
        572661
        >>> net(torch.randn(1, 1, 64, 64)).shape
        torch.Size([1, 1, 64, 64])
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        *,
        channels: int = 24,
        layers: int = 4,
        smoothing: Sequence[tuple[int, int]] = FIVE_LEVELS,
        dimensions: int = 2,
        boundary: Boundary = "dirichlet",
        transfer: Transfer = "state",
        prolongation_kernel: int | Sequence[int] = 4,
        bias_grid: int | None = None,
        normalize: bool = False,
        exact: bool = False,
        activation: Callable[[], nn.Module] = nn.GELU,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        _check_channels(in_channels=in_channels, out_channels=out_channels, channels=channels, layers=layers)
        self.boundary: Boundary = boundary
        self.exact = exact
        self.layers = nn.ModuleList(
            OperatorLayer(
                channels if layer else in_channels,
                channels,
                bias_grid=bias_grid,
                normalize=normalize,
                activation=activation,
                generator=generator,
                device=device,
                dtype=dtype,
                smoothing=smoothing,
                dimensions=dimensions,
                boundary=boundary,
                transfer=transfer,
                prolongation_kernel=prolongation_kernel,
                exact=exact and boundary == "dirichlet",
            )
            for layer in range(layers)
        )
        self.readout = grid_convolution(dimensions, channels, out_channels, bias=False)
        draw_weights(self.readout, generator, device, dtype)

    def forward(self, values: Float[Tensor, "batch in_channels *grid"]) -> Float[Tensor, "batch out_channels *grid"]:
        """The functions sought, on the grid of those given."""
        for layer in self.layers:
            values = layer(values)
        result = self.readout(values)
        return meet_boundary(result, self.boundary) if self.exact else result
