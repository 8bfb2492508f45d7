"""A score net for data near a subspace: a linear encoder, a small net in few dimensions, and the encoder back; and guidance."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .denoiser import DenoisingMLP, PreconditionedDenoiser
from .gaussian_paths import along
from .sampler import Denoiser


class SubspaceScore(nn.Module):
    """D(x_t) = V f(Vᵀx_t), with orthonormal V learned: the score of x₁ = Az splits into that of z and a pull to the span of A.

    With x₁ on the span of A, ∇ln p_t(x) = A ∇ln p_t^z(Aᵀx) − (I − AAᵀ)x/m², so only f, in ``intrinsic`` dimensions, has more than
    linear work to do. V is the orthonormal factor of a free matrix, by QR at each call.

    Args:
        dim: D, coordinates of a sample.
        intrinsic: d, dimensions of the subspace (the paper's d; f is its h or ψ).
        width: units of f.
        depth: residual blocks of f.
        condition_dim: coordinates of a condition; 0 for none.
        data_scale: the deviation of z's coordinates.
        generator: source of the initial weights and of V.
        device: where the net lives.
        dtype: its floating-point type.

    Raises:
        ValueError: if ``intrinsic`` is not from 1 to ``dim``.

    Source: Chen, Mei, Fan, Wang 2024, Sec. 4 (linear subspaces), after Chen et al. 2023, eqs. 5 and 8.

    Example:
        >>> import torch
        >>> from replica.generative import SubspaceScore
        >>> net = SubspaceScore(6, 2, generator=torch.Generator().manual_seed(0))
        >>> one = torch.tensor(1.0)
        >>> torch.linalg.matrix_rank(net(torch.randn(9, 6, generator=torch.Generator().manual_seed(1)), one, one))
        tensor(2)
    """

    def __init__(
        self,
        dim: int,
        intrinsic: int,
        *,
        width: int = 128,
        depth: int = 2,
        condition_dim: int = 0,
        data_scale: float = 1.0,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if not 1 <= intrinsic <= dim:
            raise ValueError(f"intrinsic: got {intrinsic}, want 1 to {dim}, the samples' dimension")
        net = DenoisingMLP(
            intrinsic,
            width=width,
            depth=depth,
            condition_dim=condition_dim,
            generator=generator,
            device=device,
            dtype=dtype,
        )
        self.inner = PreconditionedDenoiser(net, data_scale=data_scale)
        like = net.frequencies
        # Short columns: an optimiser's steps turn a free matrix the faster, and none of its directions stays outside the data's.
        drawn = torch.randn(dim, intrinsic, generator=generator, device=like.device, dtype=like.dtype)
        self.encoder = nn.Parameter(0.3 * drawn / dim**0.5)

    @property
    def basis(self) -> Float[Tensor, "dim intrinsic"]:
        """V: orthonormal columns that span the subspace."""
        kind = self.encoder.dtype
        wide = torch.promote_types(kind, torch.float32)  # there is no such factorisation in half precision
        basis: Tensor = torch.linalg.qr(self.encoder.to(wide))[0].to(kind)
        return basis

    def forward(
        self, noisy: Float[Tensor, "batch dim"], signal: Tensor, noise: Tensor, condition: Tensor | None = None
    ) -> Float[Tensor, "batch dim"]:
        """E[x₁|x_t] as the net has it; ``signal`` and ``noise`` are a and m, one number or one a row."""
        basis = self.basis
        clean: Tensor = self.inner(noisy @ basis, signal, noise, condition) @ basis.T
        return clean

    def score(
        self, noisy: Float[Tensor, "batch dim"], signal: Tensor, noise: Tensor, condition: Tensor | None = None
    ) -> Float[Tensor, "batch dim"]:
        """∇ln p_t(x_t) = (aE[x₁|x_t] − x_t)/m²: the pull to the subspace comes by itself."""
        a, m = (along(torch.as_tensor(value).to(noisy), noisy) for value in (signal, noise))
        return (a * self(noisy, signal, noise, condition) - noisy) / m.square()


def guided_score(denoiser: nn.Module, condition: Float[Tensor, "batch condition"], weight: float) -> Denoiser:
    """(1 + w)D(x|y) − wD(x), a denoiser for `sample_path`: guidance without a classifier, the same in scores as in data.

    Scores are linear in D with the same coefficients, so (1 + w)∇ln p(x|y) − w∇ln p(x). Without guidance (w = 0) and without
    condition (w = −1) the net is called once.

    Args:
        denoiser: called as ``denoiser(noisy, signal, noise, condition)``, and with None for no condition.
        condition: y, a row for each sample.
        weight: w, −1 or more.

    Raises:
        ValueError: if the weight is below −1.

    Source: Chen, Mei, Fan, Wang 2024, Sec. 3 (classifier-free guidance), after Ho, Salimans 2022, eq. 6.

    Example:
        >>> import torch
        >>> from replica.generative import guided_score
        >>> known = lambda x, a, m, y: x if y is None else y
        >>> one = torch.ones(1, 1)
        >>> guided_score(known, 3 * one, 2.0)(one, one, one)  # 3 · 3 − 2 · 1
        tensor([[7.]])
    """
    if weight < -1:
        raise ValueError(f"weight: got {weight}, want -1 or more")

    def guided(noisy: Tensor, signal: Tensor, noise: Tensor) -> Tensor:
        if weight == -1:
            plain: Tensor = denoiser(noisy, signal, noise, None)
            return plain
        towards: Tensor = denoiser(noisy, signal, noise, condition)
        return towards if weight == 0 else towards + weight * (towards - denoiser(noisy, signal, noise, None))

    return guided
