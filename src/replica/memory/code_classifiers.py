"""Codes and neurons as classifiers of known states: which one tells a state best, and how well.

Tamkin, Taufeeque & Goodman 2023, "Codebook Features", Sections 3 and 4: a code is a classifier of the state with which it is
active most; a neuron is one by a threshold.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional


def counts_in_states(
    codes: Int[Tensor, "positions active"], states: Int[Tensor, " positions"], count: int, kinds: int
) -> Float[Tensor, "kinds count"]:
    """In how many positions of each state each code is active; positions in no state have the number `kinds`."""
    together = torch.zeros(kinds + 1, count, device=codes.device, dtype=torch.float64)
    one = torch.ones((), device=codes.device, dtype=torch.float64)
    return together.index_put_((states.unsqueeze(-1).expand_as(codes), codes), one, accumulate=True)[:kinds]


def f1_of_codes(
    codes: Int[Tensor, "positions active"], states: Int[Tensor, " positions"], count: int, kinds: int
) -> Float[Tensor, "kinds count"]:
    """F1 of each code as a classifier of each state; positions in no state have the number `kinds`."""
    active = torch.bincount(codes.flatten(), minlength=count)
    present = torch.bincount(states, minlength=kinds + 1)[:kinds].unsqueeze(-1)
    return 2 * counts_in_states(codes, states, count, kinds) / (active + present).clamp(min=1)


def neuron_classifiers(
    values: Float[Tensor, "positions neurons"], states: Int[Tensor, " positions"], kinds: int
) -> tuple[Int[Tensor, " kinds"], Float[Tensor, " kinds"], Float[Tensor, " kinds"]]:
    """For each state the neuron, sign and threshold of greatest F1: in the state where sign · value ≥ threshold."""
    member = functional.one_hot(states, kinds + 1)[:, :kinds].to(torch.float32)
    present = member.sum(0)
    taken = torch.arange(1, len(states) + 1, device=values.device, dtype=torch.float32).unsqueeze(-1)
    best = torch.full((kinds,), -1.0, device=values.device)
    neuron = torch.zeros(kinds, dtype=torch.int64, device=values.device)
    sign, threshold = torch.ones_like(best), torch.zeros_like(best)
    for index in range(values.shape[1]):
        for side in (1.0, -1.0):
            column, order = (side * values[:, index]).sort(descending=True)
            f1, at = (2 * member[order].cumsum(0) / (taken + present)).max(0)
            better = f1 > best
            best, threshold = torch.where(better, f1, best), torch.where(better, column[at], threshold)
            neuron = torch.where(better, index, neuron)
            sign = torch.where(better, side, sign)
    return neuron, sign, threshold


def scores(
    predicted: Bool[Tensor, "positions kinds"], states: Int[Tensor, " positions"]
) -> tuple[Float[Tensor, " kinds"], Float[Tensor, " kinds"], Float[Tensor, " kinds"]]:
    """Precision, recall and F1 of each column as a classifier of its state; a classifier never active has precision 0."""
    member = states.unsqueeze(-1) == torch.arange(predicted.shape[1], device=states.device)
    hits = (predicted & member).sum(0).double()
    active, present = predicted.sum(0), member.sum(0)
    return hits / active.clamp(min=1), hits / present.clamp(min=1), 2 * hits / (active + present).clamp(min=1)
