"""Which network learns the heat equation? Data of one's own in a file, a network of one's own, the problem's baselines.

python examples/compare_operators.py [PICTURE.png]
"""

import sys

import numpy as np
import torch

import replica
from replica.training import GridRegressor


def write_heat_data(path, count=120, nodes=64):
    """Write random temperatures on a ring, and what is left of them a little later."""
    rng = np.random.default_rng(0)
    wavenumbers = 2 * np.pi * np.arange(nodes // 2 + 1)
    modes = rng.normal(size=(count, len(wavenumbers), 2)) @ [1, 1j] / (1 + wavenumbers**2 / 400)
    start = np.fft.irfft(modes, nodes) * nodes
    end = np.fft.irfft(modes * np.exp(-1e-3 * wavenumbers**2), nodes) * nodes
    np.savez(path, inputs=start, outputs=end, boundary="periodic")


class RingNetwork(torch.nn.Module):
    """Convolutions with long kernels that go around the ring."""

    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Conv1d(in_channels, 24, 15, padding="same", padding_mode="circular"),
            torch.nn.GELU(),
            torch.nn.Conv1d(24, out_channels, 15, padding="same", padding_mode="circular"),
        )

    def forward(self, inputs):
        """Map (batch, in_channels, nodes) to (batch, out_channels, nodes)."""
        return self.layers(inputs)


def ring_network():
    """Give a method with fit and predict: the problem's own training around this network."""
    return GridRegressor(lambda in_channels, out_channels, grid: RingNetwork(in_channels, out_channels))


if __name__ == "__main__":  # the workers import this file, too
    write_heat_data("heat.npz")
    comparison = replica.compare(
        "operator",
        data="heat.npz",
        entries={"ring-network": ring_network},
        only=["mean-field", "pca-linear", "unet"],  # leave this out to run every method
        train=90,
        test=30,
        epochs=10,
    )
    print(comparison.table[["error", "error_low", "error_high", "fine_error", "tied_with_best"]].round(3))
    print("Report:", comparison.report("replica-operator.html"))
    if len(sys.argv) > 1:
        comparison.figure().savefig(sys.argv[1], dpi=110)
