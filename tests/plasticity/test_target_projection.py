import copy

import pytest
import torch
from torch import nn

from replica.lab.problems.credit.networks import network
from replica.plasticity import TargetProjection
from replica.plasticity.target_projection import LAYER_LOSSES

SHAPES = {"mlp": (5,), "conv": (1, 9, 8), "recurrent": (6, 3)}


def built(form="mlp", depth=3, seed=0, dtype=torch.float32, **options):
    generator = torch.Generator().manual_seed(seed)
    net = network(form, SHAPES[form], 4, depth=depth, width=6, generator=generator).to(dtype)
    inputs = torch.randn(9, *SHAPES[form], generator=generator, dtype=dtype)
    labels = torch.randint(4, (9,), generator=generator)
    return TargetProjection(net, inputs, generator=generator, **options), inputs, labels


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("layer_loss", "error"),
    [
        ("squared_error", lambda outputs, targets: 2 * (outputs - targets)),
        ("absolute_error", lambda outputs, targets: (outputs - targets).sign()),
        ("direct", lambda outputs, targets: -targets),
    ],
)
def test_a_dense_layer_learns_by_the_written_rule(layer_loss, error, dtype):
    """(P t − y) ⊙ σ′ xᵀ, its sign, or the projected target as it is: written out by hand, for tanh units."""
    torch.manual_seed(0)
    layers = [nn.Sequential(nn.Linear(ins, 7), nn.Tanh()) for ins in (5, 7)]
    net = nn.Sequential(*layers, nn.Linear(7, 4)).to(dtype)
    inputs, labels = torch.randn(9, 5, dtype=dtype), torch.arange(9) % 4
    trainer = TargetProjection(net, inputs, layer_loss=layer_loss, generator=torch.Generator().manual_seed(1))
    found = trainer.gradients(inputs, labels)
    states = inputs
    with torch.no_grad():
        for number, layer in enumerate(layers):
            outputs = layer(states)
            projection = getattr(trainer, f"projection{number}")
            targets = nn.functional.one_hot(labels, 4).to(dtype) @ projection
            delta = error(outputs, targets) / outputs.numel() * (1 - outputs**2)
            torch.testing.assert_close(found[f"{number}.0.weight"], delta.T @ states)
            torch.testing.assert_close(found[f"{number}.0.bias"], delta.sum(0))
            states = outputs


def test_a_recurrent_layer_with_every_moment_learns_by_the_written_rule():
    """(P t − h_t) (1 − h_t²), times x_t and h_{t−1}, summed over steps: no error goes back in time."""
    trainer, inputs, labels = built("recurrent", depth=1, moments="every", dtype=torch.float64)
    layer = trainer.network[0]
    found = trainer.gradients(inputs, labels)
    with torch.no_grad():
        states = layer(inputs)
        before = torch.cat([torch.zeros_like(states[:, :1]), states[:, :-1]], dim=1)
        delta = 2 * (states - trainer.targets(0, labels)[:, None]) / states.numel() * (1 - states**2)
        torch.testing.assert_close(found["layer1.input.weight"], torch.einsum("bti,btj->ij", delta, inputs))
        torch.testing.assert_close(found["layer1.recurrent.weight"], torch.einsum("bti,btj->ij", delta, before))


def test_a_recurrent_layer_with_its_last_moment_gets_the_local_losss_whole_gradient():
    trainer, inputs, labels = built("recurrent", depth=2)
    found = trainer.gradients(inputs, labels)
    second = trainer.network[1]
    states = trainer.network[0](inputs).detach()
    loss = nn.functional.mse_loss(second(states)[:, -1], trainer.targets(1, labels))
    for name, gradient in zip(
        dict(second.named_parameters()), torch.autograd.grad(loss, list(second.parameters())), strict=True
    ):
        torch.testing.assert_close(found[f"layer2.{name}"], gradient)


def test_of_a_convolution_the_mean_or_every_position_meets_the_target():
    for positions in ("mean", "same", "own"):
        trainer, inputs, labels = built("conv", depth=1, positions=positions)
        outputs = trainer.network[0](inputs)
        targets = trainer.targets(0, labels)
        assert targets.shape[1:] == (outputs.shape[1:] if positions == "own" else outputs.shape[1:2])
        if positions == "mean":
            loss = (outputs.mean((2, 3)) - targets).square().mean()
        else:
            loss = (
                (outputs - targets.view(9, 6, *(outputs.shape[2:] if positions == "own" else (1, 1)))).square().mean()
            )
        (wanted,) = torch.autograd.grad(loss, trainer.network[0][0].weight)
        torch.testing.assert_close(trainer.gradients(inputs, labels)["layer1.0.weight"], wanted)


@pytest.mark.parametrize("form", SHAPES)
@pytest.mark.parametrize("layer_loss", [*LAYER_LOSSES, nn.functional.smooth_l1_loss])
def test_gradients_are_what_a_step_descends_and_change_nothing(form, layer_loss):
    trainer, inputs, labels = built(form, layer_loss=layer_loss, optimiser=sgd)
    before = {name: parameter.detach().clone() for name, parameter in trainer.network.named_parameters()}
    found = trainer.gradients(inputs, labels)
    assert set(found) == set(before)
    assert all(parameter.grad is None for parameter in trainer.parameters())
    assert all(torch.equal(before[name], parameter) for name, parameter in trainer.network.named_parameters())
    trainer.step(inputs, labels)
    for name, parameter in trainer.network.named_parameters():
        torch.testing.assert_close(before[name] - parameter, 0.1 * found[name], rtol=1e-4, atol=1e-6)


def test_no_error_leaves_its_layer():
    """A layer's direction does not depend on the weights of those above."""
    trainer, inputs, labels = built()
    first = trainer.gradients(inputs, labels)
    with torch.no_grad():
        trainer.network[2][0].weight.normal_()
    again = trainer.gradients(inputs, labels)
    assert all(torch.equal(first[name], again[name]) for name in first if name.startswith(("layer1", "layer2")))
    assert not torch.equal(first["layer3.0.weight"], again["layer3.0.weight"])


def test_targets_are_rows_of_the_projection_scaled_as_asked():
    trainer, _, _ = built(scale=3.0, depth=1)
    labels = torch.tensor([2, 0, 2])
    assert torch.equal(trainer.targets(0, labels)[0], trainer.targets(0, labels)[2])
    wide = TargetProjection(nn.Sequential(nn.Linear(2, 4000), nn.Linear(4000, 9)), torch.zeros(1, 2), scale=3.0,
                            generator=torch.Generator().manual_seed(0))  # fmt: skip
    assert float(wide.projection0.std()) == pytest.approx(3, rel=0.02)


def test_layers_without_weights_are_passed_through():
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    trainer = TargetProjection(net, torch.zeros(1, 2, 2))
    trainer.step(torch.randn(6, 2, 2), torch.arange(6) % 3)
    assert set(trainer.gradients(torch.randn(6, 2, 2), torch.arange(6) % 3)) == {
        "1.weight", "1.bias", "3.weight", "3.bias",
    }  # fmt: skip


@pytest.mark.parametrize("form", SHAPES)
def test_state_dict_carries_on_as_if_nothing_had_happened(form):
    trainer, inputs, labels = built(form)
    trainer.step(inputs, labels)
    other, _, _ = built(form, seed=7)
    other.load_state_dict(copy.deepcopy(trainer.state_dict()))
    for each in (trainer, other):
        each.step(inputs, labels)
    for ours, theirs in zip(trainer.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("wrong", [{"layer_loss": "cubic"}, {"positions": "all"}, {"moments": "first"}, {"scale": 0.0}])
def test_bad_arguments_are_named(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}: got"):
        TargetProjection(nn.Sequential(nn.Linear(2, 2)), torch.zeros(1, 2), **wrong)
    with pytest.raises(ValueError, match="network: got no layers"):
        TargetProjection(nn.Sequential(), torch.zeros(1, 2))
