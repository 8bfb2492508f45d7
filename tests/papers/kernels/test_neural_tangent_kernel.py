import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from replica.kernels import WideNetwork, kernel_gradient_flow, wide_kernel
from replica.lab.claims import Trial
from replica.papers.kernels.neural_tangent_kernel import circle, decay, displacements, network, paper


class LinearNetwork(nn.Module):
    """Its tangent kernel is x·z for ever: it follows the linear equation exactly but for the size of steps."""

    def __init__(self, inputs):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(inputs))

    def forward(self, x):
        return x @ self.weight


def test_a_linear_network_follows_the_equation_from_where_it_starts():
    images = torch.randn(12, 20, generator=torch.Generator().manual_seed(0))
    goal = torch.linspace(-1, 1, 8, dtype=torch.float64)
    kernel = images.double() @ images[:8].double().T
    rate, every, records = 0.002, 50, 4
    times = rate * every * torch.arange(1, records + 1, dtype=torch.float64)
    moved = displacements(LinearNetwork(20), images, goal, rate, every, records)
    flow = kernel_gradient_flow(kernel[:8], goal, times / 8, cross=kernel)
    assert moved.shape == (records, 12)
    assert torch.allclose(moved, flow, atol=0.01)
    values, vectors = torch.linalg.eigh(kernel[:8] / 8)
    rates = [decay(times, 1 - (moved[:, :8] @ v) / (goal @ v)) for v in vectors.T]
    assert np.allclose(rates, values, rtol=0.1)


def test_decay_reads_the_rate_until_a_tenth_is_left():
    times = torch.arange(1, 9, dtype=torch.float64)
    rest = (-0.5 * times).exp()
    rest[5:] = -0.3  # noise where little is left
    assert decay(times, rest) == pytest.approx(0.5)
    assert decay(times, torch.full((8,), 1e-9, dtype=torch.float64)) > 0.5


def test_circle_and_network():
    points = circle(8, torch.device("cpu"))
    assert torch.allclose(points.norm(dim=1), torch.ones(8, dtype=torch.float64))
    module = network(2, 4096, torch.Generator().manual_seed(0))
    assert isinstance(module, WideNetwork)
    limit = wide_kernel(points, activation=torch.relu, depth=3, bias_variance=0.01)
    assert float((module.tangent_kernel(points.float()).double() - limit).norm() / limit.norm()) < 0.1


def test_judges_read_planted_slopes():
    widths = np.array([64, 256, 1024])
    start = {"width": widths, "error": widths**-0.5, "one_layer_less": 0.3}
    found = paper.claims["kernel_converges"].measures(pd.DataFrame(start))
    assert found["rate"] == pytest.approx(-0.5)
    assert (found["error_at_narrowest"], found["error_at_widest"]) == (1 / 8, 1 / 32)
    trained = {"width": widths, "change": 1 / widths, "inflation": [0.2, 0.1, 0.0], "removed": [0.9, 0.6, 0.8]}
    found = paper.claims["kernel_stays"].measures(pd.DataFrame(trained))
    assert found["rate"] == pytest.approx(-1)
    assert (found["inflation_at_narrowest"], found["loss_removed"]) == (0.2, 0.6)


@pytest.mark.parametrize("name", ["ntk", "ntk-classifier"])
def test_depth_reaches_the_kernel(name):
    X = np.random.default_rng(0).normal(size=(30, 2))
    y = (X[:, 0] > 0).astype(int)
    shallow, deep = (paper.entries[name].make(Trial(0), depth=depth).fit(X, y) for depth in (1, 5))
    asked = np.random.default_rng(1).normal(size=(20, 2))
    answers = [model.predict(asked) if name == "ntk" else model.predict_proba(asked) for model in (shallow, deep)]
    assert not np.allclose(*answers, rtol=1e-3)
