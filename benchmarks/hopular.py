"""Hopular beside the plain form: a module a column, and PyTorch's attention with a boolean mask; LAMB beside a loop over tensors.

The floating-point operations of a forward pass: the projections of rows and memory, with the whole row as one vector for
the training set and with one vector a column for the features, and the two products of each attention; a backward pass
doubles them.
"""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

from replica.memory import Hopular, Lamb

from .case import Case

HEADS = 4
BLOCKS = 2


class PlainBlock(nn.Module):
    """The two lookups by `torch.nn.MultiheadAttention`."""

    def __init__(self, columns: int, width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(columns * width), nn.LayerNorm(width)])
        self.samples = nn.MultiheadAttention(columns * width, HEADS, batch_first=True)
        self.features = nn.MultiheadAttention(width, HEADS, batch_first=True)

    def forward(self, state: Tensor, original: Tensor, memory: Tensor, exclude: Tensor) -> Tensor:
        """As `HopularBlock`."""
        asked, stored = self.norms[0](state.flatten(1))[None], self.norms[0](memory.flatten(1))[None]
        state = state + self.samples(asked, stored, stored, attn_mask=exclude, need_weights=False)[0].view_as(state)
        own = self.norms[1](original)
        return state + self.features(self.norms[1](state), own, own, need_weights=False)[0]


class Plain(nn.Module):
    """Columns of numbers only: an embedding and a projection a column, one after the other."""

    def __init__(self, columns: int, width: int) -> None:
        super().__init__()
        self.embeddings = nn.ModuleList(nn.Linear(2, width) for _ in range(columns))
        self.types, self.positions = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.zeros(columns, width))
        self.projections = nn.ModuleList(
            nn.Sequential(nn.GELU(), nn.LayerNorm(width), nn.Linear(width, width)) for _ in range(columns)
        )
        self.blocks = nn.ModuleList(PlainBlock(columns, width) for _ in range(BLOCKS))
        self.summary = nn.Sequential(nn.GELU(), nn.LayerNorm(columns * width), nn.Linear(columns * width, columns))

    def embed(self, values: Tensor, hidden: Tensor) -> Tensor:
        """As `Hopular.embed`."""
        flags = hidden.to(values.dtype)
        given = torch.stack([values * (1 - flags), flags], -1)
        parts = [
            project(embed(given[:, c]) + self.types + self.positions[c])
            for c, (embed, project) in enumerate(zip(self.embeddings, self.projections, strict=True))
        ]
        return torch.stack(parts, 1)

    def forward(self, values: Tensor, memory: Tensor, hidden: Tensor, exclude: Tensor) -> Tensor:
        """As `Hopular`."""
        original = state = self.embed(values, hidden)
        stored = self.embed(memory, torch.zeros_like(memory, dtype=torch.bool))
        for block in self.blocks:
            state = block(state, original, stored, exclude)
        return self.summary(state.flatten(1))


def step(network: nn.Module, values: Tensor, memory: Tensor, hidden: Tensor, exclude: Tensor) -> None:
    """Forward and backward."""
    network.zero_grad()
    network(values, memory, hidden=hidden, exclude=exclude).square().mean().backward()


def lamb_by_tensor(weights: list[Tensor], moments: list[list[Tensor]]) -> None:
    """The same step, a tensor at a time."""
    for weight, (mean, square) in zip(weights, moments, strict=True):
        gradient = weight.grad
        mean.mul_(0.9).add_(gradient, alpha=0.1)
        square.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
        update = (mean / 0.1) / ((square / 0.001).sqrt() + 1e-6) + 0.1 * weight
        norm, length = weight.norm().clamp(max=10.0), update.norm()
        ratio = torch.where((norm > 0) & (length > 0), norm / length, 1.0)
        weight.sub_(1e-6 * ratio * update)


def cases(device: str = "cpu") -> Iterator[Case]:
    """A training step on a small and on a wider table, and a step of the optimiser."""
    for count, columns, width in ((300, 10, 8), (600, 16, 16)):
        draw = torch.Generator(device).manual_seed(0)
        batch, dim = 64, columns * width
        memory = torch.randn(count, columns, generator=draw, device=device)
        hidden = torch.zeros(batch, columns, dtype=torch.bool, device=device)
        hidden[:, -1] = True
        exclude = torch.eye(batch, count, dtype=torch.bool, device=device)
        ours = Hopular(
            (1,) * columns, width=width, heads=HEADS, blocks=BLOCKS,
            input_dropout=0.0, lookup_dropout=0.0, output_dropout=0.0,
        ).to(device)  # fmt: skip
        peer = Plain(columns, width).to(device)
        samples = 4.0 * (batch + count) * dim**2 + 4.0 * batch * count * dim
        features = 8.0 * batch * columns * width**2 + 4.0 * batch * columns**2 * width
        embedding = 2.0 * (batch + count) * columns * width**2
        yield Case(
            f"a training step ({count} rows, {columns} columns, width {width}, batch {batch})",
            partial(step, ours, memory[:batch], memory, hidden, exclude),
            partial(step, peer, memory[:batch], memory, hidden, exclude),
            3 * (BLOCKS * (samples + features) + embedding),
            1.0,
        )
        with torch.enable_grad():
            step(ours, memory[:batch], memory, hidden, exclude)
        weights = [weight for weight in ours.parameters() if weight.grad is not None]
        optimiser = Lamb(weights, lr=1e-6, weight_decay=0.1)
        moments = [[torch.zeros_like(weight), torch.zeros_like(weight)] for weight in weights]
        plain = torch.no_grad()(lamb_by_tensor)
        yield Case(
            f"a step of LAMB ({len(weights)} tensors, {sum(weight.numel() for weight in weights):,} weights)",
            optimiser.step,
            partial(plain, weights, moments),
            16.0 * sum(weight.numel() for weight in weights),
            1.0,
        )
