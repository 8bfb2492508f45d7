"""Scale mixtures of Gaussian processes: SciPy's multivariate t, the chain rule, limits, quadrature over the scale, samples."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.integrate import quad

from replica.kernels import ImportanceLaw, NamedKernel, ScaleMixtureRegressor, inverse_gamma_law, student_t_process

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
Y = np.sin(X[:, 0]) * 5 + 3 + 0.3 * RNG.normal(size=40)
QUERIES = RNG.normal(size=(7, 3)) * 2


def covariance(points: np.ndarray, noise: float = 0.1) -> torch.Tensor:
    kernel = NamedKernel("nngp-relu", depth=2)
    return torch.from_numpy(kernel(points, points)) + noise * torch.eye(len(points), dtype=torch.float64)


@pytest.mark.parametrize(("shape", "rate"), [(0.5, 1.0), (2.0, 2.0), (3.0, 0.7)])
def test_the_density_is_scipys_and_the_product_of_its_conditionals(shape: float, rate: float) -> None:
    process = student_t_process(covariance(X[:9]), shape, rate)
    values = torch.from_numpy(Y[:9])
    wanted = stats.multivariate_t.logpdf(Y[:9], np.zeros(9), rate / shape * covariance(X[:9]).numpy(), df=2 * shape)
    assert float(process.log_density(values)) == pytest.approx(wanted)
    first = student_t_process(covariance(X[:9])[:4, :4], shape, rate)
    chain = first.log_density(values[:4]) + process.condition(values[:4]).log_density(values[4:])
    assert float(chain) == pytest.approx(wanted)
    one_by_one = process.condition(values[:1]).condition(values[1:4])
    torch.testing.assert_close(one_by_one.scale, process.condition(values[:4]).scale)


def test_an_infinite_shape_is_the_gaussian_process() -> None:
    gram, values = covariance(X[:6]), torch.from_numpy(Y[:6])
    normal, near = student_t_process(gram, math.inf), student_t_process(gram, 1e7, 1e7)
    wanted = stats.multivariate_normal.logpdf(Y[:6], np.zeros(6), gram.numpy())
    assert float(normal.log_density(values)) == pytest.approx(wanted)
    assert float(near.log_density(values)) == pytest.approx(wanted, rel=1e-4)
    torch.testing.assert_close(
        near.condition(values[:4]).scale, normal.condition(values[:4]).scale, rtol=1e-4, atol=1e-6
    )


def test_samples_are_of_that_law() -> None:
    process = student_t_process(covariance(X[:3]), 1.5, 2.0, mean=torch.tensor([1.0, -2.0, 0.0], dtype=torch.float64))
    drawn = process.sample(20_000, torch.Generator().manual_seed(0)).numpy()
    for place in range(3):
        law = stats.t(3.0, float(process.mean[place]), math.sqrt(float(process.scale[place, place])))
        assert stats.kstest(drawn[:, place], law.cdf).pvalue > 0.01
    contrast = np.array([1.0, -1.0, 0.5])
    spread = math.sqrt(contrast @ process.scale.numpy() @ contrast)
    assert stats.kstest((drawn - process.mean.numpy()) @ contrast, stats.t(3.0, scale=spread).cdf).pvalue > 0.01


@pytest.mark.parametrize(("shape", "rate", "unit"), [(2.0, 2.0, 1.0), (1.0, 3.0, None), (math.inf, 1.0, None)])
def test_the_regressor_is_the_process_conditioned(shape: float, rate: float, unit: float | None) -> None:
    model = ScaleMixtureRegressor(shape, rate, depth=2, bias_variance=0.1, noise=0.1, unit=unit).fit(X, Y)
    gram = covariance(np.vstack([X, QUERIES])) * model.unit_
    posterior = student_t_process(gram, shape, rate).condition(torch.from_numpy(Y - Y.mean()))
    np.testing.assert_allclose(model.predict(QUERIES), Y.mean() + posterior.mean.numpy(), rtol=1e-8)
    law = stats.norm if math.isinf(shape) else stats.t(posterior.degrees)
    deviation = posterior.scale.diagonal().sqrt().numpy()
    truth = RNG.normal(size=7)
    wanted = law.logpdf((truth - model.predict(QUERIES)) / deviation) - np.log(deviation)
    np.testing.assert_allclose(model.log_density(QUERIES, truth), wanted, rtol=1e-8)
    levels = np.array([0.05, 0.5, 0.9])
    wanted = model.predict(QUERIES)[:, None] + deviation[:, None] * law.ppf(levels)
    np.testing.assert_allclose(model.predict_quantiles(QUERIES, levels), wanted, rtol=1e-8)
    np.testing.assert_allclose(model.predict(QUERIES, return_std=True)[1], deviation * law.std(), rtol=1e-8)


def test_fitted_hyperparameters_have_the_most_evidence_and_are_the_gaussian_processes() -> None:
    models = [ScaleMixtureRegressor(shape, depth=2).fit(X, Y) for shape in (math.inf, 0.7, 5.0)]
    models.append(ScaleMixtureRegressor(scale_prior=stats.burr12(2, 3), depth=2, random_state=0).fit(X, Y))
    first = models[0]
    for other in models[1:]:
        assert (other.bias_variance_, other.noise_) == (first.bias_variance_, first.noise_)
        np.testing.assert_allclose(other.predict(QUERIES), first.predict(QUERIES))
    deviation = first.predict(QUERIES, return_std=True)[1]
    for model in models[1:3]:  # the same scale; only degrees of freedom tell the laws apart
        degrees = 2 * model.shape + len(X)
        np.testing.assert_allclose(
            model.predict(QUERIES, return_std=True)[1], deviation * math.sqrt(degrees / (degrees - 2))
        )
    student, targets = models[1], torch.from_numpy(Y - Y.mean())

    def evidence(unit: float, bias: float, noise: float) -> float:
        gram = NamedKernel("nngp-relu", depth=2, bias_variance=bias)(X, X) + noise * np.eye(len(X))
        return float(student_t_process(torch.from_numpy(unit * gram), 0.7, 2.0).log_density(targets))

    best = evidence(student.unit_, student.bias_variance_, student.noise_)
    for factors in ((1.2, 1, 1), (0.8, 1, 1), (1, 10**0.5, 1), (1, 10**-0.5, 1), (1, 1, 1.26), (1, 1, 0.79)):
        unit, bias, noise = (
            factor * value
            for factor, value in zip(factors, (student.unit_, student.bias_variance_, student.noise_), strict=True)
        )
        distance = float(targets @ np.linalg.solve(np.asarray(gram_of(bias, noise)), targets))
        unit = unit if factors[0] != 1 else distance / len(X) * 0.7 / 2.0
        assert evidence(unit, bias, noise) <= best + 1e-9


def gram_of(bias: float, noise: float) -> np.ndarray:
    return NamedKernel("nngp-relu", depth=2, bias_variance=bias)(X, X) + noise * np.eye(len(X))


def test_importance_sampling_is_the_closed_form_and_quadrature() -> None:
    count, distance, z = 12, 20.0, np.linspace(-4, 4, 9)
    prior = stats.invgamma(2.0, scale=2.0)
    sampled = ImportanceLaw.of(prior.rvs(200_000, random_state=0), count, distance)
    exact = inverse_gamma_law(2.0, 2.0, count, distance)
    np.testing.assert_allclose(sampled.logpdf(z), exact.logpdf(z), atol=0.01)
    np.testing.assert_allclose(sampled.ppf([0.05, 0.5, 0.99]), exact.ppf([0.05, 0.5, 0.99]), atol=0.01)
    assert sampled.std() == pytest.approx(exact.std(), rel=0.01)
    burr = stats.burr12(2, 3)

    def joint(s: float, value: float | None = None) -> float:
        like = burr.pdf(s) * s ** (-count / 2) * math.exp(-distance / (2 * s))
        return like * (1.0 if value is None else stats.norm.pdf(value, scale=math.sqrt(s)))

    wanted = [math.log(quad(joint, 0, 30, (v,))[0] / quad(joint, 0, 30)[0]) for v in z]
    found = ImportanceLaw.of(burr.rvs(200_000, random_state=0), count, distance).logpdf(z)
    np.testing.assert_allclose(found, wanted, atol=0.02)


@pytest.mark.parametrize("unit", [1e-9, 1e9])
def test_the_unit_of_the_targets_does_not_matter(unit: float) -> None:
    plain, other = (ScaleMixtureRegressor(depth=2).fit(X, scale * Y) for scale in (1.0, unit))
    np.testing.assert_allclose(other.predict(QUERIES), unit * plain.predict(QUERIES), rtol=1e-6)
    np.testing.assert_allclose(
        other.log_density(QUERIES, unit * Y[:7]), plain.log_density(QUERIES, Y[:7]) - math.log(unit), atol=1e-6
    )


@pytest.mark.parametrize(("settings", "said"), [
    ({"shape": 0.0}, "shape, rate: got 0.0"), ({"rate": math.inf}, "shape, rate"), ({"noise": 0.0}, "noise: got 0.0"),
    ({"unit": -1.0}, "unit: got -1.0"), ({"draws": 0}, "draws: got 0"),
    ({"scale_prior": stats.norm()}, "scale_prior: got draws such as"), ({"kernel": "rfb"}, "kernel: got 'rfb'"),
])  # fmt: skip
def test_bad_settings_are_named(settings: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ScaleMixtureRegressor(**settings).fit(X, Y)
    with pytest.raises(ValueError, match="want a square matrix"):
        student_t_process(torch.zeros(2, 3))
