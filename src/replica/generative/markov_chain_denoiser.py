"""The exact denoiser of masked sequences of a Markov chain: a discrete diffusion model about which everything is known."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from replica.training.chain_messages import backward_messages, forward_messages, letter_chances, seen_letters


class MarkovChainDenoiser(nn.Module):
    """p(x_i | the letters seen) for each place of a sequence of a Markov chain: what the best masked diffusion net would learn.

    Forward and backward messages, in time linear in the length. Letters are 0 … letters − 1; ``letters`` itself is the mask.
    The chances of an unmasked place do not depend on how much noise there is, so it takes no time.

    Args:
        initial: chances of the first letter, shape (letters,).
        transition: chances of the next letter (column) after each (row), shape (letters, letters).

    Raises:
        ValueError: if these are no chances, or shapes do not fit.

    Source: Rabiner 1989, "A Tutorial on Hidden Markov Models", eqs. 19 to 27, with letters either seen or not seen at all.

    Example:
        >>> import torch
        >>> from replica.generative import MarkovChainDenoiser
        >>> sticky = MarkovChainDenoiser(torch.tensor([0.5, 0.5]), torch.tensor([[0.9, 0.1], [0.1, 0.9]]))
        >>> sticky(torch.tensor([[0, 2, 2]])).round(decimals=2)  # 0, then two masks
        tensor([[[1.0000, 0.0000],
                 [0.9000, 0.1000],
                 [0.8200, 0.1800]]])
    """

    initial: Tensor
    transition: Tensor

    def __init__(self, initial: Float[Tensor, " letters"], transition: Float[Tensor, "letters letters"]) -> None:
        super().__init__()
        if initial.dim() != 1 or not len(initial):
            raise ValueError(f"initial: got shape {tuple(initial.shape)}, want (letters,)")
        letters = len(initial)
        if transition.shape != (letters, letters):
            raise ValueError(f"transition: got shape {tuple(transition.shape)}, want ({letters}, {letters})")
        for name, chances in (("initial", initial), ("transition", transition)):
            if not bool((chances >= 0).all() & ((chances.sum(-1) - 1).abs() < 1e-4).all()):
                raise ValueError(f"{name}: got numbers below 0 or sums other than 1, want chances that sum to 1")
        self.letters = letters
        self.register_buffer("initial", initial / initial.sum())
        self.register_buffer("transition", transition / transition.sum(1, keepdim=True))

    def forward(self, tokens: Int[Tensor, "batch length"]) -> Float[Tensor, "batch length letters"]:
        """Chances of each letter at each place; NaN where the chain never writes the letters that are seen."""
        return letter_chances(self.initial, self.transition, self._seen(tokens))

    def log_prob(self, tokens: Int[Tensor, "batch length"]) -> Float[Tensor, " batch"]:
        """Log-probability of the letters that are seen, masked places summed out."""
        return forward_messages(self.initial, self.transition, self._seen(tokens))[1]

    def complete(
        self, tokens: Int[Tensor, "batch length"], *, generator: torch.Generator | None = None
    ) -> Int[Tensor, "batch length"]:
        """Draws all masked letters together, given those that are seen."""
        seen = self._seen(tokens)
        behind = backward_messages(self.transition, seen)
        drawn = torch.empty_like(tokens)
        chances = self.initial.expand(len(tokens), -1)
        for place in range(tokens.shape[1]):
            chances = chances * seen[:, place] * behind[:, place]
            drawn[:, place] = torch.multinomial(chances, 1, generator=generator)[:, 0]
            chances = self.transition[drawn[:, place]]
        return drawn

    def sample(
        self, count: int, length: int, *, generator: torch.Generator | None = None
    ) -> Int[Tensor, "count length"]:
        """Draws of whole sequences."""
        masked = torch.full((count, length), self.letters, device=self.initial.device)
        return self.complete(masked, generator=generator)

    def _seen(self, tokens: Tensor) -> Tensor:
        """One where a letter may be at a place, shape (batch, length, letters)."""
        if tokens.dim() != 2 or tokens.is_floating_point() or not tokens.shape[1]:
            raise ValueError(
                f"tokens: got {tokens.dtype} of shape {tuple(tokens.shape)}, want integers (batch, length)"
            )
        return seen_letters(tokens, self.letters, self.transition)
