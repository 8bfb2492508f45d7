"""Products with Hessian and Gauss–Newton matrix against the matrices themselves."""

import math

import pytest
import torch
from scipy.sparse.linalg import eigsh
from torch import nn
from torch.func import functional_call

from replica.training import GaussNewton, Hessian, mlp, sharpness

DOUBLE = torch.float64


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def net():
    return mlp((3, 4, 2), activation=nn.Tanh, generator=seeded(), dtype=DOUBLE)


def rows(count=12, dtype=DOUBLE):
    return torch.randn(count, 3, generator=seeded(1), dtype=dtype), torch.arange(count) % 2


def loss(model, inputs, labels):
    return nn.functional.cross_entropy(model(inputs), labels)


def by_autograd(model, function):
    """The dense Hessian of ``function(outputs of the net with these weights)`` by PyTorch's own nested derivatives."""
    named = dict(model.named_parameters())
    shapes = [tensor.shape for tensor in named.values()]

    def flat(vector):
        parts = vector.split([shape.numel() for shape in shapes])
        weights = {name: part.view(shape) for name, part, shape in zip(named, parts, shapes, strict=True)}
        return function(lambda x: functional_call(model, weights, (x,)))

    start = torch.cat([tensor.detach().flatten() for tensor in named.values()])
    return torch.func.hessian(flat)(start), lambda: torch.func.jacrev(flat)(start)


@pytest.mark.parametrize("keep", [True, False])
def test_hessian_over_batches_is_that_of_the_mean_over_all_rows(keep):
    model, (inputs, labels) = net(), rows()
    dense, _ = by_autograd(model, lambda call: loss(call, inputs, labels))
    uneven = [(inputs[:5], labels[:5]), (inputs[5:], labels[5:])]
    hessian = Hessian.of(model, loss, uneven, keep=keep)
    torch.testing.assert_close(hessian.dense(), dense)
    vector = torch.randn(hessian.size, generator=seeded(2), dtype=DOUBLE)
    for _ in range(2):  # a kept graph serves again
        torch.testing.assert_close(hessian(vector), dense @ vector)
    torch.testing.assert_close(hessian.quadratic(vector), vector @ dense @ vector)
    values = torch.linalg.eigvalsh(dense)
    found = sharpness(model, loss, uneven, generator=seeded(3), tolerance=1e-9)
    assert found.converged
    assert float(found.values) == pytest.approx(float(values[-1]), rel=1e-9)
    (scipys,) = eigsh(hessian.linear_operator(), 1, which="LA", return_eigenvectors=False)
    assert scipys == pytest.approx(float(values[-1]), rel=1e-9)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_gauss_newton_is_jacobians_around_the_criterions_hessian():
    model, (inputs, labels) = net(), rows()
    _, jacobian = by_autograd(model, lambda call: call(inputs))
    J, outputs = jacobian(), model(inputs).detach()
    chance = outputs.softmax(-1)
    block = (torch.diag_embed(chance) - chance[:, :, None] * chance[:, None, :]) / len(inputs)
    dense = torch.einsum("nip,nij,njq->pq", J, block, J)
    matrix = GaussNewton.of(model, nn.functional.cross_entropy, [(inputs[:7], labels[:7]), (inputs[7:], labels[7:])])
    torch.testing.assert_close(matrix.dense(), dense)


def test_replicas_have_a_matrix_each():
    models = [net(), mlp((3, 4, 2), activation=nn.Tanh, generator=seeded(5), dtype=DOUBLE)]
    stacked, _ = torch.func.stack_module_state(models)
    batch = rows()

    def losses(weights, *batch):
        def one(own):
            return loss(lambda x: functional_call(models[0], own, (x,)), *batch)

        return torch.vmap(one)(weights)

    both = Hessian(losses, stacked, [batch])
    assert both.matrices == (2,)
    for index, model in enumerate(models):
        alone = Hessian.of(model, loss, [batch])
        torch.testing.assert_close(both.dense()[index], alone.dense())
        found = both.top(2, generator=seeded(), tolerance=1e-8)
        torch.testing.assert_close(found.values[index], alone.top(2, generator=seeded(1), tolerance=1e-8).values)


def test_known_quadratic_in_any_precision_and_its_trace():
    spectrum = torch.tensor([7.0, 3.0, 1.0, -2.0, 0.0])
    for dtype in (torch.float32, DOUBLE):
        turn = torch.linalg.qr(torch.randn(5, 5, generator=seeded(), dtype=dtype))[0]
        matrix = turn * spectrum.to(dtype) @ turn.T
        hessian = Hessian(lambda w, m=matrix: w["x"] @ m @ w["x"] / 2 + w["free"], {
            "x": torch.ones(5, dtype=dtype), "free": torch.zeros((), dtype=dtype)
        })  # fmt: skip
        found = hessian.top(3, generator=seeded(1))
        torch.testing.assert_close(found.values, spectrum[:3].to(dtype), rtol=1e-4, atol=1e-4)
        assert found.values.dtype == dtype
        # Variance of one sample: twice the squares beside the diagonal.
        spread = math.sqrt(2 * float(matrix.square().sum() - matrix.diagonal().square().sum()) / 400)
        assert float(hessian.trace(400, seeded(2))) == pytest.approx(9.0, abs=4 * spread)
    flat = Hessian(lambda w: w["x"].sum(), {"x": torch.ones(3)})
    assert not flat.dense().any()


def test_chosen_parameters_only_and_statistics_stand_still():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2)).to(DOUBLE)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    whole, part = (Hessian.of(model, loss, [rows()], names=names) for names in (None, ["3.weight", "3.bias"]))
    assert (whole.size, part.size) == (3 * 4 + 4 + 8 + 10, 10)
    torch.testing.assert_close(part.dense(), whole.dense()[-10:, -10:])
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Hessian.of(net(), loss, []), "batches: got none"),
        (lambda: Hessian(lambda w: w, {}), "parameters: got none"),
        (lambda: Hessian.of(net(), loss, [rows()], names=["head"]), r"names: got \['head'\]"),
        (lambda: Hessian.of(net(), loss, [rows()])(torch.zeros(3)), r"vectors: got shape \(3,\)"),
        (lambda: Hessian.of(net(), loss, [rows()]).top(), "start: want either"),
        (lambda: Hessian.of(net(), loss, [rows()]).trace(0, seeded()), "samples: got 0"),
        (lambda: Hessian(lambda w: w["x"].sum(), {"x": torch.ones(2)}, shares=[1, 2]), "shares: got 2"),
    ],
)
def test_wrong_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
