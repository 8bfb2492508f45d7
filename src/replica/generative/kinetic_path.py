"""The Gaussian path of least kinetic energy between noise and a data set, from how well its points are told apart in noise."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from .finite_set_denoiser import FiniteSetDenoiser
from .gaussian_paths import GaussianPath


@dataclass(frozen=True)
class DataSeparation:
    """λ(s) = E‖E[x₁|x_t]‖²/d over s = a/m = tan θ: 0 where noise hides which point it was, 1 where none is in doubt.

    Attributes:
        angles: θ, rising from 0 to π/2.
        unexplained: 1 − λ, the posterior's mean variance a coordinate, between 0 and cos²θ.
    """

    angles: Float[Tensor, " angles"]
    unexplained: Float[Tensor, " angles"]

    def separation(self) -> Float[Tensor, " angles"]:
        """The function λ of each angle."""
        return 1 - self.unexplained

    def metric(self) -> Float[Tensor, " angles"]:
        """g, by which turning costs r²g²θ̇² of kinetic energy: √(1 − (1 − λ)/cos²θ)."""
        return (1 - self.left_of_linear()).sqrt()

    def left_of_linear(self) -> Float[Tensor, " angles"]:
        """What the best estimate leaves over what the best linear one does, (1 − λ)/cos²θ: 1 for normal data."""
        share = self.unexplained[:-1] / self.angles[:-1].cos().square()
        return torch.cat([share, share[-1:]]).clamp(0, 1)  # without noise both leave nothing: the limit

    def least_energy(self) -> float:
        """The kinetic energy of the best path, 4 sin²(ψ/2) with ψ = ∫g dθ."""
        turned = torch.trapezoid(self.metric(), self.angles)
        return 4 * math.sin(float(turned) / 2) ** 2


def data_separation(
    points: Float[Tensor, "count *shape"],
    *,
    draws: int = 512,
    angles: int = 65,
    generator: torch.Generator | None = None,
) -> DataSeparation:
    """λ of a finite data set, by the exact posterior variance of its points at noisy draws.

    The mean posterior variance is what λ lacks to 1: no difference of large numbers is taken, as E‖E[x₁|x_t]‖² would need. Points
    are centred and scaled to E‖x‖² = d, as the theory has them.

    Args:
        points: the data set.
        draws: noisy points an angle, the same points and noise at all angles.
        angles: of θ, even between 0 and π/2.
        generator: source of draws.

    Raises:
        ValueError: if there are fewer than two different points, or a number is out of range.

    Source: Shaul et al. 2023, Sec. 4 (the data separation function); estimate and normalisation are ours.

    Example:
        >>> import torch
        >>> from replica.generative import data_separation
        >>> corners = torch.eye(64)
        >>> found = data_separation(corners, generator=torch.Generator().manual_seed(0))
        >>> found.separation()[[0, 16, 32]].round(decimals=1)  # told apart where there is as much data as noise
        tensor([0.0000, 0.7000, 1.0000])
    """
    if draws < 2 or angles < 3:
        raise ValueError(f"draws, angles: got {draws} and {angles}, want 2 and 3 or more")
    data = normalised(points)
    pick = torch.randint(len(data), (draws,), generator=generator, device=data.device)
    noise = torch.randn(draws, data.shape[1], generator=generator, device=data.device, dtype=data.dtype)
    denoiser = FiniteSetDenoiser(data)
    theta = torch.linspace(0, math.pi / 2, angles, dtype=data.dtype, device=data.device)
    known = []
    for angle in theta[:-1]:
        a, m = angle.sin(), angle.cos()
        known.append(denoiser.posterior(a * data[pick] + m * noise, a, m).variance.mean() / data.shape[1])
    unexplained = torch.stack([*known, torch.zeros_like(known[0])])
    # No estimate of a variance is above the best linear one's, cos²θ.
    return DataSeparation(theta, torch.minimum(unexplained, theta.cos().square()))


def normalised(points: Float[Tensor, "count *shape"]) -> Float[Tensor, "count dim"]:
    """Centred, and scaled to a mean square of 1 a coordinate."""
    flat = points.flatten(1)
    flat = flat - flat.mean(0)
    size = flat.square().mean().sqrt()
    if not len(points) > 1 or not float(size) > 0:
        raise ValueError(f"points: got {len(points)} without a difference, want two or more that differ")
    return flat / size


class KineticOptimalPath(GaussianPath):
    """The path whose probability flow has the least kinetic energy E∫‖u_t‖²dt for a data set.

    With a = r sin θ and m = r cos θ the energy is ∫(ṙ² + r²g(θ)²θ̇²)dt: ψ = ∫g dθ makes the plane flat, and the best path is the
    chord from (r, ψ) = (1, 0) to (1, ψ(π/2)) at constant speed. For λ = 1 that is the straight path, a = t and m = 1 − t.

    Args:
        separation: of the data set.

    Source: Shaul et al. 2023, Sec. 5; the flat plane is our reading of its one-dimensional ODE.

    Example:
        >>> import torch
        >>> from replica.generative import DataSeparation, KineticOptimalPath
        >>> angles = torch.linspace(0, torch.pi / 2, 200)
        >>> path = KineticOptimalPath(DataSeparation(angles, torch.zeros(200)))
        >>> [value.round(decimals=2) for value in path.coefficients(torch.tensor([0.25, 0.75]))]
        [tensor([0.2500, 0.7500]), tensor([0.7500, 0.2500])]
    """

    def __init__(self, separation: DataSeparation) -> None:
        metric, angles = separation.metric().double(), separation.angles.double()
        turned = torch.cat([metric.new_zeros(1), torch.cumulative_trapezoid(metric, angles)])
        # Where turning is free the angle is anyone's: it gets an instant.
        turned = turned + 1e-6 * angles
        self.turn = float(turned[-1])
        fine = torch.linspace(0, 1, 4001, dtype=torch.float64, device=angles.device)
        self.angles = _interpolated(self._turned(fine), turned, angles)[0]
        self.times = fine

    def coefficients(self, time: Tensor) -> tuple[Tensor, Tensor]:
        """Both at each time."""
        radius, angle, *_ = self._polar(time)
        return (radius * angle.sin()).to(time.dtype), (radius * angle.cos()).to(time.dtype)

    def rates(self, time: Tensor) -> tuple[Tensor, Tensor]:
        """Their derivatives."""
        radius, angle, outward, turning = self._polar(time)
        rate_a = outward * angle.sin() + radius * turning * angle.cos()
        rate_m = outward * angle.cos() - radius * turning * angle.sin()
        return rate_a.to(time.dtype), rate_m.to(time.dtype)

    def _turned(self, time: Tensor) -> Tensor:
        return torch.atan2(time * math.sin(self.turn), 1 - time + time * math.cos(self.turn))

    def _polar(self, time: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """r, θ and their rates."""
        t = time.double()
        across, along = t * math.sin(self.turn), 1 - t + t * math.cos(self.turn)
        radius = (across.square() + along.square()).sqrt()
        outward = (across * math.sin(self.turn) + along * (math.cos(self.turn) - 1)) / radius
        angle, turning = _interpolated(t, self.times, self.angles)
        return radius, angle, outward, turning


def kinetic_energy(path: GaussianPath, separation: DataSeparation, *, steps: int = 4000) -> float:
    """E∫‖u_t‖²dt a coordinate: ∫ȧ² + ṁ² − (1 − λ)(ȧ − ṁa/m)² dt, by the midpoint rule.

    Example:
        >>> import torch
        >>> from replica.generative import CosinePath, DataSeparation, kinetic_energy
        >>> angles = torch.linspace(0, torch.pi / 2, 200)
        >>> normal_data = DataSeparation(angles, angles.cos().square())
        >>> abs(kinetic_energy(CosinePath(), normal_data)) < 1e-4  # nothing has to move
        True
    """
    angles, share = separation.angles.double(), separation.left_of_linear().double()
    time = (torch.arange(steps, dtype=torch.float64, device=angles.device) + 0.5) / steps
    (a, m), (da, dm) = path.coefficients(time), path.rates(time)
    theta = torch.atan2(a, m)
    # (1 − λ)(ȧ − ṁa/m)² is (1 − λ)/cos²θ times (rθ̇)², which stays finite where m = 0.
    turning = (da * m - dm * a) / (a.square() + m.square()).sqrt()
    return float((da.square() + dm.square() - _interpolated(theta, angles, share)[0] * turning.square()).mean())


def _interpolated(at: Tensor, places: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Values and slopes of the broken line through them."""
    index = torch.searchsorted(places, at.contiguous()).clamp(1, len(places) - 1)
    low, high = places[index - 1], places[index]
    slope = (values[index] - values[index - 1]) / (high - low)
    return values[index - 1] + (at - low) * slope, slope
