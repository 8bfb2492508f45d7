"""Bushnaq, Heimersheim, Goldowsky-Dill et al. 2024: The Local Interaction Basis.

Networks that add by a modulus: do fewer edges and nodes keep what they do than edges and nodes of principal components?
"""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from replica.lab.claims import Paper, Trial
from replica.lab.studies import dots
from replica.representations import (
    LayerBasis,
    ablate_edges,
    ablate_nodes,
    interaction_edges,
    local_interaction_basis,
    principal_basis,
    strongest_edges,
)
from replica.training import Replicas, mlp

paper = Paper("local_interaction_basis")
LIB, PCA, RANDOM = "local interaction", "principal components", "turned at random"
LAYERS = ("0", "1", "2")
"""Of an `adder`: the stream before the MLP and after it, and the logits."""
ALLOWED = 0.01  # by which held-out accuracy may fall


class Residual(nn.Sequential):
    """A stream to which layers add."""

    def forward(self, stream: Tensor) -> Tensor:
        """The stream with what they make of it."""
        return stream + super().forward(stream)


def adder(modulus: int, width: int, hidden: int, generator: torch.Generator) -> nn.Sequential:
    """Embeddings of two numbers, summed; an MLP beside the stream; logits of the sum."""
    embed, unembed = mlp((2 * modulus, width), generator=generator), mlp((width, modulus), generator=generator)
    return nn.Sequential(embed, Residual(mlp((width, hidden, width), generator=generator)), unembed)


def pairs(modulus: int) -> tuple[Tensor, Tensor]:
    """All pairs of numbers as two one-hot codes side by side, and their sums."""
    first, second = torch.cartesian_prod(torch.arange(modulus), torch.arange(modulus)).T
    return torch.cat([one_hot(first, modulus), one_hot(second, modulus)], 1).float(), (first + second) % modulus


def trained(nets: Replicas, inputs: Tensor, sums: Tensor, steps: int, rate: float) -> None:
    """AdamW on all training pairs, weight decay 1."""
    optimiser = torch.optim.AdamW(list(nets.parameters.values()), rate, betas=(0.9, 0.98), weight_decay=1.0)
    for _ in range(steps):
        optimiser.zero_grad()
        nets.losses(lambda net, x, y: cross_entropy(net(x), y), (inputs, sums)).sum().backward()
        optimiser.step()


def turned(basis: LayerBasis, generator: torch.Generator) -> LayerBasis:
    """The same span in directions drawn at random."""
    count = len(basis.decoder)
    turn = torch.linalg.qr(torch.randn(count, count, generator=generator, dtype=torch.float64))[0].to(basis.decoder)
    return replace(basis, encoder=basis.encoder @ turn, decoder=turn.T @ basis.decoder)


def fewest(enough: Callable[[int], bool], most: int) -> int:
    """The number, found by bisection, that is enough where one less is not."""
    return bisect_left(range(most), True, key=enough)


def needed(trial: Trial) -> list[dict[str, Any]]:
    """Edges of each section, and nodes of each layer, that keep the held-out accuracy, by basis and network."""
    modulus, width, hidden = trial.pick(smoke=(5, 4, 8), laptop=(23, 24, 96), full=(113, 128, 512))
    count, steps = trial.pick(smoke=(2, 5), laptop=(6, 800), full=(5, 20_000))
    inputs, sums = (part.to(trial.device) for part in pairs(modulus))
    order = torch.from_numpy(trial.rng("split").permutation(len(sums))).to(trial.device)
    train, held = order.tensor_split([int(trial.pick(smoke=0.8, laptop=0.8, full=0.3) * len(order))])
    nets = Replicas([adder(modulus, width, hidden, trial.generator(f"weights {number}")) for number in range(count)])
    trained(nets, inputs[train], sums[train], steps, trial.pick(smoke=0.01, laptop=0.01, full=0.001))
    inputs = inputs.double()
    rows = []
    for number in range(count):
        net = nets.model(number).double().requires_grad_(False)
        principal = principal_basis(net, LAYERS, inputs[train])
        random = trial.generator(f"turn {number}", "cpu")
        bases = {
            LIB: local_interaction_basis(net, LAYERS, inputs[train]),
            PCA: principal,
            RANDOM: [*(turned(basis, random) for basis in principal[:-1]), principal[-1]],
        }
        for kind, layers in bases.items():
            for section, (start, end) in zip(("MLP", "unembedding"), pairwise(layers), strict=True):
                found = needed_of(net, start, end, inputs[train], inputs[held], sums[held])
                rows.append({"net": number, "basis": kind, "section": section, **found})
    return rows


def needed_of(
    net: nn.Module, start: LayerBasis, end: LayerBasis, known: Tensor, inputs: Tensor, sums: Tensor
) -> dict[str, Any]:
    """Edges between two layers, and nodes of the first, without which the accuracy falls; and how many there may be."""
    edges = interaction_edges(net, start, end, known)

    def accuracy(logits: Tensor) -> float:
        return float((logits.argmax(-1) == sums).double().mean())

    whole = accuracy(net(inputs))
    least = whole - ALLOWED
    by_edges = lambda count: accuracy(ablate_edges(net, start, end, strongest_edges(edges, count), inputs)) >= least  # noqa: E731
    by_nodes = lambda count: accuracy(ablate_nodes(net, start, count, inputs)) >= least  # noqa: E731
    found = {"edges": fewest(by_edges, edges.numel()), "nodes": fewest(by_nodes, len(start.decoder))}
    possible = {"possible_edges": len(start.mean) * len(end.mean), "possible_nodes": len(start.mean)}
    return {"accuracy": whole, **found, **possible}


def measured(table, what):
    """Logarithms of what each basis needs, over principal components' in the mean of networks; all, and by section."""
    logs = {
        section: np.log(rows.pivot_table(index="net", columns="basis", values=what, aggfunc="sum").clip(lower=1))
        for section, rows in [("all", table), *table.groupby("section")]
    }
    principal = table[table["basis"] == PCA]
    shared = {
        "accuracy": table["accuracy"].mean(),
        "log_ratio_of_random": (logs["all"][RANDOM] - logs["all"][PCA]).mean(),
        f"share_of_{what}": principal[what].sum() / principal[f"possible_{what}"].sum(),
    }
    return {section: (each[LIB] - each[PCA]).mean() for section, each in logs.items()}, shared


@paper.claim(needed, figure=dots("basis", "edges", xlabel="basis", ylabel="edges needed in a section"))
def fewer_edges(table):
    """Edges, against principal components."""
    ratio, shared = measured(table, "edges")
    by_section = {"log_edge_ratio_of_mlp": ratio["MLP"], "log_edge_ratio_of_unembedding": ratio["unembedding"]}
    return {"log_edge_ratio": ratio["all"]} | by_section | shared


@paper.claim(needed, figure=dots("basis", "nodes", xlabel="basis", ylabel="nodes needed of a layer"))
def no_more_nodes(table):
    """Nodes, against principal components."""
    ratio, shared = measured(table, "nodes")
    return {"log_node_ratio": ratio["all"]} | shared
