"""The problem steer: which method makes a given generator produce high reward and stay natural?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from replica.errors import ReplicaError
from replica.lab.claims import Scale, Trial
from replica.lab.problems.problem import Dataset, Measured, Metric, Option, Options, Problem, Split, Start, rank_by
from replica.lab.problems.protocol import real_array
from replica.lab.problems.steer.data import SMOKE_LENGTH, SMOKE_STEPS, Task, read

if TYPE_CHECKING:
    from torch import Tensor

MOST_LEVELS = 40
"""Rewards that take more values are put into bins, of equal chances under the tilted law."""
_BINS = 20
_SMOKE_SAMPLES = 20


class Steer(Problem):
    """Steer a generator whose law is known towards a reward that may be called but not differentiated.

    ``steer`` is given the model, the reward and a number, and gives so many samples. The model makes samples from noise in
    ``model.steps`` steps: ``start(count, generator)``, ``denoise(state, step)`` for what is behind a state, and
    ``draw(state, predicted, step, generator)`` for the state after the step; ``sample(count, generator)`` takes all steps, and
    ``log_prob(states)`` is the exact law. States are points, with the mean of the data behind them, or letters, of which
    ``model.letters`` is the mask, with the chances of letters at each place. ``reward(states)`` is of data, and
    ``reward.temperature`` α.

    Each row that is denoised (or whose ``log_prob`` is asked) is a call of the network, each row that is rewarded a call of the
    reward. There are ``calls`` times as many of the network as samples without reward take, and ``reward_calls`` a sample of the
    reward; ``model.budget.left`` and ``reward.budget.left`` say what is left. A method that asks for more ends in an error.

    What is measured:

    - ``reward``: the mean reward.
    - ``kl``: the divergence of the distribution of rewards from that under the tilted law p(x) exp(r(x)/α)/Z, with α the
      ``temperature``: a lower bound of that of the samples. Sequences are enumerated, points summed on a grid.
    - ``log_likelihood``: how natural samples are: their mean log-probability under the generator (points: log-density).
    - ``diversity``: the mean distance of two samples over that of two of the generator's.
    - ``network``, ``rewards``: calls a sample.

    Of all laws that diverge as much from the generator's, the tilted law has the highest reward. The baseline ``exact-tilt``
    draws from it by means that no method has: a line, not a rival. A method may have
    more reward by going farther; ``--rank-by kl`` ranks by how near the tilted law they are.

    With ``gradient`` the reward may be differentiated, and the staircase has smooth steps. For validation (``--tune``) the law
    and the reward are drawn anew; of the user's own reward the law. At smoke scale 20 samples are made in few steps.
    """

    name = "steer"
    question = "Which method makes a given generator produce high reward and stay natural?"
    protocol = ("steer(model: Model, reward: Reward, count: int) -> Tensor",)
    protocol_note = ", which gives samples"
    metrics = (
        Metric("reward", "mean", "higher", "Reward"),
        Metric("kl", "nats", "lower", "KL to the tilted law"),
        Metric("log_likelihood", "nats a sample", "higher", "Log-likelihood under the generator"),
        Metric("diversity", "of the generator's", "higher", "Diversity"),
        Metric("network", "calls a sample", "lower", "Network calls"),
        Metric("rewards", "calls a sample", "lower", "Reward calls"),
    )
    options = (
        Option("samples", 500, "samples that are asked for", minimum=2, maximum=100_000, label="Samples"),
        Option("calls", 10, "calls of the network, times those of samples that follow no reward", minimum=1, maximum=10_000,
               label="Network calls (times unguided)"),
        Option("reward_calls", 1000, "calls of the reward a sample", minimum=1, maximum=1_000_000, label="Reward calls a sample"),
        Option("temperature", 1.0, "α of the tilted law p(x) exp(r(x)/α)/Z", minimum=0.01, maximum=1000, label="Temperature"),
        Option("gradient", "no", "whether the reward may be differentiated; of points alone", choices=("no", "yes")),
        Option("steps", 30, "steps from noise to points", minimum=2, maximum=1000, label="Steps"),
        Option("length", 8, "letters of a sequence", minimum=2, maximum=9, label="Length"),
        Option("generator", "mixture", "what your own reward is of: points of a mixture, or sequences of a chain",
               choices=("mixture", "chain"), reads="own"),
        rank_by(metrics),
    )  # fmt: skip
    default_data = "mixture"
    data_names: ClassVar[Mapping[str, str]] = {
        "mixture": "eight Gaussians on a circle, turned anew for each seed; the reward is a staircase along a direction",
        "motif": "masked sequences of four letters, of a Markov chain drawn for each seed; the reward counts a motif of two",
    }
    data_formats = (".py",)
    files = "a reward of your own as file.py:name"
    default_sweep = ("calls", (2, 5, 10, 20))

    def named(self, name: str, seed: int | None, options: Options) -> Task:
        """No law yet: trials draw it."""
        return Task("chain" if name == "motif" else "mixture")

    def read(self, path: Path, options: Options) -> Task:
        """See `Problem.read`, and `data.read`."""
        return read(path, str(options["generator"]))

    def size(self, content: Task, options: Options) -> str:
        """See `Problem.size`."""
        return f"a reward of one's own, of {'points' if content.kind == 'mixture' else 'sequences'}"

    def identity(self, content: Task) -> tuple[Any, ...]:
        """See `Problem.identity`."""
        return ((content.kind, content.source, content.code),)

    def check(self, dataset: Dataset, options: Options) -> None:
        """See that a gradient is asked of points alone.

        Raises:
            ReplicaError: If it is asked of letters.
        """
        if options["gradient"] == "yes" and dataset.content.kind == "chain":
            raise ReplicaError("Letters have no gradient; leave --gradient out, or give --data mixture.")

    def used(self, dataset: Dataset, options: Options, scale: Scale) -> Mapping[str, str]:
        """See `Problem.used`."""
        points = dataset.content.kind == "mixture"
        told = {"length" if points else "steps": ""}
        if scale != "smoke":
            return told
        name, most = ("steps", SMOKE_STEPS) if points else ("length", SMOKE_LENGTH)
        few = {"samples": _SMOKE_SAMPLES, name: most}
        return told | {option: str(min(count, int(options[option]))) for option, count in few.items()}

    def measure(self, trial: Trial, start: Start, dataset: Dataset, options: Options, split: Split) -> Measured:
        """Let the method make samples within its budget; see the class for the measures."""
        import torch

        from replica.lab.problems.steer.budget import Budget, Model, Reward

        law, function = dataset.content.made(trial, options, split)
        count, temperature = int(options["samples"]), float(options["temperature"])
        count = min(count, _SMOKE_SAMPLES) if trial.scale == "smoke" else count
        network = Budget("calls of the network", int(options["calls"]) * law.steps * count)
        rewards = Budget("calls of the reward", int(options["reward_calls"]) * count)
        method = start()
        output = method.steer(
            Model(law, network), Reward(function, rewards, options["gradient"] == "yes", temperature), count
        )
        samples = valid(f"{type(method).__name__}.steer", output, (count, *law.shape), law.letters)
        with torch.no_grad():
            given = torch.tensor(samples, device=trial.device)
            found, log_p = (each(given).double().cpu().numpy() for each in (function, law.log_prob))
            atoms = law.atoms()
            log_atoms, at_atoms = (each(atoms).double().cpu().numpy() for each in (law.log_prob, function))
            chosen = np.searchsorted(np.cumsum(normalised(log_atoms)), trial.rng(f"{split} base").random(500))
            base = atoms[torch.from_numpy(chosen.clip(max=len(atoms) - 1)).to(atoms.device)]
            spread = [mean_distance(each, bool(law.letters)) for each in (given[:500], base)]
        levels, shares = shares_of_levels(at_atoms, log_atoms, temperature, found)
        metrics = {
            "reward": float(found.mean()),
            "kl": divergence(shares["samples"], shares["tilted law"]),
            "log_likelihood": float(log_p.mean()),
            "diversity": spread[0] / spread[1],
            "network": network.spent / count,
            "rewards": rewards.spent / count,
        }
        shown = {name: share.round(5).tolist() for name, share in shares.items()}
        return metrics, lambda: {"levels": levels.round(5).tolist(), "shares": shown}


def valid(name: str, output: Any, shape: tuple[int, ...], letters: int) -> NDArray[Any]:
    """What a method gave, if it is samples: finite points, or letters without masks.

    Raises:
        ReplicaError: If not.
    """
    samples = real_array(name, output, shape, ", a row a sample", lambda index: f"sample {index[0]}, entry {index[1]}")
    if not letters:
        return samples
    wrong = (samples != samples.round()) | (samples < 0) | (samples >= letters)
    if wrong.any():
        raise ReplicaError(
            f"{name} returned {samples[wrong][0]:g} in a sequence; wanted letters from 0 to {letters - 1}."
        )
    return samples.astype(np.int64)


def normalised(log_weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shares that sum to 1, from logarithms up to a constant."""
    weights: NDArray[np.float64] = np.exp(log_weights - log_weights.max())
    weights /= weights.sum()
    return weights


def shares_of_levels(
    rewards: NDArray[np.float64], log_atoms: NDArray[np.float64], temperature: float, found: NDArray[np.float64]
) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
    """The levels of reward, and the shares of the generator, the tilted law and samples at each.

    Args:
        rewards: Of all atoms.
        log_atoms: Their log-probabilities, up to a constant.
        temperature: α.
        found: Rewards of samples.
    """
    base, tilt = normalised(log_atoms), normalised(log_atoms + rewards / temperature)
    levels = np.unique(rewards.round(6))
    if len(levels) > MOST_LEVELS:
        order = np.argsort(rewards)
        ends = np.searchsorted(np.cumsum(tilt[order]), (np.arange(_BINS) + 0.5) / _BINS)
        levels = np.unique(rewards[order][ends.clip(max=len(order) - 1)])
    middles = (levels[1:] + levels[:-1]) / 2

    def at(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(np.searchsorted(middles, values), weights, len(levels)).astype(np.float64)

    even = np.full(len(found), 1 / len(found))
    return levels, {"generator": at(rewards, base), "tilted law": at(rewards, tilt), "samples": at(found, even)}


def divergence(found: NDArray[np.float64], wanted: NDArray[np.float64]) -> float:
    """KL(found ‖ wanted) in nats.

    Example:
        >>> round(divergence(np.array([1.0, 0.0]), np.array([0.5, 0.5])), 4)
        0.6931
    """
    there = found > 0
    return max(0.0, float((found[there] * np.log(found[there] / np.maximum(wanted[there], 1e-300))).sum()))


def mean_distance(samples: Tensor, letters: bool) -> float:
    """Of all pairs: Euclidean, or the share of places at which letters differ."""
    import torch

    if letters:
        total = (samples[:, None] != samples).double().mean(2).sum()
    else:
        total = torch.cdist(samples.double(), samples.double()).sum()
    return max(float(total), math.ulp(0.0)) / (len(samples) * (len(samples) - 1))
