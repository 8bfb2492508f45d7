"""A group of codebooks beside its plain written-out version: a loop over heads, cosine similarities under autograd.

The operations are those of the similarities of every head's activations with its codes, which both must compute.
"""

from collections.abc import Iterator

import torch
from torch.nn import functional

from replica.memory import CodebookLayer

from .case import Case


def head_by_head(inputs: torch.Tensor, codes: torch.Tensor, active: int) -> torch.Tensor:
    """The sum of the most similar codes, one head after the other, straight through, and its reconstruction error."""
    outputs, loss = [], inputs.new_zeros(())
    for part, book in zip(inputs.chunk(len(codes), dim=-1), codes, strict=True):
        similarity = functional.normalize(part, dim=-1) @ functional.normalize(book, dim=-1).T
        sums = book[similarity.topk(active, dim=-1).indices].sum(-2)
        loss = loss + (sums - part.detach()).square().sum(-1).mean()
        outputs.append(sums + part - part.detach())
    return torch.cat(outputs, dim=-1).square().mean() + loss


def cases(device: str = "cpu") -> Iterator[Case]:
    """Forward and backward over 2,048 activations: eight heads of 32 units, and a perceptron of 256."""
    for dim, groups, count, active, name in (
        (256, 8, 1000, 1, "8 heads of 32 units, 1 of 1,000 codes each"),
        (256, 1, 4000, 8, "256 units, 8 of 4,000 codes"),
    ):
        generator = torch.Generator(device).manual_seed(0)
        layer = CodebookLayer(dim, count, active=active, groups=groups, generator=generator)
        inputs = torch.randn(2048, dim, generator=generator, device=device).requires_grad_()

        def ours(layer: CodebookLayer = layer, inputs: torch.Tensor = inputs) -> object:
            found = layer.quantize(inputs)
            return torch.autograd.grad(found.output.square().mean() + found.reconstruction, (inputs, layer.codes))

        def theirs(layer: CodebookLayer = layer, inputs: torch.Tensor = inputs, active: int = active) -> object:
            return torch.autograd.grad(head_by_head(inputs, layer.codes, active), (inputs, layer.codes))

        operations = 2.0 * len(inputs) * count * dim
        yield Case(f"codebooks, {name}, beside a loop over heads", ours, theirs, operations, 1.1, memory=True)
