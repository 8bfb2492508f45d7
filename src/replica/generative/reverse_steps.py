"""Reverse diffusion one step at a time, the prediction apart from the draw: what a method needs that looks at several draws."""

from collections.abc import Callable
from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .gaussian_paths import GaussianPath


class ReverseSteps(Protocol):
    """From noise to data in `steps` random steps, each drawn from what a network predicts of the data."""

    steps: int

    def start(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Noise, shape (count, *shape)."""
        ...

    def denoise(self, state: Tensor, step: int) -> Tensor:
        """What the network says of the data behind the state before this step: its one call."""
        ...

    def draw(self, state: Tensor, predicted: Tensor, step: int, generator: torch.Generator | None = None) -> Tensor:
        """The state after this step."""
        ...


class AncestralSteps:
    """Steps of a Gaussian diffusion, x' = a'x̂₁ + √(m'² − η²)x̂₀ + ηε with η the posterior's deviation, as in DDPM.

    Args:
        denoiser: E[x₁|x_t], called as ``denoiser(noisy, signal, noise)``.
        path: its coefficients.
        shape: of one sample.
        times: rising from noise to data, one more than steps.

    Raises:
        ValueError: if times do not rise.

    Source: Song et al. 2021 (DDIM), eq. 12 with η of DDPM.

    Example:
        >>> import torch
        >>> from replica.generative import AncestralSteps, MixtureDenoiser, StraightPath
        >>> steps = AncestralSteps(MixtureDenoiser(torch.tensor([[3.0]]), 0.0), StraightPath(), (1,), torch.linspace(0, 1, 5))
        >>> x = steps.start(2)
        >>> for step in range(steps.steps):
        ...     x = steps.draw(x, steps.denoise(x, step), step)
        >>> x  # all data are 3
        tensor([[3.],
                [3.]])
    """

    def __init__(
        self,
        denoiser: Callable[[Tensor, Tensor, Tensor], Tensor],
        path: GaussianPath,
        shape: tuple[int, ...],
        times: Float[Tensor, " steps_and_one"],
    ) -> None:
        if times.dim() != 1 or len(times) < 2 or not bool((times.diff() > 0).all()):
            raise ValueError(f"times: got {times.tolist()[:5]} …, want two or more that rise")
        self.denoiser, self.shape, self.steps = denoiser, shape, len(times) - 1
        self.signals, self.levels = path.coefficients(times)

    def start(self, count: int, generator: torch.Generator | None = None) -> Float[Tensor, "count *shape"]:
        """Noise of the first time."""
        first = self.levels[0]
        normal = torch.randn((count, *self.shape), generator=generator, dtype=first.dtype, device=first.device)
        return first * normal

    def denoise(self, state: Float[Tensor, "batch *shape"], step: int) -> Float[Tensor, "batch *shape"]:
        """E[x₁|x_t]."""
        return self.denoiser(state, self.signals[step], self.levels[step])

    def draw(
        self, state: Tensor, predicted: Tensor, step: int, generator: torch.Generator | None = None
    ) -> Float[Tensor, "batch *shape"]:
        """The next x."""
        a, m, a_next, m_next = (each[at] for at in (step, step + 1) for each in (self.signals, self.levels))
        fresh = m_next * (1 - (a * m_next / (a_next * m)).square()).clamp_min(0).sqrt()
        left = (m_next.square() - fresh.square()).clamp_min(0).sqrt() / m
        normal = torch.randn(state.shape, generator=generator, dtype=state.dtype, device=state.device)
        return a_next * predicted + left * (state - a * predicted) + fresh * normal


class UnmaskingSteps:
    """Steps of a masked diffusion: of the masked places some, drawn at random, get letters by their predicted chances.

    With one place a step the law of the samples is that of the denoiser; with more, letters of a step do not know of each other.

    Args:
        denoiser: Chances of letters at each place, called with tokens in which ``letters`` is the mask.
        letters: how many there are.
        length: of a sequence.
        steps: all places are filled after so many, as evenly as can be. Default: one place a step.

    Raises:
        ValueError: if there are more steps than places, or less than one.

    Source: Sahoo et al. 2024 (MDLM), eq. 7, with the number of places a step fixed at its mean.

    Example:
        >>> import torch
        >>> from replica.generative import UnmaskingSteps
        >>> steps = UnmaskingSteps(lambda tokens: torch.tensor([0.0, 1.0]).expand(*tokens.shape, 2), 2, 4)
        >>> x = steps.start(1)
        >>> x = steps.draw(x, steps.denoise(x, 0), 0)
        >>> x.sort().values  # one 1, and three masks
        tensor([[1, 2, 2, 2]])
    """

    def __init__(
        self, denoiser: Callable[[Tensor], Tensor], letters: int, length: int, steps: int | None = None
    ) -> None:
        self.steps = length if steps is None else steps
        if not 1 <= self.steps <= length:
            raise ValueError(f"steps: got {steps}, want 1 to the length, {length}")
        self.denoiser, self.letters, self.length = denoiser, letters, length

    def start(self, count: int, generator: torch.Generator | None = None) -> Int[Tensor, "count length"]:
        """Masks alone, on the generator's device."""
        device = "cpu" if generator is None else generator.device
        return torch.full((count, self.length), self.letters, device=device)

    def denoise(self, state: Int[Tensor, "batch length"], step: int) -> Float[Tensor, "batch length letters"]:
        """Chances of letters at each place."""
        return self.denoiser(state)

    def draw(
        self, state: Tensor, predicted: Tensor, step: int, generator: torch.Generator | None = None
    ) -> Int[Tensor, "batch length"]:
        """With this step's places filled."""
        fresh = self.length * (step + 1) // self.steps - self.length * step // self.steps
        order = torch.rand(state.shape, generator=generator, device=state.device)
        places = order.masked_fill(state != self.letters, 2).topk(fresh, dim=1, largest=False).indices
        chances = predicted.gather(1, places[..., None].expand(-1, -1, self.letters))
        return state.scatter(1, places, draw_letters(chances, generator=generator))


def draw_letters(
    chances: Float[Tensor, "*batch letters"], *, generator: torch.Generator | None = None
) -> Int[Tensor, " *batch"]:
    """A letter for each row of chances that sum to 1, by the inverse of their cumulative sum."""
    level = torch.rand(chances.shape[:-1], generator=generator, dtype=chances.dtype, device=chances.device)
    return (level[..., None] >= chances.cumsum(-1)[..., :-1]).sum(-1)
