"""Dense Hebbian neural networks: a replica symmetric picture of supervised learning (Agliari et al. 2022)."""

import itertools
import math

import numpy as np
import torch
from jaxtyping import Float
from scipy.stats import binom
from torch import Tensor

from replica.data import digits, mnist
from replica.lab.claims import Choice, Integer, Paper, Proportion, Trial
from replica.lab.studies import against, lines
from replica.memory.dense_hebbian import DenseHebbianMemory
from replica.memory.dense_hebbian_equations import (
    critical_load,
    dataset_entropy,
    dense_hebbian_equations,
    examples_needed,
)

paper = Paper("dense_hebbian")


@paper.entry(
    "recall",
    name="dense-hebbian",
    space={"order": Integer(2, 12), "coincident": Choice((False, True))},
    values=("binary",),
)
def dense_hebbian(trial: Trial, order: int = 4, coincident: bool = False) -> DenseHebbianMemory:
    """Dense Hebbian memory of the paper's order 4, at zero temperature."""
    return DenseHebbianMemory(order, coincident=coincident)


def random_patterns(trial: Trial, count: int, dim: int, stream: str) -> Float[Tensor, "count dim"]:
    """Independent ±1 entries."""
    bits = torch.randint(0, 2, (count, dim), generator=trial.generator(stream), device=trial.device, dtype=torch.int8)
    return bits.float().mul_(2).sub_(1)


def noisy_copies(
    pattern: Float[Tensor, " dim"], quality: float, examples: int, generator: torch.Generator
) -> Float[Tensor, "examples dim"]:
    """Examples of a pattern: each entry is right with probability (1 + quality)/2."""
    noise = torch.rand((examples, len(pattern)), generator=generator, device=pattern.device)
    return torch.where(noise < (1 + quality) / 2, pattern, -pattern)


def capacities(trial):
    """Stored patterns are the start states; capacity is where half of them still end with an overlap above 0.9."""
    sizes = {
        2: trial.pick(smoke=(32, 64), laptop=(1000, 2000, 4000, 8000), full=(2000, 4000, 8000, 16000)),
        3: trial.pick(smoke=(16, 24), laptop=(64, 100, 160, 256), full=(128, 256, 512, 800)),
        4: trial.pick(smoke=(12, 16), laptop=(40, 56, 80, 112), full=(48, 96, 144, 200)),
    }
    rows = []
    for order, dims in sizes.items():
        theory = critical_load(order, tolerance=1e-2)
        for dim in dims:
            limit = theory * dim ** (order - 1)
            # Small networks differ more from one set of patterns to the next, and cost little.
            number = trial.pick(smoke=1, laptop=1 if order == 2 else 3 if dim == dims[-1] else 6, full=6)
            sets = [
                random_patterns(trial, math.ceil(1.7 * limit), dim, f"patterns-{order}-{dim}-{index}")
                for index in range(number)
            ]
            # Order 2 is judged by the number itself, the others by their slope: one needs a finer search.
            stored = stored_at_half(sets, order, 0.8 * limit, 1.7 * limit, 7 if order == 2 else 5)
            rows.append({"order": order, "dim": dim, "stored": stored, "predicted": limit})
    return rows


def stored_at_half(sets: list[Float[Tensor, "count dim"]], order: int, low: float, high: float, halvings: int) -> float:
    """Number of stored patterns at which half of the probed ones keep an overlap above 0.9, by bisection.

    The share is a mean over several sets of patterns.
    """
    for _ in range(halvings):
        count = round(math.sqrt(low * high))
        kept = []
        for patterns in sets:
            memory = DenseHebbianMemory(order)
            memory.store(patterns[:count])
            probes = patterns[: min(count, 32)]
            final = memory.relax(probes, max_sweeps=60).spins
            kept.append(float(((final * probes).mean(1) > 0.9).double().mean()))
        low, high = (count, high) if np.mean(kept) >= 0.5 else (low, count)
    return math.sqrt(low * high)


@paper.claim(
    capacities,
    figure=lines(
        "dim",
        "stored",
        "order",
        theory="predicted",
        xlabel="neurons N",
        ylabel="patterns stored (half recalled)",
        log="xy",
    ),
)
def capacity(table):
    orders = table.groupby("order")
    exponents = {order: np.polyfit(np.log(rows["dim"]), np.log(rows["stored"]), 1)[0] for order, rows in orders}
    largest = orders.get_group(2).iloc[-1]
    return {
        **{f"exponent_order_{order}": exponent for order, exponent in exponents.items()},
        "capacity_order_2": largest["stored"] / largest["dim"],
    }


def noisy_examples(trial):
    """Load K/N = 2 %, over the entropy of the examples: the noise of an entry of their average over its signal.

    Retrieved: the state ends at an overlap above 0.9 with the signs of the average, the best that these examples allow.
    """
    dim, quality = trial.pick(smoke=100, laptop=1000, full=5000), 0.1
    count = dim // 50
    patterns = random_patterns(trial, count, dim, "patterns")
    labels = torch.arange(count, device=trial.device)
    rows = []
    for entropy in (0.125, 0.25, 0.5, 1.0, 2.0):
        examples = round(dataset_entropy(quality, 1) / entropy)
        generator = trial.generator(f"examples-{entropy}")
        # One class at a time, so that the examples of all classes never lie in memory together.
        averages = torch.stack([noisy_copies(pattern, quality, examples, generator).mean(0) for pattern in patterns])
        best = torch.where(averages < 0, -1.0, 1.0)
        for order in (2, 4):
            memory = DenseHebbianMemory(order)
            memory.learn(averages, labels)
            final = memory.recall(patterns, generator=trial.generator(f"order-{entropy}"))
            rows.append({
                "entropy": entropy, "order": order, "overlap": (final * patterns).mean(),
                "best": math.erf(1 / math.sqrt(2 * entropy)),
                "retrieved": ((final * best).mean(1) > 0.9).sum(), "patterns": count,
            })  # fmt: skip
    return rows


@paper.claim(
    noisy_examples,
    figure=lines(
        "entropy",
        "overlap",
        "order",
        theory="best",
        xlabel="entropy of the examples (theory: the best they allow)",
        log="x",
    ),
)
def ultra_detection(table):
    at_one = table[table["entropy"] == 1].set_index("order")
    shares = {
        f"retrieved_order_{order}": Proportion(row["retrieved"], row["patterns"]) for order, row in at_one.iterrows()
    }
    return {**shares, "gain_in_overlap": at_one.loc[4, "overlap"] - at_one.loc[2, "overlap"]}


def overlaps(trial):
    """Overlaps inside the retrieval phase: it must last to 1.3 times the load together with 1.15 times the temperature."""
    quality = 0.2
    sweeps, burn_in = trial.pick(smoke=(3, 1), laptop=(25, 10), full=(200, 50))
    plan = {
        2: (trial.pick(smoke=60, laptop=1000, full=4000), (0.02, 0.05), (0.1, 0.3), (0.0, 0.1)),
        4: (trial.pick(smoke=16, laptop=200, full=300), (0.002, 0.006), (0.1, 0.25), (0.0, 0.2, 1.0)),
    }
    rows = []
    for order, (dim, loads, temperatures, entropies) in plan.items():
        for load, entropy in itertools.product(loads, entropies):
            temperature = np.array(temperatures)
            within = dense_hebbian_equations(order, load, temperature, entropy, tolerance=1e-7, max_steps=1000)
            beyond = dense_hebbian_equations(order, 1.3 * load, 1.15 * temperature, entropy, max_steps=1000)
            predicted = within.magnetization.numpy()
            inside = (predicted > 0.1) & (beyond.magnetization.numpy() > 0.5 * predicted)
            if not inside.any():
                continue
            point = f"{order}-{load}-{entropy}"
            # The theory's load counts patterns a group of P different neurons; N^(P−1) is its limit for large N.
            patterns = random_patterns(
                trial, max(2, round(load * math.perm(dim - 1, order - 1))), dim, f"patterns-{point}"
            )
            memory = DenseHebbianMemory(order)
            if entropy > 0:
                examples = round(dataset_entropy(quality, 1) / entropy)
                memory.store(example_averages(patterns, quality, examples, trial.generator(f"examples-{point}")))
            else:
                memory.store(patterns)
            probes = patterns[:8]
            # All temperatures in one batch.
            beta = torch.from_numpy(1 / temperature[inside]).to(probes).repeat_interleave(len(probes))
            mean = memory.sample(
                probes.repeat(int(inside.sum()), 1), beta, sweeps,
                burn_in=burn_in, block=max(1, dim // 20), generator=trial.generator(f"noise-{point}"),
            ).mean  # fmt: skip
            measured = (mean.reshape(-1, *probes.shape) * probes).mean((1, 2)).tolist()
            rows += [
                {"order": order, "load": load, "entropy": entropy, "temperature": t, "predicted": m, "measured": found}
                for t, m, found in zip(temperature[inside], predicted[inside], measured, strict=True)
            ]
    return rows


def example_averages(
    patterns: Float[Tensor, "count dim"], quality: float, examples: int, generator: torch.Generator
) -> Float[Tensor, "count dim"]:
    """Averages over M noisy examples of each pattern, of mean square 1; drawn as binomial counts, which have the same law."""
    # Binomial counts by inversion: many times faster than torch.binomial at these sizes.
    law = torch.from_numpy(binom.cdf(np.arange(examples), examples, (1 + quality) / 2)).to(patterns)
    correct = torch.bucketize(torch.rand(patterns.shape, generator=generator, device=patterns.device), law)
    scale = math.sqrt(quality**2 + (1 - quality**2) / examples)
    return patterns * (2 * correct / examples - 1) / scale


@paper.claim(
    overlaps, figure=against("predicted", "measured", "order", xlabel="overlap predicted", ylabel="overlap simulated")
)
def overlaps_follow_theory(table):
    deviation = (table["measured"] - table["predicted"]).abs().groupby(table["order"]).mean()
    return {f"deviation_order_{order}": value for order, value in deviation.items()}


def digit_archetypes(trial):
    """Archetypes are the signs of class means; the predicted number of examples is that for an overlap of 0.95.

    Examples are copies of the archetypes at quality 0.3, or the real handwriting, whose quality differs from pixel to pixel.
    """
    data = mnist(split="train") if trial.scale == "full" else digits()
    values = torch.from_numpy(np.asarray(data.values)).reshape(len(data.values), -1).to(trial.device)
    labels = torch.from_numpy(np.asarray(data.labels)).to(trial.device)
    images = [torch.where(values[labels == c] > 0.5, 1.0, -1.0).double() for c in range(10)]
    means, quality = torch.stack([own.mean(0) for own in images]), 0.3
    archetypes = torch.where(means < 0, -1.0, 1.0).double()
    handwriting = examples_needed(means.abs().clamp(1e-6, 1 - 1e-9), 0.95)
    needed = {"noisy copies": examples_needed(quality, 0.95), "handwriting": handwriting}
    shares = trial.pick(
        smoke=(0.125, 1.0),
        laptop=(0.03125, 0.0625, 0.125, 0.25, 0.5, 1.0, 2.0),
        full=(0.03125, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0),
    )
    repeats = trial.pick(smoke=1, laptop=8, full=8)
    generator = trial.generator("examples")
    rows = []
    for kind, share, order in itertools.product(needed, shares, (2, 10)):
        examples = max(1, math.ceil(share * needed[kind]))
        memory, found = DenseHebbianMemory(order), []
        # The judged point is measured to ±0.005, the rest of the curve to what a figure shows.
        for _ in range(16 * repeats if share == 1.0 and trial.scale != "smoke" else repeats):
            averages = []
            for own, archetype in zip(images, archetypes, strict=True):
                if kind == "handwriting":
                    shown = own[torch.randperm(len(own), generator=generator, device=trial.device)[:examples]]
                else:
                    shown = noisy_copies(archetype, quality, examples, generator)
                averages.append(shown.mean(0))
            memory.learn(torch.stack(averages), torch.arange(10, device=trial.device))
            damage = torch.rand(archetypes.shape, generator=generator, device=trial.device) < 0.1
            final = memory.recall(torch.where(damage, -archetypes, archetypes), generator=trial.generator("order"))
            found.append(float((final * archetypes).mean()))
        rows.append({
            "kind": kind, "order": order, "share_of_predicted": share, "examples": examples, "overlap": np.mean(found),
        })  # fmt: skip
    return rows


def draw_learning(axes, table):
    """Overlap with the archetype over the number of examples in units of the predicted number, at order 10."""
    draw = lines("share_of_predicted", "overlap", "kind", xlabel="examples a class / predicted number", log="x")
    draw(axes, table[table["order"] == 10])


@paper.claim(digit_archetypes, figure=draw_learning)
def learning_digits(table):
    overlap = table[table["order"] == 10].set_index(["kind", "share_of_predicted"])["overlap"]
    copies = overlap["noisy copies", 1.0]
    return {
        "overlap_handwriting": overlap["handwriting", 1.0],
        "overlap_noisy_copies": copies,
        "gain_over_an_eighth_of_the_examples": copies - overlap["noisy copies", 0.125],
    }
