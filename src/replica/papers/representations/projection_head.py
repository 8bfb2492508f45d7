"""Xue, Gan, Ni, Joshi, Mirzasoleiman 2024: Investigating the Benefits of Projection Head for Representation Learning.

Do contrastive losses weigh features more unequally layer by layer, and does what comes before a projection head keep what the
augmentation hides?
"""

from typing import Any, Literal, cast

import numpy as np
import torch
from torch import Tensor, nn

from replica.data import digits, mnist
from replica.lab.claims import Choice, LogUniform, Paper, Trial, Uniform
from replica.lab.studies import dots, lines
from replica.papers.baselines import shift
from replica.papers.baselines.pretext import usual_views
from replica.representations import (
    HeadTraining,
    feature_weights,
    layerwise_weights_closed_form,
    linear_spectral_loss,
    spectral_contrastive_loss,
)
from replica.training import Minibatches, Views, fit, mlp, ridge_probe

paper = Paper("projection_head")
Rows = list[dict[str, Any]]


@paper.entry(
    "pretext",
    name="projection-head",
    space={
        "learning_rate": LogUniform(3e-4, 1e-2),
        "strength": Uniform(0.25, 2.0),
        "place": Choice(("before", "after")),
        "kappa": Choice((None, 1.01, 1.05)),
    },
)
def with_head(
    trial: Trial,
    learning_rate: float = 3e-3,
    strength: float = 1.0,
    place: Literal["before", "after"] = "before",
    kappa: float | None = None,
) -> HeadTraining:
    """The spectral contrastive loss behind a learned head, or a fixed one where κ is given; features before it, or after."""
    return HeadTraining(usual_views(strength), place=place, kappa=kappa, learning_rate=learning_rate)


class BeforeHead(shift.LastLayerRetraining):
    """Takes the network's last hidden layer for a head, and learns the last layer again on what comes before it."""

    def features(self, X: shift.Array) -> shift.Array:
        """What the first hidden layer gives."""
        net = cast(nn.Sequential, self.learner.net_)
        with torch.no_grad():
            return np.asarray(net[:-3](torch.tensor(X)).numpy())


@paper.entry("shift", name="head-removed", space={"C": LogUniform(1e-3, 1e2), **shift.TRAINING})
def head_removed(
    trial: Trial, C: float = 1.0, learning_rate: float = shift.RATE, weight_decay: float = shift.DECAY
) -> BeforeHead:
    """Supervised learning behind a head that is then left off; with it, this is last-layer retraining."""
    return BeforeHead(shift.network(trial, "head-removed", "erm", learning_rate, weight_decay), C)


def weighting(trial: Trial) -> Rows:
    """How unequally linear networks weigh features after each layer, as drawn, after descent, and by the closed form."""
    dim, width, steps = trial.pick(smoke=(4, 8, 50), laptop=(8, 64, 6000), full=(8, 256, 20_000))
    drawn = torch.rand(2, dim, dtype=torch.float64, generator=trial.generator("variances"))
    variances, noise = 0.5 * 4 ** drawn[0], 3 * drawn[1]
    basis = torch.randn(dim, dim, dtype=torch.float64, generator=trial.generator("features"))
    features = torch.linalg.qr(basis)[0]
    moments = features * (variances + noise) @ features.T, features * variances @ features.T
    rows = []
    for depth in (2, 3):
        drawn_by = trial.generator(f"start of {depth}")
        net = mlp((dim, *[width] * depth), activation=nn.Identity, bias=False, generator=drawn_by, dtype=torch.float64)
        layers = [layer for layer in net if isinstance(layer, nn.Linear)]
        for layer in layers:  # their product starts equally small, whatever their number
            nn.init.normal_(layer.weight, 0.0, 0.04 ** (1 / depth) / width**0.5, generator=drawn_by)
        start = by_layer(layers, features)
        descend(layers, moments, steps)
        found, predicted = by_layer(layers, features), layerwise_weights_closed_form(*moments, width=dim, depth=depth)
        least = linear_spectral_loss(torch.diag(predicted.weights[-1]) @ predicted.directions.T, *moments)
        over = linear_spectral_loss(torch.linalg.multi_dot([layer.weight for layer in layers[::-1]]), *moments) / least
        for number, (before, after, all_weights) in enumerate(zip(start, found, predicted.weights, strict=True), 1):
            wanted = (all_weights[:, None] * (predicted.directions.T @ features)).norm(dim=0)
            facts = {
                "at_start": inequality(before),
                "inequality": inequality(after),
                "predicted": inequality(wanted),
                "error": float((after / wanted).log().abs().max()),
                "loss_over_least": float(1 - over.detach()),
            }
            rows.append({"depth": f"{depth} layers", "layer": number, **facts})
    return rows


def descend(layers: list[nn.Linear], moments: tuple[Tensor, Tensor], steps: int, rate: float = 0.01) -> None:
    """Gradient descent on the spectral contrastive loss over all data."""
    weights = [layer.weight for layer in layers]
    descent = torch.optim.SGD(weights, rate)
    for _ in range(steps):
        descent.zero_grad()
        linear_spectral_loss(torch.linalg.multi_dot(weights[::-1]), *moments).backward()
        descent.step()


def by_layer(layers: list[nn.Linear], features: Tensor) -> list[Tensor]:
    """Weights of features, the columns, after each layer."""
    origin = torch.zeros(1, len(features), dtype=features.dtype)
    return [
        feature_weights(nn.Sequential(*layers[:end]), origin, features.T).detach() for end in range(1, len(layers) + 1)
    ]


def inequality(weights: Tensor) -> float:
    """Logarithm of the largest over the smallest."""
    return float((weights.max() / weights.min()).log())


@paper.claim(
    weighting, figure=lines("layer", "inequality", "depth", theory="predicted", ylabel="ln (largest / smallest weight)")
)
def more_unequal_with_depth(table):
    """Inequality before the head over that after it, its rise from layer to layer, and errors of the closed form."""
    two, three = (table[table["depth"] == depth].sort_values("layer") for depth in ("2 layers", "3 layers"))
    unequal = three["inequality"].to_numpy()
    return {
        "share_of_inequality": two["inequality"].iloc[0] / max(two["inequality"].iloc[1], 1e-12),
        "share_of_inequality_in_three": unequal[0] / max(unequal[-1], 1e-12),
        "least_rise_in_three": np.diff(unequal).min(),
        "error_of_closed_form": two["error"].max(),
        "inequality_after_head": two["inequality"].iloc[1],
        "inequality_at_start": two["at_start"].max(),
        "loss_over_least": two["loss_over_least"].max(),
    }


def side_by_side(trial: Trial) -> tuple[Tensor, Tensor, dict[str, list[Tensor]]]:
    """Images of two digits to learn from and to ask, and the labels of both: the left one is kept, the right one hidden."""
    pool = digits() if trial.scale == "smoke" else mnist()
    images, labels = torch.from_numpy(pool.values)[:, None], torch.from_numpy(pool.labels)
    images = images if trial.scale == "smoke" else nn.functional.avg_pool2d(images, 2)
    count, tested = trial.pick(smoke=(200, 200), laptop=(5000, 4000), full=(5000, 5000))
    order = torch.from_numpy(trial.rng("digits").permutation(len(images)))
    left = order[:count], order[count : count + tested]
    right = [part[torch.from_numpy(trial.rng(f"partners {len(part)}").permutation(len(part)))] for part in left]
    seen, asked = (
        torch.cat([images[one], images[two]], 3).to(trial.device) for one, two in zip(left, right, strict=True)
    )
    answers = {"kept": left, "hidden": right}
    return seen, asked, {name: [labels[part].to(trial.device) for part in parts] for name, parts in answers.items()}


def hidden_digit(trial: Trial) -> Rows:
    """Accuracy on the digit that views keep and on the one that they hide: of pixels, before the head and after it."""
    seen, unseen, answers = side_by_side(trial)
    width, steps = trial.pick(smoke=(16, 5), laptop=(128, 400), full=(512, 5000))
    start, draws = trial.generator("start"), trial.generator("views")
    encoder = nn.Sequential(nn.Flatten(), mlp((seen[0].numel(), 2 * width, width), generator=start), nn.ReLU())
    network = nn.Sequential(encoder, mlp((width, width, width), generator=start))

    def view(batch: Tensor) -> Tensor:
        """With noise, and the right half of another image."""
        other = batch[torch.randperm(len(batch), generator=draws, device=draws.device)]
        left, right = batch.chunk(2, 3)[0], other.chunk(2, 3)[1]
        return Views(noise=0.2)(torch.cat([left, right], 3), draws)

    def loss(net: nn.Module, batch: Tensor) -> Tensor:
        # On a sphere of squared radius width / 16, HaoChen et al.'s μ.
        one, two = (nn.functional.normalize(net(view(batch)), dim=1) * (width / 16) ** 0.5 for _ in range(2))
        return spectral_contrastive_loss(one, two)

    rows = []

    def probed(features: str, embed: Any) -> None:
        with torch.no_grad():
            known, asked = embed(seen), embed(unseen)
        for digit, (told, wanted) in answers.items():
            accuracy = ridge_probe(known, told).accuracy(asked, wanted)
            rows.append({"features": features, "digit": digit, "accuracy": float(accuracy)})

    probed("pixels", lambda batch: batch.flatten(1))
    probed("before, untrained", encoder)
    probed("after, untrained", network)
    batches = Minibatches(seen, size=256, generator=trial.generator("batches"))
    fit(network, loss, batches, optimiser=torch.optim.Adam(network.parameters(), 1e-3), steps=steps)
    probed("before the head", encoder)
    probed("after the head", network)
    return rows


@paper.claim(hidden_digit, figure=dots("features", "accuracy", "digit", ylabel="test accuracy (%)", percent=True))
def hidden_features_before_head(table):
    """What features before the head gain on those after it, for the hidden digit and the kept one."""
    accuracy = table.set_index(["digit", "features"])["accuracy"]
    gain = {
        digit: accuracy[digit, "before the head"] - accuracy[digit, "after the head"] for digit in ("hidden", "kept")
    }
    untrained = accuracy["hidden", "before, untrained"] - accuracy["hidden", "after, untrained"]
    return {
        "gain_before_head": gain["hidden"],
        "kept_gain_before_head": gain["kept"],
        "hidden_after_head_over_chance": accuracy["hidden", "after the head"] - 0.1,
        "gain_over_untrained": gain["hidden"] - untrained,
        "kept_after_head": accuracy["kept", "after the head"],
        "hidden_in_pixels": accuracy["hidden", "pixels"],
        "lost_by_training": accuracy["hidden", "before, untrained"] - accuracy["hidden", "before the head"],
    }
