"""Paths between noise and data, x_t = a_t x₁ + m_t x₀, and the exact conversions between what nets predict along them."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Prediction = Literal["data", "noise", "score", "velocity", "v"]


class GaussianPath:
    """x_t = a_t x₁ + m_t x₀ for data x₁ and standard normal x₀, from noise at t = 0 to data at t = 1.

    A path says its coefficients and their rates; the rest follows. One predicted quantity gives all others: the data E[x₁|x_t],
    the noise E[x₀|x_t], the score −E[x₀|x_t]/m, the velocity ȧE[x₁|x_t] + ṁE[x₀|x_t] of the probability flow, and
    v = aE[x₀|x_t] − mE[x₁|x_t] (Salimans, Ho 2022).

    Source: Lipman et al. 2024, "Flow Matching Guide and Code", Sec. 4.8 (Table of conversions).

    Example:
        >>> import torch
        >>> from replica.generative import StraightPath
        >>> time, clean, noise = torch.tensor([0.25]), torch.tensor([[2.0]]), torch.tensor([[-1.0]])
        >>> noisy = StraightPath().perturb(clean, noise, time)
        >>> StraightPath().convert(clean, noisy, time, given="data", wanted="velocity")  # the line from noise to data
        tensor([[3.]])
    """

    def coefficients(self, time: Float[Tensor, " batch"]) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]:
        """a_t and m_t, how much there is of data and of noise."""
        raise NotImplementedError

    def rates(self, time: Float[Tensor, " batch"]) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]:
        """Their derivatives in t."""
        raise NotImplementedError

    def noise_level(self, time: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """σ_t = m_t / a_t, the noise beside data of unit size; infinite where there is no data."""
        signal, noise = self.coefficients(time)
        return noise / signal

    def perturb(
        self, clean: Float[Tensor, "batch *shape"], noise: Float[Tensor, "batch *shape"], time: Float[Tensor, " batch"]
    ) -> Float[Tensor, "batch *shape"]:
        """x_t of each row at its own time."""
        a, m = (along(value, clean) for value in self.coefficients(time))
        return a * clean + m * noise

    def convert(
        self,
        value: Float[Tensor, "batch *shape"],
        noisy: Float[Tensor, "batch *shape"],
        time: Float[Tensor, " batch"],
        *,
        given: Prediction,
        wanted: Prediction,
    ) -> Float[Tensor, "batch *shape"]:
        """What is wanted, from what is given, at x_t.

        Args:
            value: the given prediction, shape (batch, *shape).
            noisy: x_t.
            time: t of each row.
            given: what ``value`` is.
            wanted: what is returned.

        Raises:
            ValueError: if either is none of the five.
        """
        for name, kind in (("given", given), ("wanted", wanted)):
            if kind not in ("data", "noise", "score", "velocity", "v"):
                raise ValueError(f"{name}: got {kind!r}, want 'data', 'noise', 'score', 'velocity' or 'v'")
        a, m = (along(each, noisy) for each in self.coefficients(time))
        if given in ("noise", "score"):
            noise = value if given == "noise" else -m * value
            clean = None if wanted in ("noise", "score") else (noisy - m * noise) / a
        else:
            clean = value
            if given == "v":
                clean = (a * noisy - m * value) / (a.square() + m.square())
            elif given == "velocity":
                da, dm = (along(each, noisy) for each in self.rates(time))
                clean = (m * value - dm * noisy) / (m * da - dm * a)
            noise = value if wanted == "data" else (noisy - a * clean) / m  # not wanted: no division by m = 0
        if clean is None or wanted in ("noise", "score"):
            return noise if wanted == "noise" else -noise / m
        if wanted == "data":
            return clean
        if wanted == "v":
            return a * noise - m * clean
        da, dm = (along(each, noisy) for each in self.rates(time))
        return da * clean + dm * noise


class StraightPath(GaussianPath):
    """a = t, m = 1 − t: conditional optimal transport, rectified flow (Lipman et al. 2023, eq. 20; Liu et al. 2023)."""

    def coefficients(self, time: Tensor) -> tuple[Tensor, Tensor]:
        """Both at each time."""
        return time, 1 - time

    def rates(self, time: Tensor) -> tuple[Tensor, Tensor]:
        """Their derivatives."""
        return torch.ones_like(time), -torch.ones_like(time)


class CosinePath(GaussianPath):
    """a = sin(πt/2), m = cos(πt/2): variance preserved, at constant angular speed (Nichol, Dhariwal 2021, without offset)."""

    def coefficients(self, time: Tensor) -> tuple[Tensor, Tensor]:
        """Both at each time."""
        return (time * math.pi / 2).sin(), (time * math.pi / 2).cos()

    def rates(self, time: Tensor) -> tuple[Tensor, Tensor]:
        """Their derivatives."""
        signal, noise = self.coefficients(time)
        return noise * math.pi / 2, -signal * math.pi / 2


@dataclass(frozen=True)
class VariancePreservingPath(GaussianPath):
    """a² + m² = 1 with ln a = −¼s²(β₁ − β₀) − ½sβ₀ at s = 1 − t: a diffusion of linearly growing rate (Song et al. 2021, eq. 33).

    Args:
        start: β₀, the rate at the data.
        end: β₁, the rate at the noise.
    """

    start: float = 0.1
    end: float = 20.0

    def coefficients(self, time: Tensor) -> tuple[Tensor, Tensor]:
        """Both at each time."""
        log_signal = self._log_signal(time)
        return log_signal.exp(), (-torch.expm1(2 * log_signal)).clamp_min(0).sqrt()

    def rates(self, time: Tensor) -> tuple[Tensor, Tensor]:
        """Their derivatives."""
        signal, noise = self.coefficients(time)
        rate = signal * (self.start + (1 - time) * (self.end - self.start)) / 2
        return rate, -signal * rate / noise

    def _log_signal(self, time: Tensor) -> Tensor:
        left = 1 - time
        return -left.square() * (self.end - self.start) / 4 - left * self.start / 2


@dataclass(frozen=True)
class VarianceExplodingPath(GaussianPath):
    """a = 1, m = σ with σ^(1/ρ) falling evenly from the largest to the smallest (Karras et al. 2022, eq. 5).

    Args:
        smallest: σ at t = 1; it may be 0.
        largest: σ at t = 0.
        rho: ρ, 7 as usual: steps grow with the noise.
    """

    smallest: float = 0.002
    largest: float = 80.0
    rho: float = 7.0

    def coefficients(self, time: Tensor) -> tuple[Tensor, Tensor]:
        """Both at each time."""
        noise: Tensor = self._root(time) ** self.rho
        return torch.ones_like(time), noise

    def rates(self, time: Tensor) -> tuple[Tensor, Tensor]:
        """Their derivatives."""
        low, high = self.smallest ** (1 / self.rho), self.largest ** (1 / self.rho)
        return torch.zeros_like(time), self.rho * self._root(time) ** (self.rho - 1) * (low - high)

    def _root(self, time: Tensor) -> Tensor:
        low, high = self.smallest ** (1 / self.rho), self.largest ** (1 / self.rho)
        root: Tensor = high + time * (low - high)
        return root


def along(value: Tensor, rows: Tensor) -> Tensor:
    """A number a row, or one number, shaped to multiply rows of any shape."""
    return value.to(rows.dtype).reshape(-1, *[1] * (rows.dim() - 1)) if value.dim() else value.to(rows.dtype)
