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


def compared(trial: Trial, alike: bool = False) -> list[dict[str, Any]]:
    """Accuracies on held-out pairs of seen and of new users."""
    items, seen, new = population(trial, alike)
    count, tested = trial.pick(smoke=(24, 20), laptop=(40, 100), full=(40, 100))
    known, test = choices(seen, count, trial.rng("known")), choices(seen, tested, trial.rng("test"))
    few, unseen = choices(new, max(FEW), trial.rng("few")), choices(new, tested, trial.rng("unseen"))
    common, mixed = (mixture(trial, items, known, prototypes) for prototypes in (1, PROTOTYPES))
    for_all, truth = common.rewards()[:1], torch.from_numpy(seen)
    found = {"common": for_all, "mixture": mixed.rewards(), "truth": truth}
    if not alike:
        permuted = trial.rng("permuted").permutation(np.repeat(np.arange(len(seen)), count)).reshape(len(seen), count)
        found["users permuted"] = mixture(trial, items, known, PROTOTYPES, permuted).rewards()
    rows = [{"users": "seen", "method": name, "accuracy": accuracy(worth, test)} for name, worth in found.items()]
    X, split = torch.from_numpy(items), count * 3 // 4
    for pairs in FEW:
        scores = {
            (base, ridge): log_loss(
                own_models(X, base * for_all[0], known, min(pairs, split), ridge), *known.flat(split)
            )
            for base, ridge in product((0, 1), RIDGES)
        }
        base, ridge = min(scores, key=lambda each: scores[each])
        losses = [
            log_loss(
                mixed.rewards(weights=mixed.adapt(*known.flat(0, min(pairs, split)), user_penalty=each)),
                *known.flat(split),
            )
            for each in RIDGES
        ]
        weights = mixed.adapt(*few.flat(0, pairs), user_penalty=RIDGES[int(np.argmin(losses))])
        found = {
            "common": for_all,
            "model per user": own_models(X, base * for_all[0], few, pairs, ridge),
            "another's pairs": mixed.rewards(weights=weights.roll(1, 0)),
            "mixture": mixed.rewards(weights=weights),
            "truth": torch.from_numpy(new),
        }
        for name, worth in found.items():
            rows.append({"users": "new", "pairs": pairs, "method": name, "accuracy": accuracy(worth, unseen)})
    return rows


def planted(trial: Trial) -> list[dict[str, Any]]:
    """Users who differ."""
    return compared(trial)


def alike(trial: Trial) -> list[dict[str, Any]]:
    """Users who do not."""
    return compared(trial, alike=True)


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


@paper.claim(planted, figure=by_pairs)
def new_users(table):
    """Accuracy over the better of the common model and the user's own, mean over numbers of pairs."""
    found = table[table["users"] == "new"].pivot_table(index="pairs", columns="method", values="accuracy")
    gains = found["mixture"] - found[["common", "model per user"]].max(axis=1)
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
