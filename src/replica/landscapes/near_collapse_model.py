"""Features that stay near given ones while a last layer and they are fitted (Tirer, Huang, Niles-Weed 2023, equation 2).

    ‖W H − Y‖² / 2Kn + λ_W ‖W‖² / 2K + λ_H ‖H‖² / 2Kn + β ‖H − H_0‖² / 2Kn,

Y the one-hot labels of K classes of n samples each. Here features are rows, the transposes of the paper's H and H_0.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

from .collapse import class_means
from .lbfgs_descent import lbfgs_descent


class NearCollapseModel:
    """The model for given features. All is done in double precision.

    Args:
        given: H_0, a row a sample; as many features as classes at least.
        labels: of classes 0 … K−1, equally many samples each.
        weight_decay: λ_W, above 0.
        feature_decay: λ_H, 0 or more.
        attraction: β, above 0: how strongly features are held to the given ones.

    Raises:
        ValueError: if classes differ in number, there are fewer features than classes, or a number is out of range.

    Example:
        >>> corners = torch.eye(3).repeat(2, 1)
        >>> model = NearCollapseModel(corners, torch.arange(6) % 3, weight_decay=0.1, feature_decay=0.1, attraction=1.0)
        >>> model.minimize()[0].round(decimals=3)
        tensor([0.9870, 0.0000, 0.0000], dtype=torch.float64)
    """

    def __init__(
        self,
        given: Float[Tensor, "samples dim"],
        labels: Int[Tensor, " samples"],
        *,
        weight_decay: float,
        feature_decay: float,
        attraction: float,
    ) -> None:
        means = class_means(given, labels)
        counts = labels.bincount()
        if len(set(counts.tolist())) > 1 or means.shape[1] < len(means):
            found = f"classes of {counts.tolist()} and {means.shape[1]} features"
            raise ValueError(f"given, labels: got {found}, want equal classes, and features as many as these or more")
        if not (weight_decay > 0 and feature_decay >= 0 and attraction > 0):
            numbers = f"{weight_decay}, {feature_decay} and {attraction}"
            raise ValueError(
                f"weight_decay, feature_decay, attraction: got {numbers}, want above 0, 0 or more, above 0"
            )
        self.given, self.labels = given.detach().double(), labels.long()
        self.weight_decay, self.feature_decay, self.attraction = weight_decay, feature_decay, attraction
        self.count = int(counts[0])
        self._targets = one_hot(self.labels).double()

    def weights(self, features: Float[Tensor, "samples dim"]) -> Float[Tensor, "classes dim"]:
        """The best last layer for features: W*(H) = Y Hᵀ (H Hᵀ + n λ_W)⁻¹."""
        gram = features.T @ features
        ridge = self.count * self.weight_decay * torch.eye(len(gram)).to(gram)
        return torch.linalg.solve(gram + ridge, features.T @ self._targets).T

    def loss(
        self, features: Float[Tensor, "samples dim"], weights: Float[Tensor, "classes dim"] | None = None
    ) -> Float[Tensor, ""]:
        """The objective; with the best last layer for these features unless one is given."""
        weights = self.weights(features) if weights is None else weights
        error = (features @ weights.T - self._targets).square().sum()
        held = self.feature_decay * features.square().sum() + self.attraction * (features - self.given).square().sum()
        return (error + self.count * self.weight_decay * weights.square().sum() + held) / (2 * len(features))

    def minimize(self, *, steps: int = 10_000) -> Float[Tensor, "samples dim"]:
        """The features that descent from the given ones reaches, the last layer always being the best one."""
        # Times β: the sum of squares that holds features is then scaled alike for all attractions.
        scale = len(self.given) / self.attraction
        return lbfgs_descent(lambda features: scale * self.loss(features), [self.given], steps=steps).tensors[0]

    def flow(self, times: Sequence[float]) -> Float[Tensor, "times samples dim"]:
        """Features along the central path, dH/dt = −Kn ∇ min_W of the objective without attraction, from the given ones.

        Equation 4; for large β the minimiser is near the flow at time 1/β.

        Args:
            times: from 0 on, in rising order.

        Raises:
            ValueError: if times are negative or do not rise.
        """
        from scipy.integrate import solve_ivp

        if len(times) == 0 or times[0] < 0 or any(later <= now for now, later in itertools.pairwise(times)):
            raise ValueError(f"times: got {list(times)}, want one or more, from 0 on, in rising order")

        def velocity(_: float, flat: np.ndarray) -> np.ndarray:
            features = torch.from_numpy(flat).reshape(self.given.shape)
            weights = self.weights(features)
            slope = (features @ weights.T - self._targets) @ weights + self.feature_decay * features
            return -slope.reshape(-1).numpy()

        start = self.given.reshape(-1).numpy()
        span = (0.0, max(times[-1], 1e-300))
        found = solve_ivp(velocity, span, start, method="DOP853", t_eval=times, rtol=1e-9, atol=1e-12)
        return torch.from_numpy(found.y.T.copy()).reshape(len(times), *self.given.shape)

    def first_order(self, perturbation: Float[Tensor, "*batch samples dim"]) -> Float[Tensor, "*batch samples dim"]:
        """How the minimiser moves with the given features, to first order, where these are collapsed: F(δH_0).

        Theorem 4.1 at a collapsed H_0, for every β, with the inverse taken in closed form. Let class means of H_0 have
        singular values a_i, the minimiser's then m_i and the last layer's w_i = m_i / (m_i² + λ_W), in the same directions.
        Variations within classes are multiplied by β / (w_i² + λ_H + β) along direction i, by β / (λ_H + β) across all.
        Those of means turn into each other by pairs of directions, and by β / (λ_H + β − λ_W / (m_i² + λ_W)²) across all.

        Args:
            perturbation: δH_0, any batch of them.

        Raises:
            ValueError: if the given features vary within classes, or shapes differ.
        """
        means = class_means(self.given, self.labels)
        if (self.given - means[self.labels]).abs().max() > 1e-9 * means.abs().max():
            raise ValueError("given: got features that vary within classes, want collapsed ones")
        if perturbation.shape[-2:] != self.given.shape:
            raise ValueError(f"perturbation: got {tuple(perturbation.shape)}, want (…, {tuple(self.given.shape)})")
        classes, beta, lam = len(means), self.attraction, self.weight_decay
        held = self.feature_decay + beta
        left, lengths, right = torch.linalg.svd(means.T, full_matrices=True)
        m = torch.tensor([self._length(float(a)) for a in lengths], dtype=torch.float64)
        norms = m**2 + lam
        w, rest = m / norms, lam / norms
        gains = torch.full((len(left),), beta / held, dtype=torch.float64)
        gains[:classes] = beta / (w**2 + held)
        # Means of the perturbation, classes in rows, in the bases of the given means: [k, j] is the coefficient of u_j v_kᵀ.
        average = self._targets.T @ perturbation.double() / self.count
        within = (perturbation.double() - average[..., self.labels, :]) @ left * gains
        turned = right @ average @ left
        own, across = turned[..., :classes], turned[..., classes:]
        # i for features' directions (columns here), j for classes' (rows); both read as [j, i].
        i, j = (slice(None), None), (None, slice(None))
        diagonal = rest[i] ** 2 / norms[j] + (w[j] * m[i]) ** 2 / norms[i] - w[j] ** 2 - held
        mixed = -(rest[i] * w[i] * m[j]) / norms[j] - (w[j] * m[i] * rest[j]) / norms[i]
        flipped = own.transpose(-1, -2)
        determinant = diagonal * diagonal.T - mixed**2
        moved = -beta * (diagonal.T * own - mixed * flipped) / determinant
        across = beta * across / (held - lam / norms**2)[:, None]
        between = right.T @ torch.cat([moved, across], -1)
        return (within + between[..., self.labels, :]) @ left.T

    def response_block(self, source: int, target: int) -> Float[Tensor, "moved perturbed"]:
        """F's block from perturbations of one class's given features to this or another class's: `first_order` as a matrix.

        Args:
            source: the class that is perturbed.
            target: the class whose features move.

        Returns:
            A square matrix of as many rows as a class has samples times features.
        """
        size = self.count * self.given.shape[1]
        basis = torch.zeros(size, *self.given.shape, dtype=torch.float64)
        basis[:, self.labels == source] = torch.eye(size, dtype=torch.float64).reshape(size, self.count, -1)
        return self.first_order(basis)[:, self.labels == target].flatten(1).T

    def collapsed_minimizer(self) -> Float[Tensor, "samples dim"]:
        """The minimiser for the class means of the given features in place of these, in closed form: collapsed as well."""
        left, lengths, right = torch.linalg.svd(class_means(self.given, self.labels).T, full_matrices=False)
        found = torch.tensor([self._length(float(a)) for a in lengths], dtype=torch.float64)
        return ((left * found) @ right).T[self.labels]

    def _length(self, given: float) -> float:
        """The m ≥ 0 for which λ_W / (m² + λ_W) + λ_H m² + β (m − a)² is least."""
        lam, held, pull = self.weight_decay, self.feature_decay + self.attraction, self.attraction * given
        # ((λ_H + β) m − β a) (m² + λ_W)² = λ_W m
        square = np.polymul([1.0, 0.0, lam], [1.0, 0.0, lam])
        roots = np.roots(np.polysub(np.polymul([held, -pull], square), [lam, 0.0]))
        reals = [
            0.0,
            *(float(root.real) for root in roots if abs(root.imag) < 1e-9 * (1 + abs(root)) and root.real > 0),
        ]
        return min(reals, key=lambda m: lam / (m**2 + lam) + held * m**2 - 2 * pull * m)


def unconstrained_frame(
    classes: int, dim: int, *, weight_decay: float, feature_decay: float, generator: torch.Generator | None = None
) -> Float[Tensor, "classes dim"]:
    """Class means of a minimiser of the model without attraction: orthogonal, turned at random, float64.

    Their squared length is (1 − √(λ_H λ_W)) √(λ_W / λ_H), for decays whose product is below 1; 0 else (Theorem 2.1).

    Raises:
        ValueError: if there are fewer dimensions than classes, or a decay is not above 0.

    Example:
        >>> means = unconstrained_frame(2, 5, weight_decay=0.04, feature_decay=0.01)
        >>> (means @ means.T).round(decimals=4)
        tensor([[1.9600, 0.0000],
                [0.0000, 1.9600]], dtype=torch.float64)
    """
    if dim < classes or not (weight_decay > 0 and feature_decay > 0):
        found = f"{classes}, {dim}, {weight_decay} and {feature_decay}"
        raise ValueError(f"classes, dim, weight_decay, feature_decay: got {found}, want dim ≥ classes, decays above 0")
    square = max(1 - (weight_decay * feature_decay) ** 0.5, 0.0) * (weight_decay / feature_decay) ** 0.5
    return square**0.5 * torch.linalg.qr(torch.randn(dim, classes, dtype=torch.float64, generator=generator))[0].T
