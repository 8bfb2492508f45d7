"""Fu, Guo, Bai, Mei 2023: What can a Single Attention Layer Learn? A Study Through the Random Features Lens.

An average over keys by how they match a query: from how many examples do heads drawn at random learn it, beside units drawn
at random, and does it help to draw them around the identity?
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from replica.data.sets.teachers.key_averages import KeyAverage
from replica.kernels import RandomFeatureAttention, RandomWeightRegressor
from replica.lab.claims import Choice, Paper, Trial, Uniform, samples_needed
from replica.lab.studies import lines

paper = Paper("random_feature_attention")
Rows = list[dict[str, Any]]
KEYS, NOISE, EXAMPLES, GOAL = 16, 0.1, 1000, 0.5


@paper.entry(
    "teacher",
    name="random-feature-attention",
    space={"bias": Uniform(0.0, 3.0), "heads": Choice((100, 300, 600))},
    target=("keys",),
)
def random_feature_attention(trial: Trial, heads: int = 300, bias: float = 0.0) -> RandomFeatureAttention:
    """ReLU heads as drawn, values by ridge with leave-one-out."""
    return RandomFeatureAttention(heads, bias, random_state=int(trial.rng("attention").integers(2**31)))


def attention(heads: int, bias: float) -> Any:
    """Makes the layer from the teacher's dimension and a seed."""
    return lambda dim, state: RandomFeatureAttention(heads, bias, random_state=state)


def network(heads: int) -> Any:
    """Makes ReLU units of query and keys laid flat, as many as the layer has values, with biases as large as the rest."""
    return lambda dim, state: RandomWeightRegressor(
        heads * dim, bias_range=math.sqrt((1 + KEYS) * dim), activation="relu", random_state=state
    )


def excess(
    trial: Trial, methods: Mapping[str, Any], dim: int, degrees: Sequence[int], counts: Sequence[int], tests: int
) -> Rows:
    """Excess errors of methods by degree of the target and number of examples, fewer being the first of more."""
    rows = []
    for degree in degrees:
        rng = trial.rng(f"teacher {degree}")
        teacher = KeyAverage(KEYS, dim, degree, NOISE, rng)
        train, test = teacher.examples(counts[-1], rng), teacher.examples(tests, rng)
        X, asked = train.inputs.reshape(counts[-1], -1), test.inputs.reshape(tests, -1)
        state = int(rng.integers(2**31))
        for count in counts:
            for name, make in methods.items():
                model = make(dim, state)
                told = {"shape": teacher.shape} if isinstance(model, RandomFeatureAttention) else {}
                model.fit(X[:count], train.targets[:count], **told)
                error = float(np.square(model.predict(asked) - test.means).mean())
                rows.append({"method": name, "degree": degree, "examples": count, "error": error})
    return rows


def beside_network(trial: Trial) -> Rows:
    """The layer and a two-layer network on averages of keys with the query, and without it (degree 0)."""
    heads, tests = trial.pick(smoke=(4, 50), laptop=(300, 2000), full=(1000, 5000))
    counts = trial.pick(smoke=(20, 40), laptop=(100, 250, 500, EXAMPLES, 2000), full=(100, 300, EXAMPLES, 3000, 10_000))
    methods = {"attention": attention(heads, 0.0), "two-layer network": network(heads)}
    return excess(trial, methods, trial.pick(smoke=3, laptop=8, full=8), (0, 1), counts, tests)


def with_the_query(axes: Any, table: Any) -> None:
    """Degree 1 alone."""
    draw = lines("examples", "error", "method", log="x", ylabel="excess error")
    draw(axes, table[table["degree"] == 1])


def at_thousand(table: Any) -> Any:
    """The rows of 1,000 examples, or of the most where there are fewer."""
    return table[table["examples"] == min(EXAMPLES, table["examples"].max())]


@paper.claim(beside_network, figure=with_the_query)
def fewer_samples(table):
    """Ratios of errors at 1,000 examples and of the examples for an error of 0.5, in logarithms."""
    errors = at_thousand(table).set_index(["method", "degree"])["error"]
    curves = table[table["degree"] == 1].pivot(index="examples", columns="method", values="error")
    needed = {name: samples_needed(curves.index, curves[name], GOAL) for name in curves}
    return {
        "log_error_ratio": math.log(errors["attention", 1] / errors["two-layer network", 1]),
        "log_samples_ratio": math.log(needed["attention"].value / needed["two-layer network"].value),
        "error_of_attention": errors["attention", 1],
        "error_of_network_on_linear": errors["two-layer network", 0],
    }


def by_mean(trial: Trial) -> Rows:
    """Means of the weights of 0, 1 and 3 √d I on averages of keys by polynomials of degree 0 to 3."""
    heads, dim, count, tests = trial.pick(
        smoke=(3, 3, 40, 50), laptop=(300, 16, EXAMPLES, 2000), full=(1000, 16, EXAMPLES, 5000)
    )
    methods = {f"{bias} √d I": attention(heads, bias) for bias in (0, 1, 3)}
    return excess(trial, methods, dim, (0, 1, 2, 3), (count,), tests)


@paper.claim(by_mean, figure=lines("degree", "error", "method", ylabel="excess error"))
def biased_weights(table):
    """Errors with a mean over those without, in logarithms, by degree."""
    errors = table.pivot(index="degree", columns="method", values="error")
    gain = np.log(errors.div(errors["0 √d I"], axis=0))
    return {
        "log_error_ratio": gain["1 √d I"][2],
        "log_error_ratio_of_degree_1": gain["1 √d I"][1],
        "log_error_ratio_of_degree_3": gain["1 √d I"][3],
        "log_error_ratio_of_triple_mean": gain["3 √d I"][2],
        "error_of_zero_mean_on_linear": errors["0 √d I"][0],
    }
