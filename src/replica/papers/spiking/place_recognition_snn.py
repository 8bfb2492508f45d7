"""Ensembles of Compact, Region-specific & Regularized Spiking Neural Networks (Hussaini, Milford and Fischer 2022).

A small network learns each region; units that answer everywhere are found on reference images and removed.
"""

from collections.abc import Mapping
from statistics import fmean
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from replica.data import PHOTOGRAPHS, traverses
from replica.lab.claims import Paper, Trial
from replica.lab.studies import dots, lines
from replica.spiking import (
    PlaceEnsemble,
    absolute_differences,
    area_under_precision_recall,
    choose_share,
    match_precision,
    patch_normalise,
)

paper = Paper("place_recognition_snn")

SHARES = (0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.08, 0.12, 0.16, 0.24, 0.32, 0.48, 0.64, 2.0)
"""Shares of the reference images that are tried; 2 keeps all units."""
AUTHORS: Mapping[str, float] = {"drive": 0.05, "learning_rate": 0.01, "threshold_step": 0.004}
"""The authors' constants in the units of `WinnerTakeAllNetwork`: 65 mV · 1 ms / (100 ms · 13 mV), 0.01 and 0.05 mV / 13 mV."""
TUNED: Mapping[str, float] = {"drive": 0.16, "learning_rate": 0.03, "threshold_step": 0.0003}


class Route(NamedTuple):
    """Patch-normalised images along a way: two reference traverses with their places, and one traverse of queries."""

    reference: Float[Tensor, "images height width"]
    reference_places: Int[Tensor, " images"]
    queries: Float[Tensor, "places height width"]


def route_of(trial: Trial, places: int, window: int) -> Route:
    """A new way through the photographs, in windows of so many pixels."""
    photographs = PHOTOGRAPHS[:2] if trial.scale == "smoke" else PHOTOGRAPHS
    found = torch.tensor(traverses(places, trial.rng("path"), photographs=photographs, window=window).images)
    normal = patch_normalise(found.flatten(0, 1)).view_as(found).to(trial.device)
    labels = torch.arange(places, device=trial.device).repeat(len(found) - 1)
    return Route(normal[:-1].flatten(0, 1), labels, normal[-1])


class Trained(NamedTuple):
    """An ensemble that has learned a route, and its responses to all queries; the first places calibrate the removal."""

    ensemble: PlaceEnsemble
    responses: Float[Tensor, "queries regions units"]
    route: Route
    first: int
    share: float


def train(
    trial: Trial, constants: Mapping[str, float], tested: int, *, window: int = 80, units: int = 100, epochs: int = 8
) -> Trained:
    """Learn four regions to calibrate on and others to test, and choose on the former what is hyperactive."""
    places, calibration, tested = trial.pick(smoke=(4, 1, 3), laptop=(25, 4, tested), full=(25, 16, 64))
    units, epochs = trial.pick(smoke=(6, 1), laptop=(units, epochs), full=(400, 30))
    regions, draw = calibration + tested, trial.generator("network")
    route = route_of(trial, regions * places, trial.pick(smoke=80, laptop=window, full=28))
    pixels = route.queries[0].numel()
    ensemble = PlaceEnsemble(pixels, regions, places=places, units=units, generator=draw, **constants)  # type: ignore[arg-type]
    ensemble.fit(route.reference, route.reference_places, epochs=epochs, generator=draw)
    responses = ensemble.respond(route.queries, generator=trial.generator("queries"))
    first = calibration * places
    share = choose_share(ensemble, responses[:first], torch.arange(first, device=responses.device), SHARES)
    return Trained(ensemble, responses, route, first, share)


def pixel_differences(route: Route) -> Float[Tensor, "queries places"]:
    """Scores of the sum of absolute differences d, as 1 / (1 + d)."""
    return 1 / (1 - absolute_differences(route.queries, route.reference, route.reference_places))


def recognition(trial: Trial, constants: Mapping[str, float], draws: int = 0) -> list[dict[str, Any]]:
    """Recognise places with all units, without the hyperactive ones, without as many at random, and by pixels."""
    found = train(trial, constants, tested=8)
    ensemble, draw = found.ensemble, trial.generator("random removal")
    truth = torch.arange(len(found.route.queries) - found.first, device=found.responses.device)
    rows: list[dict[str, Any]] = []

    def note(method: str, scores: Tensor) -> None:
        own, removed = scores[found.first :, found.first :], 1 - float(ensemble.kept.double().mean())
        precision, area = match_precision(own, truth), area_under_precision_recall(own, truth)
        rows.append({"method": method, "precision": precision, "area": area, "removed": removed})

    note("pixel differences", pixel_differences(found.route))
    for method, share in (("all units", 2.0), ("hyperactive removed", found.share)):
        ensemble.remove_hyperactive(share)
        note(method, ensemble.scores(found.responses))
    kept = ensemble.kept.clone()
    for _ in range(draws):
        order = torch.rand(kept.shape, generator=draw, device=draw.device).to(kept.device).argsort(1).argsort(1)
        ensemble.kept.copy_(order < kept.sum(1, keepdim=True))
        note("as many at random", ensemble.scores(found.responses))
    return rows


def authors_constants(trial: Trial) -> list[dict[str, Any]]:
    """Recognition with the constants of the authors' code."""
    return recognition(trial, AUTHORS, draws=10)


@paper.claim(authors_constants, figure=dots("method", "precision", percent=True))
def removal(table):
    mean = table.groupby("method")[["precision", "area", "removed"]].mean()
    gain = mean.loc["hyperactive removed"] - mean.loc[["all units", "as many at random"]]
    return {
        "gain_precision": gain["precision"]["all units"],
        "gain_area": gain["area"]["all units"],
        "gain_over_random_removal": gain["precision"]["as many at random"],
        "precision_of_all": mean["precision"]["all units"],
        "share_of_units_removed": mean["removed"]["hyperactive removed"],
    }


def tuned_constants(trial: Trial) -> list[dict[str, Any]]:
    """Recognition with constants found by the precision of single modules, where removal has no part."""
    return recognition(trial, TUNED)


@paper.claim(tuned_constants, figure=dots("method", "precision", percent=True))
def competitive(table):
    precision = table.set_index("method")["precision"]
    ours, pixels = precision["hyperactive removed"], precision["pixel differences"]
    return {
        "difference_from_absolute_differences": ours - pixels,
        "precision": ours,
        "precision_of_absolute_differences": pixels,
        "gain_of_removal": ours - precision["all units"],
    }


def growth(trial: Trial) -> list[dict[str, Any]]:
    """Mean precision over maps of 1, 3, 9 and 27 regions that share out all places, so that each size gets the same queries."""
    found = train(trial, TUNED, tested=27, window=48, units=50, epochs=5)
    ensemble, last = found.ensemble, len(found.route.queries)
    calibration, pixels = torch.arange(found.first), pixel_differences(found.route)
    rows = []
    for regions in (1, 3, 9, 27):
        size = regions * ensemble.places
        precision: dict[str, list[float]] = {"ensemble": [], "pixel differences": []}
        for first in range(found.first, last - size + 1, size):
            own, truth = slice(first, first + size), torch.arange(size, device=pixels.device)
            # Reference images of the map and of the calibration alone tell which units are hyperactive.
            ensemble.remove_hyperactive(found.share, places=torch.cat([calibration, torch.arange(first, first + size)]))
            for method, scores in (("ensemble", ensemble.scores(found.responses)), ("pixel differences", pixels)):
                precision[method].append(match_precision(scores[own, own], truth))
        rows += [
            {"method": method, "places": size, "precision": fmean(values)}
            for method, values in precision.items() if values
        ]  # fmt: skip
    return rows


@paper.claim(growth, figure=lines("places", "precision", percent=True, log="x"))
def keeps_up_with_places(table):
    by_size = table.pivot(index="places", columns="method", values="precision")
    drop = by_size.iloc[0] - by_size.iloc[-1]
    return {
        "extra_drop": drop["ensemble"] - drop["pixel differences"],
        "drop": drop["ensemble"],
        "drop_of_pixel_differences": drop["pixel differences"],
        "precision_in_one_region": by_size["ensemble"].iloc[0],
    }
