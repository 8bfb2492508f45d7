"""Wang, Nichani, Lee 2024: Learning Hierarchical Polynomials with Three-Layer Neural Networks.

A polynomial of a polynomial p: how many samples does a network need
that learns p first, does it find p, and do kernels need more?
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from replica.data.sets.teachers.hierarchical_polynomials import HierarchicalPolynomial
from replica.kernels import KernelRegressor, LayerwiseThreeLayerNetwork
from replica.lab.claims import Choice, Paper, Trial, exponent, samples_needed
from replica.lab.studies import dots, lines

paper = Paper("hierarchical_polynomials")
Rows = list[dict[str, Any]]
INNER, OUTER, GOAL = 2, 3, 0.3
"""Degrees of p and g, and the share of the target's variance that may be left."""


@paper.entry("teacher", name="layerwise-network", space={"degree": Choice((1, 2, 3)), "width": Choice((100, 200, 400))})
def layerwise_network(trial: Trial, degree: int = 2, width: int = 200) -> LayerwiseThreeLayerNetwork:
    """Three layers, trained one after the other by least squares, through a bottleneck of one number."""
    return LayerwiseThreeLayerNetwork(degree, width=width, random_state=int(trial.rng("layerwise").integers(2**31)))


def share_left(predicted: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    """Mean squared error over the target's variance."""
    return float(np.square(predicted - truth).mean() / truth.var())


def errors_by_samples(trial: Trial) -> Rows:
    """The network's error over samples and dimensions, mean of two teachers, without noise."""
    dims = trial.pick(smoke=(6, 8), laptop=(24, 34, 48), full=(24, 34, 48, 68))
    most = trial.pick(smoke=400, laptop=20_000, full=64_000)
    least, sizes = trial.pick(smoke=(100, 3), laptop=(1000, 8), full=(1000, 10))
    counts = np.unique(np.geomspace(least, most, sizes).astype(int))
    rows = []
    for dim in dims:
        for index in range(trial.pick(smoke=1, laptop=2, full=8)):
            rng = trial.rng(f"teacher {dim} {index}")
            teacher = HierarchicalPolynomial(dim, INNER, OUTER, 0.0, rng)
            train, test = teacher.examples(most, rng), teacher.examples(2000, rng)
            for count in counts:
                net = LayerwiseThreeLayerNetwork(INNER, random_state=index)
                net.fit(train.inputs[:count], train.targets[:count])
                feature = np.corrcoef(net.bottleneck(test.inputs), teacher.inner(test.inputs))[0, 1]
                error = share_left(net.predict(test.inputs), test.targets)
                rows.append({"dim": dim, "samples": int(count), "error": error, "feature": float(feature**2)})
    return rows


@paper.claim(errors_by_samples, figure=lines("samples", "error", "dim", log="xy", ylabel="share of variance left"))
def samples_as_degree_of_feature(table):
    """The exponent of the samples needed in the dimension."""
    errors = table.groupby(["dim", "samples"])["error"].mean().unstack("dim")
    needed = {dim: samples_needed(errors.index, errors[dim], GOAL) for dim in errors}
    return {
        "exponent": -exponent(list(needed), [found.value for found in needed.values()]),
        "not_reached": np.mean([found.censored for found in needed.values()]),
    }


def recovery(trial: Trial) -> Rows:
    """Squared correlation of the bottleneck with p, over multiples of the dimension squared."""
    dim, times = trial.pick(smoke=(6, (1, 4)), laptop=(20, (0.05, 0.5, 2, 8, 32)), full=(40, (0.05, 0.5, 2, 8, 32)))
    rng = trial.rng("teacher")
    teacher = HierarchicalPolynomial(dim, INNER, OUTER, 0.0, rng)
    train, test = teacher.examples(int(times[-1] * dim**2), rng), teacher.examples(4000, rng)
    rows = []
    for multiple in times:
        count = int(multiple * dim**2)
        net = LayerwiseThreeLayerNetwork(INNER, random_state=0).fit(train.inputs[:count], train.targets[:count])
        feature = np.corrcoef(net.bottleneck(test.inputs), teacher.inner(test.inputs))[0, 1]
        rows.append({"multiple": multiple, "feature": float(feature**2)})
    return rows


@paper.claim(
    recovery,
    figure=lines("multiple", "feature", None, log="x", xlabel="samples over d²", ylabel="squared correlation with p"),
)
def feature_is_recovered(table):
    """Squared correlation with the most samples, and with as many as inputs."""
    return {"squared_correlation": table["feature"].iloc[-1], "squared_correlation_of_few": table["feature"].iloc[0]}


def beside_kernels(trial: Trial) -> Rows:
    """Errors of the network and of tuned kernels on the same samples, with each kernel's leave-one-out error."""
    dim, count = trial.pick(smoke=(6, 120), laptop=(16, 3000), full=(20, 10_000))
    rng = trial.rng("teacher")
    teacher = HierarchicalPolynomial(dim, INNER, OUTER, 0.0, rng)
    train, test = teacher.examples(count, rng), teacher.examples(2000, rng)
    kernels = {
        "tangent kernel": KernelRegressor("ntk-relu"),
        **{f"Gaussian, γ = {times:g}/d": KernelRegressor("rbf", gamma=times / dim) for times in (0.1, 0.3)},
        **{f"polynomial, degree {degree}": KernelRegressor("polynomial", degree=degree) for degree in (2, 4, 6)},
    }
    net = LayerwiseThreeLayerNetwork(INNER, random_state=0).fit(train.inputs, train.targets)
    rows = [{"method": "network", "error": share_left(net.predict(test.inputs), test.targets)}]
    for name, model in kernels.items():
        model.fit(train.inputs, train.targets)
        error, held = share_left(model.predict(test.inputs), test.targets), float(np.min(model.leave_one_out_))
        rows.append({"method": name, "error": error, "held_out": held})
    return rows


@paper.claim(beside_kernels, figure=dots("method", "error", xlabel="learner", ylabel="share of variance left"))
def fewer_than_kernels(table):
    """The network's error over that of the kernel which leave-one-out errors choose."""
    kernels = table.dropna(subset=["held_out"])
    best = kernels.loc[kernels["held_out"].idxmin(), "error"]
    return {
        "log_error_over_best_kernel": np.log(table.set_index("method")["error"]["network"] / best),
        "error_of_best_kernel": best,
    }
