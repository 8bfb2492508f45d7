"""Boltzmann machines with any connections whose mean-field equations have exactly one solution.

Feng, Winston and Kolter 2023, "Monotone deep Boltzmann machines", arXiv 2307.04990. Their letters as in
`monotone_machine`, and the factor A of the potentials (`factor`), its columns of node i scaled, Â_i.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d

from replica.training.mixed_precision import at_least_single, in_own_precision

from .mean_field_solvers import Couple
from .monotone_machine import _MonotoneMachine, _shrinkage

_POWER_STEPS = 30


_POWER_SLACK = 1.1


class MonotoneBoltzmann(_MonotoneMachine):
    r"""Boltzmann machine of one-hot nodes, all connected with all, whose mean-field fixed point exists and is unique.

    Probability of states x (one-hot, all nodes side by side): p(x) ∝ exp(½ xᵀ Φ x + bᵀ x). The couplings are

        Φ = blkdiag(ÂᵀÂ) − ÂᵀÂ,   Â_i = min(1, √(1 − m) / ‖A_i‖₂) A_i,

    with one block a node, so that Φ vanishes within nodes. The first term is at most (1 − m) I and the second at most 0,
    hence I − Φ ⪰ m I: the mean-field equations q = softmax(Φ q + b) have exactly one solution, which `infer` finds from any
    start. Every block-hollow Φ ⪯ (1 − m) I has this form, if the rank allows it. Layers only name the nodes: a layer can be
    pixels, hidden nodes or the label. The fixed point can be differentiated once.

    The paper asks for 0 < m < 1. Softmax is Lipschitz with ½, so any m > −1 will do, and couplings can be twice as strong.

    Args:
        layers: (nodes, states) of each layer.
        rank: rows of A. Default the number of entries, which allows every Φ.
        margin: m, above −1 and below 1.
        gain: size of the first A: ‖A_i‖₂ is about `gain` for a node of few states.
        steps: most updates of the solver.
        tolerance: of its fixed-point equation; see `forward_backward`.
        momentum: whether the solver extrapolates.
        generator: source of the first A, normal.
        device: where the parameters live. Default the generator's device.
        dtype: their floating-point type.

    Raises:
        ValueError: if a number is out of range.

    Shapes: states (batch, nodes) of each layer give marginals (batch, nodes, states) of each.

    Source: Feng et al. 2023, Sections 2 and 3.

    Example:
        >>> import torch
        >>> from replica.memory import MonotoneBoltzmann
        >>> machine = MonotoneBoltzmann([(16, 2), (8, 2), (1, 10)], generator=torch.Generator().manual_seed(0))
        >>> pixels = torch.ones(3, 16, dtype=torch.long)
        >>> pixels[:, 8:] = -1  # the lower half is not seen
        >>> seen, hidden, label = machine(pixels)
        >>> label.shape, bool(torch.allclose(seen.sum(-1), torch.ones(3, 16)))
        (torch.Size([3, 1, 10]), True)
    """

    _node: Tensor  # which node each entry belongs to

    def __init__(
        self,
        layers: Sequence[tuple[int, int]],
        *,
        rank: int | None = None,
        margin: float = 0.01,
        gain: float = 0.5,
        steps: int = 1000,
        tolerance: float = 1e-5,
        momentum: bool = True,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        device = generator.device if device is None and generator is not None else device
        super().__init__(layers, margin, steps, tolerance, momentum, device, dtype)
        rank = self.layout.entries if rank is None else rank
        if rank < 1:
            raise ValueError(f"rank: got {rank}, want 1 or more")
        if not gain >= 0:
            raise ValueError(f"gain: got {gain}, want 0 or more")
        factor = torch.randn(rank, self.layout.entries, generator=generator, device=device, dtype=dtype)
        self.factor = nn.Parameter(gain / math.sqrt(rank) * factor)
        states = torch.cat([torch.full((nodes,), count) for nodes, count in self.layout.layers]).to(factor.device)
        node = torch.arange(len(states), device=factor.device).repeat_interleave(states)
        self.register_buffer("_node", node, persistent=False)

    @in_own_precision
    def scaled_factor(self) -> Float[Tensor, "rank entries"]:
        """Â: A with the columns of each node shrunk to a spectral norm of √(1 − m) at most; float32 of half precision."""
        parts = []
        for nodes in self.layout.split(at_least_single(self.factor)):  # (rank, nodes, states)
            grams = torch.einsum("rns,rnt->nst", nodes, nodes)
            parts.append(nodes * _shrinkage(grams, self.margin).unsqueeze(-1))
        return self.layout.join(parts)

    def couplings(self) -> Float[Tensor, "entries entries"]:
        """Φ, symmetric, zero within each node, its eigenvalues at most 1 − m."""
        return self._hollow(self.scaled_factor())

    def coupling(self) -> tuple[Couple, float]:
        """See the base class: L = 1 + ‖Â‖₂² bounds I − Φ."""
        factor = self.scaled_factor()
        matrix = self._hollow(factor)
        with torch.no_grad():
            gram = factor @ factor.T if len(factor) < factor.shape[1] else factor.T @ factor
            bound = 1 + float(torch.linalg.eigvalsh(gram)[-1])
        return lambda q: q @ matrix, bound

    def _hollow(self, factor: Tensor) -> Tensor:
        product = factor.T @ factor
        # blkdiag(ÂᵀÂ) − ÂᵀÂ is −ÂᵀÂ with the blocks cut out: exactly zero there, whatever the rounding.
        return torch.where(self._node[:, None] == self._node, 0.0, -product)


class ConvolutionalMonotoneBoltzmann(_MonotoneMachine):
    r"""Monotone Boltzmann machine of an image, hidden nodes in cells, and a label, with convolutional couplings.

    The image is cut into square cells. A has two groups of rows: a convolution over cells, which sees the pixels and the
    hidden nodes of each, and rows that see all hidden nodes and the label. Pixels and hidden nodes are thus connected among
    themselves and with one another within a kernel's reach, hidden nodes also far off, and the label with hidden nodes. The
    convolution runs over the border by a whole kernel, so that AᵀA has the same block in every cell; see
    `MonotoneBoltzmann` for what makes the fixed point unique.

    Layers: pixels (height · width nodes, row by row), hidden (cells · nodes, cell by cell), label (1 node).

    Args:
        size: (height, width) in pixels.
        levels: states of a pixel.
        classes: states of the label.
        hidden: (nodes, states) of each cell.
        cell: side of a cell in pixels; it divides height and width.
        kernel: side of the convolution in cells.
        rank: rows of the convolution.
        label_rank: rows that see hidden nodes and label.
        margin: m, above −1 and below 1.
        gain: size of the first A.
        steps: most updates of the solver.
        tolerance: of its fixed-point equation; see `forward_backward`.
        momentum: whether the solver extrapolates.
        generator: source of the first A, normal.
        device: where the parameters live. Default the generator's device.
        dtype: their floating-point type.

    Raises:
        ValueError: if a number is out of range, or cells do not fit the image.

    Source: Feng et al. 2023, Section 3, on convolutions. The authors stack two layers of hidden nodes at strides 2 and 4;
    here there is one layer, whose nodes all see one another in the reach of the kernel.

    Example:
        >>> import torch
        >>> from replica.memory import ConvolutionalMonotoneBoltzmann
        >>> generator = torch.Generator().manual_seed(0)
        >>> machine = ConvolutionalMonotoneBoltzmann((8, 8), 2, 10, hidden=(4, 2), rank=16, generator=generator)
        >>> [part.shape[1:] for part in machine(torch.zeros(3, 64, dtype=torch.long))]
        [torch.Size([64, 2]), torch.Size([64, 2]), torch.Size([1, 10])]
    """

    def __init__(
        self,
        size: tuple[int, int],
        levels: int,
        classes: int,
        *,
        hidden: tuple[int, int] = (8, 4),
        cell: int = 2,
        kernel: int = 3,
        rank: int = 64,
        label_rank: int = 64,
        margin: float = 0.01,
        gain: float = 0.5,
        steps: int = 1000,
        tolerance: float = 1e-5,
        momentum: bool = True,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        device = generator.device if device is None and generator is not None else device
        if cell < 1 or size[0] < cell or size[1] < cell or size[0] % cell or size[1] % cell:
            raise ValueError(f"cell: got {cell}, want a divisor of the image's height and width, {size}")
        for name, value in (("kernel", kernel), ("rank", rank), ("label_rank", label_rank)):
            if value < 1:
                raise ValueError(f"{name}: got {value}, want 1 or more")
        if not gain >= 0:
            raise ValueError(f"gain: got {gain}, want 0 or more")
        self._cells = (size[0] // cell, size[1] // cell)
        self._cell, self._levels, self._hidden = cell, levels, hidden
        count = self._cells[0] * self._cells[1]
        layers = ((size[0] * size[1], levels), (count * hidden[0], hidden[1]), (1, classes))
        super().__init__(layers, margin, steps, tolerance, momentum, device, dtype)

        def normal(*shape: int, rows: int) -> nn.Parameter:
            drawn = torch.randn(*shape, generator=generator, device=device, dtype=dtype)
            return nn.Parameter(gain / math.sqrt(2 * rows) * drawn)

        channels, taps = cell**2 * levels + hidden[0] * hidden[1], kernel**2
        self.kernel = normal(rank, channels, kernel, kernel, rows=rank * taps)
        self.hidden_rows = normal(label_rank, count * hidden[0], hidden[1], rows=label_rank)
        self.label_rows = normal(label_rank, classes, rows=label_rank)

    def coupling(self) -> tuple[Couple, float]:
        """See the base class: L = 1 + ‖Â‖₂², the norm found by power iteration, with a tenth to spare."""
        (nodes, states), (height, width), side = self._hidden, self._cells, self.kernel.shape[-1]
        kernel, hidden_rows, label_rows = map(at_least_single, (self.kernel, self.hidden_rows, self.label_rows))
        pixel_taps = kernel[:, : -nodes * states].unflatten(1, (-1, self._levels))
        hidden_taps = kernel[:, -nodes * states :].unflatten(1, (nodes, states))
        pixel_blocks = torch.einsum("rnsyx,rntyx->nst", pixel_taps, pixel_taps)
        hidden_blocks = torch.einsum("rnsyx,rntyx->nst", hidden_taps, hidden_taps).repeat(height * width, 1, 1)
        hidden_blocks = hidden_blocks + torch.einsum("rns,rnt->nst", hidden_rows, hidden_rows)
        label_block = label_rows.T @ label_rows
        pixel_shrinkage = _shrinkage(pixel_blocks, self.margin)  # by place in the cell
        hidden_shrinkage, label_shrinkage = (_shrinkage(block, self.margin) for block in (hidden_blocks, label_block))

        def to_cells(pixels: Tensor, hidden: Tensor) -> Tensor:
            cut = pixels.unflatten(1, (height, self._cell, width, self._cell)).permute(0, 2, 4, 5, 1, 3)
            laid = hidden.unflatten(1, (height, width, nodes)).permute(0, 3, 4, 1, 2)
            return torch.cat([cut.flatten(1, 3), laid.flatten(1, 2)], 1)

        def from_cells(cells: Tensor) -> tuple[Tensor, Tensor]:
            cut = cells[:, : -nodes * states].unflatten(1, (self._cell, self._cell, self._levels))
            laid = cells[:, -nodes * states :].unflatten(1, (nodes, states))
            return cut.permute(0, 4, 1, 5, 2, 3).flatten(1, 4), laid.permute(0, 3, 4, 1, 2).flatten(1, 3)

        def scaled(pixels: Tensor, hidden: Tensor, label: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            places = pixel_shrinkage.view(self._cell, 1, self._cell).expand(-1, width, -1)
            rows = places.reshape(self._cell, -1).repeat(height, 1).reshape(-1, 1)
            return pixels * rows, hidden * hidden_shrinkage.unsqueeze(-1), label * label_shrinkage

        def squares(pixels: Tensor, hidden: Tensor, label: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # AᵀA q
            image = conv2d(to_cells(pixels, hidden), kernel, padding=side - 1)
            own_pixels, own_hidden = from_cells(conv_transpose2d(image, kernel, padding=side - 1))
            rows = torch.einsum("rns,bns->br", hidden_rows, hidden) + label.squeeze(1) @ label_rows.T
            far = torch.einsum("rns,br->bns", hidden_rows, rows)
            return own_pixels, own_hidden + far, (rows @ label_rows).unsqueeze(1)

        def blocks(pixels: Tensor, hidden: Tensor, label: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # blkdiag(AᵀA) q
            places = pixels.unflatten(1, (height, self._cell, width, self._cell))
            inner = pixel_blocks.unflatten(0, (self._cell, self._cell))
            of_pixels = torch.einsum("bhywxs,yxst->bhywxt", places, inner).flatten(1, 4)
            return of_pixels, torch.einsum("bns,nst->bnt", hidden, hidden_blocks), label @ label_block

        def couple(marginals: Tensor) -> Tensor:
            parts = scaled(*self.layout.split(marginals))
            differences = [block - square for block, square in zip(blocks(*parts), squares(*parts), strict=True)]
            return self.layout.join(scaled(*differences))

        with torch.no_grad():
            # A start without symmetry, the same every time.
            vector = torch.arange(1, self.layout.entries + 1, device=kernel.device, dtype=kernel.dtype)
            vector = (vector * 12.9898).sin().unsqueeze(0)
            norm = torch.ones_like(vector[0, 0])
            for _ in range(_POWER_STEPS):
                norm = vector.norm()
                vector = self.layout.join(scaled(*squares(*scaled(*self.layout.split(vector / norm)))))
        return couple, 1 + _POWER_SLACK * float(vector.norm())
