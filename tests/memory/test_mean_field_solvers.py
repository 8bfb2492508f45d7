"""The proximal operator against softmax, projection and its optimality; solvers against Newton's method and each other."""

import math

import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor
from torch.nn.functional import softmax

from replica.memory import NodeLayout, attach_gradient, forward_backward, mean_field, softmax_prox
from replica.memory.mean_field_solvers import conjugate_gradients

LAYOUT = NodeLayout(((4, 2), (2, 3)))


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def monotone_couplings(margin: float = 0.1, seed: int = 0, strength: float = 3.0) -> Tensor:
    """Any hollow matrix, shifted into the condition by scaling its positive part: Φ ⪯ (1 − m) I."""
    free = torch.randn(LAYOUT.entries, LAYOUT.entries, generator=drawn(seed), dtype=torch.float64)
    free = strength * (free + free.T)
    node = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 4, 5, 5, 5])
    free = torch.where(node[:, None] == node, 0.0, free)
    return free * (1 - margin) / torch.linalg.eigvalsh(free)[-1]


def simplex_projection(y: Tensor) -> Tensor:
    ordered = y.sort(descending=True).values
    sums = ordered.cumsum(0) - 1
    count = int((ordered * torch.arange(1, len(y) + 1) > sums).sum())
    return (y - sums[count - 1] / count).clamp_min(0)


# --- The proximal operator


@pytest.mark.parametrize("shape", [(2,), (5, 3), (2, 3, 20)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_prox_of_step_one_is_softmax(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    y = torch.randn(shape, generator=drawn(), dtype=dtype)
    torch.testing.assert_close(softmax_prox(y, 1.0), softmax(y, -1))
    torch.testing.assert_close(softmax_prox(y, 1 - 1e-5), softmax(y, -1), atol=1e-4, rtol=0)


def test_prox_of_a_small_step_is_the_projection() -> None:
    for seed in range(5):
        y = torch.randn(6, generator=drawn(seed), dtype=torch.float64)
        torch.testing.assert_close(softmax_prox(y, 1e-7), simplex_projection(y), atol=1e-5, rtol=0)


@pytest.mark.parametrize("step", [1e-3, 0.05, 0.3, 0.9])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_prox_meets_its_optimality_condition(step: float, scale: float) -> None:
    """α ln x + (1 − α) x − y is the same for all states that have any probability, and x sums to 1."""
    y = scale * torch.randn(200, 7, generator=drawn(), dtype=torch.float64)
    x = softmax_prox(y, step)
    assert torch.isfinite(x).all()
    torch.testing.assert_close(x.sum(-1), torch.ones(200, dtype=torch.float64))
    level = step * x.clamp_min(1e-300).log() + (1 - step) * x - y
    highest = level.gather(-1, x.argmax(-1, keepdim=True))
    counts = x > 1e-12
    assert float(((level - highest).abs() * counts).max()) < 1e-7 * max(1, scale)


def test_prox_minimises_its_objective() -> None:
    """Against SciPy on the softmax's logits, which know no constraint."""
    y, step = torch.tensor([0.3, -1.0, 0.8], dtype=torch.float64), 0.25

    def objective(logits: list[float]) -> float:
        x = softmax(torch.tensor(logits, dtype=torch.float64), -1)
        return float(0.5 * (x - y).square().sum() + step * ((x * x.log()).sum() - 0.5 * x.square().sum()))

    found = minimize(objective, [0.0, 0.0, 0.0], method="BFGS", options={"gtol": 1e-9})
    torch.testing.assert_close(
        softmax_prox(y, step), softmax(torch.tensor(found.x, dtype=torch.float64), -1), atol=1e-6, rtol=0
    )


def test_prox_is_nonexpansive_and_its_start_does_not_matter() -> None:
    y, z = (3 * torch.randn(100, 5, generator=drawn(seed), dtype=torch.float64) for seed in (0, 1))
    a, b = softmax_prox(y, 0.2), softmax_prox(z, 0.2)
    assert bool(((a - b).norm(dim=-1) * 1.2 <= (y - z).norm(dim=-1) + 1e-12).all())  # curvature 1 along the simplex
    torch.testing.assert_close(softmax_prox(y, 0.2, start=b), a)
    corner = torch.eye(5, dtype=torch.float64)[0].expand(100, 5)
    torch.testing.assert_close(softmax_prox(y, 0.2, start=corner), a)


def test_prox_gradient() -> None:
    y = torch.randn(3, 4, generator=drawn(), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda y: softmax_prox(y, 0.3), y)


@pytest.mark.parametrize("step", [0.0, -1.0, 1.5, math.nan])
def test_prox_refuses_steps_out_of_range(step: float) -> None:
    with pytest.raises(ValueError, match="step: got"):
        softmax_prox(torch.zeros(2), step)


# --- Layouts


def test_layout_goes_round_and_merges_equal_layers() -> None:
    layout = NodeLayout(((2, 2), (3, 2), (1, 4)))
    rows = torch.randn(5, layout.entries, generator=drawn())
    assert torch.equal(layout.join(layout.split(rows)), rows)
    assert layout.merged.layers == ((5, 2), (1, 4))
    expected = layout.join([part.softmax(-1) for part in layout.split(rows)])
    torch.testing.assert_close(layout.softmax(rows), expected)


@pytest.mark.parametrize("layers", [(), ((0, 2),), ((3, 1),)])
def test_layout_refuses_empty_layers(layers: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(ValueError, match="layers: got"):
        NodeLayout(layers)


# --- Solvers


@pytest.mark.parametrize("margin", [0.1, -0.8])
@pytest.mark.parametrize("momentum", [True, False])
def test_forward_backward_finds_the_minimum_of_the_free_energy_from_any_start(margin: float, momentum: bool) -> None:
    """Against SciPy's minimum of the free energy −½ qᵀΦq − bᵀq + Σ q ln q over the logits of q."""
    matrix = monotone_couplings(margin)
    unary = torch.randn(1, LAYOUT.entries, generator=drawn(1), dtype=torch.float64)
    start = LAYOUT.random_marginals(20, sharpness=20.0, generator=drawn(2), like=unary)
    lipschitz = 1 - float(torch.linalg.eigvalsh(matrix)[0])
    found = forward_backward(
        lambda q: q @ matrix, unary.expand(20, -1), LAYOUT,
        lipschitz=lipschitz, margin=margin, momentum=momentum, start=start, tolerance=1e-11, steps=20_000,
    )  # fmt: skip
    assert bool(found.converged.all())
    assert float(found.residual.max()) < 1e-9
    assert float((found.marginals - found.marginals[0]).abs().max()) < 1e-9

    def energy(logits: Tensor) -> Tensor:
        q = LAYOUT.softmax(logits[None])
        return (-0.5 * (q @ matrix * q) - unary * q + q * q.clamp_min(1e-300).log()).sum()

    logits = torch.zeros(LAYOUT.entries, dtype=torch.float64, requires_grad=True)
    descent = torch.optim.LBFGS(
        [logits], max_iter=2000, tolerance_grad=1e-12, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        descent.zero_grad()
        value = energy(logits)
        value.backward()
        return value

    descent.step(closure)
    torch.testing.assert_close(found.marginals[:1], LAYOUT.softmax(logits.detach()[None]), atol=1e-6, rtol=0)


def test_the_rate_is_the_one_promised() -> None:
    """Without momentum the distance to the solution falls by max(1 − αm, αL − 1) / (1 + α) a step at least."""
    matrix = monotone_couplings(0.3)
    lipschitz = 1 - float(torch.linalg.eigvalsh(matrix)[0])
    unary = torch.randn(1, LAYOUT.entries, generator=drawn(1), dtype=torch.float64)
    settings = {"lipschitz": lipschitz, "margin": 0.3, "momentum": False}
    exact = forward_backward(lambda q: q @ matrix, unary, LAYOUT, **settings, tolerance=1e-13, steps=5000).marginals
    alpha = min(1.0, 2 / (lipschitz + 0.3))
    rate = max(1 - 0.3 * alpha, alpha * lipschitz - 1) / (1 + alpha)
    start = LAYOUT.random_marginals(1, generator=drawn(3), like=unary)
    distance = float((start - exact).norm())
    for steps in (1, 3, 10):
        q = forward_backward(lambda q: q @ matrix, unary, LAYOUT, **settings, start=start, steps=steps, tolerance=1e-15)
        assert float((q.marginals - exact).norm()) <= rate**steps * distance + 1e-12


def test_solvers_agree_where_both_converge_and_known_nodes_stay() -> None:
    matrix = 0.3 * monotone_couplings(0.1)
    unary = torch.randn(6, LAYOUT.entries, generator=drawn(1), dtype=torch.float64)
    start = LAYOUT.random_marginals(6, generator=drawn(2), like=unary)
    known = torch.zeros_like(unary, dtype=torch.bool)
    known[:3, :2] = known[2:, 8:11] = True
    given = {"start": start, "known": known, "tolerance": 1e-11}
    proximal = forward_backward(lambda q: q @ matrix, unary, LAYOUT, lipschitz=8.0, margin=0.1, **given)
    for damping in (0.0, 0.5):
        plain = mean_field(lambda q: q @ matrix, unary, LAYOUT, damping=damping, **given)
        assert bool(plain.converged.all())
        torch.testing.assert_close(plain.marginals, proximal.marginals, atol=1e-8, rtol=0)
    assert torch.equal(proximal.marginals[known], start[known])


def test_rows_do_not_depend_on_their_company() -> None:
    matrix = monotone_couplings()
    unary = torch.randn(5, LAYOUT.entries, generator=drawn(1), dtype=torch.float64)
    settings = {"lipschitz": 10.0, "margin": 0.1, "tolerance": 1e-4}
    together = forward_backward(lambda q: q @ matrix, unary, LAYOUT, **settings)
    assert len(set(together.steps.tolist())) > 1
    for row in range(5):
        alone = forward_backward(lambda q: q @ matrix, unary[row : row + 1], LAYOUT, **settings)
        torch.testing.assert_close(alone.marginals[0], together.marginals[row], atol=1e-9, rtol=0)
        assert int(alone.steps) == int(together.steps[row])


def test_plain_mean_field_has_several_solutions_without_the_condition() -> None:
    """Two nodes that attract strongly: both agree, on either state."""
    attract = 5 * torch.eye(2).repeat(2, 2) * (1 - torch.eye(2)).repeat_interleave(2, 0).repeat_interleave(2, 1)
    start = torch.tensor([[0.9, 0.1, 0.9, 0.1], [0.1, 0.9, 0.1, 0.9]])
    found = mean_field(lambda q: q @ attract, torch.zeros(2, 4), NodeLayout(((2, 2),)), start=start)
    assert bool(found.converged.all())
    assert float((found.marginals[0] - found.marginals[1]).abs().max()) > 0.9


def test_the_gradient_of_the_fixed_point_is_that_of_unrolled_steps() -> None:
    matrix = monotone_couplings().requires_grad_()
    unary = torch.randn(3, LAYOUT.entries, generator=drawn(1), dtype=torch.float64, requires_grad=True)
    weights = torch.randn(3, LAYOUT.entries, generator=drawn(2), dtype=torch.float64)

    def couple(q: Tensor) -> Tensor:
        return q @ (matrix + matrix.T) / 2

    with torch.no_grad():
        found = forward_backward(couple, unary, LAYOUT, lipschitz=10.0, margin=0.1, tolerance=1e-13, steps=5000)
    implicit = attach_gradient(couple(found.marginals) + unary, couple, LAYOUT, tolerance=1e-12)
    ours = torch.autograd.grad((weights * implicit).sum(), (matrix, unary))
    q = found.marginals
    for _ in range(400):
        q = 0.9 * q + 0.1 * LAYOUT.softmax(couple(q) + unary)
    unrolled = torch.autograd.grad((weights * q).sum(), (matrix, unary))
    for mine, theirs in zip(ours, unrolled, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-7, rtol=1e-5)


def test_conjugate_gradients_solve_each_row() -> None:
    half = torch.randn(6, 6, generator=drawn(), dtype=torch.float64)
    matrix = half @ half.T + torch.eye(6)
    right = torch.randn(4, 6, generator=drawn(1), dtype=torch.float64) * torch.tensor([[1.0], [1e-6], [0.0], [1e6]])
    found = conjugate_gradients(lambda x: x @ matrix, right, steps=50, tolerance=1e-12)
    torch.testing.assert_close(found, torch.linalg.solve(matrix, right.T).T, rtol=1e-8, atol=1e-14)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"lipschitz": 0.0}, "lipschitz"),
        ({"lipschitz": 1.0, "margin": -1.0}, "margin"),
        ({"lipschitz": 1.0, "steps": 0}, "steps"),
        ({"lipschitz": 1.0, "tolerance": 0.0}, "tolerance"),
        ({"lipschitz": 1.0, "start": torch.zeros(2, 4)}, "start"),
        ({"lipschitz": 1.0, "known": torch.zeros(1, 4, dtype=torch.bool)}, "start"),
    ],
)
def test_bad_arguments_are_named(arguments: dict, named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named}: got"):
        forward_backward(lambda q: q, torch.zeros(1, 4), NodeLayout(((2, 2),)), **arguments)
    with pytest.raises(ValueError, match="damping: got"):
        mean_field(lambda q: q, torch.zeros(1, 4), NodeLayout(((2, 2),)), damping=1.0)
    with pytest.raises(ValueError, match="unary: got"):
        mean_field(lambda q: q, torch.zeros(1, 5), NodeLayout(((2, 2),)))


def test_conjugate_gradients_and_newtons_method_tell_where_they_have_not_converged() -> None:
    matrix = torch.diag(torch.linspace(1, 1e4, 30, dtype=torch.float64))
    with pytest.warns(RuntimeWarning, match="conjugate_gradients: 2 of 3 rows not within 1e-09 after 5 steps"):
        conjugate_gradients(
            lambda rows: rows @ matrix, torch.ones(3, 30).double() * torch.tensor([1.0, 0.0, 2.0])[:, None], steps=5,
            tolerance=1e-9,
        )  # fmt: skip
    with pytest.warns(RuntimeWarning, match="softmax_prox: not within"):
        softmax_prox(torch.tensor([0.0, math.nan]), 0.5)


@pytest.mark.parametrize("strength", [0.5, 2.0, 6.0])
@pytest.mark.parametrize("tolerance", [1e-3, 1e-8])
def test_what_has_converged_has_a_small_residual(strength: float, tolerance: float) -> None:
    """Machines from weak to strong, monotone and not, all solvers: what moves no more solves the equations."""
    layout, draw = NodeLayout(((6, 2), (3, 3))), torch.Generator().manual_seed(1)
    factor = torch.randn(4, layout.entries, generator=draw, dtype=torch.float64)
    nodes = torch.block_diag(*[torch.ones(2, 2)] * 6, *[torch.ones(3, 3)] * 3).bool()
    coupling = (-strength / 4 * factor.T @ factor).masked_fill(nodes, 0.0)
    unary = torch.randn(20, layout.entries, generator=draw, dtype=torch.float64)
    values = torch.linalg.eigvalsh(torch.eye(layout.entries) - coupling)
    start = layout.random_marginals(20, generator=draw, like=unary)
    seen = []
    for steps in (3, 30, 3000):
        options = {"start": start, "steps": steps, "tolerance": tolerance}
        found = [mean_field(lambda q: q @ coupling, unary, layout, damping=damping, **options) for damping in (0, 0.7)]
        if values[0] > -1:
            bounds = {"lipschitz": float(values[-1]), "margin": float(values[0])}
            found.append(forward_backward(lambda q: q @ coupling, unary, layout, **bounds, **options))
        for solution in found:
            assert (solution.residual[solution.converged] < 10 * tolerance).all()
            seen += solution.converged.tolist()
    assert set(seen) == {True, False}
