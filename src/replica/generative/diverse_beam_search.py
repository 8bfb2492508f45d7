"""Beam search in groups, each of which is kept from repeating what the groups before it have picked."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

Diversity = Literal["hamming", "bigram"]
Step = Callable[[Tensor, Any], tuple[Tensor, Any]]
"""``(tokens, state) → (log-probabilities of the next token, state)``, a row a sequence."""


class Beams(NamedTuple):
    """Lists of sequences, group by group in the order in which they were decoded.

    Attributes:
        tokens: without the start; filled up with the end token.
        log_probs: the model's own, of whole sequences: penalties are not in them. −∞ where there are fewer sequences than beams.
        scores: log-probabilities less penalties, by which a group's sequences are in falling order.
    """

    tokens: Int[Tensor, "batch beams length"]
    log_probs: Float[Tensor, "batch beams"]
    scores: Float[Tensor, "batch beams"]


@torch.no_grad()
def diverse_beam_search(
    step: Step,
    state: Any,
    beams: int,
    groups: int = 1,
    penalty: float = 0.5,
    diversity: Diversity = "hamming",
    *,
    start: Int[Tensor, " batch"],
    length: int,
    end: int | None = None,
) -> Beams:
    """Decodes lists of sequences that are likely and differ; with one group it is beam search.

    At every step the groups extend their ``beams / groups`` sequences in turn, by log p less ``penalty`` times what a candidate
    has in common with the groups before: the first is plain beam search with fewer beams. As in the authors' code penalties stay
    in the scores of the sequences that bear them. The model is called once a step for all, as in beam search.

    Args:
        step: any stepwise model, see `Step`. It is called with ``batch * beams`` rows.
        state: before the first token: a tensor with a row a batch entry, or tuples, lists and dicts of such; all else is
            passed on.
        beams: sequences in a list (B).
        groups: that share them evenly (G).
        penalty: λ, in nats; 0.2 to 0.8 is usual.
        diversity: what is counted: ``"hamming"``, sequences of groups before that have the candidate's token at this step;
            ``"bigram"``, how often they have its last two tokens anywhere.
        start: the token before the first.
        length: steps.
        end: the token after which a sequence is over: it keeps its score, and counts no more. None where all have one length.

    Raises:
        ValueError: if groups do not divide beams, a number is out of range, or the model's rows are not as many as tokens.

    Source: Vijayakumar et al. 2016, Algorithm 1 and section 4 (forms of Δ).

    Example:
        >>> import torch
        >>> from replica.generative import diverse_beam_search
        >>> table = torch.tensor([[0.0, 0.6, 0.4], [0.0, 0.5, 0.5], [0.9, 0.05, 0.05]]).log()
        >>> model = lambda tokens, state: (table[tokens], state)
        >>> start = torch.zeros(1, dtype=torch.long)
        >>> diverse_beam_search(model, None, 2, start=start, length=2).tokens.tolist()
        [[[2, 0], [1, 1]]]
        >>> diverse_beam_search(model, None, 2, 2, 0.5, start=start, length=2).tokens.tolist()
        [[[1, 1], [2, 0]]]
    """
    if groups < 1 or beams < 1 or beams % groups:
        raise ValueError(f"beams, groups: got {beams} and {groups}, want groups that divide beams")
    if length < 1 or penalty < 0:
        raise ValueError(f"length, penalty: got {length} and {penalty}, want 1 or more, and 0 or more")
    if diversity not in ("hamming", "bigram"):
        raise ValueError(f"diversity: got {diversity!r}, want 'hamming' or 'bigram'")
    batch, each = len(start), beams // groups
    rows = torch.arange(batch, device=start.device)[:, None]
    state = _select(state, rows.expand(-1, beams).flatten(), batch)
    last = start[:, None].expand(-1, beams)
    tokens = start.new_zeros(batch, beams, 0)
    over = torch.zeros_like(last, dtype=torch.bool)
    # All beams of a group are alike at first: only one of them goes on.
    scores = torch.zeros(each, device=start.device).index_fill(
        0, torch.arange(1, each, device=start.device), -torch.inf
    )
    scores = log_probs = scores.expand(batch, groups, each).flatten(1)
    for time in range(length):
        given, state = step(last.flatten(), state)
        if given.dim() != 2 or len(given) != batch * beams:
            raise ValueError(
                f"step: got log-probabilities of shape {tuple(given.shape)}, want ({batch * beams}, tokens)"
            )
        given = given.unflatten(0, (batch, beams))
        if end is not None:
            kept = torch.full_like(given[:1, :1], -torch.inf)
            kept[..., end] = 0
            given = torch.where(over[..., None], kept, given)
        parents, chosen = tokens.new_zeros(batch, 0), tokens.new_zeros(batch, 0)
        found = []
        for first in range(0, beams, each):
            own = slice(first, first + each)
            candidates = scores[:, own, None] + given[:, own]
            if first and penalty:
                done = torch.cat([tokens[rows, parents], chosen[..., None]], 2)
                counts = _common(done, over[rows, parents], last[:, own], given.shape[-1], diversity, end)
                candidates = candidates - penalty * counts.masked_fill(over[:, own, None], 0)
            best, index = candidates.flatten(1).topk(each, dim=1)
            found.append(best)
            parents = torch.cat([parents, first + index // given.shape[-1]], 1)
            chosen = torch.cat([chosen, index % given.shape[-1]], 1)
        log_probs = log_probs[rows, parents] + given[rows, parents, chosen]
        scores, last = torch.cat(found, 1), chosen
        tokens = torch.cat([tokens[rows, parents], chosen[..., None]], 2)
        if end is not None:
            over = over[rows, parents] | (chosen == end)
        if time + 1 < length:
            state = _select(state, (rows * beams + parents).flatten(), batch * beams)
    return Beams(tokens, log_probs, scores)


def _common(
    done: Int[Tensor, "batch before time"],
    over: Tensor,
    last: Int[Tensor, "batch each"],
    vocabulary: int,
    diversity: Diversity,
    end: int | None,
) -> Float[Tensor, "batch each vocabulary"]:
    # What ended before this step is filled up: that counts for nothing.
    if diversity == "hamming":
        counts = torch.zeros(len(done), vocabulary, device=done.device)
        counts.scatter_add_(1, done[..., -1], (~over).to(counts.dtype))
        return counts[:, None].expand(-1, last.shape[1], -1)
    pairs, after = done[..., :-1].flatten(1), done[..., 1:].flatten(1)
    same = (pairs[:, None] == last[..., None]).float()
    if end is not None:
        same = same * (pairs != end)[:, None]
    counts = torch.zeros(*last.shape, vocabulary, device=done.device)
    return counts.scatter_add_(2, after[:, None].expand_as(same), same)


def _select(state: Any, index: Int[Tensor, " rows"], rows: int) -> Any:
    if isinstance(state, Tensor):
        if not state.dim() or len(state) != rows:
            raise ValueError(f"state: got a tensor of shape {tuple(state.shape)}, want {rows} rows")
        return state.index_select(0, index)
    if isinstance(state, dict):
        return {name: _select(part, index, rows) for name, part in state.items()}
    if isinstance(state, tuple) and hasattr(state, "_fields"):
        return type(state)(*(_select(part, index, rows) for part in state))
    if isinstance(state, tuple | list):
        return type(state)(_select(part, index, rows) for part in state)
    return state
