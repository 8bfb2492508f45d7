"""Hopular: a network for small tables in which every block looks up the training set and the row's own features.

Schäfl et al. 2022, "Hopular: Modern Hopfield Networks for Tabular Data", arXiv 2206.00664. Their letters: embedded row y,
current prediction ξ (Ξ as a matrix with a row a feature; `state`), stored training set X (`memory`), Hopfield modules H_s
(`samples`) and H_f (`features`), embedding E, summarisation S, embedding size e (`width`), blocks L.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from .hopfield_association import HopfieldAssociation
from .table_columns import TableColumns


class HopularBlock(nn.Module):
    r"""One refinement of the current prediction, from the whole training set and from the row as it was given.

        ξ ← ξ + H_s(ξ),   Ξ ← Ξ + H_f(Ξ)   (Algorithm 1, lines 4 to 7)

    H_s looks ξ up among the embedded training rows X, H_f each of the row's features among its original ones Y, both as
    softmax(β Q Kᵀ) V of layer-normalised patterns, in several heads (Eq. 1 to 3).

    Args:
        columns: number of features, the target among them.
        width: dimension e of a feature's embedding.
        heads: Hopfield networks of each module (N).
        scaling: β in units of 1/√(dimension of the association space): small averages, large nearest neighbours.
        dropout: of the association weights.
        samples: whether H_s is there.
        features: whether H_f is there.
        generator: source of the initial weights.

    Shapes: state and original (batch, columns, width), memory (count, columns, width) give (batch, columns, width).

    Raises:
        ValueError: if `scaling` is not above 0, or a shape does not fit.

    Source: Schäfl et al. 2022, Section 2, Eq. 1 to 3 and Algorithm 1. The values are projections of the stored patterns by
    one matrix, as in the authors' code, for the product W_S W_X.

    Example:
        >>> import torch
        >>> from replica.memory import HopularBlock
        >>> block = HopularBlock(3, 8, heads=2)
        >>> rows, training_set = torch.randn(5, 3, 8), torch.randn(20, 3, 8)
        >>> block(rows, rows, training_set).shape
        torch.Size([5, 3, 8])
    """

    def __init__(
        self,
        columns: int,
        width: int,
        *,
        heads: int = 8,
        scaling: float = 1.0,
        dropout: float = 0.1,
        samples: bool = True,
        features: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not (scaling > 0 and math.isfinite(scaling)):
            raise ValueError(f"scaling: got {scaling}, want a finite number above 0")

        def lookup(dim: int) -> HopfieldAssociation:
            space = max(1, dim // heads)
            layer = HopfieldAssociation(
                dim,
                association_dim=space,
                heads=heads,
                beta=scaling / math.sqrt(space),
                normalize=False,
                dropout=dropout,
                generator=generator,
            )
            for projection in (layer.query, layer.key, layer.value, layer.out):
                _start(projection.weight, dim, generator)
                _start(projection.bias, dim, generator)
            return layer

        self.samples = lookup(columns * width) if samples else None
        self.sample_norm = nn.LayerNorm(columns * width) if samples else None
        self.features = lookup(width) if features else None
        self.feature_norm = nn.LayerNorm(width) if features else None

    def forward(
        self,
        state: Float[Tensor, "batch columns width"],
        original: Float[Tensor, "batch columns width"],
        memory: Float[Tensor, "count columns width"],
        *,
        exclude: Bool[Tensor, "batch count"] | None = None,
    ) -> Float[Tensor, "batch columns width"]:
        """The refined prediction; `exclude` is True where a row must not look at a stored one."""
        if self.samples is not None and self.sample_norm is not None:
            asked, stored = self.sample_norm(state.flatten(1)), self.sample_norm(memory.flatten(1))
            found = self.samples(asked[None], stored[None], attention_mask=exclude)[0]
            state = state + found.view_as(state)
        if self.features is not None and self.feature_norm is not None:
            state = state + self.features(self.feature_norm(state), self.feature_norm(original))
        return state


class Hopular(nn.Module):
    r"""Predicts the hidden columns of a row from the others, by refining a prediction block by block.

    A row's columns, each with a flag that says whether it is hidden, are embedded by one linear map a column, plus an
    embedding of the column's type and position; blocks refine the embedding; a linear map of all of it gives every
    column's value: a number, or the logits of a category (Algorithm 1).

    The training set is an argument, not part of the network: give it with nothing hidden. In training, `exclude` hides a
    row from itself, else it would read its own target.

    Args:
        sizes: size of each column, targets among them: 1 for a number, k for a category of k classes (see
            `TableColumns`).
        width: dimension e of a feature's embedding.
        heads: Hopfield networks of each module.
        blocks: number of refinements L.
        scaling: see `HopularBlock`.
        input_dropout: dropout in the embedding.
        lookup_dropout: dropout of the association weights.
        output_dropout: dropout before the last map.
        samples: whether blocks look up the training set.
        features: whether blocks look up the row's own features.
        generator: source of the initial weights.

    Shapes: values (batch, Σ sizes) and memory (count, Σ sizes) give (batch, Σ sizes).

    Raises:
        ValueError: if an option is out of range, or a shape does not fit.

    Source: Schäfl et al. 2022, Section 2 and Algorithm 1; sizes, dropout and initial weights of
    github.com/ml-jku/hopular.

    Example:
        >>> import torch
        >>> from replica.memory import Hopular
        >>> network = Hopular((1, 1, 3), width=8, heads=2, blocks=2).eval()
        >>> table = torch.tensor([[0.3, -1.2, 0.0], [0.1, 0.5, 2.0], [1.0, 0.2, 1.0]])
        >>> memory = network.columns.encode(table)
        >>> asked, target = memory[:2], torch.tensor([[False, False, True]])
        >>> network(asked, memory, hidden=target.expand(2, -1)).shape
        torch.Size([2, 5])
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        width: int = 32,
        heads: int = 8,
        blocks: int = 4,
        scaling: float = 1.0,
        input_dropout: float = 0.1,
        lookup_dropout: float = 0.1,
        output_dropout: float = 0.01,
        samples: bool = True,
        features: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        for name, count in (("width", width), ("heads", heads), ("blocks", blocks)):
            if count < 1:
                raise ValueError(f"{name}: got {count}, want 1 or more")
        for name, share in (
            ("input_dropout", input_dropout),
            ("lookup_dropout", lookup_dropout),
            ("output_dropout", output_dropout),
        ):
            if not 0 <= share < 1:
                raise ValueError(f"{name}: got {share}, want a number in [0, 1)")
        self.columns = TableColumns(sizes)
        count, total = len(self.columns), self.columns.width
        fan_in = self.columns.lengths + 1
        # Row i embeds the i-th value of a row, and then the c-th flag: only its own column's part of the embedding.
        owner = torch.cat([self.columns.column, torch.arange(count)])
        self.register_buffer("owner", nn.functional.one_hot(owner, count).bool(), persistent=False)
        self.embedding = nn.Parameter(_uniform((total + count, width), generator) / fan_in[owner, None].sqrt())
        self.embedding_bias = nn.Parameter(_uniform((count, width), generator) / fan_in[:, None].sqrt())
        self.types = nn.Parameter(_uniform((2, width), generator) / math.sqrt(width))
        self.positions = nn.Parameter(_uniform((count, width), generator) / math.sqrt(width))
        self.gain = nn.Parameter(torch.ones(count, width))
        self.offset = nn.Parameter(torch.zeros(count, width))
        self.projection = nn.Parameter(_uniform((count, width, width), generator) / math.sqrt(width))
        self.projection_bias = nn.Parameter(_uniform((count, width), generator) / math.sqrt(width))
        self.input_dropout = nn.Dropout(input_dropout)
        self.blocks = nn.ModuleList(
            HopularBlock(
                count,
                width,
                heads=heads,
                scaling=scaling,
                dropout=lookup_dropout,
                samples=samples,
                features=features,
                generator=generator,
            )
            for _ in range(blocks)
        )
        out = nn.utils.skip_init(nn.Linear, count * width, total)
        _start(out.weight, count * width, generator)
        _start(out.bias, count * width, generator)
        self.summary = nn.Sequential(nn.GELU(), nn.Dropout(output_dropout), nn.LayerNorm(count * width), out)

    owner: Tensor

    def embed(
        self, values: Float[Tensor, "batch total"], hidden: Bool[Tensor, "batch columns"] | None = None
    ) -> Float[Tensor, "batch columns width"]:
        """The embedding E of rows; hidden values are erased first."""
        if hidden is None:
            flags = values.new_zeros(len(values), len(self.columns))
        else:
            flags = hidden.to(values.dtype)
            values = values.masked_fill(hidden[:, self.columns.column], 0.0)
        weight = (self.embedding[:, None] * self.owner[..., None]).flatten(1)
        kind = self.types[(self.columns.lengths > 1).long()]
        shift = (self.embedding_bias + kind + self.positions).flatten()
        embedded = torch.addmm(shift, torch.cat([values, flags], 1), weight).unflatten(1, self.positions.shape)
        embedded = self.input_dropout(nn.functional.gelu(embedded))
        embedded = nn.functional.layer_norm(embedded, embedded.shape[-1:]) * self.gain + self.offset
        return torch.einsum("bce,cef->bcf", embedded, self.projection) + self.projection_bias

    def forward(
        self,
        values: Float[Tensor, "batch total"],
        memory: Float[Tensor, "count total"],
        *,
        hidden: Bool[Tensor, "batch columns"] | None = None,
        exclude: Bool[Tensor, "batch count"] | None = None,
    ) -> Float[Tensor, "batch total"]:
        """Every column of the rows as predicted: numbers, and logits of categories.

        Args:
            values: rows to complete, encoded by `columns.encode`.
            memory: the training set, encoded, with nothing hidden.
            hidden: True where a column of a row is to be predicted without being seen. Default nowhere.
            exclude: True where a row must not look at a stored one, such as itself.

        Raises:
            ValueError: if a shape does not fit.
        """
        for name, rows, least in (("values", values, 0), ("memory", memory, 1)):
            if rows.dim() != 2 or rows.shape[1] != self.columns.width or len(rows) < least:
                wanted = f"(rows, {self.columns.width}) with {least} rows or more"
                raise ValueError(f"{name}: got shape {tuple(rows.shape)}, want {wanted}")
        for name, mask, shape in (
            ("hidden", hidden, (len(values), len(self.columns))),
            ("exclude", exclude, (len(values), len(memory))),
        ):
            if mask is not None and (tuple(mask.shape) != shape or mask.dtype != torch.bool):
                given = f"{mask.dtype} of shape {tuple(mask.shape)}"
                raise ValueError(f"{name}: got {given}, want torch.bool of shape {shape}")
        original = self.embed(values, hidden)
        stored = self.embed(memory)
        state = original
        for block in self.blocks:
            state = block(state, original, stored, exclude=exclude)
        return self.summary(state.flatten(1))


def _uniform(shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    return torch.empty(shape).uniform_(-1, 1, generator=generator)


def _start(weight: Tensor, fan_in: int, generator: torch.Generator | None) -> None:
    # The authors start all projections as PyTorch's linear layers do, and the biases with them.
    nn.init.uniform_(weight, -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in), generator=generator)
