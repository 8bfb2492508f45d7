"""Ensembles of Compact, Region-specific & Regularized Spiking Neural Networks (Hussaini, Milford and Fischer 2022).

A small network learns each region; without the units that answer everywhere places are recognised better, and more of them.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from replica.lab.claims import Paper, Reported, Trial, above, below
from replica.lab.claims.drawing import draw_spread
from replica.lab.data import PHOTOGRAPHS, traverses
from replica.spiking import (
    PlaceEnsemble,
    absolute_differences,
    area_under_precision_recall,
    choose_share,
    match_precision,
    patch_normalise,
    precision_recall,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Result = tuple[dict[str, float], dict[str, list[Any]]]

SHARES = (0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.08, 0.12, 0.16, 0.24, 0.32, 0.48, 0.64, 2.0)
"""Shares of the reference images that are tried; 2 keeps all units."""

paper = Paper(
    "place_recognition_snn",
    departures=(
        "Data: traverses made of natural photographs that ship with scikit-image and scikit-learn, in place of Nordland and "
        "Oxford RobotCar: windows along a path, seen twice to learn from and once as queries, with the light, shadows, "
        "sharpness and view changed. They were set before anything was measured.",
    ),
)


@dataclass(frozen=True)
class Journey:
    """Patch-normalised images of the same places: traverses to learn from, and one of queries."""

    reference: Float[Tensor, "count height width"]
    reference_places: Int[Tensor, " count"]
    queries: Float[Tensor, "places height width"]

    def first(self, places: int) -> "Journey":
        """The first so many places."""
        kept = self.reference_places < places
        return Journey(self.reference[kept], self.reference_places[kept], self.queries[:places])


def journey_of(trial: Trial, places: int) -> Journey:
    """Two reference traverses and a query traverse."""
    photographs = trial.pick(smoke=PHOTOGRAPHS[:2], laptop=PHOTOGRAPHS, full=PHOTOGRAPHS)
    window = trial.pick(smoke=80, laptop=80, full=40)
    found = torch.tensor(traverses(places, trial.rng("path"), photographs=photographs, window=window).images)
    normal = patch_normalise(found.flatten(0, 1)).view_as(found).to(trial.device)
    labels = torch.arange(places, device=trial.device).repeat(len(found) - 1)
    return Journey(normal[:-1].flatten(0, 1), labels, normal[-1])


@dataclass(frozen=True)
class Sizes:
    """How much is learned: places a region, regions to calibrate on and to test, units a region, passes."""

    places: int
    calibration: int
    tested: int
    units: int
    epochs: int


def sizes_of(trial: Trial) -> Sizes:
    """The paper: 25 places and 400 units a region, 24 regions to calibrate on and 108 to test, 30 passes."""
    return trial.pick(
        smoke=Sizes(4, 1, 2, 6, 1),
        laptop=Sizes(25, 2, 8, 100, 6),
        full=Sizes(25, 24, 108, 400, 30),
    )


def learned(
    journey: Journey, regions: int, places: int, units: int, epochs: int, trial: Trial, stream: str = "network"
) -> PlaceEnsemble:
    """An ensemble that has learned a journey."""
    generator = trial.generator(stream)
    ensemble = PlaceEnsemble(
        journey.queries[0].numel(), regions, places=places, units=units, generator=generator, **SETTINGS
    ).to(trial.device)
    ensemble.fit(journey.reference, journey.reference_places, epochs=epochs, generator=generator)
    return ensemble


SETTINGS: dict[str, float] = {}


@dataclass(frozen=True)
class Tested:
    """An ensemble with its responses to all queries, and which of its places are tested; the first ones calibrate."""

    ensemble: PlaceEnsemble
    responses: Float[Tensor, "queries regions units"]
    share: float
    journey: Journey
    first: int

    @property
    def truth(self) -> Int[Tensor, " tested"]:
        """Numbers of the tested places, from 0."""
        return torch.arange(len(self.journey.queries) - self.first, device=self.responses.device)

    def scores(self, share: float) -> Float[Tensor, "tested tested"]:
        """Of tested places for tested queries, without the units that answer to this share of the reference images."""
        self.ensemble.remove_hyperactive(share)
        return self.ensemble.scores(self.responses[self.first :])[:, self.first :]


def tested(trial: Trial) -> Tested:
    """Learn all regions, and choose on the regions for calibration from which share on a unit is hyperactive."""
    sizes = sizes_of(trial)
    regions = sizes.calibration + sizes.tested
    journey = journey_of(trial, regions * sizes.places)
    ensemble = learned(journey, regions, sizes.places, sizes.units, sizes.epochs, trial)
    responses = ensemble.respond(journey.queries, generator=trial.generator("queries"))
    first = sizes.calibration * sizes.places
    share = choose_share(ensemble, responses[:first], torch.arange(first, device=responses.device), SHARES)
    return Tested(ensemble, responses, share, journey, first)


# --- Hyperactive neurons are removed


@paper.claim(
    "Removing hyperactive neurons, found while the environment is learned, raises the precision of place recognition.",
    expect={"gain_precision": above(0.0), "gain_area": above(0.0), "gain_over_random_removal": above(0.0)},
    reported={"gain_precision": Reported("detects and removes problematic hyperactive neurons", where="abstract")},
)
def removal(trial: Trial) -> Result:
    """The same trained ensemble with and without its hyperactive units.

    `gain_precision`: of precision at 100 % recall; `gain_area`: of the area under the precision-recall curve;
    `gain_over_random_removal`: of precision, over as many units of each module removed at random (mean of ten draws).
    """
    found = tested(trial)
    truth = found.truth
    scores = {"all neurons": found.scores(2.0), "hyperactive removed": found.scores(found.share)}
    precision = {kind: match_precision(values, truth) for kind, values in scores.items()}
    area = {kind: area_under_precision_recall(values, truth) for kind, values in scores.items()}
    kept = found.ensemble.kept.clone()
    draw = trial.generator("random removal")
    random = []
    for _ in range(10):
        order = torch.rand(kept.shape, generator=draw, device=draw.device).to(kept.device).argsort(1).argsort(1)
        found.ensemble.kept.copy_(order < kept.sum(1, keepdim=True))
        chosen = found.ensemble.scores(found.responses[found.first :])[:, found.first :]
        random.append(match_precision(chosen, truth))
    measures = {
        "gain_precision": precision["hyperactive removed"] - precision["all neurons"],
        "gain_area": area["hyperactive removed"] - area["all neurons"],
        "gain_over_random_removal": precision["hyperactive removed"] - float(np.mean(random)),
        "precision": precision["hyperactive removed"],
        "precision_of_all": precision["all neurons"],
        "area": area["hyperactive removed"],
        "area_of_all": area["all neurons"],
        "share": found.share,
        "share_of_neurons_removed": 1 - float(kept.double().mean()),
    }
    return measures, _curves(scores, truth)


def _curves(scores: dict[str, Tensor], truth: Tensor) -> dict[str, list[Any]]:
    """Precision at 21 recalls from 0 to 1, interpolated."""
    rows: dict[str, list[Any]] = {"kind": [], "recall": [], "precision": []}
    grid = np.linspace(0, 1, 21)
    for kind, values in scores.items():
        precision, recall = (line.cpu().numpy() for line in precision_recall(values, truth))
        rows["kind"] += [kind] * len(grid)
        rows["recall"] += grid.tolist()
        rows["precision"] += np.interp(grid, recall, precision).tolist()
    return rows


STYLES = {
    "hyperactive removed": {"color": "tab:blue", "marker": "o", "linestyle": "-"},
    "all neurons": {"color": "tab:orange", "marker": "s", "linestyle": "--"},
    "one network": {"color": "tab:red", "marker": "v", "linestyle": "-."},
    "sum of absolute differences": {"color": "tab:green", "marker": "^", "linestyle": ":"},
    "gradient histograms": {"color": "tab:purple", "marker": "D", "linestyle": ":"},
}


def _draw_curves(axes: "Axes", table: "pd.DataFrame") -> None:
    for kind, style in STYLES.items():
        rows = table[table.kind == kind]
        if len(rows):
            draw_spread(axes, rows, "recall", "precision", scale=100, label=kind, markersize=4, **style)
    axes.set_xlabel("Recall (share of queries)")
    axes.set_ylabel("Precision (%)")
    axes.set_xlim(0, 1.02)
    axes.legend(fontsize=9)


@removal.figure
def draw_removal(axes: "Axes", table: "pd.DataFrame") -> None:
    """Precision over recall, with and without hyperactive neurons."""
    _draw_curves(axes, table)


# --- They are those that answer elsewhere


@paper.claim(
    "Hyperactive neurons are those that erroneously respond to places outside of their learned region.",
    expect={"excess_share_outside": above(0.0), "times_as_many_outside": above(1.0)},
    reported={"excess_share_outside": Reported("respond to places outside their learned region", where="abstract")},
)
def outside(trial: Trial) -> Result:
    """Where units spend their spikes on the query traverse, which had no part in finding the hyperactive ones.

    `excess_share_outside`: share of a unit's spikes that it fires outside of its region (mean over units that fire), of
    removed minus kept units. `times_as_many_outside`: spikes a query from outside, removed over kept.
    """
    found = tested(trial)
    ensemble, responses = found.ensemble, found.responses
    removed = ensemble.activity() >= _effective(found)
    regions, places = ensemble.regions, ensemble.places
    home = torch.arange(len(responses), device=responses.device) // places
    inside = responses[home[:, None] == torch.arange(regions, device=responses.device)].view(
        places, regions, -1
    ) if False else torch.stack([responses[home == region, region].mean(0) for region in range(regions)])
    outside_rate = torch.stack([responses[home != region, region].mean(0) for region in range(regions)])
    share = outside_rate / (outside_rate + inside).clamp_min(1e-12)
    fires = (outside_rate + inside) > 0
    measures = {
        "excess_share_outside": float(share[removed & fires].mean() - share[~removed & fires].mean()),
        "times_as_many_outside": float(outside_rate[removed].mean() / outside_rate[~removed].mean()),
        "share": found.share,
    }
    return measures, {}
