"""Cagnetta, Favero, Wyart 2023: What Can Be Learnt With Wide Convolutional Neural Networks?

The kernel of a deep convolutional network learns random fields made by shallower ones and by its like: does its spectrum have the
network's tree, and is it the target's scale that decides how fast the error falls, or the input's?
"""

from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from replica.data.sets.teachers.teacher import unit_vectors
from replica.kernels import ConvolutionalKernel, KernelRegressor, circle_spectrum, mismatched_error, wide_kernel
from replica.lab.claims import Choice, Paper, Trial, exponent
from replica.lab.studies import lines

paper = Paper("wide_cnn_kernel")
Rows = list[dict[str, Any]]
Array = NDArray[np.float64]
SECTORS = {"one patch": ((0,), 2), "neighbours": ((0, 1), 3), "distant": ((0, 2), 5)}
"""Patches of four with waves, and the exponent of their eigenvalues: 1 more than the inputs, less norms, that they depend on."""
CONVOLUTIONAL, DENSE = "convolutional", "fully connected"


class PatchwiseRegression:
    """Kernel ridge regression with the kernel of a convolutional network that halves the patches where it can."""

    def __init__(self, kind: Literal["nngp", "ntk"]) -> None:
        self.kind = kind

    def fit(self, X: Array, y: Array, shape: tuple[int, ...]) -> Self:
        """Learn from rows that are laid out as ``(patches, dim)``."""
        patches, dim = shape if len(shape) == 2 else (1, *shape)
        network = ConvolutionalKernel((dim, *factors(patches)), bias_variance=0.1, kind=self.kind)

        def kernel(first: Array, second: Array) -> Array:
            rows = (torch.from_numpy(np.ascontiguousarray(part)) for part in (first, second))
            return network(*rows).numpy() if second is not first else network(next(rows)).numpy()

        self.model = KernelRegressor(kernel).fit(X, y)
        return self

    def predict(self, X: Array) -> Array:
        """Give a number a row."""
        return np.asarray(self.model.predict(X))


def factors(number: int) -> list[int]:
    """Its prime factors, rising."""
    for divisor in range(2, number + 1):
        if number % divisor == 0:
            return [divisor, *factors(number // divisor)]
    return []


@paper.entry(
    "teacher", name="wide-cnn-kernel", space={"kind": Choice(("ntk", "nngp"))}, target=("dsd", "local", "keys")
)
def wide_cnn_kernel(trial: Trial, kind: Literal["nngp", "ntk"] = "ntk") -> PatchwiseRegression:
    """An infinitely wide convolutional network, trained to the ridge that leave-one-out errors choose."""
    return PatchwiseRegression(kind)


def spectrum(trial: Trial) -> Rows:
    """Eigenvalues of a network of four patches and three layers, by where their waves are; no randomness."""
    points = trial.pick(smoke=16, laptop=128, full=256)
    kernel = ConvolutionalKernel((2, 2, 2))
    rows = []
    for sector, (active, theory) in SECTORS.items():
        found = circle_spectrum(kernel, 4, active, points=points, nodes=trial.pick(smoke=6, laptop=20, full=24))
        waves = range(points // 16, points // 4 + 1, 2)
        # Waves in two patches have the same number in both.
        values = [float(found[(wave,) * len(active)]) for wave in waves]
        rows += [
            {"sector": sector, "wave": wave, "eigenvalue": value, "theory": theory}
            for wave, value in zip(waves, values, strict=True)
        ]
    return rows


@paper.claim(spectrum, figure=lines("wave", "eigenvalue", "sector", log="xy", xlabel="wave number"))
def spectrum_inherits_hierarchy(table):
    """Exponents of the eigenvalues in the wave number, and the largest deviation from theory."""
    found = {
        sector: exponent(own["wave"], own["eigenvalue"].clip(lower=1e-300))
        for sector, own in table.groupby("sector", sort=False)
    }
    return {
        "largest_deviation": max(abs(value - SECTORS[sector][1]) for sector, value in found.items()),
        **{f"exponent_of_{sector.replace(' ', '_')}": value for sector, value in found.items()},
    }


def errors_of(student: Tensor, targets: Tensor, own: Tensor, sizes: list[int], train: int) -> Array:
    """Share of the targets' power left, sizes by targets: over fields, and over the sets that fit in `train`, up to four."""
    found = []
    for size in sizes:
        errors = []
        for start in range(0, min(train, 4 * size), size):
            rows = slice(start, start + size)
            errors.append(
                mismatched_error(
                    student[rows, rows], student[rows, train:], targets[:, rows, rows], targets[:, rows, train:], own
                )
            )
        found.append(torch.stack(errors).mean(0) / own.mean(1))
    return torch.stack(found).numpy()


def learning_curves(trial: Trial) -> Rows:
    """Errors on fields made by networks that end after each layer, by samples and patches; a student as deep as the input."""
    sizes = trial.pick(
        smoke=[16, 32, 64, 128], laptop=[128, 256, 512, 1024, 2048, 4096], full=[2**k for k in range(7, 14)]
    )
    tests, train = trial.pick(smoke=32, laptop=128, full=8192), sizes[-1]
    rows = []
    for depth in (2, 3, 4):
        patches = 2 ** (depth - 1)
        inputs = unit_vectors((train + tests, patches, 2), trial.rng(f"inputs {patches}"))
        X = torch.from_numpy(inputs.reshape(train + tests, -1)).to(trial.device)
        network = ConvolutionalKernel((2,) * depth)
        # One matrix of all layers: targets of one patch first, the student's own likes last.
        layers = torch.cat([network.levels(X[:train]), network.levels(X[:train], X[train:])], dim=2)
        own = torch.stack([ConvolutionalKernel((2,) * layer).diagonal(X[train:]) for layer in range(1, depth + 1)])
        students = {CONVOLUTIONAL: layers[-1]}
        if depth > 2:
            students[DENSE] = wide_kernel(X[:train], X, depth=depth, weight_variance=2.0)
        for name, student in students.items():
            wanted = slice(None) if name == CONVOLUTIONAL else slice(1)
            errors = errors_of(student, layers[wanted], own[wanted], sizes, train)
            rows += [
                {"student": name, "patches": patches, "reach": 2**layer, "samples": size, "error": float(error)}
                for size, of_layers in zip(sizes, errors, strict=True)
                for layer, error in enumerate(of_layers)
            ]
    return rows


def fitted(table: Any, patches: int, reach: int, student: str = CONVOLUTIONAL) -> tuple[float, float]:
    """Exponent over the last four sizes, and the share left at the last, for targets that reach over so many patches."""
    mine = (table["student"] == student) & (table["patches"] == patches) & (table["reach"] == reach)
    own = table[mine].sort_values("samples")
    return exponent(own["samples"], own["error"], last=4), own["error"].iloc[-1]


def draw_targets(axes, table):
    """Errors at eight patches, by the target and the student."""
    own = table[table["patches"] == 8]
    name = np.where(own["student"] == DENSE, "fully connected, reach 1", "reach " + own["reach"].astype(str))
    lines("samples", "error", "target", log="xy", ylabel="share of power left")(axes, own.assign(target=name))


def draw_inputs(axes, table):
    """Errors on full targets, by the patches."""
    own = table[(table["reach"] == table["patches"]) & (table["student"] == CONVOLUTIONAL)]
    lines("samples", "error", "patches", log="xy", ylabel="share of power left")(axes, own)


@paper.claim(learning_curves, figure=draw_targets)
def spatial_scale(table):
    """Exponents of local targets beside full ones, few patches and a student without locality."""
    local, left = fitted(table, 8, 1)
    dense = fitted(table, 4, 1, DENSE)[0]
    return {
        "exponent_over_full": local - fitted(table, 8, 8)[0],
        "exponent_over_dense": fitted(table, 4, 1)[0] - dense,
        "exponent": local,
        "exponent_of_pairs": fitted(table, 8, 2)[0],
        "fall_with_inputs": fitted(table, 2, 1)[0] - local,
        "exponent_of_dense": fitted(table, 8, 1, DENSE)[0],
        "exponent_of_dense_four_patches": dense,
        "share_left": left,
    }


@paper.claim(learning_curves, figure=draw_inputs)
def full_targets(table):
    """Exponents of full targets, and how much they fall by each doubling of the patches."""
    (two, left), (four, _), (eight, _) = (fitted(table, patches, patches) for patches in (2, 4, 8))
    return {
        "smallest_fall": min(two - four, four - eight),
        "exponent": eight,
        "exponent_two_patches": two,
        "exponent_four_patches": four,
        "share_left_two_patches": left,
    }
