"""Exponentially decaying averages with learned weights (RWKV's time mixing), parallel over time and step by step."""

import math
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class WeightedState(NamedTuple):
    """What is left of the past, however long: Σ_i e^{−(t−1−i) w + k_i} (v_i, 1), both divided by e^scale.

    Attributes:
        numerator: The sum with values.
        denominator: The sum of weights.
        scale: Logarithm of what both are divided by; −∞ before the first step.
    """

    numerator: Float[Tensor, "*batch dim"]
    denominator: Float[Tensor, "*batch dim"]
    scale: Float[Tensor, "*batch dim"]


def weighted_key_value(
    keys: Float[Tensor, "time *batch dim"],
    values: Float[Tensor, "time *batch dim"],
    decay: Float[Tensor, " dim"],
    bonus: Float[Tensor, " dim"],
) -> Float[Tensor, "time *batch dim"]:
    """Each unit's average of its values so far, weighted by keys, older ones less, the present one with a bonus.

        y_t = (Σ_{i<t} e^{−(t−1−i) w + k_i} v_i + e^{u + k_t} v_t) / (Σ_{i<t} e^{−(t−1−i) w + k_i} + e^{u + k_t})

    Linear in time: the sums are taken in about √time pieces at once, each step by step, and then joined. They are kept
    divided by their greatest weight, so that keys of any size neither overflow nor vanish. The gradient is the same sum
    run backwards. Gradients of gradients are not available.

    Args:
        keys: k, logarithms of weights.
        values: v.
        decay: w, by which a weight's logarithm falls at each step; 0 or more.
        bonus: u, what the present step's has more.

    Raises:
        ValueError: if shapes do not fit, or there is no step.

    Source: Peng et al. 2023, "RWKV: Reinventing RNNs for the Transformer Era", Eq. 16; Zhu et al. 2023, "SpikeGPT", the
    section on spiking RWKV.

    Example:
        >>> values = torch.tensor([[1.0], [0.0], [0.0]])
        >>> none = torch.zeros(1)
        >>> weighted_key_value(torch.zeros(3, 1), values, decay=none, bonus=none).flatten()
        tensor([1.0000, 0.5000, 0.3333])
    """
    _check(keys, values, decay, bonus)
    if not keys.shape[0]:
        raise ValueError("keys: got no steps, want 1 or more")
    return _WeightedKeyValue.apply(keys, values, decay, bonus)


def weighted_key_value_step(
    key: Float[Tensor, "*batch dim"],
    value: Float[Tensor, "*batch dim"],
    decay: Float[Tensor, " dim"],
    bonus: Float[Tensor, " dim"],
    state: WeightedState | None = None,
) -> tuple[Float[Tensor, "*batch dim"], WeightedState]:
    """One step of `weighted_key_value`, and the state after it. The same numbers to rounding.

    Args:
        key: k_t.
        value: v_t.
        decay: w.
        bonus: u.
        state: Of the steps before; None at the first.

    Raises:
        ValueError: if shapes do not fit.

    Example:
        >>> none, state = torch.zeros(1), None
        >>> for value in (1.0, 0.0, 0.0):
        ...     output, state = weighted_key_value_step(none, torch.tensor([value]), none, none, state)
        >>> output
        tensor([0.3333])
    """
    _check(key, value, decay, bonus)
    if state is None:
        return value, WeightedState(value, torch.ones_like(key), key)
    numerator, denominator, scale = state
    own = bonus + key
    top = torch.maximum(scale, own)
    past, present = (scale - top).exp(), (own - top).exp()
    output = (past * numerator + present * value) / (past * denominator + present)
    top = torch.maximum(scale - decay, key)
    # Not (scale − decay) − top: that would round the past's weight anew at every step, always the same way.
    past, present = (scale - top - decay).exp(), (key - top).exp()
    return output, WeightedState(past * numerator + present * value, past * denominator + present, top)


def _check(keys: Tensor, values: Tensor, decay: Tensor, bonus: Tensor) -> None:
    if keys.ndim < 1 or values.shape != keys.shape:
        raise ValueError(f"values: got shape {tuple(values.shape)}, want that of keys, {tuple(keys.shape)}")
    for name, given in (("decay", decay), ("bonus", bonus)):
        if given.shape != keys.shape[-1:]:
            raise ValueError(f"{name}: got shape {tuple(given.shape)}, want {tuple(keys.shape[-1:])}")


class _WeightedKeyValue(torch.autograd.Function):
    """The whole sequence as one node of the graph; in place where it can be, for fresh memory takes longer than sums."""

    @staticmethod
    def forward(ctx: Any, keys: Tensor, values: Tensor, decay: Tensor, bonus: Tensor) -> Tensor:
        keys, values, decay, bonus = (each.detach() for each in (keys, values, decay, bonus))  # see `_Integrate`
        (numerator, denominator), scale = _faded_sums(keys, values, None, decay)
        own = bonus + keys
        top = torch.maximum(scale, own)
        past, present = (scale - top).exp_(), own.sub_(top).exp_()
        total = torch.addcmul(present, past, denominator)
        outputs = past.mul_(numerator).addcmul_(present, values).div_(total)
        log_inverse = top.add_(total.log_()).neg_()
        ctx.save_for_backward(keys, values, decay, bonus, outputs, log_inverse, numerator, denominator, scale)
        return outputs

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        keys, values, decay, bonus, outputs, log_inverse, numerator, denominator, scale = ctx.saved_tensors
        # Gradients of the two sums, of all later steps: faded sums again, run backwards, with weights 1 / total.
        (above, below), later = _faded_sums(log_inverse, grad, (grad * outputs).neg_(), decay, reverse=True)
        present = (bonus + keys).add_(log_inverse).exp_().mul_(grad)
        past = (keys + later).exp_()
        grad_values = torch.addcmul(present, past, above)
        by_bonus = present.mul_(values - outputs)
        grad_keys = torch.addcmul(by_bonus, past, torch.addcmul(below, above, values))
        # scale + later ≤ decay, so that this does not overflow either.
        through = later.add_(scale).sub_(decay).exp_().mul_(above.mul_(numerator).addcmul_(below, denominator))
        leading = tuple(range(keys.ndim - 1))
        return grad_keys, grad_values, -through.sum(leading), by_bonus.sum(leading)


def _faded_sums(
    scores: Tensor, values: Tensor, others: Tensor | None, decay: Tensor, *, reverse: bool = False
) -> tuple[Tensor, Tensor]:
    """Σ_{i<t} e^{−(t−1−i) w + s_i − m_t} x_i for x the values and the others, and the scales m_t (−∞ and sums of 0 at first).

    Both sums are stacked; no others are ones. In reverse the sums are over i > t, of e^{−(i−1−t) w + s_i − m_t} x_i.
    """
    steps, shape = len(scores), scores.shape[1:]
    length = max(1, math.isqrt(steps))
    pieces = -(-steps // length)
    # What has something after it, what has something before it, and the last: of pieces, and of the steps of a piece.
    before, after, last = slice(None, -1), slice(1, None), slice(-1, None)
    along = range(length)
    # Everything is late by one step: what is summed at t is what came before t.
    source, late, whole = before, slice(1, steps), slice(steps)
    if reverse:
        before, after, last, along = after, before, slice(1), along[::-1]
        spare = pieces * length - steps
        source, late, whole = before, slice(spare, -1), slice(spare, None)
    weights = scores.new_full((pieces * length, *shape), -math.inf)
    weights[late] = scores[source]
    weights = weights.unflatten(0, (pieces, length))
    # The scale: the greatest logarithm of a weight so far, in each piece, then from piece to piece, then both.
    scale = weights.clone()
    for past, present in pairwise(scale.unbind(1)[:: along.step]):
        present.clamp_(min=past - decay)
    ends, fall = scale[:, along[-1]].clone(), length * decay
    for past, present in pairwise(ends.unbind()[:: along.step]):
        present.clamp_(min=past - fall)
    ages = torch.tensor([i + 1 for i in along], device=decay.device, dtype=decay.dtype)
    fading = (ages[:, None] * decay).reshape(length, *(1,) * (scale.ndim - 3), -1)
    scale[after].clamp_(min=ends[before, None] - fading)
    # Where nothing came before, all weights are 0; any finite number spares −∞ − (−∞).
    finite = scale.clamp(min=torch.finfo(scale.dtype).min / 4)
    weights.sub_(finite).exp_()
    sums = values.new_zeros(2, pieces * length, *shape)
    sums[0, late] = values[source]
    sums[1, late] = 1.0 if others is None else others[source]
    sums = sums.unflatten(1, (pieces, length)).mul_(weights)
    kept = (finite[:, before] - finite[:, after]).sub_(decay).exp_()
    for (past, present), share in zip(
        pairwise(sums.unbind(2)[:: along.step]), kept.unbind(1)[:: along.step], strict=True
    ):
        present.addcmul_(past, share)
    carried = (finite[before, last] - fading).sub_(finite[after]).exp_()
    ends, shares = sums[:, :, along[-1]].unbind(1), carried[:, along[-1]].unbind()
    for (past, present), share in zip(pairwise(ends[:: along.step]), shares[:: along.step], strict=True):
        present.addcmul_(past, share)
    sums[:, after, before].addcmul_(sums[:, before, last], carried[:, before])
    return sums.flatten(1, 2)[:, whole], scale.flatten(0, 1)[whole]
