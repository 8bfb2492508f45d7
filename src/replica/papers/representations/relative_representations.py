"""Moschella et al. 2023: Relative representations enable zero-shot latent space communication.

Can a decoder read an encoder that was trained apart from it, if both speak of samples relative to the same anchors?
"""

from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from replica.data import digits
from replica.kernels import linear_cka
from replica.lab.claims import Choice, Paper, Trial
from replica.lab.studies import dots
from replica.papers.baselines.similarity import Measure
from replica.representations import RelativeProjection, latent_agreement, stitch
from replica.training import Minibatches, fit, mlp

paper = Paper("relative_representations")
LATENT = 64
"""Dimensions of the latent space, and anchors: decoders of absolute and relative latents are of one size."""


@paper.entry("similarity", name="relative-representations", space={"centred": Choice((False, True))})
def relative_representations(trial: Trial, centred: bool = False) -> Measure:
    """Mean cosine of each stimulus' two descriptions, with all stimuli as anchors."""

    def compare(X: Tensor, Y: Tensor) -> Tensor:
        ours, theirs = (layer - layer.mean(0) * centred for layer in (X, Y))
        return latent_agreement(RelativeProjection(ours)(ours), RelativeProjection(theirs)(theirs), neighbours=1).cosine

    return Measure(compare)


class Split(NamedTuple):
    """Digits to train on, of which the first are the anchors, and digits to test."""

    images: Tensor
    labels: Tensor
    unseen: Tensor
    answers: Tensor

    @property
    def anchors(self) -> Tensor:
        """As samples."""
        return self.images[:LATENT]


def split(trial: Trial) -> Split:
    """A trial's own split of the digits."""
    data = digits()
    order = torch.from_numpy(trial.rng("split").permutation(len(data)))
    images, labels = torch.from_numpy(data.values).flatten(1)[order], torch.from_numpy(data.labels)[order]
    count = trial.pick(smoke=200, laptop=1200, full=1200)
    parts = images[:count], labels[:count], images[1200:], labels[1200:]
    return Split(*(part.to(trial.device) for part in parts))


def trained(
    trial: Trial, data: Split, name: str, *, relative: bool, epochs: int, rate: float = 2e-3, width: int = 128
) -> nn.Sequential:
    """An encoder and a decoder, trained together as a classifier."""
    weights = trial.generator(f"weights of {name}")
    encoder: nn.Module = mlp((64, width, LATENT), generator=weights)
    decoder = nn.Sequential(nn.LayerNorm(LATENT, device=trial.device), mlp((LATENT, 64, 10), generator=weights))
    net = stitch(encoder, data.anchors, decoder) if relative else nn.Sequential(encoder, decoder)
    batches = Minibatches(data.images, data.labels, size=64, generator=trial.generator(f"batches of {name}"))
    descent = torch.optim.Adam(net.parameters(), rate)
    fit(net, cross_entropy, batches, optimiser=descent, steps=epochs * len(batches))
    return net.eval()


def cross_entropy(net: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Mean classification loss of a batch."""
    return nn.functional.cross_entropy(net(images), labels)


@torch.no_grad()
def accuracy(decoder: nn.Module, latents: Tensor, data: Split) -> float:
    """Share of the unseen digits that a decoder tells right."""
    return float((decoder(latents).argmax(1) == data.answers).float().mean())


@torch.no_grad()
def stitched(trial: Trial) -> list[dict[str, Any]]:
    """Accuracy of every encoder with every decoder: relative, absolute, turned by the anchors, with other anchors."""
    data = split(trial)
    count, epochs = trial.pick(smoke=2, laptop=5, full=20), trial.pick(smoke=1, laptop=15, full=30)
    other = torch.from_numpy(trial.rng("other anchors").permutation(LATENT)).to(trial.device)
    nets = {}
    for kind in ("relative", "absolute"):
        with torch.enable_grad():
            names = [f"{kind} {number}" for number in range(count)]
            nets[kind] = [trained(trial, data, name, relative=kind == "relative", epochs=epochs) for name in names]
    rows = []
    for encoder, decoder in product(range(count), repeat=2):
        one, two = nets["relative"][encoder], nets["relative"][decoder]
        relative = one[0](data.unseen)
        found = {
            "relative": accuracy(two[1], relative, data),
            "other anchors": accuracy(two[1], relative[:, other], data),
        }
        one, two = nets["absolute"][encoder], nets["absolute"][decoder]
        absolute = one[0](data.unseen)
        found["absolute"] = accuracy(two[1], absolute, data)
        found["mapped"] = accuracy(two[1], mapped(absolute, one[0](data.anchors), two[0](data.anchors)), data)
        pair = "whole" if encoder == decoder else "stitched"
        rows += [{"kind": kind, "pair": pair, "accuracy": value} for kind, value in found.items()]
    return rows


def mapped(latents: Tensor, anchors: Tensor, targets: Tensor) -> Tensor:
    """Latents shifted, turned and scaled as brings the anchors nearest to their targets (Schönemann 1966)."""
    mean, centre = anchors.mean(0), targets.mean(0)
    left, values, right = torch.linalg.svd((anchors - mean).T @ (targets - centre))
    scale = values.sum() / (anchors - mean).square().sum()
    return scale * (latents - mean) @ left @ right + centre


def means(table):
    """Mean accuracy by kind and pair."""
    return table.groupby(["kind", "pair"])["accuracy"].mean()


def shown(axes, table):
    """Stitched networks of each kind beside whole ones."""
    names = table["kind"].where(table["pair"] == "stitched", "whole, " + table["kind"])
    wanted = ["whole, relative", "relative", "whole, absolute", "absolute", "mapped", "other anchors"]
    table = table.assign(networks=names)[names.isin(wanted)]
    table = table.groupby(["networks", "seed"], as_index=False)["accuracy"].mean()
    table = table.sort_values("networks", key=lambda column: column.map(wanted.index))
    dots("networks", "accuracy", xlabel="networks", ylabel="test accuracy (%)", percent=True)(axes, table)


@paper.claim(stitched, figure=shown)
def zero_shot_stitching(table):
    """Accuracy of stitched relative networks over that of whole ones."""
    mean = means(table)
    return {
        "kept": mean["relative", "stitched"] / max(mean["relative", "whole"], 1e-9),
        "accuracy_of_whole": mean["relative", "whole"],
        "gain_over_other_anchors": mean["relative", "stitched"] - mean["other anchors", "stitched"],
    }


@paper.claim(stitched, figure=shown)
def incoherent_spaces(table):
    """What relative latents gain on absolute ones, stitched."""
    mean = means(table)
    return {
        "gain_over_absolute": mean["relative", "stitched"] - mean["absolute", "stitched"],
        "absolute_over_chance": mean["absolute", "stitched"] - 0.1,
        "gain_of_mapped": mean["mapped", "stitched"] - mean["relative", "stitched"],
        "accuracy_of_absolute_whole": mean["absolute", "whole"],
    }


@torch.no_grad()
def random_settings(trial: Trial) -> list[dict[str, Any]]:
    """Networks of random settings: their accuracy, and how alike their latents are to those of a good network."""
    data, rng = split(trial), trial.rng("settings")
    count = trial.pick(smoke=4, laptop=24, full=200)
    with torch.enable_grad():
        epochs = trial.pick(smoke=1, laptop=15, full=30)
        reference = trained(trial, data, "reference", relative=False, epochs=epochs)
    good = reference[0](data.unseen)
    best = accuracy(reference[1], good, data)
    rows = []
    for number in range(count):
        drawn: dict[str, Any] = {"rate": 10 ** rng.uniform(-4, -1.5), "width": int(rng.choice([8, 16, 32, 64, 128]))}
        drawn["epochs"] = int(rng.integers(1, trial.pick(smoke=2, laptop=10, full=30)))
        with torch.enable_grad():
            net = trained(trial, data, f"net {number}", relative=False, **drawn)
        latents = net[0](data.unseen)
        ours, theirs = (RelativeProjection(n[0](data.anchors))(x) for n, x in ((net, latents), (reference, good)))
        rows.append(
            {
                "accuracy": accuracy(net[1], latents, data),
                "relative": latent_agreement(ours, theirs).cosine,
                "absolute": nn.functional.cosine_similarity(latents, good).mean(),
                "CKA": linear_cka(latents.double(), good.double()),
                "reference": best,
            }
        )
    return rows


def scattered(axes, table):
    """A point a network."""
    axes.plot(table["relative"], 100 * table["accuracy"], "o", markersize=4, alpha=0.7)
    axes.set_xlabel("mean cosine with a good network's relative space")
    axes.set_ylabel("test accuracy (%)")


@paper.claim(random_settings, figure=scattered)
def similarity_tells_performance(table):
    """Rank correlation of similarity with accuracy."""
    ranks = {name: table[name].corr(table["accuracy"], method="spearman") for name in ("relative", "absolute", "CKA")}
    return {
        "rank_correlation": ranks["relative"],
        "gain_over_absolute": ranks["relative"] - ranks["absolute"],
        "rank_correlation_of_cka": ranks["CKA"],
        "spread_of_accuracy": table["accuracy"].std(ddof=0),
        "accuracy_of_reference": table["reference"].iloc[0],
    }
