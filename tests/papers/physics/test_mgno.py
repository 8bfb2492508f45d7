import math

import pytest
import torch
from torch import nn

from replica.data import darcy
from replica.lab.claims import Trial
from replica.papers.physics.mgno import Score, mgno, networks, train_and_test
from replica.physics import MgNO, relative_h1, screened_poisson_inverse, smoothing_levels

SMOKE = Trial(0, "smoke")


@pytest.mark.parametrize("boundary", ["dirichlet", "neumann", "periodic"])
@pytest.mark.parametrize(
    "grid", [(1,), (2,), (3, 3), (4, 4), (12, 16), (33, 33), (33, 64), (64, 64), (101, 101), (1024,)]
)
def test_levels_suit_any_grid(grid, boundary):
    if boundary == "neumann" and min(grid) < 2:
        return
    smoothing = smoothing_levels(grid, boundary)
    net = MgNO(channels=2, layers=1, dimensions=len(grid), boundary=boundary, smoothing=smoothing)
    assert net(torch.zeros(1, 1, *grid)).shape == (1, 1, *grid)
    assert len(smoothing) <= 6


def test_the_paper_sizes_get_the_authors_levels():
    assert (
        smoothing_levels((256, 256), "dirichlet")
        == smoothing_levels((211, 211), "dirichlet")
        == ((1, 0),) * 5 + ((2, 0),)
    )


def test_the_h1_error_is_that_of_the_fourier_series():
    # A mode k of the unit square weighs 1 + |k|²: of û − u and u in the ratio of their amplitudes.
    x = torch.arange(513, dtype=torch.float64) / 512
    low = (torch.sin(2 * math.pi * x)[:, None] * torch.ones_like(x))[None, None]
    high = (torch.sin(2 * math.pi * 5 * x)[:, None] * torch.sin(2 * math.pi * 3 * x))[None, None]
    expected = math.sqrt(0.1**2 * 0.25 * (1 + 25 + 9) / (0.5 * (1 + 1)))
    assert float(relative_h1(low + 0.1 * high, low, (1 / 512, 1 / 512))) == pytest.approx(expected, rel=3e-3)
    assert float(relative_h1(low, low, (1 / 512, 1 / 512))) == 0


def test_a_network_that_knows_the_answer_has_no_error_and_one_that_gives_zero_has_error_one():
    class Known(nn.Module):
        def __init__(self, truth):
            super().__init__()
            self.truth = truth
            self.unused = nn.Parameter(torch.zeros(1))

        def forward(self, values):
            # Samples are told apart by their first row, as the training sees them in any order.
            rows = [int((self.inputs - value).abs().flatten(1).sum(1).argmin()) for value in values]
            return self.truth[rows] + 0 * self.unused

    data = darcy("two-phase", 12, 8, 5)
    inputs, outputs = torch.from_numpy(data.inputs), torch.from_numpy(data.outputs)

    def make(truth):
        net = Known((truth - outputs[:8].mean()) / outputs[:8].std())
        net.inputs = (inputs - inputs[:8].mean()) / inputs[:8].std()
        return lambda ins, outs, grid: net

    perfect = train_and_test(SMOKE, make(outputs), 1e-3, data, 8, 4)
    nothing = train_and_test(SMOKE, make(torch.zeros_like(outputs)), 1e-3, data, 8, 4)
    assert max(perfect[:4]) < 1e-5
    assert nothing[:4] == pytest.approx((1, 1, 1, 1), abs=1e-5)
    assert isinstance(perfect, Score)


def test_mgno_has_no_more_parameters_than_its_rivals_at_any_scale():
    for scale, boundary, points in (
        ("smoke", "dirichlet", 17),
        ("smoke", "neumann", 33),
        ("laptop", "dirichlet", 33),
        ("laptop", "neumann", 33),
        ("full", "dirichlet", 211),
        ("full", "neumann", 101),
    ):
        counts = {
            name: sum(weight.numel() for weight in make(1, 1, (points, points)).parameters())
            for name, (make, _) in networks(Trial(0, scale), boundary).items()
        }
        assert counts["MgNO"] == min(counts.values())


@pytest.mark.parametrize("grid", [(17, 17), (32,)])
def test_the_entry_fits_and_predicts_on_another_grid(grid):
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(12, 2, *grid, generator=generator)
    methods = [mgno(SMOKE, channels=4, layers=1) for _ in range(2)]
    for method in methods:
        method.fit(inputs, inputs[:, :1], epochs=5)
    finer = torch.randn(3, 2, *(2 * size for size in grid), generator=generator)
    assert methods[0].predict(finer).shape == (3, 1, *finer.shape[2:])
    assert torch.equal(methods[0].predict(finer), methods[1].predict(finer))


@pytest.mark.parametrize(
    ("boundary", "solution"),
    [
        ("dirichlet", lambda x: 1 - torch.cosh(x - 0.5) / math.cosh(0.5)),
        ("neumann", lambda x: torch.cos(3 * math.pi * x) / (1 + 9 * math.pi**2)),
        ("periodic", lambda x: torch.sin(2 * math.pi * x) / (1 + 4 * math.pi**2)),
    ],
)
def test_the_inverse_operators_solve_their_equations_to_second_order(boundary, solution):
    errors = []
    for points in (33, 65):
        x = torch.linspace(0, 1, points + (boundary == "periodic"), dtype=torch.float64)[:points]
        source = {
            "dirichlet": torch.ones_like(x),
            "neumann": torch.cos(3 * math.pi * x),
            "periodic": torch.sin(2 * math.pi * x),
        }[boundary]
        errors.append(float((screened_poisson_inverse(boundary, points) @ source - solution(x)).abs().max()))
    assert errors[1] < 2e-4
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)
