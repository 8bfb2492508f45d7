"""Superposed Episodic and Semantic Memory via Sparse Distributed Representation (Rinkus and Leveille 2017).

Similar inputs get similar codes, one presentation stores, times do not grow, sequences are kept in context, digits are
classified.
"""

import copy
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.stats import spearmanr
from torch import Tensor
from torch.nn import functional

from replica.lab.claims import Integer, LogUniform, Paper, Proportion, Reported, Trial, Uniform, above, below, within
from replica.lab.claims.drawing import draw_spread
from replica.data import digits, mnist
from replica.memory import FamiliarityRamp, LabelField, SparseyLayer, SparseyMemory, SparseyNetwork
from replica.memory.sparsey import intersection

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Result = tuple[dict[str, float | Proportion], dict[str, list[Any]]]

paper = Paper(
    "sparsey",
    departures=(
        "The paper's text beyond its abstract could not be consulted. The arithmetic of the code selection algorithm follows "
        "the form of Rinkus 2014; the numbers in its ramp (floor, midpoint, steepness, expansion) were not at hand and are "
        "ours, set on seeds that are not judged.",
        "Weights are 0 or 1 and do not decay; macrocolumns count no competing hypotheses and do not back off between versions "
        "of the familiarity.",
        "Support is normalised by the number of active inputs, not by a fixed least number.",
        "A macrocolumn whose critical period is over is coded without noise, and its codes are still joined to labels.",
        "MNIST: at laptop scale images are drawn from the 10,000 of its test part (the 60,000 training images were not at "
        "hand): 2,000 to store and 1,000 others to test. The digits' 20 × 20 box is scaled to 24 × 16, binarised and "
        "thinned by the method of Zhang and Suen, in place of ImageJ's. The layout of the authors' macrocolumns was not at "
        "hand: ours are 24 with fields of 7 × 7 pixels, found by trying several layouts on seeds that are not judged.",
        "The entry for recall stores ±1 patterns as pairs of on and off inputs and has a high floor of familiarity: exact recall "
        "is best where codes share little.",
        "The figure of 91 % on MNIST is the authors' own, from their results page; the paper's abstract gives none.",
        "Times are read from the clock, so theirs are the only numbers here that differ from one run to the next.",
        "Ramps, sizes of memories and what the similarity is averaged over were settled on seeds that are not judged, with the "
        "bounds kept.",
        "The Weizmann videos were not at hand: sequences are the white-noise frames of the authors' capacity study (12 × 12 "
        "pixels, 9 to 12 active, 10 frames, 9 modules of 16 units), whose table of results was not at hand.",
    ),
)

# Unrelated sparse inputs share little: what supports a unit beyond four fifths has been seen.
SPARSE_RAMP = FamiliarityRamp(floor=0.3, midpoint=0.8, steepness=30.0, expansion=1.0)


@paper.entry(
    "recall",
    name="sparsey",
    space={
        "modules": Integer(8, 32),
        "units": Integer(64, 2048),
        "floor": Uniform(0.5, 0.99),
        "midpoint": Uniform(0.8, 1.0),
        "expansion": LogUniform(0.1, 100.0),
    },
    values=("binary",),
)
def sparsey(
    trial: Trial,
    modules: int = 8,
    units: int = 2048,
    floor: float = 0.97,
    midpoint: float = 0.99,
    expansion: float = 1.0,
) -> SparseyMemory:
    """One macrocolumn over pairs of on and off inputs; the reverse weights give the pattern back."""
    ramp = FamiliarityRamp(floor=floor, midpoint=midpoint, expansion=expansion, steepness=60.0)
    return SparseyMemory(modules, units, ramp=ramp, generator=trial.generator("codes"))


def sparse_patterns(count: int, inputs: int, active: int, generator: torch.Generator) -> Float[Tensor, "count inputs"]:
    """Random patterns of 0 and 1 with the same number of active inputs."""
    order = torch.rand(count, inputs, generator=generator, device=generator.device).argsort(1)
    return torch.zeros(count, inputs, device=generator.device).scatter_(1, order[:, :active], 1.0)


def moved(
    patterns: Float[Tensor, "... inputs"], changes: int, generator: torch.Generator
) -> Float[Tensor, "... inputs"]:
    """Patterns in which so many active inputs fall silent, and as many silent ones become active."""
    chance = torch.rand(patterns.shape, generator=generator, device=patterns.device)
    off = (chance + 2 * (patterns == 0)).topk(changes, dim=-1, largest=False).indices
    on = (chance + 2 * (patterns == 1)).topk(changes, dim=-1, largest=False).indices
    return patterns.scatter(-1, off, 0.0).scatter(-1, on, 1.0)


# --- Similar inputs, similar codes


@paper.claim(
    "More similar inputs are mapped to more highly intersecting codes, because noise falls with familiarity.",
    expect={
        "rank_correlation": above(0.9),
        "gain_over_constant_noise": above(0.0),
        "gain_over_constant_noise_digits": above(0.0),
        "deviation_from_theory": below(0.02),
    },
    reported={"rank_correlation": Reported("input similarity maps to intersection", where="abstract")},
)
def similarity_preserved(trial: Trial) -> Result:
    """Codes of new inputs that share 0 to 100 % of their active inputs with a stored one.

    `rank_correlation`: Spearman's, between 11 degrees of similarity and the mean intersection with the stored code over
    the items stored. `gain`: minus the same with the familiarity taken as 0 throughout; `digits`: of the correlation over all
    pairs of images that were stored one after the other. `deviation_from_theory`: with one item stored, from the closed
    form, the largest over the degrees.
    """
    inputs, active, modules, units = 400, 40, *trial.pick(smoke=(6, 8), laptop=(20, 32), full=(70, 20))
    items, repeats = trial.pick(smoke=(3, 20), laptop=(20, 2000), full=(50, 10000))
    steps = np.linspace(0, 1, 11).tolist()
    rows: dict[str, list[Any]] = {name: [] for name in ("kind", "similarity", "intersection")}
    generator = trial.generator("patterns")
    items_stored = sparse_patterns(items, inputs, active, generator)
    correlation = {}
    for kind, assumed in (("familiarity", None), ("constant noise", 0.0)):
        layer = SparseyLayer(inputs, modules, units).to(trial.device)
        noise = trial.generator(f"noise-{kind}")
        stored = layer.store(items_stored, assumed_familiarity=assumed, generator=noise)
        shared = []
        for step in steps:
            cues = moved(items_stored, round(active * (1 - step)), generator)
            found = layer.draw(cues, assumed_familiarity=assumed, generator=noise)
            shared.append(float(intersection(found.winners, stored.winners).mean()))
            _append(rows, kind=f"{items} stored, {kind}", similarity=step, intersection=shared[-1])
        correlation[kind] = _spearman(steps, shared)
    ramp = FamiliarityRamp()
    deviation = 0.0
    for step in steps:
        layer = SparseyLayer(inputs, modules, units).to(trial.device)
        stored = layer.store(items_stored[:1], generator=generator)
        cues = moved(items_stored[:1].repeat(repeats, 1), round(active * (1 - step)), generator)
        found = float(intersection(layer.draw(cues, generator=generator).winners, stored.winners).double().mean())  # type: ignore[assignment]
        theory = float(ramp.expected_intersection(torch.tensor(step), units))
        deviation = max(deviation, abs(found - theory))  # type: ignore[operator]
        _append(rows, kind="1 stored", similarity=step, intersection=found)
        _append(rows, kind="theory", similarity=step, intersection=theory)
    measures: dict[str, float | Proportion] = {
        "rank_correlation": correlation["familiarity"],
        "gain_over_constant_noise": correlation["familiarity"] - correlation["constant noise"],
        "gain_over_constant_noise_digits": digit_correlation(trial, None) - digit_correlation(trial, 0.0),
        "deviation_from_theory": deviation,
    }
    return measures, rows


def digit_correlation(trial: Trial, assumed_familiarity: float | None) -> float:
    """Spearman's correlation of the overlap of images and that of their codes, over all pairs of images stored."""
    count = trial.pick(smoke=20, laptop=200, full=1797)
    modules, units = trial.pick(smoke=(4, 20), laptop=(20, 100), full=(70, 200))
    chosen = trial.rng("digits").permutation(1797)[:count]
    images = torch.from_numpy(digits().values[chosen] > 0.5).flatten(1).float().to(trial.device)
    layer = SparseyLayer(images.shape[1], modules, units, ramp=SPARSE_RAMP).to(trial.device)
    winners = layer.store(
        images, assumed_familiarity=assumed_familiarity, generator=trial.generator("digit-codes")
    ).winners
    first, second = np.triu_indices(count, 1)
    sizes = images.sum(1)
    overlap = (images @ images.T / (sizes[:, None] * sizes[None]).sqrt()).cpu().numpy()
    codes = layer.one_hot(winners)
    return _spearman(overlap[first, second], (codes @ codes.T).cpu().numpy()[first, second])


def _spearman(one: Any, other: Any) -> float:
    value = float(spearmanr(one, other).statistic)
    return 0.0 if np.isnan(value) else value  # one side is constant: there is no order to agree with


def _append(rows: dict[str, list[Any]], **values: Any) -> None:
    for name, value in values.items():
        rows[name].append(value)


@similarity_preserved.figure
def draw_similarity(axes: "Axes", table: "pd.DataFrame") -> None:
    """Intersection of codes over similarity of inputs."""
    theory = table[table["kind"] == "theory"].groupby("similarity")["intersection"].mean()
    axes.plot(theory.index, theory.to_numpy(), color="gray", linewidth=1, label="theory, 1 stored")
    kinds = [kind for kind in dict.fromkeys(table["kind"]) if kind != "theory"]
    looks = (("tab:blue", "o"), ("tab:orange", "s"), ("tab:green", "^"))
    for index, (kind, (colour, marker)) in enumerate(zip(kinds, looks, strict=True)):
        part = table[table["kind"] == kind]
        draw_spread(
            axes,
            part,
            "similarity",
            "intersection",
            shift=0.008 * (index - 1),
            color=colour,
            marker=marker,
            markersize=5,
            label=kind,
        )
    axes.set(
        xlabel="active inputs shared with a stored input", ylabel="modules shared with its code", ylim=(-0.03, 1.03)
    )
    axes.legend()


# --- One presentation is enough


@paper.claim(
    "A single presentation stores an input for good: its code comes back, also from a damaged input, as that of the best match.",
    expect={"code_restored": above(0.95), "best_match": above(0.95), "earliest_restored": above(0.95)},
    reported={"code_restored": Reported("single-trial learning of permanent traces", where="abstract")},
)
def single_trial(trial: Trial) -> Result:
    """Random patterns of 20 active inputs in 400, each stored once; then shown again, or with a quarter of them moved.

    `code_restored`: mean share of modules whose winner comes back for the pattern itself, with all patterns stored;
    `earliest_restored`: for the first tenth of them. `best_match`: share of the damaged cues whose code is nearest to the
    stored code of the pattern that is nearest to the cue, found by comparing with every pattern.
    """
    modules, units = trial.pick(smoke=(6, 16), laptop=(20, 64), full=(70, 64))
    counts = trial.pick(smoke=(10, 20), laptop=(50, 100, 200, 400, 800), full=(50, 100, 200, 400, 800, 1600))
    judged = trial.pick(smoke=20, laptop=400, full=400)
    generator = trial.generator("patterns")
    patterns = sparse_patterns(counts[-1], 400, 20, generator)
    cues = moved(patterns, 5, generator)
    layer = SparseyLayer(400, modules, units, ramp=SPARSE_RAMP).to(trial.device)
    rows: dict[str, list[Any]] = {name: [] for name in ("stored", "restored", "damaged", "best_match")}
    measures: dict[str, float | Proportion] = {}
    codes = layer.store(patterns[:0]).winners
    for count in counts:
        new = layer.store(patterns[len(codes) : count], generator=generator)
        codes = torch.cat([codes, new.winners])
        again = intersection(layer.retrieve(patterns[:count]).winners, codes)
        found = layer.retrieve(cues[:count]).winners
        nearest = (cues[:count] @ patterns[:count].T).argmax(1)
        shared = layer.one_hot(found) @ layer.one_hot(codes).T
        right = int((shared.argmax(1) == nearest).sum())
        _append(
            rows,
            stored=count,
            restored=float(again.mean()),
            damaged=float(intersection(found, codes).mean()),
            best_match=right / count,
        )
        if count == judged:
            measures = {
                "code_restored": float(again.mean()),
                "best_match": Proportion(right, count),
                "earliest_restored": float(again[: count // 10].mean()),
            }
    return measures, rows


@single_trial.figure
def draw_single_trial(axes: "Axes", table: "pd.DataFrame") -> None:
    """What comes back over how much has been stored."""
    for column, label, colour, marker in (
        ("restored", "code, same input", "tab:blue", "o"),
        ("damaged", "code, quarter of the input moved", "tab:orange", "s"),
        ("best_match", "best match found, same cue", "tab:green", "^"),
    ):
        draw_spread(axes, table, "stored", column, color=colour, marker=marker, linestyle="-", label=label)
    axes.set_xscale("log")
    axes.set_xticks(sorted(set(table["stored"])), [f"{value:g}" for value in sorted(set(table["stored"]))])
    axes.minorticks_off()
    axes.set(xlabel="inputs stored, once each", ylabel="share of modules, or of cues", ylim=(-0.03, 1.03))
    axes.legend()


# --- Fixed time


@paper.claim(
    "The time to store an input and the time to retrieve one do not grow with the number of inputs stored.",
    expect={
        "store_slope": within(0.1, of=0.0),
        "retrieve_slope": within(0.1, of=0.0),
        "restored_at_most": above(0.95),
        "nearest_neighbour_slope": above(0.3),
    },
    reported={
        "store_slope": Reported("0: fixed time for the life of the model", where="Rinkus 2014, abstract"),
        "retrieve_slope": Reported("0: fixed time for the life of the model", where="Rinkus 2014, abstract"),
    },
)
def fixed_time(trial: Trial) -> Result:
    """Three memories of one size with 100, 1,000 and 10,000 inputs stored, timed in turn on one input at a time.

    Slopes are those of the logarithm of the median time over that of the number stored; 1 is proportional growth.
    `restored_at_most`: mean share of modules whose winner comes back with the most stored, so that the constant time is that
    of a memory that works. The contrast compares the input with every stored one.
    """
    counts = trial.pick(smoke=(5, 20, 50), laptop=(100, 1000, 10_000), full=(100, 1000, 10_000, 30_000))
    inputs, modules, units = trial.pick(smoke=(200, 8, 20), laptop=(1000, 20, 400), full=(1000, 20, 1000))
    rounds = trial.pick(smoke=3, laptop=60, full=200)
    ramp = FamiliarityRamp(floor=0.5, midpoint=0.85, steepness=40.0, expansion=1.0)
    generator = trial.generator("patterns")
    patterns = sparse_patterns(counts[-1] + rounds, inputs, 20, generator)
    layer = SparseyLayer(inputs, modules, units, ramp=ramp).to(trial.device)
    memories, done = [], 0
    codes = []
    for count in counts:
        codes.append(layer.store(patterns[done:count], generator=generator).winners)
        memories.append(copy.deepcopy(layer))
        done = count
    kept = torch.cat(codes)
    probes = torch.from_numpy(trial.rng("probes").permutation(counts[-1])[:500]).to(trial.device)
    restored = float(intersection(memories[-1].retrieve(patterns[probes]).winners, kept[probes]).mean())

    work = {
        "store": lambda index, new: memories[index].store(new, generator=generator),
        "retrieve": lambda index, new: memories[index].retrieve(new),
        "nearest neighbour": lambda index, new: (patterns[: counts[index]] @ new[0]).argmax(),
    }
    medians: dict[str, list[float]] = {}
    for name, call in work.items():
        taken: list[list[float]] = [[] for _ in counts]
        for step in range(rounds + 2):  # two rounds to warm up
            new = patterns[done + max(step - 2, 0)][None]
            for turn in range(len(counts)):  # each memory comes first as often as any other
                index = (step + turn) % len(counts)
                taken[index].append(_seconds(trial, partial(call, index, new)))
        medians[name] = [statistics.median(values[2:]) for values in taken]
    rows: dict[str, list[Any]] = {name: [] for name in ("work", "stored", "seconds")}
    slopes = {}
    for name, times in medians.items():
        slopes[name] = float(np.polyfit(np.log(counts), np.log(times), 1)[0])
        for count, seconds in zip(counts, times, strict=True):
            _append(rows, work=name, stored=count, seconds=seconds)
    measures: dict[str, float | Proportion] = {
        "store_slope": slopes["store"],
        "retrieve_slope": slopes["retrieve"],
        "restored_at_most": restored,
        "nearest_neighbour_slope": slopes["nearest neighbour"],
    }
    return measures, rows


def _seconds(trial: Trial, work: Callable[[], object]) -> float:
    """Seconds that it takes; 1 at smoke scale, whose numbers must repeat, as no clock's do."""
    start = time.perf_counter()
    work()
    if trial.device.type == "cuda":
        torch.cuda.synchronize(trial.device)
    return 1.0 if trial.scale == "smoke" else time.perf_counter() - start


@fixed_time.figure
def draw_fixed_time(axes: "Axes", table: "pd.DataFrame") -> None:
    """Median time over the number stored."""
    for name, colour, marker in (
        ("store", "tab:blue", "o"),
        ("retrieve", "tab:green", "^"),
        ("nearest neighbour", "tab:orange", "s"),
    ):
        part = table[table["work"] == name]
        draw_spread(axes, part, "stored", "seconds", scale=1e3, color=colour, marker=marker, linestyle="-", label=name)
    axes.set(xscale="log", yscale="log", xlabel="inputs stored", ylabel="median time for one input / ms")
    axes.legend()


# --- Sequences


def random_sequences(count: int, length: int, generator: torch.Generator) -> Float[Tensor, "count time inputs"]:
    """White-noise frames of 12 × 12 pixels with 9 to 12 active each."""
    device = generator.device
    active = torch.randint(9, 13, (count, length, 1), generator=generator, device=device)
    rank = torch.rand(count, length, 144, generator=generator, device=device).argsort(-1).argsort(-1)
    return (rank < active).float()


@paper.claim(
    "Sequences shown once are recognised frame by frame, even with a pixel moved in every frame, and can be replayed from "
    "their first frame.",
    expect={
        "recognised": above(0.95),
        "recognised_noisy": above(0.9),
        "gain_of_context": above(0.0),
        "replayed": above(0.95),
    },
    reported={
        "recognised": Reported("single-trial learning of sequences", where="abstract"),
        "recognised_noisy": Reported("best-match retrieval despite noise", where="authors' storage capacity study 2"),
    },
)
def sequences(trial: Trial) -> Result:
    """Sequences of 10 frames in one macrocolumn of 9 modules with 16 units, the size of the authors' study.

    `recognised`: mean share of modules whose winner comes back, 20 sequences stored; `noisy`: one active pixel of every
    frame moved. `gain_of_context`: of the noisy ones, minus what the same macrocolumn without lateral weights reaches.
    `replayed`: share of frames after the first that are given back exactly, 5 sequences stored.
    """
    counts = trial.pick(smoke=(2, 4), laptop=(5, 10, 15, 20, 30), full=(5, 10, 15, 20, 30, 40))
    judged, replay_at = trial.pick(smoke=(4, 2), laptop=(20, 5), full=(20, 5))
    length = trial.pick(smoke=4, laptop=10, full=10)
    generator = trial.generator("frames")
    frames = random_sequences(counts[-1], length, generator)
    damaged = moved(frames, 1, generator)
    rows: dict[str, list[Any]] = {name: [] for name in ("stored", "recognised", "noisy", "no_context", "replayed")}
    measures: dict[str, float | Proportion] = {}
    networks = {
        lateral: SparseyNetwork([SparseyLayer(144, 9, 16, lateral=lateral, ramp=SPARSE_RAMP)]).to(trial.device)
        for lateral in (True, False)
    }
    codes: dict[bool, list[Tensor]] = {True: [], False: []}
    done = 0
    for count in counts:
        share = {}
        for lateral, network in networks.items():
            noise = trial.generator(f"noise-{lateral}-{count}")
            codes[lateral].append(network.store(frames[done:count], generator=noise).winners[0])
            kept = torch.cat(codes[lateral]).flatten(0, 1)
            for name, shown in (("same", frames), ("noisy", damaged)):
                found = network.recognise(shown[:count]).winners[0].flatten(0, 1)
                share[name, lateral] = float(intersection(found, kept).mean())
        done = count
        # A pixel belongs to a frame where every winner calls for it.
        replay = networks[True].generate(frames[:count, :1], length)[:, 1:] > 0.999
        exact = (replay == (frames[:count, 1:] == 1)).all(-1)
        _append(
            rows,
            stored=count,
            recognised=share["same", True],
            noisy=share["noisy", True],
            no_context=share["noisy", False],
            replayed=float(exact.float().mean()),
        )
        if count == judged:
            measures |= {
                "recognised": share["same", True],
                "recognised_noisy": share["noisy", True],
                "gain_of_context": share["noisy", True] - share["noisy", False],
            }
        if count == replay_at:
            measures["replayed"] = float(exact.float().mean())
    return measures, rows


@sequences.figure
def draw_sequences(axes: "Axes", table: "pd.DataFrame") -> None:
    """What is recognised and replayed over how many sequences are stored."""
    for column, label, colour, marker in (
        ("recognised", "recognised", "tab:blue", "o"),
        ("noisy", "recognised, a pixel moved", "tab:green", "^"),
        ("no_context", "the same without lateral weights", "tab:orange", "s"),
        ("replayed", "replayed exactly from frame 1", "tab:purple", "D"),
    ):
        draw_spread(axes, table, "stored", column, color=colour, marker=marker, linestyle="-", label=label)
    axes.set(xlabel="sequences of 10 frames stored", ylabel="share of modules, or of frames", ylim=(-0.03, 1.03))
    axes.legend(loc="lower left")


# --- Handwritten digits


def skeletons(images: Bool[Tensor, "count height width"]) -> Bool[Tensor, "count height width"]:
    """Strokes thinned to lines of one pixel that keep their connections (Zhang and Suen 1984), all images at once."""
    strokes = functional.pad(images, (1, 1, 1, 1))
    steps = ((1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1))  # from north, clockwise
    while True:
        before = strokes
        for first in (True, False):
            around = [strokes.roll(step, (1, 2)) for step in steps]
            neighbours = torch.stack(around).sum(0)
            crossings = sum((~around[i] & around[(i + 1) % 8]).int() for i in range(8))
            north, _, east, _, south, _, west, _ = around
            open_side = (
                ~(north & east & south) & ~(east & south & west)
                if first
                else ~(north & east & west) & ~(north & south & west)
            )
            strokes = strokes & ~((neighbours >= 2) & (neighbours <= 6) & (crossings == 1) & open_side)
        if torch.equal(strokes, before):
            return strokes[:, 1:-1, 1:-1]


def digit_skeletons(values: Float[Tensor, "count height width"]) -> Float[Tensor, "count pixels"]:
    """Digits scaled to 24 × 16 pixels, binarised and thinned."""
    scaled = functional.interpolate(values[:, None], size=(24, 16), mode="bilinear")[:, 0]
    return skeletons(scaled > 0.4).flatten(1).float()


def tiles(height: int, width: int, side: int, stride: int) -> Tensor:
    """Pixels of all square fields of an image, shape (fields, side²)."""
    pixel = torch.arange(height * width).view(1, 1, height, width).float()
    return functional.unfold(pixel, side, stride=stride)[0].T.long()


def learn(layer: SparseyLayer, field: LabelField, pixels: Tensor, labels: Tensor, generator: torch.Generator) -> None:
    """Show each image with its label once."""
    codes = layer.store(pixels, generator=generator)
    field.store(layer.one_hot(codes.winners), labels)


@paper.claim(
    "Trained in minutes on one processor core by showing each digit once, it classifies MNIST at about 91 %.",
    expect={"accuracy": above(0.88), "learning_seconds": below(220.0)},
    reported={
        "accuracy": Reported(0.91, where="authors' results page (sparsey.com, MNIST), 200 training images a class"),
        "learning_seconds": Reported("220 on one thread", where="authors' results page; abstract: minutes on one CPU"),
    },
    why=(
        "0.856 of the images are classified right, the authors say 0.91. The layout of their macrocolumns, their scaling of the "
        "images and their thinning are not at hand. On our skeletons the nearest stored image by cosine is right on 0.78 to "
        "0.82, so that the input limits the result."
    ),
)
def classification(trial: Trial) -> Result:
    """200 images a class shown once with their labels, 100 others a class for the test.

    The bound allows three points below the paper's figure. Beside it, the nearest of the stored skeletons (largest cosine).
    """
    images = digits() if trial.scale == "smoke" else mnist("train" if trial.scale == "full" else "test")
    values, labels = (torch.from_numpy(np.asarray(part)).to(trial.device) for part in (images.values, images.labels))
    if values.shape[-1] == 28:
        values = values[:, 4:24, 4:24]
    shown = trial.pick(smoke=(2, 4), laptop=(25, 50, 100, 200), full=(25, 50, 100, 200, 800))
    modules, units = trial.pick(smoke=(2, 16), laptop=(12, 240), full=(16, 480))
    judged = trial.pick(smoke=4, laptop=200, full=200)
    held_out = trial.pick(smoke=4, laptop=100, full=100)
    order = torch.from_numpy(trial.rng("split").permutation(len(labels))).to(trial.device)
    by_class = [order[labels[order] == c] for c in range(10)]
    test = torch.cat([rows[:held_out] for rows in by_class])
    train = torch.stack([rows[held_out : held_out + shown[-1]] for rows in by_class], dim=1)  # a row: one of each class
    used = torch.cat([test, train.flatten()])
    pixels, labels = digit_skeletons(values[used]), labels[used]
    # From here on, rows of what is used: the test first.
    test, train = (
        part.to(trial.device) for part in (torch.arange(len(test)), torch.arange(train.numel()).view(train.shape))
    )
    train = train + len(test)
    layer = SparseyLayer(
        pixels.shape[1],
        modules,
        units,
        receptive_fields=tiles(24, 16, 7, 3),
        saturation=0.06,
        ramp=FamiliarityRamp(floor=0.5, midpoint=0.9, steepness=60.0, expansion=1.0),
    ).to(trial.device)
    field = LabelField(layer.code_size, 10).to(trial.device)
    rows: dict[str, list[Any]] = {name: [] for name in ("shown", "accuracy", "nearest", "learned")}
    measures: dict[str, float | Proportion] = {}
    generator, seconds, done = trial.generator("noise"), 0.0, 0
    for count in shown:
        new = train[done:count].flatten()
        seconds += _seconds(trial, partial(learn, layer, field, pixels[new], labels[new], generator))
        done = count
        guess = torch.cat([field(layer(pixels[part])).argmax(1) for part in test.split(250)])
        right = int((guess == labels[test]).sum())
        seen = train[:count].flatten()
        cosine = pixels[test] @ functional.normalize(pixels[seen]).T
        nearest = float((labels[seen][cosine.argmax(1)] == labels[test]).double().mean())
        _append(
            rows,
            shown=count,
            accuracy=right / len(test),
            nearest=nearest,
            learned=float(layer.saturated.double().mean()),
        )
        if count == judged:
            measures = {"accuracy": Proportion(right, len(test)), "learning_seconds": seconds}
    return measures, rows


@classification.figure
def draw_classification(axes: "Axes", table: "pd.DataFrame") -> None:
    """Accuracy over the number of images shown."""
    for column, label, colour, marker in (
        ("accuracy", "Sparsey, each image once", "tab:blue", "o"),
        ("nearest", "nearest stored skeleton", "tab:orange", "s"),
    ):
        draw_spread(axes, table, "shown", column, scale=100, color=colour, marker=marker, linestyle="-", label=label)
    axes.plot([200], [91], "*", color="black", markersize=10, label="authors' figure")
    axes.set_xscale("log")
    axes.set_xticks(sorted(set(table["shown"])), [f"{value:g}" for value in sorted(set(table["shown"]))])
    axes.minorticks_off()
    axes.set(xlabel="training images a class", ylabel="accuracy on other images / %")
    axes.legend(loc="lower right")
