"""Li, Sonoda, Cao, Wang, Liang 2023: How Powerful are Shallow Neural Networks with Bandlimited Random Weights?

Hidden weights are drawn from a bounded range and stay: does the error stop falling with units, is that rounding or more, and does
a suitable range go with the target?
"""

from typing import Any

import numpy as np
import torch
from mpmath import lu_solve, matrix, mp  # type: ignore[import-untyped]
from numpy.typing import NDArray

from replica.kernels import RandomWeightRegressor, band_response, bandlimit_lower_bound
from replica.lab.claims import Choice, LogUniform, Paper, Trial
from replica.lab.studies import lines

paper = Paper("bandlimited_random")
Rows = list[dict[str, Any]]
Array = NDArray[np.float64]
CUTOFF, FREQUENCY, MOST_WEIGHT = 1e-12, 16.0, 1e6
WINDOW = 0.35
"""Width of the Gaussian window on waves."""
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
    decay = np.exp(-np.square(X).sum(1) / (2 * WINDOW**2))
    waved: Array = np.sin(frequency * X[:, 0] + phase) * decay
    return waved


def bumps(X: Array, frequency: float, rng: np.random.Generator) -> Array:
    """Eight Gaussians of width 1/ω at random places of [−0.8, 0.8], of random signs and sizes."""
    centres, sizes = rng.uniform(-0.8, 0.8, 8), rng.standard_normal(8)
    summed: Array = np.exp(-np.square(frequency * (X - centres)) / 2) @ sizes
    return summed


def cube(count: int, dim: int, rng: np.random.Generator) -> Array:
    """Points uniform on [−1, 1]^d."""
    return rng.uniform(-1, 1, (count, dim))


def errors(trial: Trial, width: int, reach: float, X: Array, y: Array, asked: Array, truth: Array, draw: int) -> Array:
    """Test error of one network over that of 0, for each of the targets."""
    state = int(trial.rng(f"weights {width} {reach} {draw}").integers(2**31))
    net = RandomWeightRegressor(width, reach, cutoff=CUTOFF, intercept=False, random_state=state).fit(X, y)
    share: Array = np.linalg.norm(net.predict(asked) - truth, axis=0) / np.linalg.norm(truth, axis=0)
    return share


def left_out(frequency: float, phase: float, reach: float) -> float:
    """Relative norm of what the ridgelet reconstruction from weights up to λ leaves out of the wave, in Fourier's space."""
    x = np.linspace(-4, 4, 4096, endpoint=False)
    spectrum = np.abs(np.fft.rfft(wave(x[:, None], frequency, phase)))
    kept = band_response(torch.from_numpy(2 * np.pi * np.fft.rfftfreq(4096, x[1] - x[0])), reach).numpy()
    return float(np.linalg.norm(spectrum * (1 - kept)) / np.linalg.norm(spectrum))


def lower_bound(phase: float) -> float:
    """Relative error that units of λ = 1 with output weights up to 10⁶ in all cannot beat."""
    x = np.linspace(-1, 1, 401)[:, None]
    slopes, shifts = (part.ravel() for part in np.meshgrid(np.linspace(-1, 1, 41), np.linspace(-1, 1, 41)))
    y = wave(x, FREQUENCY, phase)
    units = torch.from_numpy(1 / (1 + np.exp(shifts - x * slopes)))
    return bandlimit_lower_bound(units, torch.from_numpy(y), MOST_WEIGHT) / float(np.sqrt(np.square(y).mean()))


def by_width(trial: Trial) -> Rows:
    """Errors over units, in a narrow and a wide range, and two bounds for the narrow one."""
    widths = trial.pick(smoke=(20, 40), laptop=(100, 300, 1000, 3000), full=(100, 300, 1000, 3000, 10_000))
    rng = trial.rng("target")
    phase = rng.uniform(0, 2 * np.pi)
    X, asked = (cube(trial.pick(smoke=60, laptop=600, full=2000), 1, rng) for _ in range(2))
    y, truth = wave(X, FREQUENCY, phase), wave(asked, FREQUENCY, phase)
    bound = lower_bound(phase)
    rows = []
    for reach in (1.0, 64.0):
        missed = left_out(FREQUENCY, phase, reach)
        for width in widths:
            found = [float(errors(trial, width, reach, X, y, asked, truth, draw)) for draw in range(3)]
            error = float(np.exp(np.mean(np.log(found))))
            rows.append(
                {"units": width, "weight_range": reach, "error": error, "left_out": missed, "lower_bound": bound}
            )
    return rows


@paper.claim(by_width, figure=lines("units", "error", "weight_range", log="xy", ylabel="relative error"))
def bounded_weights_stall(table):
    """How far ln of the error falls from the fewest to the most units, and the bounds."""
    curves = {reach: rows.sort_values("units") for reach, rows in table.groupby("weight_range")}
    fall = {reach: np.log(rows["error"].iloc[0] / rows["error"].iloc[-1]) for reach, rows in curves.items()}
    narrow = curves[1.0].iloc[-1]
    return {
        "log_fall": fall[1.0],
        "lower_bound": narrow["lower_bound"],
        "log_error_over_left_out": np.log(narrow["error"] / narrow["left_out"]),
        "log_fall_in_wider_range": fall[64.0],
    }


def exactly(X: Array, y: Array, asked: Array, weights: Array, biases: Array, digits: int) -> tuple[Array, float]:
    """Least squares on sigmoids with so many digits: predictions, and log10 of Σ|c|."""
    with mp.workdps(digits):
        units = [
            matrix(
                [
                    [1 / (1 + mp.exp(mp.mpf(b) - mp.mpf(a) * mp.mpf(x))) for a, b in zip(weights, biases, strict=True)]
                    for x in to
                ]
            )
            for to in (X[:, 0], asked[:, 0])
        ]
        solved = lu_solve(units[0], matrix([mp.mpf(value) for value in y]))
        predicted = np.array([float(value) for value in units[1] * solved])
        return predicted, float(mp.log10(sum(abs(value) for value in solved)))


def in_digits(trial: Trial) -> Rows:
    """The same networks with least squares in double precision and in hundreds of digits, over units."""
    widths = trial.pick(smoke=(4, 8), laptop=(16, 32, 64), full=(16, 32, 64, 128))
    rng = trial.rng("target")
    phase = rng.uniform(0, 2 * np.pi)
    count = trial.pick(smoke=16, laptop=100, full=256)
    # Points lie dense at the ends, so that sampling sets no limit of its own.
    X, asked = np.cos(np.pi * (np.arange(count) + 0.5) / count)[:, None], cube(count, 1, rng)
    y, truth = wave(X, FREQUENCY, phase), wave(asked, FREQUENCY, phase)
    rows = []
    for reach, width in [(1.0, width) for width in widths] + [(64.0, widths[0])]:
        net = RandomWeightRegressor(width, reach, cutoff=CUTOFF, intercept=False, random_state=int(rng.integers(2**31)))
        net.fit(X, y)
        predicted, size = exactly(X, y, asked, net.weights_[0], net.biases_, trial.pick(smoke=60, laptop=300, full=600))
        for name, values in (("double precision", net.predict(asked)), ("hundreds of digits", predicted)):
            error = float(np.linalg.norm(values - truth) / np.linalg.norm(truth))
            rows.append(
                {"units": width, "weight_range": reach, "arithmetic": name, "error": error,
                 "digits": size, "left_out": left_out(FREQUENCY, phase, reach)}
            )  # fmt: skip
    return rows


def over_units(axes: Any, table: Any) -> None:
    """The narrow range alone, by arithmetic."""
    lines("units", "error", "arithmetic", log="xy", ylabel="relative error")(axes, table[table["weight_range"] == 1.0])


@paper.claim(in_digits, figure=over_units)
def positive_lower_bound(table):
    """How far ln of the error falls from 16 to 64 units, in either arithmetic."""
    wide = table[table["weight_range"] > 1.0].set_index("arithmetic")["error"]
    curves = {
        name: rows.sort_values("units") for name, rows in table[table["weight_range"] == 1.0].groupby("arithmetic")
    }
    fall = {name: np.log(rows["error"].iloc[0] / rows["error"].iloc[-1]) for name, rows in curves.items()}
    most = curves["hundreds of digits"].iloc[-1]
    return {
        "log_fall": fall["hundreds of digits"],
        "log_error_over_left_out": np.log(most["error"] / most["left_out"]),
        "digits_of_output_weights": most["digits"],
        "log_fall_in_double_precision": fall["double precision"],
        "disagreement": abs(wide["double precision"] - wide["hundreds of digits"]),
    }


def by_range(trial: Trial) -> Rows:
    """Errors over λ of waves and bumps by frequency, and of a wave in the plane; the mean of ln over draws of weights."""
    units, draws, points = trial.pick(smoke=(40, 1, 60), laptop=(1000, 2, 500), full=(1000, 5, 2000))
    reaches = 2.0 ** np.arange(-1, 8, trial.pick(smoke=3, laptop=0.5, full=0.5))
    rng = trial.rng("target")
    phases, states = rng.uniform(0, 2 * np.pi, len(FREQUENCIES)), rng.integers(2**31, size=len(FREQUENCIES))

    def targets(X: Array) -> Array:
        waves = [wave(X, frequency, phase) for frequency, phase in zip(FREQUENCIES, phases, strict=True)]
        if X.shape[1] == 2:
            return waves[FREQUENCIES.index(FREQUENCY)][:, None]
        summed = zip(FREQUENCIES, states, strict=True)
        return np.stack(waves + [bumps(X, frequency, np.random.default_rng(state)) for frequency, state in summed], 1)

    named = [("wave", ω) for ω in FREQUENCIES] + [("bumps", ω) for ω in FREQUENCIES]
    rows = []
    # In the plane half as many units, three points for each.
    for dim, width, count, names in ((1, units, points, named), (2, units // 2, 3 * points, [("plane", FREQUENCY)])):
        X, asked = cube(count, dim, rng), cube(points, dim, rng)
        y, truth = targets(X), targets(asked)
        for reach in reaches if dim == 1 else reaches[reaches == np.round(reaches)]:
            found = [errors(trial, width, float(reach), X, y, asked, truth, draw) for draw in range(draws)]
            rows += [
                {"target": target, "frequency": frequency, "weight_range": float(reach), "error": float(error)}
                for (target, frequency), error in zip(names, np.exp(np.log(found).mean(0)), strict=True)
            ]
    return rows


def waves_over_range(axes: Any, table: Any) -> None:
    """The waves alone, by frequency."""
    draw = lines("weight_range", "error", "frequency", log="xy", xlabel="range of weights, λ", ylabel="relative error")
    draw(axes, table[table["target"] == "wave"])


def curve(table: Any, target: str, frequency: float) -> Any:
    """Error over λ of one target."""
    own = table[(table["target"] == target) & (table["frequency"] == frequency)]
    return own.set_index("weight_range")["error"].sort_index()


@paper.claim(by_range, figure=waves_over_range)
def suitable_range(table):
    """Ln of the error at λ = 1 over that at the best λ, of a wave on the line and in the plane."""
    line, plane = curve(table, "wave", FREQUENCY), curve(table, "plane", FREQUENCY)
    return {
        "log_gain": np.log(line[1.0] / line.min()),
        "log_gain_in_the_plane": np.log(plane[1.0] / plane.min()),
        "error_at_one": line[1.0],
    }


@paper.claim(by_range, figure=waves_over_range)
def range_follows_complexity(table):
    """Slopes, in ln of the frequency, of ln λ with the least error and of the least λ that will do."""
    curves = {(target, ω): curve(table, target, ω) for target in ("wave", "bumps") for ω in FREQUENCIES}

    def slope(target: str, pick: Any) -> float:
        return float(np.polyfit(np.log(FREQUENCIES), [np.log(pick(curves[target, ω])) for ω in FREQUENCIES], 1)[0])

    return {
        "slope": slope("wave", lambda errors: errors.idxmin()),
        "slope_of_least_range": slope("wave", least_range),
        "slope_of_bumps": slope("bumps", lambda errors: errors.idxmin()),
        "error_at_best": curves["wave", FREQUENCIES[-1]].min(),
    }


def least_range(errors: Any) -> float:
    """The least λ with an error below 0.1, between grid points by logarithms; the largest where none has."""
    below = np.flatnonzero(errors < 0.1)
    place = int(below[0]) if len(below) else len(errors) - 1
    ends = slice(max(place - 1, 0), place + 1)
    logs = np.log(errors.to_numpy()[ends])[::-1]
    return float(np.exp(np.interp(np.log(0.1), logs, np.log(errors.index.to_numpy()[ends])[::-1])))
