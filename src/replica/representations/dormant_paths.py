"""Whether a direction changes the output through a dormant path (Makelov, Lange & Nanda 2024)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class DormantDecomposition:
    """A direction split by what the next weights read, v = v_null + v_row, and what each part does on data.

    Attributes:
        null: the part in the weights' kernel, causally disconnected.
        row: the part in their row space.
        null_share: the null part's share of v's squared length.
        reading_of_null: the null part's share of what a patch along v reads, cov(v_nullᵀh, vᵀh) / var(vᵀh). May be below 0
            or above 1, where the parts work against each other.
        row_activity: standard deviation of the activations along v_row, over that of what a patch along v writes there: 1
            where v lies in the row space, 0 where v_row is dormant.
    """

    null: Float[Tensor, " units"]
    row: Float[Tensor, " units"]
    null_share: float
    reading_of_null: float
    row_activity: float

    @property
    def disconnected(self) -> bool:
        """Most of what a patch along the direction reads lies where nothing downstream looks."""
        return self.reading_of_null > 0.5

    @property
    def dormant(self) -> bool:
        """What is read downstream varies less than half as much as a patch along the direction makes it vary."""
        return self.row_activity < 0.5

    @property
    def illusory(self) -> bool:
        """Reads a disconnected part and writes a dormant one: its effect says nothing about where the feature is."""
        return self.disconnected and self.dormant


def dormant_decomposition(
    direction: Float[Tensor, " units"],
    weights: Float[Tensor, "outputs units"],
    activations: Float[Tensor, "samples units"],
) -> DormantDecomposition:
    """Splits a direction into a causally disconnected and a connected part, and measures both on data.

    Args:
        direction: v, of any length but 0.
        weights: all that reads the layer, as `nn.Linear` holds it: the weights of several readers one below the other.
        activations: of the layer, h, over the data.

    Raises:
        ValueError: if shapes do not fit, the direction is 0, or activations do not vary along it.

    Example:
        The paper's example: h = (x, 0, x), whose second unit is dormant and whose first nothing reads.

        >>> import torch
        >>> from replica.representations import dormant_decomposition
        >>> x = torch.linspace(-1, 1, 9)
        >>> h = torch.stack([x, 0 * x, x], 1)
        >>> found = dormant_decomposition(torch.tensor([1.0, 1.0, 0.0]), torch.diag(torch.tensor([0.0, 2.0, 1.0])), h)
        >>> found.null, found.row, found.illusory
        (tensor([1., 0., 0.]), tensor([0., 1., 0.]), True)
    """
    units = len(direction) if direction.dim() == 1 else -1
    if units < 1 or not bool(direction.any()):
        raise ValueError(f"direction: got shape {tuple(direction.shape)}, want one vector that is not 0")
    for name, given in (("weights", weights), ("activations", activations)):
        if given.dim() != 2 or given.shape[1] != units:
            raise ValueError(f"{name}: got shape {tuple(given.shape)}, want (…, {units}) as the direction has it")
    if len(activations) < 2:
        raise ValueError(f"activations: got {len(activations)} samples, want 2 or more")
    _, values, vectors = torch.linalg.svd(weights.double(), full_matrices=False)
    # The rank as NumPy and MATLAB have it.
    rows = vectors[values > values[0] * max(weights.shape) * torch.finfo(weights.dtype).eps]
    whole = direction.double()
    row = (rows @ whole) @ rows
    null = whole - row
    centred = activations.double() - activations.double().mean(0)
    along, read_by_null, along_row = centred @ whole, centred @ null, centred @ row
    spread = float(along.square().mean())
    if not spread > 0:
        raise ValueError("activations: got ones that do not vary along the direction, want ones that do")
    squares, whole_squares = float(row.square().sum()), float(whole.square().sum())
    connected = squares > 1e-18 * whole_squares
    # A patch moves the activations by (vᵀΔh) v / |v|², along v_row by (vᵀΔh) |v_row| / |v|².
    activity = float((along_row.square().mean() / spread).sqrt()) * whole_squares / squares if connected else 0.0
    return DormantDecomposition(
        null=null.to(direction),
        row=row.to(direction),
        null_share=float(null.square().sum()) / whole_squares,
        reading_of_null=float((along * read_by_null).mean()) / spread,
        row_activity=activity,
    )
