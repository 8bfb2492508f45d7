"""The exact denoiser of a Gaussian mixture, with its law at every time: a generator about which everything is known."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .finite_set_denoiser import Posterior
from .gaussian_paths import along


class MixtureDenoiser(nn.Module):
    """E[x₁|x_t] for x_t = a x₁ + m x₀ and x₁ from Σ_k w_k N(μ_k, Σ_k): each component shrinks by its own Wiener filter.

    Component k of x_t is N(aμ_k, a²Σ_k + m²), and E[x₁|x_t, k] = μ_k + aΣ_k(a²Σ_k + m²)⁻¹(x_t − aμ_k), in the eigenbasis of Σ_k.

    Args:
        means: μ, shape (components, dim).
        covariances: Σ, shape (components, dim, dim); or deviations of round components, shape (components,) or one number.
        weights: w, positive; they are brought to sum 1. Default: equal.

    Raises:
        ValueError: if shapes do not fit, a weight or deviation is negative, or a covariance is not positive semidefinite.

    Example:
        >>> import torch
        >>> from replica.generative import MixtureDenoiser
        >>> denoiser = MixtureDenoiser(torch.tensor([[0.0, 0.0]]), 2.0)
        >>> denoiser(torch.tensor([[5.0, -5.0]]), torch.tensor(1.0), torch.tensor(1.0))  # by 4 / (4 + 1)
        tensor([[ 4., -4.]])
    """

    means: Tensor
    log_weights: Tensor
    variances: Tensor
    bases: Tensor

    def __init__(
        self,
        means: Float[Tensor, "components dim"],
        covariances: Tensor | float,
        weights: Float[Tensor, " components"] | None = None,
    ) -> None:
        super().__init__()
        if means.dim() != 2 or not means.numel():
            raise ValueError(f"means: got shape {tuple(means.shape)}, want (components, dim)")
        count, dim = means.shape
        covariances = torch.as_tensor(covariances).to(means)
        if covariances.shape == (count, dim, dim):
            variances, bases = torch.linalg.eigh(covariances)
            if bool((variances < -1e-6 * variances.abs().amax()).any()):
                raise ValueError("covariances: got one with a negative eigenvalue, want them positive semidefinite")
        elif covariances.shape in ((), (count,)):
            if bool((covariances < 0).any()):
                raise ValueError("covariances: got a negative deviation, want 0 or more")
            variances = covariances.square().expand(count)[:, None].expand(count, dim)
            bases = torch.eye(dim).to(means).expand(count, dim, dim)
        else:
            shape = tuple(covariances.shape)
            raise ValueError(f"covariances: got shape {shape}, want ({count}, {dim}, {dim}), ({count},) or one number")
        weights = torch.ones(count).to(means) if weights is None else weights.to(means)
        if weights.shape != (count,) or not bool((weights > 0).all()):
            raise ValueError(f"weights: got {weights.tolist()}, want {count} positive numbers")
        self.register_buffer("means", means)
        self.register_buffer("log_weights", (weights / weights.sum()).log())
        self.register_buffer("variances", variances.clamp_min(0).contiguous())
        self.register_buffer("bases", bases.contiguous())

    def forward(self, noisy: Float[Tensor, "batch dim"], signal: Tensor, noise: Tensor) -> Float[Tensor, "batch dim"]:
        """E[x₁|x_t]; ``signal`` and ``noise`` are a and m, one number or one a row."""
        return self.posterior(noisy, signal, noise).mean

    def posterior(self, noisy: Float[Tensor, "batch dim"], signal: Tensor, noise: Tensor) -> Posterior:
        """Mean, variance summed over coordinates, and ln p_t(x_t)."""
        if noisy.dim() != 2 or noisy.shape[1] != self.means.shape[1]:
            raise ValueError(f"noisy: got shape {tuple(noisy.shape)}, want (batch, {self.means.shape[1]})")
        a, m = (
            along(torch.as_tensor(value).to(noisy), noisy).expand(len(noisy), 1)[..., None] for value in (signal, noise)
        )
        off = torch.einsum(
            "bkd,kde->bke", noisy[:, None] - a * self.means, self.bases
        )  # in each component's eigenbasis
        total = a.square() * self.variances + m.square()
        log_normal = -(off.square() / total + (2 * math.pi * total).log()).sum(-1) / 2
        joint = self.log_weights + log_normal
        chances = torch.softmax(joint, 1)
        means = self.means + torch.einsum("bke,kde->bkd", a * self.variances / total * off, self.bases)
        mean = (chances[..., None] * means).sum(1)
        within = (self.variances * m.square() / total).sum(-1)
        between = (means - mean[:, None]).square().sum(-1)
        return Posterior(mean, (chances * (within + between)).sum(1), joint.logsumexp(1))

    def log_density(self, points: Float[Tensor, "batch dim"]) -> Float[Tensor, " batch"]:
        """Log-density of data; components need variance in all directions."""
        one = torch.ones((), dtype=points.dtype, device=points.device)
        return self.posterior(points, one, 0 * one).log_density

    def sample(self, count: int, *, generator: torch.Generator | None = None) -> Float[Tensor, "count dim"]:
        """Draws of data."""
        component = torch.multinomial(self.log_weights.exp(), count, replacement=True, generator=generator)
        normal = torch.randn(
            count, self.means.shape[1], generator=generator, device=self.means.device, dtype=self.means.dtype
        )
        scaled = normal * self.variances[component].sqrt()
        return self.means[component] + torch.einsum("be,bde->bd", scaled, self.bases[component])
