"""Hopfield Networks is All You Need (Ramsauer et al. 2020)."""

import math
from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Float
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from replica.data import digits, mnist
from replica.lab.claims import LogUniform, Paper, Proportion, Trial
from replica.lab.studies import dots, lines
from replica.memory import HopfieldPooling, ModernHopfield
from replica.memory.hopfield_retrieval import FixedPointKind, standardize
from replica.training import Minibatches, fit, mean_loss, mlp, split_indices

paper = Paper("hopfield")


@paper.entry("recall", name="modern-hopfield", space={"beta": LogUniform(0.1, 100.0)})
def modern_hopfield(trial: Trial, beta: float = 8.0) -> ModernHopfield:
    """Modern Hopfield network over standardized patterns, one update."""
    return ModernHopfield(beta=beta, standardize=True)


def on_sphere(count: int, dim: int, radius: float, generator: torch.Generator) -> Float[Tensor, "count dim"]:
    """Random points of a sphere, uniformly."""
    points = torch.randn(count, dim, generator=generator, device=generator.device)
    return radius * points / points.norm(dim=-1, keepdim=True)


def retrieval_errors(trial):
    """Random patterns of norm M = √(d−1) (K = 1, β = 1); errors relative to that norm.

    From cues damaged by noise of half the norm, and from cues at the distance 1/(2βM) of Theorem 5: for these `tells` counts the
    patterns for which its bound says something (is below 2M), `held` those within it, and `decay_rate` is over them, at all d.
    """
    dims = trial.pick(smoke=(16, 32), laptop=(8, 12, 16, 24, 32, 48, 64), full=(16, 32, 64, 128, 256, 512))
    count = trial.pick(smoke=50, laptop=1000, full=4000)
    generator = trial.generator("patterns")
    rows, separations, logarithms = [], [], []
    for dim in dims:
        norm = math.sqrt(dim - 1)
        patterns = on_sphere(count, dim, norm, generator).double()
        memory = ModernHopfield(patterns, beta=1.0)
        damaged = patterns + on_sphere(count, dim, norm / 2, generator)
        once = (memory(damaged) - patterns).norm(dim=-1)
        settled = (memory.retrieve(damaged, steps=200).state - patterns).norm(dim=-1)
        distance = 1 / (2 * norm)
        weights = memory.weights(patterns + on_sphere(count, dim, distance, generator)).fill_diagonal_(0.0)
        # f(ξ) − x_i without the rounding of a difference of nearly equal vectors: Σ_{j≠i} p_j (x_j − x_i).
        near = (weights @ patterns - weights.sum(-1, keepdim=True) * patterns).norm(dim=-1)
        bound = memory.retrieval_error_bound(distance)
        tells = bound < 2 * norm
        separations.append(memory.separation()[tells])
        logarithms.append(near[tells].log())
        cues = {"damaged": once.mean(), "damaged, fixed point": settled.mean(), "near": near.median()}
        rows += [
            {"dimension": dim, "cues": name, "error": error / norm, "bound": bound.median() / norm if name == "near" else None,
             "held": (near <= bound)[tells].sum(), "tells": tells.sum()}
            for name, error in cues.items()
        ]  # fmt: skip
    slope = straight_line(torch.cat(separations).cpu().numpy(), torch.cat(logarithms).cpu().numpy())[0]
    return [{**row, "decay_rate": -slope} for row in rows]


@paper.claim(
    retrieval_errors,
    figure=lines(
        "dimension", "error", "cues", theory="bound", ylabel="error / norm (theory: the bound near a pattern)", log="y"
    ),
)
def one_update(table):
    error = table[table["dimension"] == table["dimension"].max()].set_index("cues")["error"]
    near = table[table["cues"] == "near"]
    return {
        "error": error["damaged"],
        "gain_of_more_updates": error["damaged"] - error["damaged, fixed point"],
        "decay_rate": near["decay_rate"].iloc[0],
        "within_bound": Proportion(near["held"].sum(), near["tells"].sum()),
    }


def straight_line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope of the least-squares line through points, and the root mean square of what it leaves."""
    slope, offset = np.polyfit(x, y, 1)
    return float(slope), float(np.sqrt(np.mean((y - slope * x - offset) ** 2)))


STORAGE_ERROR = 0.1
"""Relative error at which a pattern counts as no longer stored."""


def storage(trial):
    """The median over some patterns of how many others they bear."""
    dims = trial.pick(smoke=(4, 6, 8), laptop=tuple(range(4, 23, 2)), full=tuple(range(4, 27)))
    queries = trial.pick(smoke=8, laptop=64, full=256)
    generator = trial.generator("patterns")
    return {"dimension": dims, "stored": [patterns_until_error(d, queries, 2**24, generator).median() for d in dims]}


def patterns_until_error(
    dim: int, queries: int, limit: int, generator: torch.Generator, *, damage: float = 0.1
) -> Float[Tensor, " queries"]:
    """Number of patterns at which one update first errs by more than `STORAGE_ERROR`, for each of some patterns.

    Patterns of norm √(d−1), β = 1, cues damaged by noise of `damage` times the norm. Patterns are added in a
    stream, 4 % at a time, with the running sums of w_j = exp(ξᵀ(x_j − x_i)) and w_j (x_j − x_i), which give the
    error ‖Σ w_j (x_j − x_i)‖ / (1 + Σ w_j). Infinite where `limit` patterns are not enough.
    """
    radius = math.sqrt(dim - 1)
    targets = on_sphere(queries, dim, radius, generator)
    cues = targets + on_sphere(queries, dim, damage * radius, generator)
    own = (cues * targets).sum(-1, keepdim=True)
    mass, pull = torch.zeros_like(own), torch.zeros_like(targets)
    stored = torch.full((queries,), math.inf, device=targets.device)
    present = 1
    while present < limit and stored.isinf().any():
        step = max(1, present // 25)
        others = on_sphere(step, dim, radius, generator)
        weights = torch.exp(cues @ others.T - own)
        mass += weights.sum(-1, keepdim=True)
        pull += weights @ others - weights.sum(-1, keepdim=True) * targets
        present += step
        failed = (pull.norm(dim=-1) / (1 + mass.squeeze(-1)) > STORAGE_ERROR * radius) & stored.isinf()
        stored[failed] = present
    return stored


@paper.claim(storage, figure=lines("dimension", "stored", None, ylabel="patterns stored at 10 % error", log="y"))
def exponential_storage(table):
    dim, stored = table["dimension"].to_numpy(float), np.log(table["stored"].to_numpy(float))
    rate, exponential = straight_line(dim, stored)
    return {"power_law_misfit": straight_line(np.log(dim), stored)[1] - exponential, "growth_rate": rate}


def fixed_points(trial):
    """The kind of the fixed point reached from each stored image, over a sweep of β; `steps_back` counts images."""
    images = (mnist(split="test") if trial.scale == "full" else digits()).values
    count = trial.pick(smoke=40, laptop=300, full=2000)
    steps = trial.pick(smoke=50, laptop=1000, full=5000)
    betas = np.logspace(-3, 2, trial.pick(smoke=6, laptop=31, full=51))
    chosen = trial.rng("images").choice(len(images), count, replace=False)
    patterns = standardize(torch.from_numpy(images[chosen].reshape(count, -1)).to(trial.device))
    memory = ModernHopfield(patterns)
    kinds = []
    for beta in betas:
        point = memory.retrieve(patterns, beta=float(beta), steps=steps).state
        kinds.append(memory.fixed_point_kind(point, beta=float(beta)))
    kind = torch.stack(kinds)
    in_order = (kind.diff(dim=0) >= 0).all(0).double().mean()
    return [
        {"beta": beta, "kind": number.name.lower(), "share": (own == number).double().mean(), "in_order": in_order}
        for beta, own in zip(betas, kind, strict=True)
        for number in FixedPointKind
    ]


@paper.claim(fixed_points, figure=lines("beta", "share", "kind", ylabel="share of stored patterns", log="x"))
def three_kinds(table):
    peaks = table.groupby("kind")["share"].max()
    return {**{f"{kind}_peak": share for kind, share in peaks.items()}, "in_order": table["in_order"].iloc[0]}


TARGET_DIGIT, WIDTH = 9, 64
LEARNING_RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
POOLINGS = ("hopfield", "gated attention", "max", "mean")


def make_bags(
    images: np.ndarray, labels: np.ndarray, count: int, rng: np.random.Generator
) -> tuple[Float[Tensor, "count size pixels"], Bool[Tensor, "count size"], Float[Tensor, " count"]]:
    """Bags of images, where they are padding, and whether they hold the target digit, as half of them do.

    Sizes have mean 10 and deviation 2, as in Ilse et al. 2018.
    """
    sizes = np.maximum(1, np.rint(rng.normal(10, 2, count))).astype(int)
    positive = rng.permutation(count) < count // 2
    targets, others = np.flatnonzero(labels == TARGET_DIGIT), np.flatnonzero(labels != TARGET_DIGIT)
    bags = np.zeros((count, sizes.max(), images[0].size), np.float32)
    padding = np.arange(sizes.max()) >= sizes[:, None]
    for bag, size, holds in zip(bags, sizes, positive, strict=True):
        hits = 1 + rng.binomial(size - 1, 0.1) if holds else 0
        members = np.concatenate([rng.choice(targets, hits), rng.choice(others, size - hits)])
        bag[:size] = images[members].reshape(size, -1)
    return torch.from_numpy(bags), torch.from_numpy(padding), torch.from_numpy(positive.astype(np.float32))


class GatedAttention(nn.Module):
    """Gated attention pooling (Ilse et al. 2018, Eq. 9): weights softmax(w (tanh V h ⊙ sigmoid U h))."""

    def __init__(self, dim: int, hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        self.content = mlp((dim, hidden), end=nn.Tanh, generator=generator)
        self.gate = mlp((dim, hidden), end=nn.Sigmoid, generator=generator)
        self.score = mlp((hidden, 1), generator=generator)

    def forward(self, members: Tensor, padding: Tensor) -> Tensor:
        """(batch, size, dim) to (batch, dim)."""
        score = self.score(self.content(members) * self.gate(members)).squeeze(-1)
        weights = score.masked_fill(padding, -torch.inf).softmax(-1)
        return torch.einsum("bn,bnd->bd", weights, members)


class BagClassifier(nn.Module):
    """Encoder of each member, pooling, one logit: only the pooling differs between methods."""

    def __init__(self, pixels: int, pooling: str, generator: torch.Generator) -> None:
        super().__init__()
        self.encoder = mlp((pixels, 2 * WIDTH, WIDTH), end=nn.ReLU, generator=generator)
        self.head = mlp((WIDTH, 1), generator=generator)
        self.kind = pooling
        if pooling == "hopfield":  # one head, the result as wide as a member: the authors' example of MNIST bags
            layer = HopfieldPooling(WIDTH, association_dim=WIDTH // 2, out_dim=WIDTH, generator=generator)
            self.pooling = layer.to(generator.device)
        elif pooling == "gated attention":
            self.pooling = GatedAttention(WIDTH, WIDTH // 2, generator)  # type: ignore[assignment]

    def forward(self, bags: Tensor, padding: Tensor) -> Float[Tensor, " batch"]:
        """Logit that a bag holds the target."""
        return self.head(self.pool(self.encoder(bags), padding)).squeeze(-1)

    def pool(self, members: Float[Tensor, "batch size dim"], padding: Bool[Tensor, "batch size"]) -> Tensor:
        """One vector for the members that are no padding, (batch, dim)."""
        if self.kind == "hopfield":
            return self.pooling(members, key_padding_mask=padding)
        if self.kind == "gated attention":
            return self.pooling(members, padding)
        if self.kind == "max":
            return members.masked_fill(padding[..., None], -torch.inf).amax(1)
        return members.masked_fill(padding[..., None], 0.0).sum(1) / (~padding).sum(1, keepdim=True)


def bag_loss(model: nn.Module, bags: Tensor, padding: Tensor, positive: Tensor) -> Tensor:
    """Mean cross-entropy of a batch of bags."""
    return nn.functional.binary_cross_entropy_with_logits(model(bags, padding), positive)


def bags_of_digits(trial):
    """Accuracy on test bags; no image is in two splits, and all poolings get the same encoder, batches and steps."""
    data = mnist(split="test") if trial.scale == "full" else digits()
    bags = trial.pick(smoke=(20, 20, 20), laptop=(200, 200, 1000), full=(500, 500, 2000))
    parts = split_indices(len(data.labels), (0.5, 0.2, 0.3), trial.generator("images", "cpu"))
    train, check, test = (
        [
            tensor.to(trial.device)
            for tensor in make_bags(data.values[part.numpy()], data.labels[part.numpy()], count, trial.rng(name))
        ]
        for name, part, count in zip(("train", "check", "test"), parts, bags, strict=True)
    )
    positive = test[2].bool()
    rows = []
    for name in POOLINGS:
        # The same streams for all: the same encoder at the start, the same batches in the same order.
        fitted = [fitted_logits(trial, name, rate, train, check, test) for rate in LEARNING_RATES]
        _, logits = min(fitted, key=lambda pair: pair[0])
        accuracy = ((logits > 0) == positive).double().mean()
        rows.append({"pooling": name, "accuracy": accuracy, "auc": roc_auc_score(positive.cpu(), logits.cpu())})
    return rows


def fitted_logits(trial, name, rate, train, check, test):
    """The best validation loss on the way, and the logits of the test bags there."""
    steps = trial.pick(smoke=10, laptop=500, full=3000)
    model = BagClassifier(train[0].shape[-1], name, trial.generator("weights"))
    history = fit(
        model, bag_loss, Minibatches(*train, size=20, generator=trial.generator("batches")),
        optimiser=torch.optim.AdamW(model.parameters(), rate, weight_decay=1e-4, fused=True),
        steps=steps, clip_norm=1.0, every=max(1, steps // 20), patience=6,
        validate=partial(mean_loss, model, bag_loss, [tuple(check)]),
    )  # fmt: skip
    with torch.no_grad():
        return history.best_score, model(*test[:2])


@paper.claim(bags_of_digits, figure=dots("pooling", "accuracy", ylabel="accuracy on test bags", percent=True))
def pooling(table):
    accuracy = table.set_index("pooling")["accuracy"]
    return {
        f"gain_over_{name.replace(' ', '_')}": accuracy["hopfield"] - accuracy[name]
        for name in POOLINGS
        if name != "hopfield"
    }
