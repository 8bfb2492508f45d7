"""Replica symmetry breaking in dense neural networks (Albanese, Alemanno, Alessandrelli and Barra 2021)."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.optimize import brentq

from replica.lab.claims import Paper, Reported, Trial, above, below, within
from replica.lab.claims.drawing import draw_spread
from replica.memory.broken_replica_symmetry import glass_temperature, one_step_broken, one_step_retrieval_branch
from replica.memory.dense_hebbian import DenseHebbianMemory
from replica.memory.parallel_tempering import (
    energies_of_all_states,
    gaussian_couplings,
    hebbian_couplings,
    parallel_tempering,
)
from replica.memory.replica_symmetric import replica_symmetric, retrieval_limit

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

paper = Paper(
    "dense_rsb",
    departures=(
        "Of the paper's text its title and abstract were at hand: the replica-symmetric and one-step equations are derived "
        "anew, in units where the field at a stored pattern has size 1 and the load is K / N^(P−1), and checked against "
        "the literature on P = 2 and on P-spin glasses.",
        "Figures that the paper may give for P > 2 could not be looked up; reported figures are the abstract's sentences and, "
        "where named, the literature that it builds on.",
        "The proofs (transport equation, Guerra's interpolation) have no counterpart here: what is tested is what they prove.",
        "One-step breaking of retrieval states is followed at T = 0, down to loads where it is too weak to be resolved; lines "
        "of the phase diagram are replica-symmetric for P = 2 and for retrieval, one-step-broken for the glass of P > 2.",
        "Monte Carlo has at most 96 neurons (glass) and 1,500 (retrieval) at laptop scale and is extrapolated or compared with "
        "a tolerance; P = 4 is summed exactly at up to 16 neurons. After a first look on other seeds, with bounds kept, loads "
        "of the glasses were raised from 1 and 0.75 to 16 and 6, where Hebbian couplings come nearer to their limit at these "
        "sizes, and their energies extrapolated in ln N / N in place of 1 / N at P = 3.",
        "Also changed after looks on seeds that are not judged, with the bounds' numbers kept: sizes and sweeps of the "
        "tempering; its deviations and the gap of P = 2 are judged with their sign, so that they average over seeds; the "
        "decomposition's temperature (β² times its load from 0.18 to 0.045) and number of samples; probes of retrieval from 16 "
        "to 64.",
    ),
)

Result = tuple[dict[str, Any], dict[str, list[Any]]]

STYLES = {
    2: ("tab:orange", "s", "-"),
    3: ("tab:green", "^", "--"),
    4: ("tab:blue", "o", "-."),
    6: ("tab:purple", "D", ":"),
}


# --- Capacity


@paper.claim(
    "At zero temperature pairs retrieve up to a load of 0.138 in replica symmetry and 0.144 with one step of breaking, and "
    "breaking raises the capacity at every order.",
    expect={
        "symmetric_order_2": within(0.002, of=0.138),
        "one_step_order_2": within(0.003, of=0.144),
        "smallest_relative_gain": above(0.0),
    },
    reported={
        "symmetric_order_2": Reported(0.138, where="Amit, Gutfreund and Sompolinsky 1985"),
        "one_step_order_2": Reported(
            0.144, where="Crisanti, Amit and Gutfreund 1986; 0.138186 in Steffan and Kühn 1994"
        ),
    },
    why=(
        "With one step of breaking pairs retrieve up to 0.138186, and no further: the 0.144 of 1986 is not a solution of "
        "the one-step equations. Steffan and Kühn found the same in 1994, to six digits. Breaking raises the capacity by "
        "0.2 % at P = 2, and by 22, 16 and 12 % at P = 3, 4 and 6."
    ),
)
def capacity(trial: Trial) -> Result:
    """The load where the retrieval state ends. The theory has no randomness: the seed draws where the solver starts."""
    orders = trial.pick(smoke=(2,), laptop=(2, 3, 4, 6), full=(2, 3, 4, 5, 6, 8))
    start, tolerance = trial.pick(smoke=(0.985, 0.1), laptop=(0.9, 1e-7), full=(0.9, 1e-8))
    rows: dict[str, list[Any]] = {"order": [], "relative_load": [], "magnetization": []}
    measures, gains = {}, []
    for order in orders:
        symmetric = float(retrieval_limit(order))
        branch = one_step_retrieval_branch(
            order, start=start + 0.01 * float(trial.rng(f"start-{order}").uniform()), tolerance=tolerance
        )
        # Last digits of a solver depend on where the processor finds its numbers; these do not.
        one_step = round(float(branch.load[-1]), 7)
        gains.append(one_step / symmetric - 1)
        measures[f"symmetric_order_{order}"] = symmetric
        measures[f"one_step_order_{order}"] = one_step
        for load, m in zip(branch.load.tolist(), branch.magnetization.tolist(), strict=True):
            rows["order"].append(order)
            rows["relative_load"].append(round(load / symmetric, 6))
            rows["magnetization"].append(round(m, 6))
    return {**measures, "smallest_relative_gain": min(gains)}, rows


@capacity.figure
def draw_capacity(axes: "Axes", table: "pd.DataFrame") -> None:
    """Retrieval overlap over load in units of the replica-symmetric capacity, up to where each branch ends."""
    for order in sorted(set(table["order"])):
        colour, marker, _ = STYLES.get(int(order), ("black", "x", "-"))
        part = table[table["order"] == order].sort_values("relative_load")
        axes.plot(part["relative_load"], part["magnetization"], color=colour, linewidth=1.5)
        end = part.iloc[[-1]]
        axes.plot(
            end["relative_load"],
            end["magnetization"],
            marker,
            color=colour,
            markersize=7,
            label=f"P = {order:.0f} ends",
        )
        load = np.append(np.linspace(0.85, 0.999, 12), 1.0 - 1e-5) * float(retrieval_limit(int(order)))
        symmetric = replica_symmetric(int(order), load, tolerance=1e-6)
        axes.plot(load / float(retrieval_limit(int(order))), symmetric.magnetization, "--", color=colour, linewidth=1)
    axes.axvline(1.0, color="gray", linewidth=1)
    axes.plot([], [], color="black", linewidth=1.5, label="one-step broken")
    axes.plot([], [], "--", color="black", linewidth=1, label="replica-symmetric")
    axes.set(xlabel="load / replica-symmetric capacity", ylabel="overlap m with the pattern, T = 0")
    axes.legend(loc="lower left", fontsize=9)


# --- The glass


def unit_load(order: int) -> float:
    """Load at which a glass of this order has the usual normalisation J = 1, c = 1/2."""
    return order / (2 * math.factorial(order - 1))


@paper.claim(
    "Breaking replica symmetry stabilises the spin-glass phase: at every order the free energy rises and the entropy, "
    "negative in replica symmetry, comes close to zero.",
    expect={
        "smallest_rise_of_free_energy": above(0.0),
        "smallest_rise_of_entropy": above(0.0),
        "transition_order_3": within(0.005, of=0.651),
    },
    reported={
        "smallest_rise_of_free_energy": Reported("breaking lowers the pressure −f/T", where="Guerra's bound"),
        "smallest_rise_of_entropy": Reported("RSB stabilizes the spin-glass phase", where="abstract"),
        "transition_order_3": Reported(0.651, where="literature on the Ising 3-spin glass"),
    },
)
def glass(trial: Trial) -> Result:
    """Glass phases of the dense network (P = 2: drawn loads from 0.2 to 2; P > 2: one curve holds for all loads, J = 1).

    The rises are those at T = 0, the smallest of all orders and loads; the entropy's as a share of what is missing.
    """
    orders = trial.pick(smoke=(3,), laptop=(2, 3, 4, 6), full=(2, 3, 4, 5, 6, 8))
    points = trial.pick(smoke=2, laptop=11, full=40)
    loads = trial.rng("loads").uniform(0.2, 2.0, trial.pick(smoke=1, laptop=2, full=10))
    rows: dict[str, list[Any]] = {name: [] for name in ("order", "temperature", "symmetric", "one_step", "load")}
    free, entropy, left, ends_at = [], [], [], {}
    for order in orders:
        for load in loads if order == 2 else (unit_load(order),):
            ends = ends_at[order] = glass_temperature(order, load)
            t = np.linspace(0.0, 0.97, points) * ends
            symmetric = replica_symmetric(order, load, t, phase="spin glass")
            broken = one_step_broken(order, load, t, phase="spin glass", stride=0.15)
            free.append(float(broken.free_energy[0] - symmetric.free_energy[0]))
            entropy.append(float(1 - broken.entropy[0] / symmetric.entropy[0]))
            left.append(float(broken.entropy[0]))
            for k in range(points):
                rows["order"].append(order)
                rows["temperature"].append(t[k] / ends)
                rows["symmetric"].append(float(symmetric.entropy[k]))
                rows["one_step"].append(float(broken.entropy[k]))
                rows["load"].append(load)
    return {
        "smallest_rise_of_free_energy": min(free),
        "smallest_rise_of_entropy": min(entropy),
        "lowest_entropy_left": min(left),
        "transition_order_3": ends_at[3],
    }, rows


@glass.figure
def draw_glass(axes: "Axes", table: "pd.DataFrame") -> None:
    """Entropy of the glass over temperature; below zero is impossible for a real system."""
    first = table[table["seed"] == table["seed"].min()]
    for order in sorted(set(first["order"])):
        colour, marker, _ = STYLES.get(int(order), ("black", "x", "-"))
        part = first[first["order"] == order]
        part = part[part["load"] == part["load"].iloc[0]]
        axes.plot(part["temperature"], part["symmetric"], "--", color=colour, linewidth=1.2)
        axes.plot(
            part["temperature"],
            part["one_step"],
            "-",
            color=colour,
            marker=marker,
            markersize=5,
            label=f"P = {order:.0f}",
        )
    axes.axhline(0.0, color="gray", linewidth=1)
    axes.plot([], [], "-", color="black", label="one-step broken")
    axes.plot([], [], "--", color="black", linewidth=1.2, label="replica-symmetric")
    axes.set(xlabel="temperature / glass temperature", ylabel="entropy per neuron of the glass")
    axes.legend(fontsize=9)


# --- Monte Carlo


def random_patterns(trial: Trial, samples: int, count: int, dim: int, name: str) -> torch.Tensor:
    """Unbiased patterns of ±1, (samples, count, dim)."""
    draw = torch.randint(0, 2, (samples, count, dim), generator=trial.generator(name), device=trial.device)
    return draw.float() * 2 - 1


def finite_size(order: int, dim: Any) -> Any:
    """What the energy of a glass of N spins differs by from its limit, up to a factor."""
    return dim ** (-2 / 3) if order == 2 else np.log(dim) / dim


@paper.claim(
    "Energies of dense networks far above capacity, by parallel tempering, are those of one-step breaking, not of replica "
    "symmetry.",
    expect={
        "relative_deviation_order_2": within(0.02, of=0.0),
        "relative_deviation_order_3": within(0.02, of=0.0),
        "gain_order_2": above(0.0),
        "gain_order_3": above(0.0),
    },
    reported={
        "gain_order_2": Reported("RSB lowers the error of the ground state", where="theory of P = 2 and P-spin glasses")
    },
    why=(
        "For pairs energies agree to 0.04 %. At P = 3 the extrapolation from at most 96 neurons lies 1.1 % above theory, "
        "with an interval that reaches past the bound of 2 %; replica symmetry is off by 20 %."
    ),
)
def tempering(trial: Trial) -> Result:
    """Hebbian networks at load 16 (P = 2) and 6 (P = 3), at a fifth of the glass temperature of hard spins.

    Energies at two sizes are extrapolated as those of P-spin glasses are: in N^(−2/3) for P = 2, in ln N / N for P = 3
    (Boettcher 2025). Gain: error of the replica-symmetric energy less that of the one-step energy, as shares of the
    latter.
    """
    sweeps, burn_in = trial.pick(smoke=(6, 2), laptop=(240, 120), full=(20_000, 10_000))
    plan = {
        2: (16.0, trial.pick(smoke=((8, 4), (12, 4)), laptop=((32, 128), (96, 48)), full=((64, 500), (256, 200)))),
        3: (6.0, trial.pick(smoke=((8, 4), (12, 4)), laptop=((16, 256), (32, 96)), full=((32, 500), (96, 100)))),
    }
    rows: dict[str, list[Any]] = {
        name: [] for name in ("order", "temperature", "size", "energy", "symmetric", "one_step")
    }
    measures = {}
    for order, (load, sizes) in plan.items():
        ends = glass_temperature(order, load, couplings="gaussian")
        t = ends * np.geomspace(0.2, 1.4, 10)
        symmetric = replica_symmetric(order, load, t[0], phase="spin glass").energy
        one_step = round(float(one_step_broken(order, load, t[0], phase="spin glass", stride=0.2).energy), 8)
        found = []
        for dim, samples in sizes:
            count = round(load * math.perm(dim - 1, order - 1))
            patterns = random_patterns(trial, samples, count, dim, f"patterns-{order}-{dim}")
            measured = parallel_tempering(
                hebbian_couplings(patterns, order), order, dim, torch.from_numpy(t), sweeps,
                burn_in=burn_in, generator=trial.generator(f"noise-{order}-{dim}"),
            ).energy.mean(0).tolist()  # fmt: skip
            found.append(float(measured[0]))
            for k in range(len(t)):
                for name, value in zip(
                    rows, (order, t[k] / ends, dim, measured[k], float(symmetric), float(one_step)), strict=True
                ):
                    rows[name].append(value)
        x = [finite_size(order, dim) for dim, _ in sizes]
        limit = (found[1] * x[0] - found[0] * x[1]) / (x[0] - x[1])
        scale = abs(float(one_step))
        measures[f"relative_deviation_order_{order}"] = (limit - float(one_step)) / scale
        measures[f"gain_order_{order}"] = (abs(limit - float(symmetric)) - abs(limit - float(one_step))) / scale
        measures[f"energy_order_{order}"] = limit
    return measures, rows


@tempering.figure
def draw_tempering(axes: "Axes", table: "pd.DataFrame") -> None:
    """Energy at the lowest temperature over size, with both theories at infinite size."""
    for order in sorted(set(table["order"])):
        colour, marker, _ = STYLES[int(order)]
        part = table[(table["order"] == order) & (table["temperature"] < 0.201)].copy()
        part["x"] = finite_size(int(order), part["size"])
        part[["energy", "symmetric", "one_step"]] /= part["one_step"].abs().iloc[0]
        draw_spread(
            axes, part, "x", "energy", color=colour, marker=marker, markersize=6, label=f"simulated, P = {order:.0f}"
        )
        mean = part.groupby("x")["energy"].mean()
        slope = (mean.iloc[1] - mean.iloc[0]) / (mean.index[1] - mean.index[0])
        axes.plot([0, mean.index[1]], [mean.iloc[0] - slope * mean.index[0], mean.iloc[1]], color=colour, linewidth=1)
        for name, style in (("one_step", "-"), ("symmetric", ":")):
            axes.plot([-0.008, 0.008], [part[name].iloc[0]] * 2, style, color=colour, linewidth=2.5)
    axes.plot([], [], "-", color="black", linewidth=2.5, label="one-step theory")
    axes.plot([], [], ":", color="black", linewidth=2.5, label="replica-symmetric theory")
    axes.set(xlabel=r"$N^{-2/3}$ (P = 2), $\ln N\,/N$ (P = 3)", ylabel="energy / one-step energy")
    axes.legend(fontsize=9)


@paper.claim(
    "In the retrieval phase simulated overlaps and energies are those of the theory.",
    expect={"largest_deviation_of_overlap": below(0.02), "largest_deviation_of_energy": below(0.02)},
    reported={"largest_deviation_of_overlap": Reported("equal, for N → ∞", where="theory")},
)
def retrieval(trial: Trial) -> Result:
    """Half the capacity and three temperatures for each order; the theory is replica-symmetric, stable at these points."""
    plan = {
        2: (trial.pick(smoke=100, laptop=1500, full=8000), (0.1, 0.3, 0.4)),
        3: (trial.pick(smoke=24, laptop=250, full=500), (0.1, 0.2, 0.3)),
        4: (trial.pick(smoke=12, laptop=80, full=150), (0.1, 0.2, 0.25)),
    }
    sweeps, burn_in = trial.pick(smoke=(3, 1), laptop=(20, 8), full=(200, 50))
    names = ("order", "temperature", "predicted", "measured", "predicted_energy", "measured_energy")
    rows: dict[str, list[Any]] = {name: [] for name in names}
    for order, (dim, temperatures) in plan.items():
        load = float(retrieval_limit(order)) / 2
        theory = replica_symmetric(order, load, temperatures, tolerance=1e-8)
        patterns = random_patterns(
            trial, 1, max(2, round(load * math.perm(dim - 1, order - 1))), dim, f"patterns-{order}"
        )[0]
        memory = DenseHebbianMemory(order)
        memory.store(patterns)
        probes = patterns[:64].repeat(len(temperatures), 1)
        beta = (1 / torch.tensor(temperatures)).to(probes).repeat_interleave(len(probes) // len(temperatures))
        drawn = memory.sample(
            probes, beta, sweeps, burn_in=burn_in, block=max(1, dim // 50), generator=trial.generator(f"noise-{order}")
        )
        overlap = (drawn.mean * probes).mean(1).reshape(len(temperatures), -1).mean(1)
        energy = (memory.energy(drawn.spins) / dim).reshape(len(temperatures), -1).mean(1)
        for k, t in enumerate(temperatures):
            values = (
                order,
                t,
                float(theory.magnetization[k]),
                float(overlap[k]),
                float(theory.energy[k]),
                float(energy[k]),
            )
            for name, value in zip(names, values, strict=True):
                rows[name].append(value)
    return {
        "largest_deviation_of_overlap": float(np.abs(np.subtract(rows["predicted"], rows["measured"])).max()),
        "largest_deviation_of_energy": float(
            np.abs(np.subtract(rows["predicted_energy"], rows["measured_energy"])).max()
        ),
    }, rows


@retrieval.figure
def draw_retrieval(axes: "Axes", table: "pd.DataFrame") -> None:
    """Simulated over predicted: overlaps (filled) and minus the energies (open)."""
    for order in sorted(set(table["order"])):
        colour, marker, _ = STYLES[int(order)]
        part = table[table["order"] == order]
        style: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 7}
        draw_spread(axes, part, "predicted", "measured", label=f"overlap, P = {order:.0f}", **style)
        part = part.assign(x=-part["predicted_energy"], y=-part["measured_energy"])
        draw_spread(axes, part, "x", "y", markerfacecolor="white", label=f"−energy, P = {order:.0f}", **style)
    axes.plot([0, 1], [0, 1], color="gray", linewidth=1, label="equal")
    axes.set(xlabel="predicted", ylabel="simulated", xlim=(0, 1.02), ylim=(0, 1.02))
    axes.legend(fontsize=9)


# --- What glass it is


def soft_glass_pressure(noise: float, confinement: float) -> float:
    """Replica-symmetric pressure of the Gaussian spin glass: ½ ln s + ½ b² p s + ¼ b² p², s = 1/(1 − λ + b² p), p = b² p s².

    (b: `noise`, λ: `confinement`.) The overlap p is solved for here, on its own: s = 1/b where p > 0.
    """
    if 1 - confinement >= noise:
        return -0.5 * math.log(1 - confinement)
    width = 1 / noise
    overlap = (noise - (1 - confinement)) / noise**2
    return 0.5 * math.log(width) + 0.5 * noise**2 * overlap * width + 0.25 * noise**2 * overlap**2


@paper.claim(
    "Pairs are a hard and a soft spin glass in one; of dense networks only the hard one is left.",
    expect={
        "largest_error_of_decomposition": below(1e-6),
        "gap_order_2": above(0.05),
        "deviation_of_gap_order_2": within(0.05, of=0.0),
        "gap_order_4": within(0.05, of=0.0),
    },
    reported={
        "largest_error_of_decomposition": Reported(0.0, where="abstract: known for P = 2, replica symmetry"),
        "gap_order_4": Reported(0.0, where="abstract: solely the hard spin glass survives"),
    },
    why=(
        "The decomposition of pairs is exact. At P = 4 the gap between the dense network and the hard glass is 0.069 with "
        "16 neurons, the most that can be summed exactly, and still falls with their number; it vanishes only in the "
        "limit."
    ),
)
def decomposition(trial: Trial) -> Result:
    """Hopfield = SK(b₁) + α Gaussian(b₂, β) − b₁²/4, with b₁ = β√α/(1−C), b₂ = 1 − C, at drawn loads and temperatures.

    Gaps: the pressure of networks with patterns less that of hard glasses with couplings of the same variance, in units
    of the interactions' pressure β²c/2 of the latter, summed over all states, at β²c = 0.045 and extrapolated
    linearly in 1/N. Its value for P = 2 in theory follows from the decomposition.
    """
    rng = trial.rng("points")
    points = trial.pick(smoke=2, laptop=20, full=200)
    loads, temperatures = rng.uniform(0.05, 2.0, points), rng.uniform(0.2, 1.5, points)
    hopfield = replica_symmetric(2, loads, temperatures, phase="spin glass")
    beta = 1 / temperatures
    hard = beta * np.sqrt(loads) / (1 - hopfield.susceptibility.numpy())
    sk = replica_symmetric(2, 1.0, 1 / hard, phase="spin glass", couplings="gaussian")
    # Pressures: with the diagonal of the Hebbian matrix, αβ/2, which the network of different neurons leaves out.
    whole = -beta * hopfield.free_energy.numpy() + loads * beta / 2
    soft = np.array(
        [soft_glass_pressure(1 - c, b) for c, b in zip(hopfield.susceptibility.tolist(), beta.tolist(), strict=True)]
    )
    parts = -hard * sk.free_energy.numpy() + loads * soft - hard**2 / 4
    measures = {"largest_error_of_decomposition": float(np.abs(whole - parts).max())}

    sizes = trial.pick(smoke=(6, 8), laptop=(10, 12, 14, 16), full=(10, 12, 14, 16, 18, 20))
    tables = trial.pick(smoke=256, laptop=2**22, full=2**25)
    rows: dict[str, list[Any]] = {"order": [], "size": [], "gap": []}
    for order, load in ((2, 1.0), (3, unit_load(3)), (4, unit_load(4))):
        strength = load * math.factorial(order - 1) / order
        inverse = math.sqrt(0.045 / strength)
        gaps = []
        for dim in sizes:
            # Small networks differ more from sample to sample, and cost less.
            samples = max(4, tables // 2**dim)
            count = round(load * math.perm(dim - 1, order - 1))
            patterns = random_patterns(trial, samples, count, dim, f"patterns-{order}-{dim}")
            both = (
                hebbian_couplings(patterns, order).double(),
                gaussian_couplings(
                    order, dim, count / math.perm(dim - 1, order - 1), samples,
                    generator=trial.generator(f"couplings-{order}-{dim}"),
                ),
            )  # fmt: skip
            pressures = []
            for couplings in both:
                energies = energies_of_all_states(couplings.to(trial.device), order, dim)
                pressure = torch.logsumexp(-inverse * energies, 1) / dim - math.log(2.0)
                # To first order a sample's pressure is its β²ΣJ²/2N, whose mean is known: less noise, same mean.
                own = inverse**2 * couplings.square().sum(1) / (2 * dim)
                known = inverse**2 * count / math.perm(dim - 1, order - 1) * math.factorial(order - 1) / order / 2
                pressures.append(float((pressure - own.to(pressure)).mean()) + known)
            gaps.append((pressures[0] - pressures[1]) / (inverse**2 * strength / 2))
            rows["order"].append(order)
            rows["size"].append(dim)
            rows["gap"].append(gaps[-1])
        measures[f"gap_order_{order}"] = float(np.polyfit(1 / np.array(sizes), gaps, 1)[1])
        if order == 2:
            expected = (-math.log(1 - inverse) / 2 - inverse / 2 - inverse**2 / 4) / (inverse**2 / 4) * load
            measures["deviation_of_gap_order_2"] = measures["gap_order_2"] - expected
    return measures, rows


@decomposition.figure
def draw_decomposition(axes: "Axes", table: "pd.DataFrame") -> None:
    """The gap over 1/N."""
    table = table.assign(x=1 / table["size"])
    for order in sorted(set(table["order"])):
        colour, marker, _ = STYLES[int(order)]
        part = table[table["order"] == order]
        draw_spread(axes, part, "x", "gap", color=colour, marker=marker, markersize=6, label=f"P = {order:.0f}")
        slope, start = np.polyfit(part["x"], part["gap"], 1)
        axes.plot([0, part["x"].max()], [start, start + slope * part["x"].max()], color=colour, linewidth=1)
    inverse = math.sqrt(0.09)
    expected = (-math.log(1 - inverse) / 2 - inverse / 2 - inverse**2 / 4) / (inverse**2 / 4)
    axes.plot(0, expected, "*", color="tab:orange", markersize=13, label="theory, P = 2", clip_on=False)
    axes.axhline(0.0, color="gray", linewidth=1)
    axes.set(xlabel="1 / neurons", ylabel="pressure beyond the hard glass\n(share of interactions)", xlim=(0, None))
    axes.legend(fontsize=9)


# --- The phases


@paper.claim(
    "Retrieval, spin glass and disorder divide load and temperature between them at every order; pairs have their patterns as "
    "ground states up to a load of about 0.05.",
    expect={"ground_state_load_order_2": within(0.002, of=0.051), "smallest_share_of_capacity": above(0.0)},
    reported={"ground_state_load_order_2": Reported(0.051, where="Amit, Gutfreund and Sompolinsky 1987")},
)
def phases(trial: Trial) -> Result:
    """Three lines for each order. Ground state: where the free energies of retrieval and glass are equal.

    `smallest_share_of_capacity`: the load up to which patterns are ground states over the one up to which they are
    states at all. The seed draws the temperatures of the lines.
    """
    orders = trial.pick(smoke=(2,), laptop=(2, 3, 4), full=(2, 3, 4, 6))
    points = trial.pick(smoke=3, laptop=9, full=40)
    rng = trial.rng("temperatures")
    rows: dict[str, list[Any]] = {name: [] for name in ("order", "line", "temperature", "relative_load")}
    measures: dict[str, Any] = {}
    shares = []
    for order in orders:
        top = float(retrieval_limit(order))
        highest = brentq(lambda t, p=order, low=0.01 * top: float(retrieval_limit(p, t)) - low, 0.1, 1.1, xtol=1e-3)
        t = np.concatenate([[0.0], np.sort(rng.uniform(0.02, 0.98, points - 2)), [0.99]]) * highest
        limit = retrieval_limit(order, t).clamp_min(1e-6 * top).numpy()
        equal = ground_state_loads(order, t, limit)
        if order == 2:
            equal[0] = frozen_ground_state_load()
        measures[f"ground_state_load_order_{order}"] = float(equal[0])
        shares.append(float(equal[0]) / top)
        loads = np.linspace(1e-3, 1.3, points) * top
        lines = {
            "retrieval": (t, limit),
            "ground state": (t, equal),
            "glass": (
                glass_temperature(order, 1.0) * np.sqrt(loads) if order > 2 else 1 + np.sqrt(loads),
                loads,
            ),
        }
        for line, (temperatures, at) in lines.items():
            for temperature, load in zip(temperatures, at, strict=True):
                for name, value in zip(rows, (order, line, float(temperature), float(load / top)), strict=True):
                    rows[name].append(value)
    return {**measures, "smallest_share_of_capacity": min(shares)}, rows


def ground_state_loads(order: int, temperatures: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Load at each temperature where retrieval and the rest have equal free energy, at most the retrieval limit."""
    shares = np.linspace(0.02, 0.99, 13)[:, None]
    load = shares * limits
    kept = replica_symmetric(order, load, temperatures, tolerance=1e-7, max_steps=500).free_energy.numpy()
    if order == 2:
        rest = replica_symmetric(order, load, temperatures, phase="spin glass", tolerance=1e-7).free_energy.numpy()
    else:
        # One curve f(T) at c = 1/2 holds for all loads: energies and temperatures scale with √load.
        grid = np.linspace(0.0, 0.66, 23)
        curve = one_step_broken(order, unit_load(order), grid, phase="spin glass").free_energy.numpy()
        scale = np.sqrt(load / unit_load(order))
        reduced = temperatures / scale
        disordered = -reduced * math.log(2) - 0.25 / np.maximum(reduced, 1e-9)
        rest = scale * np.where(reduced < grid[-1], np.interp(reduced, grid, curve), disordered)
    gap = kept - rest
    found = limits.copy()
    for k in range(len(temperatures)):
        above_zero = np.flatnonzero(gap[:, k] > 0)
        if len(above_zero) == 0:
            continue
        last = max(1, above_zero[0])
        found[k] = limits[k] * float(np.interp(0.0, gap[last - 1 : last + 1, k], shares[last - 1 : last + 1, 0]))
    return found


def frozen_ground_state_load() -> float:
    """Load at which patterns cease to be the ground states of pairs at T = 0, in replica symmetry."""

    def gap(load: float) -> float:
        kept, rest = (
            float(replica_symmetric(2, load, 0.0, phase=phase, tolerance=1e-9).free_energy)
            for phase in ("retrieval", "spin glass")
        )
        return kept - rest

    return float(brentq(gap, 0.03, 0.08, xtol=1e-6))


@phases.figure
def draw_phases(axes: "Axes", table: "pd.DataFrame") -> None:
    """Temperature over load in units of the capacity at T = 0."""
    lines = {"retrieval": "-", "ground state": "--", "glass": ":"}
    for order in sorted(set(table["order"])):
        colour, _, _ = STYLES[int(order)]
        for line, style in lines.items():
            part = table[(table["order"] == order) & (table["line"] == line)].sort_values("temperature")
            axes.plot(part["relative_load"], part["temperature"], style, color=colour, linewidth=1.6)
        axes.plot([], [], color=colour, linewidth=1.6, label=f"P = {order:.0f}")
    for line, style in lines.items():
        label = {"retrieval": "retrieval ends", "ground state": "patterns are ground states", "glass": "glass begins"}[
            line
        ]
        axes.plot([], [], style, color="black", linewidth=1.6, label=label)
    axes.set(xlabel="load / capacity at T = 0", ylabel="temperature", ylim=(0, None), xlim=(0, 1.35))
    axes.legend(fontsize=9)
