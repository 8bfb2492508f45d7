"""Lahoti, Karp, Winston, Singh, Li 2024: Role of Locality and Weight Sharing in Image-Based Tasks.

A signal moves among patches of noise. How many examples do networks need that see patches (locality), and see them all
alike (weight sharing)?
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from replica.data.sets.teachers.dynamic_signals import DynamicSignals
from replica.data.sets.teachers.teacher import Examples
from replica.kernels import PatchNetwork
from replica.kernels.patch_network import Sharing
from replica.lab.claims import LogUniform, Needed, Paper, Trial, exponent, samples_needed
from replica.lab.studies import Arena, lines
from replica.training import Replicas, train_replicas

paper = Paper("locality_weight_sharing")
Rows = list[dict[str, Any]]
SPACE = {"learning_rate": LogUniform(0.003, 0.1), "threshold": LogUniform(0.03, 1.0)}
BATCH = 64


def logistic(net: Any, inputs: Tensor, targets: Tensor) -> Tensor:
    """Mean logistic loss of scores, targets being ±1."""
    return torch.nn.functional.softplus(-targets * net(inputs)).mean()


class Batches:
    """Minibatches of examples ``(replicas, examples, …)`` without end, the same numbers for all replicas."""

    def __init__(self, inputs: Tensor, targets: Tensor, generator: torch.Generator) -> None:
        self.inputs, self.targets, self.generator = inputs, targets, generator

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            order = torch.randperm(self.inputs.shape[1], generator=self.generator, device=self.inputs.device)
            for rows in order.split(BATCH):
                yield self.inputs[:, rows], self.targets[:, rows]


def learned(
    sharing: Sharing, inputs: Tensor, targets: Tensor, generator: torch.Generator,
    *, steps: int, learning_rate: float = 0.03, threshold: float = 0.2,
) -> Replicas:  # fmt: skip
    """Networks trained side by side, each on its own examples, shape ``(replicas, examples, patches, dim)``."""
    patches, dim = inputs.shape[2:]
    nets = Replicas([PatchNetwork(patches, dim, sharing, threshold=threshold, generator=generator) for _ in inputs])
    batches = Batches(inputs, targets, generator)
    train_replicas(nets, logistic, batches, steps=steps, rates=learning_rate, optimiser="adam", shared=False)
    return nets


class Learner:
    """A network over patches in the protocol of the problem teacher."""

    def __init__(self, sharing: Sharing, trial: Trial, learning_rate: float, threshold: float) -> None:
        self.sharing, self.trial = sharing, trial
        self.rates = {"learning_rate": learning_rate, "threshold": threshold}

    def fit(self, X: np.ndarray, y: np.ndarray, shape: tuple[int, ...]) -> Self:
        """Learn from rows that are patches laid flat, and targets ±1."""
        self.shape = shape if len(shape) == 2 else (1, *shape)
        targets = torch.tensor(y, dtype=torch.float32, device=self.trial.device)
        steps = self.trial.pick(smoke=60, laptop=400, full=2000)
        generator = self.trial.generator("network")
        self.nets = learned(self.sharing, self.laid_out(X), targets[None], generator, steps=steps, **self.rates)
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Scores, whose sign counts."""
        with torch.no_grad():
            return np.asarray(self.nets(self.laid_out(X), shared=False)[0].cpu(), np.float64)

    def laid_out(self, X: np.ndarray) -> Tensor:
        """Patches of one replica."""
        return torch.tensor(X, dtype=torch.float32, device=self.trial.device).view(1, len(X), *self.shape)


@paper.entry("teacher", name="patch-cnn", space=SPACE, target=("dsd",))
def patch_cnn(trial: Trial, learning_rate: float = 0.03, threshold: float = 0.2) -> Learner:
    """One filter at all patches."""
    return Learner("cnn", trial, learning_rate, threshold)


@paper.entry("teacher", name="patch-lcn", space=SPACE, target=("dsd",))
def patch_lcn(trial: Trial, learning_rate: float = 0.03, threshold: float = 0.2) -> Learner:
    """A filter of its own at each patch."""
    return Learner("lcn", trial, learning_rate, threshold)


@paper.entry("teacher", name="patch-fcn", space=SPACE, target=("dsd",))
def patch_fcn(trial: Trial, learning_rate: float = 0.03, threshold: float = 0.2) -> Learner:
    """Units that see all patches."""
    return Learner("fcn", trial, learning_rate, threshold)


GOAL = 0.05
"""The error that is asked for."""


def noise_of(patches: int) -> float:
    """σ = 0.7 / √k: the theorems bound it by the root of one over the number of patches, but for logarithms."""
    return 0.7 / math.sqrt(patches)


SIGNALS = Arena(
    "teacher", target="dsd", patches=16, dim=16, noise=noise_of(16), test=1000, smoke={"patches": 3, "dim": 3}
)
learners = SIGNALS.compare({"CNN": patch_cnn, "LCN": patch_lcn, "FCN": patch_fcn})


@paper.claim(
    learners.over(examples=(16, 32, 64, 128, 256, 512, 1024, 2048)),
    figure=lines("examples", "error", log="x", ylabel="error", percent=True),
)
def ordering(table):
    """Ratios of the examples needed for 5 % error, in logarithms; a curve that does not reach it can only weaken the claim."""
    cnn, lcn, fcn = (needed(table[table["method"] == name]) for name in ("CNN", "LCN", "FCN"))
    return {
        "locally_connected_over_convolutional": math.log(lcn.value / cnn.value),
        "fully_over_locally_connected": math.log(fcn.value / lcn.value),
        "convolutional_not_reached": float(math.isinf(cnn.high)),
        "locally_connected_not_reached": float(math.isinf(lcn.high)),
        "fully_connected_not_reached": float(math.isinf(fcn.high)),
    }


def needed(rows: pd.DataFrame) -> Needed:
    """Examples for 5 % error; of one point alone, as at smoke scale, its own number."""
    if len(rows) == 1:
        return Needed(float(rows["examples"].iloc[0]), float(rows["examples"].iloc[0]))
    return samples_needed(rows["examples"], rows["error"], GOAL)


def curves(trial: Trial, sizes: Sequence[tuple[int, int]]) -> Rows:
    """Mean error of several networks over examples, doubled until it is below 5 %, at each number of patches and dimension."""
    runs, steps, most = trial.pick(smoke=(2, 20, 32), laptop=(4, 400, 4096), full=(20, 2000, 65_536))
    rows = []
    for patches, dim in sizes:
        for learner in ("cnn", "lcn"):
            examples, error = 8, 1.0
            while error > GOAL and examples <= most:
                streams = [trial.rng(f"{patches} {dim} {run}").spawn(3) for run in range(runs)]
                teachers = [DynamicSignals(patches, dim, noise_of(patches), own[0]) for own in streams]
                train, test = (
                    stacked(
                        [teacher.examples(count, own[part]) for teacher, own in zip(teachers, streams, strict=True)]
                    )
                    for count, part in ((examples, 1), (500, 2))
                )
                generator = trial.generator(f"{learner} {patches} {dim} {examples}")
                nets = learned(learner, *train, generator, steps=steps)
                with torch.no_grad():
                    error = float((nets(test[0], shared=False).sign() != test[1]).double().mean())
                own = {"method": learner.upper(), "patches": patches, "dim": dim}
                rows.append({**own, "examples": examples, "error": error})
                examples *= 2
    return rows


def stacked(drawn: Sequence[Examples]) -> tuple[Tensor, Tensor]:
    """Inputs and targets of several teachers, one behind the other."""
    inputs, targets = (np.stack([getattr(one, name) for one in drawn]) for name in ("inputs", "targets"))
    return torch.from_numpy(inputs).float(), torch.from_numpy(targets).float()


def over_patches(trial: Trial) -> Rows:
    """Curves at 8 to 32 patches of dimension 64."""
    counts = trial.pick(smoke=(2, 4), laptop=(8, 16, 32), full=(8, 16, 32, 64))
    return curves(trial, [(count, trial.pick(smoke=3, laptop=64, full=64)) for count in counts])


def over_dimension(trial: Trial) -> Rows:
    """Curves at 8 patches of dimension 16 to 128."""
    dims = trial.pick(smoke=(2, 4), laptop=(16, 48, 128), full=(16, 32, 64, 128, 256))
    return curves(trial, [(8, dim) for dim in dims])


def slopes(table: pd.DataFrame, size: str) -> tuple[dict[Any, float], float]:
    """Slope of ln(examples needed) in ln(size) of each method, and whether any curve ended above its target."""
    rates, missed = {}, False
    for method, rows in table.groupby("method"):
        sizes = sorted(set(rows[size]))
        found = [needed(rows[rows[size] == value]) for value in sizes]
        rates[method] = -exponent(sizes, [each.value for each in found])
        missed |= any(math.isinf(each.high) for each in found)
    return rates, float(missed)


def draw_needed(size: str) -> Any:
    """Examples needed over a size, a line a method."""

    def draw(axes, table):
        groups = table.groupby(["seed", "method", size])
        points = pd.DataFrame(
            [dict(zip(groups.keys, key, strict=True), needed=needed(own).value) for key, own in groups]
        )
        lines(size, "needed", log="xy", ylabel="examples for 5 % error")(axes, points)

    return draw


@paper.claim(over_patches, figure=draw_needed("patches"))
def growth_with_patches(table):
    """Slopes in ln k of the ratio, and of each need over the noise's variance, which falls as 1/k."""
    rates, missed = slopes(table, "patches")
    return {
        "slope_of_ratio": rates["LCN"] - rates["CNN"],
        "slope_convolutional": rates["CNN"] + 1,
        "slope_locally_connected": rates["LCN"] + 1,
        "not_reached": missed,
    }


@paper.claim(over_dimension, figure=draw_needed("dim"))
def growth_with_dimension(table):
    """Slopes in ln d."""
    rates, missed = slopes(table, "dim")
    return {
        "slope_convolutional": rates["CNN"],
        "slope_locally_connected": rates["LCN"],
        "not_reached": missed,
    }
