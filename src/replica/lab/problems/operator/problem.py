"""The problem operator: which network learns the solution map of a PDE?"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from replica.lab.claims import LogUniform, Trial
from replica.errors import ReplicaError

from replica.lab.problems.problem import VALIDATION_SHARE, Baseline, Dataset, Metric, Option, Outcome, Problem, Split, Value, Watch
from replica.lab.problems.protocol import check_protocol, real_array, timed

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

    from replica.data import SolutionMap

_ERROR = Metric("error", "1", "lower", "Relative L2 error")
_H1_ERROR = Metric("h1_error", "1", "lower", "Relative H1 error")
_FINE_ERROR = Metric("fine_error", "1", "lower", "Relative L2 error on the full grid")
_PARAMETERS = Metric("parameters", "1", "lower", "Parameters")
_SECONDS = Metric("train_seconds", "s", "lower", "Training time")

SMALLEST_GRID = 5
"""Nodes that are left of an axis after the stride, at least."""
_SMOKE_TRAIN, _SMOKE_TEST, _SMOKE_EPOCHS = 16, 8, 2
_SHOWN_NODES = {1: 257, 2: 65}


class Operator(Problem):
    """Learn from pairs of functions, such as a permeability and the pressure it causes, to give the second for a new first.

    A trial draws ``train`` and ``test`` samples of the data. The method's ``fit`` gets the training pairs on every
    ``stride``-th grid point, ``predict`` the test inputs: once on that grid, and once on the full grid, which it was never
    trained on. All are float32 tensors on the trial's device, of shape ``(count, channels, *grid)`` with a grid of one or
    two axes, as the data has them: methods scale them as they need. A ``fit`` that has a keyword ``epochs`` is given the
    option: passes over the training samples, the budget that all networks share.

    With one seed, fewer training samples are a subset of more, and the test samples the same. For validation (``--tune``) the
    last fifth of the training samples is held out. A ``fit`` that has a keyword ``after_epoch`` is then given a function to
    call with the number of epochs done: it measures ``predict`` on the samples held out, and ends trials without prospects.

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
    metrics = (_ERROR, _H1_ERROR, _FINE_ERROR, _PARAMETERS, _SECONDS)
    options = (
        Option("train", 200, "samples to train on", minimum=2),
        Option("test", 50, "samples to test on", minimum=1),
        Option("stride", 2, "train on every stride-th grid point, test there and on all", minimum=1),
        Option("epochs", 15, "passes over the training samples that every network gets", minimum=1),
        Option("samples", 250, "samples of a named data set, from which trials draw", minimum=4),
        Option("resolution", 64, "grid intervals a side of a named data set", minimum=8, maximum=16384),
    )
    default_data = "darcy"
    data_names: ClassVar[Mapping[str, str]] = {
        "darcy": "Darcy flow, two-phase permeability to pressure (Li et al., 2021)",
        "darcy-smooth": "Darcy flow, smooth permeability to pressure",
        "helmholtz": "Helmholtz equation, wave speed to wave (de Hoop et al., 2022)",
        "burgers": "Burgers' equation, velocity at time 0 to velocity at time 1 (Li et al., 2021)",
    }
    data_formats = (".npz",)
    data_options = ("samples", "resolution")

    def metrics_for(self, options: Mapping[str, Value]) -> tuple[Metric, ...]:
        """The metrics under these options: with a stride of 1 there is no grid that was never trained on."""
        return tuple(metric for metric in self.metrics if metric is not _FINE_ERROR or int(options["stride"]) > 1)

    def baselines(self) -> Sequence[Baseline]:
        """See `Problem.baselines`."""
        from replica.papers.baselines import operator as own
        from replica.lab.problems.operator.training import GridRegressor

        def network(make: Callable[[int, int, tuple[int, ...]], Any], rate: float) -> Callable[..., Any]:
            return lambda trial, learning_rate=rate: GridRegressor(make, trial, learning_rate=learning_rate)

        rates = {"learning_rate": LogUniform(1e-3, 3e-2)}
        library = ("neuralop", "physics")
        return (
            Baseline("mean-field", lambda trial: own.MeanField(), "the mean training output: the trivial method"),
            Baseline("pca-linear", lambda trial: own.PcaLinear(), "principal components and ridge regression"),
            Baseline(
                "unet",
                network(own.unet, 4e-3),
                "a small U-Net (Ronneberger et al., 2015): what people use today",
                space=rates,
            ),
            Baseline(
                "fno",
                network(own.fno, 1e-2),
                "a Fourier neural operator (Li et al., 2021), by neuraloperator",
                space=rates,
                extra=library,
            ),
            Baseline(
                "tfno",
                network(own.tfno, 1e-2),
                "a tensorised Fourier neural operator (Kossaifi et al., 2023), by neuraloperator",
                space=rates,
                extra=library,
            ),
        )

    def load(self, source: str, options: Mapping[str, Value]) -> Dataset:
        """Make a named solution map (or take it from the cache), or read the user's ``.npz`` file.

        The file holds ``inputs`` and ``outputs`` of shape ``(count, *grid)`` or ``(count, channels, *grid)``, and may hold
        ``boundary``, a text.

        Raises:
            ReplicaError: In one line, what is wrong with it and what is wanted.
        """
        from replica.lab.problems.operator import data as operator_data

        return operator_data.load(source, self.resolve(options), self.data_names)

    def check(self, dataset: Dataset, options: Mapping[str, Value]) -> None:
        """See that there are samples enough, and that the stride fits the grid.

        Raises:
            ReplicaError: If not.
        """
        content: SolutionMap = dataset.content
        asked, count = int(options["train"]) + int(options["test"]), len(content)
        if asked > count:
            test = max(1, count // 5)
            remedy = (
                f"--samples {asked}" if dataset.name.partition(":")[0] in self.data_names else f"--train {count - test} --test {test}"
            )
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
            raise ReplicaError(f"Option stride is {stride}, but that {reason}; give --stride {_strides(content)}.")

    def run(
        self,
        trial: Trial,
        make: Callable[[Trial], Any],
        dataset: Dataset,
        options: Mapping[str, Value],
        *,
        examples: bool = False,
        split: Split = "test",
        watch: Watch | None = None,
    ) -> Outcome:
        """Let the method fit and predict once, and measure it; see the class for the protocol and the measures.

        Raises:
            ReplicaError: If the method breaks the protocol: a part missing, or an output of the wrong form. What the
                method itself raises passes through.
        """
        import torch

        self.check(dataset, options)
        content: SolutionMap = dataset.content
        train, test, epochs = (int(options[name]) for name in ("train", "test", "epochs"))
        if trial.scale == "smoke":
            train, test, epochs = min(train, _SMOKE_TRAIN), min(test, _SMOKE_TEST), min(epochs, _SMOKE_EPOCHS)
        stride = int(options["stride"])
        order = trial.rng("split").permutation(len(content))
        tested, trained = order[:test], order[test : test + train]
        if split == "validation":
            held_out = max(1, round(VALIDATION_SHARE * len(trained)))
            trained, tested = trained[:-held_out], trained[-held_out:]
        method = make(trial)
        check_protocol(
            method,
            ("fit", "predict"),
            "an entry for operator has fit(inputs, outputs) and predict(inputs), all tensors of shape (count, channels, *grid)",
        )

        def to_device(array: NDArray[np.float32], stride: int) -> Tensor:
            # A copy: a method may write into what it is given.
            return torch.tensor(strided(array, stride), device=trial.device)

        truth = strided(content.outputs[tested], stride)

        def predict() -> NDArray[np.float32]:
            return _output(method, method.predict(to_device(content.inputs[tested], stride)), truth.shape)

        def after_epoch(done: int) -> None:
            if watch is not None:
                watch(done, float(relative_errors(predict(), truth).mean()))

        seconds = _fit(
            trial,
            method,
            to_device(content.inputs[trained], stride),
            to_device(content.outputs[trained], stride),
            {"epochs": epochs} | ({"after_epoch": after_epoch} if watch else {}),
        )
        predicted = predict()
        spacing = tuple(stride * step for step in content.spacing)
        errors = relative_errors(predicted, truth)
        metrics = {
            "error": float(errors.mean()),
            "h1_error": float(relative_errors(predicted, truth, spacing, content.boundary == "periodic").mean()),
        }
        if stride > 1:
            full = content.outputs[tested]
            on_full = _predict_unseen(method, to_device(content.inputs[tested], 1), full.shape, truth.shape)
            metrics["fine_error"] = float(relative_errors(on_full, full).mean())
        metrics |= {"parameters": float(learned_numbers(method)), "train_seconds": seconds}
        if not examples:
            return Outcome(metrics)
        thinner = max(1, -(-max(truth.shape[2:]) // _SHOWN_NODES[truth.ndim - 2]))
        shown = strided(content.inputs[tested[:1]], stride), truth[:1], predicted[:1]
        named = zip(("input", "truth", "predicted"), shown, strict=True)
        return Outcome(
            metrics,
            {
                **{name: _plain(strided(values, thinner)[0, 0]) for name, values in named},
                "spacing": [thinner * step for step in spacing],
                "error": round(float(errors[0]), 5),
            },
        )

    def draw(self, figure: Figure, comparison: Any) -> None:
        """Draw the ranking metric and, beside it, one test sample with what the best methods make of it."""
        from replica.lab.problems.operator.figure import draw

        draw(
            figure,
            comparison,
            metric=self.metrics[0],
            baselines=frozenset(baseline.name for baseline in self.baselines()),
        )


def stride_fits(nodes: int, stride: int, boundary: str) -> bool:
    """Whether every ``stride``-th of the nodes is a regular grid of the same domain.

    Example:
        >>> stride_fits(65, 2, "dirichlet"), stride_fits(64, 2, "dirichlet"), stride_fits(64, 2, "periodic")
        (True, False, True)
    """
    ends, whole = (nodes - 1) % stride == 0, nodes % stride == 0
    return {"periodic": whole, "unknown": ends or whole}.get(boundary, ends)


def _strides(content: SolutionMap) -> str:
    fitting = [
        stride
        for stride in range(1, 17)
        if all(
            stride_fits(nodes, stride, content.boundary) and -(-nodes // stride) >= SMALLEST_GRID
            for nodes in content.grid
        )
    ]
    return " or ".join(map(str, fitting[:3]))


def strided(values: NDArray[np.float32], stride: int) -> NDArray[np.float32]:
    """Take every ``stride``-th grid point of ``(count, channels, *grid)`` values."""
    return values[(slice(None), slice(None), *(slice(None, None, stride) for _ in values.shape[2:]))]


def relative_errors(
    predicted: NDArray[np.float32],
    truth: NDArray[np.float32],
    spacing: tuple[float, ...] | None = None,
    periodic: bool = False,
) -> NDArray[np.float64]:
    """Give ‖û − u‖ / ‖u‖ of each sample, in L2 or, where a spacing is given, in H1.

    ‖u‖²_{H1} is the mean of u² over nodes and channels and, summed over axes, the mean of (u_{i+1} − u_i)² / h² over
    neighbouring nodes.

    Args:
        predicted: û, shape ``(count, channels, *grid)``.
        truth: u, same shape.
        spacing: h along each axis; None for the L2 norm.
        periodic: The last node of an axis is a neighbour of the first.

    Returns:
        Shape ``(count,)``.

    Example:
        >>> u = np.linspace(0, 1, 101)[None, None]
        >>> relative_errors(2 * u, u).tolist(), relative_errors(u + 1, u, spacing=(0.01,)).round(2).tolist()
        ([1.0], [0.87])
    """

    def squared_norm(values: NDArray[np.float64]) -> NDArray[np.float64]:
        total = np.square(values).reshape(len(values), -1).mean(axis=1)
        for axis, step in enumerate(spacing or (), start=2):
            following = np.roll(values, -1, axis) if periodic else np.delete(values, 0, axis)
            slopes = (following - (values if periodic else np.delete(values, -1, axis))) / step
            total = total + np.square(slopes).reshape(len(values), -1).mean(axis=1)
        return np.asarray(total)

    right = truth.astype(np.float64)
    return np.asarray(np.sqrt(squared_norm(predicted.astype(np.float64) - right) / squared_norm(right)))


def learned_numbers(method: Any) -> int:
    """Count the real numbers a method learned: the parameters of its networks; without any, all that it keeps.

    A complex parameter counts as two.
    """
    import torch

    from replica.lab.problems.kept_numbers import kept_numbers

    modules = [
        value for value in (method, *getattr(method, "__dict__", {}).values()) if isinstance(value, torch.nn.Module)
    ]
    parameters = {id(p): p.numel() * (2 if p.is_complex() else 1) for module in modules for p in module.parameters()}
    return sum(parameters.values()) if parameters else kept_numbers(method)


def _fit(trial: Trial, method: Any, inputs: Tensor, outputs: Tensor, keywords: Mapping[str, Any]) -> float:
    """Train the method, with those of the keywords that it takes. Returns wall seconds."""
    try:
        taken = inspect.signature(method.fit).parameters
        keywords = {name: value for name, value in keywords.items() if name in taken}
    except (TypeError, ValueError):  # built in C, without a signature
        keywords = {}
    return timed(trial, lambda: method.fit(inputs, outputs, **keywords))[1]


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
