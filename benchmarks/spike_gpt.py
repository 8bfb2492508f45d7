"""The decaying average of SpikeGPT's time mixing beside its loop written out and beside softmax attention of the same width.

Forward and backward. The arithmetic limit is that of a recurrence step by step: about 16 operations for each number forward
and 32 backward, exponentials counted as one, at the rate of a matrix product, which a recurrence without matrix products
cannot come near: it is some sixty passes over its numbers, each as long as its memory takes. Attention is other work, two
matrix products squared in time and so the cost of a few passes over 64 steps: there it is the quicker one.
"""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from replica.spiking import WeightedState, weighted_key_value, weighted_key_value_step

from .case import Case

SIZES = ((64, 32, 64), (1024, 4, 64), (4096, 1, 64))


def loop(keys: Tensor, values: Tensor, decay: Tensor, bonus: Tensor) -> Tensor:
    """Step by step under autograd, as a user would."""
    state: WeightedState | None = None
    found = []
    for key, value in zip(keys, values, strict=True):
        output, state = weighted_key_value_step(key, value, decay, bonus, state)
        found.append(output)
    return torch.stack(found)


def attention(keys: Tensor, values: Tensor, decay: Tensor, bonus: Tensor) -> Tensor:
    """PyTorch's causal softmax attention, one head of the same width; keys are queries too."""
    key, value = keys.transpose(0, 1).unsqueeze(1), values.transpose(0, 1).unsqueeze(1)
    return functional.scaled_dot_product_attention(key, key, value, is_causal=True)


def step(mix: Callable[..., Tensor], *given: Tensor) -> None:
    """Forward and backward."""
    torch.autograd.grad(mix(*given).sum(), given, allow_unused=True)


def cases(device: str = "cpu") -> Iterator[Case]:
    """Three lengths."""
    for steps, batch, dim in SIZES:
        generator = torch.Generator(device).manual_seed(0)
        keys, values = torch.randn(2, steps, batch, dim, generator=generator, device=device)
        decay = torch.linspace(-5, 3, dim, device=device).exp()
        given = [each.requires_grad_() for each in (keys, values, decay, torch.zeros(dim, device=device))]
        size = f"{steps} steps × {batch} × {dim}"
        ours = partial(step, weighted_key_value, *given)
        operations = 48.0 * keys.numel()
        yield Case(
            f"decaying average, beside the loop written out ({size})",
            ours,
            partial(step, loop, *given),
            operations,
            1.0,
        )
        yield Case(
            f"decaying average, beside softmax attention ({size})",
            ours,
            partial(step, attention, *given),
            operations,
            1.0,
            memory=True,
            other_work=True,
        )
