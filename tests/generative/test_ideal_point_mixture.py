"""Mixtures of ideal points: against logistic regression, brute force over the simplex, and a planted truth."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from replica.generative import IdealPointMixture


def planted(users=20, each=30, features=3, seed=0, reward="distance"):
    """Items, pairs and users drawn by a mixture of two ideal points; the true rewards."""
    rng = np.random.default_rng(seed)
    items = rng.normal(size=(80, features))
    points = rng.dirichlet([0.5, 0.5], size=users) @ np.array([[2.0] * features, [-1.0] * features])
    worth = -((items - points[:, None]) ** 2).sum(-1) if reward == "distance" else points @ items.T
    who = np.repeat(np.arange(users), each)
    pairs = rng.integers(80, size=(len(who), 2))
    odds = worth[who, pairs[:, 0]] - worth[who, pairs[:, 1]]
    turned = rng.random(len(who)) > 1 / (1 + np.exp(-odds))
    pairs[turned] = pairs[turned][:, ::-1]
    return items, pairs, who, worth


def log_odds(rewards, pairs, users):
    return rewards[users, pairs[:, 0]] - rewards[users, pairs[:, 1]]


def test_one_direction_is_logistic_regression():
    items, pairs, who, _ = planted(reward="direction")
    model = IdealPointMixture(1, 2, reward="direction", penalty=0, random_state=0).fit(items, pairs, who)
    differences = items[pairs[:, 0]] - items[pairs[:, 1]]
    both = np.concatenate([differences, -differences])
    labels = np.repeat([1, 0], len(differences))
    other = LogisticRegression(C=1e8, fit_intercept=False, tol=1e-8).fit(both, labels)
    found = log_odds(model.rewards(), pairs, who)
    assert np.allclose(found, other.decision_function(differences), atol=1e-3)


@pytest.mark.parametrize("hidden", [0, 5])
def test_rewards_are_squared_distances(hidden):
    items, pairs, who, _ = planted()
    model = IdealPointMixture(3, 2, hidden=hidden, steps=20, random_state=0).fit(items, pairs, who)
    X = torch.from_numpy(items)
    first, *rest = model._encoder
    latent = ((X @ first + rest[0]).clamp_min(0) @ rest[1]) if hidden else X @ first
    assert latent.shape == (80, 2)
    points = model.user_weights_ @ model.prototypes_
    distances = (latent - points[:, None]).square().sum(-1)
    rewards = model.rewards()
    assert torch.allclose(rewards - rewards[:, :1], distances[:, :1] - distances)
    assert torch.allclose(model.user_weights_.sum(1), torch.ones(20, dtype=torch.float64))


def test_loss_counts_log_losses_and_penalties():
    items, pairs, who, _ = planted()
    model = IdealPointMixture(2, 2, penalty=0.7, user_penalty=0.0, steps=10, random_state=0).fit(items, pairs, who)
    odds = log_odds(model.rewards(), pairs, who)
    squares = model.prototypes_.square().sum() + model._encoder[0].square().sum()
    wanted = (torch.log1p(torch.exp(-odds)).sum() + 0.35 * squares) / len(pairs)
    assert model.loss_ == pytest.approx(float(wanted), rel=1e-9)


def test_new_users_weights_are_best_of_the_simplex():
    items, pairs, who, _ = planted()
    model = IdealPointMixture(2, 3, random_state=0).fit(items, pairs, who)
    new_items, new_pairs, new_who, _ = planted(users=4, seed=1)
    weights = model.adapt(new_pairs, new_who, items=new_items, user_penalty=0)
    share = torch.linspace(0, 1, 1001, dtype=torch.float64)
    grid = model.rewards(new_items, torch.stack([share, 1 - share], 1))
    for user in range(4):
        own = new_pairs[new_who == user]
        losses = torch.nn.functional.softplus(grid[:, own[:, 1]] - grid[:, own[:, 0]]).sum(1)
        assert weights[user, 0] == pytest.approx(float(share[losses.argmin()]), abs=5e-3)


def test_users_of_the_fit_adapt_to_their_own_weights():
    items, pairs, who, _ = planted()
    model = IdealPointMixture(2, 3, steps=2000, user_penalty=0.5, random_state=0).fit(items, pairs, who)
    assert torch.allclose(model.adapt(pairs, who), model.user_weights_, atol=5e-3)
    assert torch.allclose(
        model.adapt(pairs, who, user_penalty=1e6), torch.full((20, 2), 0.5, dtype=torch.float64), atol=1e-3
    )


def test_truth_is_found_as_pairs_grow():
    errors = []
    for each in (10, 300):
        items, pairs, who, worth = planted(each=each)
        model = IdealPointMixture(2, 3, penalty=0.1, random_state=0).fit(items, pairs, who)
        found, true = model.rewards().numpy(), worth
        found, true = (part - part.mean(1, keepdims=True) for part in (found, true))
        errors.append(((found - true) ** 2).sum() / (true**2).sum())
    assert errors[1] < 0.03 < errors[0]


def test_starts_keep_the_best_and_seeds_repeat():
    items, pairs, who, _ = planted(users=6)
    options = {"prototypes": 3, "dim": 2, "steps": 15, "random_state": 3}
    one, again, more = (IdealPointMixture(**options, starts=starts).fit(items, pairs, who) for starts in (1, 1, 4))
    assert torch.equal(one.rewards(), again.rewards())
    assert more.loss_ <= one.loss_


def test_items_that_nobody_met_change_nothing():
    items, pairs, who, _ = planted()
    more = np.concatenate([items[::-1] + 1, items])
    one, two = (
        IdealPointMixture(2, 2, steps=20, random_state=0).fit(X, rows, who)
        for X, rows in ((items, pairs), (more, pairs + 80))
    )
    assert torch.allclose(one.rewards(), two.rewards(items))
    assert torch.allclose(one.adapt(pairs[:9]), two.adapt(pairs[:9] + 80))


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (lambda: IdealPointMixture(0), "prototypes: got 0"),
        (lambda: IdealPointMixture(2, reward="dot"), "reward: got 'dot'"),
        (lambda: IdealPointMixture(2, penalty=-1), "penalty"),
        (lambda: IdealPointMixture().fit([[0.0]], [[0, 1]], [0]), "pairs: got items 0 to 1"),
        (lambda: IdealPointMixture().fit([[0.0], [1.0]], [[0, 1]], [0, 0]), "users"),
        (lambda: IdealPointMixture().fit([0.0], [[0, 0]], [0]), "items"),
        (lambda: IdealPointMixture().adapt([[0, 1]]), "want fit"),
    ],
)
def test_what_does_not_fit_is_named(wrong, named):
    with pytest.raises(ValueError, match=named):
        wrong()
