"""Replica symmetry breaking in dense neural networks (Albanese, Alemanno, Alessandrelli and Barra 2021)."""

import math

import numpy as np
import torch

from replica.lab.claims import Paper, Trial
from replica.lab.studies import dots, lines
from replica.memory.broken_phase_boundaries import glass_temperature, one_step_retrieval_branch
from replica.memory.broken_replica_symmetry import one_step_broken
from replica.memory.parallel_tempering import (
    energies_of_all_states,
    gaussian_couplings,
    hebbian_couplings,
    parallel_tempering,
)
from replica.memory.replica_symmetric import replica_symmetric, retrieval_limit

paper = Paper("dense_rsb")


def capacities(trial):
    """The load where the retrieval state ends at T = 0, in theory."""
    start, tolerance = trial.pick(smoke=(0.985, 0.1), laptop=(0.9, 1e-7), full=(0.9, 1e-8))
    rows = []
    for order in trial.pick(smoke=(2,), laptop=(2, 3, 4, 6), full=(2, 3, 4, 5, 6, 8)):
        symmetric = float(retrieval_limit(order))
        branch = one_step_retrieval_branch(order, start=start, tolerance=tolerance)
        # Last digits of a solver depend on where the processor finds its numbers; these do not.
        one_step = round(float(branch.load[-1]), 7)
        rows.append({"order": order, "symmetric": symmetric, "one_step": one_step, "gain": one_step / symmetric - 1})
    return rows


@paper.claim(
    capacities, figure=dots("order", "gain", xlabel="order P", ylabel="capacity gained by breaking", percent=True)
)
def breaking_raises_capacity(table):
    pairs = table[table["order"] == 2].iloc[0]
    return {
        "smallest_relative_gain": table["gain"].min(),
        "symmetric_order_2": pairs["symmetric"],
        "one_step_order_2": pairs["one_step"],
    }


def unit_load(order: int) -> float:
    """Load at which a glass of this order has the usual normalisation J = 1, c = 1/2."""
    return order / (2 * math.factorial(order - 1))


def glass_phases(trial):
    """Both theories of the glass, temperatures in units of where it ends; for P > 2 one curve holds for all loads (J = 1)."""
    rows = []
    for order in trial.pick(smoke=(3,), laptop=(2, 3, 4, 6), full=(2, 3, 4, 5, 6, 8)):
        for load in (0.2, 0.6, 2.0) if order == 2 else (unit_load(order),):
            ends = glass_temperature(order, load)
            relative = np.linspace(0.0, 0.97, trial.pick(smoke=2, laptop=11, full=40))
            theories = {
                "replica-symmetric": replica_symmetric(order, load, relative * ends, phase="spin glass"),
                "one-step broken": one_step_broken(order, load, relative * ends, phase="spin glass", stride=0.15),
            }
            rows += [
                {"order": order, "load": load, "ends": ends, "temperature": t, "theory": name,
                 "entropy": entropy, "free_energy": free}
                for name, found in theories.items()
                for t, entropy, free in zip(relative, found.entropy, found.free_energy, strict=True)  # type: ignore[attr-defined]
            ]  # fmt: skip
    return rows


def draw_entropy(axes, table):
    """Entropy of the glass of P = 3; below zero is impossible for a real system."""
    draw = lines(
        "temperature", "entropy", "theory", xlabel="temperature / glass temperature", ylabel="entropy a neuron, P = 3"
    )
    draw(axes, table[table["order"] == 3])


@paper.claim(glass_phases, figure=draw_entropy)
def glass(table):
    cold = table[table["temperature"] == 0].pivot(
        index=["order", "load"], columns="theory", values=["entropy", "free_energy"]
    )
    symmetric, broken = cold.xs("replica-symmetric", axis=1, level=1), cold.xs("one-step broken", axis=1, level=1)
    return {
        "smallest_rise_of_free_energy": (broken["free_energy"] - symmetric["free_energy"]).min(),
        "smallest_rise_of_entropy": (1 - broken["entropy"] / symmetric["entropy"]).min(),
        "lowest_entropy_left": broken["entropy"].min(),
        "transition_order_3": table.loc[table["order"] == 3, "ends"].iloc[0],
    }


def random_patterns(trial: Trial, samples: int, count: int, dim: int, name: str) -> torch.Tensor:
    """Unbiased patterns of ±1, (samples, count, dim)."""
    draw = torch.randint(0, 2, (samples, count, dim), generator=trial.generator(name), device=trial.device)
    return draw.float() * 2 - 1


def glass_energies(trial):
    """Hebbian networks at load 16 (P = 2) and 6 (P = 3), from a fifth of the glass temperature of hard spins on."""
    sweeps, burn_in = trial.pick(smoke=(6, 2), laptop=(240, 120), full=(20_000, 10_000))
    plan = {
        2: (16.0, trial.pick(smoke=((8, 4), (12, 4)), laptop=((32, 128), (96, 48)), full=((64, 500), (256, 200)))),
        3: (6.0, trial.pick(smoke=((8, 4), (12, 4)), laptop=((16, 256), (32, 96)), full=((32, 500), (96, 100)))),
    }
    rows = []
    for order, (load, sizes) in plan.items():
        ends = glass_temperature(order, load, couplings="gaussian")
        t = ends * np.geomspace(0.2, 1.4, 10)
        symmetric = replica_symmetric(order, load, t[0], phase="spin glass").energy
        one_step = round(float(one_step_broken(order, load, t[0], phase="spin glass", stride=0.2).energy), 8)
        for dim, samples in sizes:
            count = round(load * math.perm(dim - 1, order - 1))
            patterns = random_patterns(trial, samples, count, dim, f"patterns-{order}-{dim}")
            energies = parallel_tempering(
                hebbian_couplings(patterns, order), order, dim, torch.from_numpy(t), sweeps,
                burn_in=burn_in, generator=trial.generator(f"noise-{order}-{dim}"),
            ).energy.mean(0)  # fmt: skip
            rows += [
                {"order": order, "temperature": temperature / ends, "size": dim, "energy": energy,
                 "symmetric": symmetric, "one_step": one_step}
                for temperature, energy in zip(t, energies, strict=True)
            ]  # fmt: skip
    return rows


def draw_energies(axes, table):
    """Energies at the lowest temperature over size, beside the one-step theory of infinite size."""
    draw = lines("size", "energy", "order", theory="one_step", xlabel="neurons N", ylabel="energy a neuron", log="x")
    draw(axes, table[table["temperature"] == table["temperature"].min()])


@paper.claim(glass_energies, figure=draw_energies)
def tempering(table):
    measures = {}
    for order, rows in table[table["temperature"] == table["temperature"].min()].groupby("order"):
        # Energies of P-spin glasses go to their limit as these do (Boettcher 2025).
        x, y = (
            (rows["size"] ** (-2 / 3) if order == 2 else np.log(rows["size"]) / rows["size"]).to_numpy(),
            rows["energy"].to_numpy(),
        )
        limit = (y[1] * x[0] - y[0] * x[1]) / (x[0] - x[1])
        one_step, symmetric = rows["one_step"].iloc[0], rows["symmetric"].iloc[0]
        measures[f"relative_deviation_order_{order}"] = (limit - one_step) / abs(one_step)
        measures[f"gain_order_{order}"] = (abs(limit - symmetric) - abs(limit - one_step)) / abs(one_step)
        measures[f"energy_order_{order}"] = limit
    return measures


def soft_glass_pressure(noise: float, confinement: float) -> float:
    """Replica-symmetric pressure of the Gaussian spin glass: ½ ln s + ½ b² p s + ¼ b² p², s = 1/(1 − λ + b² p), p = b² p s².

    (b: `noise`, λ: `confinement`.) The overlap p is solved for here, on its own: s = 1/b where p > 0.
    """
    if 1 - confinement >= noise:
        return -0.5 * math.log(1 - confinement)
    width = 1 / noise
    overlap = (noise - (1 - confinement)) / noise**2
    return 0.5 * math.log(width) + 0.5 * noise**2 * overlap * width + 0.25 * noise**2 * overlap**2


def hard_and_soft(trial):
    """Errors of Hopfield = SK(b₁) + α Gaussian(b₂, β) − b₁²/4, b₁ = β√α/(1−C), b₂ = 1 − C, at drawn points; and gaps by size.

    Gaps: the pressure of networks with patterns less that of hard glasses with couplings of the same variance, summed over all
    states, in units of the interactions' pressure β²c/2 of the latter, at β²c = 0.045.
    """
    rng = trial.rng("points")
    points = trial.pick(smoke=2, laptop=20, full=200)
    loads, temperatures = rng.uniform(0.05, 2.0, points), rng.uniform(0.2, 1.5, points)
    hopfield = replica_symmetric(2, loads, temperatures, phase="spin glass")
    beta, soft_noise = 1 / temperatures, 1 - hopfield.susceptibility.numpy()
    hard = beta * np.sqrt(loads) / soft_noise
    sk = replica_symmetric(2, 1.0, 1 / hard, phase="spin glass", couplings="gaussian")
    # Pressures: with the diagonal of the Hebbian matrix, αβ/2, which the network of different neurons leaves out.
    whole = -beta * hopfield.free_energy.numpy() + loads * beta / 2
    soft = np.array([soft_glass_pressure(*point) for point in zip(soft_noise, beta, strict=True)])
    parts = -hard * sk.free_energy.numpy() + loads * soft - hard**2 / 4
    rows = [{"order": 2, "error": error} for error in np.abs(whole - parts)]
    # Samples by size: small networks differ more from sample to sample, and cost less.
    plan = trial.pick(
        smoke={2: {6: 4, 8: 4}, 4: {6: 4, 8: 4}},
        laptop={2: {10: 4096, 12: 1024, 14: 256, 16: 64}, 4: {14: 64, 16: 32, 18: 16, 20: 16}},
        full={2: {10: 32768, 12: 8192, 16: 512, 20: 32}, 4: {16: 512, 18: 128, 20: 64, 22: 32}},
    )
    rows += [
        {"order": order, "size": dim, "gap": pressure_gap(trial, order, dim, samples)}
        for order, sizes in plan.items()
        for dim, samples in sizes.items()
    ]
    return rows


SOFT_LOAD, SOFT_STRENGTH = 1.0, 0.045  # load of pairs, and β²c


def pressure_gap(trial: Trial, order: int, dim: int, samples: int) -> float:
    """Pressure of networks less that of hard glasses, a mean over samples, as a share of the interactions' pressure."""
    load = SOFT_LOAD if order == 2 else unit_load(order)
    strength = load * math.factorial(order - 1) / order
    inverse = math.sqrt(SOFT_STRENGTH / strength)
    count = round(load * math.perm(dim - 1, order - 1))
    drawn = count / math.perm(dim - 1, order - 1)
    patterns = random_patterns(trial, samples, count, dim, f"patterns-{order}-{dim}")
    generator = trial.generator(f"couplings-{order}-{dim}")
    networks = (
        hebbian_couplings(patterns, order).double(),
        gaussian_couplings(order, dim, drawn, samples, generator=generator),
    )
    pressures = []
    for couplings in networks:
        energies = energies_of_all_states(couplings.to(trial.device), order, dim)
        pressure = torch.logsumexp(-inverse * energies, 1) / dim - math.log(2.0)
        # To first order a sample's pressure is its β²ΣJ²/2N, whose mean is known: less noise, same mean.
        own = inverse**2 * couplings.square().sum(1) / (2 * dim)
        known = inverse**2 * drawn * math.factorial(order - 1) / order / 2
        pressures.append(float((pressure - own.to(pressure)).mean()) + known)
    return (pressures[0] - pressures[1]) / (SOFT_STRENGTH / 2)


@paper.claim(
    hard_and_soft,
    figure=lines("size", "gap", "order", xlabel="neurons N", ylabel="pressure beyond the hard glass", log="x"),
)
def decomposition(table):
    sums = table.dropna(subset=["gap"])
    limits = {order: np.polyfit(1 / rows["size"], rows["gap"], 1)[1] for order, rows in sums.groupby("order")}
    beta = math.sqrt(SOFT_STRENGTH / (SOFT_LOAD / 2))
    expected = (-math.log(1 - beta) / 2 - beta / 2 - beta**2 / 4) / (beta**2 / 4) * SOFT_LOAD
    return {
        "gap_order_4": limits[4],
        "gap_order_2": limits[2],
        "deviation_of_gap_order_2": limits[2] - expected,
        "largest_error_of_decomposition": table["error"].max(),
    }
