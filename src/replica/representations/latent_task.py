"""Classification tasks whose input geometry and label geometry are set apart: two binary latents and their product.

Alleman, Lindsey & Fusi 2024.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

_LATENTS = ("a", "b", "ab")


@dataclass(frozen=True)
class LatentTask:
    """A task made by `latent_task`.

    Attributes:
        means: mean input in each of the four conditions, shape (4, dim). Conditions are (a, b) = (−, −), (−, +), (+, −),
            (+, +).
        labels: whether each target is on in each condition, shape (4, targets).
        noise: standard deviation of the noise on each input.
    """

    means: Float[Tensor, "conditions dim"]
    labels: Bool[Tensor, "conditions targets"]
    noise: float

    @property
    def input_kernel(self) -> Float[Tensor, "conditions conditions"]:
        """Inner products of the mean inputs, centred."""
        centred = self.means - self.means.mean(0)
        return centred @ centred.T

    @property
    def target_kernel(self) -> Float[Tensor, "conditions conditions"]:
        """Inner products of the labels as −1 and 1, centred."""
        signs = 2.0 * self.labels.to(self.means) - 1
        centred = signs - signs.mean(0)
        return centred @ centred.T

    def draw(
        self, count: int, generator: torch.Generator
    ) -> tuple[Float[Tensor, "count dim"], Bool[Tensor, "count targets"], Int[Tensor, " count"]]:
        """Noisy inputs of random conditions, their labels, and the conditions."""
        device = self.means.device
        conditions = torch.randint(4, (count,), generator=generator, device=device)
        spread = torch.randn(count, self.means.shape[1], generator=generator, device=device, dtype=self.means.dtype)
        return self.means[conditions] + self.noise * spread, self.labels[conditions], conditions


def latent_task(
    separability: float,
    targets: Sequence[str],
    *,
    dim: int = 50,
    noise: float = 0.1,
    generator: torch.Generator | None = None,
    dtype: torch.dtype | None = None,
) -> LatentTask:
    """Inputs x = a u + b v + δ a b w + noise of two binary latents a, b = ±1, and labels that are some of a, b and a b.

    u, v and w are random orthonormal directions. At separability δ = 0 the inputs are the corners of a square, and a b (XOR)
    can be told by no plane; at 1 they are the corners of a tetrahedron, with no structure; the greater δ, the more the
    inputs are like the product alone. The centred alignment of input and target kernels is
    Σ_targets s² / (√targets √(2 + δ⁴)), with s² of 1 for a and b and δ² for their product.

    Args:
        separability: δ, 0 or more.
        targets: one to three different ones of ``"a"``, ``"b"`` and ``"ab"``.
        dim: of the inputs, 3 at least.
        noise: standard deviation of each input's noise.
        generator: source of the directions; the task lives on its device.
        dtype: floating-point type.

    Raises:
        ValueError: if a number is out of range or a target unknown.

    Source: Alleman et al. 2024, tasks with two latents, and the authors' code (a "nudge" of the corners along the label).

    Example:
        >>> import torch
        >>> from replica.kernels import kernel_alignment
        >>> from replica.representations import latent_task
        >>> task = latent_task(1.0, ["ab"], generator=torch.Generator().manual_seed(0))
        >>> kernel_alignment(task.input_kernel, task.target_kernel).round(decimals=3)
        tensor(0.5770)
        >>> inputs, labels, conditions = task.draw(8, torch.Generator().manual_seed(1))
        >>> inputs.shape, labels.shape
        (torch.Size([8, 50]), torch.Size([8, 1]))
    """
    if not separability >= 0:
        raise ValueError(f"separability: got {separability}, want 0 or more")
    if not targets or len(set(targets)) < len(targets) or not set(targets) <= set(_LATENTS):
        raise ValueError(f"targets: got {list(targets)}, want different ones of {list(_LATENTS)}")
    if dim < 3:
        raise ValueError(f"dim: got {dim}, want 3 or more")
    if not noise >= 0:
        raise ValueError(f"noise: got {noise}, want 0 or more")
    device = None if generator is None else generator.device
    drawn = torch.randn(dim, 3, generator=generator, device=device, dtype=dtype)
    directions = torch.linalg.qr(drawn).Q.T
    first = torch.tensor([-1.0, -1.0, 1.0, 1.0]).to(directions)
    second = torch.tensor([-1.0, 1.0, -1.0, 1.0]).to(directions)
    latents = torch.stack([first, second, first * second], 1)
    means = latents * torch.tensor([1.0, 1.0, separability]).to(directions) @ directions
    chosen = [_LATENTS.index(target) for target in targets]
    return LatentTask(means, latents[:, chosen] > 0, noise)
