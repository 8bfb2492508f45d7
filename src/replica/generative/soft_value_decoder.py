"""Guidance without derivatives: of several draws of each step, the one is kept from which a high reward is to be expected."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from .reverse_steps import ReverseSteps, draw_letters

Value = Callable[[Tensor, Tensor | None, torch.Generator | None], Tensor]
"""A number for each state, from the state, what is predicted of it (nothing once it is data), and a generator."""


class SoftValueDecoder:
    """Samples that follow a reward: each step draws candidates from the given model and keeps one by its soft value.

    The tilted law p(x)e^{r(x)/α}/Z is drawn from if each step is drawn from the model's own times e^{v(x_t)/α}, with the soft
    value v(x_t) = α ln E[e^{r/α} | x_t]. The step is drawn so by importance: of ``candidates`` draws one is kept with probability
    ∝ e^{v/α}. Neither reward nor model is differentiated, and samples do not compete with each other.

    Each candidate is predicted once, for its value and for the step after it: 1 + (steps − 1) · candidates calls of the network
    a sample.

    Args:
        model: steps of the given diffusion, Gaussian or masked.
        value: v of states, called as ``value(states, predicted, generator)``; see `posterior_mean_value`.
        candidates: M, draws a step; 1 is the model's own sampler.
        temperature: α; 0 keeps the best.

    Raises:
        ValueError: if there is no candidate, the temperature is negative, or values have another shape.

    Source: Li et al. 2024, "Derivative-Free Guidance in Continuous and Discrete Diffusion Models with Soft Value-Based Decoding",
    Algorithm 1 (SVDD).

    Example:
        >>> import torch
        >>> from replica.generative import SoftValueDecoder, UnmaskingSteps, posterior_mean_value
        >>> def law(tokens):  # of fair coins; 2 is a hidden one, the others are known
        ...     return torch.stack([tokens != 1, tokens != 0], -1) / (1.0 + (tokens == 2))[..., None]
        >>> coins = UnmaskingSteps(law, 2, 10)
        >>> value = posterior_mean_value(lambda tokens: tokens.double().mean(1), completions=50)
        >>> heads = SoftValueDecoder(coins, value, candidates=8).sample(100, generator=torch.Generator().manual_seed(0))
        >>> bool(heads.double().mean() > 0.85)
        True
    """

    def __init__(self, model: ReverseSteps, value: Value, candidates: int = 10, temperature: float = 0.0) -> None:
        if candidates < 1:
            raise ValueError(f"candidates: got {candidates}, want 1 or more")
        if not temperature >= 0:
            raise ValueError(f"temperature: got {temperature}, want 0 or more")
        self.model, self.value, self.candidates, self.temperature = model, value, candidates, temperature

    @torch.no_grad()
    def sample(self, count: int, *, generator: torch.Generator | None = None) -> Float[Tensor, "count *shape"]:
        """Draws samples that do not depend on each other."""
        model, many = self.model, self.candidates
        state = model.start(count, generator)
        predicted: Tensor | None = model.denoise(state, 0)
        for step in range(model.steps):
            assert predicted is not None
            ahead = model.draw(state.repeat_interleave(many, 0), predicted.repeat_interleave(many, 0), step, generator)
            predicted = model.denoise(ahead, step + 1) if step + 1 < model.steps else None
            if many > 1:
                kept = self._kept(self.value(ahead, predicted, generator), count, generator)
                ahead = ahead[kept]
                predicted = None if predicted is None else predicted[kept]
            state = ahead
        return state

    def _kept(self, values: Tensor, count: int, generator: torch.Generator | None) -> Tensor:
        """Rows of one candidate for each sample."""
        if values.shape != (count * self.candidates,):
            raise ValueError(f"value: got shape {tuple(values.shape)}, want ({count * self.candidates},)")
        grid = values.view(count, self.candidates)
        if self.temperature:
            chances = torch.softmax(grid / self.temperature, 1)
            best = torch.multinomial(chances, 1, generator=generator)[:, 0]
        else:
            best = grid.argmax(1)
        return torch.arange(count, device=values.device) * self.candidates + best


def posterior_mean_value(reward: Callable[[Tensor], Tensor], *, completions: int = 0) -> Value:
    """Takes for the soft value the reward of what is predicted of the data, with nothing learned.

    Args:
        reward: of data, shape (batch, *shape), a number each.
        completions: 0 for r(x̂₁), the reward of the predicted mean; where chances of letters are predicted, the number of
            sequences whose letters are drawn from them, each place for itself: the mean of their rewards.

    Returns:
        The value for `SoftValueDecoder`; of data it is the reward.

    Raises:
        ValueError: if ``completions`` is negative.

    Source: Li et al. 2024, Algorithm 3 (SVDD-PM), v(x_t) ≈ r(x̂₀(x_t)).

    Example:
        >>> import torch
        >>> from replica.generative import posterior_mean_value
        >>> value = posterior_mean_value(lambda x: (x > 1).double().sum(1))
        >>> value(torch.zeros(1, 2), torch.tensor([[0.5, 1.5]]), None)
        tensor([1.], dtype=torch.float64)
    """
    if completions < 0:
        raise ValueError(f"completions: got {completions}, want 0 or more")

    def value(state: Tensor, predicted: Tensor | None, generator: torch.Generator | None = None) -> Tensor:
        if predicted is None:
            return reward(state)
        if not completions:
            return reward(predicted)
        drawn = draw_letters(predicted.expand(completions, *predicted.shape), generator=generator)
        return reward(drawn.flatten(0, 1)).view(completions, -1).mean(0)

    return value
