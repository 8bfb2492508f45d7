"""The condition on the couplings, the uniqueness it gives, the marginals against brute force, and the gradient."""

import itertools

import pytest
import torch
from torch import Tensor

from replica.memory import ConvolutionalMonotoneBoltzmann, MonotoneBoltzmann

Machine = MonotoneBoltzmann | ConvolutionalMonotoneBoltzmann
LAYERS = [(5, 2), (3, 3), (1, 4)]


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def dense(gain: float = 3.0, margin: float = 0.01, seed: int = 0, rank: int = 6) -> MonotoneBoltzmann:
    machine = MonotoneBoltzmann(
        LAYERS, rank=rank, gain=gain, margin=margin, generator=drawn(seed), dtype=torch.float64,
        tolerance=1e-11, steps=20_000,
    )  # fmt: skip
    torch.nn.init.normal_(machine.biases, generator=drawn(seed + 1))
    return machine


def convolutional(
    gain: float = 3.0, margin: float = 0.01, seed: int = 0, kernel: int = 3
) -> ConvolutionalMonotoneBoltzmann:
    machine = ConvolutionalMonotoneBoltzmann(
        (4, 6), 3, 4, hidden=(2, 2), rank=5, label_rank=4, kernel=kernel, gain=gain, margin=margin, generator=drawn(seed),
        dtype=torch.float64, tolerance=1e-11, steps=20_000,
    )  # fmt: skip
    torch.nn.init.normal_(machine.biases, generator=drawn(seed + 1))
    return machine


def node_of(machine: Machine) -> Tensor:
    states = torch.tensor([count for nodes, count in machine.layout.layers for _ in range(nodes)])
    return torch.arange(len(states)).repeat_interleave(states)


machines = pytest.mark.parametrize(
    "machine",
    [
        dense(),
        dense(0.2, 0.5),
        dense(5.0, -0.9, rank=2),
        convolutional(),
        convolutional(0.3, 0.9),
        convolutional(kernel=2),
    ],
    ids=["dense", "dense weak", "dense beyond the paper", "convolutional", "convolutional weak", "even kernel"],
)


@machines
def test_couplings_are_symmetric_hollow_and_bounded(machine: Machine) -> None:
    matrix, node = machine.couplings().detach(), node_of(machine)
    torch.testing.assert_close(matrix, matrix.T)
    assert float(matrix[node[:, None] == node].abs().max()) < 1e-12
    eigenvalues = torch.linalg.eigvalsh(matrix)
    assert float(eigenvalues[-1]) <= 1 - machine.margin + 1e-12
    assert float(1 - eigenvalues[0]) <= machine.coupling()[1]
    assert float(matrix.abs().max()) > 1e-3


@machines
def test_the_fixed_point_does_not_depend_on_the_start(machine: Machine) -> None:
    pixels = torch.full((1, machine.layout.layers[0][0]), -1)
    pixels[0, :2] = torch.tensor([1, 0])
    starts = 12
    begin = machine.layout.random_marginals(starts, sharpness=30.0, generator=drawn(5), like=machine.biases)
    with torch.no_grad():
        solution = machine.infer(pixels.expand(starts, -1), start=begin).solution
    assert bool(solution.converged.all())
    assert float(solution.residual.max()) < 1e-8
    assert float((solution.marginals - solution.marginals[0]).abs().max()) < 1e-8


def test_every_hollow_matrix_within_the_bound_is_reached() -> None:
    """AᵀA = (1 − m) I − Φ: its blocks have the norm of the limit, so that nothing is shrunk."""
    margin, node = 0.2, node_of(dense())
    free = torch.randn(len(node), len(node), generator=drawn(3), dtype=torch.float64)
    free = torch.where(node[:, None] == node, 0.0, free + free.T)
    wanted = free * (1 - margin) / torch.linalg.eigvalsh(free)[-1]
    values, vectors = torch.linalg.eigh((1 - margin) * torch.eye(len(node), dtype=torch.float64) - wanted)
    machine = MonotoneBoltzmann(LAYERS, margin=margin, dtype=torch.float64)
    with torch.no_grad():
        machine.factor.copy_((vectors * values.clamp_min(0).sqrt()).T)
    torch.testing.assert_close(machine.couplings().detach(), wanted, atol=1e-10, rtol=0)


def test_the_dense_and_the_written_out_formula_agree() -> None:
    machine = dense()
    parts, node = [], node_of(machine)
    for one in range(int(node.max()) + 1):
        own = machine.factor.detach()[:, node == one]
        parts.append(own * min(1.0, float((1 - machine.margin) ** 0.5 / torch.linalg.matrix_norm(own, 2))))
    product = torch.cat(parts, 1).T @ torch.cat(parts, 1)
    blocks = torch.where(node[:, None] == node, product, 0.0)
    torch.testing.assert_close(machine.couplings().detach(), blocks - product)


def test_weak_couplings_give_the_true_marginals() -> None:
    """Mean field is exact to first order in Φ: against the sum over all states, the error falls with its square."""
    errors = []
    for scale in (0.2, 0.1):
        machine = MonotoneBoltzmann([(4, 2), (1, 3)], gain=0.5, generator=drawn(), dtype=torch.float64, tolerance=1e-12)
        with torch.no_grad():
            machine.factor.mul_(scale**0.5)
            machine.biases.copy_(torch.randn(machine.layout.entries, generator=drawn(1), dtype=torch.float64))
        states = torch.tensor(list(itertools.product(*[range(2)] * 4, range(3))))
        hot = torch.cat(
            [torch.nn.functional.one_hot(states[:, :4], 2).flatten(1), torch.eye(3)[states[:, 4]]], 1
        ).double()
        energy = 0.5 * (hot @ machine.couplings() * hot).sum(-1) + hot @ machine.biases
        exact = energy.softmax(0) @ hot
        errors.append(float((torch.cat([part.flatten() for part in machine()]) - exact).abs().max().detach()))
    assert errors[0] < 1e-2
    assert errors[1] < 0.4 * errors[0]


@pytest.mark.parametrize("make", [dense, convolutional])
def test_gradients_are_those_of_finite_differences(make: object) -> None:
    machine = make()  # type: ignore[operator]
    nodes, levels = machine.layout.layers[0]
    pixels = torch.randint(-1, levels, (2, nodes), generator=drawn(2))
    fields = torch.randn(2, nodes, levels, generator=drawn(3), dtype=torch.float64, requires_grad=True)
    names, values = zip(*machine.named_parameters(), strict=True)

    def run(fields: Tensor, *parameters: Tensor) -> Tensor:
        found = torch.func.functional_call(
            machine, dict(zip(names, parameters, strict=True)), (pixels,), {"fields": (fields,)}
        )
        return torch.cat([part.flatten()[::3] for part in found])

    assert torch.autograd.gradcheck(
        run, (fields, *(value.detach().requires_grad_() for value in values)), atol=1e-5, fast_mode=True
    )


def test_known_nodes_keep_their_states_and_bring_news_to_others() -> None:
    machine = dense()
    pixels = torch.tensor([[1, 0, -1, -1, 1], [-1, -1, -1, -1, -1]])
    label = torch.tensor([[-1], [2]])
    first, _, last = machine(pixels, None, label)
    assert torch.equal(first[0, 0], torch.tensor([0.0, 1.0], dtype=torch.float64))
    assert torch.equal(last[1, 0], torch.tensor([0.0, 0.0, 1.0, 0.0], dtype=torch.float64))
    blank = [part.detach() for part in machine()]
    assert float((blank[2] - last[:1].detach()).abs().max()) > 1e-3
    # A field that is as good as certain does what a clamped state does.
    field = torch.zeros(2, 5, 2, dtype=torch.float64)
    field[0, [0, 1, 4], [1, 0, 1]] = 60.0
    soft = machine(None, None, label, fields=(field,))
    torch.testing.assert_close(soft[2], last, atol=1e-8, rtol=0)


def test_the_loss_is_the_readouts_surprise_where_nodes_are_hidden() -> None:
    machine = dense()
    with torch.no_grad():
        machine.log_scales.copy_(torch.tensor([0.5, 0.0, 1.0]))
    pixels, label = torch.tensor([[1, 0, 1, 1, 0]]), torch.tensor([[3]])
    known = torch.tensor([[True, True, False, True, True]])
    on_pixels, on_hidden, on_label = machine.loss(pixels, None, label, known=(known, None, None))
    found = machine.readout(machine.infer(torch.tensor([[1, 0, -1, 1, 0]])))
    assert on_hidden is None
    torch.testing.assert_close(on_pixels, -found[0][0, 2, 1])
    torch.testing.assert_close(on_label, -found[2][0, 0, 3])
    torch.testing.assert_close(found[0].exp().sum(-1), torch.ones(1, 5, dtype=torch.float64))
    all_seen = machine.loss(pixels, None, label, known=(torch.ones(1, 5, dtype=torch.bool), None, None))
    assert all_seen[0] is None


def test_training_lowers_the_loss_and_keeps_the_condition() -> None:
    machine = MonotoneBoltzmann([(6, 2), (4, 2), (1, 2)], gain=0.3, tolerance=1e-3, generator=drawn())
    label = torch.randint(0, 2, (64, 1), generator=drawn(1))
    pixels = label.expand(-1, 6).contiguous()
    descent = torch.optim.Adam(machine.parameters(), 0.05)
    losses = []
    for step in range(60):
        known = torch.rand(64, 6, generator=drawn(step)) < 0.5
        on_pixels, _, on_label = machine.loss(pixels, None, label, known=(known, None, None))
        assert on_pixels is not None
        assert on_label is not None
        total = on_pixels + on_label
        descent.zero_grad()
        total.backward()
        descent.step()
        losses.append(float(total.detach()))
    assert losses[-1] < 0.5 * losses[0]
    assert float(torch.linalg.eigvalsh(machine.couplings().detach())[-1]) <= 1 - machine.margin + 1e-5


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"margin": -1.0}, "margin"), ({"rank": 0}, "rank"), ({"gain": -1.0}, "gain"), ({"steps": 0}, "steps"),
        ({"tolerance": 0.0}, "tolerance"),
    ],
)  # fmt: skip
def test_bad_settings_are_named(arguments: dict, named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named}: got"):
        MonotoneBoltzmann([(2, 2)], **arguments)
    with pytest.raises(ValueError, match=f"^{named}: got"):
        ConvolutionalMonotoneBoltzmann((4, 4), 2, 3, **arguments)


@pytest.mark.parametrize(
    ("states", "fields", "named"),
    [
        ((torch.zeros(2, 5, dtype=torch.long),) * 4, None, "states: got 4"),
        ((torch.full((2, 5), 2),), None, "states: layer 0"),
        ((torch.zeros(2, 5),), None, "states: layer 0"),
        ((torch.zeros(2, 5, dtype=torch.long), torch.zeros(3, 3, dtype=torch.long)), None, "states: layer 1"),
        ((), (torch.zeros(2, 5, 3),), "fields: layer 0"),
    ],
)
def test_bad_evidence_is_named(states: tuple, fields: tuple | None, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        dense()(*states, fields=fields)
