"""Denoisers that are trained: any net behind Karras' preconditioning, a small one with noise and condition, and its loss."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .gaussian_paths import along


class PreconditionedDenoiser(nn.Module):
    """D(x_t) = c_skip x_t + c_out F(c_in x_t, ln σ/4), with σ = m/a, so that what F sees and should give has unit variance.

    For x_t = a x₁ + m x₀ and data of deviation s, with q² = m² + a²s²: c_in = 1/q, c_skip = a s²/q², c_out = m s/q. These are
    Karras' coefficients at x_t/a, in a form that stands where there is no data left (a = 0).

    Args:
        net: F, called as ``net(scaled, level)`` or ``net(scaled, level, condition)`` with ``level`` of shape (batch,).
        data_scale: s, the deviation of the data's coordinates.

    Raises:
        ValueError: if the scale is not positive.

    Source: Karras et al. 2022, Table 1 and eqs. 7 and 8.

    Example:
        >>> import torch
        >>> from replica.generative import DenoisingMLP, PreconditionedDenoiser
        >>> denoiser = PreconditionedDenoiser(DenoisingMLP(2, generator=torch.Generator().manual_seed(0)))
        >>> denoiser(torch.ones(3, 2), torch.tensor(1.0), torch.tensor(0.0))  # nothing to take away
        tensor([[1., 1.],
                [1., 1.],
                [1., 1.]], grad_fn=<AddBackward0>)
    """

    def __init__(self, net: nn.Module, *, data_scale: float = 1.0) -> None:
        super().__init__()
        if not data_scale > 0:
            raise ValueError(f"data_scale: got {data_scale}, want above 0")
        self.net, self.data_scale = net, data_scale

    def forward(
        self, noisy: Float[Tensor, "batch *shape"], signal: Tensor, noise: Tensor, condition: Tensor | None = None
    ) -> Float[Tensor, "batch *shape"]:
        """E[x₁|x_t] as the net has it; ``signal`` and ``noise`` are a and m, one number or one a row."""
        a, m = (torch.as_tensor(value).to(noisy).expand(len(noisy)) for value in (signal, noise))
        size = (m.square() + (a * self.data_scale).square()).sqrt()
        level = (m.clamp_min(1e-6).log() - a.clamp_min(1e-6).log()) / 4
        scaled = noisy / along(size, noisy)
        inner = self.net(scaled, level) if condition is None else self.net(scaled, level, condition)
        skip, out = a * self.data_scale**2 / size, m * self.data_scale / size
        clean: Tensor = along(skip, noisy) * scaled + along(out, noisy) * inner
        return clean


class DenoisingMLP(nn.Module):
    """A perceptron of residual blocks over vectors, told of the noise by Fourier features, and of a condition if there is one.

    Args:
        dim: coordinates of a sample.
        width: units.
        depth: residual blocks.
        condition_dim: coordinates of a condition; 0 for none. Classes: one-hot.
        generator: source of the initial weights.
        device: where the net lives.
        dtype: its floating-point type.

    Example:
        >>> import torch
        >>> from replica.generative import DenoisingMLP
        >>> DenoisingMLP(4, condition_dim=3)(torch.zeros(5, 4), torch.zeros(5), torch.zeros(5, 3)).shape
        torch.Size([5, 4])
    """

    frequencies: Tensor
    first: nn.ModuleList
    second: nn.ModuleList

    def __init__(
        self,
        dim: int,
        *,
        width: int = 128,
        depth: int = 2,
        condition_dim: int = 0,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("dim", dim, 1),
            ("width", width, 1),
            ("depth", depth, 0),
            ("condition_dim", condition_dim, 0),
        ):
            if value < least:
                raise ValueError(f"{name}: got {value}, want {least} or more")
        if device is None:
            device = torch.get_default_device() if generator is None else generator.device

        def layer(inputs: int, outputs: int, gain: float = 2.0) -> nn.Linear:
            made: nn.Linear = nn.utils.skip_init(nn.Linear, inputs, outputs, device=device, dtype=dtype)
            nn.init.normal_(made.weight, 0.0, math.sqrt(gain / inputs), generator=generator)
            nn.init.zeros_(made.bias)
            return made

        self.condition_dim = condition_dim
        self.register_buffer("frequencies", 2.0 ** torch.arange(8, device=device, dtype=dtype) * (math.pi / 4))
        self.enter = layer(dim, width)
        self.told = layer(16 + condition_dim, width)
        self.first = nn.ModuleList(layer(width, width) for _ in range(depth))
        self.second = nn.ModuleList(layer(width, width, 0.5) for _ in range(depth))
        self.leave = layer(width, dim, 0.01)

    def forward(
        self, scaled: Float[Tensor, "batch dim"], level: Float[Tensor, " batch"], condition: Tensor | None = None
    ) -> Float[Tensor, "batch dim"]:
        """What is added to the skip; ``condition`` has shape (batch, condition_dim)."""
        angles = level[:, None] * self.frequencies
        known = [angles.sin(), angles.cos()]
        if self.condition_dim:
            if condition is None:
                condition = scaled.new_zeros(len(scaled), self.condition_dim)
            known.append(condition)
        told = self.told(torch.cat(known, 1))
        hidden = nn.functional.silu(self.enter(scaled) + told)
        for first, second in zip(self.first, self.second, strict=True):
            hidden = hidden + second(nn.functional.silu(first(hidden) + told))
        out: Tensor = self.leave(nn.functional.silu(hidden))
        return out


def denoising_loss(
    denoiser: nn.Module,
    clean: Float[Tensor, "batch *shape"],
    condition: Tensor | None = None,
    *,
    mean_level: float = -1.2,
    level_scale: float = 1.2,
    data_scale: float = 1.0,
    noise: Float[Tensor, "batch *shape"] | None = None,
    generator: torch.Generator | None = None,
) -> Float[Tensor, ""]:
    """Mean of (σ² + s²)/(σs)² times the squared error of D(x₁ + σε), with ln σ normal: every level weighs alike at the start.

    Args:
        denoiser: D, called as ``denoiser(noisy, signal, noise)`` and with the condition if one is given.
        clean: x₁.
        condition: of each row.
        mean_level: of ln σ.
        level_scale: deviation of ln σ.
        data_scale: s.
        noise: ε, if its law is another than the standard normal, such as that of `PoissonFlowKernel.noise`.
        generator: source of levels and noise.

    Source: Karras et al. 2022, Table 1 ("Training").

    Example:
        >>> import torch
        >>> from replica.generative import MixtureDenoiser, denoising_loss
        >>> exact = MixtureDenoiser(torch.zeros(1, 2), 1.0)
        >>> data = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0))
        >>> denoising_loss(exact, data, generator=torch.Generator().manual_seed(1)).round(decimals=1)  # 1: no net does better
        tensor(1.)
    """
    normal = torch.randn(len(clean), generator=generator, device=clean.device, dtype=clean.dtype)
    level = (mean_level + level_scale * normal).exp()
    if noise is None:
        noise = torch.randn(clean.shape, generator=generator, device=clean.device, dtype=clean.dtype)
    noisy = clean + along(level, clean) * noise
    known = () if condition is None else (condition,)
    error = denoiser(noisy, torch.ones_like(level), level, *known) - clean
    weight = (level.square() + data_scale**2) / (level * data_scale).square()
    loss: Tensor = (along(weight, clean) * error.square()).mean()
    return loss
