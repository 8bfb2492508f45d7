"""Xiao et al. 2024: Configurable Foundation Models: Building LLMs from a Modular Perspective.

A small transformer that learned four languages: does it have neurons for each, and bricks of neurons that fire together?
"""

import copy
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

import torch
from torch import Tensor, nn

from replica.data import languages_mixture
from replica.lab.claims import Paper, Trial
from replica.lab.studies import dots
from replica.representations import (
    BrickRouter,
    captured_activations,
    neuron_functionality,
    partition_neurons,
    prune_neurons,
)
from replica.training import CausalTransformer, fit, next_token_loss

paper = Paper("configurable_bricks")
NATURAL, MADE = ("english", "italian"), ("sums", "brackets")
LENGTH, BATCH, RATE = 48, 16, 3e-3
BRICKS, KEPT, DRAWS = 16, 4, 4  # of the layer, those that a token goes through, and draws of random neurons or groups
Variants = Iterator[tuple[str, str, nn.Module]]
"""A study, what is varied in it, and the feed-forward layer so varied."""


def bricks(trial: Trial) -> list[dict[str, Any]]:
    """Rises of the loss in each language: by neurons pruned, and by bricks routed to."""
    names = trial.pick(smoke=MADE, laptop=NATURAL + MADE, full=NATURAL + MADE)
    count, tested = trial.pick(smoke=(1000, 4), laptop=(60_000, 40), full=(170_000, 400))
    dim, hidden, steps = trial.pick(smoke=(8, 32, 2), laptop=(64, 256, 500), full=(256, 1024, 20_000))
    texts = languages_mixture(names, count, generator=trial.generator("texts", "cpu"), device=trial.device)
    draw, batches = trial.generator("unseen"), texts.batches(BATCH // len(names), LENGTH, trial.generator("batches"))
    tests = {name: texts.unseen(name, tested, LENGTH, draw) for name in names}
    sizes: dict[str, Any] = {"dim": dim, "layers": 1, "heads": 2, "context": LENGTH, "hidden": hidden}
    model = CausalTransformer(len(texts.alphabet), **sizes, generator=trial.generator("weights"))
    fit(model, next_token_loss, batches, optimiser=torch.optim.Adam(model.parameters(), RATE), steps=steps)
    with torch.no_grad(), captured_activations(model, ["blocks.0.mlp_norm", "blocks.0.mlp.1"]) as seen:
        model(torch.cat([batch for (batch,) in islice(batches, trial.pick(smoke=1, laptop=8, full=64))]))
    inputs, active = (seen[name].flatten(0, 1) for name in ("blocks.0.mlp_norm", "blocks.0.mlp.1"))
    before, rows = losses(model, tests), []
    for name, text in tests.items():
        counts = torch.bincount(texts.train[name], minlength=len(texts.alphabet)) + 1.0
        rise = before[name] + float((counts / counts.sum()).log()[text[:, 1:]].mean())
        rows.append({"study": "trained", "kind": "over frequencies", "language": name, "rise": rise})
    for study, kind, layer in chain(pruned(trial, model, active, names), routed(trial, model, inputs, active)):
        variant = copy.deepcopy(model)
        variant.blocks[0].mlp = layer
        after = losses(variant, tests)
        rows += [{"study": study, "kind": kind, "language": name, "rise": after[name] - before[name]} for name in tests]
    return rows


@torch.no_grad()
def losses(model: nn.Module, tests: dict[str, Tensor]) -> dict[str, float]:
    """Nats a token in each language."""
    return {name: float(next_token_loss(model, text)) for name, text in tests.items()}


def pruned(trial: Trial, model: Any, active: Tensor, languages: tuple[str, ...]) -> Variants:
    """Without a tenth of the neurons: those most specific to each language, and random ones in their place."""
    ffn, generator, count = model.blocks[0].mlp, trial.generator("random neurons", "cpu"), active.shape[1] // 10
    # Batches hold the languages one after the other, in equal parts.
    functions = torch.arange(len(active), device=active.device) // (BATCH // len(languages) * LENGTH) % len(languages)
    scores = neuron_functionality(active, functions)
    for place, name in enumerate(languages):
        yield "specific", name, prune_neurons(ffn, scores[:, place].topk(count).indices)
        for _ in range(DRAWS):
            drawn = torch.randperm(len(scores), generator=generator)[:count]
            yield "random neurons", name, prune_neurons(ffn, drawn)


def routed(trial: Trial, model: Any, inputs: Tensor, active: Tensor) -> Variants:
    """A quarter of the bricks for each token, by the oracle and by a linear gate."""
    ffn, generator = model.blocks[0].mlp, trial.generator("groups", "cpu")
    together = ((active - active.mean(0)) / active.std(0).clamp(min=1e-6)).double()
    # The root of the correlations has the inner products of activations over tokens, and fewer numbers.
    values, vectors = torch.linalg.eigh(together.T @ together / len(together))
    features = {"co-activation": vectors * values.clamp(min=0).sqrt(), "keys": ffn[0].weight}
    groups = [(kind, partition_neurons(each, BRICKS, generator=generator)) for kind, each in features.items()]
    groups += [("random", torch.randperm(len(values), generator=generator) % BRICKS) for _ in range(DRAWS)]
    for kind, members in groups:
        router = BrickRouter(ffn, members, KEPT)
        yield "oracle", kind, router
        router.fit_gate(inputs)
        yield "gate", kind, router


def rises(table: Any, study: str) -> Any:
    """Mean rise of the loss by what is varied (rows) and language."""
    return table[table["study"] == study].pivot_table(index="kind", columns="language", values="rise")


def own_less_others(rows: Any, names: Any) -> float:
    """Mean over functions of the rise in their own language less that in others."""
    square = rows.loc[names, names].to_numpy()
    own, others = square.trace(), square.sum() - square.trace()
    return own / len(square) - others / (len(square) * (len(square) - 1))


def shown(study: str, xlabel: str) -> Any:
    """Rises of the loss by what is varied, a colour a language."""

    def draw(axes, table):
        rows = table[table["study"] == study]
        rows = rows.groupby(["kind", "language", "seed"], as_index=False)["rise"].mean()
        dots("kind", "rise", "language", xlabel=xlabel, ylabel="rise of the loss (nats a token)")(axes, rows)

    return draw


@paper.claim(bricks, figure=shown("specific", "function whose neurons are pruned"))
def specific_neurons(table):
    """What pruning a function's neurons costs it more than others, and than random neurons."""
    specific, random = rises(table, "specific"), rises(table, "random neurons")
    names = list(specific.columns)
    return {
        "own_less_others": own_less_others(specific, names),
        "own_less_random": sum(specific.loc[name, name] - random[name].mean() for name in names) / len(names),
        "own_less_others_of_natural": own_less_others(specific, [name for name in names if name in NATURAL] or names),
        "own_less_others_of_random": own_less_others(random, names),
        "gain_over_unigram": -rises(table, "trained").mean(axis=None),
    }


@paper.claim(bricks, figure=shown("oracle", "groups of neurons, a quarter kept"))
def bricks_under_oracle_routing(table):
    """What random groups cost more than bricks."""
    oracle, gate = (rises(table, study).mean(axis=1) for study in ("oracle", "gate"))
    return {
        "loss_saved": oracle["random"] - oracle["co-activation"],
        "loss_saved_by_keys": oracle["random"] - oracle["keys"],
        "loss_saved_by_learned_gate": gate["random"] - gate["co-activation"],
        "loss_of_random_groups": oracle["random"],
        "gain_over_unigram": -rises(table, "trained").mean(axis=None),
    }
