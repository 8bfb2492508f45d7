"""Ahmad and Hawkins 2016: How do neurons operate on sparse distributed representations?

Exact laws of how often a dendritic segment answers to a wrong pattern: what they say of synapses, cells, thresholds and unions.
"""

import math
from typing import Any

import numpy as np
import torch

from replica.lab.claims import Paper, Trial
from replica.lab.studies import lines
from replica.memory.active_dendrites import ActiveDendriteNeuron, ActiveDendriteSegments, sparse_patterns, swap_active
from replica.memory.dendrite_laws import log_any_match, log_false_match, log_false_negative
from replica.memory.dendrite_unions import log_union_false_match, union_capacity

paper = Paper("active_dendrites")
LN10 = math.log(10)


def neurons_with_many_segments(trial: Trial) -> list[dict[str, Any]]:
    """False matches of a neuron over its segments M: the law of Eq. (8), the bound M p of Eq. (9), and small neurons counted.

    The example of Section 3.2 has 300 of 10,000 cells active, 30 synapses, threshold 15. The counted neurons have 64 of 400
    cells active, 24 synapses, threshold 12, which is often enough wrong.
    """
    rows = []
    one = float(log_false_match(10_000, 300, 30, 15))
    for segments in 10 ** np.arange(7):
        law = float(log_any_match(one, segments))
        excess = math.expm1(one + math.log(segments) - law)
        rows.append({"example": "paper's example", "segments": segments, "law": math.exp(law), "bound_excess": excess})
    neurons, shown = trial.pick(smoke=(2, 50), laptop=(50, 2000), full=(400, 20_000))
    generator = trial.generator("patterns")
    strange = sparse_patterns(shown, 400, 64, generator=generator)
    small, active = float(log_false_match(400, 64, 24, 12)), dict.fromkeys((25, 50, 100), 0)
    for _ in range(neurons):
        neuron = ActiveDendriteNeuron(400, threshold=12, synapses_per_pattern=24)
        neuron.store(sparse_patterns(100, 400, 64, generator=generator), generator=generator)
        spikes = neuron.dendrites(strange)
        for size in active:
            active[size] += int(spikes[:, :size].any(-1).sum())
    for size, found in active.items():
        law, simulated = float(log_any_match(small, size).exp()), found / (neurons * shown)
        rows.append({"example": "64 of 400 cells", "segments": size, "law": law, "simulated": simulated})
    return rows


@paper.claim(
    neurons_with_many_segments,
    figure=lines(
        "segments",
        "simulated",
        by="example",
        theory="law",
        log="xy",
        xlabel="segments M",
        ylabel="false match probability",
    ),
)
def million_patterns(table):
    """The example with a million segments, by the exact law; the counted neurons at their most segments."""
    example, counted = (rows.iloc[-1] for _, rows in table.groupby("example", sort=False))
    return {
        "log10_any_false_match": math.log10(example["law"]),
        "bound_excess": example["bound_excess"],
        "neuron_over_law": counted["simulated"] / counted["law"],
    }


def larger_populations(_: Trial) -> list[dict[str, Any]]:
    """The exact law for 24 synapses, threshold 12; 128 active cells (Figure 5A's caption), or 3.2 % of all (its text)."""
    return [
        {"active": name, "cells": n, "false_match": float(log_false_match(n, active, 24, 12).exp())}
        for n in (800, 1200, 1600, 2000, 3000, 4000)
        for name, active in (("128 cells", 128), ("3.2 % of the cells", round(0.032 * n)))
    ]


@paper.claim(
    larger_populations,
    figure=lines(
        "cells", "false_match", by="active", log="y", xlabel="presynaptic cells n", ylabel="false match probability"
    ),
)
def cells_scaling(table):
    """Decades lost per cell over the last interval, over those lost per cell in the first; 1 for an exponential."""
    growth = []
    for _, rows in table.groupby("active"):
        rates = np.diff(np.log10(rows["false_match"])) / np.diff(rows["cells"])
        growth.append(float(rates[-1] / rates[0]))
    return {"rate_growth_fixed_activity": growth[0], "rate_growth_fixed_sparsity": growth[1]}


def median_errors(trial: Trial) -> dict[str, list[float]]:
    """Medians of both errors by threshold, over parameters drawn evenly from the ranges of Section 4.3.

    10,000 to 200,000 cells, 0.5 to 3 % of them active, 20 to 50 synapses; misses with a fifth of the active cells changed.
    """
    rng, count = trial.rng("parameters"), trial.pick(smoke=50, laptop=2000, full=20_000)
    cells = rng.integers(10_000, 200_001, count)
    active = np.rint(cells * rng.uniform(0.005, 0.03, count)).astype(int)
    synapses = rng.integers(20, 51, count)
    thresholds = np.arange(4, 31)
    cells, active, synapses = cells[:, None], active[:, None], synapses[:, None]
    match = log_false_match(cells, active, synapses, thresholds)
    miss = log_false_negative(active, synapses, thresholds, np.rint(0.2 * active).astype(int))
    median = {
        name: law.quantile(0.5, dim=0, interpolation="lower") / LN10
        for name, law in (("log10_false_match", match), ("log10_miss", miss))
    }
    # A median of zero, where most segments have fewer synapses than the threshold, is shown as 1e-300.
    return {
        "threshold": thresholds.tolist(),
        **{name: values.clamp_min(-300).tolist() for name, values in median.items()},
    }


@paper.claim(median_errors)
def spike_threshold(table):
    """`lowest_threshold` is the first whose median error is at most one in a billion."""
    median = table.set_index("threshold")["log10_false_match"]
    return {
        **{f"log10_error_at_{threshold}": median[threshold] for threshold in (8, 9, 20)},
        "lowest_threshold": int(median.index[median <= -9].min()),
    }


@spike_threshold.figure
def draw_spike_threshold(axes, table):
    """Both medians over the threshold, beside the thresholds measured in neurons."""
    axes.axvspan(8, 20, color="C7", alpha=0.2, label="NMDA spikes measured: 8 to 20")
    axes.axhline(-9, color="C7", linestyle=":", label="one in a billion")
    for index, (name, values) in enumerate(
        table.groupby("threshold")[["log10_false_match", "log10_miss"]].mean().items()
    ):
        axes.plot(values.index, values, "o-", color=f"C{index}", label=name.removeprefix("log10_").replace("_", " "))
    axes.set(xlabel="spike threshold", ylabel="log10 of the median probability", ylim=(-25, 1), xlim=(4, 30))
    axes.legend(fontsize=9)


def unions(trial: Trial) -> list[dict[str, Any]]:
    """Segments to which patterns are added: 40 of 2,000 cells, 20 synapses each, threshold 10; every match is counted.

    Of its own patterns, with the 10 active cells changed that the threshold leaves room for, a segment misses `missed` of `held`.
    """
    segments, patterns = trial.pick(smoke=(5, 20), laptop=(400, 1000), full=(2000, 20_000))
    generator = trial.generator("patterns")
    predicted = union_capacity(2000, 40, 20, 10, error=0.01)
    sizes = [round(share * predicted) for share in (0.4, 0.6, 0.8, 0.9, 1.0, 1.1, 1.3, 1.6)]
    learned = sparse_patterns(segments * sizes[-1], 2000, 40, generator=generator)
    place = torch.arange(len(learned), device=learned.device)
    strange = sparse_patterns(patterns, 2000, 40, generator=generator)
    module = ActiveDendriteSegments(2000, threshold=10, synapses_per_pattern=20)
    rows = []
    for before, size in zip([0, *sizes[:-1]], sizes, strict=True):
        step = (place // segments >= before) & (place // segments < size)
        module.add(learned[step], place[step] % segments, generator=generator)
        found = sum(int(module(some).sum()) for some in strange.split(250))
        noisy = swap_active(learned[step], 2000, 10, generator=generator)
        spikes = module(noisy).gather(-1, (place[step] % segments).unsqueeze(-1))
        rows.append({
            "patterns": size,
            "false_match": max(found, 0.5) / (segments * patterns),
            "law": float(log_union_false_match(2000, 40, 20, 10, size).exp()),
            "missed": int((~spikes).sum()),
            "held": len(spikes),
        })  # fmt: skip
    return rows


@paper.claim(
    unions,
    figure=lines(
        "patterns",
        "false_match",
        by=None,
        theory="law",
        log="y",
        xlabel="patterns on a segment",
        ylabel="false match probability",
    ),
)
def union_limit(table):
    """Patterns at which 1 % of random patterns match, counted and by the exact law, both joined where they cross 1 %."""
    found, law, sizes = np.log10(table["false_match"]), np.log10(table["law"]), table["patterns"]
    return {
        "misses": table["missed"].sum() / table["held"].sum(),
        "capacity_over_prediction": float(np.interp(-2, found, sizes) / np.interp(-2, law, sizes)),
        "log10_gap": float((found - law).abs().mean()),
        "signed_log10_gap": float((found - law).mean()),
    }
