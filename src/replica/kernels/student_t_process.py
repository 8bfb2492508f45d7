"""Student-t processes: Gaussian processes whose scale is drawn from an inverse gamma distribution."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class StudentTProcess(NamedTuple):
    """The joint law of a Student-t process at n inputs, by the same operations as a Gaussian's.

    Attributes:
        degrees: ν above 0; infinity for a Gaussian process.
        mean: shape (n,).
        scale: Σ, positive definite, shape (n, n); the covariance is ν / (ν − 2) Σ where ν > 2.
    """

    degrees: float
    mean: Float[Tensor, " n"]
    scale: Float[Tensor, "n n"]

    def log_density(self, values: Float[Tensor, " n"]) -> Float[Tensor, ""]:
        """The log of t_ν(values; mean, Σ), in nats: the evidence where the values are observed."""
        factor = torch.linalg.cholesky(self.scale)
        distance = _squared_distance(factor, values - self.mean)
        half, count = self.degrees / 2, len(values)
        log_volume = factor.diagonal().log().sum()
        if math.isinf(self.degrees):
            return -log_volume - distance / 2 - count / 2 * math.log(2 * math.pi)
        constant = math.lgamma(half + count / 2) - math.lgamma(half) - count / 2 * math.log(math.pi * self.degrees)
        return constant - log_volume - (half + count / 2) * torch.log1p(distance / self.degrees)

    def condition(self, values: Float[Tensor, " k"]) -> "StudentTProcess":
        """The law at the last n − k inputs, given what is observed at the first k.

        The mean is the Gaussian process's; degrees of freedom rise to ν + k, and the Gaussian's covariance is multiplied by
        (ν + d) / (ν + k), d the squared distance of the values from their mean in units of their Σ.
        """
        known = len(values)
        factor = torch.linalg.cholesky(self.scale[:known, :known])
        offset = values - self.mean[:known]
        weights = torch.cholesky_solve(self.scale[:known, known:], factor)
        mean = self.mean[known:] + weights.T @ offset
        scale = self.scale[known:, known:] - self.scale[known:, :known] @ weights
        if math.isinf(self.degrees):
            return StudentTProcess(self.degrees, mean, scale)
        inflation = (self.degrees + _squared_distance(factor, offset)) / (self.degrees + known)
        return StudentTProcess(self.degrees + known, mean, inflation * scale)

    def sample(self, count: int, generator: torch.Generator | None = None) -> Float[Tensor, "count n"]:
        """Draw functions: Gaussian ones times √s, s inverse gamma of shape ν/2 and rate ν/2."""
        blank = self.scale.new_empty(count, len(self.mean))
        normal = blank.normal_(generator=generator) @ torch.linalg.cholesky(self.scale).T
        if math.isinf(self.degrees):
            return self.mean + normal
        gamma = torch._standard_gamma(self.scale.new_full((count, 1), self.degrees / 2), generator=generator)
        return self.mean + normal * (self.degrees / 2 / gamma).sqrt()


def student_t_process(
    covariance: Float[Tensor, "n n"], shape: float = 2.0, rate: float = 2.0, mean: Float[Tensor, " n"] | None = None
) -> StudentTProcess:
    """The limit of wide networks whose last layer has weights of variance s / width, s ~ InverseGamma(shape, rate).

    Given s the network is a Gaussian process of covariance s K, so without it a Student-t process of 2 shape degrees of
    freedom and Σ = rate / shape K.

    Args:
        covariance: K, such as `wide_kernel` of kind "nngp", with the noise of observations on the diagonal.
        shape: a above 0; infinity for the Gaussian process.
        rate: b above 0; of no effect where the shape is infinite.
        mean: default 0.

    Raises:
        ValueError: if a parameter is out of range or the covariance no square matrix.

    Source: Lee, Yun, Yang, Lee 2022, "Scale Mixtures of Neural Network Gaussian Processes", Theorem 3.1 and corollary.

    Example:
        >>> import torch
        >>> from replica.kernels import student_t_process
        >>> student_t_process(torch.eye(3)).condition(torch.tensor([3.0])).scale.diagonal()
        tensor([2.6000, 2.6000])
    """
    if not (shape > 0 and 0 < rate < math.inf):
        raise ValueError(f"shape, rate: got {shape} and {rate}, want numbers above 0, the rate finite")
    if covariance.ndim != 2 or covariance.shape[0] != covariance.shape[1]:
        raise ValueError(f"covariance: got shape {tuple(covariance.shape)}, want a square matrix")
    ratio = 1.0 if math.isinf(shape) else rate / shape
    return StudentTProcess(
        2 * shape, covariance.new_zeros(len(covariance)) if mean is None else mean, ratio * covariance
    )


def _squared_distance(factor: Tensor, offset: Tensor) -> Tensor:
    return torch.linalg.solve_triangular(factor, offset[:, None], upper=False).square().sum()
