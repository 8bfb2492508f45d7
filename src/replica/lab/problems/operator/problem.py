"""The problem operator: which network learns the solution map of a PDE?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from replica.data import read_solution_map
from replica.data.files.solution_maps import MAP_FORMATS
from replica.errors import ReplicaError
from replica.lab.claims import Scale, Trial
from replica.lab.problems.fit_predict import FitPredict, Measured, Rows, Sample
from replica.lab.problems.footprint import parameter_count
from replica.lab.problems.operator import data as operator_data
from replica.lab.problems.operator.data import SMALLEST_GRID, TEST, TRAIN, sizes, stride_fits, strided, strides
from replica.lab.problems.operator.errors import relative_errors
from replica.lab.problems.problem import VALIDATION_SHARE, Dataset, Metric, Option, Options, Split
from replica.lab.problems.protocol import real_array

if TYPE_CHECKING:
    from torch import Tensor

    from replica.data import SolutionMap

_SHOWN_NODES = {1: 257, 2: 65}


class Operator(FitPredict):
    """Learn from pairs of functions, such as a permeability and the pressure it causes, to give the second for a new first.

    A trial draws ``train`` and ``test`` samples of the data. The method's ``fit`` gets the training pairs on every
    ``stride``-th grid point, ``predict`` the test inputs: once on that grid, and once on the full grid, which it was never
    trained on. All are float32 tensors on the trial's device, of shape ``(count, channels, *grid)`` with a grid of one or
    two axes, as the data has them: methods scale them as they need. A ``fit`` that has a keyword ``epochs`` is given the
    option: passes over the training samples, the budget that all networks share.

    With one seed, fewer training samples are a subset of more, and the test samples the same. For validation (``--tune``) the
    last fifth of the training samples is held out.

    What is measured, over test samples:

    - ``error``: the mean of ‖û − u‖ / ‖u‖, on the training grid.
    - ``h1_error``: the same with the norm ‖u‖² + ‖∇u‖², the gradient by differences of neighbouring nodes (the domain is
      the unit interval or square): large where the values are right and the slopes are not.
    - ``fine_error``: as ``error``, on the full grid. Left out where ``stride`` is 1.
    - ``parameters``: how many real numbers the method learned: its network's parameters, or all that it keeps.
    - ``train_seconds``: wall-clock seconds of ``fit``.

    A network of the problem's own trains about 12 s at the default size on one core. At smoke scale at most 16 samples are
    trained on for at most 2 epochs. The papers' own sizes: ``--data darcy --resolution 420 --stride 5 --samples 1200
    --train 1000 --test 200 --epochs 500``; ``--data burgers --resolution 8192 --stride 8``; ``--data helmholtz
    --resolution 100 --stride 1 --samples 20000 --train 10000 --test 10000``.
    """

    name = "operator"
    question = "Which network learns the solution map of a PDE?"
    protocol = (
        'fit(inputs: Float[Tensor, "count channels *grid"], outputs: Float[Tensor, "count channels *grid"]) -> None',
        'predict(inputs: Float[Tensor, "count channels *grid"]) -> Float[Tensor, "count channels *grid"]',
    )
    protocol_note = ", all tensors of shape (count, channels, *grid)"
    metrics = (
        Metric("error", "1", "lower", "Relative L2 error"),
        Metric("h1_error", "1", "lower", "Relative H1 error"),
        Metric("fine_error", "1", "lower", "Relative L2 error on the full grid",
               when=lambda options: int(options["stride"]) > 1),
        Metric("parameters", "1", "lower", "Parameters"),
        Metric("train_seconds", "s", "lower", "Training time"),
    )  # fmt: skip
    options = (
        Option("train", TRAIN, "samples to train on", minimum=2, label="Training samples"),
        Option("test", TEST, "samples to test on", minimum=1, label="Test samples"),
        Option("stride", 2, "train on every stride-th grid point, test there and on all", minimum=1,
               label="Stride (grid points)"),
        Option("epochs", 15, "passes over the training samples that every network gets", minimum=1,
               label="Epochs (passes over the training samples)"),
        Option("samples", 250, "samples of a named data set, from which trials draw", minimum=4, reads="named"),
        Option("axes", "", "what the axes of your own arrays are, in order, such as n,x,y,t or n,c,x,y (n counts samples)",
               reads="own"),
        Option("resolution", 64, "grid intervals a side of a named data set", minimum=8, maximum=16384, reads="named"),
    )  # fmt: skip
    default_data = "darcy"
    data_names: ClassVar[Mapping[str, str]] = {
        "darcy": "Darcy flow, two-phase permeability to pressure (Li et al., 2021)",
        "darcy-smooth": "Darcy flow, smooth permeability to pressure",
        "helmholtz": "Helmholtz equation, wave speed to wave (de Hoop et al., 2022)",
        "burgers": "Burgers' equation, velocity at time 0 to velocity at time 1 (Li et al., 2021)",
    }
    data_formats = MAP_FORMATS
    files = "an .npz or .mat file"
    smoke_rows = (16, 8)
    unit = "samples"

    @property
    def drawn(self) -> tuple[str, ...]:  # type: ignore[override]
        """All named sets are."""
        return tuple(self.data_names)

    def named(self, name: str, seed: int | None, options: Options) -> SolutionMap:
        """See `Problem.named`."""
        return operator_data.solve(name, seed or 0, int(options["samples"]), int(options["resolution"]))

    def read(self, path: Path, options: Options) -> SolutionMap:
        """See `Problem.read`, and `replica.data.read_solution_map`."""
        found = read_solution_map(path, str(options["axes"]))
        train, test = sizes({"train": TRAIN, "test": TEST}, len(found))
        told = (f"by default {train} to train on and {test} to test on",) * (train < TRAIN)
        return replace(found, notes=(*found.notes, *told))

    def size(self, content: SolutionMap, options: Options) -> str:
        """See `Problem.size`."""
        return f"{operator_data.size(content)}, boundary {content.boundary}"

    def identity(self, content: SolutionMap) -> tuple[Any, ...]:
        """See `Problem.identity`."""
        return (content.inputs.shape, content.outputs.shape, content.boundary), content.inputs, content.outputs

    def check(self, dataset: Dataset, options: Options) -> None:
        """See that there are samples enough, and that the stride fits the grid."""
        content: SolutionMap = dataset.content
        count, named = len(content), dataset.name.partition(":")[0] in self.data_names
        asked = int(options["train"]) + int(options["test"]) if named else sum(sizes(options, count))
        if asked > count:
            test = max(1, count // 5)
            remedy = f"--samples {asked}" if named else f"--train {count - test} --test {test}"
            raise ReplicaError(
                f"Options train and test add up to {asked}, but {dataset.name} holds {count} samples; give {remedy}."
            )
        stride = int(options["stride"])
        for nodes in content.grid:
            fits = stride_fits(nodes, stride, content.boundary)
            if fits and -(-nodes // stride) >= SMALLEST_GRID:
                continue
            reason = (
                f"leaves {-(-nodes // stride)} of {nodes} grid points, fewer than {SMALLEST_GRID}"
                if fits
                else f"does not divide {dataset.name}'s {nodes} grid points so that the domain's ends stay"
            )
            raise ReplicaError(f"Option stride is {stride}, but that {reason}; give --stride {strides(content)}.")

    def used(self, dataset: Dataset, options: Options, scale: Scale) -> Mapping[str, str]:
        """See `Problem.used`; how a named data set is made says nothing of a file."""
        named = dataset.name.partition(":")[0] in self.data_names
        return {**super().used(dataset, options, scale), **({} if named else {"samples": "", "resolution": ""})}

    def rows(self, trial: Trial, content: Any, options: Options, split: Split) -> tuple[Rows, Rows]:
        """Samples in a random order, the tested ones first; for validation the last fifth of those trained on."""
        train, test = sizes(options, len(content))
        if trial.scale == "smoke":
            train, test = min(train, self.smoke_rows[0]), min(test, self.smoke_rows[1])
        order = trial.rng("split").permutation(len(content))
        tested, trained = order[:test], order[test : test + train]
        if split == "validation":
            held_out = max(1, round(VALIDATION_SHARE * len(trained)))
            trained, tested = trained[:-held_out], trained[-held_out:]
        return trained, tested

    def sample(self, trial: Trial, content: Any, options: Options, train: Rows, test: Rows) -> Sample:
        """Tensors on the training grid."""
        stride = int(options["stride"])
        inputs, outputs, queries = (
            _tensor(trial, strided(values, stride))
            for values in (content.inputs[train], content.outputs[train], content.inputs[test])
        )
        return Sample(train, test, inputs, outputs, queries, {"epochs": self.epochs(trial, options)})

    def score(
        self, trial: Trial, method: Any, sample: Sample, dataset: Dataset, options: Options, fit_seconds: float
    ) -> Measured:
        """Compare predictions with the truth, on the training grid and on the full one; see the class for the measures."""
        content: SolutionMap = dataset.content
        stride, full = int(options["stride"]), content.outputs[sample.test]
        truth = strided(full, stride)
        predicted = _output(method, method.predict(sample.queries.clone()), truth.shape)
        spacing = tuple(stride * step for step in content.spacing)
        errors = relative_errors(predicted, truth)
        metrics = {
            "error": float(errors.mean()),
            "h1_error": float(relative_errors(predicted, truth, spacing, content.boundary == "periodic").mean()),
        }
        if stride > 1:
            on_full = _predict_unseen(method, _tensor(trial, content.inputs[sample.test]), full.shape, truth.shape)
            metrics["fine_error"] = float(relative_errors(on_full, full).mean())
        metrics |= {"parameters": float(parameter_count(method)), "train_seconds": fit_seconds}

        def shown() -> dict[str, Any]:
            thinner = max(1, -(-max(truth.shape[2:]) // _SHOWN_NODES[truth.ndim - 2]))
            first = strided(content.inputs[sample.test[:1]], stride), truth[:1], predicted[:1]
            named = zip(("input", "truth", "predicted"), first, strict=True)
            return {
                **{name: _plain(strided(values, thinner)[0, 0]) for name, values in named},
                "spacing": [thinner * step for step in spacing],
                "error": round(float(errors[0]), 5),
            }

        return metrics, shown


def _tensor(trial: Trial, values: NDArray[np.float32]) -> Tensor:
    import torch

    return torch.tensor(values, device=trial.device)


def _predict_unseen(
    method: Any, inputs: Tensor, shape: tuple[int, ...], trained: tuple[int, ...]
) -> NDArray[np.float32]:
    try:
        output = method.predict(inputs)
    except Exception as error:
        full, coarse = (" × ".join(map(str, given[2:])) for given in (shape, trained))
        told = " ".join(str(error).split())[:200]
        raise ReplicaError(
            f"{type(method).__name__}.predict failed on {full} nodes after training on {coarse} ({type(error).__name__}:"
            f" {told}); wanted outputs on any grid, or --stride 1, which asks for none."
        ) from error
    return _output(method, output, shape)


def _output(method: Any, output: Any, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Check what ``predict`` gave back and bring it to NumPy; see `real_array`."""
    name = f"{type(method).__name__}.predict"
    return real_array(name, output, shape, ": samples, output channels, the inputs' grid", str)


def _plain(values: NDArray[np.float32]) -> list[Any]:
    listed: list[Any] = np.vectorize(lambda value: float(f"{value:.4g}"), otypes=[float])(values).tolist()
    return listed
