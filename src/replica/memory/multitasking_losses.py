"""How far a state is from each of several patterns: Mattis overlaps and squared errors."""

from jaxtyping import Float
from torch import Tensor


def mattis_overlaps(
    states: Float[Tensor, "*batch dim"], patterns: Float[Tensor, "patterns dim"]
) -> Float[Tensor, "*batch patterns"]:
    """Overlaps of states with patterns, m_μ = (1/N) Σ_i ξ_i^μ σ_i, at most the share of entries not blank.

    Example:
        >>> import torch
        >>> mattis_overlaps(torch.tensor([1.0, -1.0]), torch.tensor([[1.0, 0.0], [1.0, -1.0]])).tolist()
        [0.5, 1.0]
    """
    return states @ patterns.to(states).mT / states.shape[-1]


def squared_error_losses(
    states: Float[Tensor, "*batch dim"], patterns: Float[Tensor, "patterns dim"]
) -> tuple[Float[Tensor, "*batch patterns"], Float[Tensor, "*batch patterns"]]:
    """Squared errors of states as reconstructions of each pattern and of its mirror image.

    L∓^μ = ‖ξ^μ ∓ σ‖² / (2N). A Hebbian cost does not tell ξ from −ξ, so what it minimises is their product
    (`loss_product`), which is 0 when either error is.

    Args:
        states: ``(..., dim)`` entries ±1 (any real vector is allowed).
        patterns: ``(patterns, dim)`` targets: archetypes, examples or averages of examples.

    Returns:
        ``(L−, L+)``: the errors to ξ and to −ξ, each ``(..., patterns)``, without unit.

    Source: the loss functions of arXiv 2308.04106, here for patterns of any norm.

    Example:
        >>> import torch
        >>> state = torch.tensor([1.0, -1.0])
        >>> to_pattern, to_mirror = squared_error_losses(state, state[None])
        >>> to_pattern.item(), to_mirror.item()
        (0.0, 2.0)
    """
    patterns = patterns.to(states)
    middle = (patterns.square().mean(-1) + states.square().mean(-1, keepdim=True)) / 2
    overlap = mattis_overlaps(states, patterns)
    return middle - overlap, middle + overlap


def loss_product(
    to_pattern: Float[Tensor, "*batch patterns"], to_mirror: Float[Tensor, "*batch patterns"]
) -> Float[Tensor, "*batch patterns"]:
    """The squared-error loss blind to a pattern's sign, L−·L+ = ((1 + q)/2)² − m² (q: its mean square).

    Example:
        >>> import torch
        >>> loss_product(*squared_error_losses(torch.tensor([-1.0, 1.0]), torch.tensor([[1.0, -1.0]]))).item()
        0.0
    """
    return to_pattern * to_mirror
