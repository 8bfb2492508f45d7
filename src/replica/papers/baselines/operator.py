"""The problem operator's own methods: the mean field, a linear map, a U-Net, and Fourier neural operators."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from replica.lab.claims import LogUniform, Trial
from replica.lab.problems.baseline import Baselines
from replica.physics import UNet
from replica.training import GridRegressor

baselines = Baselines()
RATES = {"learning_rate": LogUniform(1e-3, 3e-2)}
LIBRARY = ("neuralop", "physics")

_RIDGES = torch.logspace(2, -12, 29, dtype=torch.float64).tolist()
"""Candidates for the ridge, as multiples of the largest variance of the inputs."""


class MeanField:
    """Gives the mean of the training outputs whatever the input: what a method is worth that does not look."""

    def fit(self, inputs: Tensor, outputs: Tensor) -> None:
        """Keep the mean of the outputs, shape ``(count, channels, *grid)``."""
        self.mean = outputs.mean(dim=0)

    def predict(self, inputs: Tensor) -> Tensor:
        """Give it back on the inputs' grid."""
        mean = resample(self.mean[None], tuple(inputs.shape[2:]))
        return mean.expand(len(inputs), *mean.shape[1:])


class PcaLinear:
    """The best linear map by ridge regression on the inputs' principal components, as reduced-order models use.

    With the centred inputs' singular value decomposition X = U S Vᵀ the prediction for x is
    ȳ + Yᵀ U (S / (S² + λ)) Vᵀ (x − x̄); the ridge λ has the smallest leave-one-out error, which ridge regression gives in
    closed form: (y − ŷ) / (1 − h_ii) with the hat matrix H. Another grid's inputs are brought to the training grid and
    the outputs back, by linear interpolation.
    """

    def fit(self, inputs: Tensor, outputs: Tensor) -> None:
        """Learn the map from ``(count, channels, *grid)`` inputs to outputs."""
        self.grid = tuple(inputs.shape[2:])
        self.shape = tuple(outputs.shape[1:])
        x, y = inputs.flatten(1).double(), outputs.flatten(1).double()
        self.input_mean, self.output_mean = x.mean(dim=0), y.mean(dim=0)
        left, values, right = torch.linalg.svd(x - self.input_mean, full_matrices=False)
        kept = values > 1e-6 * values[0]
        left, values, right = left[:, kept], values[kept], right[kept]
        centred = y - self.output_mean
        weights = left.T @ centred  # (rank, features out)
        best = (math.inf, 1.0)
        for multiple in _RIDGES:
            ridge = float(values[0] ** 2) * multiple
            shrunk = values**2 / (values**2 + ridge)
            leverage = left.square() @ shrunk + 1 / len(x)  # the mean is fitted, too
            residual = centred - left @ (shrunk[:, None] * weights)
            error = float((residual / (1 - leverage).clamp_min(1e-9)[:, None]).square().mean())
            best = min(best, (error, ridge))
        self.left_out_error, self.ridge = best
        self.components = right
        self.weights = (values / (values**2 + self.ridge))[:, None] * weights

    def predict(self, inputs: Tensor) -> Tensor:
        """Apply it to inputs on any grid."""
        x = resample(inputs, self.grid).flatten(1).double()
        y = self.output_mean + (x - self.input_mean) @ self.components.T @ self.weights
        return resample(y.reshape(-1, *self.shape).to(inputs.dtype), tuple(inputs.shape[2:]))


@baselines.entry("mean-field", "the mean training output: the trivial method")
def mean_field(trial: Trial) -> MeanField:
    """Takes no randomness."""
    return MeanField()


@baselines.entry("pca-linear", "principal components and ridge regression")
def pca_linear(trial: Trial) -> PcaLinear:
    """Takes no randomness."""
    return PcaLinear()


@baselines.entry("unet", "a small U-Net (Ronneberger et al., 2015): what people use today", space=RATES)
def unet(trial: Trial, learning_rate: float = 4e-3) -> GridRegressor:
    """Two levels, 16 channels."""
    return GridRegressor(unet_network, trial.generator("weights", "cpu"), learning_rate=learning_rate)


@baselines.entry("fno", "a Fourier neural operator (Li et al., 2021), by neuraloperator", space=RATES, extra=LIBRARY)
def fno(trial: Trial, learning_rate: float = 1e-2) -> GridRegressor:
    """Four layers of 10 channels."""
    return GridRegressor(fno_network, trial.generator("weights", "cpu"), learning_rate=learning_rate)


@baselines.entry(
    "tfno",
    "a tensorised Fourier neural operator (Kossaifi et al., 2023), by neuraloperator",
    space=RATES,
    extra=LIBRARY,
)
def tfno(trial: Trial, learning_rate: float = 1e-2) -> GridRegressor:
    """Four layers of 16 channels, a tenth of the weights."""
    return GridRegressor(tfno_network, trial.generator("weights", "cpu"), learning_rate=learning_rate)


def unet_network(in_channels: int, out_channels: int, grid: tuple[int, ...]) -> nn.Module:
    """Build the U-Net for a grid, about 120,000 parameters in two dimensions."""
    return UNet(in_channels, out_channels, len(grid), width=16, levels=2)


def fno_network(in_channels: int, out_channels: int, grid: tuple[int, ...]) -> nn.Module:
    """Build a Fourier neural operator (Li et al., 2021) as the library neuraloperator has it."""
    from neuralop.models import FNO

    network: nn.Module = FNO(
        n_modes=_modes(grid), in_channels=in_channels, out_channels=out_channels, hidden_channels=10, n_layers=4
    )
    return network


def tfno_network(in_channels: int, out_channels: int, grid: tuple[int, ...]) -> nn.Module:
    """Build a Fourier neural operator whose spectral weights are Tucker tensors (Kossaifi et al., 2023), likewise."""
    from neuralop.models import TFNO

    network: nn.Module = TFNO(
        n_modes=_modes(grid),
        in_channels=in_channels,
        out_channels=out_channels,
        hidden_channels=16,
        n_layers=4,
        factorization="tucker",
        rank=0.1,
    )
    return network


def _modes(grid: tuple[int, ...]) -> tuple[int, ...]:
    # No more than the grid has, or there would be weights that no training sample reaches.
    return tuple(min(24, nodes - 1) for nodes in grid)


def resample(values: Tensor, grid: tuple[int, ...]) -> Tensor:
    """Bring functions on a grid to another grid of the same domain, by linear interpolation.

    Which nodes lie where is seen from the two sizes along each axis: with n − 1 intervals that divide the other's both
    ends are nodes; with n that divide the other's the axis is periodic, or held without its last end; where both or
    neither hold, both ends are taken for nodes.

    Args:
        values: Shape ``(count, channels, *grid)`` in one or two dimensions.
        grid: The other grid.

    Example:
        >>> resample(torch.tensor([[[0.0, 2.0, 4.0]]]), (5,)).tolist()
        [[[0.0, 1.0, 2.0, 3.0, 4.0]]]
        >>> resample(torch.tensor([[[0.0, 3.0, 6.0]]]), (6,)).tolist()
        [[[0.0, 1.5, 3.0, 4.5, 6.0, 3.0]]]
    """
    for axis, (held, wanted) in enumerate(zip(values.shape[2:], grid, strict=True), start=2):
        if held == wanted:
            continue
        small, large = sorted((held, wanted))
        ends = (large - 1) % max(small - 1, 1) == 0 or large % small != 0
        places = torch.arange(wanted, device=values.device, dtype=torch.float64)
        places = places * ((held - 1) / max(wanted - 1, 1) if ends else held / wanted)
        before = places.floor().long().clamp_max(held - 1)
        after = (before + 1).clamp_max(held - 1) if ends else (before + 1) % held
        share = (places - before).to(values.dtype).reshape([-1] + [1] * (values.ndim - axis - 1))
        values = values.index_select(axis, before) * (1 - share) + values.index_select(axis, after) * share
    return values
