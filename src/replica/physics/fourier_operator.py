"""Fourier neural operator: layers that multiply the lowest Fourier modes of their input by learned matrices.

Li et al. 2021, "Fourier Neural Operator for Parametric Partial Differential Equations", arXiv 2010.08895. Their
letters: lifting P, projection Q, width d_v (`channels`), modes k_max (`modes`), kernel's transform R, skip W.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from replica.training.mixed_precision import at_least_single, autocast_off

from .grid_convolutions import DIMENSIONS, draw_weights, grid_convolution


class SpectralConvolution(nn.Module):
    r"""Convolution with a learned periodic kernel of few Fourier modes: v = F⁻¹(R · F u), modes |k| < `modes` kept.

    R is a complex matrix (in × out) for each kept mode; negative modes of the last dimension follow from the output
    being real. The transform is normalised by the number of points, so that R means the same on every grid. Half
    precision is transformed in float32, whose results are then rounded.

    Args:
        in_channels: functions in.
        out_channels: functions out.
        modes: k_max; in the last dimension modes 0 … k_max − 1 are kept, in the one before also −k_max … −1.
        dimensions: of the grid, 1 or 2.
        generator: source of the initial weights, uniform in [0, 1/(in · out)) as the authors' code.
        device: where the weights live. Default the generator's device.
        dtype: their floating-point type; real and imaginary parts are stored side by side.

    Shapes: (batch, in_channels, \*grid) gives (batch, out_channels, \*grid); at least 2 · modes points each way.

    Raises:
        ValueError: if an argument is out of range, or the input's channels or grid do not fit.

    Source: Li et al. 2021, Eq. 4 and 5.

    Example:
        >>> import torch
        >>> from replica.physics import SpectralConvolution
        >>> SpectralConvolution(3, 8, modes=6)(torch.randn(2, 3, 32, 48)).shape
        torch.Size([2, 8, 32, 48])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        modes: int,
        dimensions: int = 2,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        for name, count in (("in_channels", in_channels), ("out_channels", out_channels), ("modes", modes)):
            if count < 1:
                raise ValueError(f"{name}: got {count}, want 1 or more")
        if dimensions not in DIMENSIONS:
            raise ValueError(f"dimensions: got {dimensions}, want 1 or 2")
        if device is None and generator is not None:
            device = generator.device
        self.modes = modes
        self.dimensions = dimensions
        kept = (2 * modes, modes) if dimensions == 2 else (modes,)
        # Real pairs, not complex numbers: they are counted as what they are, and `.double()` reaches them.
        self.weight = nn.Parameter(torch.empty(*kept, in_channels, out_channels, 2, device=device, dtype=dtype))
        nn.init.uniform_(self.weight, 0.0, 1 / (in_channels * out_channels), generator=generator)

    def extra_repr(self) -> str:
        """What `print` shows."""
        return f"{self.weight.shape[-3]}, {self.weight.shape[-2]}, modes={self.modes}, dimensions={self.dimensions}"

    def forward(self, values: Float[Tensor, "batch in_channels *grid"]) -> Float[Tensor, "batch out_channels *grid"]:
        """F⁻¹(R · F u)."""
        if values.dim() != self.dimensions + 2 or values.shape[1] != self.weight.shape[-3]:
            sizes = ", ".join(["size"] * self.dimensions)
            raise ValueError(f"values: got shape {tuple(values.shape)}, want (batch, {self.weight.shape[-3]}, {sizes})")
        grid = values.shape[2:]
        if min(grid) < 2 * self.modes:
            raise ValueError(
                f"values: got a grid of {tuple(grid)}, want at least {2 * self.modes} points each way "
                f"for {self.modes} modes"
            )
        if not len(values):  # transforms refuse it; gradients pass, all of them 0
            return values[:, :1].expand(-1, self.weight.shape[-2], *grid) + 0 * self.weight.sum()
        with autocast_off(values.device):
            return self._convolve(at_least_single(values), at_least_single(self.weight)).to(values.dtype)

    def _convolve(self, values: Tensor, weight: Tensor) -> Tensor:
        grid = values.shape[2:]
        if self.dimensions == 1:
            low = torch.fft.rfft(values, norm="forward")[..., : self.modes]
            return torch.fft.irfft(_mix(low, weight), n=grid[0], norm="forward")
        # Only kept columns are transformed along the other dimension, and transformed back.
        half = torch.fft.rfft(values, norm="forward")[..., : self.modes]
        spectrum = torch.fft.fft(half, dim=-2, norm="forward")
        low = torch.cat([spectrum[..., : self.modes, :], spectrum[..., -self.modes :, :]], -2)
        mixed = _mix(low, weight)
        gap = mixed.new_zeros(*mixed.shape[:2], grid[0] - 2 * self.modes, self.modes)
        rows = torch.cat([mixed[..., : self.modes, :], gap, mixed[..., self.modes :, :]], -2)
        return torch.fft.irfft(torch.fft.ifft(rows, dim=-2, norm="forward"), n=grid[1], norm="forward")


def _mix(spectrum: Tensor, weight: Tensor) -> Tensor:
    """Each mode's matrix times its channels: complex (batch, in, *modes) to (batch, out, *modes).

    As one batched product of real matrices [[re, im], [−im, re]]: PyTorch's complex one does the modes one by one.
    """
    real, imaginary = weight.flatten(0, -4).unbind(-1)
    matrices = torch.cat([torch.cat([real, imaginary], -1), torch.cat([-imaginary, real], -1)], -2)
    pairs = torch.view_as_real(spectrum.flatten(2)).permute(2, 0, 3, 1).flatten(2)
    mixed = (pairs @ matrices).unflatten(2, (2, -1)).permute(1, 3, 0, 2).contiguous()
    return torch.view_as_complex(mixed).unflatten(2, spectrum.shape[2:])


class FourierOperator(nn.Module):
    r"""Fourier neural operator (FNO): lifting, Fourier layers σ(W v + b + K v), projection.

    Args:
        in_channels: functions given; the coordinates of the grid points, in [0, 1], are added to them.
        out_channels: functions sought.
        channels: functions in each layer. Authors: 32 for Darcy flow.
        modes: Fourier modes kept in each dimension. Authors: 12 for Darcy flow.
        layers: Fourier layers; the last has no activation, as in the authors' code.
        hidden: width of the projection's hidden layer.
        dimensions: of the grid, 1 or 2.
        padding: share of the grid added as zeros at the end of each dimension before the Fourier layers and cut
            off after them. For functions that are not periodic. Authors: 9 of 85 points for Darcy flow. The transforms
            are fastest where grid and padding together have small prime factors only.
        activation: makes σ.
        generator: source of the initial weights.
        device: where the weights live. Default the generator's device.
        dtype: their floating-point type.

    Shapes: (batch, in_channels, \*grid) gives (batch, out_channels, \*grid); at least 2 · modes points each way,
    padding included.

    Raises:
        ValueError: if an argument is out of range, or the input's channels or grid do not fit.

    Source: Li et al. 2021, Section 3 and Fig. 2.

    Example:
        >>> import torch
        >>> from replica.physics import FourierOperator
        >>> FourierOperator(channels=8, modes=4, padding=0.1)(torch.randn(2, 1, 33, 33)).shape
        torch.Size([2, 1, 33, 33])
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        *,
        channels: int = 32,
        modes: int = 12,
        layers: int = 4,
        hidden: int = 128,
        dimensions: int = 2,
        padding: float = 0.0,
        activation: Callable[[], nn.Module] = nn.GELU,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        counts = {
            "in_channels": in_channels,
            "out_channels": out_channels,
            "channels": channels,
            "modes": modes,
            "layers": layers,
            "hidden": hidden,
        }
        for name, count in counts.items():
            if count < 1:
                raise ValueError(f"{name}: got {count}, want 1 or more")
        if not 0 <= padding < math.inf:
            raise ValueError(f"padding: got {padding}, want a share of 0 or more")
        self.dimensions = dimensions
        self.padding = padding
        self.in_channels = in_channels

        def pointwise(ins: int, outs: int) -> nn.Module:
            layer = grid_convolution(dimensions, ins, outs)
            draw_weights(layer, generator, device, dtype)
            return layer

        self.spectral = nn.ModuleList(
            SpectralConvolution(
                channels,
                channels,
                modes=modes,
                dimensions=dimensions,
                generator=generator,
                device=device,
                dtype=dtype,
            )
            for _ in range(layers)
        )
        self.skips = nn.ModuleList(pointwise(channels, channels) for _ in range(layers))
        self.lifting = pointwise(in_channels + dimensions, channels)
        self.projection = nn.Sequential(pointwise(channels, hidden), activation(), pointwise(hidden, out_channels))
        self.activation = activation()

    def forward(self, values: Float[Tensor, "batch in_channels *grid"]) -> Float[Tensor, "batch out_channels *grid"]:
        """The functions sought, on the grid of those given."""
        if values.dim() != self.dimensions + 2 or values.shape[1] != self.in_channels:
            sizes = ", ".join(["size"] * self.dimensions)
            raise ValueError(f"values: got shape {tuple(values.shape)}, want (batch, {self.in_channels}, {sizes})")
        grid = values.shape[2:]
        axes = [torch.linspace(0, 1, size, device=values.device, dtype=values.dtype) for size in grid]
        coordinates = torch.stack(torch.meshgrid(*axes, indexing="ij")).expand(len(values), *[-1] * (len(grid) + 1))
        state = self.lifting(torch.cat([values, coordinates], 1))
        margins = [round(self.padding * size) for size in reversed(grid)]
        state = functional.pad(state, [side for margin in margins for side in (0, margin)])
        for number, (spectral, skip) in enumerate(zip(self.spectral, self.skips, strict=True), 1):
            state = spectral(state) + skip(state)
            if number < len(self.spectral):
                state = self.activation(state)
        return self.projection(state[(..., *(slice(size) for size in grid))])
