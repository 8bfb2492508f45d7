"""Li, Sonoda, Cao, Wang, Liang 2023: How Powerful are Shallow Neural Networks with Bandlimited Random Weights?

Hidden weights are drawn from a bounded range and stay: does the error stop falling with units, is that rounding or more, and does
a suitable range go with the target?
"""

from functools import partial
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from replica.kernels import RandomWeightRegressor, band_loss, bandlimit_lower_bound, refit_in_digits
from replica.lab.claims import Choice, LogUniform, Paper, Trial, exponent, samples_needed
from replica.lab.studies import lines

paper = Paper("bandlimited_random")
Rows = list[dict[str, Any]]
Array = NDArray[np.float64]
FREQUENCY, MOST_WEIGHT, WINDOW = 16.0, 1e6, 0.35
FREQUENCIES = (4.0, 8.0, 16.0, 32.0, 64.0)


@paper.entry(
    "regression",
    name="random-weights",
    space={"weight_range": LogUniform(0.05, 10.0), "activation": Choice(("sigmoid", "gaussian", "relu"))},
)
def random_weights(trial: Trial, weight_range: float = 0.5, activation: str = "sigmoid") -> RandomWeightRegressor:
    """500 units as drawn, output weights by ridge with leave-one-out."""
    state = int(trial.rng("random weights").integers(2**31))
    return RandomWeightRegressor(weight_range=weight_range, activation=activation, random_state=state)


def wave(X: Array, frequency: float, phase: float) -> Array:
    """sin(ω x₁ + phase) under a Gaussian window in all inputs."""
    waved: Array = np.sin(frequency * X[:, 0] + phase) * np.exp(-np.square(X).sum(1) / (2 * WINDOW**2))
    return waved


def bumps(X: Array, frequency: float, centres: Array, sizes: Array) -> Array:
    """A sum of Gaussians of width 1/ω."""
    summed: Array = np.exp(-np.square(frequency * (X - centres)) / 2) @ sizes
    return summed


def relative(values: Array, truth: Array) -> Array:
    """The norm of the error over that of each target."""
    share: Array = np.linalg.norm(values - truth, axis=0) / np.linalg.norm(truth, axis=0)
    return share


def fitted(X: Array, y: Array, width: int, reach: float, rng: np.random.Generator) -> RandomWeightRegressor:
    """Sigmoids with weights and biases from −λ to λ; rank-revealing least squares, as near as double precision gets."""
    state = int(rng.integers(2**31))
    return RandomWeightRegressor(width, reach, cutoff=1e-12, intercept=False, random_state=state).fit(X, y)


def lower_bound(phase: float) -> float:
    """Relative error that units of λ = 1 with output weights up to 10⁶ in all cannot beat."""
    x = np.linspace(-1, 1, 401)[:, None]
    slopes, shifts = (part.ravel() for part in np.meshgrid(np.linspace(-1, 1, 41), np.linspace(-1, 1, 41)))
    y = wave(x, FREQUENCY, phase)
    units = torch.from_numpy(1 / (1 + np.exp(shifts - x * slopes)))
    return bandlimit_lower_bound(units, torch.from_numpy(y), MOST_WEIGHT) / float(np.sqrt(np.square(y).mean()))


def left_out(phase: float) -> float:
    """Relative norm of what the ridgelet reconstruction from weights up to 1 leaves out of the wave."""
    x = np.linspace(-4, 4, 4096, endpoint=False)
    return band_loss(torch.from_numpy(wave(x[:, None], FREQUENCY, phase)), 1.0, spacing=x[1] - x[0])


def by_width(trial: Trial) -> Rows:
    """Errors over units, in a narrow and a wide range: the geometric mean of three draws; and two bounds."""
    widths = trial.pick(smoke=(20, 40), laptop=(100, 300, 1000, 3000), full=(100, 300, 1000, 3000, 10_000))
    rng = trial.rng("target")
    phase = rng.uniform(0, 2 * np.pi)
    X, asked = rng.uniform(-1, 1, (2, trial.pick(smoke=60, laptop=600, full=2000), 1))
    y, truth = wave(X, FREQUENCY, phase), wave(asked, FREQUENCY, phase)
    rows = []
    bounds = {"left_out": left_out(phase), "lower_bound": lower_bound(phase)}
    for reach, width in product((1.0, 64.0), widths):
        found = [relative(fitted(X, y, width, reach, rng).predict(asked), truth) for _ in range(3)]
        rows.append({"units": width, "weight_range": reach, "error": float(np.exp(np.log(found).mean())), **bounds})
    return rows


def fall(rows: Any) -> float:
    """How far ln of the error falls from the fewest to the most units."""
    errors = rows.sort_values("units")["error"]
    return float(np.log(errors.iloc[0] / errors.iloc[-1]))


@paper.claim(by_width, figure=lines("units", "error", "weight_range", log="xy", ylabel="relative error"))
def bounded_weights_stall(table):
    """How far errors fall, and the bounds beside the one of the most units."""
    narrow, wide = (table[table["weight_range"] == reach] for reach in (1.0, 64.0))
    most = narrow.loc[narrow["units"].idxmax()]
    return {
        "log_fall": fall(narrow),
        "lower_bound": most["lower_bound"],
        "log_error_over_left_out": np.log(most["error"] / most["left_out"]),
        "log_fall_in_wider_range": fall(wide),
    }


DOUBLE, DIGITS = "double precision", "hundreds of digits"


def in_digits(trial: Trial) -> Rows:
    """The same hidden units with least squares in double precision and in hundreds of digits."""
    widths = trial.pick(smoke=(4, 8), laptop=(16, 32, 64), full=(16, 32, 64, 128))
    count, digits = trial.pick(smoke=(16, 60), laptop=(100, 300), full=(256, 600))
    rng = trial.rng("target")
    phase = rng.uniform(0, 2 * np.pi)
    # Points lie dense at the ends, so that sampling sets no limit of its own.
    X, asked = np.cos(np.pi * (np.arange(count) + 0.5) / count)[:, None], rng.uniform(-1, 1, (count, 1))
    y, truth = wave(X, FREQUENCY, phase), wave(asked, FREQUENCY, phase)
    rows = []
    for reach, width in [*((1.0, width) for width in widths), (8.0, widths[0] // 2), (64.0, widths[0])]:
        net = fitted(X, y, width, reach, rng)
        exact = refit_in_digits(net, X, y, asked, digits)
        known = {
            "units": width,
            "weight_range": reach,
            "digits": exact.output_weight,
            "left_out": left_out(phase),
        }
        for name, values in ((DOUBLE, net.predict(asked)), (DIGITS, exact.predictions)):
            rows.append({**known, "arithmetic": name, "error": float(relative(values, truth))})
    return rows


def only(column: str, value: Any, draw: Any) -> Any:
    """A figure of some of the rows."""
    return lambda axes, table: draw(axes, table[table[column] == value])


@paper.claim(
    in_digits,
    figure=only("weight_range", 1.0, lines("units", "error", "arithmetic", log="xy", ylabel="relative error")),
)
def positive_lower_bound(table):
    """How far errors fall in either arithmetic, and how far the two are apart where double precision should serve."""
    exact, double = (table[table["arithmetic"] == name] for name in (DIGITS, DOUBLE))
    narrow = exact[exact["weight_range"] == 1.0]
    most = narrow.loc[narrow["units"].idxmax()]
    apart = (exact.set_index("weight_range")["error"] - double.set_index("weight_range")["error"]).abs()
    return {
        "log_fall": fall(narrow),
        "log_error_over_left_out": np.log(most["error"] / most["left_out"]),
        "digits_of_output_weights": most["digits"],
        "log_fall_in_double_precision": fall(double[double["weight_range"] == 1.0]),
        "disagreement": apart[64.0],
        "disagreement_of_eight_units": apart[8.0],
    }


def by_range(trial: Trial) -> Rows:
    """Errors over λ of waves and bumps by frequency, and of a wave in the plane: the geometric mean of draws."""
    units, draws, points = trial.pick(smoke=(40, 1, 60), laptop=(1000, 2, 500), full=(1000, 5, 2000))
    reaches = 2.0 ** np.arange(-1, 8, trial.pick(smoke=1, laptop=0.5, full=0.5))
    rng = trial.rng("target")
    line: dict[tuple[str, float], Any] = {}
    for frequency in FREQUENCIES:
        line["wave", frequency] = partial(wave, frequency=frequency, phase=rng.uniform(0, 2 * np.pi))
        places = {"centres": rng.uniform(-0.8, 0.8, 8), "sizes": rng.standard_normal(8)}
        line["bumps", frequency] = partial(bumps, frequency=frequency, **places)
    plane = {("plane", FREQUENCY): line["wave", FREQUENCY]}
    rows = []
    # In the plane half as many units, three points for each.
    for dim, targets, width, count, grid in (
        (1, line, units, points, reaches),
        (2, plane, units // 2, 3 * points, reaches[reaches == np.round(reaches)]),
    ):
        X, asked = rng.uniform(-1, 1, (count, dim)), rng.uniform(-1, 1, (points, dim))
        y, truth = (np.stack([target(to) for target in targets.values()], 1) for to in (X, asked))
        for reach in grid.tolist():
            found = [relative(fitted(X, y, width, reach, rng).predict(asked), truth) for _ in range(draws)]
            errors = np.exp(np.log(found).mean(0)).tolist()
            for (target, frequency), error in zip(targets, errors, strict=True):
                rows.append({"target": target, "frequency": frequency, "weight_range": reach, "error": error})
    return rows


over_range = lines(
    "weight_range", "error", "frequency", log="xy", xlabel="range of weights, λ", ylabel="relative error"
)


def curves(table: Any) -> Any:
    """Error over λ, a column for each target and frequency."""
    return table.pivot(index="weight_range", columns=["target", "frequency"], values="error")


@paper.claim(by_range, figure=only("target", "wave", over_range))
def suitable_range(table):
    """Ln of the error at λ = 1 over that at the best λ, of a wave on the line and in the plane."""
    line, plane = curves(table)["wave", FREQUENCY], curves(table)["plane", FREQUENCY]
    return {
        "log_gain": np.log(line[1.0] / line.min()),
        "log_gain_in_the_plane": np.log(plane[1.0] / plane.min()),
        "error_at_one": line[1.0],
    }


@paper.claim(by_range, figure=only("target", "wave", over_range))
def range_follows_complexity(table):
    """Slopes, in ln of the frequency, of ln λ with the least error and of the least λ that will do."""
    waves, gaussians = curves(table)["wave"], curves(table)["bumps"]
    least = [samples_needed(waves.index, waves[frequency], 0.1).value for frequency in FREQUENCIES]
    return {
        "slope": -exponent(FREQUENCIES, waves.idxmin()),
        "slope_of_least_range": -exponent(FREQUENCIES, least),
        "slope_of_bumps": -exponent(FREQUENCIES, gaussians.idxmin()),
        "error_at_best": waves[FREQUENCIES[-1]].min(),
    }
