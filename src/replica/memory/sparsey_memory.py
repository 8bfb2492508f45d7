"""One Sparsey macrocolumn as an associative memory: patterns stored in one trial each, given back from damaged cues."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .sparsey import SparseyLayer
from .sparsey_codes import FamiliarityRamp


class SparseyMemory(nn.Module):
    r"""Associative memory of ±1 patterns in one macrocolumn; each pattern is stored in one trial.

    Every entry gives two inputs, one active for +1 and one for −1, so that every pattern has as many active inputs as it
    has entries. A cue gets the code of the best supported units, and the code's reverse weights vote for the sign of every
    entry; ties keep the cue's sign. A cue's entries may be 0: unknown.

    Args:
        modules: winner-take-all modules (Q), the number of votes on each entry.
        units: units of a module (K). A unit that several patterns share knows only the entries in which they agree, so
            K should be several times the number of patterns.
        ramp: how noise falls with familiarity. The default takes for new whatever has not been seen almost exactly: codes
            that overlap little are recalled best. A lower floor keeps more of the similarity.
        generator: where the noise of storing comes from.

    Source: Rinkus and Leveille 2017; the pairs of inputs and the vote are ours.

    Example:
        >>> import torch
        >>> draw = torch.Generator().manual_seed(0)
        >>> patterns = torch.randn(20, 200, generator=draw).sign()
        >>> memory = SparseyMemory(generator=draw)
        >>> memory.store(patterns)
        >>> cues = patterns.clone()
        >>> cues[:, :40] *= -1
        >>> bool((memory.recall(cues) == patterns).all())
        True
    """

    DEFAULT_RAMP = FamiliarityRamp(floor=0.97, midpoint=0.99, steepness=60.0, expansion=1.0)

    def __init__(
        self,
        modules: int = 16,
        units: int = 512,
        *,
        ramp: FamiliarityRamp | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if modules < 1:
            raise ValueError(f"modules: got {modules}, want at least 1")
        if units < 2:
            raise ValueError(f"units: got {units}, want at least 2")
        self.modules_per_mac, self.units = modules, units
        self.ramp = self.DEFAULT_RAMP if ramp is None else ramp
        self.generator = generator
        self.layer: SparseyLayer | None = None

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        stored = state_dict.get(f"{prefix}layer.weights")
        if stored is not None:  # the layer's size is that of the patterns, so it may not be there yet
            layer = SparseyLayer(stored.shape[1], self.modules_per_mac, self.units, ramp=self.ramp)
            self.layer = layer.to(stored if self.layer is None else self.layer.weights)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def store(self, patterns: Float[Tensor, "count dim"]) -> None:
        """Add patterns to the memory.

        Raises:
            ValueError: if `patterns` is no matrix of ±1 or does not fit what is stored.
        """
        if patterns.dim() != 2 or not bool((patterns.abs() == 1).all()):
            raise ValueError(f"patterns: got shape {tuple(patterns.shape)}, want (count, dim) of +1 and -1")
        if self.layer is None:
            layer = SparseyLayer(2 * patterns.shape[1], self.modules_per_mac, self.units, ramp=self.ramp)
            self.layer = layer.to(patterns)
        self.layer.store(self._pairs(patterns, "patterns"), generator=self.generator)

    def recall(self, cues: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        """The ±1 pattern that each cue's code calls for.

        Raises:
            ValueError: if nothing is stored or the shape does not fit.
        """
        if self.layer is None:
            raise ValueError("recall: got nothing stored, want store(patterns) before")
        code = self.layer.retrieve(self._pairs(cues, "cues"))
        votes = self.layer.reconstruct(code.winners)
        dim = cues.shape[1]
        excess = votes[:, :dim] - votes[:, dim:]
        signs = torch.where(excess == 0, cues.sign().to(excess.dtype), excess.sign())
        return torch.where(signs == 0, torch.ones_like(signs), signs)

    def forward(self, cues: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        """The same as `recall`."""
        return self.recall(cues)

    def _pairs(self, patterns: Tensor, name: str) -> Float[Tensor, "count pairs"]:
        assert self.layer is not None
        if patterns.dim() != 2 or 2 * patterns.shape[1] != self.layer.inputs:
            raise ValueError(f"{name}: got shape {tuple(patterns.shape)}, want (count, {self.layer.inputs // 2})")
        return torch.cat([patterns > 0, patterns < 0], dim=1).to(patterns.dtype)
