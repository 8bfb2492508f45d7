"""Codebook layer: a bottleneck that lets through only sums of a few codes out of a learned codebook.

Tamkin, Taufeeque & Goodman 2023, "Codebook Features: Sparse and Discrete Interpretability for Neural Networks", arXiv
2310.17230. Their letters: activation a (`inputs`), codes c_1 … c_C (`codes`, their number C is `count`), active codes k
(`active`). A group of codebooks, one a part of the activation, stands behind the heads of an attention layer.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

_BLOCK_ENTRIES = 2**21  # Largest block of similarities held at once: 8 MiB in float32, near what caches hold.


class Quantized(NamedTuple):
    """What a codebook made of its inputs.

    Attributes:
        output: sums of the active codes, shape (..., dim); gradients pass straight through to the inputs.
        codes: indices of the active codes, the most similar first, shape (..., groups, active).
        reconstruction: mean over inputs of ‖output − inputs‖², with gradients to the codes only.
    """

    output: Float[Tensor, "... dim"]
    codes: Int[Tensor, "... groups active"]
    reconstruction: Float[Tensor, ""]


class ForcedCode(NamedTuple):
    """A code that is active whatever the inputs are; see `replica.memory.activate_code`.

    Attributes:
        code: its index: one for all inputs, or one each, of a shape that broadcasts to theirs.
        group: which codebook of the group.
        where: at which inputs, of a shape that broadcasts to theirs; everywhere without it.
    """

    code: Int[Tensor, "..."]
    group: int
    where: Bool[Tensor, "..."] | None


class CodebookLayer(nn.Module):
    r"""Replaces each activation by the sum of the codes most similar to it.

    With the `active` codes of greatest cosine similarity to the activation a,

        output = Σ_{i ∈ S(a)} c_i,   S(a) = top-k of  a·c_i / (‖a‖ ‖c_i‖).

    The choice has no gradient: that of the output passes to the inputs as if the layer were not there (straight
    through), and to the active codes as the sum has it. Training adds `Quantized.reconstruction`,
    ‖output − stopgrad(a)‖², which keeps codes near the activations they stand for.

    Args:
        dim: dimension of the activations.
        count: codes a codebook (C).
        active: codes in a sum (k).
        groups: codebooks; each sees its own dim / groups consecutive entries, as one head's output.
        generator: source of the initial codes, normal with variance groups / dim. Better ones come from `initialize`.
        device: where the codes live. Default the generator's device.
        dtype: their floating-point type.

    Shapes: inputs (..., dim) give outputs (..., dim).

    Attributes:
        codes: the codebooks, shape (groups, count, dim / groups).
        usage: how often each code was active in training mode since the last `replace_dead`, shape (groups, count).

    Raises:
        ValueError: if a number is out of range or `groups` does not divide `dim`.

    Source: Tamkin, Taufeeque & Goodman 2023, Section 2.

    Example:
        >>> import torch
        >>> from replica.memory import CodebookLayer
        >>> layer = CodebookLayer(16, 100, active=2, groups=4, generator=torch.Generator().manual_seed(0))
        >>> layer(torch.ones(8, 5, 16)).shape, layer.quantize(torch.ones(8, 5, 16)).codes.shape
        (torch.Size([8, 5, 16]), torch.Size([8, 5, 4, 2]))
    """

    usage: Tensor

    def __init__(
        self,
        dim: int,
        count: int,
        *,
        active: int = 1,
        groups: int = 1,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        for name, value in (("dim", dim), ("count", count), ("groups", groups)):
            if value < 1:
                raise ValueError(f"{name}: got {value}, want 1 or more")
        if dim % groups:
            raise ValueError(f"groups: got {groups}, want a divisor of dim {dim}")
        if not 1 <= active <= count:
            raise ValueError(f"active: got {active}, want 1 to count {count}")
        self.dim = dim
        self.count = count
        self.active = active
        self.groups = groups
        self.bypass = False
        self.forced: list[ForcedCode] = []
        self.ablated: list[tuple[int, int]] = []
        self.observers: list[Any] = []
        if device is None and generator is not None:
            device = generator.device
        codes = torch.empty(groups, count, dim // groups, device=device, dtype=dtype)
        self.codes = nn.Parameter(codes.normal_(0.0, (groups / dim) ** 0.5, generator=generator))
        self.register_buffer("usage", torch.zeros(groups, count, dtype=torch.int64, device=device))

    def extra_repr(self) -> str:
        """What `print` shows."""
        return f"dim={self.dim}, count={self.count}, active={self.active}, groups={self.groups}"

    def forward(self, inputs: Float[Tensor, "... dim"]) -> Float[Tensor, "... dim"]:
        """The sums of active codes, `quantize(inputs).output`; the inputs themselves while bypassed.

        In training mode, counts the active codes in `usage`.

        Raises:
            ValueError: if the last dimension is not `dim`.
        """
        if self.bypass:
            self._check(inputs)
            return inputs
        found = self.quantize(inputs)
        if self.training:
            used = (found.codes + self._offsets()).flatten()
            self.usage.view(-1).scatter_add_(0, used, torch.ones_like(used))
        for observe in self.observers:
            observe(found)
        return found.output

    def quantize(self, inputs: Float[Tensor, "... dim"]) -> Quantized:
        """The sums, which codes are in them, and how far they are from the inputs.

        Raises:
            ValueError: if the last dimension is not `dim`.
        """
        self._check(inputs)
        parts = inputs.reshape(-1, self.groups, self.dim // self.groups)
        codes = self._most_similar(parts.detach())
        for forced in self.forced:
            codes = _force(codes, forced, inputs.shape[:-1])
        sums = functional.embedding(codes + self._offsets(), self.codes.flatten(0, 1)).sum(-2)
        reconstruction = (sums - parts.detach()).square().sum((-1, -2)).mean()
        output = sums.reshape(inputs.shape) + (inputs - inputs.detach())
        return Quantized(output, codes.reshape(*inputs.shape[:-1], self.groups, self.active), reconstruction)

    def similarity(self, inputs: Float[Tensor, "... dim"]) -> Float[Tensor, "... groups count"]:
        """Cosine similarity of each part of the inputs with each code of its codebook.

        Raises:
            ValueError: if the last dimension is not `dim`.
        """
        self._check(inputs)
        parts = functional.normalize(inputs.unflatten(-1, (self.groups, -1)), dim=-1)
        return torch.einsum("...gd,gcd->...gc", parts, functional.normalize(self.codes, dim=-1))

    @torch.no_grad()
    def initialize(
        self, inputs: Float[Tensor, "... dim"], *, iterations: int = 10, generator: torch.Generator | None = None
    ) -> None:
        """Sets the codes to the centres of k-means over activations, divided by `active` so that sums come near them.

        Lloyd's algorithm from random distinct activations. With fewer activations than codes, the rest of the codes
        are activations too, drawn again, with normal noise of a hundredth of their norm.

        Args:
            inputs: activations that the layer will see, shape (..., dim).
            iterations: of Lloyd's algorithm.
            generator: draws the first centres, and a new place for a centre that lost all its activations.

        Raises:
            ValueError: if the last dimension is not `dim`, there are no inputs, or `iterations` is negative.
        """
        if iterations < 0:
            raise ValueError(f"iterations: got {iterations}, want 0 or more")
        points = self._points(inputs)
        centres = torch.stack([_draw(part, self.count, generator) for part in points])
        for _ in range(iterations):
            nearest = _nearest(points, centres)
            sums = torch.zeros_like(centres).scatter_add_(1, nearest.unsqueeze(-1).expand_as(points), points)
            sizes = torch.zeros_like(centres[..., 0]).scatter_add_(1, nearest, torch.ones_like(points[..., 0]))
            fresh = torch.stack([_draw(part, self.count, generator) for part in points])
            centres = torch.where(sizes.unsqueeze(-1) > 0, sums / sizes.clamp(min=1).unsqueeze(-1), fresh)
        self.codes.copy_(centres / self.active)
        self.usage.zero_()

    @torch.no_grad()
    def replace_dead(
        self, inputs: Float[Tensor, "... dim"], *, generator: torch.Generator | None = None
    ) -> Int[Tensor, " groups"]:
        """Moves the codes that `usage` says were never active to random activations, and starts counting anew.

        Args:
            inputs: activations, shape (..., dim).
            generator: draws among them.

        Returns:
            How many codes of each codebook were moved.

        Raises:
            ValueError: if the last dimension is not `dim` or there are no inputs.
        """
        dead = self.usage == 0
        fresh = torch.stack([_draw(part, self.count, generator) for part in self._points(inputs)])
        self.codes.copy_(torch.where(dead.unsqueeze(-1), fresh / self.active, self.codes))
        self.usage.zero_()
        return dead.sum(-1)

    @torch.no_grad()
    def _most_similar(self, parts: Float[Tensor, "inputs groups part"]) -> Int[Tensor, "inputs groups active"]:
        # An input's own norm does not change which codes are nearest in angle.
        directions = functional.normalize(self.codes.detach(), dim=-1).mT
        found = []
        for block in parts.split(max(1, _BLOCK_ENTRIES // (self.groups * self.count))):
            scores = block.transpose(0, 1) @ directions
            for group, code in self.ablated:
                scores[group, :, code] = -torch.inf
            best = scores.argmax(-1, keepdim=True) if self.active == 1 else scores.topk(self.active, dim=-1).indices
            found.append(best.transpose(0, 1))
        return torch.cat(found) if found else parts.new_empty((0, self.groups, self.active), dtype=torch.int64)

    def _offsets(self) -> Int[Tensor, "groups 1"]:
        return self.count * torch.arange(self.groups, device=self.codes.device).unsqueeze(-1)

    def _points(self, inputs: Tensor) -> Float[Tensor, "groups inputs part"]:
        self._check(inputs)
        points = inputs.detach().reshape(-1, self.groups, self.dim // self.groups).transpose(0, 1)
        if not points.shape[1]:
            raise ValueError("inputs: got none, want 1 or more")
        return points.to(self.codes)

    def _check(self, inputs: Tensor) -> None:
        if not inputs.dim() or inputs.shape[-1] != self.dim:
            raise ValueError(f"inputs: got shape {tuple(inputs.shape)}, want (..., {self.dim})")


def _force(
    codes: Int[Tensor, "inputs groups active"], forced: ForcedCode, batch: torch.Size
) -> Int[Tensor, "inputs groups active"]:
    # In place of the least similar of the active codes, so that as many are active as before.
    own = codes[:, forced.group]
    code = forced.code.expand(batch).reshape(-1, 1)
    change = (own != code).all(-1, keepdim=True)
    if forced.where is not None:
        change = change & forced.where.expand(batch).reshape(-1, 1)
    result = codes.clone()
    result[:, forced.group] = torch.where(change, torch.cat([code, own[:, :-1]], dim=-1), own)
    return result


def _draw(points: Float[Tensor, "inputs part"], count: int, generator: torch.Generator | None) -> Tensor:
    device = points.device if generator is None else generator.device
    order = torch.randperm(len(points), generator=generator, device=device)[:count].to(points.device)
    drawn = points[order]
    if len(drawn) == count:
        return drawn
    again = torch.randint(len(points), (count - len(drawn),), generator=generator, device=device).to(points.device)
    noise = torch.randn(len(again), points.shape[-1], generator=generator, device=device).to(points)
    more = points[again]
    return torch.cat([drawn, more + 0.01 * more.norm(dim=-1, keepdim=True) * functional.normalize(noise, dim=-1)])


def _nearest(points: Float[Tensor, "groups inputs part"], centres: Tensor) -> Int[Tensor, "groups inputs"]:
    half = 0.5 * centres.square().sum(-1).unsqueeze(1)
    rows = max(1, _BLOCK_ENTRIES // (len(centres) * centres.shape[1]))
    return torch.cat([(half - block @ centres.mT).argmin(-1) for block in points.split(rows, dim=1)], dim=1)
