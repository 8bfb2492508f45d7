"""Teachers: their best predictions and floors against simulation and closed forms, and fewer examples within more."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import norm

from replica.data.sets.teachers.dynamic_signals import DynamicSignals, bayes_error
from replica.data.sets.teachers.hierarchical_polynomials import HierarchicalPolynomial
from replica.data.sets.teachers.key_averages import KeyAverage
from replica.data.sets.teachers.linear import LinearTeacher
from replica.data.sets.teachers.local_fields import LocalField
from replica.data.sets.teachers.teacher import NoisyFunction, Teacher

Make = Callable[[np.random.Generator], Teacher]
FUNCTIONS: dict[str, Callable[..., NoisyFunction]] = {
    "linear": lambda rng, noise=0.5: LinearTeacher(7, noise, rng),
    "local": lambda rng, noise=0.5: LocalField(5, 3, 2, noise, rng),
    "polynomial": lambda rng, noise=0.5: HierarchicalPolynomial(13, 2, 3, noise, rng),
    "keys": lambda rng, noise=0.5: KeyAverage(6, 4, 2, noise, rng),
}
MAKERS: dict[str, Make] = {**FUNCTIONS, "dsd": lambda rng: DynamicSignals(3, 4, 0.6, rng)}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_fewer_examples_are_the_first_of_more(make: Make) -> None:
    teacher = make(np.random.default_rng(0))
    few, many = (teacher.examples(count, np.random.default_rng(1)) for count in (5, 40))
    assert few.inputs.shape == (5, *teacher.shape)
    for name in ("inputs", "targets", "means"):
        np.testing.assert_allclose(getattr(few, name), getattr(many, name)[:5], rtol=1e-12)
    other = make(np.random.default_rng(2)).examples(5, np.random.default_rng(1))
    assert not np.allclose(other.means, few.means)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_the_best_prediction_has_the_error_of_the_floor(make: Make) -> None:
    teacher = make(np.random.default_rng(0))
    drawn = teacher.examples(40_000, np.random.default_rng(3))
    losses = np.sign(drawn.means) != drawn.targets if teacher.binary else (drawn.targets - drawn.means) ** 2
    assert losses.mean() == pytest.approx(teacher.floor, abs=4 * losses.std() / 200)
    # E[y | x] is right at every level, not only in its sign.
    for part in np.array_split(np.argsort(drawn.means), 5):
        assert drawn.targets[part].mean() == pytest.approx(drawn.means[part].mean(), abs=0.05)


@pytest.mark.parametrize("make", FUNCTIONS.values(), ids=FUNCTIONS)
def test_functions_have_mean_0_and_variance_1(make: Callable[..., NoisyFunction]) -> None:
    drawn = make(np.random.default_rng(5), noise=0.0).examples(60_000, np.random.default_rng(4))
    np.testing.assert_array_equal(drawn.targets, drawn.means)
    assert drawn.means.mean() == pytest.approx(0, abs=0.06)
    assert drawn.means.var() == pytest.approx(1, abs=0.2)


# --- dynamic signals -----------------------------------------------------------------------------------------------------


def test_bayes_error_of_one_patch_and_of_two() -> None:
    assert bayes_error(1, 0.5) == pytest.approx(ndtr(-2), rel=1e-12)
    # Two patches: an integral over the noise in the other one, n.
    n = np.linspace(-9, 9, 20_001)
    wrong = ndtr(-(1 + 0.5**2 * np.arcsinh(np.sinh(n / 0.5))) / 0.5)
    assert bayes_error(2, 0.5) == pytest.approx(np.trapezoid(wrong * norm.pdf(n), n), rel=1e-3)
    # Then asinh and sinh cancel: s_1 + s_2 = 1 + √2 σ ε decides.
    assert bayes_error(2, 0.5) == pytest.approx(ndtr(-1 / (0.5 * np.sqrt(2))), rel=1e-3)


def test_bayes_error_grows_with_patches_and_noise_and_bears_extremes() -> None:
    over_patches = [bayes_error(patches, 0.3) for patches in (1, 2, 4, 8, 16)]
    over_noise = [bayes_error(8, noise) for noise in (0.003, 0.1, 0.2, 0.4, 0.8, 100.0)]
    for errors in (over_patches, over_noise):
        assert all(low < high or high == low == 0 for low, high in itertools.pairwise(errors))
    assert over_noise[0] == 0
    assert over_noise[-1] == pytest.approx(0.5, abs=0.01)


def test_posterior_is_bayes_rule_written_out() -> None:
    teacher = DynamicSignals(3, 4, 0.6, np.random.default_rng(0))
    x = teacher.examples(20, np.random.default_rng(1)).inputs
    likelihood = {
        sign: sum(
            norm.pdf(x - sign * (np.arange(3) == place)[:, None] * teacher.signal, scale=0.6).prod(axis=(1, 2))
            for place in range(3)
        )
        for sign in (-1, 1)
    }
    expected = (likelihood[1] - likelihood[-1]) / (likelihood[1] + likelihood[-1])
    np.testing.assert_allclose(teacher.posterior_mean(x), expected, rtol=1e-9)


# --- functions -----------------------------------------------------------------------------------------------------------


def test_local_fields_sum_over_windows() -> None:
    """A second difference over two patches is 0 where they are not seen together, and is not where they are."""
    teacher = LocalField(5, 3, 2, 0.0, np.random.default_rng(0))
    x, z = (teacher.examples(1, np.random.default_rng(seed)).inputs[0] for seed in (1, 2))

    def mixed(*places: int) -> float:
        total = 0.0
        for chosen in itertools.product((0, 1), repeat=len(places)):
            point = x.copy()
            for place, replaced in zip(places, chosen, strict=True):
                point[place] = z[place] if replaced else x[place]
            total += (-1) ** sum(chosen) * float(teacher.function(point[None])[0])
        return total

    assert abs(mixed(0, 2)) < 1e-9
    assert abs(mixed(1, 4)) < 1e-9
    assert abs(mixed(1, 2)) > 1e-3
    assert teacher.function(-x[None]) == pytest.approx(teacher.function(x[None]))


def test_polynomials_have_their_degree() -> None:
    teacher = HierarchicalPolynomial(7, 2, 3, 0.0, np.random.default_rng(0))
    line = np.linspace(-1, 1, 12)[:, None] * np.random.default_rng(1).standard_normal(7)
    coefficients = np.polynomial.polynomial.polyfit(np.linspace(-1, 1, 12), teacher.function(line), 9)
    assert abs(coefficients[6]) > 1e-6
    np.testing.assert_allclose(coefficients[7:], 0, atol=1e-6)
    inner = teacher.inner(np.random.default_rng(2).standard_normal((50_000, 7)))
    assert (inner.mean(), inner.var()) == pytest.approx((0, 1), abs=0.03)


def test_the_order_of_keys_is_nothing_and_the_query_is_something() -> None:
    teacher = KeyAverage(6, 4, 3, 0.0, np.random.default_rng(0))
    x = teacher.examples(30, np.random.default_rng(1)).inputs
    np.testing.assert_allclose(np.linalg.norm(x, axis=2), 2)
    order = [0, 4, 2, 6, 1, 3, 5]
    np.testing.assert_allclose(teacher.function(x[:, order]), teacher.function(x), rtol=1e-9)
    assert not np.allclose(teacher.function(x[:, [1, 0, 2, 3, 4, 5, 6]]), teacher.function(x))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda rng: DynamicSignals(0, 4, 0.5, rng), "patches: got 0, want 1 or more"),
        (lambda rng: DynamicSignals(3, 4, 0.0, rng), "noise: got 0.0, want a finite number above 0"),
        (lambda rng: LinearTeacher(3, -1.0, rng), "noise: got -1.0, want a finite number, 0 or more"),
        (lambda rng: LocalField(3, 2, 4, 0.5, rng), "reach: got 4, want a number from 1 to the 3 patches"),
        (lambda rng: HierarchicalPolynomial(1, 2, 3, 0.5, rng), "dim: got 1, want 2 or more"),
        (lambda rng: KeyAverage(0, 4, 2, 0.5, rng), "keys: got 0, want 1 or more"),
    ],
)
def test_bad_arguments_are_named(make: Make, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make(np.random.default_rng(0))
