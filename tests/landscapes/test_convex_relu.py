"""Convex training of two-layer ReLU networks: patterns by count and sampling, optimality by duality, KKT, and other solvers."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from replica.landscapes import (
    ConvexReluClassifier,
    ConvexReluRegressor,
    activation_patterns,
    convex_relu_admm,
    robust_convex_relu,
    sampled_patterns,
)
from replica.landscapes.robust_convex_relu import hinge_step, onto_box_cone


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


@pytest.mark.parametrize(("rows", "dim"), [(6, 1), (9, 2), (8, 3), (6, 4), (2, 4)])
def test_there_are_as_many_patterns_as_cover_says(rows, dim):
    found = activation_patterns(randn(rows, dim))
    assert len(found) == 2 * sum(math.comb(rows - 1, k) for k in range(dim))


def test_patterns_are_those_that_directions_have_though_rows_repeat():
    inputs = torch.tensor([[1.0, 1, 0], [2.0, 2, 0], [-1.0, -1, 0], [1, 0, 0], [0, 0, 0], [0, 1, 1], [1, 2, 1]])
    many = sampled_patterns(inputs, 20_000, generator=seeded())
    assert set(map(tuple, activation_patterns(inputs).tolist())) == set(map(tuple, many.tolist()))
    along = sampled_patterns(inputs, 100, along_rows=True, generator=seeded())
    assert set(map(tuple, along.tolist())) <= set(map(tuple, many.tolist()))
    with pytest.raises(ValueError, match="sample patterns instead"):
        activation_patterns(randn(100, 6))


def problem(rows=12, dim=2, outputs=1):
    inputs = torch.cat([randn(rows, dim - 1), torch.ones(rows, 1).double()], 1)
    return inputs, inputs[:, :1].abs() + 0.3 * randn(rows, outputs, seed=1)


def test_the_optimum_is_certified_and_the_network_is_it():
    X, y = problem()
    patterns = activation_patterns(X)
    found = convex_relu_admm(X, y, patterns, penalty=0.2, steps=20_000, tolerance=1e-6)
    assert abs(found.gap) < 1e-6
    hidden, outer = found.layers()
    objective = ((X @ hidden.T).relu() @ outer.T - y).square().sum() / 2
    objective += 0.1 * (hidden.square().sum() + outer.square().sum())
    assert float(objective) == pytest.approx(found.objective, rel=1e-9)
    torch.testing.assert_close(found.network()(X).detach(), (X @ hidden.T).relu() @ outer.T)
    # No descent from anywhere goes below the bound, and one of some comes near it.
    ends = []
    for seed in range(5):
        start = randn(15 * 3, seed=seed).numpy()

        def descended(flat):
            weights = torch.from_numpy(flat).requires_grad_()
            hidden, outer = weights[:30].view(15, 2), weights[30:].view(1, 15)
            loss = ((X @ hidden.T).relu() @ outer.T - y).square().sum() / 2 + 0.1 * weights.square().sum()
            return loss.item(), torch.autograd.grad(loss, weights)[0].numpy()

        ends.append(minimize(descended, start, jac=True, method="L-BFGS-B", options={"maxiter": 500}).fun)
    assert found.bound <= min(ends) + 1e-9
    assert min(ends) < 1.01 * found.bound
    # Outputs are programmes of their own.
    both = convex_relu_admm(X, torch.cat([y, -2 * y], 1), patterns, penalty=0.2, steps=20_000, tolerance=1e-6)
    other = convex_relu_admm(X, -2 * y, patterns, penalty=0.2, steps=20_000, tolerance=1e-6)
    assert both.objective == pytest.approx(found.objective + other.objective, rel=1e-5)


def test_a_conic_solver_agrees():
    cvxpy = pytest.importorskip("cvxpy")
    X, y = problem(20, 3)
    patterns = sampled_patterns(X, 30, generator=seeded())
    active = patterns.T.double().numpy()
    v, w = (cvxpy.Variable((3, len(patterns))) for _ in range(2))
    fit = cvxpy.sum(cvxpy.multiply(active, X.numpy() @ (v - w)), axis=1) - y[:, 0].numpy()
    norms = cvxpy.sum(cvxpy.norm(v, 2, axis=0)) + cvxpy.sum(cvxpy.norm(w, 2, axis=0))
    signs = [cvxpy.multiply(2 * active - 1, X.numpy() @ each) >= 0 for each in (v, w)]
    programme = cvxpy.Problem(cvxpy.Minimize(cvxpy.sum_squares(fit) / 2 + 0.3 * norms), signs)
    found = convex_relu_admm(X, y, patterns, penalty=0.3, steps=20_000, tolerance=1e-5)
    assert found.objective == pytest.approx(programme.solve(solver="CLARABEL"), rel=1e-4)


def test_conditions_of_karush_kuhn_and_tucker():
    """Each used unit's slope is β along itself, with multipliers only where its constraint is tight: in one input, by hand."""
    X, y = problem()
    patterns = activation_patterns(X)
    found = convex_relu_admm(X, y, patterns, penalty=0.2, steps=20_000, tolerance=1e-7)
    residual = y[:, 0] - found.network()(X)[:, 0].detach()
    used = 0
    for side, pattern in itertools.product((0, 1), range(len(patterns))):
        weight, active = found.weights[0, side, pattern], patterns[pattern]
        slopes = (2 * active - 1.0) * (X @ weight)
        assert slopes.min() > -1e-3
        if weight.norm() > 1e-3 and slopes.min() > 1e-3:  # inside its cone
            used += 1
            pull = (1 - 2 * side) * X.T @ (active * residual)
            torch.testing.assert_close(pull, 0.2 * weight / weight.norm(), atol=2e-3, rtol=0)
    assert used


def test_iterates_kept_as_best_are_no_worse_and_large_penalties_leave_nothing():
    X, y = problem(60, 4)
    patterns = sampled_patterns(X, 20, generator=seeded())
    last, best = (convex_relu_admm(X, y, patterns, penalty=0.1, steps=400, keep=keep) for keep in ("last", "best"))
    assert best.objective <= last.objective + 1e-9
    assert best.objective == min(value for _, value in best.history)
    nothing = convex_relu_admm(X, y, patterns, penalty=1e4)
    assert not nothing.weights.any()
    assert nothing.objective == pytest.approx(float(y.square().sum() / 2))
    assert not nothing.network()(X).any()


def test_proximal_steps_of_the_robust_form_are_minima():
    radius = torch.tensor([0.3, 0.0, 1.0]).double()
    points = 2 * randn(40, 4)
    found = onto_box_cone(points, radius)
    assert (found[:, :3].abs() @ radius <= found[:, 3] + 1e-9).all()
    margins, values = randn(40, 3, seed=1), randn(40, 3, seed=2)
    moved, share = hinge_step(values, margins, radius, 0.7)
    assert ((share >= 0) & (share <= 1)).all()

    def hinge(q):
        return 0.7 * (1 - (margins * q).sum(1) + q.abs() @ radius).clamp_min(0) + (q - values).square().sum(1) / 2

    for seed in range(200):
        near = found + 0.1 * randn(40, 4, seed=seed)
        near[:, 3] = torch.maximum(near[:, 3], near[:, :3].abs() @ radius)
        assert ((near - points).norm(dim=1) >= (found - points).norm(dim=1) - 1e-9).all()
        assert (hinge(moved + 0.1 * randn(40, 3, seed=seed)) >= hinge(moved) - 1e-9).all()


def test_the_robust_objective_is_certified_and_bounds_the_worst_corner():
    X, _ = problem(10, 3)
    y = torch.where(X[:, 0] * X[:, 1] > 0, 1.0, -1.0).double()
    radius = torch.tensor([0.1, 0.1, 0.0]).double()
    patterns = sampled_patterns(X, 12, generator=seeded())
    found = robust_convex_relu(X, y, patterns, radius=radius, penalty=0.3, steps=1500, tolerance=1e-2)
    assert abs(found.gap) < 1e-2
    net = found.network()
    corners = [X + radius * torch.tensor(signs) for signs in itertools.product((-1.0, 1.0), repeat=3)]
    worst = torch.stack([(1 - y * net(rows)[:, 0].detach()).clamp_min(0) for rows in corners]).amax(0).sum()
    norms = found.weights.norm(dim=-1).sum()
    assert float(worst + 0.3 * norms) <= found.objective * 1.02
    plain = robust_convex_relu(X, y, patterns, radius=0 * radius, penalty=0.3, steps=500)
    assert plain.objective < found.objective


def test_the_sampled_programme_is_a_lasso_and_settings_are_checked():
    X, y = np.asarray(randn(50, 3)), np.asarray(randn(50, seed=3))
    model = ConvexReluRegressor("sampled", units=30, penalty=0.5, steps=1000, tolerance=1e-8, random_state=0).fit(X, y)
    inputs = np.c_[X, np.ones(50)]
    pulls = np.maximum(inputs @ model.hidden_.T, 0).T @ ((y - model.predict(X)) / model.scale_)
    np.testing.assert_allclose(pulls, 0.5 * np.sign(model.output_[0]), atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(model.hidden_, axis=1), 1)
    for settings in ({"solver": "sgd"}, {"penalty": 0.0}, {"units": 0}, {"robust_radius": 0.1, "solver": "sampled"}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            ConvexReluClassifier(**settings).fit(X, y > 0)


def test_a_robust_classifier_keeps_its_radius():
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=20)
    X = rng.normal(size=(20, 30)) * 0.3 + np.where(labels, 1.0, -1.0)[:, None] * 0.4
    model = ConvexReluClassifier(units=10, penalty=0.1, robust_radius=0.1, steps=300, random_state=0).fit(X, labels)
    assert model.score(X, labels) == 1
    # The gradient's sign is the worst move where no unit changes its pattern.
    inputs = torch.from_numpy(X).requires_grad_()
    ones = torch.ones(20, 1, dtype=torch.float64)
    hidden, outer = torch.from_numpy(model.hidden_), torch.from_numpy(model.output_)
    outputs = (torch.cat([inputs, ones], 1) @ hidden.T).relu() @ outer.T
    (slope,) = torch.autograd.grad((outputs[:, 0] * torch.from_numpy(2.0 * labels - 1)).sum(), inputs)
    assert model.score(X - 0.1 * slope.sign().numpy(), labels) == 1
