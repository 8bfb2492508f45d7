"""Equilibrium propagation: fixed points, responses to nudges, gradients and the homeostatic loss, each beside another way."""

import copy
import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from replica.plasticity import (
    EquilibriumPropagation,
    LayeredDynamics,
    RecurrentBackpropagation,
    cauchy_derivative,
    double_silu,
    homeostatic_loss,
    shifted_sigmoid,
    soft_relu,
    symmetry,
)

SIZES, CLASSES, ROWS = (7, 6, 5, 4), 3, 8
ACTIVATIONS = (shifted_sigmoid, double_silu, soft_relu)


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def network(angle: float = 90.0, seed: int = 0, **options: Any) -> LayeredDynamics:
    options = {"sweeps": 2000} | options
    return LayeredDynamics.of_sizes(SIZES, CLASSES, angle=angle, generator=drawn(seed), **options).double()


def data(seed: int = 1) -> tuple[Tensor, Tensor]:
    return torch.randn(ROWS, SIZES[0], generator=drawn(seed), dtype=torch.float64), torch.arange(ROWS) % CLASSES


def full_matrix(net: LayeredDynamics) -> Tensor:
    """W and γB as one matrix over the units of all layers."""
    ends = [0, *torch.tensor(SIZES[1:]).cumsum(0).tolist()]
    matrix = torch.zeros(ends[-1], ends[-1], dtype=torch.float64)
    blocks = [slice(a, b) for a, b in itertools.pairwise(ends)]
    for level in range(1, len(net.layers)):
        matrix[blocks[level], blocks[level - 1]] = net.layers[level].weight.detach()
    for (upper, lower), link in zip(net.links, net.feedback, strict=True):
        matrix[blocks[lower], blocks[upper]] = net.feedback_gain ** (upper - lower) * link.weight.detach()
    return matrix


def relative(found: Tensor, true: Tensor) -> float:
    return float((found - true).norm() / true.norm())


# --- Holomorphic functions


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_are_holomorphic_and_real_on_the_real_line(activation: Callable[[Tensor], Tensor]) -> None:
    real = torch.linspace(-2, 2, 9, dtype=torch.float64)
    torch.testing.assert_close(activation(real.to(torch.complex128)).real, activation(real))
    points, step = real + 0.3j, 1e-6
    along = (activation(points + step) - activation(points - step)) / (2 * step)
    across = (activation(points + 1j * step) - activation(points - 1j * step)) / (2j * step)
    torch.testing.assert_close(along, across, atol=1e-8, rtol=0)  # Cauchy and Riemann
    torch.testing.assert_close(activation(points.conj()), activation(points).conj().resolve_conj())


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_complex_activations_are_pytorchs(dtype: torch.dtype) -> None:
    values = torch.randn(200, generator=drawn(), dtype=torch.complex128).mul(0.5).to(dtype)
    torch.testing.assert_close(shifted_sigmoid(values), torch.sigmoid(4 * values - 2))
    torch.testing.assert_close(soft_relu(values, 2.0), values * torch.sigmoid(2 * values))
    far = shifted_sigmoid(torch.tensor([-1e4 + 1j, 1e4 + 1j], dtype=dtype))
    torch.testing.assert_close(far, torch.tensor([0, 1], dtype=dtype))


def test_activations_have_their_limits() -> None:
    far = torch.tensor([-50.0, 50.0])
    torch.testing.assert_close(shifted_sigmoid(far), torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(double_silu(far), torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(soft_relu(far), far.relu())
    slope = torch.func.grad(shifted_sigmoid)(torch.tensor(0.5))
    assert float(slope) == pytest.approx(1.0)


@pytest.mark.parametrize("points", [3, 4, 5, 8, 9])
def test_a_circle_gives_the_derivative_but_for_the_powers_it_cannot_tell_apart(points: int) -> None:
    """On N points r^N and all powers 1 + kN alias: the estimate is the sum of their coefficients, exactly."""
    coefficients = torch.randn(12, generator=drawn(), dtype=torch.float64)
    radius = 0.7

    def polynomial(nudges: Tensor) -> Tensor:
        powers = nudges[:, None] ** torch.arange(12)
        return (powers * coefficients).sum(1, keepdim=True)

    found = cauchy_derivative(polynomial, radius, points, dtype=torch.float64)
    aliased = sum(coefficients[k] * radius ** (k - 1) for k in range(1, 12, points))
    torch.testing.assert_close(found, torch.as_tensor(aliased).reshape(1))


def test_one_and_two_points_are_the_real_differences() -> None:
    one = cauchy_derivative(torch.exp, 0.5, 1, dtype=torch.float64)
    two = cauchy_derivative(torch.exp, 0.5, 2, dtype=torch.float64)
    assert float(one) == pytest.approx((math.exp(0.5) - 1) / 0.5)
    assert float(two) == pytest.approx(math.sinh(0.5) / 0.5)
    assert not two.is_complex()


# --- Fixed points


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("gain", [1.0, 0.3])
def test_layers_rest_where_all_at_once_would(activation: Callable[[Tensor], Tensor], gain: float) -> None:
    net, (inputs, _) = network(activation=activation, feedback_gain=gain), data()
    with torch.no_grad():
        net.layers[1].weight.mul_(0.7)
        settled = net.settle(inputs)
        assert settled.converged.all()
        matrix = full_matrix(net)
        constant = torch.cat([net.layers[0](inputs), *(layer.bias.expand(ROWS, -1) for layer in net.layers[1:])], dim=1)
        state = torch.zeros(ROWS, sum(SIZES[1:]), dtype=torch.float64)
        for _ in range(4000):
            state = 0.8 * state + 0.2 * activation(constant + state @ matrix.T)
    torch.testing.assert_close(torch.cat(settled.states, dim=1), state, rtol=1e-9, atol=1e-11)


def test_a_network_that_does_not_come_to_rest_says_so() -> None:
    net, (inputs, labels) = network(sweeps=2), data()
    settled = net.settle(inputs)
    assert not settled.converged.any()
    assert settled.sweeps == 2
    trainer = EquilibriumPropagation(net)
    trainer.step(inputs, labels)
    assert trainer.converged == 0
    trainer.converged = 1.0
    trainer.predict(inputs)
    assert trainer.converged == 0
    with pytest.warns(RuntimeWarning, match="LayeredDynamics: forward, 8 of 8 rows are not at rest after 2 sweeps"):
        scores = net(inputs)
    with pytest.warns(RuntimeWarning, match="LayeredDynamics: backward, 8 of 8"):
        scores.sum().backward()


def test_rows_that_leave_the_numbers_teach_nothing() -> None:
    net, (inputs, labels) = network(activation=lambda values: values * values, sweeps=60), data()
    with torch.no_grad():
        net.layers[0].weight.mul_(0.3)
    inputs = inputs * torch.tensor([1e-2] * 4 + [1e6] * 4, dtype=torch.float64)[:, None]
    trainer = EquilibriumPropagation(net, points=2)
    errors = trainer.errors(inputs, labels)
    assert trainer.converged == 0.5
    assert all(error[:4].abs().sum() > 0 for error in errors)
    assert all(not error[4:].any() for error in errors)


def test_damping_and_starts_do_not_move_the_fixed_point() -> None:
    net, (inputs, _) = network(), data()
    plain = net.settle(inputs).states
    net.damping = 0.5
    start = [torch.rand(ROWS, size, generator=drawn(3), dtype=torch.float64) for size in SIZES[1:]]
    for found, expected in zip(net.settle(inputs, start=start).states, plain, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)


def test_weak_feedback_leaves_a_forward_pass() -> None:
    net, (inputs, _) = network(feedback_gain=1e-9, activation=soft_relu), data()
    state = inputs
    for layer in net.layers:
        state = soft_relu(layer(state))
    torch.testing.assert_close(net(inputs), net.readout(state), rtol=1e-6, atol=1e-6)


# --- Responses and gradients


@pytest.mark.parametrize("links", [None, [(3, 1)], [(2, 1), (3, 2), (3, 1)], []])
@pytest.mark.parametrize("transposed", [False, True])
def test_responses_solve_the_linear_equations(links: list[tuple[int, int]] | None, transposed: bool) -> None:
    net, (inputs, _) = network(links=links, feedback_gain=0.5), data()
    states = net.settle(inputs).states
    slopes = net.slopes(inputs, states)
    push = [torch.randn(ROWS, size, generator=drawn(4), dtype=torch.float64) for size in SIZES[1:]]
    found = torch.cat(net.respond(slopes, push, transposed=transposed).states, dim=1)
    matrix = full_matrix(net).T if transposed else full_matrix(net)
    system = torch.diag_embed(1 / torch.cat(slopes, dim=1)) - matrix
    torch.testing.assert_close(found, torch.linalg.solve(system, torch.cat(push, dim=1)), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("angle", [0.0, 90.0])
def test_the_gradient_through_the_fixed_point_is_that_of_the_unrolled_dynamics(angle: float) -> None:
    net, (inputs, labels) = network(angle, feedback_gain=0.5), data()
    inputs.requires_grad_()
    named = dict(net.named_parameters())
    wanted = [inputs, *named.values()]
    implicit = torch.autograd.grad(nn.functional.cross_entropy(net(inputs), labels), wanted)

    gains = [net.feedback_gain ** (upper - lower) for upper, lower in net.links]
    states = net.silent(ROWS)
    for _ in range(300):
        drives = [net.layers[0](inputs)] + [net.layers[i](states[i - 1]) for i in range(1, 3)]
        for (upper, lower), link, gain in zip(net.links, net.feedback, gains, strict=True):
            drives[lower] = drives[lower] + gain * link(states[upper])
        states = [shifted_sigmoid(drive) for drive in drives]
    unrolled = torch.autograd.grad(nn.functional.cross_entropy(net.readout(states[-1]), labels), wanted)
    for name, found, true in zip(["inputs", *named], implicit, unrolled, strict=True):
        assert relative(found, true) < 1e-8, name

    found = RecurrentBackpropagation(net).gradients(inputs.detach(), labels)
    for name, true in zip(named, implicit[1:], strict=True):
        assert relative(found[name], true) < 1e-10, name


def test_scores_pass_gradcheck() -> None:
    net, (inputs, _) = network(feedback_gain=0.5), data()
    assert torch.autograd.gradcheck(net, (inputs[:2].requires_grad_(),))


@pytest.mark.parametrize("gain", [1.0, 0.5, 0.2])
@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
def test_with_tied_weights_finite_complex_nudges_give_the_gradient(gain: float, loss: Any) -> None:
    net, (inputs, labels) = network(0.0, feedback_gain=gain), data()
    with torch.no_grad():
        for layer in [*net.layers[1:], *net.feedback]:
            layer.weight.mul_(0.6)  # away from a bifurcation of the tied network
    scores = net(inputs)
    if loss == "cross_entropy":
        value = nn.functional.cross_entropy(scores, labels)
    else:
        value = (scores - nn.functional.one_hot(labels, CLASSES)).square().sum() / (2 * ROWS)
    true = torch.autograd.grad(value, list(net.parameters()))
    trainer = EquilibriumPropagation(net, loss=loss, radius=0.1, points=16)
    found = trainer.gradients(inputs, labels)
    assert trainer.converged == 1
    for (name, _), gradient in zip(net.named_parameters(), true, strict=True):
        assert relative(found[name], gradient) < 1e-6, name


@pytest.mark.parametrize("points", [3, 4, 8])
def test_rows_whose_nudges_leave_the_disc_where_the_dynamics_are_holomorphic_are_told(points: int) -> None:
    net, (inputs, labels) = network(sweeps=400), data()
    exact = torch.cat(EquilibriumPropagation(net, points=0).errors(inputs, labels), dim=1)
    seen = []
    for radius in (0.1, 0.5, 1.0, 2.0):
        trainer, trusted, missed = EquilibriumPropagation(net, radius=radius, points=points), [], []
        for row in range(ROWS):
            found = torch.cat(trainer.errors(inputs[row : row + 1], labels[row : row + 1]), dim=1)
            trusted.append(trainer.converged == 1)
            missed.append(relative(found, exact[row : row + 1]))
        seen.append(sum(trusted))
        assert max((miss for miss, good in zip(missed, trusted, strict=True) if good), default=0) < 0.3
        assert all(good for miss, good in zip(missed, trusted, strict=True) if miss < 1e-3)
    assert seen[0] == ROWS
    assert seen == sorted(seen, reverse=True)
    assert seen[-1] < ROWS / 2


def test_apart_finite_nudges_give_the_response_and_not_the_gradient() -> None:
    net, (inputs, labels) = network(), data()
    exact = torch.cat(EquilibriumPropagation(net, points=0).errors(inputs, labels), dim=1)
    errors = {
        points: relative(
            torch.cat(EquilibriumPropagation(net, radius=0.1, points=points).errors(inputs, labels), dim=1), exact
        )
        for points in (1, 2, 4, 8, 16)
    }
    assert list(errors.values()) == sorted(errors.values(), reverse=True)
    assert errors[16] < 1e-8 < 1e-3 < errors[1]
    true = torch.cat(RecurrentBackpropagation(net).errors(inputs, labels), dim=1)
    assert relative(exact, true) > 0.1


# --- The homeostatic loss


def test_probes_measure_the_antisymmetric_part() -> None:
    jacobian = torch.randn(6, 6, generator=drawn(), dtype=torch.float64)
    expected = float((jacobian - jacobian.T).square().sum() / 12)
    basis = math.sqrt(6) * torch.eye(6, dtype=torch.float64)  # covariance exactly 1
    assert float(homeostatic_loss(lambda probe: probe @ jacobian.T, basis)) == pytest.approx(expected)
    probes = torch.randn(200_000, 6, generator=drawn(1), dtype=torch.float64)
    assert float(homeostatic_loss(lambda probe: probe @ jacobian.T, probes)) == pytest.approx(expected, rel=0.02)
    few = probes[:3]
    leaky = homeostatic_loss(lambda probe: probe @ jacobian.T - 3 * probe, few)
    torch.testing.assert_close(leaky, homeostatic_loss(lambda probe: probe @ jacobian.T, few))


def test_it_takes_a_jacobian_product_of_any_vector_field() -> None:
    weights = torch.randn(5, 5, generator=drawn(), dtype=torch.float64)
    point = torch.randn(3, 5, generator=drawn(1), dtype=torch.float64)
    probes = torch.randn(3, 5, generator=drawn(2), dtype=torch.float64)

    def field(state: Tensor) -> Tensor:
        return torch.tanh(state @ weights.T) - state

    found = homeostatic_loss(lambda probe: torch.func.jvp(field, (point,), (probe,))[1], probes)
    jacobians = torch.stack([torch.autograd.functional.jacobian(field, row) for row in point])
    once = torch.einsum("bij,bj->bi", jacobians, probes)
    twice = torch.einsum("bij,bj->bi", jacobians, once)
    torch.testing.assert_close(found, (once.square() - probes * twice).sum() / 15)


@pytest.mark.parametrize("links", [None, [(3, 1)]])
def test_products_are_those_of_the_full_matrix(links: list[tuple[int, int]] | None) -> None:
    net = network(links=links, feedback_gain=0.3)
    sizes = torch.tensor(SIZES[1:])
    scales = torch.repeat_interleave(0.3 ** (torch.arange(3, dtype=torch.float64) / 2), sizes)
    matrix = scales[:, None] * full_matrix(net) / scales
    vectors = torch.randn(4, int(sizes.sum()), generator=drawn(), dtype=torch.float64)
    torch.testing.assert_close(net.jacobian_product(vectors), vectors @ matrix.T)


def test_homeostasis_alone_makes_the_jacobian_symmetric_and_the_errors_right() -> None:
    net, (inputs, labels) = network(feedback_gain=0.5), data()
    before, generator = float(symmetry(full_matrix(net))), drawn(5)
    optimiser = torch.optim.SGD([*net.layers.parameters(), *net.feedback.parameters()], 2.0)
    units = sum(SIZES[1:])
    for _ in range(100):
        optimiser.zero_grad()
        probes, _ = torch.linalg.qr(torch.randn(units, units, generator=generator, dtype=torch.float64))
        homeostatic_loss(net.jacobian_product, math.sqrt(units) * probes).backward()  # covariance exactly 1
        optimiser.step()
    scales = torch.repeat_interleave(0.5 ** (torch.arange(3, dtype=torch.float64) / 2), torch.tensor(SIZES[1:]))
    assert before < 0.75
    assert float(symmetry(scales[:, None] * full_matrix(net) / scales)) > 0.999
    found = torch.cat(EquilibriumPropagation(net, points=0).errors(inputs, labels), dim=1)
    assert relative(found, torch.cat(RecurrentBackpropagation(net).errors(inputs, labels), dim=1)) < 1e-2


def test_the_gradient_of_the_homeostatic_loss_is_part_of_the_directions() -> None:
    net, (inputs, labels) = network(), data()
    plain = EquilibriumPropagation(net).gradients(inputs, labels)
    trainer = EquilibriumPropagation(net, homeostasis=2.0, probes=3, generator=drawn(5))
    found = trainer.gradients(inputs, labels)
    probes = torch.randn(3, sum(SIZES[1:]), generator=drawn(5), dtype=torch.float64)
    value = 2 * homeostatic_loss(net.jacobian_product, probes)
    pulls = torch.autograd.grad(value, [net.layers[1].weight, net.feedback[1].weight])
    torch.testing.assert_close(found["layers.1.weight"] - plain["layers.1.weight"], pulls[0])
    torch.testing.assert_close(found["feedback.1.weight"] - plain["feedback.1.weight"], pulls[1])
    torch.testing.assert_close(found["layers.0.weight"], plain["layers.0.weight"])


# --- Use


@pytest.mark.parametrize(
    ("dtype", "points"), [*((torch.float32, points) for points in (0, 1, 2, 4)), (torch.float64, 0), (torch.float64, 2)]
)
def test_it_learns_and_repeats(dtype: torch.dtype, points: int) -> None:
    labels = torch.arange(60) % 3
    inputs = (torch.randn(60, 5, generator=drawn(2)) + 5 * torch.eye(5)[labels]).to(dtype)
    ends = []
    for _ in range(2):
        net = LayeredDynamics.of_sizes((5, 8, 8), 3, generator=drawn()).to(dtype)
        trainer = EquilibriumPropagation(net, learning_rate=0.01, points=points, homeostasis=0.3, generator=drawn(3))
        for _ in range(40):
            trainer.step(inputs, labels)
        ends.append(trainer.predict(inputs))
    assert torch.equal(*ends)
    assert ends[0].dtype == dtype
    assert (ends[0].argmax(1) == labels).double().mean() > 0.9


def test_asking_for_directions_changes_nothing() -> None:
    net, (inputs, labels) = network(), data()
    trainer = EquilibriumPropagation(net, homeostasis=1.0, generator=drawn(3))
    before = copy.deepcopy(net.state_dict())
    first, second = trainer.gradients(inputs, labels), trainer.gradients(inputs, labels)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())
    assert set(first) == set(dict(net.named_parameters()))


def test_a_deep_network_with_weak_feedback_is_right_in_double_precision() -> None:
    net = LayeredDynamics.of_sizes((6,) * 9, 3, angle=0.0, feedback_gain=0.03, activation=soft_relu, generator=drawn())
    inputs = torch.randn(5, 6, generator=drawn(1))
    labels = torch.arange(5) % 3
    loss = nn.functional.cross_entropy(net(inputs), labels)
    true = torch.autograd.grad(loss, net.layers[0].weight)[0]
    errors = []
    for precision in (torch.float32, torch.float64):
        found = EquilibriumPropagation(net, precision=precision).gradients(inputs, labels)["layers.0.weight"]
        assert found.dtype == torch.float32
        errors.append(relative(found, true))
    assert errors[0] > 0.3
    assert errors[1] < 1e-2


def test_it_takes_over_a_network() -> None:
    plain = nn.Sequential(
        nn.Sequential(nn.Linear(4, 6), nn.ReLU()), nn.Sequential(nn.Linear(6, 5), nn.ReLU()), nn.Linear(5, 2)
    )
    net = LayeredDynamics.around(plain, activation=soft_relu, generator=drawn())
    assert net.layers[0].weight is plain[0][0].weight
    before = plain[0][0].weight.detach().clone()
    EquilibriumPropagation(net).step(torch.randn(3, 4, generator=drawn()), torch.tensor([0, 1, 1]))
    assert not torch.equal(before, plain[0][0].weight)
    unbiased = nn.Sequential(nn.Linear(4, 6, bias=False), nn.Linear(6, 2, bias=False))
    trainer = EquilibriumPropagation(LayeredDynamics.around(unbiased, generator=drawn()))
    trainer.step(torch.randn(3, 4, generator=drawn()), torch.tensor([0, 1, 1]))
    assert set(trainer.gradients(torch.ones(1, 4), torch.tensor([0]))) == {"layers.0.weight", "readout.weight"}


def test_weights_go_round() -> None:
    source, target = network(seed=0), network(seed=7)
    target.load_state_dict(source.state_dict())
    inputs, labels = data()
    first, second = (EquilibriumPropagation(net).gradients(inputs, labels) for net in (source, target))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: cauchy_derivative(torch.exp, 0.0, 4), "radius"),
        (lambda: cauchy_derivative(torch.exp, 1.0, 0), "points"),
        (lambda: homeostatic_loss(lambda probe: probe[:, :1], torch.ones(2, 3)), "product"),
        (lambda: symmetry(torch.ones(2, 3)), "jacobian"),
        (lambda: LayeredDynamics([], nn.Linear(1, 1)), "layers"),
        (lambda: LayeredDynamics([nn.Linear(2, 3)], nn.Linear(4, 1)), "layers"),
        (lambda: LayeredDynamics.of_sizes((2,), 2), "sizes"),
        (lambda: LayeredDynamics.of_sizes((2, 3), 2, links=[(1, 1)]), "links"),
        (lambda: LayeredDynamics.of_sizes((2, 3), 2, sweeps=1), "sweeps"),
        (lambda: LayeredDynamics.of_sizes((2, 3), 2, damping=1.0), "damping"),
        (lambda: LayeredDynamics.of_sizes((2, 3), 2, feedback_gain=0.0), "feedback_gain"),
        (lambda: LayeredDynamics.of_sizes((2, 3), 2, tolerance=0.0), "tolerance"),
        (
            lambda: LayeredDynamics.around(nn.Sequential(nn.Conv1d(1, 1, 1), nn.Linear(1, 1), nn.Linear(1, 1))),
            "network",
        ),
        (lambda: network()(torch.zeros(2, 5)), "inputs"),
        (lambda: EquilibriumPropagation(network(), loss="hinge"), "loss"),  # type: ignore[arg-type]
        (lambda: EquilibriumPropagation(network(), radius=-1.0), "radius"),
        (lambda: EquilibriumPropagation(network(), points=-1), "points"),
        (lambda: EquilibriumPropagation(network(), nudged_sweeps=1), "nudged_sweeps"),
        (lambda: EquilibriumPropagation(network(), homeostasis=-1.0), "homeostasis"),
        (lambda: EquilibriumPropagation(network(), probes=0), "probes"),
        (lambda: EquilibriumPropagation(network(), precision=torch.int8), "precision"),
    ],
)
def test_bad_arguments_are_named_in_one_line(call: Callable[[], Any], named: str) -> None:
    with pytest.raises(ValueError, match=named) as caught:
        call()
    assert "\n" not in str(caught.value)
