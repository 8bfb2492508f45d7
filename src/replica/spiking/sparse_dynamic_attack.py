"""The sparse dynamic attack: flip binary events until a classifier errs, then take back all that were not needed."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .flip_attacks import FlipAttack, check_events, errs, helps, margins, toggled
from .gradient_attacks import Model


class SparseDynamicAttack:
    """The sparse dynamic attack, SDA, on binary event recordings: generation, then reduction.

    Generation, step n = 1, 2, …, with the loss L = max(z_y − max z_j, 0):

        1. The gradient of L names the events whose flip should lower it: 0 → 1 where it is negative, 1 → 0 where positive.
        2. The n k strongest of those not yet flipped are tried, each by itself: the finite difference ΔL of one flip.
        3. All with ΔL ≤ 0 are flipped. It ends where the model errs.

    Reduction: the flips of smallest |ΔL| are taken back, as many as leave the model in error, found by binary search.

    Recordings are attacked side by side, and each stops by itself. To attack a network whose surrogate gradient is unknown,
    call it under `replaced_surrogates(network, PotentialDependent(spread="recording"))`.

    Args:
        model: Maps recordings ``(batch, …)`` to scores ``(batch, classes)``; gradients must reach its inputs.
        candidates: k.
        steps: Most steps of generation.
        reduce: Whether to reduce.
        rows: Most recordings that the model is given at a time when flips are tried, for memory.
        generator: Orders the flips about which the gradient says nothing.

    Raises:
        ValueError: if a number is out of range.

    Source: Lun et al. 2025 (arXiv 2503.03272); details as in the authors' code (class SDA): k = 10 and 500 steps there.

    Example:
        >>> model = lambda events: torch.stack([events.sum(1), torch.full_like(events[:, 0], 2.5)], 1)
        >>> found = SparseDynamicAttack(model, candidates=4)(torch.ones(1, 5), torch.tensor([0]))
        >>> found.success, found.generated, found.flips
        (tensor([True]), tensor([4]), tensor([3]))
    """

    def __init__(
        self,
        model: Model,
        *,
        candidates: int = 10,
        steps: int = 500,
        reduce: bool = True,
        rows: int = 1024,
        generator: torch.Generator | None = None,
    ) -> None:
        for name, value in (("candidates", candidates), ("steps", steps), ("rows", rows)):
            if value < 1:
                raise ValueError(f"{name}: got {value}, want 1 or more")
        self.model = model
        self.candidates = candidates
        self.steps = steps
        self.reduce = reduce
        self.rows = rows
        self.generator = generator

    def __call__(self, events: Float[Tensor, "batch *shape"], labels: Int[Tensor, " batch"]) -> FlipAttack:
        """Attacks recordings; one that the model errs on already is left as it is, and counts as a success.

        Args:
            events: 0 or 1.
            labels: True classes.

        Raises:
            ValueError: if the events are not binary, or labels and events differ in count.
        """
        check_events(events, labels)
        success, flipped, differences = self._generate(events, labels)
        flipped &= success[:, None]
        generated = flipped.sum(1)
        if self.reduce and generated.any():
            flipped = self._reduced(events, labels, flipped, differences)
        found = toggled(events, flipped)
        return FlipAttack(found, errs(self.model, found, labels), flipped.sum(1), generated)

    def _generate(self, events: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        flipped = torch.zeros(len(events), events[0].numel(), dtype=torch.bool, device=events.device)
        differences = torch.full(flipped.shape, torch.inf, dtype=events.dtype, device=events.device)
        success = errs(self.model, events, labels)
        active = (~success).nonzero().squeeze(1)
        for step in range(1, self.steps + 1):
            if not len(active):
                break
            current = toggled(events[active], flipped[active])
            margin, help_ = helps(self.model, current, labels[active])
            chosen = self._strongest(help_, flipped[active], step * self.candidates)
            free = ~flipped[active].gather(1, chosen)
            change = self._try(current, labels[active], chosen) - margin.clamp(min=0)[:, None]
            kept = free & (change <= 0)
            flipped[active] = flipped[active].scatter(1, chosen, kept | ~free)
            old = differences[active]
            differences[active] = old.scatter(1, chosen, torch.where(kept, change, old.gather(1, chosen)))
            wrong = errs(self.model, toggled(events[active], flipped[active]), labels[active])
            success[active] = wrong
            active = active[~wrong]
        return success, flipped, differences

    def _strongest(self, help_: Tensor, flipped: Tensor, count: int) -> Int[Tensor, "active chosen"]:
        """Where flips help most; those that promise nothing come last, in random order."""
        strength = help_.clamp(min=0)
        noise = torch.rand(strength.shape, generator=self.generator, device=strength.device, dtype=strength.dtype)
        # Negative numbers stand below every promise, and above what is flipped already.
        ranks = torch.where(strength > 0, strength, noise - 1).masked_fill_(flipped, -torch.inf)
        return ranks.topk(min(count, ranks.shape[1]), dim=1).indices

    def _try(self, current: Tensor, labels: Tensor, chosen: Tensor) -> Float[Tensor, "active chosen"]:
        """The loss after each flip by itself."""
        losses = []
        recordings = torch.arange(len(current), device=current.device).repeat_interleave(chosen.shape[1])
        with torch.no_grad():
            for which, where in zip(recordings.split(self.rows), chosen.flatten().split(self.rows), strict=True):
                tried = current[which].flatten(1)
                tried.scatter_(1, where[:, None], 1 - tried.gather(1, where[:, None]))
                scores = self.model(tried.view(len(which), *current.shape[1:]))
                losses.append(margins(scores, labels[which]).clamp_(min=0))
        return torch.cat(losses).view_as(chosen)

    def _reduced(
        self, events: Tensor, labels: Tensor, flipped: Tensor, differences: Tensor
    ) -> Bool[Tensor, "batch flat"]:
        """Takes back the most flips of smallest |ΔL| with which the model still errs."""
        rank = differences.abs().masked_fill(~flipped, torch.inf).argsort(dim=1, stable=True).argsort(dim=1)
        low = torch.zeros(len(events), dtype=torch.long, device=events.device)
        high = flipped.sum(1) - 1
        best = flipped
        while (searching := low <= high).any():
            middle = (low + high) // 2
            fewer = flipped & (rank > middle[:, None])
            wrong = errs(self.model, toggled(events, fewer), labels) & searching
            best = torch.where(wrong[:, None], fewer, best)
            low = torch.where(wrong, middle + 1, low)
            high = torch.where(searching & ~wrong, middle - 1, high)
        return best
