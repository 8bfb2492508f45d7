"""MgNO: Efficient Parameterization of Linear Operators via Multigrid (He, Liu & Xu 2023).

At no more parameters than a Fourier operator and a U-Net, the multigrid operator errs less on Darcy flow and on the
Helmholtz equation, and overfits less than the Fourier operator; its convolutions carry the boundary condition.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, get_args

import torch
from torch import Tensor, nn

from replica.data import SolutionMap, darcy, helmholtz
from replica.lab.claims import Choice, Integer, LogUniform, Paper, Trial
from replica.lab.studies import dots, lines
from replica.physics import FourierOperator, MgNO, UNet, relative_h1, screened_poisson_inverse, smoothing_levels
from replica.physics.grid_boundaries import Boundary
from replica.training import GridRegressor, Minibatches, fit, relative_l2

paper = Paper("mgno")

MakeModule = Callable[[int, int, tuple[int, ...]], nn.Module]
"""Builds a network from channels in, channels out and the grid."""
CONDITIONS: tuple[Boundary, ...] = get_args(Boundary)


@paper.entry(
    "operator",
    name="mgno",
    space={
        "channels": Integer(8, 24),
        "layers": Integer(2, 5),
        "boundary": Choice(("dirichlet", "neumann", "periodic")),
        "learning_rate": LogUniform(3e-4, 2e-2),
    },
)
def mgno(
    trial: Trial,
    channels: int = 16,
    layers: int = 3,
    boundary: Boundary = "dirichlet",
    learning_rate: float = 4e-3,
) -> GridRegressor:
    """Multigrid neural operator, trained as all networks of the problem are.

    A method is not told the boundary condition of its data; the default, zero padding, is the authors' for most of
    their data, and breaks the symmetry that would hide from a net where the boundary is.
    """

    def make(in_channels: int, out_channels: int, grid: tuple[int, ...]) -> nn.Module:
        return MgNO(
            in_channels,
            out_channels,
            channels=channels,
            layers=layers,
            dimensions=len(grid),
            boundary=boundary,
            smoothing=smoothing_levels(grid, boundary),
        )

    return GridRegressor(make, trial.generator("weights", "cpu"), learning_rate=learning_rate)


def networks(trial: Trial, boundary: Boundary) -> Mapping[str, tuple[MakeModule, float]]:
    """What makes each network, and its highest learning rate.

    Under Neumann conditions MgNO's layers are normalised and have a bias at every point, as the authors' for the
    Helmholtz equation; it then has fewer channels for the same number of parameters.
    """
    mirrored = boundary == "neumann"
    channels, layers = trial.pick(
        smoke=(4, 1), laptop=(12 if mirrored else 16, 3), full=(20, 4) if mirrored else (24, 5)
    )
    width, modes, hidden = trial.pick(smoke=(8, 4, 8), laptop=(12, 8, 64), full=(32, 12, 128))
    first, coarser = trial.pick(smoke=(8, 1), laptop=(16, 2), full=(64, 4))

    def multigrid(ins: int, outs: int, grid: tuple[int, ...]) -> nn.Module:
        return MgNO(
            ins,
            outs,
            channels=channels,
            layers=layers,
            boundary=boundary,
            smoothing=smoothing_levels(grid, boundary),
            normalize=mirrored,
            bias_grid=grid[0] if mirrored else None,
        )

    def fourier(ins: int, outs: int, grid: tuple[int, ...]) -> nn.Module:
        return FourierOperator(ins, outs, channels=width, modes=modes, hidden=hidden, padding=0.2)

    def unet(ins: int, outs: int, grid: tuple[int, ...]) -> nn.Module:
        return UNet(ins, outs, len(grid), width=first, levels=coarser)

    rates = trial.pick(
        smoke=(4e-3, 1e-2, 4e-3), laptop=(6e-3 if mirrored else 4e-3, 1e-2, 4e-3), full=(5e-4, 1e-3, 1e-3)
    )
    return dict(zip(("MgNO", "FNO", "U-Net"), zip((multigrid, fourier, unet), rates, strict=True), strict=True))


class Score(NamedTuple):
    """How one network did: mean relative errors, and its parameters."""

    train_l2: float
    train_h1: float
    test_l2: float
    test_h1: float
    parameters: int


class Standardised(nn.Module):
    """A network between functions standardised by the mean and deviation of the training samples."""

    def __init__(self, network: nn.Module, inputs: Tensor, outputs: Tensor) -> None:
        super().__init__()
        self.network = network
        self.from_mean, self.from_deviation = inputs.mean(), inputs.std()
        self.to_mean, self.to_deviation = outputs.mean(), outputs.std()

    def forward(self, values: Tensor) -> Tensor:
        """Functions as they are, to functions as they are."""
        return self.network((values - self.from_mean) / self.from_deviation) * self.to_deviation + self.to_mean


def train_and_test(
    trial: Trial, make: MakeModule, learning_rate: float, data: SolutionMap, train: int, epochs: int
) -> Score:
    """Trains a network on the first `train` samples as the authors do, and tests it on the others.

    Authors' darcy.py: relative H1 loss, batches of 8, Adam with weight decay 1e-4, one cycle from half the highest
    rate to a 200th of it. Gradients are clipped at norm 1, which the authors do not: at rates high enough for a few hundred
    steps MgNO, which normalises nothing, runs away without it.
    """
    inputs, outputs = (torch.from_numpy(values).to(trial.device) for values in (data.inputs, data.outputs))
    with torch.random.fork_rng(devices=[]):  # the U-Net draws its weights from the global generator
        torch.manual_seed(trial.generator("weights", "cpu").initial_seed())
        network = make(inputs.shape[1], outputs.shape[1], data.grid).to(trial.device)
    model = Standardised(network, inputs[:train], outputs[:train])
    batches = Minibatches(inputs[:train], outputs[:train], size=8, generator=trial.generator("batches"))
    steps = epochs * len(batches)
    optimiser = torch.optim.Adam(model.parameters(), learning_rate, weight_decay=1e-4, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, learning_rate, total_steps=steps, div_factor=2, final_div_factor=100
    )

    def loss(model: nn.Module, given: Tensor, sought: Tensor) -> Tensor:
        return relative_h1(model(given), sought, data.spacing).mean()

    fit(model, loss, batches, optimiser=optimiser, steps=steps, schedule=schedule, clip_norm=1.0)
    with torch.no_grad():
        predicted = torch.cat([model(part) for part in inputs.split(32)])
    l2 = relative_l2(predicted, outputs)
    h1 = relative_h1(predicted, outputs, data.spacing)
    return Score(
        train_l2=float(l2[:train].mean()),
        train_h1=float(h1[:train].mean()),
        test_l2=float(l2[train:].mean()),
        test_h1=float(h1[train:].mean()),
        parameters=sum(weight.numel() for weight in network.parameters()),
    )


def compared(trial: Trial, data: SolutionMap, boundary: Boundary, train: int, epochs: int) -> list[dict[str, Any]]:
    """Every network's errors and parameters."""
    return [
        {"network": name, **train_and_test(trial, make, rate, data, train, epochs)._asdict()}
        for name, (make, rate) in networks(trial, boundary).items()
    ]


def darcy_errors(trial: Trial) -> list[dict[str, Any]]:
    """Two-phase permeability to pressure."""
    train, test = trial.pick(smoke=(8, 4), laptop=(256, 50), full=(1000, 100))
    data = darcy("two-phase", train + test, trial.pick(smoke=16, laptop=32, full=210), trial.seed)
    return compared(trial, data, "dirichlet", train, epochs=trial.pick(smoke=6, laptop=8, full=500))


def helmholtz_errors(trial: Trial) -> list[dict[str, Any]]:
    """Wave speed to the wave; Neumann conditions, so that convolutions mirror what they extend."""
    train, test = trial.pick(smoke=(8, 4), laptop=(256, 50), full=(4000, 500))
    data = helmholtz(train + test, trial.pick(smoke=32, laptop=32, full=100), trial.seed)
    return compared(trial, data, "neumann", train, epochs=trial.pick(smoke=6, laptop=8, full=100))


def gains(table):
    """Gains of MgNO over each rival in both errors, and its share of the smallest rival's parameters."""
    nets = table.set_index("network")
    ours, rivals = nets.loc["MgNO"], {"fno": nets.loc["FNO"], "unet": nets.loc["U-Net"]}
    return {
        **{f"l2_gain_over_{name}": rival["test_l2"] - ours["test_l2"] for name, rival in rivals.items()},
        **{f"h1_gain_over_{name}": rival["test_h1"] - ours["test_h1"] for name, rival in rivals.items()},
        "parameter_share": ours["parameters"] / min(rival["parameters"] for rival in rivals.values()),
    }


def draw_errors(axes, table):
    """Test errors of each network in both norms."""
    long = table.melt(["seed", "network"], ["test_l2", "test_h1"], "norm", "error")
    long["norm"] = long["norm"].map({"test_l2": "relative L2 error", "test_h1": "relative H1 error"})
    dots("network", "error", "norm", ylabel="error on test samples (%)", percent=True)(axes, long)
    axes.set_ylim(bottom=0)


@paper.claim(darcy_errors, figure=draw_errors)
def darcy_flow(table):
    """See `gains`."""
    return gains(table)


@paper.claim(helmholtz_errors, figure=draw_errors)
def helmholtz_equation(table):
    """See `gains`."""
    return gains(table)


def errors_by_samples(trial: Trial) -> list[dict[str, Any]]:
    """Training and test error of both networks on Darcy flow with few samples."""
    counts = trial.pick(smoke=(8,), laptop=(16, 32, 64), full=(64, 128, 256))
    test, epochs = trial.pick(smoke=(4, 6), laptop=(50, 30), full=(100, 500))
    data = darcy("two-phase", max(counts) + test, trial.pick(smoke=16, laptop=32, full=210), trial.seed)
    nets = networks(trial, "dirichlet")
    rows = []
    for name in ("MgNO", "FNO"):
        for count in counts:
            kept = [*range(count), *range(max(counts), len(data))]
            part = SolutionMap(data.inputs[kept], data.outputs[kept], data.boundary, data.spacing)
            score = train_and_test(trial, *nets[name], part, count, epochs)
            rows.append({"network": name, "samples": count, "train_l2": score.train_l2, "test_l2": score.test_l2})
    return rows


def draw_overfitting(axes, table):
    """Training and test error of both networks against the number of training samples."""
    long = table.melt(["seed", "network", "samples"], ["test_l2", "train_l2"], "part", "error")
    long["network"] += long["part"].map({"test_l2": ", test", "train_l2": ", training"})
    lines("samples", "error", "network", log="x", ylabel="relative L2 error (%)", percent=True)(axes, long)


@paper.claim(errors_by_samples, figure=draw_overfitting)
def overfitting(table):
    """log10 of test over training error, the Fourier operator's less MgNO's, averaged over the numbers of samples."""
    ratio = (table["test_l2"] / table["train_l2"]).map(math.log10).groupby(table["network"]).mean()
    return {"log_ratio_gain": ratio["FNO"] - ratio["MgNO"]}


def errors_by_extension(trial: Trial) -> list[dict[str, Any]]:
    """One linear layer learns the inverse of 1 − d²/dx² under each condition, once with each extension of its inputs."""
    points, train, test = trial.pick(smoke=(16, 8, 4), laptop=(64, 128, 128), full=(256, 512, 512))
    steps, levels = trial.pick(smoke=(5, 3), laptop=(150, 5), full=(3000, 7))
    x = torch.arange(points, dtype=torch.float64) / points
    waves = torch.cat([part(2 * math.pi * k * x)[None] for k in range(9) for part in (torch.cos, torch.sin)])
    draws = torch.randn(train + test, len(waves), generator=trial.generator("sources", "cpu"), dtype=torch.float64)
    sources = draws @ waves
    rows = []
    for condition in CONDITIONS:
        solutions = sources @ screened_poisson_inverse(condition, points).T
        inputs, outputs = ((part / part.std())[:, None].float().to(trial.device) for part in (sources, solutions))
        for extension in CONDITIONS:
            net = MgNO(
                channels=8, layers=1, dimensions=1, boundary=extension, smoothing=((1, 0),) * (levels - 1) + ((2, 0),),
                activation=nn.Identity, generator=trial.generator("weights"),
            )  # fmt: skip
            optimiser = torch.optim.Adam(net.parameters(), 1e-2, fused=True)
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
            batches = [(inputs[:train], outputs[:train])]
            fit(net, l2_loss, batches, optimiser=optimiser, steps=steps, schedule=schedule, clip_norm=1.0)
            with torch.no_grad():
                error = float(l2_loss(net, inputs[train:], outputs[train:]))
            rows.append({"condition": condition, "extension": extension, "error": error})
    return rows


def l2_loss(net: nn.Module, inputs: Tensor, outputs: Tensor) -> Tensor:
    """Mean relative L2 error."""
    return relative_l2(net(inputs), outputs).mean()


@paper.claim(
    errors_by_extension,
    figure=dots("condition", "error", "extension", xlabel="boundary condition of the solutions",
                ylabel="relative L2 error (%)", percent=True, log="y"),
)  # fmt: skip
def boundary_conditions(table):
    """log10 of the error with the better of the two other extensions over that with the fitting one."""
    errors = table.pivot(index="condition", columns="extension", values="error")
    return {f"{c}_gain": math.log10(errors.loc[c].drop(c).min() / errors.loc[c, c]) for c in CONDITIONS}
