"""Messages along a Markov chain of which some letters are seen: the exact law of those that are not."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def seen_letters(
    tokens: Int[Tensor, "batch length"], letters: int, like: Tensor
) -> Float[Tensor, "batch length letters"]:
    """One where a letter may stand at a place, else 0; ``letters`` itself is a mask, under which any may."""
    letter = torch.arange(letters, device=tokens.device)
    return ((tokens[..., None] == letter) | (tokens[..., None] == letters)).to(like.dtype)


def forward_messages(
    initial: Float[Tensor, " letters"],
    transition: Float[Tensor, "letters letters"],
    seen: Float[Tensor, "batch length letters"],
) -> tuple[Float[Tensor, "batch length letters"], Float[Tensor, " batch"]]:
    """p(x_i | letters seen up to i), and the log-probability of all that are seen."""
    message, messages, log_prob = initial.expand(len(seen), -1), [], torch.zeros_like(seen[:, 0, 0])
    for place in range(seen.shape[1]):
        message = message * seen[:, place]
        total = message.sum(1, keepdim=True)
        log_prob = log_prob + total[:, 0].log()
        message = message / total
        messages.append(message)
        message = message @ transition
    return torch.stack(messages, 1), log_prob


def backward_messages(
    transition: Float[Tensor, "letters letters"], seen: Float[Tensor, "batch length letters"]
) -> Float[Tensor, "batch length letters"]:
    """p(letters seen after i | x_i), each up to a factor."""
    messages = [torch.ones_like(seen[:, 0])]
    for place in range(seen.shape[1] - 1, 0, -1):
        message = (messages[-1] * seen[:, place]) @ transition.T
        messages.append(message / message.sum(1, keepdim=True))
    return torch.stack(messages[::-1], 1)


def letter_chances(
    initial: Float[Tensor, " letters"],
    transition: Float[Tensor, "letters letters"],
    seen: Float[Tensor, "batch length letters"],
) -> Float[Tensor, "batch length letters"]:
    """Chances of each letter at each place, given all that are seen; NaN where the chain never writes these.

    Source: Rabiner 1989, "A Tutorial on Hidden Markov Models", eqs. 19 to 27, with letters either seen or not seen at all.
    """
    product = forward_messages(initial, transition, seen)[0] * backward_messages(transition, seen)
    return product / product.sum(2, keepdim=True)
