"""Forms of a residual perceptron: what they compute, where they are one, and how far they move."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from replica.kernels import ResidualPerceptron

FORMS = ("standard", "ntk", "mup", "depth-mup")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def net(form="mup", width=12, depth=2, **options):
    options = {"activation": torch.tanh, "generator": seeded(), "dtype": torch.float64} | options
    return ResidualPerceptron(3, 2, width, depth, form=form, **options)


def batch(rows=6):
    drawn = torch.randn(rows, 5, generator=seeded(9), dtype=torch.float64)
    return drawn[:, :3], drawn[:, 3:]


def squared(model, inputs, targets):
    return (model(inputs) - targets).square().mean()


def trained(model, optimiser, steps=3):
    """Outputs after some steps."""
    for _ in range(steps):
        optimiser.zero_grad()
        squared(model, *batch()).backward()
        optimiser.step()
    return model(batch()[0]).detach()


def test_layers_are_those_of_the_equations():
    model, (x, _) = net("depth-mup", 12, 4, base_width=3, base_depth=2), batch()
    h = x @ model.input_weight.T / math.sqrt(3)
    for weight in model.hidden_weights:
        h = h + torch.tanh(h) @ weight.T / math.sqrt(12) / math.sqrt(4 / 2)
    torch.testing.assert_close(model.features(x), h)
    torch.testing.assert_close(model(x), h @ model.readout_weight.T / (2 * math.sqrt(12)))
    assert not net(zero_readout=True)(x).any()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_at_the_base_all_forms_are_one_training(form, optimiser):
    def run(kind):
        model = net(kind, 8, 4, base_width=8, base_depth=4)
        step = torch.optim.SGD if optimiser == "sgd" else torch.optim.Adam
        return trained(model, step(model.parameter_groups(0.1, optimiser)))

    torch.testing.assert_close(run(form), run("ntk"))


def test_standard_form_is_plain_layers_at_one_rate():
    """Weights without factors, one rate for hidden layers and readout: the same outputs after training."""

    class Plain(nn.Module):
        def __init__(self, model):
            super().__init__()
            scales = (math.sqrt(3), math.sqrt(12), math.sqrt(12))
            self.first, self.hidden, self.last = (
                nn.Parameter(weight.detach() / scale) for weight, scale in zip(model.parameters(), scales, strict=True)
            )

        def forward(self, x):
            h = x @ self.first.T
            for weight in self.hidden:
                h = h + torch.tanh(h) @ weight.T
            return h @ self.last.T

    model = net("standard", base_width=3)
    plain = Plain(model)
    # What a rate does to a weight without factor, it does to one of factor 1/√s at a rate s times as large.
    groups = [{"params": [plain.first], "lr": 0.1 / 3}, {"params": [plain.hidden, plain.last], "lr": 0.1 / 3}]
    torch.testing.assert_close(
        trained(plain, torch.optim.SGD(groups)), trained(model, torch.optim.SGD(model.parameter_groups(0.1)))
    )


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
@pytest.mark.parametrize(
    ("form", "grows", "features", "outputs"),
    [
        ("mup", "width", 0.0, 0.0),
        ("ntk", "width", -0.5, 0.0),
        ("depth-mup", "depth", 0.0, 0.0),
    ],
)
def test_coordinates_move_as_theory_says(form, grows, features, outputs, optimiser):
    """Slopes, in the size's logarithm, of how far one step moves the features (root mean square) and outputs."""
    sizes = (256, 512, 1024, 2048) if grows == "width" else (8, 16, 32, 64)
    moves = []
    for size in sizes:
        squares = []
        for seed in range(4):
            shape = {"width": size, "depth": 2} if grows == "width" else {"width": 64, "depth": size}
            model = net(form, **shape, generator=seeded(seed), dtype=torch.float32)
            x, y = (part.float() for part in batch())
            with torch.no_grad():
                before = model.features(x), model(x)
            step = torch.optim.SGD if optimiser == "sgd" else torch.optim.Adam
            stepper = step(model.parameter_groups(0.02 if optimiser == "sgd" else 0.005, optimiser))
            squared(model, x, y).backward()
            stepper.step()
            with torch.no_grad():
                after = model.features(x), model(x)
            squares.append([float((b - a).square().mean()) for a, b in zip(before, after, strict=True)])
        moves.append(np.sqrt(np.mean(squares, 0)))
    slopes = np.polyfit(np.log(sizes), np.log(moves), 1)[0]
    assert slopes == pytest.approx([features, outputs], abs=0.15)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: net(depth=0), "depth: got 0"),
        (lambda: net("lazy"), "form: got 'lazy'"),
        (lambda: net().parameter_groups(0.1, "lion"), "optimiser: got 'lion'"),
    ],
)
def test_wrong_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
