"""Is This the Subspace You Are Looking for? An Interpretability Illusion for Subspace Activation Patching.

Makelov, Lange, Nanda 2024.

A feature that MLP layers leave alone: does a search find directions in them that seem to hold it, and does the test by a
direction's disconnected part tell them from the true one in the residual stream?
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from replica.lab.claims import Paper, Trial
from replica.lab.studies import dots
from replica.representations import captured_activations, dormant_decomposition, interchange, learn_subspace
from replica.training import Minibatches, fit

paper = Paper("subspace_illusion")
PAYMENT = 0.1
"""For the mean square of what a layer writes: layers then write what is needed of them alone."""
FOUND, CONNECTED, RANDOM, LAYER = "direction found", "its connected part", "random direction", "whole layer"
cross_entropy = nn.functional.binary_cross_entropy_with_logits


class Block(nn.Module):
    """An MLP layer: what it adds to the residual stream."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, hidden)
        self.hidden = nn.ReLU()
        self.outer = nn.Linear(hidden, width)

    def forward(self, stream: Tensor) -> Tensor:
        """(rows, width) to (rows, width)."""
        return self.outer(self.hidden(self.inner(stream)))


class ResidualNet(nn.Module):
    """MLP layers along a residual stream; the feature and the parities are read off at its end, a logit each."""

    def __init__(self, inputs: int, outputs: int, width: int, hidden: int, layers: int, generator: torch.Generator):
        super().__init__()
        self.embed = nn.Linear(inputs, width, bias=False)
        self.layers = nn.ModuleList(Block(width, hidden) for _ in range(layers))
        self.stream = nn.Identity()
        self.head = nn.Linear(width, outputs)
        for parameter in self.parameters():
            if parameter.dim() == 1:
                nn.init.zeros_(parameter)
            else:
                nn.init.normal_(parameter, 0.0, parameter.shape[1] ** -0.5, generator=generator)

    def run(self, inputs: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits, and what each layer wrote."""
        stream, written = self.embed(inputs), []
        for layer in self.layers:
            written.append(layer(stream))
            stream = stream + written[-1]
        return self.head(self.stream(stream)), written

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits."""
        return self.run(inputs)[0]


class MixedBits:
    """Noisy random bits, turned by a random rotation. Labels: the first bit (the feature), and parities of pairs of others."""

    def __init__(self, parities: int, generator: torch.Generator) -> None:
        self.generator = generator
        self.bits = 1 + 2 * parities
        self.mix = torch.linalg.qr(torch.randn(self.bits, self.bits, generator=generator, device=generator.device))[0]

    def draw(self, count: int, feature: Tensor | None = None) -> tuple[Tensor, Float[Tensor, "count labels"]]:
        """Inputs, and labels of −1 and 1; the feature may be given."""
        shape, device = (count, self.bits), self.generator.device
        bits = 2.0 * torch.randint(2, shape, generator=self.generator, device=device) - 1
        if feature is not None:
            bits[:, 0] = feature
        noisy = bits + 0.2 * torch.randn(shape, generator=self.generator, device=device)
        return noisy @ self.mix, torch.cat([bits[:, :1], bits[:, 1::2] * bits[:, 2::2]], 1)


def loss(model: ResidualNet, inputs: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy, and the payment for writing."""
    logits, written = model.run(inputs)
    return cross_entropy(logits, (labels + 1) / 2) + PAYMENT * torch.stack(written).square().mean((1, 2)).sum()


def patches(trial: Trial) -> list[dict[str, Any]]:
    """Effects of patches along directions found in each layer and in the residual stream, on pairs that no search saw."""
    width, hidden, layers = trial.pick(smoke=(8, 32, 1), laptop=(16, 256, 3), full=(64, 1024, 6))
    count, steps, searched = trial.pick(smoke=(64, 5, 5), laptop=(4000, 1500, 200), full=(50_000, 10_000, 500))
    bits = MixedBits(3, trial.generator("bits"))
    net = ResidualNet(bits.bits, 4, width, hidden, layers, trial.generator("weights")).to(trial.device)
    batches = Minibatches(*bits.draw(count), size=128, generator=trial.generator("batches"))
    fit(net, loss, batches, optimiser=torch.optim.Adam(net.parameters(), 2e-3), steps=steps)
    pairs = []
    for _ in ("search", "measure"):
        base, labels = bits.draw(count // 4)
        pairs.append((base, labels[:, 0], bits.draw(len(base), -labels[:, 0])[0]))
    (base, own, source), (test, sign, test_source) = pairs
    weights = dict(net.named_parameters())
    sites = [(f"layers.{index}.hidden", weights[f"layers.{index}.outer.weight"].detach()) for index in range(layers)]
    sites.append(("stream", net.head.weight.detach()))
    unseen, truth = bits.draw(count // 2)
    with torch.no_grad(), captured_activations(net, [name for name, _ in sites]) as kept:
        accuracy = float((net(unseen) * truth > 0).float().mean(0).min())
        margin = net(test)[:, 0] * sign

    def effect(site: str, subspace: Tensor | None = None) -> float:
        """The mean logit difference that a patch takes away, of the whole: 1 leaves none, 2 turns it round."""
        with torch.no_grad():
            patched = interchange(net, site, test, test_source, subspace=subspace)[:, 0] * sign
        return float((margin - patched).mean() / margin.mean())

    rows = []
    activations = dict(kept)
    for site, readers in sites:
        found = learn_subspace(
            net, site, base, source, lambda logits: cross_entropy(logits[:, 0], (1 - own) / 2),
            steps=searched, generator=trial.generator(f"start in {site}", "cpu"),
        )[:, 0]  # fmt: skip
        split = dormant_decomposition(found, readers, activations[site])
        facts: dict[str, Any] = {"site": site, "accuracy": accuracy, "flagged": float(split.illusory)}
        if site == "stream":
            facts["agreement"] = float(torch.cosine_similarity(found, readers[0], dim=0).abs())
        random = torch.randn(len(found), generator=trial.generator(f"random in {site}", "cpu")).to(found)
        for patch, subspace in ((FOUND, found), (CONNECTED, split.row), (RANDOM, random), (LAYER, None)):
            rows.append({**facts, "patch": patch, "effect": effect(site, subspace)})
    return rows


shown = dots("site", "effect", "patch", xlabel="patched", ylabel="share of logit difference lost")


@paper.claim(patches, figure=shown)
def illusion(table):
    """In the layers: what the direction found does, and what of it is lost with its disconnected part."""
    layers = table[table["site"] != "stream"]
    effects = layers.pivot_table(index="site", columns="patch", values="effect")
    lost = effects[FOUND] - effects[CONNECTED]
    return {
        "effect_lost": lost.mean(),
        "least_effect_lost": lost.min(),
        "effect_of_direction": effects[FOUND].mean(),
        "flagged": layers["flagged"].mean(),
        "effect_of_layer": effects[LAYER].abs().max(),
        "effect_of_random": effects[RANDOM].abs().max(),
        "accuracy": layers["accuracy"].min(),
    }


@paper.claim(patches, figure=shown)
def success_case(table):
    """In the residual stream: the share of the effect that the connected part keeps."""
    stream = table[table["site"] == "stream"]
    effects = stream.set_index("patch")["effect"]
    return {
        "share_kept": effects[CONNECTED] / effects[FOUND],
        "agreement": stream["agreement"].iloc[0],
        "effect_of_direction": effects[FOUND],
        "accuracy": stream["accuracy"].iloc[0],
    }
