"""Preferences of many people as mixtures of a few shared ideal points in a learned space, from pairwise choices."""

from typing import Literal, Self

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from torch import Tensor, nn

from replica.landscapes import lbfgs_descent

Reward = Literal["distance", "direction"]


class IdealPointMixture:
    """Reward models that differ between users and share all but a few numbers each (PAL; models A and B).

    A user prefers x to x' with probability σ(r(x) − r(x')). ``reward="distance"`` is model A: r(x) = −‖f(x) − a_i‖², the nearer
    to the user's ideal point a_i = Σ_k w_ik p_k the better. ``"direction"`` is model B without prompts: r(x) = ⟨f(x), a_i⟩. The
    weights w_i lie on the simplex; f and the K points p_k are shared. With one prototype all users are alike, and the model is
    Bradley and Terry's. Everything is learned at once, by L-BFGS on all pairs in double precision. It has scikit-learn's manner
    but not its base: its `fit` takes pairs and users, for which there is no place in ``fit(X, y)``.

    Args:
        prototypes: K, the shared ideal points.
        dim: of the latent space.
        hidden: units of f's hidden layer (ReLU); 0 makes f linear.
        reward: as above.
        penalty: half of it times the squares of f's weights and of the prototypes is added to the sum of log-losses.
        user_penalty: likewise for the users' weights, as logits: the softmax's arguments, 0 for even weights.
        starts: random starts, of which the lowest loss stays.
        steps: of descent, at most.
        random_state: seed of the starts.

    Attributes:
        prototypes_: float tensor (prototypes, dim).
        user_weights_: float tensor (users, prototypes), rows on the simplex.
        loss_: the sum that was minimised, over the number of pairs.

    Source: Chen, Chen, Rege and Ramya Korlakai Vinayak, PAL (2024), section 3. The paper's letters: f, K, p, w and a are as
    here; g for the prototypes of model B.

    Example:
        >>> import numpy as np
        >>> from replica.generative import IdealPointMixture
        >>> items = np.linspace(-2, 2, 9)[:, None]
        >>> near = lambda point: [(i, j) for i in range(9) for j in range(9) if abs(i - point) < abs(j - point)]
        >>> pairs = np.array(near(1) + near(7))
        >>> users = np.repeat([0, 1], [len(near(1)), len(near(7))])
        >>> model = IdealPointMixture(2, 1, random_state=0).fit(items, pairs, users)
        >>> model.rewards(items).argmax(1).tolist()
        [1, 7]
        >>> model.rewards(items, model.adapt([(8, 5), (7, 4), (6, 0)])).argmax(1).tolist()
        [7]
    """

    prototypes_: Float[Tensor, "prototypes dim"]
    user_weights_: Float[Tensor, "users prototypes"]
    loss_: float

    def __init__(
        self,
        prototypes: int = 2,
        dim: int = 8,
        *,
        hidden: int = 0,
        reward: Reward = "distance",
        penalty: float = 1.0,
        user_penalty: float = 0.1,
        starts: int = 1,
        steps: int = 300,
        random_state: int | None = None,
    ) -> None:
        for name, value, least in (
            ("prototypes", prototypes, 1),
            ("dim", dim, 1),
            ("hidden", hidden, 0),
            ("starts", starts, 1),
        ):
            if value < least:
                raise ValueError(f"{name}: got {value}, want {least} or more")
        if reward not in ("distance", "direction"):
            raise ValueError(f"reward: got {reward!r}, want 'distance' or 'direction'")
        if penalty < 0 or user_penalty < 0:
            raise ValueError(f"penalty, user_penalty: got {penalty} and {user_penalty}, want 0 or more")
        self.prototypes, self.dim, self.hidden, self.reward = prototypes, dim, hidden, reward
        self.penalty, self.user_penalty = penalty, user_penalty
        self.starts, self.steps, self.random_state = starts, steps, random_state

    def fit(self, items: ArrayLike, pairs: ArrayLike, users: ArrayLike) -> Self:
        """Learns f, the prototypes and every user's weights.

        Args:
            items: (items, features).
            pairs: (pairs, 2), rows of ``items``: the preferred one first.
            users: (pairs,), who chose, from 0.

        Raises:
            ValueError: if shapes do not fit, or a pair names an item that there is not.
        """
        self._items = torch.as_tensor(np.asarray(items, float))
        if self._items.dim() != 2 or not len(self._items):
            raise ValueError(f"items: got shape {tuple(self._items.shape)}, want (items, features)")
        chosen, who = self._checked(pairs, users, self._items)
        count, features = int(who.max()) + 1, self._items.shape[1]
        used, chosen = chosen.unique(return_inverse=True)
        seen = self._items[used]
        generator = torch.Generator().manual_seed(np.random.RandomState(self.random_state).randint(2**31))

        def drawn(*shape: int, scale: float = 1.0) -> Tensor:
            return scale * torch.randn(*shape, generator=generator, dtype=torch.float64)

        def loss(prototypes: Tensor, logits: Tensor, *encoder: Tensor) -> Tensor:
            margins = self._margins(self._item_rewards(seen, encoder, prototypes), chosen, who, logits.softmax(1))
            size = prototypes.square().sum() + torch.stack([weight.square().sum() for weight in encoder]).sum()
            extra = self.penalty * size + self.user_penalty * logits.square().sum()
            return (nn.functional.softplus(-margins).sum() + extra / 2) / len(chosen)

        ends = []
        for _ in range(self.starts):
            wide = self.hidden or features
            encoder = [drawn(wide, self.dim, scale=wide**-0.5)]
            if self.hidden:
                encoder = [drawn(features, wide, scale=features**-0.5), torch.zeros(wide), *encoder]
            logits = drawn(count, self.prototypes, scale=0.1)
            starts = [drawn(self.prototypes, self.dim, scale=self.dim**-0.5), logits, *encoder]
            ends.append(lbfgs_descent(loss, starts, steps=self.steps, tolerance=1e-6))
        best = min(ends, key=lambda end: end.loss)
        self.loss_ = best.loss
        self.prototypes_, logits, *self._encoder = best.tensors
        self.user_weights_ = logits.softmax(1)
        return self

    def adapt(
        self,
        pairs: ArrayLike,
        users: ArrayLike | None = None,
        *,
        items: ArrayLike | None = None,
        user_penalty: float | None = None,
    ) -> Float[Tensor, "users prototypes"]:
        """Weights of users that were not there, from their pairs: all else stays. Convex but for the small penalty.

        Args:
            pairs: (pairs, 2), rows of ``items``, the preferred one first.
            users: (pairs,), who chose, from 0; None for one user.
            items: None for those of `fit`.
            user_penalty: None for that of `fit`; fewer pairs may want more.
        """
        X = self._known(items)
        penalty = self.user_penalty if user_penalty is None else user_penalty
        chosen, who = self._checked(pairs, users, X)
        used, chosen = chosen.unique(return_inverse=True)
        rewards = self._item_rewards(X[used], self._encoder, self.prototypes_)

        def loss(logits: Tensor) -> Tensor:
            margins = self._margins(rewards, chosen, who, logits.softmax(1))
            return nn.functional.softplus(-margins).sum() + penalty * logits.square().sum() / 2

        start = torch.zeros(int(who.max()) + 1, self.prototypes, dtype=torch.float64)
        return lbfgs_descent(loss, [start], steps=self.steps, tolerance=1e-6).tensors[0].softmax(1)

    def rewards(
        self, items: ArrayLike | None = None, weights: Float[Tensor, "users prototypes"] | None = None
    ) -> Float[Tensor, "users items"]:
        """What every item is worth to every user, up to a constant a user: a difference is the log-odds of a preference.

        Args:
            items: None for those of `fit`.
            weights: as `adapt` gives them; None for the users of `fit`.
        """
        shared, own = self._item_rewards(self._known(items), self._encoder, self.prototypes_)
        return shared + (self.user_weights_ if weights is None else weights) @ own.T

    def _item_rewards(
        self, items: Tensor, encoder: list[Tensor] | tuple[Tensor, ...], prototypes: Tensor
    ) -> tuple[Float[Tensor, " items"], Float[Tensor, "items prototypes"]]:
        # −‖f − Σ w p‖² = −‖f‖² + Σ w · 2⟨f, p⟩ − ‖a‖²: linear in w but for what does not depend on the item.
        if len(encoder) > 1:
            items = (items @ encoder[0] + encoder[1]).relu()
        latent = items @ encoder[-1]
        if self.reward == "direction":
            return latent.new_zeros(len(latent)), latent @ prototypes.T
        return -latent.square().sum(1), 2 * latent @ prototypes.T

    @staticmethod
    def _margins(
        rewards: tuple[Tensor, Tensor], pairs: Int[Tensor, "pairs 2"], users: Int[Tensor, " pairs"], weights: Tensor
    ) -> Float[Tensor, " pairs"]:
        # index_select adds up gradients many times faster than indexing does.
        shared, own = (part.index_select(0, pairs.flatten()).unflatten(0, pairs.shape) for part in rewards)
        shared, own = shared[:, 0] - shared[:, 1], own[:, 0] - own[:, 1]
        return shared + (own * weights.index_select(0, users)).sum(1)

    def _known(self, items: ArrayLike | None) -> Tensor:
        if not hasattr(self, "_items"):
            raise ValueError("adapt, rewards: got a mixture that is not fitted, want fit called first")
        if items is None:
            return self._items
        X = torch.as_tensor(np.asarray(items, float))
        if X.dim() != 2 or X.shape[1] != self._items.shape[1]:
            raise ValueError(f"items: got shape {tuple(X.shape)}, want (items, {self._items.shape[1]})")
        return X

    @staticmethod
    def _checked(pairs: ArrayLike, users: ArrayLike | None, items: Tensor) -> tuple[Tensor, Tensor]:
        chosen = torch.as_tensor(np.asarray(pairs, np.int64))
        if chosen.dim() != 2 or chosen.shape[1] != 2 or not len(chosen):
            raise ValueError(f"pairs: got shape {tuple(chosen.shape)}, want (pairs, 2)")
        if int(chosen.min()) < 0 or int(chosen.max()) >= len(items):
            raise ValueError(f"pairs: got items {int(chosen.min())} to {int(chosen.max())}, want 0 to {len(items) - 1}")
        who = (
            torch.zeros(len(chosen), dtype=torch.int64)
            if users is None
            else torch.as_tensor(np.asarray(users, np.int64))
        )
        if who.shape != chosen.shape[:1] or int(who.min()) < 0:
            raise ValueError(f"users: got shape {tuple(who.shape)}, want ({len(chosen)},), numbers from 0")
        return chosen, who
