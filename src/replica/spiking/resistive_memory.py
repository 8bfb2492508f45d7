"""Weights held as conductances of resistive-memory cells, with all that such cells do wrong."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn


@dataclass(frozen=True)
class ResistiveCells:
    """One kind of resistive-memory cell: the conductances that it can hold and how it errs, all in microsiemens.

    Cells get their conductances in one of two ways. *Forming* gives every cell the same pulse and takes what comes: normal
    numbers around the middle of the range. *Writing* aims at a conductance each, and misses it.

    Args:
        low: Lowest conductance.
        high: Highest conductance.
        spread: Standard deviation of formed conductances, from cell to cell.
        levels: How many conductances can be written, evenly spaced from low to high; None for all.
        write_noise: Standard deviation of a written conductance around its aim.
        read_noise: Standard deviation of each reading, independent of all others.
        stuck: Share of cells that do not change, half of them at low and half at high.

    Raises:
        ValueError: if a number is out of range.

    Source: Lin et al. 2023 describe both the random weights and their use; the numbers by default are those of the same
    group's later code (MrLinNing/RMAdaptiveMachine): 20 to 80 µS, and differences of two cells that spread by 6.6 µS.

    Example:
        >>> cells = ResistiveCells(levels=3)
        >>> cells.write(torch.tensor([0.0, 43.0, 60.0, 90.0]))
        tensor([20., 50., 50., 80.])
    """

    low: float = 20.0
    high: float = 80.0
    spread: float = 4.7
    levels: int | None = None
    write_noise: float = 0.0
    read_noise: float = 0.0
    stuck: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high:
            raise ValueError(f"low, high: got {self.low} and {self.high}, want 0 or more, and low below high")
        if self.levels is not None and self.levels < 2:
            raise ValueError(f"levels: got {self.levels}, want 2 or more, or None")
        for name in ("spread", "write_noise", "read_noise"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}: got {getattr(self, name)}, want 0 or more")
        if not 0 <= self.stuck <= 1:
            raise ValueError(f"stuck: got {self.stuck}, want from 0 to 1")

    @property
    def middle(self) -> float:
        """Middle of the range."""
        return (self.low + self.high) / 2

    def form(
        self, *shape: int, generator: torch.Generator | None = None, dtype: torch.dtype | None = None
    ) -> Float[Tensor, "*shape"]:
        """Conductances as forming leaves them: normal around the middle of the range, cut off at its ends.

        Args:
            *shape: How many cells.
            generator: Source of the numbers; the cells lie on its device.
            dtype: Their floating-point type.
        """
        drawn = _normal(shape, generator, None if generator is None else generator.device, dtype)
        return self._broken((self.middle + self.spread * drawn).clamp(self.low, self.high), generator)

    def write(
        self, targets: Float[Tensor, "*shape"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "*shape"]:
        """Conductances after writing these: the nearest level in the range, missed by the write noise.

        Args:
            targets: Conductances that are wanted.
            generator: Source of the noise and of the stuck cells, on the targets' device.
        """
        held = targets.clamp(self.low, self.high)
        if self.levels is not None:
            step = (self.high - self.low) / (self.levels - 1)
            held = self.low + step * ((held - self.low) / step).round()
        if self.write_noise:
            noise = _normal(held.shape, generator, held.device, held.dtype)
            held = (held + self.write_noise * noise).clamp(self.low, self.high)
        return self._broken(held, generator)

    def _broken(self, conductances: Tensor, generator: torch.Generator | None) -> Tensor:
        if not self.stuck:
            return conductances
        chance = torch.rand(
            conductances.shape, generator=generator, device=conductances.device, dtype=conductances.dtype
        )
        conductances = torch.where(chance < self.stuck, self.high, conductances)
        return torch.where(chance < self.stuck / 2, self.low, conductances)


class ResistiveLinear(nn.Module):
    """A linear layer without bias whose weights are differences of two conductances each; nothing of it is learned.

    W = c (G⁺ − G⁻), with an amplifier c. A reading of cell g gives g + σ ε anew for each use, so that

        y_i = Σ_j W_ij x_j + c σ √(2 Σ_j x_j²) ε_i,   ε_i normal:

    the noise of all cells of a row in one number, exact where every row of the batch is a reading of its own. Gradients pass
    through the product and not through the size of the noise.

    Args:
        inputs: Dimension of the input.
        outputs: Dimension of the output.
        cells: Kind of cells.
        weight: Weights to be written, shape (outputs, inputs): G± = middle ± W / 2c. Without them the cells are formed, and
            the weights are what the forming gives.
        scale: c, weight of a microsiemens. Default 1 / (√2 spread √inputs) where formed, so that weights have variance
            1 / inputs; where written, the greatest weight over the width of the range.
        generator: Source of all random numbers; the layer lies on its device, or on that of the weight.

    Raises:
        ValueError: if a number is out of range or the weight has another shape.

    Source: Lin et al. 2023 (random weights as differences of conductances).

    Example:
        >>> written = ResistiveLinear(2, 1, weight=torch.tensor([[1.0, -0.5]]))
        >>> written(torch.tensor([[1.0, 1.0]])), written.positive
        (tensor([[0.5000]]), tensor([[80., 35.]]))
    """

    positive: Tensor
    negative: Tensor
    scale: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        cells: ResistiveCells | None = None,
        weight: Float[Tensor, "outputs inputs"] | None = None,
        scale: float | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        for name, value in (("inputs", inputs), ("outputs", outputs)):
            if value < 1:
                raise ValueError(f"{name}: got {value}, want 1 or more")
        if scale is not None and not scale > 0:
            raise ValueError(f"scale: got {scale}, want more than 0")
        self.inputs, self.outputs, self.cells = inputs, outputs, cells or ResistiveCells()
        if weight is None:
            if scale is None:
                if not self.cells.spread > 0:
                    raise ValueError(
                        "spread: got 0, want more for cells that are formed and have no scale of their own"
                    )
                scale = 1 / (math.sqrt(2 * inputs) * self.cells.spread)
            pair = [self.cells.form(outputs, inputs, generator=generator) for _ in range(2)]
        else:
            if weight.shape != (outputs, inputs):
                raise ValueError(f"weight: got shape {tuple(weight.shape)}, want ({outputs}, {inputs})")
            if scale is None:
                scale = (float(weight.detach().abs().max()) or 1.0) / (self.cells.high - self.cells.low)
            half = weight.detach() / (2 * scale)
            pair = [self.cells.write(self.cells.middle + sign * half, generator=generator) for sign in (1, -1)]
        self.register_buffer("positive", pair[0])
        self.register_buffer("negative", pair[1])
        self.register_buffer("scale", torch.tensor(scale, dtype=pair[0].dtype, device=pair[0].device))

    @property
    def weight(self) -> Float[Tensor, "outputs inputs"]:
        """W as the cells hold it, without the noise of a reading."""
        return self.scale * (self.positive - self.negative)

    def forward(
        self, inputs: Float[Tensor, "*batch inputs"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "*batch outputs"]:
        """The product, each row a reading of its own.

        Args:
            inputs: Voltages, or spikes.
            generator: Source of the read noise; without one, PyTorch's own.

        Raises:
            ValueError: if the last axis is not the number of inputs.
        """
        if inputs.shape[-1] != self.inputs:
            raise ValueError(f"inputs: got shape {tuple(inputs.shape)}, want {self.inputs} numbers last")
        return self.read(inputs, self.weight, generator)

    def read(
        self,
        inputs: Float[Tensor, "*batch inputs"],
        weight: Float[Tensor, "outputs inputs"],
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "*batch outputs"]:
        """The product with a weight at hand, for loops that read the same cells again and again."""
        product = inputs @ weight.T
        if not self.cells.read_noise:
            return product
        # Noise passes no gradient: its size has none where nothing comes in.
        size = self.scale * self.cells.read_noise * math.sqrt(2.0) * inputs.detach().norm(dim=-1, keepdim=True)
        return product + size * _normal(product.shape, generator, product.device, product.dtype)

    def amplify(self, deviation: float) -> "ResistiveLinear":
        """Set the amplifier so that the weights that the cells hold have this root mean square. Returns the layer.

        Raises:
            ValueError: if all weights are 0.
        """
        held = float((self.positive - self.negative).square().mean().sqrt())
        if not held > 0:
            raise ValueError("weight: got cells that are all alike, want some that differ")
        self.scale.fill_(deviation / held)
        return self

    def extra_repr(self) -> str:
        """What is shown of it."""
        return f"inputs={self.inputs}, outputs={self.outputs}, cells={self.cells}"


def _normal(
    shape: tuple[int, ...],
    generator: torch.Generator | None,
    device: torch.device | None,
    dtype: torch.dtype | None,
) -> Tensor:
    return torch.randn(shape, generator=generator, device=device, dtype=dtype)
