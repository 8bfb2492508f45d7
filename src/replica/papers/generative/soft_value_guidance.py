"""Derivative-Free Guidance in Continuous and Discrete Diffusion Models with Soft Value-Based Decoding.

Li, Zhao, Wang, Scalia, Eraslan, Nair, Biancalani, Ji, Regev, Levine, Uehara 2024.

A reward that is a count, and a model whose law is known: does looking ahead at each step raise it over best-of-N, and are the
samples as natural?
"""

import math
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from replica.generative import (
    AncestralSteps,
    CosinePath,
    MarkovChainDenoiser,
    MixtureDenoiser,
    SoftValueDecoder,
    UnmaskingSteps,
    posterior_mean_value,
)
from replica.lab.claims import Paper, Trial, Uniform
from replica.lab.problems.steer.budget import Model, Reward, affordable
from replica.lab.studies import lines

paper = Paper("soft_value_guidance")
Rows = list[dict[str, Any]]
LETTERS = 4


@paper.entry("steer", name="svdd", space={"temperature": Uniform(0.0, 2.0)})
class SoftValueSteering:
    """As many candidates as the calls of the network allow, and completions as those of the reward do."""

    def __init__(self, trial: Trial, temperature: float = 0.0) -> None:
        self.generator, self.temperature = trial.generator("svdd"), temperature

    def steer(self, model: Model, reward: Reward, count: int) -> Tensor:
        """Draw so many samples."""
        many, completions = affordable(model, reward, count)
        value = posterior_mean_value(reward, completions=completions)
        return SoftValueDecoder(model, value, many, self.temperature).sample(count, generator=self.generator)


def motif_count(tokens: Tensor, motif: Tensor) -> Tensor:
    """How often the motif occurs in each sequence; occurrences may overlap."""
    return (tokens.unfold(1, len(motif), 1) == motif).all(2).sum(1).double()


def law_of_count(chain: MarkovChainDenoiser, motif: Tensor, length: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Chances of each count of a motif of three letters, the mean of ln p at each count, and the deviation of ln p in all.

    Moments of ln p are carried along the chain for each pair of last letters and each count so far.
    """
    start, step = chain.initial.double().numpy(), chain.transition.double().numpy()
    pair = start[:, None] * step
    moments = np.zeros((3, LETTERS, LETTERS, length))  # of ln p, times p
    moments[:, :, :, 0] = pair, pair * np.log(pair), pair * np.log(pair) ** 2
    first, second, third = motif.tolist()
    for _ in range(length - 2):
        log = np.log(step)[None, :, :, None]
        mass, mean, square = (each[:, :, None] for each in moments)  # (before, last, next, count)
        grown = (mass + 0 * log, mean + log * mass, square + 2 * log * mean + log**2 * mass)
        after = np.stack(grown) * step[None, :, :, None]
        hit = after[:, first, second, third].copy()
        after[:, first, second, third] = 0
        after[:, first, second, third, 1:] = hit[:, :-1]
        moments = after.sum(1)
    mass, mean, square = moments.sum((1, 2))
    with np.errstate(invalid="ignore"):
        at_count = mean / mass
    return mass, at_count, math.sqrt(square.sum() - mean.sum() ** 2)


def mean_of_best(chances: np.ndarray, many: float) -> float:
    """The mean of the highest of so many counts."""
    return float((1 - np.cumsum(chances).clip(max=1) ** many)[:-1].sum())


def sequences(trial: Trial) -> Rows:
    """Reward and log-likelihood, in deviations of the base model's, of SVDD and its rivals."""
    count, length, completions = trial.pick(smoke=(8, 8, 2), laptop=(300, 30, 16), full=(2000, 200, 32))
    rng, generator = trial.rng("chain"), trial.generator("samples", "cpu")
    chances = 0.75 * torch.from_numpy(rng.dirichlet(np.ones(LETTERS), LETTERS + 1)) + 0.25 / LETTERS
    motif = torch.from_numpy(rng.permutation(LETTERS)[:3])
    chain = MarkovChainDenoiser(chances[0], chances[1:])
    law, mean_log, deviation_log = law_of_count(chain, motif, length)
    counts = np.arange(len(law))
    mean, most = law @ counts, counts[law > 0][-1]
    deviation = math.sqrt(law @ (counts - mean) ** 2)
    seen: list[int] = []
    reward = partial(motif_count, motif=motif)

    def row(method: str, many: int, tokens: Tensor) -> dict[str, Any]:
        found, log_prob = reward(tokens).long().numpy(), chain.log_prob(tokens).numpy()
        raised = {"reward": (found.mean() - mean) / deviation}
        over = {"natural": mean_log[found], "log_p": np.nansum(law * mean_log)}
        natural = {name: (log_prob - rival).mean() / deviation_log for name, rival in over.items()}
        return {"method": method, "candidates": many} | raised | natural

    def denoise(tokens: Tensor) -> Tensor:
        seen.append(len(tokens))  # a call of the network for each sequence
        return chain(tokens)

    model = UnmaskingSteps(denoise, LETTERS, length)
    value = posterior_mean_value(reward, completions=completions)
    rows: Rows = []
    for many in (5, 10, 20):
        seen.clear()
        found = row("SVDD", many, SoftValueDecoder(model, value, many).sample(count, generator=generator))
        rows.append({**found, "calls": sum(seen) / (count * many * length)})
        for method, tried in (("best of N", many), ("best at equal reward calls", many * length * completions)):
            best = (mean_of_best(law, tried) - mean) / deviation
            rows.append({"method": method, "candidates": many, "reward": best, "most": (most - mean) / deviation})
    constant = SoftValueDecoder(model, lambda state, predicted, generator: torch.zeros(len(state)), 5)
    rows.append(row("constant reward", 5, constant.sample(count, generator=generator)))
    planted = chain.sample(count, length, generator=generator)
    for place in rng.choice(length // 3, min(3, length // 3), replace=False) * 3:
        planted[:, place : place + 3] = motif
    rows.append(row("planted motifs", 0, planted))
    return [*rows, gaussian(trial)]


def gaussian(trial: Trial) -> dict[str, Any]:
    """SVDD with ten candidates against best of ten, in Gaussian diffusion under a staircase."""
    count, steps = trial.pick(smoke=(20, 4), laptop=(500, 30), full=(5000, 100))
    generator = trial.generator("points", "cpu")
    angle = torch.arange(8).double() * math.pi / 4
    mixture = MixtureDenoiser(2 * torch.stack((angle.cos(), angle.sin()), 1), 0.3)
    slope = torch.from_numpy(trial.rng("slope").standard_normal(2))

    reward = lambda points: (2 * points @ slope / slope.norm()).floor()  # noqa: E731
    model = AncestralSteps(mixture, CosinePath(), (2,), torch.linspace(0, 1, steps + 1, dtype=torch.float64))
    base = SoftValueDecoder(model, posterior_mean_value(reward), 1).sample(10 * count, generator=generator)
    steered = SoftValueDecoder(model, posterior_mean_value(reward), 10).sample(count, generator=generator)
    rewards = reward(base)
    gain = reward(steered).mean() - rewards.view(count, 10).amax(1).mean()
    return {"method": "Gaussian", "candidates": 10, "gain": float(gain / rewards.std())}


shown = lines("candidates", "reward", "method", xlabel="candidates, or N", ylabel="reward (deviations over the base)")


@paper.claim(sequences, figure=shown)
def reward_over_best_of_n(table):
    """Rewards of SVDD over its rivals', means over numbers of candidates."""
    reward = table.groupby("method")["reward"].mean()
    return {
        "gain_over_best_of_n": reward["SVDD"] - reward["best of N"],
        "gain_over_unguided": reward["SVDD"],
        "gain_over_best_of_equal_reward_calls": reward["SVDD"] - reward["best at equal reward calls"],
        "gain_of_gaussian_diffusion": table.set_index("method")["gain"]["Gaussian"],
        "network_calls_over_best_of_n": table["calls"].max(),
        "gain_of_best_of_n": reward["best of N"],
        "headroom": table["most"].max() - reward["best of N"],
        "gain_by_constant_reward": abs(reward["constant reward"]),
    }


shown_natural = lines(
    "candidates", "natural", "method", xlabel="candidates", ylabel="ln p over best-of-N's at equal reward"
)


@paper.claim(sequences, figure=shown_natural)
def natural_at_equal_reward(table):
    """Log-likelihoods over best-of-N's at each sample's own reward."""
    means = table.groupby("method")[["natural", "log_p", "reward"]].mean()
    natural = means["natural"]
    return {
        "log_likelihood_over_best_of_n": natural["SVDD"],
        "log_likelihood_over_unguided": means["log_p"]["SVDD"],
        "gain_over_unguided": means["reward"]["SVDD"],
        "of_planted_motifs": natural["planted motifs"],
        "of_constant_reward": abs(natural["constant reward"]),
    }
