"""Agliari, Alessandrelli, Barra, Ricci-Tersenghi 2023: Parallel Learning by Multitasking Neural Networks."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from replica.lab.claims import Paper, Proportion, Trial, Uniform
from replica.lab.studies import dots, lines
from replica.memory.multitasking import MultitaskingMemory
from replica.memory.multitasking_equations import hierarchical_overlaps, solve_overlaps
from replica.memory.multitasking_patterns import diluted_patterns, hierarchical_state, noisy_examples
from replica.memory.multitasking_thresholds import dataset_entropy, learning_threshold, relative_signal

paper = Paper("multitasking_hebbian")
MILD = ((3, 0.2), (3, 0.4), (5, 0.3), (5, 0.45))  # patterns and dilution, below the critical one
STRONG = ((3, 0.9), (5, 0.9), (3, 0.95))
LEVEL = 0.9  # recall, relative to stored patterns, at which examples are enough


@paper.entry("recall", name="multitasking-hebbian", values=("binary",), space={"temperature": Uniform(0.0, 0.5)})
def multitasking_hebbian(trial: Trial, temperature: float = 0.0) -> MultitaskingMemory:
    """The Hebbian network; patterns without blanks make it the Hopfield network of 1982."""
    return MultitaskingMemory(temperature=temperature, generator=trial.generator("multitasking-hebbian"))


def mild_dilution(trial):
    """Recall from damaged cues (15 % of neurons flipped), and that of an ordinary Hopfield network (dilution 0)."""
    generator = trial.generator("hierarchical")
    rows = []
    points = [(*network, temperature) for network in MILD for temperature in (0.0, 0.05, 0.2)]
    for patterns, dilution, temperature in [*points, (3, 0.0, 0.0)]:
        overlaps = _recall(trial, generator, patterns, dilution, temperature)
        theory = solve_overlaps(patterns, dilution, temperature).overlaps if dilution else [None] * patterns
        law = hierarchical_overlaps(patterns, dilution)
        for number in range(patterns):
            rows.append({
                "patterns": patterns, "dilution": dilution, "temperature": temperature, "pattern": number + 1,
                "overlap": overlaps[number], "theory": theory[number], "law": law[number],
            })  # fmt: skip
    return rows


def _recall(
    trial: Trial, generator: torch.Generator, patterns: int, dilution: float, temperature: float
) -> Float[Tensor, " patterns"]:
    """Strengths of recall, strongest first, averaged over time, replicas and draws of the patterns."""
    dim = trial.pick(smoke=256, laptop=8192, full=65_536)
    draws, sweeps = trial.pick(smoke=1, laptop=6, full=10), trial.pick(smoke=6, laptop=40, full=100)
    total = torch.zeros(patterns, dtype=torch.float64)
    for _ in range(draws):
        truth = diluted_patterns(patterns, dim, dilution, generator=generator)
        cues = hierarchical_state(truth, generator=generator).expand(2, -1)
        flipped = torch.rand(cues.shape, generator=generator, device=trial.device) < 0.15
        memory = MultitaskingMemory().store(truth)
        cues = torch.where(flipped, -cues, cues)
        _, trace = memory.evolve(cues, sweeps, temperature=temperature, generator=generator)
        # Signs are a symmetry, and at positive temperature the weak patterns may change places on the way.
        strengths = trace[sweeps // 2 :].mean(0).abs().sort(-1, descending=True).values
        total += strengths.mean(0).double().cpu() / draws
    return total


def draw_hierarchy(axes, table):
    """Overlaps by rank, on a logarithmic axis where the law is a straight line."""
    table = table[(table["patterns"] == 5) & (table["temperature"] == 0)]
    lines("pattern", "overlap", "dilution", theory="law", xlabel="pattern, strongest first", log="y")(axes, table)


@paper.claim(mild_dilution, figure=draw_hierarchy)
def hierarchical_regime(table):
    dense = table["dilution"] == 0
    cold = table[~dense & (table["temperature"] == 0)]
    warm = table[table["temperature"] > 0]
    networks = cold[cold["pattern"] <= 3].groupby(["patterns", "dilution"])
    bases = [
        np.exp(np.polyfit(np.arange(3), np.log(rows["overlap"].clip(lower=1e-6)), 1)[0]) / dilution
        for (_, dilution), rows in networks
    ]
    second = table["pattern"] == 2
    return {
        "law_error": _mean_distance(cold, "law"),
        "base_over_dilution": np.mean(bases),
        "theory_error": _mean_distance(warm, "theory"),
        "second_pattern_over_dense_network": cold.loc[second, "overlap"].mean()
        - table.loc[dense & second, "overlap"].item(),
    }


def _mean_distance(table, of):
    """Mean |overlap − prediction|, each network and temperature with the same weight."""
    distance = (table["overlap"] - table[of]).abs()
    return distance.groupby([table[name] for name in ("patterns", "dilution", "temperature")]).mean().mean()


def random_starts(trial):
    """Noiseless descent, and slow cooling; strengths are sorted, as which pattern comes first is chance."""
    dim, cooling = trial.pick(smoke=256, laptop=8192, full=65_536), trial.pick(smoke=5, laptop=100, full=1000)
    draws, runs = trial.pick(smoke=1, laptop=4, full=10), trial.pick(smoke=4, laptop=15, full=100)
    generator = trial.generator("random states")
    schedules = {"noiseless": [0.0] * 40, "cooled": [*np.linspace(1.0, 0.0, cooling).tolist(), *[0.0] * 20]}
    rows = []
    for patterns, dilution in MILD:
        law = hierarchical_overlaps(patterns, dilution)
        found = dict.fromkeys(schedules, 0)
        for _ in range(draws):
            truth = diluted_patterns(patterns, dim, dilution, generator=generator)
            memory = MultitaskingMemory().store(truth)
            heads = torch.rand(runs, dim, generator=generator, device=trial.device) < 0.5
            start = torch.where(heads, 1.0, -1.0)
            for schedule, temperatures in schedules.items():
                states = start
                for temperature in temperatures:
                    states = memory.sweep(states, temperature=temperature, generator=generator)
                strengths = memory.overlaps(states).abs().sort(-1, descending=True).values.double().cpu()
                found[schedule] += int(((strengths - law).abs().amax(-1) < 0.03).sum())
        network, total = f"{patterns} patterns, d = {dilution:g}", draws * runs
        rows += [
            {"network": network, "schedule": schedule, "share": number / total, "runs": total}
            for schedule, number in found.items()
        ]
    return rows


@paper.claim(
    random_starts, figure=dots("network", "share", "schedule", ylabel="runs that end in the hierarchy", percent=True)
)
def hierarchy_from_random_states(table):
    return {
        f"share_{schedule}": Proportion(round((rows["share"] * rows["runs"]).sum()), rows["runs"].sum())
        for schedule, rows in table.groupby("schedule")
    }


def strong_dilution(trial):
    """Relax from the hierarchy without noise, at temperature 0.3, or after learning from noisy examples."""
    return [
        *_relaxed(trial, "temperature 0", 0.0, 0),
        *_relaxed(trial, "temperature 0.3", 0.3, 0),
        *_relaxed(trial, "learned from 80 examples", 0.0, 80),
    ]


def _relaxed(trial: Trial, noise: str, temperature: float, examples: int) -> list[dict]:
    """Signals as a share of the largest possible one; patterns keep the order of the start."""
    dim, draws = trial.pick(smoke=512, laptop=16_384, full=131_072), trial.pick(smoke=1, laptop=6, full=10)
    sweeps, quality = trial.pick(smoke=6, laptop=60, full=200), trial.pick(smoke=0.8, laptop=0.2, full=0.2)
    generator = trial.generator(noise)
    rows = []
    for patterns, dilution in STRONG:
        shares = torch.zeros(patterns, dtype=torch.float64)
        for _ in range(draws):
            truth = diluted_patterns(patterns, dim, dilution, generator=generator)
            start = hierarchical_state(truth, generator=generator).expand(2, -1)
            memory = MultitaskingMemory()
            if examples:
                memory.learn(noisy_examples(truth, examples, quality, generator=generator), quality=quality)
            else:
                memory.store(truth)
            _, trace = memory.evolve(start, sweeps, temperature=temperature, generator=generator, patterns=truth)
            # Over the entries that are filled in this draw: their number varies by more than the overlaps do.
            filled = truth.abs().mean(-1)
            shares += (trace[sweeps // 2 :].mean((0, 1)) / filled).double().cpu() / draws
        entropy = dataset_entropy(quality, examples) if examples else 0.0
        theory = solve_overlaps(patterns, dilution, temperature, entropy=entropy).overlaps / (1 - dilution)
        rows += [
            {"noise": noise, "patterns": patterns, "dilution": dilution, "pattern": number + 1,
             "share": shares[number], "theory": theory[number]}
            for number in range(patterns)
        ]  # fmt: skip
    return rows


def draw_strengths(axes, table):
    """Signals by rank, for five patterns."""
    draw = lines(
        "pattern", "share", "noise", theory="theory", xlabel="pattern, strongest first", ylabel="overlap / (1 − d)"
    )
    draw(axes, table[table["patterns"] == 5])
    axes.set_ylim(bottom=0)


@paper.claim(strong_dilution, figure=draw_strengths)
def parallel_regime(table):
    warm, learned = _strengths(table, "temperature 0.3"), _strengths(table, "learned from 80 examples")
    return {
        **warm,
        "weakest_over_strongest_learned": learned["weakest_over_strongest"],
        "theory_error": (warm["theory_error"] + learned["theory_error"]) / 2,
    }


@paper.claim(strong_dilution, figure=draw_strengths)
def parallel_regime_without_noise(table):
    return _strengths(table, "temperature 0")


def _strengths(table, noise):
    """How equal the signals are, and how near to the hierarchical law and to the self-consistency equations."""
    networks = [
        (d, rows["share"], rows["theory"])
        for (_, d), rows in table[table["noise"] == noise].groupby(["patterns", "dilution"])
    ]
    return {
        "weakest_over_strongest": np.mean([share.iloc[-1] / share.iloc[0] for _, share, _ in networks]),
        "closer_than_hierarchy": np.mean([
            (share - d ** np.arange(len(share))).abs().mean() - (share - share.mean()).abs().mean() for d, share, _ in networks
        ]),
        "theory_error": np.mean([(share / theory - 1).abs().mean() for _, share, theory in networks]),
    }  # fmt: skip


def learning_curves(trial):
    """Recall over the number of examples, from nested sets of examples that both protocols share."""
    dim, draws = trial.pick(smoke=256, laptop=8192, full=65_536), trial.pick(smoke=1, laptop=2, full=5)
    quality, patterns = trial.pick(smoke=0.6, laptop=0.2, full=0.1), 3
    generator = trial.generator("threshold")
    networks = ((0.2, 0.0), (0.2, 0.1), (0.8, 0.0), (0.8, 0.1))
    rows = []
    for dilution, temperature in trial.pick(smoke=networks[::2], laptop=networks, full=networks):
        threshold = learning_threshold(quality, patterns, dilution, temperature=temperature, level=LEVEL)
        points = trial.pick(smoke=3, laptop=9, full=13)
        counts = np.unique(np.geomspace(threshold / 3, threshold * 3, points).round().astype(int)).tolist()
        curves = {"supervised": np.zeros(len(counts)), "unsupervised": np.zeros(len(counts))}
        for _ in range(draws):
            truth = diluted_patterns(patterns, dim, dilution, generator=generator)
            examples = noisy_examples(truth, counts[-1], quality, generator=generator)
            start = hierarchical_state(truth, generator=generator).expand(2, -1)
            stored = _relax(MultitaskingMemory().store(truth), start, temperature, truth, generator)
            for place, count in enumerate(counts):
                for protocol, curve in curves.items():
                    memory = MultitaskingMemory()
                    memory.learn(examples[:, :count], quality=quality, teacher=protocol == "supervised")
                    learned = _relax(memory, start, temperature, truth, generator)
                    curve[place] += relative_signal(learned, stored).item() / draws
        reference = solve_overlaps(patterns, dilution, temperature).overlaps
        for place, count in enumerate(counts):
            entropy = dataset_entropy(quality, count)
            expected = solve_overlaps(patterns, dilution, temperature, entropy=entropy).overlaps
            network = {"dilution": dilution, "temperature": temperature, "threshold": threshold, "examples": count}
            theory = relative_signal(expected, reference)
            rows += [
                {**network, "protocol": p, "recall": curve[place], "theory": theory} for p, curve in curves.items()
            ]
    return rows


def _relax(
    memory: MultitaskingMemory,
    start: Float[Tensor, "replicas dim"],
    temperature: float,
    truth: Float[Tensor, "patterns dim"],
    generator: torch.Generator,
) -> Float[Tensor, " patterns"]:
    """Strengths of recall of the true patterns after relaxation, averaged over time and replicas."""
    _, trace = memory.evolve(start, 24, temperature=temperature, generator=generator, patterns=truth)
    return trace[12:].mean(0).square().mean(0).sqrt()


def draw_curves(axes, table):
    """Recall over the number of examples, at mild dilution and temperature 0."""
    draw = lines("examples", "recall", "protocol", theory="theory", xlabel="examples of each pattern", log="x")
    draw(axes, table[(table["temperature"] == 0) & (table["dilution"] == 0.2)])


@paper.claim(learning_curves, figure=draw_curves)
def same_threshold(table):
    ratios = []
    for _, rows in table.groupby(["dilution", "temperature"]):
        supervised, unsupervised = (
            crossing(*rows.loc[rows["protocol"] == protocol, ["examples", "recall"]].to_numpy().T)
            for protocol in ("supervised", "unsupervised")
        )
        threshold = rows["threshold"].iloc[0]
        ratios.append((unsupervised / supervised, supervised / threshold, unsupervised / threshold))
    names = ("unsupervised_over_supervised", "supervised_over_theory", "unsupervised_over_theory")
    return dict(zip(names, np.mean(ratios, axis=0), strict=True))


def crossing(counts, curve, level=LEVEL):
    """Number of examples at which a curve first reaches the level, between two points on a logarithmic axis."""
    reached = np.flatnonzero(curve >= level)
    if not reached.size:
        return float(counts[-1])
    after = max(int(reached[0]), 1)
    share = (level - curve[after - 1]) / (curve[after] - curve[after - 1])
    low, high = np.log(counts[after - 1]), np.log(counts[after])
    return float(np.exp(low + np.clip(share, 0, 1) * (high - low)))
