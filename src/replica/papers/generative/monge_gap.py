"""Uscidda, Cuturi 2023: The Monge Gap: A Regularizer to Learn All Transport Maps.

A network that only has to carry one cloud onto another may do so at any cost: does the gap make its map the optimal one, for the
squared cost, where that is known, and for another?
"""

import numpy as np
import torch
from torch import Tensor

from replica.generative import MongeGapMap, squared_distance
from replica.generative.sinkhorn import Cost
from replica.lab.claims import Choice, Integer, LogUniform, Paper, Trial
from replica.lab.studies import Arena, dots
from replica.training import mlp

paper = Paper("monge_gap")


class CostPenaltyMap(MongeGapMap):
    """The control: the mean cost of the map is the penalty, not what it is beyond the cheapest."""

    def penalty(self, source: Tensor, mapped: Tensor) -> Tensor:
        """Mean c(x, T(x))."""
        return self.cost(source, mapped).diagonal().mean()


class Fitted:
    """A map in the problem's protocol: the network is made when the dimension is known."""

    def __init__(self, kind: type[MongeGapMap], trial: Trial, strength: float, residual: bool, width: int, rate: float):
        self.kind, self.strength, self.residual, self.width, self.rate = kind, strength, residual, width, rate
        self.weights, self.batches = trial.generator("weights"), trial.generator("batches")

    def fit(self, source: Tensor, target: Tensor, cost: Cost = squared_distance, steps: int = 1000) -> None:
        """Train the network."""
        dim = source.shape[1]
        net = mlp((dim, self.width, self.width, dim), activation=torch.nn.SiLU, generator=self.weights)
        fitted = self.kind(net, cost, self.strength, residual=self.residual)
        self.net = fitted.fit(source, target, steps=steps, learning_rate=self.rate, generator=self.batches)

    @torch.no_grad()
    def map(self, points: Tensor) -> Tensor:
        """Apply it."""
        mapped: Tensor = self.net(points)
        return mapped


@paper.entry(
    "transport",
    name="monge-gap",
    space={
        "strength": LogUniform(0.01, 10.0),
        "learning_rate": LogUniform(3e-4, 1e-2),
        "width": Integer(16, 128),
        "residual": Choice((False, True)),
    },
)
def monge_gap_map(
    trial: Trial, strength: float = 1.0, learning_rate: float = 3e-3, width: int = 64, residual: bool = False
) -> Fitted:
    """A perceptron, a Sinkhorn divergence, and the gap."""
    return Fitted(MongeGapMap, trial, strength, residual, width, learning_rate)


def cost_penalty_map(trial: Trial) -> Fitted:
    """The same with the mean cost in place of the gap."""
    return Fitted(CostPenaltyMap, trial, 1.0, False, 64, RATE)


RATE = 0.01
METHODS = {
    "gap": (monge_gap_map, {"learning_rate": RATE}),
    "no gap": (monge_gap_map, {"learning_rate": RATE, "strength": 0.0}),
    "cost": cost_penalty_map,
    "mean shift": "mean-shift",
}
gaussians = Arena("transport", data="gaussians", dim=4, count=1000, steps=150).compare(METHODS)
moons = Arena("transport", data="moons", cost="euclidean", count=1000, steps=300).compare(METHODS)


@paper.claim(
    gaussians, figure=dots("method", "map_error", log="y", xlabel="penalty", ylabel="error to the optimal map")
)
def gaussian_maps(table):
    """Errors to the optimal map beside one another, in logarithms, and what landing they cost."""
    rows = table.set_index("method")
    error = np.log(rows["map_error"])
    return {
        "log_error_over_without": error["gap"] - error["no gap"],
        "log_error_over_cost_penalty": error["gap"] - error["cost"],
        "log_error_over_mean_shift": error["gap"] - error["mean shift"],
        "landing_lost": rows["landing"]["gap"] - rows["landing"]["no gap"],
        "error_without": rows["map_error"]["no gap"],
    }


@paper.claim(moons, figure=dots("method", "excess", xlabel="penalty", ylabel="excess cost"))
def other_costs(table):
    """Excess costs beside one another, in logarithms, and distances from the target."""
    rows = table.set_index("method")
    excess, landing = np.log(rows["excess"].clip(lower=1e-5)), rows["landing"]  # nothing below counts
    return {
        "log_excess_over_without": excess["gap"] - excess["no gap"],
        "log_excess_over_cost_penalty": excess["gap"] - excess["cost"],
        "landing_lost": landing["gap"] - landing["no gap"],
        "landing_lost_by_cost_penalty": landing["cost"] - landing["no gap"],
        "excess_without": rows["excess"]["no gap"],
        "landing_gain_over_mean_shift": landing["mean shift"] - landing["no gap"],
    }
