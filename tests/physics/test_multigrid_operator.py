import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from replica.physics import MgNO, MultigridOperator, OperatorLayer, meet_boundary
from replica.physics.grid_boundaries import _cut

BOUNDARIES = ("dirichlet", "neumann", "periodic")
EXTENSIONS = {"dirichlet": "constant", "neumann": "reflect", "periodic": "circular"}
THREE_LEVELS = ((1, 1), (2, 0), (2, 0))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=seeded(seed), dtype=dtype)


def build(ins=1, outs=1, **options):
    return MultigridOperator(ins, outs, **{"generator": seeded(1), "dtype": torch.float64, **options})


def grid(boundary, dimensions):
    return ((8, 12) if boundary == "periodic" else (9, 13))[:dimensions]


def dense(operator, shape):
    """The operator as a matrix, column by column."""
    count = math.prod(shape) * operator.in_channels
    columns = operator(torch.eye(count, dtype=torch.float64).reshape(count, operator.in_channels, *shape))
    return columns.flatten(1).T


# --- What it is: a V-cycle


def kernels(dimensions):
    """Textbook stencils on a grid of unit spacing: −Laplace, full weighting, bilinear interpolation."""
    hat = torch.tensor([0.5, 1.0, 0.5], dtype=torch.float64)
    second = torch.tensor([-1.0, 2.0, -1.0], dtype=torch.float64)
    if dimensions == 1:
        return second, hat / 2, hat
    laplace = torch.zeros(3, 3, dtype=torch.float64)
    laplace[1] += second
    laplace[:, 1] += second
    return laplace, torch.outer(hat, hat) / 4, torch.outer(hat, hat)


def textbook(dimensions, levels, boundary, *, before=1, after=1, coarsest=60, kernel=3):
    """Weights for −Δu = f with damped Jacobi smoothing, ω = 4/5 in two dimensions and 2/3 in one."""
    operator = build(
        dimensions=dimensions,
        boundary=boundary,
        transfer="residual",
        smoothing=((before, after),) * (levels - 1) + ((coarsest, 0),),
        prolongation_kernel=kernel,
        exact=boundary == "dirichlet",
    )
    laplace, weighting, interpolation = kernels(dimensions)
    damping = {1: 2 / 3, 2: 4 / 5}[dimensions]
    identity = torch.zeros_like(laplace)
    identity[(1,) * dimensions] = 1
    with torch.no_grad():
        for number, level in enumerate(operator.levels):
            scale = 4.0**-number  # 1/h²
            for step in (*level.before, *level.after):
                step.smoother.weight.copy_(damping / (2 * dimensions * scale) * identity)
                if step.system is not None:
                    step.system.weight.copy_(laplace * scale)
            if level.prolong is not None:
                level.restrict_source.weight.copy_(weighting)
                level.residual_system.weight.copy_(laplace * scale)
                level.prolong.weight.zero_()
                level.prolong.weight[(..., *(slice(3),) * dimensions)] = interpolation
    return operator


def laplacian(u, boundary, exact):
    stencil = kernels(u.dim() - 2)[0][None, None]
    convolve = functional.conv1d if u.dim() == 3 else functional.conv2d
    result = convolve(functional.pad(u, (1, 1) * (u.dim() - 2), EXTENSIONS[boundary]), stencil)
    return meet_boundary(result, "dirichlet") if exact else result


def convergence_factor(operator, shape, boundary, cycles=24):
    """Asymptotic shrinking of the residual when the operator is applied to it again and again."""
    exact = boundary == "dirichlet"
    u = normal(1, 1, *shape)
    u = meet_boundary(u, "dirichlet") if exact else u
    norms = []
    with torch.no_grad():
        for _ in range(cycles):
            residual = -laplacian(u, boundary, exact)
            u = u + operator(residual)
            if not exact:
                u = u - u.mean()
            norms.append(float(residual.norm()))
    return (norms[-1] / norms[-9]) ** (1 / 8)


@pytest.mark.parametrize("kernel", [3, 4])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_with_the_laplacian_for_weights_it_is_multigrid_of_textbook_speed(boundary, kernel):
    # Damped Jacobi, ω = 4/5, smooths by 0.6 a step: two-grid factor 0.36 for two steps (Trottenberg et al. 2001).
    size = 64 if boundary == "periodic" else 65
    factor = convergence_factor(textbook(2, 5, boundary, kernel=kernel), (size, size), boundary)
    assert 0.30 < factor < 0.42


@pytest.mark.parametrize(("before", "after"), [(1, 0), (1, 1), (3, 0), (2, 2)])
def test_its_two_grid_factor_in_one_dimension_is_that_of_theory(before, after):
    # Fourier modes k and n − k are coupled; with s = sin²(kπ/2n) the factor is s (1 − 2ωs)^ν + c (1 − 2ωc)^ν, c = 1 − s.
    n = 16
    operator = textbook(1, 2, "dirichlet", before=before, after=after, coarsest=500)
    inner = slice(1, n)
    system = 2 * torch.eye(n - 1) - torch.diag(torch.ones(n - 2), 1) - torch.diag(torch.ones(n - 2), -1)
    iteration = torch.eye(n - 1) - dense(operator, (n + 1,)).detach()[inner, inner] @ system.double()
    s = torch.sin(torch.arange(1, n, dtype=torch.float64) * math.pi / (2 * n)) ** 2
    steps, damping = before + after, 2 / 3
    theory = s * (1 - 2 * damping * s) ** steps + (1 - s) * (1 - 2 * damping * (1 - s)) ** steps
    torch.testing.assert_close(torch.linalg.eigvals(iteration).abs().max(), theory.abs().max(), rtol=1e-6, atol=0)


def test_multigrid_does_not_slow_down_on_finer_grids():
    factors = [
        convergence_factor(textbook(1, levels, "dirichlet"), (2 ** (levels + 1) + 1,), "dirichlet", cycles=11)
        for levels in (3, 5, 8)
    ]
    assert max(factors) < 0.18
    assert max(factors) < 1.1 * min(factors)


# --- Against a version by loops


def padded_read(values, index, boundary):
    if boundary == "dirichlet" and not 0 <= index < len(values):
        return torch.zeros((), dtype=values.dtype)
    if boundary == "neumann":
        index = -index if index < 0 else 2 * (len(values) - 1) - index if index >= len(values) else index
    return values[index % len(values)]


def loop_convolution(weight, values, boundary, stride=1):
    out = torch.zeros(len(weight), -(-values.shape[1] // stride), dtype=values.dtype)
    for o in range(out.shape[0]):
        for i in range(out.shape[1]):
            for c in range(values.shape[0]):
                for k in range(3):
                    out[o, i] += weight[o, c, k] * padded_read(values[c], stride * i + k - 1, boundary)
    return out


def loop_prolongation(weight, coarse, size, boundary):
    out = torch.zeros(weight.shape[1], size, dtype=coarse.dtype)
    for c in range(weight.shape[0]):
        for o in range(weight.shape[1]):
            for i in range(-1, coarse.shape[1] + 1):
                for k in range(weight.shape[-1]):
                    if 0 <= 2 * i + k - 1 < size:
                        out[o, 2 * i + k - 1] += weight[c, o, k] * padded_read(coarse[c], i, boundary)
    return out


@pytest.mark.parametrize("transfer", ["state", "residual"])
@pytest.mark.parametrize("kernel", [3, 4])
@pytest.mark.parametrize(
    ("boundary", "size"), [(b, n) for b in BOUNDARIES for n in (6, 7) if (b, n) != ("periodic", 7)]
)
def test_two_levels_agree_with_loops(boundary, size, kernel, transfer):
    operator = build(
        2,
        3,
        dimensions=1,
        boundary=boundary,
        transfer=transfer,
        smoothing=((2, 1), (2, 0)),
        prolongation_kernel=kernel,
    )
    f = normal(2, size)
    fine, coarse = operator.levels

    def smooth(step, u, f):
        residual = f if u is None else f - loop_convolution(step.system.weight, u, boundary)
        change = loop_convolution(step.smoother.weight, residual, boundary)
        return change if u is None else u + change

    u = smooth(fine.before[1], smooth(fine.before[0], None, f), f)
    if transfer == "state":
        coarse_u = loop_convolution(fine.restrict_state.weight, u, boundary, 2)
        right = f
    else:
        coarse_u = None
        right = f - loop_convolution(fine.residual_system.weight, u, boundary)
    right = loop_convolution(fine.restrict_source.weight, right, boundary, 2)
    coarse_u = smooth(coarse.before[1], smooth(coarse.before[0], coarse_u, right), right)
    u = u + loop_prolongation(fine.prolong.weight, coarse_u, size, boundary)
    torch.testing.assert_close(operator(f[None])[0], smooth(fine.after[0], u, f))


@pytest.mark.parametrize("dimensions", [1, 2])
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("exact", [False, True])
def test_it_is_linear_equal_to_its_matrix_and_its_backward_is_the_transpose(dimensions, boundary, exact):
    shape = grid(boundary, dimensions)
    operator = build(2, 3, dimensions=dimensions, boundary=boundary, smoothing=THREE_LEVELS, exact=exact)
    f, g = normal(4, 2, *shape), normal(4, 2, *shape, seed=2)
    torch.testing.assert_close(operator(2 * f - 3 * g), 2 * operator(f) - 3 * operator(g))
    matrix = dense(operator, shape).detach()
    torch.testing.assert_close(operator(f).flatten(1), f.flatten(1) @ matrix.T)
    f.requires_grad_()
    v = normal(4, 3, *shape, seed=3)
    (pulled,) = torch.autograd.grad(operator(f), f, v)
    torch.testing.assert_close(pulled.flatten(1), v.flatten(1) @ matrix)


def test_every_output_point_depends_on_every_input_point():
    matrix = dense(build(smoothing=((1, 0),) * 4 + ((2, 0),), dimensions=1), (33,))
    assert (matrix != 0).all()


# --- Boundaries


@pytest.mark.parametrize("dimensions", [1, 2])
def test_periodic_operators_commute_with_shifts_of_the_coarsest_grid(dimensions):
    shape = grid("periodic", dimensions)
    operator = build(2, 3, dimensions=dimensions, boundary="periodic", smoothing=THREE_LEVELS)
    f = normal(1, 2, *shape)
    for axis in range(2, 2 + dimensions):
        shifted = operator(f.roll(4, axis))
        torch.testing.assert_close(shifted, operator(f).roll(4, axis))
        assert not torch.allclose(operator(f.roll(1, axis)), operator(f).roll(1, axis))


@pytest.mark.parametrize("dimensions", [1, 2])
def test_a_periodic_operator_repeats_itself_on_a_repeated_input(dimensions):
    operator = build(dimensions=dimensions, boundary="periodic", smoothing=THREE_LEVELS)
    f = normal(1, 1, *(8,) * dimensions)
    tiles = (1, 1, *(2,) * dimensions)
    torch.testing.assert_close(operator(f.repeat(tiles)), operator(f).repeat(tiles))


@pytest.mark.parametrize("dimensions", [1, 2])
def test_symmetric_neumann_kernels_act_as_periodic_ones_on_the_mirrored_function(dimensions):
    axes = tuple(range(-dimensions, 0))
    neumann = build(dimensions=dimensions, boundary="neumann", smoothing=((1, 1), (2, 0)), prolongation_kernel=3)
    with torch.no_grad():
        for weight in neumann.parameters():
            for axis in axes:
                weight.add_(weight.flip(axis))
    periodic = build(dimensions=dimensions, boundary="periodic", smoothing=((1, 1), (2, 0)), prolongation_kernel=3)
    periodic.load_state_dict(neumann.state_dict())
    f = normal(1, 1, *(9,) * dimensions)
    mirrored = f
    for axis in axes:
        mirrored = torch.cat([mirrored, mirrored.narrow(axis, 1, 7).flip(axis)], axis)
    half = periodic(mirrored)[(..., *(slice(9),) * dimensions)]
    torch.testing.assert_close(neumann(f), half)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("dimensions", [1, 2])
def test_exact_dirichlet_is_zero_on_the_whole_boundary(dimensions, dtype):
    for part in (
        build(2, 3, dimensions=dimensions, exact=True, smoothing=THREE_LEVELS, dtype=dtype),
        MgNO(2, 3, dimensions=dimensions, exact=True, smoothing=THREE_LEVELS, channels=4, dtype=dtype),
    ):
        result = part(normal(2, 2, *grid("dirichlet", dimensions), dtype=dtype))
        assert result.dtype == dtype
        for axis in range(2, 2 + dimensions):
            assert (result.select(axis, 0) == 0).all()
            assert (result.select(axis, -1) == 0).all()
            assert (result.select(axis, 1) != 0).any()


@pytest.mark.parametrize("dimensions", [1, 2])
def test_exact_neumann_has_no_normal_difference_at_the_boundary(dimensions):
    for part in (
        build(2, 3, dimensions=dimensions, boundary="neumann", exact=True, smoothing=THREE_LEVELS),
        MgNO(2, 3, dimensions=dimensions, boundary="neumann", exact=True, smoothing=THREE_LEVELS, channels=4).double(),
    ):
        result = part(normal(2, 2, *grid("neumann", dimensions)))
        for axis in range(2, 2 + dimensions):
            for first, second, third in ((0, 1, 2), (-1, -2, -3)):
                difference = (
                    -3 * result.select(axis, first) + 4 * result.select(axis, second) - result.select(axis, third)
                )
                assert difference.abs().max() < 1e-14 * result.abs().max() * 10


def test_meeting_the_boundary_leaves_a_function_that_meets_it_alone():
    x = torch.linspace(0, 1, 33, dtype=torch.float64)
    sine = torch.sin(math.pi * x)[:, None] * torch.sin(2 * math.pi * x)
    sine[-1] = sine[:, -1] = 0
    assert torch.equal(meet_boundary(sine[None, None], "dirichlet")[0, 0], sine)
    parabola = (x**2 * (1 - x) ** 2).expand(1, 1, 33)
    assert (meet_boundary(parabola, "neumann") - parabola).abs().max() < 3 * (1 / 32) ** 3
    assert meet_boundary(sine[None, None], "periodic").equal(sine[None, None])


@pytest.mark.parametrize("size", [(8, 8), (7, 8), (7, 7)])
def test_cut_to_the_finer_grid_keeps_the_layout_of_the_gradient(size):
    values = torch.randn(2, 3, 8, 8).contiguous(memory_format=torch.channels_last).requires_grad_()
    layouts = []
    fine = values * 1.0
    fine.register_hook(lambda gradient: layouts.append(gradient.is_contiguous(memory_format=torch.channels_last)))
    cut = _cut(fine, size)
    assert cut.equal(values[:, :, : size[0], : size[1]])
    cut.square().sum().backward()
    assert layouts == [True]


# --- The nets


@pytest.mark.parametrize(
    ("layers", "channels", "smoothing", "kernel", "count"),
    [  # counted once on the authors' own classes
        (4, 24, ((1, 0),) * 5 + ((2, 0),), 4, 572_661),  # their README, rough Darcy; Table 1 has 0.57 M
        (5, 24, ((1, 0),) * 5 + ((2, 0),), (3, 4, 3, 3, 4), 678_093),  # their README, smooth Darcy
        (5, 32, ((1, 0),) * 3 + ((1, 1), (2, 0)), 4, 1_146_788),  # their models.py, run as a script
    ],
)
def test_it_has_as_many_parameters_as_the_authors_code(layers, channels, smoothing, kernel, count):
    net = MgNO(layers=layers, channels=channels, smoothing=smoothing, prolongation_kernel=kernel)
    assert sum(weight.numel() for weight in net.parameters()) == count


def test_a_net_is_its_layers_and_a_sum_over_channels():
    net = MgNO(2, 3, channels=4, layers=2, smoothing=THREE_LEVELS, activation=nn.Tanh, dtype=torch.float64)
    u = normal(2, 2, 16, 16)
    values = u
    for layer in net.layers:
        pointwise = torch.einsum("oi,bixy->boxy", layer.bias.weight[..., 0, 0], values) + layer.bias.bias[:, None, None]
        values = torch.tanh(layer.operator(values) + pointwise)
    torch.testing.assert_close(net(u), torch.einsum("oi,bixy->boxy", net.readout.weight[..., 0, 0], values))


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("dimensions", [1, 2])
def test_the_bias_function_is_learned_on_its_own_grid_and_interpolated_to_others(boundary, dimensions):
    points = 8 if boundary == "periodic" else 9
    layer = OperatorLayer(
        1,
        2,
        dimensions=dimensions,
        boundary=boundary,
        smoothing=THREE_LEVELS,
        bias_grid=points,
        activation=nn.Identity,
        dtype=torch.float64,
        generator=seeded(),
    )
    assert not layer.bias_function.any()
    zero = layer(torch.zeros(1, 1, *(points,) * dimensions, dtype=torch.float64))
    x = torch.arange(points, dtype=torch.float64)
    wave = torch.sin(2 * math.pi * x / 8)
    with torch.no_grad():
        layer.bias_function.copy_(wave.expand_as(layer.bias_function))
    same = layer(torch.zeros(1, 1, *(points,) * dimensions, dtype=torch.float64))
    torch.testing.assert_close(same - zero, wave.expand_as(same))
    constant = zero[(..., *(slice(1),) * dimensions)]
    finer = 16 if boundary == "periodic" else 17
    fine = layer(torch.zeros(1, 1, *(finer,) * dimensions, dtype=torch.float64))
    torch.testing.assert_close(fine[..., ::2] - constant, wave.expand_as(fine[..., ::2]))
    between = (wave + wave.roll(-1))[: finer // 2] / 2
    torch.testing.assert_close(fine[..., 1::2] - constant, between.expand_as(fine[..., 1::2]))


def test_without_boundary_or_bias_function_places_are_told_apart_within_a_coarse_cell_only():
    net = MgNO(channels=4, boundary="periodic", smoothing=THREE_LEVELS, generator=seeded())
    result = net(torch.full((1, 1, 16, 16), 3.0))
    torch.testing.assert_close(result, result[..., :4, :4].repeat(1, 1, 4, 4))


def test_normalised_layers_have_mean_zero_and_variance_one_before_the_bias():
    layer = OperatorLayer(2, 3, smoothing=THREE_LEVELS, normalize=True, activation=nn.Identity, dtype=torch.float64)
    with torch.no_grad():
        layer.bias.weight.zero_()
        layer.bias.bias.zero_()
    result = layer(100 * normal(4, 2, 16, 16)).flatten(1)
    torch.testing.assert_close(result.mean(1), torch.zeros(4, dtype=torch.float64), atol=1e-12, rtol=0)
    torch.testing.assert_close(result.var(1, correction=0), torch.ones(4, dtype=torch.float64), atol=1e-5, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("dimensions", [1, 2])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_one_net_fits_any_admitted_grid_batch_and_dtype(boundary, dimensions, dtype):
    net = MgNO(
        2, 1, channels=4, layers=2, smoothing=THREE_LEVELS, boundary=boundary, dimensions=dimensions, dtype=dtype
    )
    sizes = (4, 8, 64) if boundary == "periodic" else (5, 6, 7, 8, 33)
    for batch, size in [(0, 8), (1, 8), *((3, size) for size in sizes)]:
        shape = (size, 2 * size)[:dimensions]
        result = net(normal(batch, 2, *shape, dtype=dtype))
        assert result.shape == (batch, 1, *shape)
        assert result.dtype == dtype


def test_a_smooth_solution_map_learned_on_one_grid_holds_on_a_finer_one():
    # With textbook weights the operator is −Δ⁻¹ on each grid of one spacing: it maps sin to sin on any number of points.
    operator = textbook(1, 4, "dirichlet", coarsest=200)
    for size in (33, 65):
        x = torch.arange(size, dtype=torch.float64)
        wave = torch.sin(2 * math.pi * x / 32)[None, None]
        u = torch.zeros_like(wave)
        for _ in range(20):
            u = u + operator(wave - laplacian(u, "dirichlet", True))
        ratio = (u / wave)[0, 0, 4:8].detach()
        expected = torch.full_like(ratio, 1 / (2 - 2 * math.cos(2 * math.pi / 32)))
        torch.testing.assert_close(ratio, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("transfer", ["state", "residual"])
def test_gradients_are_right(boundary, transfer):
    net = MgNO(
        1,
        1,
        channels=2,
        layers=2,
        dimensions=1,
        boundary=boundary,
        transfer=transfer,
        smoothing=((1, 1), (2, 0)),
        exact=True,
        bias_grid=3,
        normalize=transfer == "residual",
        dtype=torch.float64,
        generator=seeded(),
    )
    names, weights = zip(*net.named_parameters(), strict=True)

    def output(u, *weights):
        return torch.func.functional_call(net, dict(zip(names, weights, strict=True)), (u,))

    assert torch.autograd.gradcheck(output, (normal(2, 1, 8).requires_grad_(), *weights))
    net(normal(2, 1, 8)).square().sum().backward()
    assert all(weight.grad is not None and weight.grad.abs().max() > 0 for weight in weights)


def test_weights_come_from_the_generator_alone():
    before = torch.random.get_rng_state()
    first, second, other = (MgNO(channels=4, generator=seeded(seed)).state_dict() for seed in (3, 3, 4))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)
    bound = 1 / math.sqrt(4 * 9)
    weight = first["layers.1.operator.levels.0.before.0.smoother.weight"]
    assert 0.8 * bound < weight.abs().max() <= bound


def test_state_dict_round_trip_and_copies():
    net, other = (MgNO(2, 1, channels=4, layers=2, generator=seeded(seed)) for seed in (0, 1))
    u = normal(2, 2, 33, 33, dtype=torch.float32)
    assert not torch.allclose(net(u), other(u))
    other.load_state_dict(net.state_dict())
    assert torch.equal(net(u), other(u))
    assert torch.equal(copy.deepcopy(net)(u), net(u))


def test_it_learns_an_inverse_laplacian_better_than_the_mean():
    x = torch.linspace(0, 1, 33, dtype=torch.float64)[1:-1]
    modes = torch.stack([torch.sin(k * math.pi * x) for k in range(1, 9)])
    weights = normal(64, 8)
    f = (weights @ modes)[:, None].float()
    u = (weights / torch.arange(1, 9) ** 2 @ modes)[:, None].float()
    net = MgNO(channels=8, layers=1, dimensions=1, activation=nn.Identity, generator=seeded())
    optimiser = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(50):
        optimiser.zero_grad()
        loss = (net(f[:48]) - u[:48]).square().mean()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        assert (net(f[48:]) - u[48:]).norm() < 0.1 * u[48:].norm()


# --- Wrong use


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"in_channels": 0}, "in_channels: got 0"),
        ({"out_channels": 0}, "out_channels: got 0"),
        ({"dimensions": 3}, "dimensions: got 3, want 1 or 2"),
        ({"boundary": "robin"}, "boundary: got 'robin'"),
        ({"transfer": "both"}, "transfer: got 'both'"),
        ({"smoothing": ()}, "smoothing: got"),
        ({"smoothing": ((0, 1), (1, 0))}, "smoothing: got"),
        ({"smoothing": ((1, 0), (1, 1))}, "smoothing: got"),
        ({"prolongation_kernel": 5}, "prolongation_kernel: got 5"),
        ({"prolongation_kernel": (3, 4)}, "prolongation_kernel: got"),
    ],
)
def test_wrong_arguments_are_named(options, message):
    arguments = {"in_channels": 1, "out_channels": 1, "smoothing": ((1, 0), (2, 0)), **options}
    for part in (MultigridOperator, OperatorLayer):
        with pytest.raises(ValueError, match=message) as caught:
            part(**arguments)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=message):
        MgNO(**arguments)


def test_a_bias_function_needs_two_points_each_way():
    with pytest.raises(ValueError, match="bias_grid: got 1, want 2 or more, or None"):
        MgNO(bias_grid=1)


@pytest.mark.parametrize("name", ["channels", "layers"])
def test_a_net_without_channels_or_layers_is_refused(name):
    with pytest.raises(ValueError, match=f"{name}: got 0"):
        MgNO(**{name: 0})


@pytest.mark.parametrize(
    ("options", "shape", "message"),
    [
        ({}, (1, 2, 33, 33), r"source: got shape \(1, 2, 33, 33\), want \(batch, 1, size, size\)"),
        ({}, (1, 1, 33), r"want \(batch, 1, size, size\)"),
        ({"dimensions": 1}, (1, 1, 33, 33), r"want \(batch, 1, size\)"),
        ({"boundary": "periodic"}, (1, 1, 33, 32), "divisible by 16 for 5 levels"),
        ({"boundary": "neumann"}, (1, 1, 16, 33), "at least 17 for 5 levels"),
        ({"exact": True}, (1, 1, 32, 33), "at least 33 for 5 levels"),
        ({}, (1, 1, 0, 9), "at least 1"),
    ],
)
def test_grids_that_do_not_fit_are_refused_in_one_line(options, shape, message):
    with pytest.raises(ValueError, match=message) as caught:
        MgNO(channels=2, layers=1, **options)(torch.zeros(shape))
    assert "\n" not in str(caught.value)


def test_an_exact_boundary_needs_three_points_each_way():
    operator = build(boundary="neumann", exact=True, smoothing=((1, 0),))
    with pytest.raises(ValueError, match="at least 3 for 1 levels"):
        operator(normal(1, 1, 2, 9))
    assert operator(normal(1, 1, 3, 9)).shape == (1, 1, 3, 9)


def test_the_smallest_grids_that_are_admitted_work():
    for options, size in (
        ({"boundary": "neumann"}, 17),
        ({"exact": True}, 33),
        ({}, 1),
        ({"boundary": "periodic"}, 16),
    ):
        assert MgNO(channels=2, layers=1, **options)(torch.zeros(1, 1, size, size)).shape == (1, 1, size, size)


def test_meeting_an_unknown_boundary_or_too_small_a_grid_is_refused():
    with pytest.raises(ValueError, match="boundary: got 'robin'"):
        meet_boundary(torch.zeros(1, 1, 5), "robin")
    with pytest.raises(ValueError, match="values: got shape"):
        meet_boundary(torch.zeros(1, 1, 2), "neumann")
