"""Agliari, Alessandrelli, Barra, Ricci-Tersenghi 2023: Parallel Learning by Multitasking Neural Networks."""

from collections import defaultdict
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from torch import Tensor

from replica.lab.claims import Paper, Proportion, Reported, Trial, Uniform, above, below, within
from replica.memory.multitasking import (
    MultitaskingMemory,
    diluted_patterns,
    hierarchical_state,
    loss_product,
    noisy_examples,
    squared_error_losses,
)
from replica.memory.multitasking_equations import (
    dataset_entropy,
    hierarchical_overlaps,
    learning_threshold,
    pure_state_temperature,
    relative_signal,
    solve_overlaps,
)

paper = Paper(
    "multitasking_hebbian",
    departures=(
        "The equations are derived anew in units where overlaps vanish at temperature 1; the paper's overall "
        "factor of the cost may differ, which rescales temperature only.",
        "Monte Carlo is exact block Gibbs sampling through the network's hidden units, not single-neuron flips: "
        "the same Boltzmann distribution, all neurons at once.",
        "The learning threshold is a crossover; it is read where recall reaches 90 % of its strength for stored "
        "patterns, a level of ours.",
        "Laptop scale uses 8,192 to 16,384 neurons and 2 to 5 synthetic patterns.",
        "The bounds of the regime and threshold claims were written after the theory and quick simulations of it had "
        "been seen, and the bound on cooled starts after an exploratory run; none was moved after its measurement.",
        "The paper's full text could not be consulted: the sentences and figures under test are those of its abstract.",
    ),
)

COLOURS = ("tab:blue", "tab:orange", "tab:green", "tab:purple")
MARKERS = ("o", "s", "^", "D")


@paper.entry(
    "recall",
    name="multitasking-hebbian",
    values=("binary",),
    space={"temperature": Uniform(0.0, 0.5)},
)
def multitasking_hebbian(trial: Trial, temperature: float = 0.0) -> MultitaskingMemory:
    """The Hebbian network; patterns without blanks make it the Hopfield network of 1982."""
    return MultitaskingMemory(temperature=temperature, generator=trial.generator("multitasking-hebbian"))


@paper.claim(
    "At mild dilution patterns are recalled together, their amplitudes falling as the power law d^(μ−1) (1 − d).",
    expect={
        "law_error": below(0.01),  # mean |m − law| at zero temperature; the largest possible overlap is 1
        "base_over_dilution": within(0.05, of=1.0),  # base of the fitted power law over d
        "theory_error": below(0.02),  # mean |m − self-consistent m| at temperatures 0.05 and 0.2
        "second_pattern_over_dense_network": above(0.1),  # overlap gained over an ordinary Hopfield network
    },
    reported={
        "base_over_dilution": Reported("power laws in the patterns' information content", where="abstract"),
        "theory_error": Reported("theory and Monte Carlo in perfect agreement", where="abstract"),
    },
)
def hierarchical_regime(trial: Trial) -> tuple[dict[str, float], dict[str, list[Any]]]:
    """Recall from damaged cues (15 % of neurons flipped) at dilutions below the critical one."""
    dim = trial.pick(smoke=256, laptop=8192, full=65_536)
    draws, sweeps = trial.pick(smoke=1, laptop=6, full=10), trial.pick(smoke=6, laptop=40, full=100)
    generator = trial.generator("hierarchical")
    series: dict[str, list[Any]] = defaultdict(list)
    law_errors, bases, theory_errors, seconds = [], [], [], []
    for patterns, dilution in ((3, 0.2), (3, 0.4), (5, 0.3), (5, 0.45)):
        law = hierarchical_overlaps(patterns, dilution)
        for temperature in (0.0, 0.05, 0.2):
            measured = _mean_overlaps(trial, generator, patterns, dim, dilution, temperature, draws, sweeps)
            expected = solve_overlaps(patterns, dilution, temperature).overlaps
            if temperature == 0:
                law_errors.append((measured - law).abs().mean().item())
                logs = measured[:3].clamp_min(1e-6).log().numpy()
                bases.append(float(np.exp(np.polyfit(np.arange(3), logs, 1)[0])) / dilution)
                seconds.append(measured[1].item())
            else:
                theory_errors.append((measured - expected).abs().mean().item())
            for number in range(patterns):
                series["patterns"].append(patterns)
                series["dilution"].append(dilution)
                series["temperature"].append(temperature)
                series["pattern"].append(number + 1)
                series["overlap"].append(measured[number].item())
                series["theory"].append(expected[number].item())
    dense = _mean_overlaps(trial, generator, 3, dim, 0.0, 0.0, draws, sweeps)
    return {
        "law_error": float(np.mean(law_errors)),
        "base_over_dilution": float(np.mean(bases)),
        "theory_error": float(np.mean(theory_errors)),
        "second_pattern_over_dense_network": float(np.mean(seconds)) - dense[1].item(),
    }, dict(series)


@hierarchical_regime.figure
def draw_hierarchy(axes: Axes, table: pd.DataFrame) -> None:
    """Overlaps over rank, on a logarithmic axis where the law is a straight line."""
    table = table[table["patterns"] == 5]
    for colour, marker, (dilution, rows) in zip(COLOURS, MARKERS, table.groupby("dilution"), strict=False):
        law = hierarchical_overlaps(5, float(rows["dilution"].iloc[0]))
        axes.plot(range(1, 6), law, color=colour, label=f"law, dilution {dilution:g}")
        for temperature, filled in ((0.0, colour), (0.2, "none")):
            cold = rows[rows["temperature"] == temperature]
            _points(axes, cold, "pattern", "overlap", colour, marker, f"simulation, T = {temperature:g}", filled)
    axes.set(xlabel="pattern, strongest first", ylabel="overlap with the state", yscale="log", ylim=(2e-3, 1.2))
    axes.set_xticks(range(1, 6))
    axes.legend(fontsize=9)


@paper.claim(
    "At mild dilution the network finds the hierarchy by itself, from random states.",
    expect={  # shares of runs that end with every strength within 0.03 of the law
        "share_noiseless": above(0.5),
        "share_cooled": above(0.5),
    },
    reported={"share_cooled": Reported("naturally able to", where="abstract")},
    why="Mixtures of several patterns are local minima as well, the more the more patterns there are, and noiseless "
    "descent is caught by them; slow cooling is not.",
)
def hierarchy_from_random_states(trial: Trial) -> tuple[dict[str, Proportion], dict[str, list[Any]]]:
    """Noiseless descent, and slow cooling; strengths are sorted, as which pattern comes first is chance."""
    dim, cooling = trial.pick(smoke=256, laptop=8192, full=65_536), trial.pick(smoke=5, laptop=100, full=1000)
    draws, runs = trial.pick(smoke=1, laptop=4, full=10), trial.pick(smoke=4, laptop=15, full=100)
    generator = trial.generator("random states")
    series: dict[str, list[Any]] = defaultdict(list)
    schedules = {"noiseless": [0.0] * 40, "cooled": [*np.linspace(1.0, 0.0, cooling).tolist(), *[0.0] * 20]}
    found, total = dict.fromkeys(schedules, 0), 0
    for patterns, dilution in ((3, 0.2), (3, 0.4), (5, 0.3), (5, 0.45)):
        law = hierarchical_overlaps(patterns, dilution)
        shares = dict.fromkeys(schedules, 0.0)
        for _ in range(draws):
            truth = diluted_patterns(patterns, dim, dilution, generator=generator)
            memory = MultitaskingMemory().store(truth)
            start = _random_states(runs, dim, truth, generator)
            for schedule, temperatures in schedules.items():
                states = start
                for temperature in temperatures:
                    states = memory.sweep(states, temperature=temperature, generator=generator)
                strengths = memory.overlaps(states).abs().sort(-1, descending=True).values.double().cpu()
                near = int(((strengths - law).abs().amax(-1) < 0.03).sum())
                found[schedule] += near
                shares[schedule] += near / (draws * runs)
        total += draws * runs
        for schedule, share in shares.items():
            series["network"].append(f"{patterns}, {dilution:g}")
            series["schedule"].append(schedule)
            series["share"].append(share)
    return {f"share_{schedule}": Proportion(number, total) for schedule, number in found.items()}, dict(series)


@hierarchy_from_random_states.figure
def draw_random_starts(axes: Axes, table: pd.DataFrame) -> None:
    """Share of runs that end in the hierarchy, for each network."""
    for colour, marker, (schedule, rows) in zip(COLOURS, MARKERS, table.groupby("schedule"), strict=False):
        _points(axes, rows, "network", "share", colour, marker, str(schedule))
    axes.axhline(0.5, color="tab:gray", linestyle=":", label="bound")
    axes.set(xlabel="number of patterns, dilution", ylabel="share of runs in the hierarchy", ylim=(0, 1.05))
    axes.legend(fontsize=9, loc="lower left")


_PARALLEL_EXPECT = {
    "weakest_over_strongest": above(0.9),  # "the same strength": within ten per cent
    "closer_than_hierarchy": above(0.0),  # mean |m − hierarchical law| − mean |m − its mean|, over 1 − d
}


@paper.claim(
    "At strong dilution the signals of all patterns are raised with the same strength, under noise of either kind.",
    expect={
        **_PARALLEL_EXPECT,
        "weakest_over_strongest_learned": above(0.9),  # noise of the data set in place of temperature
        "theory_error": below(0.05),  # mean relative difference from the self-consistent overlap
    },
    reported={"weakest_over_strongest": Reported("the same strength", where="abstract")},
)
def parallel_regime(trial: Trial) -> tuple[dict[str, float], dict[str, list[Any]]]:
    """Start in the hierarchy, let it relax at temperature 0.3, or at 0 after learning from noisy examples."""
    series: dict[str, list[Any]] = defaultdict(list)
    noisy = _strong_dilution(trial, 0.3, 0, "temperature 0.3", series)
    learned = _strong_dilution(trial, 0.0, 80, "learned from 80 examples", series)
    return {
        **{name: noisy[name] for name in _PARALLEL_EXPECT},
        "weakest_over_strongest_learned": learned["weakest_over_strongest"],
        "theory_error": (noisy["theory_error"] + learned["theory_error"]) / 2,
    }, dict(series)


@paper.claim(
    "At strong dilution the signals of all patterns are raised with the same strength, even without any noise.",
    expect=_PARALLEL_EXPECT,
    reported={"weakest_over_strongest": Reported("the same strength", where="abstract")},
    why="Without noise a neuron filled in two patterns follows the stronger one, however small its lead, so "
    "strengths still differ by about (K − 1)(1 − d) of the strongest: they become equal only as d → 1. The "
    "self-consistency equations say the same, and that a temperature (or noise of the data set) of about 1 − d "
    "is enough to make them equal.",
)
def parallel_regime_without_noise(trial: Trial) -> tuple[dict[str, float], dict[str, list[Any]]]:
    """The same dilutions and the same start at temperature 0, with the patterns themselves stored."""
    series: dict[str, list[Any]] = defaultdict(list)
    measures = _strong_dilution(trial, 0.0, 0, "temperature 0", series)
    return {name: measures[name] for name in _PARALLEL_EXPECT}, dict(series)


@parallel_regime.figure
@parallel_regime_without_noise.figure
def draw_parallel(axes: Axes, table: pd.DataFrame) -> None:
    """Overlaps over rank as a share of the largest possible one."""
    table = table[(table["patterns"] == 5) & (table["dilution"] == 0.9)]
    axes.plot(range(1, 6), 0.9 ** np.arange(5), "--", color="tab:gray", label="hierarchical law")
    for colour, marker, (noise, rows) in zip(COLOURS, MARKERS, table.groupby("noise"), strict=False):
        mean = rows.groupby("pattern")["theory"].mean()
        axes.plot(mean.index, mean, color=colour, label=f"theory, {noise}")
        _points(axes, rows, "pattern", "share", colour, marker, "simulation")
    axes.set(xlabel="pattern, strongest first", ylabel="overlap / (1 − dilution)", ylim=(0, 1.05))
    axes.set_xticks(range(1, 6))
    axes.legend(fontsize=9, loc="lower left")


@paper.claim(
    "The number of examples needed for learning is the same with a teacher and without, and it is the theory's.",
    expect={
        "unsupervised_over_supervised": within(0.1, of=1.0),
        "supervised_over_theory": within(0.15, of=1.0),
        "unsupervised_over_theory": within(0.15, of=1.0),
    },
    reported={"unsupervised_over_supervised": Reported("the same, whatever the training protocol", where="abstract")},
)
def same_threshold(trial: Trial) -> tuple[dict[str, float], dict[str, list[Any]]]:
    """Curves of recall over the number of examples, from nested sets of examples shared by both protocols."""
    dim, draws = trial.pick(smoke=256, laptop=8192, full=65_536), trial.pick(smoke=1, laptop=2, full=5)
    quality, level, patterns = trial.pick(smoke=0.6, laptop=0.2, full=0.1), 0.9, 3
    generator = trial.generator("threshold")
    series: dict[str, list[Any]] = defaultdict(list)
    ratios: dict[str, list[float]] = defaultdict(list)
    networks = ((0.2, 0.0), (0.2, 0.1), (0.8, 0.0), (0.8, 0.1))
    for dilution, temperature in trial.pick(smoke=networks[::2], laptop=networks, full=networks):
        threshold = learning_threshold(quality, patterns, dilution, temperature=temperature, level=level)
        points = trial.pick(smoke=3, laptop=9, full=13)
        counts = np.unique(np.geomspace(threshold / 3, threshold * 3, points).round().astype(int)).tolist()
        curves = {True: np.zeros(len(counts)), False: np.zeros(len(counts))}
        for _ in range(draws):
            truth = diluted_patterns(patterns, dim, dilution, generator=generator)
            examples = noisy_examples(truth, counts[-1], quality, generator=generator)
            start = hierarchical_state(truth, generator=generator).expand(2, -1)
            stored = _relax(MultitaskingMemory().store(truth), start, temperature, truth, generator)
            for place, count in enumerate(counts):
                for teacher, curve in curves.items():
                    memory = MultitaskingMemory().learn(examples[:, :count], quality=quality, teacher=teacher)
                    learned = _relax(memory, start, temperature, truth, generator)
                    curve[place] += relative_signal(learned, stored).item() / draws
        crossings = {teacher: _crossing(counts, curve, level) for teacher, curve in curves.items()}
        ratios["unsupervised_over_supervised"].append(crossings[False] / crossings[True])
        ratios["supervised_over_theory"].append(crossings[True] / threshold)
        ratios["unsupervised_over_theory"].append(crossings[False] / threshold)
        reference = solve_overlaps(patterns, dilution, temperature).overlaps
        for place, count in enumerate(counts):
            entropy = dataset_entropy(quality, count)
            expected = solve_overlaps(patterns, dilution, temperature, entropy=entropy).overlaps
            series["dilution"].append(dilution)
            series["temperature"].append(temperature)
            series["examples"].append(count)
            series["supervised"].append(curves[True][place])
            series["unsupervised"].append(curves[False][place])
            series["theory"].append(relative_signal(expected, reference).item())
    return {name: float(np.mean(values)) for name, values in ratios.items()}, dict(series)


@same_threshold.figure
def draw_threshold(axes: Axes, table: pd.DataFrame) -> None:
    """Strength of recall over the number of examples, teacher or not, beside the theory."""
    table = table[table["temperature"] == 0]
    for colour, (dilution, rows) in zip(COLOURS, table.groupby("dilution"), strict=False):
        mean = rows.groupby("examples")["theory"].mean()
        axes.plot(mean.index, mean, color=colour, label=f"theory, dilution {dilution:g}")
        _points(axes, rows, "examples", "supervised", colour, "o", "with a teacher")
        _points(axes, rows, "examples", "unsupervised", colour, "x", "without")
    axes.axhline(0.9, color="tab:gray", linestyle=":", label="threshold")
    axes.set(xlabel="examples of each pattern", ylabel="recall, relative to stored patterns", xscale="log")
    axes.set_xticks((30, 50, 100, 200), labels=("30", "50", "100", "200"))
    axes.tick_params(axis="x", which="minor", labelbottom=False)
    axes.legend(fontsize=9)


@paper.claim(
    "When the cost falls, the squared-error losses of several patterns fall with it, all at once.",
    expect={
        "identity_residual": below(1e-9),  # |cost − cost from the losses| over |cost|, in float64
        "all_losses_fall": above(0.9),  # share of noiseless runs that end with a lower loss on every true pattern
        "correlation_with_true_loss": above(0.95),  # cost of the examples against loss on patterns never seen
    },
    reported={"all_losses_fall": Reported("the same happens to the loss", where="abstract")},
)
def cost_and_loss(trial: Trial) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Random states relax under the cost of patterns, of class averages, and of single examples."""
    dim, runs = trial.pick(smoke=256, laptop=8192, full=65_536), trial.pick(smoke=4, laptop=20, full=50)
    count, quality, patterns, dilution, sweeps = trial.pick(smoke=5, laptop=150, full=600), 0.2, 3, 0.4, 25
    generator = trial.generator("cost")
    truth = diluted_patterns(patterns, dim, dilution, generator=generator, dtype=torch.float64)
    examples = noisy_examples(truth, count, quality, generator=generator)
    memories = {
        "stored": MultitaskingMemory().store(truth),
        "with a teacher": MultitaskingMemory().learn(examples, quality=quality),
        "without": MultitaskingMemory().learn(examples, quality=quality, teacher=False),
    }
    start = _random_states(runs, dim, truth, generator)
    series: dict[str, list[Any]] = defaultdict(list)
    residuals, correlations, fallen = [], [], 0
    for protocol, memory in memories.items():
        states, costs, losses = start, [], []
        for sweep in range(sweeps + 1):
            states = states if sweep == 0 else memory.sweep(states, temperature=0.0)
            costs.append(memory.energy(states) / dim)
            losses.append(loss_product(*squared_error_losses(states, truth)))
        from_losses = memory.cost_from_losses(*_literal_losses(memory, states[:1]))
        residuals.append(((from_losses / memory.energy(states[:1])) - 1).abs().max().item())
        cost, loss = torch.stack(costs), torch.stack(losses)
        correlations.append(np.corrcoef(cost.flatten().cpu(), loss.sum(-1).flatten().cpu())[0, 1])
        fallen += int((loss[-1] < loss[0]).all(-1).sum())
        for sweep in range(sweeps + 1):
            ordered = loss[sweep].gather(-1, loss[-1].argsort(-1)).mean(0)
            series["protocol"].append(protocol)
            series["sweep"].append(sweep)
            series["cost"].append(cost[sweep].mean().item())
            for number in range(patterns):
                series[f"loss_{number + 1}"].append(ordered[number].item())
    return {
        "identity_residual": max(residuals),
        "all_losses_fall": Proportion(fallen, runs * len(memories)),
        "correlation_with_true_loss": float(np.mean(correlations[1:])),
    }, dict(series)


@cost_and_loss.figure
def draw_losses(axes: Axes, table: pd.DataFrame) -> None:
    """Losses on the true patterns and the cost along the descent of a network that saw single examples only."""
    rows = table[table["protocol"] == "without"]
    for number, (colour, marker) in enumerate(zip(COLOURS[:3], MARKERS, strict=False), start=1):
        label = f"loss on pattern {number}, strongest first" if number == 1 else f"loss on pattern {number}"
        _points(axes, rows, "sweep", f"loss_{number}", colour, marker, label)
    cost = rows.groupby("sweep")["cost"].mean()
    axes.plot(cost.index, cost, color="black", label="cost a neuron")
    axes.set(xlabel="sweeps over all neurons", ylabel="loss or cost")
    axes.legend(fontsize=9)


@paper.claim(
    "Recalling one pattern alone does not minimise the cost of a network with blanks, unless it is hot enough.",
    expect={
        "cost_drop_over_theory": within(0.1, of=1.0),  # noiseless descent from the pure state, against d² + d⁴ + …
        "cost_drop_over_dense_network": above(0.0),  # the same, less that of an ordinary Hopfield network
        "second_overlap_cold": above(0.1),  # at half the temperature of the pure state, over 1 − d
        "second_overlap_warm": below(0.05),  # at one and a half times that temperature
    },
    reported={"cost_drop_over_dense_network": Reported("not accomplished by standard networks", where="abstract")},
)
def pure_states(trial: Trial) -> tuple[dict[str, float], dict[str, list[Any]]]:
    """Start on one pattern, with coins where it is blank, and see whether a second one joins."""
    dim, draws = trial.pick(smoke=256, laptop=16_384, full=131_072), trial.pick(smoke=1, laptop=4, full=10)
    sweeps, patterns, dilution = trial.pick(smoke=6, laptop=80, full=200), 2, 0.3
    generator = trial.generator("pure")

    def drop(share: float) -> float:
        total = 0.0
        for _ in range(draws):
            truth = diluted_patterns(patterns, dim, share, generator=generator)
            memory = MultitaskingMemory().store(truth)
            pure = hierarchical_state(truth[:1], generator=generator)[None]
            relaxed, _ = memory.evolve(pure, sweeps, temperature=0.0)
            total += (memory.energy(relaxed) / memory.energy(pure) - 1).item() / draws
        return total

    border = pure_state_temperature(dilution)
    series: dict[str, list[Any]] = defaultdict(list)
    for factor in (0.1, 0.3, 0.5, 0.7, 0.9, 1.1, 1.3, 1.5):
        temperature, second = factor * border, 0.0
        for _ in range(draws):
            truth = diluted_patterns(patterns, dim, dilution, generator=generator)
            start = hierarchical_state(truth[:1], generator=generator).expand(2, -1)
            memory = MultitaskingMemory().store(truth)
            _, trace = memory.evolve(start, sweeps, temperature=temperature, generator=generator)
            second += trace[sweeps // 2 :, :, 1].mean(0).abs().mean().item() / draws / (1 - dilution)
        series["temperature"].append(temperature)
        series["border"].append(border)
        series["second"].append(second)
        series["theory"].append(solve_overlaps(2, dilution, temperature).overlaps[1].item() / (1 - dilution))
    expected = dilution**2  # two patterns: the hierarchy's Σ m² is (1 − d)² (1 + d²)
    diluted_drop = drop(dilution)
    return {
        "cost_drop_over_theory": diluted_drop / expected,
        "cost_drop_over_dense_network": diluted_drop - drop(0.0),
        "second_overlap_cold": series["second"][2],
        "second_overlap_warm": series["second"][-1],
    }, dict(series)


@pure_states.figure
def draw_pure(axes: Axes, table: pd.DataFrame) -> None:
    """Strength of the second pattern over temperature, with the border of the pure state."""
    mean = table.groupby("temperature").mean(numeric_only=True)
    axes.plot(mean.index, mean["theory"], color="tab:blue", label="theory")
    _points(axes, table, "temperature", "second", "tab:blue", "o", "simulation")
    axes.axvline(mean["border"].iloc[0], color="tab:gray", linestyle="--", label="pure state stable to the right")
    axes.set(xlabel="temperature, in units of the critical one", ylabel="second overlap / (1 − dilution)")
    axes.legend(fontsize=9)


def _mean_overlaps(
    trial: Trial,
    generator: torch.Generator,
    patterns: int,
    dim: int,
    dilution: float,
    temperature: float,
    draws: int,
    sweeps: int,
) -> Float[Tensor, " patterns"]:
    """Strengths of recall, strongest first, averaged over time, replicas and draws of the patterns."""
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


def _strong_dilution(
    trial: Trial, temperature: float, examples: int, noise: str, series: dict[str, list[Any]]
) -> dict[str, float]:
    """Relax from the hierarchy at strong dilution; patterns keep the order of that start."""
    dim, draws = trial.pick(smoke=512, laptop=16_384, full=131_072), trial.pick(smoke=1, laptop=6, full=10)
    sweeps, quality = trial.pick(smoke=6, laptop=60, full=200), trial.pick(smoke=0.8, laptop=0.2, full=0.2)
    generator = trial.generator(noise)
    ratios, errors, margins = [], [], []
    for patterns, dilution in ((3, 0.9), (5, 0.9), (3, 0.95)):
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
        solution = solve_overlaps(patterns, dilution, temperature, entropy=entropy)
        expected = solution.overlaps / (1 - dilution)
        ratios.append((shares[-1] / shares[0]).item())
        errors.append((shares / expected - 1).abs().mean().item())
        hierarchy = hierarchical_overlaps(patterns, dilution) / (1 - dilution)
        margins.append(((shares - hierarchy).abs().mean() - (shares - shares.mean()).abs().mean()).item())
        for number in range(patterns):
            series["noise"].append(noise)
            series["patterns"].append(patterns)
            series["dilution"].append(dilution)
            series["pattern"].append(number + 1)
            series["share"].append(shares[number].item())
            series["theory"].append(expected[number].item())
    return {
        "weakest_over_strongest": float(np.mean(ratios)),
        "closer_than_hierarchy": float(np.mean(margins)),
        "theory_error": float(np.mean(errors)),
    }


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


def _crossing(counts: list[int], curve: Float[np.ndarray, " counts"], level: float) -> float:
    """Number of examples at which a curve first reaches the level, between two points on a logarithmic axis."""
    reached = np.flatnonzero(curve >= level)
    if not reached.size:
        return float(counts[-1])
    after = max(int(reached[0]), 1)
    share = (level - curve[after - 1]) / (curve[after] - curve[after - 1])
    low, high = np.log(counts[after - 1]), np.log(counts[after])
    return float(np.exp(low + np.clip(share, 0, 1) * (high - low)))


def _random_states(
    count: int, dim: int, like: Float[Tensor, "patterns dim"], generator: torch.Generator
) -> Float[Tensor, "count dim"]:
    heads = torch.rand(count, dim, generator=generator, device=like.device) < 0.5
    return torch.where(heads, 1.0, -1.0).to(like.dtype)


def _literal_losses(
    memory: MultitaskingMemory, states: Float[Tensor, "batch dim"]
) -> tuple[Float[Tensor, "batch features"], Float[Tensor, "batch features"]]:
    """Squared errors as they are written, neuron by neuron, so that the identity is not checked against itself."""
    pairs = states[:, None], memory.features[None]
    minus, plus = (pairs[1] - pairs[0]).square().mean(-1), (pairs[1] + pairs[0]).square().mean(-1)
    return minus / 2, plus / 2


def _points(
    axes: Axes,
    rows: pd.DataFrame,
    x: str,
    y: str,
    colour: str,
    marker: str,
    label: str,
    face: str | None = None,
) -> None:
    """Mean over seeds with the standard deviation between them."""
    groups = rows.groupby(x)[y]
    mean, spread = groups.mean(), groups.std().fillna(0.0)
    axes.errorbar(
        mean.index, mean, yerr=spread, linestyle="none", color=colour, marker=marker, label=label, capsize=2,
        markerfacecolor=face or colour,
    )  # fmt: skip
