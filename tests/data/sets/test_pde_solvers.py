"""The solvers behind the solution maps against exact solutions, their orders, their random fields, and the cache."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from replica.data import SolutionMap, burgers, darcy, helmholtz
from replica.data.sets import solution_maps
from replica.data.sets.burgers_equation import solve_burgers
from replica.data.sets.darcy_flow import solve_darcy
from replica.data.sets.helmholtz_equation import EXCITED, _wave, solve_helmholtz, uniform_wave
from replica.data.sets.random_fields import MODES, cosine_field, periodic_field


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(solution_maps, "_folder", lambda: tmp_path / "maps")
    return tmp_path / "maps"


def square(intervals: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    x, y = np.meshgrid(*2 * [np.linspace(0, 1, intervals + 1)], indexing="ij")
    return x, y


def order(error: Callable[[int], float], coarse: int, fine: int) -> float:
    return float(np.log(error(coarse) / error(fine)) / np.log(fine / coarse))


# --- Darcy ---------------------------------------------------------------------------------------------------------------


def test_darcy_is_of_second_order() -> None:
    def error(n: int) -> float:
        x, y = square(n)
        a, u = np.exp(np.sin(2 * x + y)), np.sin(np.pi * x) * np.sin(2 * np.pi * y)
        slope = np.cos(2 * x + y) * a
        source = 5 * np.pi**2 * a * u - np.pi * slope * (
            2 * np.cos(np.pi * x) * np.sin(2 * np.pi * y) + 2 * np.sin(np.pi * x) * np.cos(2 * np.pi * y)
        )
        return float(np.abs(solve_darcy(a, source) - u).max())

    assert order(error, 16, 32) == pytest.approx(2, abs=0.1)
    assert order(error, 32, 64) == pytest.approx(2, abs=0.05)


def test_darcy_balances_what_flows_in_and_out() -> None:
    """Brute force: every node's equation, written out."""
    rng = np.random.default_rng(0)
    a, source = rng.uniform(1, 10, (9, 9)), rng.normal(size=(9, 9))
    u = solve_darcy(a, source)
    assert not u[[0, -1]].any()
    assert not u[:, [0, -1]].any()
    for i in range(1, 8):
        for j in range(1, 8):
            out = sum(
                2 * a[i, j] * a[k, m] / (a[i, j] + a[k, m]) * (u[i, j] - u[k, m])
                for k, m in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1))
            )
            assert out * 64 == pytest.approx(source[i, j], abs=1e-10)


def test_darcy_through_layers() -> None:
    """Far from the sides, layers across x are a one-dimensional problem with an exact answer; f = 1 and a jump halfway."""
    a = np.ones((65, 65))
    a[:32] = 4.0
    tall = solve_darcy(np.repeat(a[:, :1], 65, axis=1), np.ones((65, 65)))
    reflected = solve_darcy(np.repeat(a[::-1, :1], 65, axis=1), np.ones((65, 65)))
    np.testing.assert_allclose(tall, reflected[::-1], atol=1e-12)
    np.testing.assert_allclose(solve_darcy(a.T, np.ones((65, 65))), tall.T, atol=1e-12)
    np.testing.assert_allclose(solve_darcy(2 * a, np.ones((65, 65))), tall / 2, atol=1e-12)


def test_darcy_data() -> None:
    two_phase = darcy("two-phase", count=3, resolution=16, seed=1)
    assert two_phase.inputs.shape == two_phase.outputs.shape == (3, 1, 17, 17)
    assert two_phase.inputs.dtype == two_phase.outputs.dtype == np.float32
    assert set(np.unique(two_phase.inputs)) == {3.0, 12.0}
    assert (two_phase.boundary, two_phase.spacing, two_phase.grid, len(two_phase)) == (
        "dirichlet",
        (1 / 16, 1 / 16),
        (17, 17),
        3,
    )
    assert (two_phase.outputs[:, :, 1:-1, 1:-1] > 0).all()
    # Between the solutions of −12 Δu = 1 and −3 Δu = 1.
    poisson = solve_darcy(np.ones((17, 17)), np.ones((17, 17)))
    assert (two_phase.outputs <= poisson / 3 + 1e-6).all()
    assert (two_phase.outputs >= poisson / 12 - 1e-6).all()
    smooth = darcy("smooth", count=3, resolution=16, seed=1)
    assert ((smooth.inputs > 1) == (two_phase.inputs == 12)).all()  # one field, two permeabilities


# --- Helmholtz -----------------------------------------------------------------------------------------------------------


def test_helmholtz_is_of_fourth_order_with_a_source() -> None:
    def error(n: int) -> float:
        x, y = square(n)
        k = 20 + 2 * np.cos(np.pi * x) * np.cos(2 * np.pi * y)
        one, two = np.cos(2 * np.pi * x) * np.cos(np.pi * y), np.cos(3 * np.pi * y)
        source = 5 * np.pi**2 * one + 9 * np.pi**2 * two - k**2 * (one + two)
        return float(np.abs(solve_helmholtz(k, source) - one - two).max())

    assert order(error, 32, 64) == pytest.approx(4, abs=0.1)


def test_waves_travel_with_an_error_of_sixth_order() -> None:
    """A standing wave near resonance: its height shows how far the grid's wavenumber is off."""

    def error(n: int) -> float:
        x, y = square(n)
        wave = np.cos(9 * np.pi * x) * np.cos(13 * np.pi * y)
        away = 0.2
        k = np.sqrt(250 * np.pi**2 - away)
        return float(np.abs(solve_helmholtz(np.full_like(x, k), away * wave) - wave).max())

    assert order(error, 64, 128) == pytest.approx(6, abs=0.3)


def test_an_excited_wave_becomes_that_of_another_speed() -> None:
    def error(n: int) -> float:
        exact = uniform_wave(49.9, EXCITED, n)
        found = _wave(np.full((n + 1, n + 1), 49.9), uniform_wave(50.0, EXCITED, n))
        return float(np.abs(found - exact).max() / np.abs(exact).max())

    assert error(64) < 3e-3
    assert order(error, 32, 64) > 4


def test_the_wave_of_one_speed_solves_its_equation() -> None:
    n = 400
    u = uniform_wave(20.0, EXCITED, n)
    inner = u[1:-1, 1:-1]
    laplacian = (u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2] - 4 * inner) * n**2
    away = slice(None, 300)  # the corners of the excitation are singular
    residual = (laplacian + 400 * inner)[:, away]
    assert np.abs(residual).max() < 0.01 * np.abs(400 * inner).max()
    top = (3 * u[:, -1] - 4 * u[:, -2] + u[:, -3]) * n / 2
    x = np.linspace(0, 1, n + 1)
    clear = np.minimum(np.abs(x - EXCITED[0]), np.abs(x - EXCITED[1])) > 0.05
    np.testing.assert_allclose(top[clear], ((x > EXCITED[0]) & (x < EXCITED[1]))[clear], atol=0.05)
    for side in (3 * u[0] - 4 * u[1] + u[2], 3 * u[:, 0] - 4 * u[:, 1] + u[:, 2]):
        assert np.abs(side * n / 2).max() < 0.05


def test_helmholtz_data() -> None:
    coarse, fine = helmholtz(count=2, resolution=64), helmholtz(count=2, resolution=128)
    assert coarse.inputs.shape == (2, 1, 65, 65)
    assert coarse.boundary == "neumann"
    assert np.abs(coarse.inputs - 20).max() < 0.5
    np.testing.assert_allclose(fine.inputs[..., ::2, ::2], coarse.inputs, atol=1e-5)
    gap = np.linalg.norm(fine.outputs[..., ::2, ::2] - coarse.outputs) / np.linalg.norm(coarse.outputs)
    assert gap < 0.01
    with pytest.raises(ValueError, match="resolution is 16; want a whole number, 32 or more"):
        helmholtz(resolution=16)


# --- Burgers -------------------------------------------------------------------------------------------------------------


def cole_hopf(start: np.ndarray[Any, Any], viscosity: float, time: float) -> np.ndarray[Any, Any]:
    """The exact solution for a zero mean: u = −2ν φ_x / φ, and φ = exp(−∫u/2ν) follows the heat equation."""
    n = start.shape[-1]
    k = 2j * np.pi * np.arange(n // 2 + 1)
    modes = np.fft.rfft(start)
    modes[..., 1:] /= k[1:]
    modes[..., 0] = 0
    heat = np.fft.rfft(np.exp(-np.fft.irfft(modes, n) / (2 * viscosity))) * np.exp(viscosity * k**2 * time)
    return np.asarray(-2 * viscosity * np.fft.irfft(k * heat, n) / np.fft.irfft(heat, n))


def test_burgers_is_exact_in_space_and_of_fourth_order_in_time() -> None:
    start = periodic_field(4, 256, seed=0)
    exact = cole_hopf(start, 0.1, 1.0)
    np.testing.assert_allclose(solve_burgers(start, viscosity=0.1, time=1.0, steps=400), exact, atol=1e-8)

    wave = np.sin(2 * np.pi * np.arange(64) / 64)[None]
    after = cole_hopf(wave, 0.05, 0.2)

    def error(steps: int) -> float:
        return float(np.abs(solve_burgers(wave, viscosity=0.05, time=0.2, steps=steps) - after).max())

    assert order(error, 16, 32) == pytest.approx(4, abs=0.2)


def test_burgers_data() -> None:
    data = burgers(count=5, resolution=32, seed=2)
    assert data.inputs.shape == (5, 1, 32)
    assert (data.boundary, data.spacing) == ("periodic", (1 / 32,))
    np.testing.assert_allclose(data.outputs.mean(axis=-1), 0, atol=1e-6)  # conserved
    finer = burgers(count=5, resolution=64, seed=2)
    np.testing.assert_allclose(finer.inputs[..., ::2], data.inputs, atol=1e-6)
    np.testing.assert_allclose(finer.outputs[..., ::2], data.outputs, atol=1e-6)


# --- fields --------------------------------------------------------------------------------------------------------------


def test_fields_have_their_covariance() -> None:
    fields = cosine_field(800, 16, seed=0)
    nodes = np.linspace(0, 1, 17)
    variance = np.zeros((17, 17))
    for k in range(MODES):
        for m in range(MODES):
            if k + m and k < 16 and m < 16:
                weight = (2 if k else 1) * (2 if m else 1) * (np.pi**2 * (k**2 + m**2) + 9) ** -2.0
                variance += weight * np.cos(np.pi * k * nodes)[:, None] ** 2 * np.cos(np.pi * m * nodes) ** 2
    np.testing.assert_allclose(fields.var(axis=0), variance, rtol=0.25)
    assert np.mean(fields.var(axis=0) / variance) == pytest.approx(1, abs=0.06)

    waves = periodic_field(2000, 64, seed=0)
    k = np.arange(1, 32)
    assert waves.var() == pytest.approx((2 * 625 * (4 * np.pi**2 * k**2 + 25) ** -2.0).sum(), rel=0.06)


@pytest.mark.parametrize("draw", [cosine_field, periodic_field])
def test_a_sample_is_one_function(draw: Callable[..., np.ndarray[Any, Any]]) -> None:
    few, many = draw(2, 160, seed=3), draw(5, 160, seed=3)
    np.testing.assert_allclose(few, many[:2], atol=1e-12)
    assert np.abs(few[0] - few[1]).max() > 0.01
    assert np.abs(few - draw(2, 160, seed=4)).max() > 0.01
    every = (slice(None), *(slice(None, None, 2) for _ in few.shape[1:]))
    np.testing.assert_allclose(draw(2, 320, seed=3)[every], few, atol=1e-12)


def test_cosine_fields_have_no_slope_at_the_sides() -> None:
    field = cosine_field(1, 256, seed=0)[0]
    slopes = np.abs(np.diff(field, axis=0))
    # Even about the side: the first step is of second order in the spacing.
    assert slopes[0].mean() < 0.2 * slopes.mean()


# --- the cache -----------------------------------------------------------------------------------------------------------


MAKERS: list[Callable[..., SolutionMap]] = [
    lambda **k: darcy("two-phase", **k),
    lambda **k: darcy("smooth", **k),
    burgers,
    helmholtz,
]


@pytest.mark.parametrize("make", MAKERS)
def test_what_is_cached_is_what_was_made(make: Callable[..., SolutionMap], own_cache: Path) -> None:
    first = make(count=2, resolution=32, seed=0)
    files = list(own_cache.iterdir())
    assert len(files) == 1
    assert files[0].suffix == ".npz"
    stamp = files[0].stat().st_mtime_ns
    second = make(count=2, resolution=32, seed=0)
    assert files[0].stat().st_mtime_ns == stamp
    for name in ("inputs", "outputs"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert (first.boundary, first.spacing) == (second.boundary, second.spacing)
    files[0].write_bytes(files[0].read_bytes()[:200])  # a damaged file is made again
    np.testing.assert_array_equal(make(count=2, resolution=32, seed=0).outputs, first.outputs)
    make(count=2, resolution=32, seed=1)
    make(count=3, resolution=32, seed=0)
    assert len(list(own_cache.iterdir())) == 3


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(solution_maps, "_folder", lambda: tmp_path / "file" / "maps")
    assert len(burgers(count=2, resolution=16)) == 2


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_a_cache_with_pickles_is_not_loaded(own_cache: Path) -> None:
    first = burgers(count=2, resolution=16)
    (file,) = own_cache.iterdir()
    np.savez(file, inputs=np.array([Trap(own_cache / "sprung")]), outputs=np.array([0.0]))
    np.testing.assert_array_equal(burgers(count=2, resolution=16).outputs, first.outputs)
    assert not (own_cache / "sprung").exists()


def test_the_version_is_part_of_the_key(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    burgers(count=2, resolution=16)
    monkeypatch.setattr("replica.data.sets.burgers_equation.VERSION", 99)
    burgers(count=2, resolution=16)
    assert len(list(own_cache.iterdir())) == 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: darcy("rough"), "coefficient is 'rough'; want 'smooth' or 'two-phase'"),  # type: ignore[arg-type]
        (lambda: darcy(count=0), "darcy: count is 0; want a whole number, 1 or more"),
        (lambda: darcy(resolution=3), "resolution is 3"),
        (lambda: burgers(count=2.5), "count is 2.5"),  # type: ignore[arg-type]
    ],
)
def test_wrong_requests(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_progress_shows_on_a_terminal_only_after_a_while(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert list(solution_maps.shown_after_a_while(range(3), 3, "Solving")) == [0, 1, 2]
    monkeypatch.setattr(solution_maps, "_SILENT_SECONDS", -1.0)
    assert list(solution_maps.shown_after_a_while(range(3), 3, "Solving")) == [0, 1, 2]
    assert capsys.readouterr().err == ""  # no terminal
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert list(solution_maps.shown_after_a_while(range(3), 3, "Solving")) == [0, 1, 2]
    assert "Solving" in capsys.readouterr().err
