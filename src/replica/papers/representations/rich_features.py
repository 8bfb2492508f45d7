"""Zhang, Lopez-Paz, Bottou 2022: Rich Feature Construction for the Optimization-Generalization Dilemma.

Features found in rounds, each of which may not rest on what the others use: do penalties for several environments reach their
goal from there, where they do not from random weights?
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from replica.data import Images, coloured_digits, digits, mnist
from replica.lab.claims import Integer, LogUniform, Paper, Trial
from replica.lab.studies import dots
from replica.papers.baselines.shift import DECAY, PENALTY, RATE
from replica.representations import BonsaiFeatures, InvariantClassifier, environment_risks, rich_nets, train_invariant
from replica.training import Replicas, mlp

paper = Paper("rich_features")
METHODS = {"IRMv1": "irm", "V-REx": "vrex"}
STARTS = 4
BUDGET: dict[str, Any] = {"learning_rate": 5e-3, "weight_decay": 1.1e-3}
"""Of every training."""
SPACE: dict[str, Any] = {
    "rounds": Integer(2, 4),
    "penalty": LogUniform(1.0, 1e5),
    "learning_rate": LogUniform(3e-4, 1e-2),
}


def on_rich_features(
    trial: Trial, objective: Any, rounds: int, penalty: float, learning_rate: float
) -> InvariantClassifier:
    """A linear layer on frozen features; the layer is trained as long as the baselines' nets are, the features before it."""
    seed = int(trial.rng(f"rich-{objective}").integers(2**31))
    settings: Any = {"penalty": penalty, "learning_rate": learning_rate, "weight_decay": DECAY, "random_state": seed}
    return InvariantClassifier(objective, features=BonsaiFeatures(rounds, random_state=seed), **settings)


@paper.entry("shift", name="rich-irmv1", space=SPACE)
def rich_irmv1(trial: Trial, rounds: int = 2, penalty: float = PENALTY, learning_rate: float = RATE) -> Any:
    """IRMv1 on rich features."""
    return on_rich_features(trial, "irm", rounds, penalty, learning_rate)


@paper.entry("shift", name="rich-vrex", space=SPACE)
def rich_vrex(trial: Trial, rounds: int = 2, penalty: float = PENALTY, learning_rate: float = RATE) -> Any:
    """V-REx on rich features."""
    return on_rich_features(trial, "vrex", rounds, penalty, learning_rate)


class Rows(NamedTuple):
    """Images of two colours, flat, with labels and environments."""

    images: Tensor
    labels: Tensor
    environment: Tensor

    def grey(self) -> "Rows":
        """Without colour."""
        return self._replace(images=self.images.unflatten(1, (2, -1)).sum(1))


def draw(trial: Trial) -> tuple[Rows, Rows, Rows]:
    """Rows to learn from, rows held out of their environments, and rows of the environment whose colour has turned."""
    source = trial.pick(smoke=digits, laptop=mnist, full=lambda: mnist("train"))()
    if source.values.shape[1] == 28:
        pooled = source.values.reshape(len(source), 7, 4, 7, 4).mean((2, 4))
        source = Images(pooled, source.labels)
    made = coloured_digits(images=source, shares=(2, 2, 1), seed=trial.rng("data"))
    count, held = trial.pick(smoke=(60, 20), laptop=(2000, 400), full=(20_000, 2000))
    assert made.groups is not None
    groups = [np.flatnonzero(made.groups == number) for number in range(3)]
    parts = [group[:count] for group in groups[:2]], [group[count : count + held] for group in groups[:2]], groups[2:]
    found = []
    for part in parts:
        rows = np.concatenate(part)
        columns = np.asarray(made.features)[rows].reshape(len(rows), -1), made.labels[rows], made.groups[rows] % 2
        found.append(Rows(*(torch.from_numpy(column).to(trial.device) for column in columns)))
    return found[0], found[1], found[2]


def fresh(trial: Trial, name: str, inputs: int) -> list[nn.Module]:
    """Nets of random weights."""
    generator, width = trial.generator(name), trial.pick(smoke=8, laptop=32, full=390)
    count = trial.pick(smoke=2, laptop=STARTS, full=10)
    return [mlp((inputs, width, width, 2), generator=generator) for _ in range(count)]


def from_erm(trial: Trial, nets: Replicas, learned: Rows, held_out: Rows) -> None:
    """Train by mean risk; each net goes back to where the risk on rows held out of the same environments was least."""
    every = trial.pick(smoke=1, laptop=10, full=25)
    best = torch.full((nets.count,), torch.inf, device=trial.device)
    kept = {name: tensor.detach().clone() for name, tensor in nets.parameters.items()}

    @torch.no_grad()
    def look(step: int) -> None:
        if step % every == 0:
            logits = nets(held_out.images)
            risks = torch.stack([environment_risks(z, held_out.labels, held_out.environment).mean() for z in logits])
            better = risks < best
            best[better] = risks[better]
            for name, tensor in nets.parameters.items():
                kept[name][better] = tensor[better]

    train_invariant(nets, *learned, "erm", steps=12 * every, after_step=look, **BUDGET)
    with torch.no_grad():
        for name, tensor in nets.parameters.items():
            tensor.copy_(kept[name])


def starts(trial: Trial) -> list[dict[str, Any]]:
    """Accuracy in the turned environment of every method from every start, and of nets that learn without a penalty."""
    learned, held_out, turned = draw(trial)
    steps, first, later = trial.pick(smoke=(3, 1, 2), laptop=(200, 15, 350), full=(1001, 51, 501))
    inputs, width = learned.images.shape[1], trial.pick(smoke=8, laptop=32, full=390)
    rows: list[dict[str, Any]] = []

    def tell(start: str, method: str, nets: Replicas, images: Tensor) -> None:
        with torch.no_grad():
            right = nets(images, shared=images.dim() == 2).argmax(-1) == turned.labels
        for net, share in enumerate(right.float().mean(1).tolist()):
            rows.append({"start": start, "method": method, "net": net, "accuracy": share})

    def run(start: str, models: list[nn.Module], images: Tensor, test: Tensor, objectives: dict[str, str]) -> None:
        for method, objective in objectives.items():
            nets = Replicas(models)
            longer = 3 if (start, method) == ("rich", "IRMv1") else 1
            rest = learned.labels, learned.environment
            train_invariant(nets, images, *rest, objective, penalty=PENALTY, steps=longer * steps, **BUDGET)  # type: ignore[arg-type]
            tell(start, method, nets, test)

    run("random", fresh(trial, "random start", inputs), learned.images, turned.images, METHODS)
    plain = Replicas(fresh(trial, "ERM start", inputs))
    from_erm(trial, plain, learned, held_out)
    tell("ERM", "ERM", plain, turned.images)
    run("ERM", [plain.model(net) for net in range(plain.count)], learned.images, turned.images, METHODS)
    shape: dict[str, Any] = {"restarts": plain.count, "width": width, "first_steps": first, "steps": later}
    rich = rich_nets(learned.images, learned.labels, generator=trial.generator("rich"), **shape, **BUDGET)
    with torch.no_grad():
        images, test = (torch.stack([net(part.images) for net in rich.features]) for part in (learned, turned))
    run("rich", list(rich.heads), images, test, {**METHODS, "ERM": "erm"})
    grey = Replicas(fresh(trial, "grey", inputs // 2)[:2])
    from_erm(trial, grey, learned.grey(), held_out.grey())
    tell("oracle", "ERM", grey, turned.grey().images)
    return rows


def summary(table, how):
    """Mean or spread over starts, by start and method; and its average over the penalised methods, by start."""
    cells = table.groupby(["start", "method"])["accuracy"].agg(how)
    return cells, {start: cells[start][list(METHODS)] for start in ("random", "ERM", "rich")}


def shown(axes, table):
    """A dot for each kind of start and method."""
    means = table.groupby(["start", "method", "seed"], as_index=False)["accuracy"].mean()
    dots("start", "accuracy", "method", xlabel="start", ylabel="accuracy where the cue turned (%)", percent=True)(
        axes, means
    )


@paper.claim(starts, figure=shown)
def easier_to_optimise(table):
    """What penalised methods gain by rich features, in the turned environment."""
    cells, of = summary(table, "mean")
    oracle = cells["oracle", "ERM"]
    return {
        "gain_over_random": (of["rich"] - of["random"]).mean(),
        "gain_over_erm": (of["rich"] - of["ERM"]).mean(),
        "below_oracle": oracle - of["rich"].mean(),
        "accuracy_of_erm": cells["ERM", "ERM"],
        "accuracy_of_oracle": oracle,
        "oracle_over_random": oracle - of["random"].mean(),
        "accuracy_of_rich_erm": cells["rich", "ERM"],
    }


@paper.claim(starts, figure=shown)
def steadier(table):
    """Logs of standard deviations over starts."""
    cells, means = summary(table, "mean")
    logs = {start: np.log(spread.clip(lower=1e-4)) for start, spread in summary(table, "std")[1].items()}
    return {
        "log_spread": (logs["rich"] - logs["ERM"]).mean(),
        "log_spread_over_random": (logs["rich"] - logs["random"]).mean(),
        "accuracy_of_rich": means["rich"].mean(),
        "accuracy_of_oracle": cells["oracle", "ERM"],
    }
