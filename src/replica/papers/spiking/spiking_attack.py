"""Towards Effective and Sparse Adversarial Attack on Spiking Neural Networks via Breaking Invisible Surrogate Gradients.

(Lun et al., CVPR 2025).

A trained spiking network does not show with which surrogate gradient it was trained; an attack by gradients needs one. It
takes a bell as wide as the network's own potentials are spread. On binary events, flips are tried and then taken back.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from itertools import product
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from replica.data import digits, mnist, saccade_digits, saccade_mnist
from replica.lab.claims import Paper, Trial
from replica.lab.studies import lines
from replica.spiking import (
    ArcTangent,
    FastSigmoid,
    FlipAttack,
    LeakyIntegrateAndFire,
    Logistic,
    PotentialDependent,
    Rectangle,
    SparseDynamicAttack,
    Surrogate,
    Triangle,
    fast_gradient_sign,
    gradient_flips,
    projected_gradient,
    random_flips,
    rate_gradients,
    replaced_surrogates,
)
from replica.training import Minibatches, fit, split_indices

paper = Paper("spiking_attack")

TRAINED_WITH: Mapping[str, Surrogate] = {
    "arctan 2": ArcTangent(2.0),
    "fast sigmoid 10": FastSigmoid(10.0),
    "triangle 1": Triangle(1.0),
}
"""What victims were trained with, and attackers do not know."""
FIXED: Mapping[str, Surrogate] = {
    **TRAINED_WITH,
    "fast sigmoid 25": FastSigmoid(25.0),
    "logistic 4": Logistic(4.0),
    "rectangle 1/2": Rectangle(0.5),
}
"""What attackers take who know nothing of the victim: defaults of SpikingJelly, snnTorch and papers."""
OURS = "potential-dependent"
RATE = "rate gradient"


class Block(nn.Module):
    """A linear layer, batch normalisation over time and batch, and spiking neurons."""

    def __init__(self, ins: int, outs: int, surrogate: Surrogate) -> None:
        super().__init__()
        self.linear, self.normalise = nn.Linear(ins, outs, bias=False), nn.BatchNorm1d(outs)
        self.neurons = LeakyIntegrateAndFire(decay=0.5, reset="zero", surrogate=surrogate)

    def forward(self, signal: Float[Tensor, "time batch ins"]) -> Float[Tensor, "time batch outs"]:
        """Spikes."""
        return self.neurons(self.normalise(self.linear(signal).flatten(0, 1)).view(*signal.shape[:2], -1))


class Victim(nn.Module):
    """Three such blocks; scores are the mean over time of a linear read-out.

    Takes images ``(batch, units)``, held still for four steps, or frames ``(batch, time, units)``.
    """

    def __init__(self, units: int, width: int, classes: int, surrogate: Surrogate) -> None:
        super().__init__()
        self.body = nn.Sequential(*(Block(ins, width, surrogate) for ins in (units, width, width)))
        self.head = nn.Linear(width, classes)

    def forward(self, inputs: Tensor) -> Float[Tensor, "batch classes"]:
        """Scores of images or frames."""
        signal = inputs.expand(STILL, *inputs.shape) if inputs.ndim == 2 else inputs.transpose(0, 1)
        return self.head(self.body(signal).mean(0))


STILL = 4


class Trained(NamedTuple):
    """A victim, and recordings that it names correctly.

    Attributes:
        net: in evaluation mode.
        surrogate: what it was trained with, a name of `TRAINED_WITH`.
        inputs: held out, and named correctly.
        labels: of those.
        accuracy: on all that was held out.
    """

    net: Victim
    surrogate: str
    inputs: Tensor
    labels: Int[Tensor, " batch"]
    accuracy: float


def load(kind: str, trial: Trial) -> tuple[Tensor, Int[Tensor, " count"]]:
    """Inputs of a kind: "images" in [0, 1], "frames" of event counts, "binary" frames."""
    large = trial.scale == "full"
    if kind == "images":
        images = mnist("test") if large else digits()
        values, labels = images.values.reshape(len(images.labels), -1), images.labels
    else:
        recorded = saccade_mnist() if large else saccade_digits()
        # Ten frames, as in the paper, of three steps each.
        values = recorded.events.reshape(len(recorded), 10, 3, -1).sum(2)
        values, labels = (np.minimum(values, 1) if kind == "binary" else values), recorded.labels
    return torch.from_numpy(values).float().to(trial.device), torch.from_numpy(labels).to(trial.device)


def victims(kind: str, trial: Trial, count: int) -> Iterator[Trained]:
    """Victims of one kind of input, trained alike but for the surrogate, and what is held out of each for attacks."""
    inputs, labels = load(kind, trial)
    held, taught = split_indices(len(labels), (0.3, 0.7), trial.generator(f"{kind}/split", "cpu"))
    steps, width = trial.pick(smoke=10, laptop=150, full=2000), trial.pick(smoke=16, laptop=128, full=512)
    for name, surrogate in list(TRAINED_WITH.items())[: trial.pick(smoke=2, laptop=3, full=3)]:
        with torch.random.fork_rng(devices=[]):  # layers draw their weights from the global generator
            torch.manual_seed(int(torch.randint(2**62, (), generator=trial.generator(f"{kind}/weights", "cpu"))))
            net = Victim(inputs.shape[-1], width, 10, surrogate)
        net = net.to(trial.device)
        optimiser = torch.optim.AdamW(net.parameters(), 4e-3, weight_decay=1e-4)
        fit(
            net,
            lambda model, batch, classes: nn.functional.cross_entropy(model(batch), classes),
            Minibatches(inputs[taught], labels[taught], size=64, generator=trial.generator(f"{kind}/batches")),
            optimiser=optimiser,
            schedule=torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps),
            steps=steps,
            clip_norm=1.0,
        )
        for parameter in net.parameters():
            parameter.requires_grad_(False)
        with torch.no_grad():
            correct = net(inputs[held]).argmax(1) == labels[held]
        chosen = held[correct.cpu()][:count]
        yield Trained(net, name, inputs[chosen], labels[chosen], float(correct.double().mean()))


def gradients_of(victim: Trained, attacker: str) -> AbstractContextManager[None]:
    """How an attacker sees the victim's gradients."""
    if attacker == RATE:
        return rate_gradients(victim.net)
    if attacker == OURS:
        return replaced_surrogates(victim.net, PotentialDependent())
    return replaced_surrogates(victim.net, FIXED[attacker])


BUDGETS = (0.05, 0.1)


def attacks(trial: Trial) -> list[dict[str, Any]]:
    """The share of recordings that FGSM and PGD fool, on images held still and frames of event counts alike (mean of both).

    Every victim is attacked with each way of seeing its gradients; rows without an attack hold its error.
    """
    found: dict[tuple[str, str, str, float], list[float]] = {}
    budgets, steps = (BUDGETS[-1:], 1) if trial.scale == "smoke" else (BUDGETS, 10)
    for kind in ("images", "frames"):
        limits: dict[str, Any] = {"high": 1.0 if kind == "images" else torch.inf}
        for victim in victims(kind, trial, trial.pick(smoke=5, laptop=50, full=1000)):
            found.setdefault((victim.surrogate, "none", "none", 0.0), []).append(1 - victim.accuracy)
            for budget, attacker in product(budgets, (OURS, RATE, *FIXED)):
                given = (victim.net, victim.inputs, victim.labels)
                with gradients_of(victim, attacker):
                    start = trial.generator(f"{kind}/start")  # the same for all
                    moved = {
                        "fgsm": fast_gradient_sign(*given, budget=budget, **limits),
                        "pgd": projected_gradient(*given, budget=budget, steps=steps, generator=start, **limits),
                    }
                for attack, inputs in moved.items():
                    with torch.no_grad():
                        wrong = victim.net(inputs).argmax(1) != victim.labels
                    key = (victim.surrogate, attack, attacker, budget)
                    found.setdefault(key, []).append(float(wrong.double().mean()))
    return [
        {"victim": victim, "attack": attack, "attacker": attacker, "budget": budget, "success": fmean(shares)}
        for (victim, attack, attacker, budget), shares in found.items()
    ]


def draw_attacks(axes, table):
    """Success over the budget, by PGD, a line for each way of seeing the gradients."""
    shown = table[(table["attack"] == "pgd") & (table["attacker"] != table["victim"])]
    means = shown.groupby(["seed", "attacker", "budget"], sort=False, as_index=False)["success"].mean()
    lines("budget", "success", "attacker", percent=True, ylabel="recordings fooled by PGD (%)")(axes, means)


@paper.claim(attacks, figure=draw_attacks)
def invisible_surrogates(table):
    """A gain over a fixed surrogate is a mean over budgets and the victims that were trained with another."""
    measures = {"accuracy_of_victims": 1 - table.loc[table["attack"] == "none", "success"].mean()}
    for attack in ("fgsm", "pgd"):
        rows = table[table["attack"] == attack]
        success = rows.pivot(index=["victim", "budget"], columns="attacker", values="success")
        own = success.index.get_level_values("victim")
        gain = {name: (success[OURS] - success[name])[own != name].mean() for name in success.columns if name != OURS}
        fixed = [value for name, value in gain.items() if name != RATE]
        measures |= {
            f"{attack}_gain_over_mean": fmean(fixed),
            f"{attack}_gain_over_best": min(fixed),
            f"{attack}_gain_over_rate": gain[RATE],
            f"{attack}_success_of_own": rows.loc[rows["attacker"] == rows["victim"], "success"].mean(),
            f"{attack}_success": success[OURS].xs(max(BUDGETS), level="budget").mean(),
        }
    return measures


GIVE_UP = 32
"""Flips at which an attack is given up: 2.5 % of the 1,280 pixels of digits."""
RIVAL: tuple[str, dict[str, Any]] = ("logistic 4", {"per_step": 1})
"""A fixed surrogate that no victim was trained with, and how many of the strongest gradients are flipped at once."""


def sparse_attack(victim: Trained, trial: Trial) -> FlipAttack:
    """The sparse dynamic attack, with a surrogate as wide as potentials are spread over each recording."""
    attack = SparseDynamicAttack(
        victim.net,
        candidates=trial.pick(smoke=10, laptop=1, full=10),
        steps=trial.pick(smoke=3, laptop=60, full=500),
        generator=trial.generator("ties"),
    )
    with replaced_surrogates(victim.net, PotentialDependent(spread="recording")):
        return attack(victim.inputs, victim.labels)


def flips(trial: Trial) -> list[dict[str, Any]]:
    """The share of recordings that are fooled within 1, 2, ... flips, over all victims."""
    surrogate, steps = RIVAL
    taken: dict[str, list[Tensor]] = {"sparse attack": [], "gradient flips": [], "random flips": []}
    for victim in victims("binary", trial, trial.pick(smoke=4, laptop=30, full=200)):
        given = (victim.net, victim.inputs, victim.labels)
        with gradients_of(victim, surrogate):
            rival = gradient_flips(*given, most=GIVE_UP, **steps)
        by_chance = random_flips(*given, most=GIVE_UP, generator=trial.generator("random"))
        for name, found in zip(taken, (sparse_attack(victim, trial), rival, by_chance), strict=True):
            taken[name].append(torch.where(found.success, found.flips, GIVE_UP + 1))
    return [
        {"attack": name, "flips": count, "success": float((torch.cat(needed) <= count).double().mean())}
        for name, needed in taken.items()
        for count in range(1, GIVE_UP + 1)
    ]


@paper.claim(flips, figure=lines("flips", "success", "attack", percent=True, xlabel="events flipped, of 1,280"))
def sparse_flips(table):
    success = table.pivot(index="flips", columns="attack", values="success")
    reached = {name: (column < 0.5).sum() + 1 for name, column in success.items()}  # flips that fool half
    ours, rival = success["sparse attack"], success["gradient flips"]
    return {
        "success": ours.iloc[-1],
        "success_gain": (ours - rival).mean(),
        "flips_ratio": reached["sparse attack"] / reached["gradient flips"],
        "success_of_rival": rival.iloc[-1],
        "success_by_chance": success["random flips"].iloc[-1],
        "share_changed": reached["sparse attack"] / 1280,
    }
