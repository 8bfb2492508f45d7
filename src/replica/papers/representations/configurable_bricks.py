"""Xiao et al. 2024: Configurable Foundation Models: Building LLMs from a Modular Perspective.

A small transformer that learned four languages: does it have neurons for each, bricks of neurons that fire together, and can a
brick be grown for a fifth?
"""

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from replica.data import languages_mixture
from replica.lab.claims import Paper, Trial
from replica.lab.studies import dots
from replica.representations import (
    BrickRouter,
    captured_activations,
    grow_brick,
    neuron_functionality,
    partition_neurons,
    prune_neurons,
)
from replica.training import CausalTransformer, CharacterText, fit, next_token_loss

paper = Paper("configurable_bricks")
NATURAL, MADE, NEW = ("english", "italian"), ("sums", "brackets"), "chains"
LENGTH, BATCH, RATE = 48, 16, 3e-3
BRICKS, KEPT, DRAWS = 16, 4, 4
"""Bricks of the layer, those that a token goes through, and draws of random neurons or groups."""


class Languages:
    """Texts of the languages as tokens of one alphabet."""

    def __init__(self, trial: Trial) -> None:
        self.old = trial.pick(smoke=MADE, laptop=NATURAL + MADE, full=NATURAL + MADE)
        count = trial.pick(smoke=2000, laptop=60_000, full=170_000)
        texts = languages_mixture([*self.old, NEW], count, generator=trial.generator("texts", "cpu"))
        alphabet = CharacterText("".join(sorted(set("".join(texts.values())))), trial.device)
        self.size = len(alphabet.alphabet)
        number = {character: place for place, character in enumerate(alphabet.alphabet)}
        tokens = {name: torch.tensor([number[each] for each in text]) for name, text in texts.items()}
        self.train = {name: text[: 9 * count // 10].to(trial.device) for name, text in tokens.items()}
        self.unseen = {name: text[9 * count // 10 :].to(trial.device) for name, text in tokens.items()}
        windows, draw = trial.pick(smoke=4, laptop=40, full=400), trial.generator("unseen")
        self.tests = {name: CharacterText.windows(text, windows, LENGTH, draw) for name, text in self.unseen.items()}

    def batches(self, names: tuple[str, ...], generator: torch.Generator) -> Iterator[tuple[Tensor]]:
        """Stretches of training text, as many of each language, without end."""
        while True:
            each = BATCH // len(names)
            yield (torch.cat([CharacterText.windows(self.train[name], each, LENGTH, generator) for name in names]),)

    @torch.no_grad()
    def losses(self, model: nn.Module, names: tuple[str, ...]) -> Tensor:
        """Nats a token of unseen text in each language."""
        return torch.stack([next_token_loss(model, self.tests[name]) for name in names])

    def unigram(self, name: str) -> float:
        """The loss by the frequencies of characters in a language."""
        counts = torch.bincount(self.train[name], minlength=self.size) + 1.0
        return float(-(counts / counts.sum()).log()[self.tests[name][:, 1:]].mean())


def trained(trial: Trial, languages: Languages) -> CausalTransformer:
    """The transformer on all languages but the new one."""
    dim, hidden, steps = trial.pick(smoke=(8, 32, 3), laptop=(64, 256, 500), full=(256, 1024, 20_000))
    weights = trial.generator("weights")
    model = CausalTransformer(
        languages.size, dim=dim, layers=1, heads=2, context=LENGTH, hidden=hidden, generator=weights
    )
    batches = languages.batches(languages.old, trial.generator("batches"))
    fit(model, next_token_loss, batches, optimiser=torch.optim.Adam(model.parameters(), RATE), steps=steps)
    return model.requires_grad_(False)


def with_layer(model: CausalTransformer, layer: nn.Module) -> CausalTransformer:
    """A copy with another feed-forward layer."""
    model = copy.deepcopy(model)
    model.blocks[0].mlp = layer
    return model


def bricks(trial: Trial) -> list[dict[str, Any]]:
    """What pruned neurons, routed bricks and random ones cost each language, and what a grown brick learns."""
    languages = Languages(trial)
    old = languages.old
    model = trained(trial, languages)
    ffn = model.blocks[0].mlp
    neurons = ffn[0].out_features
    whole = languages.losses(model, old)
    draw = languages.batches(old, trial.generator("chosen by"))
    chosen = torch.cat([next(draw)[0] for _ in range(trial.pick(smoke=1, laptop=8, full=64))])
    function = torch.arange(len(old)).repeat_interleave(BATCH // len(old)).repeat(len(chosen) // BATCH)
    with torch.no_grad(), captured_activations(model, ["blocks.0.mlp_norm", "blocks.0.mlp.1"]) as seen:
        model(chosen)
    inputs, active = (seen[name].flatten(0, 1) for name in ("blocks.0.mlp_norm", "blocks.0.mlp.1"))
    rows: list[dict[str, Any]] = []

    def add(study: str, kind: str, layer: nn.Module, **known: Any) -> None:
        rise = languages.losses(with_layer(model, layer), old) - whole
        rows.extend(
            {"study": study, "kind": kind, "language": name, "rise": float(value), **known}
            for name, value in zip(old, rise, strict=True)
        )

    scores = neuron_functionality(active, function.repeat_interleave(LENGTH).to(active.device))
    random = trial.generator("random neurons", "cpu")
    for place, name in enumerate(old):
        add("pruned", "specific", prune_neurons(ffn, scores[:, place].topk(neurons // 10).indices), function=name)
        for _ in range(DRAWS):
            add("pruned", "random", prune_neurons(ffn, torch.randperm(neurons, generator=random)[: neurons // 10]), function=name)
    together = (active - active.mean(0)) / active.std(0).clamp(min=1e-6)
    # The root of the correlations has the same inner products, and fewer numbers a neuron.
    values, vectors = torch.linalg.eigh((together.T @ together).double() / len(together))
    features = {"co-activation": vectors * values.clamp(min=0).sqrt(), "keys": ffn[0].weight}
    groups = [(kind, partition_neurons(each, BRICKS, generator=trial.generator(kind, "cpu"))) for kind, each in features.items()]
    groups += [("random", torch.randperm(neurons, generator=random) % BRICKS) for _ in range(DRAWS)]
    for kind, members in groups:
        router = BrickRouter(ffn, members, KEPT)
        add("oracle", kind, router)
        router.fit_gate(inputs)
        add("gate", kind, router)
    rows += [{"study": "trained", "language": name, "gain": languages.unigram(name) - float(loss)}
             for name, loss in zip(old, whole, strict=True)]
    return rows
