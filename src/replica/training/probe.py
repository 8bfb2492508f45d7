"""What features tell without training them further: linear probes on few labels, nearest neighbours, effective rank."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0)
"""Among which a probe chooses, for features scaled to a mean variance of 1."""
_STEPS_TO_CHOOSE = 100
"""A penalty's held-out loss is known well before its weights are."""


class LinearProbe(NamedTuple):
    """Linear classifiers of features, one a label budget.

    Attributes:
        weights: ``(budgets, features, classes)``.
        bias: ``(budgets, classes)``.
        penalties: The one that each budget chose, ``(budgets,)``.
    """

    weights: Tensor
    bias: Tensor
    penalties: Tensor

    def scores(self, features: Float[Tensor, "n dim"]) -> Float[Tensor, "budgets n classes"]:
        """Scores of each class; for `logistic_probe` log-probabilities up to a constant."""
        return features.to(self.weights) @ self.weights + self.bias[:, None]

    def accuracy(self, features: Float[Tensor, "n dim"], labels: Int[Tensor, " n"]) -> Float[Tensor, " budgets"]:
        """Share of rows whose class has the highest score."""
        return (self.scores(features).argmax(2) == labels).to(self.weights).mean(1)


def label_budgets(
    labels: Int[Tensor, " n"], per_class: Sequence[int], generator: torch.Generator | None = None
) -> list[Int[Tensor, " rows"]]:
    """Rows whose labels are known under several budgets: so many of each class; smaller budgets lie within larger ones.

    Raises:
        ValueError: If a budget is below 1, or more than the smallest class has.

    Example:
        >>> import torch
        >>> from replica.training import label_budgets
        >>> [len(rows) for rows in label_budgets(torch.arange(100) % 4, (1, 10), torch.Generator().manual_seed(0))]
        [4, 40]
    """
    kinds, counts = labels.unique(return_counts=True)
    if not len(labels) or any(not 1 <= count <= int(counts.min()) for count in per_class):
        least = int(counts.min()) if len(labels) else 0
        raise ValueError(f"per_class: got {tuple(per_class)}, want 1 to {least}, rows of the smallest class")
    order = torch.randperm(len(labels), generator=generator, device=None if generator is None else generator.device)
    order = order.to(labels.device)
    rows = [order[labels[order] == kind] for kind in kinds]
    return [torch.cat([of_kind[:count] for of_kind in rows]) for count in per_class]


def ridge_probe(
    features: Float[Tensor, "n dim"],
    labels: Int[Tensor, " n"],
    budgets: Sequence[Tensor] | None = None,
    *,
    penalties: Sequence[float] = PENALTIES,
) -> LinearProbe:
    """Ridge regression on one-hot labels, in closed form, for each label budget.

    The intercept is free. Of several penalties each budget takes the one with the least squared leave-one-out error, which
    is exact: residuals over 1 - h for the diagonal h of the hat matrix (Allen 1974).

    Args:
        features: One row an item.
        labels: Whole numbers from 0.
        budgets: Rows whose labels may be used; all rows where None. See `label_budgets`.
        penalties: Of squared weights, for the sum of squared errors and features divided by one number, the root of their
            mean variance over the budget's rows. Weights are given for the features as they came.

    Raises:
        ValueError: If shapes do not fit, labels are negative, a budget has no rows, or a penalty is not above 0.

    Example:
        >>> import torch
        >>> from replica.training import label_budgets, ridge_probe
        >>> labels = torch.arange(60) % 3
        >>> features = torch.eye(3)[labels] + 0.1 * torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
        >>> ridge_probe(features, labels, label_budgets(labels, (2, 20))).accuracy(features, labels).tolist()
        [1.0, 1.0]
    """
    X, budgets = _checked(features, labels, budgets, penalties)
    targets = nn.functional.one_hot(labels.long(), int(labels.max()) + 1).to(X)
    weights, bias, chosen = [], [], []
    grid = torch.tensor(penalties, dtype=X.dtype, device=X.device)
    for rows in budgets:
        inputs, mean, scale = _scaled(X[rows])
        goal, offset = targets[rows] - targets[rows].mean(0), targets[rows].mean(0)
        left, values, right = torch.linalg.svd(inputs, full_matrices=False)
        shrink = values.square() / (values.square() + grid[:, None])  # (penalties, rank)
        projected = left.T @ goal
        residuals = goal - left @ (shrink[:, :, None] * projected)
        leverage = 1 / len(rows) + shrink @ left.square().T  # (penalties, rows)
        spared = (1 - leverage).clamp(min=1e-9)
        best = (residuals / spared[:, :, None]).square().mean((1, 2)).argmin()
        slope = right.T @ (values / (values.square() + grid[best]))[:, None].mul(projected) / scale
        weights.append(slope)
        bias.append(offset - mean @ slope)
        chosen.append(grid[best])
    return LinearProbe(torch.stack(weights), torch.stack(bias), torch.stack(chosen))


def logistic_probe(
    features: Float[Tensor, "n dim"],
    labels: Int[Tensor, " n"],
    budgets: Sequence[Tensor] | None = None,
    *,
    penalties: Sequence[float] = PENALTIES,
    folds: int = 5,
    steps: int = 1000,
) -> LinearProbe:
    """Multinomial logistic regression for each label budget, all penalties and folds of a budget in one L-BFGS run.

    It minimises the sum of cross-entropies and half the penalty times the squared weights; the intercept is free. Of several
    penalties each budget takes the one with the least cross-entropy over held-out folds, stratified by class.

    Args:
        features: One row an item.
        labels: Whole numbers from 0.
        budgets: Rows whose labels may be used; all rows where None. See `label_budgets`.
        penalties: For features divided by one number, the root of their mean variance over the budget's rows. Weights are
            given for the features as they came.
        folds: Held out one after another, fewer where the smallest class has fewer rows.
        steps: Most iterations of L-BFGS; at most 100 for the folds.

    Raises:
        ValueError: If shapes do not fit, labels are negative, a budget has no rows, a penalty is not above 0, or there are
            several penalties and a class of a budget has one row only.

    Example:
        >>> import torch
        >>> from replica.training import label_budgets, logistic_probe
        >>> labels = torch.arange(60) % 3
        >>> features = torch.eye(3)[labels] + 0.1 * torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
        >>> logistic_probe(features, labels, label_budgets(labels, (2, 20))).accuracy(features, labels).tolist()
        [1.0, 1.0]
    """
    X, budgets = _checked(features, labels, budgets, penalties)
    classes = int(labels.max()) + 1
    weights, bias, chosen = [], [], []
    grid = torch.tensor(penalties, dtype=X.dtype, device=X.device)
    for rows in budgets:
        inputs, mean, scale = _scaled(X[rows])
        # Rotations change nothing: in the rows' own span there are at most as many features as rows.
        left, values, right = torch.linalg.svd(inputs, full_matrices=False)
        spanned, goal = left * values, nn.functional.one_hot(labels[rows].long(), classes).to(X)
        best = torch.zeros((), dtype=torch.long, device=X.device)
        if len(grid) > 1:
            held = _folds(goal, folds)  # (folds, rows)
            mask = (1 - held).repeat(len(grid), 1)
            problems, brief = grid.repeat_interleave(len(held)), min(steps, _STEPS_TO_CHOOSE)
            slopes, offsets = _fit_logistic(spanned, goal, mask, problems, values, brief)
            logs = torch.log_softmax(spanned @ slopes + offsets[:, None], 2)
            losses = -(logs * goal).sum(2) * (1 - mask)
            best = losses.view(len(grid), -1).sum(1).argmin()
        slope, offset = _fit_logistic(spanned, goal, torch.ones_like(goal[None, :, 0]), grid[best, None], values, steps)
        weights.append(right.T @ slope[0] / scale)
        bias.append(offset[0] - mean @ weights[-1])
        chosen.append(grid[best])
    return LinearProbe(torch.stack(weights), torch.stack(bias), torch.stack(chosen))


@torch.no_grad()
def neighbour_accuracy(
    features: Float[Tensor, "n dim"],
    labels: Int[Tensor, " n"],
    queries: Float[Tensor, "m dim"],
    query_labels: Int[Tensor, " m"],
    *,
    neighbours: int = 5,
) -> float:
    """Share of queries whose nearest rows by cosine, of centred features, vote for their class; ties go to the nearer rows.

    Raises:
        ValueError: If shapes do not fit, or there are fewer rows than neighbours.

    Example:
        >>> import torch
        >>> from replica.training import neighbour_accuracy
        >>> features, labels = torch.eye(2).repeat(3, 1), torch.tensor([0, 1]).repeat(3)
        >>> neighbour_accuracy(features, labels, features, labels, neighbours=3)
        1.0
    """
    X, _ = _checked(features, labels, None, (1.0,))
    if not 1 <= neighbours <= len(X):
        raise ValueError(f"neighbours: got {neighbours}, want 1 to {len(X)}, the rows")
    mean = X.mean(0)
    bank, asked = (nn.functional.normalize(rows - mean, dim=1) for rows in (X, queries.to(X)))
    right = 0
    for part, wanted in zip(asked.split(4096), query_labels.split(4096), strict=True):
        nearest = (part @ bank.T).topk(neighbours, dim=1).indices
        votes = nn.functional.one_hot(labels.long()[nearest], int(labels.max()) + 1).to(X)
        # Earlier neighbours count a little more, too little to outvote one whole vote.
        order = 1 + torch.linspace(1, 0, neighbours, dtype=X.dtype, device=X.device) / (neighbours + 1) ** 2
        right += int(((votes * order[:, None]).sum(1).argmax(1) == wanted).sum())
    return right / len(queries)


def effective_rank(features: Float[Tensor, "n dim"], *, centred: bool = True) -> Float[Tensor, ""]:
    """Number of directions that features use: exp of the entropy of their singular values, which are made to sum to 1.

    Roy & Vetterli 2007; without centring RankMe (Garrido et al. 2023). Singular values at the level of rounding count as 0,
    and constant features have rank 0.

    Raises:
        ValueError: If features are not a matrix.

    Example:
        >>> import torch
        >>> from replica.training import effective_rank
        >>> round(float(effective_rank(torch.eye(4), centred=False)), 3), round(float(effective_rank(torch.ones(4, 3))), 3)
        (4.0, 0.0)
    """
    if features.ndim != 2 or not len(features):
        raise ValueError(f"features: got shape {tuple(features.shape)}, want (items, dimensions)")
    rounding = torch.finfo(features.dtype).eps * max(features.shape) * torch.linalg.matrix_norm(features.double())
    rows = features.double()
    values = torch.linalg.svdvals(rows - rows.mean(0) if centred else rows)
    values = torch.where(values > rounding, values, torch.zeros_like(values))
    share = values / values.sum().clamp(min=torch.finfo(torch.float64).tiny)
    rank = torch.exp(torch.special.entr(share).sum()) * (values[0] > 0)
    return rank.to(features.dtype)


def _checked(
    features: Tensor, labels: Tensor, budgets: Sequence[Tensor] | None, penalties: Sequence[float]
) -> tuple[Tensor, list[Tensor]]:
    """Features in double precision, and budgets."""
    if features.ndim != 2 or not len(features) or labels.shape != features.shape[:1]:
        raise ValueError(
            f"features, labels: got shapes {tuple(features.shape)} and {tuple(labels.shape)}, want (n, dim) and (n,)"
        )
    if labels.is_floating_point() or int(labels.min()) < 0:
        raise ValueError(f"labels: got {labels.dtype} from {labels.min().item()}, want whole numbers from 0")
    if not penalties or not all(0 < penalty < math.inf for penalty in penalties):
        raise ValueError(f"penalties: got {tuple(penalties)}, want one or more above 0")
    chosen = [torch.arange(len(features), device=features.device)] if budgets is None else list(budgets)
    if not chosen or not all(len(rows) for rows in chosen):
        raise ValueError("budgets: got none or an empty one, want rows")
    return features.detach().double(), chosen


def _scaled(inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    mean = inputs.mean(0)
    centred = inputs - mean
    scale = centred.square().mean().sqrt()
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    return centred / scale, mean, scale


def _folds(goal: Tensor, folds: int) -> Tensor:
    """Which rows each fold holds out, ``(folds, rows)`` of 0 and 1: rows of each class in turn."""
    counts = goal.sum(0)
    least = int(counts[counts > 0].min())
    if least < 2 or folds < 2:
        raise ValueError(
            f"penalties: got several, with {folds} folds and {least} rows of a class; want 2 or more of both, or one penalty"
        )
    place = ((goal.cumsum(0) - 1) * goal).sum(1).long()
    return nn.functional.one_hot(place % min(folds, least), min(folds, least)).T.to(goal)


@torch.no_grad()
def _fit_logistic(
    inputs: Tensor, goal: Tensor, mask: Tensor, penalties: Tensor, values: Tensor, steps: int
) -> tuple[Tensor, Tensor]:
    """Minimises many problems that share their rows.

    Args:
        inputs: ``(rows, rank)``, with orthogonal columns of norms `values`.
        goal: One-hot labels ``(rows, classes)``.
        mask: ``(problems, rows)``, 1 for the rows that a problem learns from.
        penalties: ``(problems,)``.
        values: ``(rank,)``.
        steps: Most iterations.

    Returns:
        Weights ``(problems, rank, classes)`` and intercepts ``(problems, classes)``.
    """
    # The Hessian is at most half the Gram matrix plus the penalty (Böhning 1992): in units of its root all problems are
    # about equally curved, and one line search serves them all.
    unit = (values.square() / 2 + penalties[:, None]).rsqrt()[:, :, None]
    lift = (mask.sum(1) / 2).rsqrt()[:, None]
    slope = torch.zeros(len(mask), inputs.shape[1], goal.shape[1]).to(inputs)
    offset = torch.zeros(len(mask), goal.shape[1]).to(inputs)
    solver = torch.optim.LBFGS(
        [slope, offset], max_iter=steps, history_size=20, line_search_fn="strong_wolfe",
        tolerance_grad=1e-6, tolerance_change=1e-12,
    )  # fmt: skip

    def closure() -> Tensor:
        weights = unit * slope
        logs = torch.log_softmax(inputs @ weights + (lift * offset)[:, None], 2)
        pull = (logs.exp() - goal) * mask[:, :, None]
        slope.grad = unit * (inputs.T @ pull + penalties[:, None, None] * weights)
        offset.grad = lift * pull.sum(1)
        return -(logs * goal).sum(2).mul(mask).sum() + (penalties * weights.square().sum((1, 2))).sum() / 2

    solver.step(closure)
    return unit * slope, lift * offset
