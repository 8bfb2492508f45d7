"""Chen, Chen, Rege, Ramya Korlakai Vinayak 2024: PAL, Pluralistic Alignment from heterogeneous preferences.

Users whose preferences mix a few shared ideal points: does a model that knows this serve them better than one for all, does it
serve new users with few pairs better than a model of their own, and what does it cost where all users are alike?
"""

from itertools import product
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from replica.data import electricity_choices
from replica.generative import IdealPointMixture
from replica.lab.claims import Paper, Trial
from replica.lab.studies import dots, lines
from replica.landscapes import lbfgs_descent

paper = Paper("pluralistic_alignment")
FEATURES, DIM, PROTOTYPES = 16, 4, 3
PENALTIES, RIDGES, FEW = (0.3, 3.0), (0.3, 3.0, 30.0), (2, 5, 10, 20)
"""Of f and prototypes; of what is a user's own, weights here and a linear model there; pairs of a new user."""


class Choices(NamedTuple):
    """Pairs of items by user, (users, pairs, 2): the preferred one first."""

    pairs: NDArray[np.int64]

    def flat(self, start: int = 0, end: int | None = None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The pairs from ``start`` to ``end`` of every user, and whose they are."""
        part = self.pairs[:, start:end]
        return part.reshape(-1, 2), np.repeat(np.arange(len(part)), part.shape[1])


def choices(worth: NDArray[np.float64], count: int, rng: np.random.Generator) -> Choices:
    """Pairs drawn evenly and preferences of Bradley and Terry's law, for rewards (users, items)."""
    users, items = worth.shape
    first = rng.integers(items, size=(users, count))
    second = (first + rng.integers(1, items, size=(users, count))) % items
    rows = np.arange(users)[:, None]
    odds = worth[rows, first] - worth[rows, second]
    kept = rng.random((users, count)) < 1 / (1 + np.exp(-odds))
    return Choices(np.where(kept[..., None], np.stack([first, second], -1), np.stack([second, first], -1)))


def accuracy(worth: Tensor, test: Choices) -> float:
    """Share of pairs whose preferred item has the larger reward, (users, items) or (1, items) for all alike."""
    pairs = torch.from_numpy(test.pairs)
    gathered = worth.expand(len(pairs), -1).gather(1, pairs.flatten(1)).view(pairs.shape)
    return float((gathered[..., 0] > gathered[..., 1]).double().mean())


def log_loss(worth: Tensor, pairs: NDArray[np.int64], users: NDArray[np.int64]) -> float:
    """Mean over pairs."""
    first, second = torch.from_numpy(pairs).T
    who = torch.from_numpy(users)
    return float(nn.functional.softplus(worth[who, second] - worth[who, first]).mean())


def mixture(
    trial: Trial, items: NDArray[np.float64], known: Choices, prototypes: int, users: Any = None
) -> IdealPointMixture:
    """Fitted to three quarters of the pairs, with the penalties that serve the last quarter best."""
    split, steps = known.pairs.shape[1] * 3 // 4, trial.pick(smoke=3, laptop=150, full=500)
    pairs, own = known.flat(0, split)
    held, whose = known.flat(split)
    seed = int(trial.rng("start").integers(2**31))
    found: list[tuple[float, int, IdealPointMixture]] = []
    for penalty, user_penalty in product(PENALTIES, RIDGES if prototypes > 1 else (0.0,)):
        model = IdealPointMixture(
            prototypes, DIM, penalty=penalty, user_penalty=user_penalty, steps=steps, random_state=seed
        )
        model.fit(items, pairs, own if users is None else users[:, :split].ravel())
        found.append((log_loss(model.rewards(), held, whose), len(found), model))
    return min(found)[2]


def own_models(items: Tensor, base: Tensor, known: Choices, count: int, ridge: float) -> Tensor:
    """Rewards (users, items) of a linear logistic model a user, on top of ``base``, from each one's first pairs."""
    pairs = torch.from_numpy(known.pairs[:, :count])
    given = base[pairs[..., 0]] - base[pairs[..., 1]]
    differences = items[pairs[..., 0]] - items[pairs[..., 1]]

    def loss(weights: Tensor) -> Tensor:
        margins = given + (differences * weights[:, None]).sum(-1)
        return nn.functional.softplus(-margins).sum() + ridge * weights.square().sum() / 2

    start = torch.zeros(len(pairs), items.shape[1], dtype=torch.float64)
    return base + lbfgs_descent(loss, [start], steps=200, tolerance=1e-5).tensors[0] @ items.T


def population(trial: Trial, alike: bool) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Items, and the true rewards (users, items) of seen and of new users."""
    users, new, count = trial.pick(smoke=(12, 6, 50), laptop=(200, 100, 1000), full=(1000, 500, 10_000))
    rng = trial.rng("population")
    items = rng.standard_normal((count, FEATURES))
    latent = items @ np.linalg.qr(rng.standard_normal((FEATURES, DIM)))[0]
    prototypes = 1.5 * rng.standard_normal((PROTOTYPES, DIM))
    weights = rng.dirichlet([0.5] * PROTOTYPES, size=users + new)
    if alike:
        weights[:] = 1 / PROTOTYPES
    points = weights @ prototypes
    # The noise is such that log-odds are half of the squared distances' difference.
    worth = -((latent - points[:, None]) ** 2).sum(-1) / 2
    return items, worth[:users], worth[users:]


def own_of(items: Tensor, base: Tensor, seen: Choices, who: Choices, count: int) -> Tensor:
    """Rewards of models per user from each one's first pairs; ridge and start are those that serve seen users best."""
    split = seen.pairs.shape[1] * 3 // 4
    scores = {
        (start, ridge): log_loss(own_models(items, start * base, seen, min(count, split), ridge), *seen.flat(split))
        for start, ridge in product((0, 1), RIDGES)
    }
    start, ridge = min(scores, key=lambda each: scores[each])
    return own_models(items, start * base, who, count, ridge)


def adapted(mixed: IdealPointMixture, seen: Choices, who: Choices, count: int) -> Tensor:
    """Weights of new users from their first pairs, with the penalty that serves seen users best, taken for new."""
    split = seen.pairs.shape[1] * 3 // 4
    losses = []
    for penalty in RIDGES:
        weights = mixed.adapt(*seen.flat(0, min(count, split)), user_penalty=penalty)
        losses.append(log_loss(mixed.rewards(weights=weights), *seen.flat(split)))
    return mixed.adapt(*who.flat(0, count), user_penalty=RIDGES[int(np.argmin(losses))])


def compared(
    trial: Trial, items: NDArray[np.float64], known: Choices, test: Choices, few: Choices, unseen: Choices,
    counts: tuple[int, ...] = FEW, prototypes: int = PROTOTYPES, truths: Any = None, control: bool = True,
) -> list[dict[str, Any]]:  # fmt: skip
    """Accuracies on held-out pairs of seen and of new users."""
    common, mixed = (mixture(trial, items, known, number) for number in (1, prototypes))
    for_all, X = common.rewards()[:1], torch.from_numpy(items)
    found = {"common": for_all, "model per user": own_of(X, for_all[0], known, known, known.pairs.shape[1] * 3 // 4)}
    if control:
        permuted = trial.rng("permuted").permutation(known.flat()[1]).reshape(known.pairs.shape[:2])
        found["users permuted"] = mixture(trial, items, known, prototypes, permuted).rewards()
    found["mixture"] = mixed.rewards()
    if truths is not None:
        found["truth"] = torch.from_numpy(truths[0])
    rows = [{"users": "seen", "method": name, "accuracy": accuracy(worth, test)} for name, worth in found.items()]
    for pairs in counts[: trial.pick(smoke=1, laptop=None, full=None)]:
        weights = adapted(mixed, known, few, pairs)
        found = {
            "common": for_all,
            "model per user": own_of(X, for_all[0], known, few, pairs),
            "another's pairs": mixed.rewards(weights=weights.roll(1, 0)),
            "mixture": mixed.rewards(weights=weights),
        }
        if truths is not None:
            found["truth"] = torch.from_numpy(truths[1])
        for name, worth in found.items():
            rows.append({"users": "new", "pairs": pairs, "method": name, "accuracy": accuracy(worth, unseen)})
    return rows


def planted(trial: Trial, alike: bool = False) -> list[dict[str, Any]]:
    """Users who differ."""
    items, seen, new = population(trial, alike)
    count, tested = trial.pick(smoke=(24, 20), laptop=(40, 100), full=(40, 100))
    known, test = choices(seen, count, trial.rng("known")), choices(seen, tested, trial.rng("test"))
    few, unseen = choices(new, max(FEW), trial.rng("few")), choices(new, tested, trial.rng("unseen"))
    return compared(trial, items, known, test, few, unseen, truths=(seen, new), control=not alike)


def alike(trial: Trial) -> list[dict[str, Any]]:
    """Users who do not."""
    return planted(trial, alike=True)


def contracts(trial: Trial) -> list[dict[str, Any]]:
    """People's choices of electricity contracts; at smoke scale, made ones."""
    rng = trial.rng("people")
    if trial.scale == "smoke":
        values, people = rng.standard_normal((240, 4, 6)), np.repeat(np.arange(20), 12)
    else:
        values, people = electricity_choices()
    whole = np.flatnonzero(np.bincount(people) == 12)
    rows = np.stack([rng.permutation(np.flatnonzero(people == person)) for person in rng.permutation(whole)])
    items = values.reshape(-1, values.shape[2])
    # The first contract of a choice is the one chosen, above three others.
    pairs = np.stack(np.broadcast_arrays(4 * rows[..., None], 4 * rows[..., None] + np.arange(1, 4)), -1)
    new = trial.pick(smoke=6, laptop=60, full=60)
    known, test, few, unseen = (
        Choices(part.reshape(len(part), -1, 2))
        for part in (pairs[new:, :8], pairs[new:, 8:], pairs[:new, :8], pairs[:new, 8:])
    )
    return compared(trial, (items - items.mean(0)) / items.std(0), known, test, few, unseen, (3, 6, 12, 24), 4)


def seen_users(axes, table):
    """A dot a method and seed."""
    table = table[table["users"] == "seen"]
    dots("method", "accuracy", xlabel="rewards by", ylabel="accuracy on held-out pairs (%)", percent=True)(axes, table)


def by_pairs(axes, table):
    """Over the pairs of a new user."""
    table, labels = table[table["users"] == "new"], {"xlabel": "pairs of a new user", "ylabel": "accuracy (%)"}
    lines("pairs", "accuracy", percent=True, log="x", **labels)(axes, table)


@paper.claim(planted, figure=seen_users)
def above_one_model(table):
    """Accuracy of the mixture over the common model's, seen users."""
    found = table[table["users"] == "seen"].set_index("method")["accuracy"]
    gain, headroom = found["mixture"] - found["common"], found["truth"] - found["common"]
    return {
        "gain_over_common": gain,
        "share_of_headroom": gain / max(headroom, 1e-9),
        "headroom": headroom,
        "gain_with_users_permuted": found["users permuted"] - found["common"],
        "accuracy_of_common": found["common"],
    }


def of_new(table):
    """Accuracies for new users, by number of pairs and method."""
    return table[table["users"] == "new"].pivot_table(index="pairs", columns="method", values="accuracy")


def gains_of_new(table):
    """Of the mixture over the better of the common model and the user's own, by number of pairs."""
    found = of_new(table)
    return found["mixture"] - found[["common", "model per user"]].max(axis=1)


@paper.claim(planted, figure=by_pairs)
def new_users(table):
    """Accuracy over the better of the common model and the user's own, mean over numbers of pairs."""
    found, gains = of_new(table), gains_of_new(table)
    return {
        "gain_over_better": gains.mean(),
        "gain_over_common": (found["mixture"] - found["common"]).mean(),
        "gain_over_own": (found["mixture"] - found["model per user"]).mean(),
        "gain_with_two_pairs": gains.iloc[0],
        "headroom": (found["truth"] - found["common"]).mean(),
        "gain_with_anothers_pairs": (found["another's pairs"] - found["common"]).mean(),
    }


@paper.claim(alike, figure=seen_users)
def alike_users(table):
    """What the mixture loses to the common model."""
    means = table.groupby(["users", "method"])["accuracy"].mean()
    return {
        "loss": means["seen", "common"] - means["seen", "mixture"],
        "loss_of_new_users": means["new", "common"] - means["new", "mixture"],
        "accuracy_of_common": means["seen", "common"],
    }


@paper.claim(contracts, figure=seen_users)
def electricity_contracts(table):
    """The mixture's accuracy over the common model's, seen people; beside models per person, and new people."""
    found = table[table["users"] == "seen"].set_index("method")["accuracy"]
    return {
        "gain_over_common": found["mixture"] - found["common"],
        "gain_over_own": found["mixture"] - found["model per user"],
        "new_gain_over_better": gains_of_new(table).mean(),
        "accuracy_of_common": found["common"],
        "gain_with_users_permuted": found["users permuted"] - found["common"],
    }
