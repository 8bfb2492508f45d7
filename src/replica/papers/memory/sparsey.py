"""Superposed Episodic and Semantic Memory via Sparse Distributed Representation (Rinkus and Leveille 2017).

Similar inputs get similar codes, one presentation stores, the work for an input does not grow, digits are classified.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.stats import spearmanr
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from replica.data import digits, mnist
from replica.data.skeletons import skeletons
from replica.lab.claims import Integer, LogUniform, Paper, Proportion, Trial, Uniform
from replica.lab.studies import lines
from replica.memory import FamiliarityRamp, LabelField, SparseyLayer, SparseyMemory
from replica.memory.sparsey_codes import intersection

paper = Paper("sparsey")

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


def similarity(trial: Trial) -> list[dict[str, Any]]:
    """Codes of new inputs that share 0 to 100 % of their active inputs with a stored one: share of modules in common.

    Noise follows the familiarity, or is constant (familiarity taken as 0); with one item stored the closed form says the
    share. `correlation`: Spearman's, of the overlap of images of digits and that of their codes, over all pairs stored.
    """
    inputs, active, modules, units = 400, 40, *trial.pick(smoke=(6, 8), laptop=(20, 32), full=(70, 20))
    items, repeats = trial.pick(smoke=(3, 20), laptop=(20, 2000), full=(50, 10000))
    steps = np.linspace(0, 1, 11).tolist()
    rows: list[dict[str, Any]] = []
    generator = trial.generator("patterns")
    items_stored = sparse_patterns(items, inputs, active, generator)
    for kind, assumed in (("familiarity", None), ("constant noise", 0.0)):
        layer = SparseyLayer(inputs, modules, units).to(trial.device)
        noise = trial.generator(f"noise-{kind}")
        stored = layer.store(items_stored, assumed_familiarity=assumed, generator=noise)
        for step in steps:
            cues = moved(items_stored, round(active * (1 - step)), generator)
            found = layer.draw(cues, assumed_familiarity=assumed, generator=noise)
            shared = intersection(found.winners, stored.winners).mean()
            rows.append({"stored": f"{items}, {kind}", "similarity": step, "intersection": shared})
    for step in steps:
        layer = SparseyLayer(inputs, modules, units).to(trial.device)
        stored = layer.store(items_stored[:1], generator=generator)
        cues = moved(items_stored[:1].repeat(repeats, 1), round(active * (1 - step)), generator)
        shared = intersection(layer.draw(cues, generator=generator).winners, stored.winners).double().mean()
        theory = FamiliarityRamp().expected_intersection(torch.tensor(step), units)
        rows.append({"stored": "1, familiarity", "similarity": step, "intersection": shared, "theory": theory})
    correlations = {
        kind: digit_correlation(trial, assumed) for kind, assumed in (("familiarity", None), ("constant", 0.0))
    }
    return [*rows, *({"digits": kind, "correlation": value} for kind, value in correlations.items())]


def digit_correlation(trial: Trial, assumed_familiarity: float | None) -> float:
    """Spearman's correlation of the overlap of images and that of their codes, over all pairs of images stored."""
    count = trial.pick(smoke=20, laptop=200, full=1797)
    modules, units = trial.pick(smoke=(4, 20), laptop=(20, 100), full=(70, 200))
    chosen = trial.rng("digits").permutation(1797)[:count]
    images = torch.from_numpy(digits().values[chosen] > 0.5).flatten(1).float().to(trial.device)
    layer = SparseyLayer(images.shape[1], modules, units, ramp=SPARSE_RAMP).to(trial.device)
    noise = trial.generator("digit-codes")
    codes = layer.one_hot(layer.store(images, assumed_familiarity=assumed_familiarity, generator=noise).winners)
    pairs, sizes = np.triu_indices(count, 1), images.sum(1)
    overlap = (images @ images.T / (sizes[:, None] * sizes[None]).sqrt()).cpu().numpy()
    return rank_correlation(overlap[pairs], (codes @ codes.T).cpu().numpy()[pairs])


def rank_correlation(one: Any, other: Any) -> float:
    """Spearman's correlation; 0 where one side is constant, as there is no order to agree with."""
    return float(np.nan_to_num(spearmanr(one, other).statistic))


@paper.claim(similarity, figure=lines("similarity", "intersection", by="stored", theory="theory"))
def similarity_preserved(table):
    """Over the degrees of similarity, with many items stored; the deviation with one stored is the largest."""
    many = [
        rank_correlation(rows["similarity"], rows["intersection"])
        for kind, rows in table.groupby("stored", sort=False)
        if not kind.startswith("1,")
    ]
    on_digits = table.set_index("digits")["correlation"]
    return {
        "rank_correlation": many[0],
        "constant_noise_correlation": many[1],
        "gain_over_constant_noise": many[0] - many[1],
        "gain_over_constant_noise_digits": on_digits["familiarity"] - on_digits["constant"],
        "deviation_from_theory": (table["intersection"] - table["theory"]).abs().max(),
    }


# --- One presentation is enough


def one_presentation(trial: Trial) -> list[dict[str, Any]]:
    """Random patterns of 20 active inputs in 400, each stored once; then shown again, or with a quarter of them moved.

    The best match of a damaged cue is the pattern nearest to it among all; it is found where the code is nearest to that
    pattern's stored code.
    """
    modules, units = trial.pick(smoke=(6, 16), laptop=(20, 64), full=(70, 64))
    counts = trial.pick(smoke=(10, 20), laptop=(50, 100, 200, 400, 800), full=(50, 100, 200, 400, 800, 1600))
    generator = trial.generator("patterns")
    patterns = sparse_patterns(counts[-1], 400, 20, generator)
    cues = moved(patterns, 5, generator)
    layer = SparseyLayer(400, modules, units, ramp=SPARSE_RAMP).to(trial.device)
    codes = layer.store(patterns[:0]).winners
    rows = []
    for count in counts:
        codes = torch.cat([codes, layer.store(patterns[len(codes) : count], generator=generator).winners])
        again = intersection(layer.retrieve(patterns[:count]).winners, codes)
        shared = layer.one_hot(layer.retrieve(cues[:count]).winners) @ layer.one_hot(codes).T
        matched = int((shared.argmax(1) == (cues[:count] @ patterns[:count].T).argmax(1)).sum())
        rows += [
            {"back": "code, same input", "stored": count, "share": again.mean()},
            {"back": "code, first tenth stored", "stored": count, "share": again[: count // 10].mean()},
            {"back": "best match, quarter moved", "stored": count, "share": matched / count, "matched": matched},
        ]
    return rows


@paper.claim(one_presentation, figure=lines("stored", "share", by="back", log="x", percent=True))
def single_trial(table):
    """Shares of modules, and of cues, with 400 stored."""
    again, first, match = (rows[rows["stored"] <= 400].iloc[-1] for _, rows in table.groupby("back", sort=False))
    return {
        "code_restored": again["share"],
        "best_match": Proportion(int(match["matched"]), int(match["stored"])),
        "earliest_restored": first["share"],
    }


# --- Fixed work


class Elements(TorchDispatchMode):
    """Counts the elements of all results that operations make inside; views make none."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Run the operation and count its results."""
        out = func(*args, **(kwargs or {}))
        if not func.is_view:
            self.count += sum(
                part.numel() for part in (out if isinstance(out, tuple) else (out,)) if torch.is_tensor(part)
            )
        return out


def elements_of(work: Callable[[], object]) -> int:
    """Elements that the work makes."""
    with Elements() as counter:
        work()
    return counter.count


def work_for_one(trial: Trial) -> list[dict[str, Any]]:
    """Elements of all results made to store or retrieve one input of 20 active in 1,000, the more are stored.

    The contrast compares the input with every stored one. `restored`: mean share of modules whose winner comes back.
    """
    inputs, modules, units = trial.pick(smoke=(200, 8, 20), laptop=(1000, 20, 400), full=(1000, 20, 1000))
    counts = trial.pick(smoke=(5, 20, 50), laptop=(100, 1000, 10_000), full=(100, 1000, 10_000, 30_000))
    generator = trial.generator("patterns")
    patterns = sparse_patterns(counts[-1] + 1, inputs, 20, generator)
    new = patterns[-1:]
    ramp = FamiliarityRamp(floor=0.5, midpoint=0.85, steepness=40.0, expansion=1.0)
    layer = SparseyLayer(inputs, modules, units, ramp=ramp).to(trial.device)
    codes = layer.store(patterns[:0]).winners
    rows = []
    for count in counts:
        codes = torch.cat([codes, layer.store(patterns[len(codes) : count], generator=generator).winners])
        restored = intersection(layer.retrieve(patterns[: min(count, 500)]).winners, codes[:500]).mean()
        for work, call in (
            ("retrieve", lambda: layer.retrieve(new)),
            ("nearest neighbour", lambda known=patterns[:count]: (known @ new[0]).argmax()),
            ("store", lambda: layer.store(new, generator=generator)),
        ):
            rows.append({"work": work, "stored": count, "elements": elements_of(call), "restored": restored})
    return rows


@paper.claim(work_for_one, figure=lines("stored", "elements", by="work", log="xy", xlabel="inputs stored"))
def fixed_work(table):
    """Slopes of the logarithm of the elements over that of the number stored; 1 is proportional growth."""
    slopes = {
        work: float(np.polyfit(np.log(rows["stored"]), np.log(rows["elements"]), 1)[0])
        for work, rows in table.groupby("work")
    }
    return {
        "store_slope": slopes["store"],
        "retrieve_slope": slopes["retrieve"],
        "nearest_neighbour_slope": slopes["nearest neighbour"],
        "restored_at_most": table["restored"].iloc[-1],
    }


# --- Handwritten digits


def digit_skeletons(values: Float[Tensor, "count height width"]) -> Float[Tensor, "count pixels"]:
    """The digits' box of 20 × 20 pixels scaled to 24 × 16, binarised and thinned."""
    if values.shape[-1] == 28:
        values = values[:, 4:24, 4:24]
    scaled = functional.interpolate(values[:, None], size=(24, 16), mode="bilinear")[:, 0]
    return skeletons(scaled > 0.4).flatten(1).float()


def tiles(height: int, width: int, side: int, stride: int) -> Tensor:
    """Pixels of all square fields of an image, shape (fields, side²)."""
    pixel = torch.arange(height * width).view(1, 1, height, width).float()
    return functional.unfold(pixel, side, stride=stride)[0].T.long()


def handwriting(trial: Trial) -> list[dict[str, Any]]:
    """Up to 200 images a class shown once with their labels, 100 others a class to test; beside the nearest stored skeleton."""
    images = digits() if trial.scale == "smoke" else mnist("train" if trial.scale == "full" else "test")
    values, labels = (torch.from_numpy(np.asarray(part)).to(trial.device) for part in (images.values, images.labels))
    shown = trial.pick(smoke=(2, 4), laptop=(25, 50, 100, 200), full=(25, 50, 100, 200, 800))
    held_out = trial.pick(smoke=4, laptop=100, full=100)
    order = torch.from_numpy(trial.rng("split").permutation(len(labels))).to(trial.device)
    by_class = [order[labels[order] == c] for c in range(10)]
    test = torch.cat([rows[:held_out] for rows in by_class])
    train = torch.stack([rows[held_out : held_out + shown[-1]] for rows in by_class], dim=1)  # a row: one of each class
    pixels, stored = digit_skeletons(values[test]), digit_skeletons(values[train.flatten()])
    truth, known = labels[test], labels[train.flatten()]
    layer = SparseyLayer(
        pixels.shape[1], *trial.pick(smoke=(2, 16), laptop=(12, 240), full=(16, 480)),
        receptive_fields=tiles(24, 16, 7, 3), saturation=0.06,
        ramp=FamiliarityRamp(floor=0.5, midpoint=0.9, steepness=60.0, expansion=1.0),
    ).to(trial.device)  # fmt: skip
    field = LabelField(layer.code_size, 10).to(trial.device)
    noise, done, rows = trial.generator("noise"), 0, []
    for count in shown:
        codes = layer.store(stored[done : 10 * count], generator=noise)
        field.store(layer.one_hot(codes.winners), known[done : 10 * count])
        done = 10 * count
        answers = torch.cat([field(layer(part)).argmax(1) for part in pixels.split(250)])
        nearest = known[(pixels @ functional.normalize(stored[:done]).T).argmax(1)]
        for method, guess in (("Sparsey, each image once", answers), ("nearest stored skeleton", nearest)):
            correct, tested = int((guess == truth).sum()), len(truth)
            rows.append(
                {"method": method, "shown": count, "accuracy": correct / tested, "correct": correct, "tested": tested}
            )
    return rows


@paper.claim(
    handwriting,
    figure=lines("shown", "accuracy", by="method", log="x", percent=True, xlabel="training images a class"),
)
def digits_shown_once(table):
    """With 200 images a class."""
    ours, nearest = (rows[rows["shown"] <= 200].iloc[-1] for _, rows in table.groupby("method", sort=False))
    return {"accuracy": Proportion(int(ours["correct"]), int(ours["tested"])), "nearest": nearest["accuracy"]}
