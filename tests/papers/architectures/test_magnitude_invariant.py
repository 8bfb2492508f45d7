import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence

from replica.architectures import Hypernetwork
from replica.lab.claims import Trial
from replica.papers.architectures.magnitude_invariant import (
    IGNORANCE,
    TASKS,
    BayesianLayer,
    BayesianNet,
    Curves,
    RescalingNet,
    best_curves,
    compare,
    scale_slope,
    split_images,
    train_together,
)

TRIAL = Trial(0, "smoke")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_divergence_is_that_of_the_normal_distributions():
    layer = BayesianLayer(7, 5, seeded())
    nn.init.normal_(layer.log_ratio, generator=seeded(1))
    _, divergence = layer(torch.rand(2, 7), torch.zeros(2, 5))
    prior = math.sqrt(2 / 7)
    weights = Normal(layer.mean, 0.1 * prior * layer.log_ratio.exp())
    torch.testing.assert_close(divergence, kl_divergence(weights, Normal(0.0, prior)).sum())


def test_outputs_have_the_distribution_of_drawn_weights():
    layer, draw = BayesianLayer(7, 5, seeded()), seeded(2)
    nn.init.normal_(layer.log_ratio, mean=2.0, std=0.5, generator=seeded(1))
    inputs = torch.rand(1, 7, generator=seeded(3))
    noise = torch.randn(20_000, 5, generator=draw)
    with torch.no_grad():
        ours, _ = layer(inputs.expand(20_000, 7), noise)
        deviation = 0.1 * layer.prior * layer.log_ratio.exp()
        weights = layer.mean + deviation * torch.randn(20_000, 5, 7, generator=draw)
    theirs = weights @ inputs[0]
    torch.testing.assert_close(ours.mean(0), theirs.mean(0), atol=0.05, rtol=0)
    torch.testing.assert_close(ours.std(0), theirs.std(0), atol=0, rtol=0.05)


def test_bayesian_net_without_deviation_is_an_ordinary_net():
    net = BayesianNet((6, 4, 3), seeded())
    for layer in net.layers:
        nn.init.constant_(layer.log_ratio, -30.0)
    inputs = torch.randn(5, 6, generator=seeded(1))
    logits, _ = net(inputs, (torch.randn(5, 4), torch.randn(5, 3)))
    first, second = net.layers
    hidden = nn.functional.leaky_relu(inputs @ first.mean.T + first.bias)
    torch.testing.assert_close(logits, hidden @ second.mean.T + second.bias, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("size", [2, 5, 8])
def test_rescaling_net_is_these_layers(size):
    net = RescalingNet((3, 4), seeded())
    first, second, last = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 4, 3, padding=1), nn.Linear(16, 10)
    for layer, weight, bias in zip((first, second, last), net.weights, net.biases, strict=True):
        layer.weight, layer.bias = weight, bias
    layers = nn.Sequential(
        first, nn.LeakyReLU(), nn.AdaptiveAvgPool2d(size), second, nn.LeakyReLU(), nn.AdaptiveAvgPool2d(2),
        nn.Flatten(), last,
    )  # fmt: skip
    images = torch.rand(4, 1, 8, 8, generator=seeded(1))
    torch.testing.assert_close(net(images, size), layers(images))


def test_no_image_is_both_trained_on_and_held_out():
    data = split_images(Trial(0, "laptop"))
    train = {image.numpy().tobytes() for image in data.images}
    assert len(data.images) == round(0.7 * 1797)
    assert len(data.other_images) == 200
    # Two of the digits' images may be equal; nearly all must be new.
    assert sum(image.numpy().tobytes() in train for image in data.other_images) <= 1


@pytest.mark.parametrize("name", list(TASKS))
def test_runs_side_by_side_are_runs_alone(name):
    task = TASKS[name](TRIAL)

    def fresh():
        return Hypernetwork(
            task.primary(TRIAL.generator("primary")), hidden=(3, 4), generator=TRIAL.generator("weights")
        )

    rates = {"adam": (1e-3, 3e-2), "sgd": (1e-2, 1e-1)}
    curves = train_together(fresh(), task, TRIAL, rates=rates, steps=7, every=7)
    assert curves.steps == [0, 7]
    for kind, make in (
        ("adam", torch.optim.Adam),
        ("sgd", lambda parameters, rate: torch.optim.SGD(parameters, rate, momentum=0.9, nesterov=True)),
    ):
        for column, rate in enumerate(rates[kind]):
            hypernet, generator = fresh(), TRIAL.generator("batches")
            optimiser = make(hypernet.parameters(), rate)
            for _ in range(7):
                optimiser.zero_grad()
                task.loss(hypernet, *task.draw(generator)).backward()
                optimiser.step()
            with torch.no_grad():
                alone = torch.stack([task.loss(hypernet, *batch) for batch in task.held_out]).mean()
            assert curves.losses[kind][-1, column] == pytest.approx(min(float(alone), IGNORANCE), rel=1e-4)


def test_a_run_that_diverges_counts_as_ignorance_and_leaves_the_others_alone():
    task = TASKS["rescaling"](TRIAL)

    def train(rates):
        hypernet = Hypernetwork(task.primary(TRIAL.generator("primary")), hidden=(4,), generator=TRIAL.generator("w"))
        return train_together(hypernet, task, TRIAL, rates={"sgd": rates}, steps=9, every=3).losses["sgd"]

    both = train((1e-3, 1e12))
    assert both[-1, 1] == pytest.approx(IGNORANCE)
    np.testing.assert_allclose(both[:, 0], train((1e-3,))[:, 0], rtol=1e-5)


def curves(*columns):
    return Curves(list(range(0, 10 * len(columns[0]), 10)), {"adam": np.array(columns, float).T})


def test_comparison_of_known_curves():
    plain = curves([2, 2, 2, 2, 2, 1.0, 1.0, 1.0], [2] * 8)
    ours = curves([2, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0], [2, 2, 2, 1.2, 1.2, 1.2, 1.2, 1.2])
    # The lowest end is 1, the target 1.25: the mean of three evaluations is there after 30, 50, and 70 steps.
    assert ours.steps_to(1.25, "adam").tolist() == [30, 50]
    assert plain.steps_to(1.25, "adam").tolist() == [70, 70]
    assert compare(ours, plain) == pytest.approx({"fastest": 3 / 7, "average": 4 / 7, "usable_rates": 0.5})
    assert compare(plain, ours) == pytest.approx({"fastest": 7 / 3, "average": 7 / 4, "usable_rates": -0.5})


def test_a_form_that_learns_nothing_wins_nothing():
    dead = curves([IGNORANCE] * 8)
    alive = curves([IGNORANCE, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    assert compare(dead, alive)["fastest"] > 1
    assert compare(alive, dead)["usable_rates"] == 1
    assert compare(dead, dead) == pytest.approx({"fastest": 1, "average": 1, "usable_rates": 0})


def test_series_hold_the_rate_that_ends_best():
    series = best_curves({"plain": curves([2, 2, 2], [2, 1, 1])}, task="one")
    assert series == {
        "task": ["one"] * 3,
        "form": ["plain"] * 3,
        "optimiser": ["adam"] * 3,
        "step": [0, 10, 20],
        "loss": [2.0, 1.0, 1.0],
    }


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_slope_of_a_power(power):
    gammas = torch.logspace(-1, 0, 9, dtype=torch.float64)
    weights = gammas[:, None] ** power * torch.randn(50, generator=seeded(), dtype=torch.float64)
    assert scale_slope(gammas, weights) == pytest.approx(power, abs=1e-9)
