"""Shen, Berlinghieri, Broderick 2024: Multi-marginal Schrödinger Bridges with Iterative Reference Refinement.

Snapshots of predators and prey: do bridges whose reference is refitted to them find the population at times in between, and
the parameters?
"""

from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from replica.generative import IterativeReferenceBridge
from replica.lab.claims import Paper, Trial
from replica.lab.studies import lines

paper = Paper("multimarginal_bridge")
Rows = list[dict[str, Any]]
TRUTH = torch.tensor([1.0, 0.4, 0.1, 0.4], dtype=torch.float64)
SIGMA, SNAPSHOTS, FINE = 0.1, 9, 100


def lotka_volterra(x: Tensor) -> Tensor:
    """Prey grow and are eaten, predators eat and die: features of α, β, δ and γ."""
    prey, met, predators = x[:, 0], x[:, 0] * x[:, 1], x[:, 1]
    none = torch.zeros_like(prey)
    return torch.stack([torch.stack([prey, -met, none, none], 1), torch.stack([none, none, met, -predators], 1)], 1)


def population(count: int, generator: torch.Generator) -> Tensor:
    """Trajectories from (5, 4) over eight units of time, shape (count, 8 FINE + 1, 2)."""
    x = torch.tensor([5.0, 4.0]).double() + 0.1 * torch.rand(count, 2, generator=generator).double()
    path = [x]
    for _ in range((SNAPSHOTS - 1) * FINE):
        noise = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        x = x + lotka_volterra(x) @ TRUTH / FINE + SIGMA / FINE**0.5 * noise
        path.append(x)
    return torch.stack(path, 1)


def snapshots(count: int, generator: torch.Generator) -> list[Tensor]:
    """A cloud a unit of time, of other individuals each time: nobody is seen twice."""
    paths = population(SNAPSHOTS * count, generator).view(SNAPSHOTS, count, -1, 2)
    return [paths[k, :, k * FINE] for k in range(SNAPSHOTS)]


def earth_mover(first: Tensor, second: Tensor) -> float:
    """Mean distance of the best pairing of two clouds of one size."""
    costs = torch.cdist(first, second).numpy()
    return float(costs[linear_sum_assignment(costs)].mean())


def relative_error(parameters: Tensor) -> float:
    """Root mean square of parameters' relative errors."""
    return float((parameters / TRUTH - 1).square().mean().sqrt())


def bridges(trial: Trial) -> Rows:
    """Distances to held-out snapshots by reference and gap, and errors of parameters by round."""
    count, steps, rounds = trial.pick(smoke=(6, 4, 2), laptop=(50, 50, 10), full=(500, 100, 10))
    clouds, fresh = (snapshots(count, trial.generator(name)) for name in ("snapshots", "fresh draws"))
    seen = population(count, trial.generator("whole paths"))
    known, moved = lotka_volterra(seen[:, :-1].flatten(0, 1)).flatten(0, 1), seen.diff(dim=1).flatten() * FINE
    rows: Rows = [{"kind": "whole paths", "error": relative_error(torch.linalg.lstsq(known, moved[:, None])[0][:, 0])}]
    for gap, shown in ((2, range(0, 9, 2)), (3, (0, 3, 6, 8))):
        held = [k for k in range(SNAPSHOTS) if k not in shown]
        for reference in ("refined", "Brownian", "true"):
            bridge = IterativeReferenceBridge(
                lotka_volterra,
                SIGMA,
                steps,
                rounds if reference == "refined" else 0,
                generator=trial.generator(f"{reference} {gap}"),
            ).fit([clouds[k] for k in shown], list(shown), parameters=TRUTH if reference == "true" else None)
            if reference == "refined":
                errors = [relative_error(each) for each in bridge.history]
                rows += [{"kind": "round", "gap": gap, "round": n, "error": e} for n, e in enumerate(errors, 1)]
            rows += [
                {"kind": reference, "gap": gap, "time": k, "distance": earth_mover(bridge.at(k, count), clouds[k])}
                for k in held
            ]
        rows += [
            {"kind": "fresh draws", "gap": gap, "time": k, "distance": earth_mover(fresh[k], clouds[k])} for k in held
        ]
    return rows


def by_time(axes, table):
    """Distances at the held-out times."""
    rows = table[(table["gap"] == 2) & table["distance"].notna()]
    lines("time", "distance", "kind", log="y", xlabel="time", ylabel="earth mover's distance")(axes, rows)


@paper.claim(bridges, figure=by_time)
def held_out_snapshots(table):
    """Logarithms of mean distances over held-out times."""
    logs = np.log(table.dropna(subset=["distance"]).groupby(["gap", "kind"])["distance"].mean())
    return {
        "log_distance_over_brownian": logs[2, "refined"] - logs[2, "Brownian"],
        "log_distance_over_brownian_at_wider_gap": logs[3, "refined"] - logs[3, "Brownian"],
        "log_distance_over_true_reference": logs[2, "refined"] - logs[2, "true"],
        "log_brownian_over_floor": logs[2, "Brownian"] - logs[2, "fresh draws"],
        "log_true_reference_over_brownian": logs[2, "true"] - logs[2, "Brownian"],
    }


def by_round(axes, table):
    """Errors of parameters over rounds, for both gaps."""
    rows = table[table["kind"] == "round"]
    rows = rows.assign(spacing=rows["gap"].map("snapshots {:.0f} apart".format))
    lines("round", "error", "spacing", log="y", ylabel="relative error of parameters")(axes, rows)


@paper.claim(bridges, figure=by_round)
def parameters_approach_truth(table):
    """Relative errors of the parameters, after the first and the last round."""
    errors = table[(table["kind"] == "round") & (table["gap"] == 2)].sort_values("round")["error"]
    return {
        "log_error_over_first_round": np.log(errors.iloc[-1] / errors.iloc[0]),
        "relative_error": errors.iloc[-1],
        "error_after_first_round": errors.iloc[0],
        "error_with_whole_paths": table[table["kind"] == "whole paths"]["error"].iloc[0],
    }
