"""Columns of a table as a network sees them: numbers, and categories as one-hot blocks; hiding, replacing, and the loss.

Schäfl et al. 2022, "Hopular: Modern Hopfield Networks for Tabular Data", arXiv 2206.00664, embedding layer and objective.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


class TableColumns(nn.Module):
    """Where each column's values lie in a row of numbers, and what can be done with them.

    A column of size 1 is a number (standardised by whoever gives it); one of size k ≥ 2 is a category of k classes, coded
    0 … k−1 and written as a one-hot block. No parameters: a module, so that its indices move with the network.

    Args:
        sizes: size of each column.

    Raises:
        ValueError: if there is no column, or a size is below 1.

    Example:
        >>> import torch
        >>> from replica.memory import TableColumns
        >>> columns = TableColumns((1, 3))
        >>> columns.encode(torch.tensor([[0.5, 2.0], [1.5, -1.0]]))
        tensor([[0.5000, 0.0000, 0.0000, 1.0000],
                [1.5000, 0.0000, 0.0000, 0.0000]])
    """

    column: Tensor
    numbers: Tensor
    categories: Tensor
    starts: Tensor
    block: Tensor
    padding: Tensor
    lengths: Tensor

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        if not sizes or min(sizes) < 1:
            raise ValueError(f"sizes: got {tuple(sizes)}, want one or more, each at least 1")
        self.sizes = tuple(int(size) for size in sizes)
        lengths = torch.tensor(self.sizes)
        starts = lengths.cumsum(0) - lengths
        categories = (lengths > 1).nonzero().squeeze(1)
        widest = int(lengths[categories].max()) if len(categories) else 0
        padding = torch.arange(widest) >= lengths[categories, None]
        # Padding reads the place after the last value.
        block = (starts[categories, None] + torch.arange(widest)).masked_fill(padding, sum(self.sizes))
        for name, index in (
            ("column", torch.repeat_interleave(torch.arange(len(lengths)), lengths)),
            ("numbers", (lengths == 1).nonzero().squeeze(1)),
            ("categories", categories),
            ("starts", starts),
            ("lengths", lengths),
            ("block", block),
            ("padding", padding),
        ):
            self.register_buffer(name, index, persistent=False)

    def __len__(self) -> int:
        """Number of columns."""
        return len(self.sizes)

    @property
    def width(self) -> int:
        """Numbers in a row: the sum of the sizes."""
        return len(self.column)

    def extra_repr(self) -> str:
        """What `print` shows."""
        return f"sizes={self.sizes}"

    def encode(self, table: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows width"]:
        """Numbers as they are, codes as one-hot blocks; a code that is no class (such as −1) as zeros.

        Raises:
            ValueError: if the table has not that many columns.
        """
        if table.dim() != 2 or table.shape[1] != len(self):
            raise ValueError(f"table: got shape {tuple(table.shape)}, want (rows, {len(self)})")
        place = torch.arange(self.width, device=table.device) - self.starts[self.column]
        given = table[:, self.column]
        return torch.where(self.lengths[self.column] == 1, given, (given == place).to(table.dtype))

    def corrupt(
        self,
        values: Float[Tensor, "rows width"],
        *,
        hide: float = 0.025,
        replace: float = 0.175,
        generator: torch.Generator | None = None,
    ) -> tuple[Float[Tensor, "rows width"], Bool[Tensor, "rows columns"]]:
        """Chooses entries of each row to hide, and others to replace by a random value, for the masking objective.

        Replacements: a standard normal number, a class drawn evenly.

        Args:
            values: encoded rows.
            hide: probability that an entry is hidden.
            replace: probability that it is replaced; the defaults of both are those of the authors' code.
            generator: source of the draws.

        Returns:
            The rows with replaced entries, and which entries are hidden (their values are still there:
            `Hopular` erases them).

        Raises:
            ValueError: if a probability is negative, or they sum to more than 1.
        """
        if not (hide >= 0 and replace >= 0 and hide + replace <= 1):
            raise ValueError(f"hide: got {hide} with replace {replace}, want probabilities that sum to 1 or less")
        shape, device = (len(values), len(self)), values.device
        fate = torch.rand(shape, generator=generator, device=device, dtype=values.dtype)
        replaced = (fate >= hide) & (fate < hide + replace)
        code = torch.rand(shape, generator=generator, device=device, dtype=values.dtype).mul(self.lengths).floor()
        noise = torch.randn(shape, generator=generator, device=device, dtype=values.dtype)
        drawn = self.encode(torch.where(self.lengths == 1, noise, code))
        return torch.where(replaced[:, self.column], drawn, values), fate < hide

    def losses(
        self, outputs: Float[Tensor, "rows width"], values: Float[Tensor, "rows width"]
    ) -> Float[Tensor, " columns"]:
        """Mean loss of each column: squared error of numbers, cross-entropy (in nats) of the softmax of categories."""
        losses = outputs.new_zeros(len(self))
        if len(self.numbers):
            place = self.starts[self.numbers]
            losses = losses.index_copy(0, self.numbers, (outputs[:, place] - values[:, place]).square().mean(0))
        if len(self.categories):
            logits = nn.functional.pad(outputs, (0, 1), value=-torch.inf)[:, self.block]
            chosen = nn.functional.pad(values, (0, 1))[:, self.block]
            surprise = logits.log_softmax(-1).masked_fill(self.padding, 0.0)
            losses = losses.index_copy(0, self.categories, -(chosen * surprise).sum(-1).mean(0))
        return losses
