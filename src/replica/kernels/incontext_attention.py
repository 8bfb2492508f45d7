"""One layer of softmax attention that learns linear regression in context, and what its trained weights compute.

He, Pan, Chen, Yang 2025 (arXiv 2503.12734). A prompt holds L examples z_i = (x_i, y_i) and a query z_q = (x_q, 0).
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn


class InContextAttention(nn.Module):
    """Softmax attention from a query to the examples of a prompt: ŷ = Σ_h o_hᵀ V_h Z softmax(Zᵀ K_hᵀ Q_h z_q / √(d + 1)).

    The query does not attend to itself and there are no positions: the order of the examples does not matter.

    Args:
        dim: d, numbers in an input.
        heads: H.
        generator: of the initial weights, uniform in ±1/√(fan in), as a linear layer's are.

    Raises:
        ValueError: if `dim` or `heads` is not positive, or the shapes of a prompt do not fit.

    Shape:
        inputs (batch, examples, dim), targets (batch, examples), queries (batch, dim) → (batch,).

    Example:
        >>> import torch
        >>> model = InContextAttention(5, 2)
        >>> model(torch.randn(8, 40, 5), torch.randn(8, 40), torch.randn(8, 5)).shape
        torch.Size([8])
    """

    def __init__(self, dim: int, heads: int, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        if dim < 1 or heads < 1:
            raise ValueError(f"dim, heads: got {dim}, {heads}, want positive numbers")
        self.dim, self.heads = dim, heads
        size = dim + 1
        self.query = nn.Parameter(torch.empty(heads, size, size))
        self.key = nn.Parameter(torch.empty(heads, size, size))
        self.value = nn.Parameter(torch.empty(heads, size, size))
        self.output = nn.Parameter(torch.empty(heads, size))
        with torch.no_grad():
            for weight in (self.query, self.key, self.value):
                weight.uniform_(-1, 1, generator=generator).div_(math.sqrt(size))
            self.output.uniform_(-1, 1, generator=generator).div_(math.sqrt(heads * size))

    @property
    def key_query(self) -> Float[Tensor, "heads dim+1 dim+1"]:
        """The key-query circuits K_hᵀ Q_h / √(d + 1): what multiplies z_iᵀ … z_q in the softmax."""
        return self.key.mT @ self.query / math.sqrt(self.dim + 1)

    @property
    def output_value(self) -> Float[Tensor, "heads dim+1"]:
        """The output-value circuits o_hᵀ V_h: what a head reads from the examples that it attends to."""
        return torch.einsum("hi,hij->hj", self.output, self.value)

    def forward(
        self,
        inputs: Float[Tensor, "batch examples dim"],
        targets: Float[Tensor, "batch examples"],
        queries: Float[Tensor, "batch dim"],
    ) -> Float[Tensor, "batch"]:
        """Predicts the target of each query."""
        _check_prompt(inputs, targets, queries, self.dim)
        examples = torch.cat([inputs, targets[..., None]], dim=-1)
        # The query's last entry is 0: the last column of a circuit takes no part.
        wanted = torch.einsum("hij,bj->bhi", self.key_query[..., : self.dim], queries)
        weights = torch.softmax(wanted @ examples.mT, dim=-1)
        values = examples @ self.output_value.T
        return torch.einsum("bhl,blh->b", weights, values)

    def extra_repr(self) -> str:
        """The sizes, for printing."""
        return f"dim={self.dim}, heads={self.heads}"


class AttentionCircuits(NamedTuple):
    """What the heads of an `InContextAttention` do, if their circuits are ω_h diag(I, 0) and μ_h in the last entry alone.

    Attributes:
        strengths: ω_h, mean of the diagonal of the inputs' block, shape (heads,).
        outputs: μ_h, the last entry, shape (heads,).
        off_diagonal: root-mean-square of the key-query block's other entries over |ω_h|, shape (heads,).
        unequal: deviation of the diagonal's entries over |ω_h|, shape (heads,): 0 where it is homogeneous.
        other_outputs: root-mean-square of the output-value circuit's other entries over |μ_h|, shape (heads,).
        weights: share of each head in Σ |μ_h ω_h|, shape (heads,): how much it matters.
    """

    strengths: Float[Tensor, "heads"]
    outputs: Float[Tensor, "heads"]
    off_diagonal: Float[Tensor, "heads"]
    unequal: Float[Tensor, "heads"]
    other_outputs: Float[Tensor, "heads"]
    weights: Float[Tensor, "heads"]

    @property
    def imbalance(self) -> Float[Tensor, ""]:
        """|Σ μ_h| / Σ |μ_h|: 0 where the outputs sum to zero, 1 where all have one sign."""
        return self.outputs.sum().abs() / self.outputs.abs().sum()


@torch.no_grad()
def attention_circuits(model: InContextAttention) -> AttentionCircuits:
    """Reads the patterns of section 3 off the weights: diagonal and homogeneous key-query, last-entry-only output-value.

    The key-query circuit's last column meets the query's zero and is left out; its last row, which meets the targets, is not.

    Example:
        >>> import torch
        >>> circuits = attention_circuits(InContextAttention(5, 2))
        >>> circuits.strengths.shape
        torch.Size([2])
    """
    dim = model.dim
    circuits, outputs = model.key_query[..., :dim], model.output_value
    diagonal = circuits[:, :dim].diagonal(dim1=-2, dim2=-1)
    strengths = diagonal.mean(-1)
    # d² − d entries of the block and d of the row below it.
    rest = circuits.square().sum((-2, -1)) - diagonal.square().sum(-1)
    last, others = outputs[:, dim], outputs[:, :dim]
    weights = (last * strengths).abs()
    return AttentionCircuits(
        strengths,
        last,
        (rest / dim**2).sqrt() / strengths.abs(),
        diagonal.std(-1, correction=0) / strengths.abs(),
        others.square().mean(-1).sqrt() / last.abs(),
        weights / weights.sum(),
    )


def debiased_gradient_step(
    inputs: Float[Tensor, "batch examples dim"],
    targets: Float[Tensor, "batch examples"],
    queries: Float[Tensor, "batch dim"],
    rate: float = 1.0,
    *,
    debiased: bool = True,
) -> Float[Tensor, "batch"]:
    """One gradient step of least squares from zero, asked at the query: (η / L) Σ_i (y_i − ȳ) x_iᵀ x_q.

    Two heads with opposite small ω compute it: the mean ȳ is what their softmax leaves of order zero.

    Args:
        inputs: x_i.
        targets: y_i.
        queries: x_q.
        rate: η.
        debiased: take ȳ from the targets; without it, the plain step.

    Raises:
        ValueError: if the shapes do not fit.
    """
    _check_prompt(inputs, targets, queries, inputs.shape[-1])
    centred = targets - targets.mean(-1, keepdim=True) if debiased else targets
    return rate * torch.einsum("bl,bld,bd->b", centred, inputs, queries) / targets.shape[-1]


def attention_risk(
    strengths: Float[Tensor, "heads"], outputs: Float[Tensor, "heads"], dim: int, examples: int, noise: float
) -> Float[Tensor, ""]:
    """The loss of circuits (ω, μ) for x ~ N(0, I), β ~ N(0, I / d), y = βᵀx + N(0, σ²), as section 4 approximates it.

    1 + σ² − 2 μᵀω + μᵀ (ωωᵀ + (1 + σ²) exp(d ωωᵀ) / L) μ, the exponential elementwise.

    Args:
        strengths: ω.
        outputs: μ.
        dim: d.
        examples: L.
        noise: σ².
    """
    products = torch.outer(strengths, strengths)
    moment = products + (1 + noise) * torch.exp(dim * products) / examples
    return 1 + noise - 2 * outputs @ strengths + outputs @ moment @ outputs


def _check_prompt(inputs: Tensor, targets: Tensor, queries: Tensor, dim: int) -> None:
    if inputs.ndim != 3 or inputs.shape[-1] != dim:
        raise ValueError(f"inputs: got shape {tuple(inputs.shape)}, want (batch, examples, {dim})")
    if targets.shape != inputs.shape[:2]:
        raise ValueError(f"targets: got shape {tuple(targets.shape)}, want {tuple(inputs.shape[:2])}")
    if queries.shape != (inputs.shape[0], dim):
        raise ValueError(f"queries: got shape {tuple(queries.shape)}, want {(inputs.shape[0], dim)}")
