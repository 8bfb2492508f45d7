"""Places recognised by an ensemble of small spiking networks, one for each region, without the units that answer everywhere."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from torch import Tensor, nn

from .spike_encoders import rate_spikes
from .winner_take_all import WinnerTakeAllNetwork


class PlaceEnsemble(nn.Module):
    """Small competitive networks that each learn the places of one region, and recognise a place together.

    Places are numbered along the way: region r has the places r P to (r + 1) P − 1. Each module learns without labels from
    images of its region alone. Then every unit is assigned to the place of its region to which it answers most. A place's
    score is the mean number of spikes of its units, over all modules alike, and the greatest wins.

    As no module ever saw the other regions, some of its units answer to images from everywhere. `remove_hyperactive` silences
    the units that fire for many of all reference images.

    With ``regions=1`` it is one network for all places.

    Args:
        inputs: Pixels of an image.
        regions: R, the number of modules.
        places: P, places a region.
        units: Units a module.
        steps: Length of a presentation in steps of the network.
        peak: Chance of a spike in a step from a pixel of value 1: the paper's 63.75 Hz in steps of 10 ms.
        generator: Source of the first weights.
        **network: Further arguments of `WinnerTakeAllNetwork`.

    Raises:
        ValueError: if an argument is out of range.

    Source: Hussaini, Milford and Fischer 2022, section III.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> images = torch.rand(6, 4, 4, generator=generator)
        >>> ensemble = PlaceEnsemble(16, regions=2, places=3, units=5, generator=generator)
        >>> ensemble.fit(images, torch.arange(6), generator=generator)
        >>> ensemble.remove_hyperactive(0.9)
        >>> ensemble.match(images, generator=generator).shape
        torch.Size([6, 6])
    """

    assigned: Tensor
    answered: Tensor
    presented: Tensor
    kept: Tensor

    def __init__(
        self,
        inputs: int,
        regions: int,
        *,
        places: int = 25,
        units: int = 100,
        steps: int = 35,
        peak: float = 0.6375,
        generator: torch.Generator | None = None,
        **network: Any,
    ) -> None:
        super().__init__()
        for name, count in (("regions", regions), ("places", places), ("steps", steps)):
            if count < 1:
                raise ValueError(f"{name}: got {count}, want 1 or more")
        if not 0 < peak <= 1:
            raise ValueError(f"peak: got {peak}, want more than 0 and at most 1")
        self.regions, self.places, self.steps, self.peak = regions, places, steps, peak
        self.network = WinnerTakeAllNetwork(inputs, units, regions, generator=generator, **network)
        device = self.network.weights.device
        self.register_buffer("assigned", torch.full((regions, units), -1, dtype=torch.int64, device=device))
        self.register_buffer("answered", torch.zeros(regions * places, regions, units, device=device))
        self.register_buffer("presented", torch.zeros(regions * places, device=device))
        self.register_buffer("kept", torch.ones(regions, units, dtype=torch.bool, device=device))

    @torch.no_grad()
    def fit(
        self,
        images: Float[Tensor, "count *pixels"] | ArrayLike,
        places: Int[Tensor, " count"] | ArrayLike,
        *,
        epochs: int = 10,
        generator: torch.Generator | None = None,
    ) -> None:
        """Let each module learn the images of its region, assign its units, and record who answers to which reference image.

        All modules learn at once, one image each at a time; one with fewer images than another sees some of them again.

        Args:
            images: Reference images in [0, 1], one or more of each place (`patch_normalise` helps).
            places: Their places.
            epochs: Passes over the images.
            generator: Source of their order and their spikes.

        Raises:
            ValueError: if there are not as many places as images, a place is unknown or has no image, or an image does not fit.
        """
        shown = self._pixels(images)
        labels = torch.as_tensor(places).to(shown.device)
        total = self.regions * self.places
        if labels.shape != shown.shape[:1]:
            raise ValueError(f"places: got shape {tuple(labels.shape)}, want ({len(shown)},), one for each image")
        if set(labels.tolist()) != set(range(total)):
            raise ValueError(
                f"places: got {len(labels.unique())} of them, want each of 0 to {total - 1}, and no others"
            )
        if epochs < 1:
            raise ValueError(f"epochs: got {epochs}, want 1 or more")
        own = [torch.nonzero(labels // self.places == region)[:, 0] for region in range(self.regions)]
        for _ in range(epochs):
            for rows in self._orders(own, generator):
                self.network.learn(rate_spikes(shown[rows] * self.peak, self.steps, generator=generator))
        self._record(shown, labels, generator)

    @torch.no_grad()
    def remove_hyperactive(self, share: float, *, places: Sequence[int] | Int[Tensor, " some"] | None = None) -> None:
        """Silence the units that fire for at least this share of the reference images, and let all others speak again.

        Args:
            share: Of images, above 0; more than 1 keeps all units.
            places: Whose reference images count; all by default.

        Raises:
            ValueError: if the share is not above 0.
        """
        if not share > 0:
            raise ValueError(f"share: got {share}, want more than 0")
        self.kept.copy_(self.activity(places) < share)

    def activity(self, places: Sequence[int] | Int[Tensor, " some"] | None = None) -> Float[Tensor, "regions units"]:
        """Share of the reference images, of all places or of these, for which each unit fires."""
        rows = slice(None) if places is None else torch.as_tensor(places, device=self.answered.device)
        return self.answered[rows].sum(0) / self.presented[rows].sum().clamp_min(1)

    def forward(self, spikes: Float[Tensor, "time batch inputs"]) -> Float[Tensor, "batch all_places"]:
        """Score of every place for spike trains of images.

        Raises:
            ValueError: if the last axis is not the inputs.
        """
        return self.scores(self.network(spikes))

    @torch.no_grad()
    def match(
        self, images: Float[Tensor, "batch *pixels"] | ArrayLike, *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "batch all_places"]:
        """Score of every place for images in [0, 1]; the greatest wins.

        Raises:
            ValueError: if an image does not fit.
        """
        return self.scores(self.respond(images, generator=generator))

    @torch.no_grad()
    def respond(
        self, images: Float[Tensor, "batch *pixels"] | ArrayLike, *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "batch regions units"]:
        """Spikes of every unit, silenced or not, while each image is shown.

        Raises:
            ValueError: if an image does not fit.
        """
        shown = self._pixels(images)
        found = [
            self.network(rate_spikes(rows * self.peak, self.steps, generator=generator)) for rows in shown.split(_CHUNK)
        ]
        return torch.cat(found) if found else shown.new_zeros(0, *self.kept.shape)

    def scores(self, responses: Float[Tensor, "batch regions units"]) -> Float[Tensor, "batch all_places"]:
        """Mean spikes of the units assigned to each place; a silenced unit counts as one that does not fire."""
        total = self.regions * self.places
        votes = torch.zeros(self.assigned.numel(), total + 1, device=responses.device, dtype=responses.dtype)
        votes.scatter_(1, (self.assigned % (total + 1)).reshape(-1, 1), 1.0)  # −1, no place, goes into the last column
        votes = votes[:, :total]
        spoken = (responses * self.kept).flatten(1)
        return (spoken @ votes) / votes.sum(0).clamp_min(1)

    def _record(self, shown: Tensor, labels: Tensor, generator: torch.Generator | None) -> None:
        total = self.regions * self.places
        responses = self.respond(shown, generator=generator)
        which = nn.functional.one_hot(labels, total).to(responses.dtype)
        self.presented.copy_(which.sum(0))
        self.answered.copy_(torch.einsum("bp,bmn->pmn", which, (responses > 0).to(responses.dtype)))
        means = torch.einsum("bp,bmn->pmn", which, responses) / self.presented[:, None, None]
        best, place = torch.stack(
            [
                torch.stack(tuple(part.to(means.dtype) for part in own[:, region].max(0)))
                for region, own in enumerate(means.split(self.places))
            ],
            dim=1,
        )
        first = self.places * torch.arange(self.regions, device=shown.device)[:, None]
        self.assigned.copy_(torch.where(best > 0, place.long() + first, -1))
        self.kept.fill_(True)

    @staticmethod
    def _orders(own: list[Tensor], generator: torch.Generator | None) -> Int[Tensor, "shown regions"]:
        """The images that each module is shown, in a random order; shorter lists go round."""
        longest = max(len(rows) for rows in own)
        device = generator.device if generator is not None else own[0].device
        orders = []
        for rows in own:
            order = torch.randperm(len(rows), generator=generator, device=device).to(rows.device)
            orders.append(rows[order.repeat(-(-longest // len(rows)))[:longest]])
        return torch.stack(orders, dim=1)

    def _pixels(self, images: Any) -> Float[Tensor, "count inputs"]:
        like = self.network.weights
        shown = torch.as_tensor(images).to(like)
        if shown.ndim < 2 or shown[:1].numel() not in (0, self.network.inputs):
            raise ValueError(
                f"images: got shape {tuple(shown.shape)}, want (count, *pixels), {self.network.inputs} pixels"
            )
        return shown.flatten(1)


_CHUNK = 64
"""Images that respond together: their currents over time should stay in the cache."""


def choose_share(
    ensemble: PlaceEnsemble,
    responses: Float[Tensor, "batch regions units"],
    truth: Int[Tensor, " batch"],
    candidates: Sequence[float],
) -> float:
    """The share to remove from, of the candidates, at which calibration images are matched best among their own places.

    Calibration places are apart from those that will be recognised: they only tell what hyperactive is. Of equals the largest
    wins, which removes the fewest units. The ensemble is left as that share makes it.

    Args:
        ensemble: A fitted one.
        responses: Its responses to calibration images (`PlaceEnsemble.respond`).
        truth: Their places; no others are matched.
        candidates: Shares as `PlaceEnsemble.remove_hyperactive` takes them.

    Raises:
        ValueError: if there is no candidate.
    """
    if not candidates:
        raise ValueError("candidates: got none, want one or more")
    among = truth.unique()
    found: list[tuple[float, float]] = []
    for share in candidates:
        ensemble.remove_hyperactive(share)
        found.append((match_precision(ensemble.scores(responses)[:, among], torch.searchsorted(among, truth)), share))
    _, best = max(found)
    ensemble.remove_hyperactive(best)
    return best


def match_precision(scores: Float[Tensor, "batch places"], truth: Int[Tensor, " batch"]) -> float:
    """Precision at 100 % recall: the share of images whose greatest score is that of their place.

    An image for which no place has a score above 0 counts as wrong. Distances d are to be made scores, such as 1 / (1 + d).

    Example:
        >>> match_precision(torch.tensor([[2.0, 1.0], [3.0, 1.0]]), torch.tensor([0, 1]))
        0.5
    """
    return float(_matched(scores, truth).double().mean())


def precision_recall(
    scores: Float[Tensor, "batch places"], truth: Int[Tensor, " batch"]
) -> tuple[Float[Tensor, " points"], Float[Tensor, " points"]]:
    """Precision and recall as matches with a lower and lower score are accepted; equal scores are accepted together.

    With c correct and w wrong among the accepted and m images whose match is not accepted: precision c / (c + w), recall
    c / (c + m). It starts at recall 0, precision 1, and ends at recall 1, where every match is accepted.

    Source: the authors' evaluation, as usual in place recognition: each image has a right match, which is missed while none is
    accepted.

    Example:
        >>> precision, recall = precision_recall(torch.tensor([[2.0, 1.0], [3.0, 1.0]]), torch.tensor([0, 1]))
        >>> precision, recall
        (tensor([1.0000, 0.0000, 0.5000], dtype=torch.float64), tensor([0., 0., 1.], dtype=torch.float64))
    """
    best = scores.max(dim=1).values
    order = best.argsort(descending=True, stable=True)
    correct = _matched(scores, truth)[order].double().cumsum(0)
    accepted = torch.arange(1, len(order) + 1, device=scores.device, dtype=torch.float64)
    last = torch.ones_like(order, dtype=torch.bool)
    last[:-1] = best[order][:-1] != best[order][1:]
    correct, accepted = correct[last], accepted[last]
    recall = correct / (correct + (len(order) - accepted)).clamp_min(1e-300)
    start = torch.tensor([1.0, 0.0], dtype=torch.float64, device=scores.device)
    return torch.cat([start[:1], correct / accepted]), torch.cat([start[1:], recall])


def area_under_precision_recall(scores: Float[Tensor, "batch places"], truth: Int[Tensor, " batch"]) -> float:
    """Area under the curve of `precision_recall`, by trapezoids; recall never falls along it.

    Example:
        >>> area_under_precision_recall(torch.tensor([[2.0, 1.0], [0.0, 1.0]]), torch.tensor([0, 1]))
        1.0
    """
    precision, recall = precision_recall(scores, truth)
    return float(torch.trapezoid(precision, recall))


def _matched(scores: Tensor, truth: Tensor) -> Tensor:
    best, found = scores.max(dim=1)
    return (found == truth.to(found.device)) & (best > 0)


def patch_normalise(
    images: Float[Tensor, "count height width"] | ArrayLike, patch: int = 7
) -> Float[Tensor, "count height width"]:
    """Each pixel against its neighbourhood: (value − mean) / standard deviation of the patch around it, cut to ±1, as [0, 1].

    Patches end at the border; where the patch has one value only the pixel is ½.

    Args:
        images: Brightness in any unit.
        patch: Odd side of the neighbourhood in pixels.

    Raises:
        ValueError: if the patch is even or below 3.

    Source: Hussaini, Milford and Fischer 2022, section IV; Milford and Wyeth 2012.

    Example:
        >>> patch_normalise(torch.ones(1, 8, 8)).unique()
        tensor([0.5000])
    """
    if patch < 3 or patch % 2 == 0:
        raise ValueError(f"patch: got {patch}, want an odd number of 3 or more")
    values = torch.as_tensor(images)
    values = values if values.is_floating_point() else values.float()

    def around(field: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(field[:, None], patch, 1, patch // 2, count_include_pad=False)[:, 0]

    exact = values.double() - values.double().mean(dim=(-2, -1), keepdim=True)
    mean = around(exact)
    spread = (around(exact.square()) - mean.square()).clamp_min(0).sqrt()
    flat = spread <= 1e-9 * exact.abs().amax(dim=(-2, -1), keepdim=True).clamp_min(1e-300)
    normal = torch.where(flat, 0.0, (exact - mean) / spread.masked_fill(flat, 1.0)).clamp(-1, 1)
    return ((1 + normal) / 2).to(values.dtype)


def absolute_differences(
    queries: Float[Tensor, "batch *pixels"], references: Float[Tensor, "count *pixels"], places: Int[Tensor, " count"]
) -> Float[Tensor, "batch places"]:
    """Minus the sum of absolute differences between an image and the nearest reference image of every place.

    Places are numbered from 0. For `match_precision`, which wants scores above 0, take 1 / (1 − these).

    Source: Milford and Wyeth 2012 (SeqSLAM's match of one image).

    Example:
        >>> absolute_differences(torch.tensor([[0.0, 1.0]]), torch.eye(2), torch.tensor([0, 1])) + 0.0
        tensor([[-2.,  0.]])
    """
    distances = torch.cdist(queries.flatten(1), references.flatten(1), p=1)
    nearest = distances.new_full((len(queries), int(places.max()) + 1), torch.inf)
    return -nearest.scatter_reduce_(1, places.to(distances.device).expand_as(distances), distances, "amin")
