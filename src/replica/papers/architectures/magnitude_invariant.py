"""Magnitude Invariant Parametrizations Improve Hypernetwork Learning (Gonzalez Ortiz, Guttag and Dalca 2023).

A plain hypernetwork's output grows in proportion to its input; encoded at constant norm, and as a change of learned
weights, it does not, and trains faster and more steadily.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call

from replica.architectures import Hypernetwork
from replica.architectures.hypernetwork import Form
from replica.data import digits, mnist
from replica.lab.claims import Paper, Reported, Trial, above, below, within
from replica.lab.claims.drawing import draw_spread
from replica.training import split_indices

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

paper = Paper(
    "magnitude_invariant",
    departures=(
        "Two of the paper's three kinds of task, a Bayesian network and a network that rescales inside, both on 8 × 8 "
        "digits, with five layers in the primary network as in the authors' example but far narrower, and hidden layers "
        "of 16 and 32 in the hypernetwork. Registration of brain scans is left out.",
        "Every form is trained at six learning rates of Adam and six of SGD with momentum, from the same initial "
        "weights, on the same batches and conditions, for hundreds of steps.",
        "After a first look at one seed outside those judged, the primary networks were deepened from two and three "
        "layers, where the forms hardly differed, to five; learning rates were moved so that the best of each form lies "
        "inside the grid; and two measures that a form which learns nothing could satisfy were replaced.",
        "The divergence from the prior counts a tenth of its full weight at most; with SGD the plain form learned the Bayesian "
        "network at none of the rates tried on that seed, from 0.0003 to 1.",
        "The paper's full text was not at hand: claims rest on its abstract, on reviews and on the authors' code. That "
        "proportionality lasts through training, and that each half helps, is read from those, not quoted.",
        "Normalisation layers inside the hypernetwork are not tried.",
    ),
)

Result = tuple[dict[str, Any], dict[str, Any]]


# --- The tasks


class Task(NamedTuple):
    """A job for a hypernetwork.

    Attributes:
        primary: makes the primary network.
        draw: a minibatch with one condition for it, all that `loss` takes after the hypernetwork.
        held_out: what `loss` is measured on: fixed batches at conditions from 0 to 1.
        loss: of a hypernetwork (a callable) on a minibatch.
    """

    primary: Callable[[torch.Generator], nn.Module]
    draw: Callable[[torch.Generator], tuple[Any, ...]]
    held_out: Sequence[tuple[Any, ...]]
    loss: Callable[..., Tensor]


class Data(NamedTuple):
    """Images (count, 1, side, side) and labels, to train on and held out."""

    images: Float[Tensor, "count 1 side side"]
    labels: Int[Tensor, " count"]
    other_images: Float[Tensor, "other 1 side side"]
    other_labels: Int[Tensor, " other"]


def split_images(trial: Trial) -> Data:
    """Digits, 70 % to train on, the rest (at most 200 at laptop scale) held out."""
    data = mnist(split="test") if trial.scale == "full" else digits()
    images = torch.from_numpy(data.values).unsqueeze(1).to(trial.device)
    labels = torch.from_numpy(data.labels).to(trial.device)
    train, other = split_indices(len(labels), (0.7, 0.3), trial.generator("split"))
    other = other[: trial.pick(smoke=50, laptop=200, full=2000)]
    return Data(images[train], labels[train], images[other], labels[other])


def fill(like: Tensor, deviation: float, generator: torch.Generator) -> nn.Parameter:
    """Normal weights as large as asked for."""
    return nn.Parameter(like.normal_(0, deviation, generator=generator))


class BayesianLayer(nn.Module):
    """Linear layer with independent normal weights, N(mean, deviation²), beside a prior N(0, 2 / inputs).

    The local reparametrisation (Kingma et al. 2015): outputs are normal, so one number a unit is drawn, not one a
    weight. The deviation is exp(`log_ratio`) tenths of the prior's.
    """

    def __init__(self, inputs: int, outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        self.prior = math.sqrt(2 / inputs)
        empty = torch.empty(outputs, inputs, device=generator.device)
        self.mean = fill(empty, self.prior, generator)
        self.log_ratio = nn.Parameter(torch.zeros_like(empty))
        self.bias = nn.Parameter(torch.zeros(outputs, device=generator.device))

    def forward(self, inputs: Tensor, noise: Tensor) -> tuple[Float[Tensor, "batch outputs"], Float[Tensor, ""]]:
        """Outputs for one draw of the weights, and the divergence of the weights from the prior in nats."""
        variance = (0.1 * self.prior * self.log_ratio.exp()).square()
        spread = (inputs.square() @ variance.T + 1e-12).sqrt()
        ratio = variance / self.prior**2
        divergence = 0.5 * (ratio + (self.mean / self.prior).square() - 1 - ratio.log()).sum()
        return inputs @ self.mean.T + self.bias + noise * spread, divergence


class BayesianNet(nn.Module):
    """Bayesian layers with LeakyReLU between them."""

    def __init__(self, sizes: Sequence[int], generator: torch.Generator) -> None:
        super().__init__()
        self.layers = nn.ModuleList(BayesianLayer(ins, outs, generator) for ins, outs in pairwise(sizes))

    def forward(self, images: Tensor, noise: Sequence[Tensor]) -> tuple[Tensor, Float[Tensor, ""]]:
        """Logits, and the divergence of all weights from their prior."""
        features, divergences = images.flatten(1), []
        for place, (layer, draw) in enumerate(zip(self.layers, noise, strict=True)):
            features, divergence = layer(nn.functional.leaky_relu(features) if place else features, draw)
            divergences.append(divergence)
        return features, torch.stack(divergences).sum()


def bayesian_task(trial: Trial, conditions: int = 1, depth: int = 5) -> Task:
    """A Bayesian network as a function of how much its prior counts: loss = cross-entropy + γ KL / (10 · images).

    With several conditions, γ is their mean.
    """
    data = split_images(trial)
    count, width = len(data.labels), trial.pick(smoke=4, laptop=16, full=64)
    size = trial.pick(smoke=16, laptop=64, full=128)
    widths = [width] * (depth - 1) + [10]

    def noise(rows: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        return torch.randn(rows, sum(widths), generator=generator, device=generator.device).split(widths, dim=-1)

    def draw(generator: torch.Generator) -> tuple[Any, ...]:
        rows = torch.randint(count, (size,), generator=generator, device=generator.device)
        condition = torch.rand(conditions, generator=generator, device=generator.device)
        return data.images[rows], data.labels[rows], condition, noise(size, generator)

    def loss(
        hypernet: Callable[..., Any], images: Tensor, labels: Tensor, condition: Tensor, noise: tuple[Tensor, ...]
    ) -> Tensor:
        logits, divergence = hypernet(images, condition, noise=noise)
        return nn.functional.cross_entropy(logits, labels) + condition.mean() * divergence / (10 * count)

    fixed = noise(len(data.other_labels), trial.generator("held-out noise"))
    levels = torch.linspace(0, 1, 4, device=trial.device)
    return Task(
        lambda generator: BayesianNet((data.images[0].numel(), *widths), generator),
        draw,
        [(data.other_images, data.other_labels, level.expand(conditions), fixed) for level in levels],
        loss,
    )


class RescalingNet(nn.Module):
    """Convolution, rescaling to a given size, more convolutions, means of the four quarters, linear layer."""

    def __init__(self, channels: Sequence[int], generator: torch.Generator) -> None:
        super().__init__()
        shapes = [(outs, ins, 3, 3) for ins, outs in pairwise((1, *channels))] + [(10, 4 * channels[-1])]
        self.weights = nn.ParameterList(
            fill(torch.empty(shape, device=generator.device), math.sqrt(2 / math.prod(shape[1:])), generator)
            for shape in shapes
        )
        self.biases = nn.ParameterList(torch.zeros(shape[0], device=generator.device) for shape in shapes)

    def forward(self, images: Tensor, size: int) -> Tensor:
        """Logits."""
        *weights, last = self.weights
        *biases, last_bias = self.biases
        features = images
        for place, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            if place == 1:
                features = nn.functional.adaptive_avg_pool2d(features, size)
            features = nn.functional.leaky_relu(nn.functional.conv2d(features, weight, bias, padding=1))
        quarters = nn.functional.adaptive_avg_pool2d(features, 2)
        return quarters.flatten(1) @ last.T + last_bias


def rescaling_task(trial: Trial) -> Task:
    """A classifier as a function of how far it shrinks its feature maps: from a quarter of the side to all of it."""
    data = split_images(trial)
    side, count = data.images.shape[-1], len(data.labels)
    batch = trial.pick(smoke=16, laptop=32, full=128)
    channels = trial.pick(smoke=(2, 2, 4, 4), laptop=(4, 8, 8, 8), full=(16, 32, 64, 64))

    def size(condition: float) -> int:
        return round(side * (0.25 + 0.75 * condition))

    def draw(generator: torch.Generator) -> tuple[Any, ...]:
        rows = torch.randint(count, (batch,), generator=generator, device=generator.device)
        condition = torch.rand(1, generator=generator, device=generator.device)
        return data.images[rows], data.labels[rows], condition, size(float(condition))

    def loss(hypernet: Callable[..., Any], images: Tensor, labels: Tensor, condition: Tensor, size: int) -> Tensor:
        return nn.functional.cross_entropy(hypernet(images, condition, size=size), labels)

    levels = torch.linspace(0, 1, 4, device=trial.device)
    return Task(
        lambda generator: RescalingNet(channels, generator),
        draw,
        [(data.other_images, data.other_labels, level.unsqueeze(0), size(float(level))) for level in levels],
        loss,
    )


TASKS: Mapping[str, Callable[[Trial], Task]] = {"bayesian": bayesian_task, "rescaling": rescaling_task}


# --- Many runs at once

RATES: Mapping[str, tuple[float, ...]] = {
    "adam": (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
    "sgd": (3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1),
}
IGNORANCE = math.log(10)
"""Loss of a guess among ten digits: a run that ends above it, or diverges, counts as this bad."""


class Curves(NamedTuple):
    """Held-out loss of many runs of one form, at most `IGNORANCE`: one column a learning rate."""

    steps: list[int]
    losses: Mapping[str, np.ndarray]

    def final(self, optimiser: str) -> np.ndarray:
        """Where each run ends: mean of its last three evaluations."""
        return self.losses[optimiser][-3:].mean(0)

    def steps_to(self, target: float, optimiser: str) -> np.ndarray:
        """Steps at which the mean of three evaluations first is at most the target; the budget if it never is."""
        losses = self.losses[optimiser]
        smooth = (losses[:-2] + losses[1:-1] + losses[2:]) / 3
        reached = smooth <= target
        first = np.where(reached.any(0), reached.argmax(0) + 2, len(losses) - 1)
        return np.array(self.steps)[first]


def train_together(
    hypernet: Hypernetwork, task: Task, trial: Trial, *, rates: Mapping[str, Sequence[float]], steps: int, every: int
) -> Curves:
    """Trains copies of a hypernetwork side by side, one a learning rate, on the same batches and conditions.

    Returns:
        Held-out losses along training.
    """
    count = sum(map(len, rates.values()))
    # One tensor a parameter holds it for all runs; the optimisers step through views of its rows and its gradient's.
    stacked = {
        name: parameter.detach().repeat(count, *[1] * parameter.dim()).view(count, *parameter.shape).requires_grad_()
        for name, parameter in hypernet.named_parameters()
    }
    gradients = [torch.zeros_like(tensor) for tensor in stacked.values()]
    runs: list[list[nn.Parameter]] = [[] for _ in range(count)]
    for tensor, gradient in zip(stacked.values(), gradients, strict=True):
        tensor.grad = gradient
        for run, row, own in zip(runs, tensor.detach(), gradient, strict=True):
            run.append(nn.Parameter(row))
            run[-1].grad = own
    remaining = iter(runs)
    optimisers: list[torch.optim.Optimizer] = []
    for kind, values in rates.items():
        groups = [{"params": next(remaining), "lr": rate} for rate in values]
        optimisers.append(
            torch.optim.Adam(groups, fused=True)
            if kind == "adam"
            else torch.optim.SGD(groups, momentum=0.9, nesterov=True, fused=True)
        )

    def losses(batch: tuple[Any, ...]) -> Float[Tensor, " runs"]:
        def of_run(weights: dict[str, Tensor]) -> Tensor:
            return task.loss(lambda *args, **options: functional_call(hypernet, weights, args, options), *batch)

        return torch.vmap(of_run)(stacked)

    generator = trial.generator("batches")
    seen, at = [], []
    for step in range(steps + 1):
        if step % every == 0 or step == steps:
            with torch.no_grad():
                seen.append(torch.stack([losses(batch) for batch in task.held_out]).mean(0))
            at.append(step)
        if step == steps:
            break
        for gradient in gradients:
            gradient.zero_()
        losses(task.draw(generator)).sum().backward()
        for optimiser in optimisers:
            optimiser.step()
    table = torch.stack(seen).nan_to_num(IGNORANCE, IGNORANCE).clamp(max=IGNORANCE).cpu().numpy()
    ends = np.cumsum([len(values) for values in rates.values()])[:-1]
    return Curves(at, dict(zip(rates, np.split(table, ends, axis=1), strict=True)))


FORMS: tuple[Form, ...] = ("plain", "magnitude-invariant")


def train_forms(
    task: Task,
    trial: Trial,
    forms: Mapping[str, Mapping[str, Any]],
    *,
    steps: int,
    rates: Mapping[str, Sequence[float]] = RATES,
) -> dict[str, Curves]:
    """Trains hypernetworks of one size, made with different options, on the same data from the same streams."""
    hidden = trial.pick(smoke=(4, 8), laptop=(16, 32), full=(16, 128))
    curves = {}
    for name, options in forms.items():
        hypernet = Hypernetwork(
            task.primary(trial.generator("primary weights")),
            **{"hidden": hidden, **options},
            generator=trial.generator("weights"),
        )
        curves[name] = train_together(hypernet, task, trial, rates=rates, steps=steps, every=max(1, steps // 30))
    return curves


def compare(ours: Curves, plain: Curves) -> dict[str, float]:
    """Ours beside the plain form, averaged over optimisers.

    Steps are those to a loss 25 % above the lowest at which any run of either form ends with that optimiser; runs
    that never get there count with the whole budget.

    Returns:
        `fastest`: ratio of steps, each form at the learning rate that gets there first. `average`: ratio of the mean
        steps over all learning rates. `usable_rates`: how much larger the share of learning rates is that end at
        such a loss.
    """
    fastest, average, usable = [], [], []
    for kind in plain.losses:
        target = 1.25 * min(float(ours.final(kind).min()), float(plain.final(kind).min()))
        our_steps, plain_steps = ours.steps_to(target, kind), plain.steps_to(target, kind)
        fastest.append(math.log(our_steps.min() / plain_steps.min()))
        average.append(math.log(our_steps.mean() / plain_steps.mean()))
        usable.append(float((ours.final(kind) <= target).mean() - (plain.final(kind) <= target).mean()))
    return {
        "fastest": math.exp(float(np.mean(fastest))),
        "average": math.exp(float(np.mean(average))),
        "usable_rates": float(np.mean(usable)),
    }


def best_curves(curves: Mapping[str, Curves], **constant: str) -> dict[str, list[Any]]:
    """Series: held-out loss against steps of each form and optimiser, at the learning rate that ends best."""
    rows: dict[str, list[Any]] = {}
    for form, curve in curves.items():
        for kind, losses in curve.losses.items():
            best = int(curve.final(kind).argmin())
            columns = {
                **{name: [value] * len(curve.steps) for name, value in constant.items()},
                "form": [form] * len(curve.steps),
                "optimiser": [kind] * len(curve.steps),
                "step": curve.steps,
                "loss": losses[:, best].tolist(),
            }
            for name, values in columns.items():
                rows.setdefault(name, []).extend(values)
    return rows


STYLES = {
    "plain": ("tab:blue", "o"),
    "encoded": ("tab:green", "^"),
    "additive": ("tab:purple", "D"),
    "magnitude-invariant": ("tab:orange", "s"),
}


LINES = {"adam": "Adam", "sgd": "SGD"}


def draw_curves(axes: "Axes", table: "pd.DataFrame", dashed: str) -> None:
    """Held-out loss against steps, mean over seeds with the range; a colour a form, a line style by `dashed`."""
    for key, rows in table.groupby(["form", dashed]):
        form, line = map(str, key)
        colour, marker = STYLES[form]
        groups = rows.groupby("step")["loss"]
        mean = groups.mean()
        style = "-" if line == sorted(table[dashed].unique())[0] else "--"
        axes.plot(
            mean.index, mean, color=colour, linestyle=style, marker=marker, markevery=6, markersize=4,
            label=f"{form}, {LINES.get(line, line)}",
        )  # fmt: skip
        axes.fill_between(mean.index, groups.min(), groups.max(), color=colour, alpha=0.15, linewidth=0)
    axes.set(xlabel="steps", ylabel="held-out loss, at most ln 10 (nats)", ylim=(0, 3.2))
    axes.legend(loc="upper center", ncols=2)


# --- Proportionality


def scale_slope(conditions: Float[Tensor, " count"], weights: Float[Tensor, "count weights"]) -> float:
    """Slope of log(standard deviation of the weights) against log γ: 1 if proportional, 0 if independent."""
    deviation = weights.std(dim=-1)
    return float(np.polyfit(conditions.log().cpu().numpy(), deviation.log().cpu().numpy(), 1)[0])


def output_scales(trial: Trial, steps: int) -> Result:
    """Slope of log std(θ(γ)) against log γ, for γ from 0.1 to 1, after training with Adam at its usual rate, 0.001."""
    task = rescaling_task(trial)
    hidden = trial.pick(smoke=(4, 8), laptop=(16, 128), full=(16, 128))
    gammas = torch.logspace(-1, 0, 13, device=trial.device)
    measures: dict[str, float] = {}
    rows: dict[str, list[Any]] = {"form": [], "step": [], "condition": [], "deviation": []}
    for form in FORMS:
        hypernet = Hypernetwork(
            task.primary(trial.generator("primary weights")),
            form=form,
            hidden=hidden,
            generator=trial.generator("weights"),
        )
        optimiser = torch.optim.Adam(hypernet.parameters(), 1e-3)
        generator = trial.generator("batches")
        for step in range(steps + 1):
            if step in (0, steps):
                with torch.no_grad():
                    written = hypernet.flat_weights(gammas.unsqueeze(-1))
                slope = scale_slope(gammas, written)
                rows["form"] += [form] * len(gammas)
                rows["step"] += [step] * len(gammas)
                rows["condition"] += gammas.tolist()
                rows["deviation"] += written.std(dim=-1).tolist()
            if step < steps:
                optimiser.zero_grad()
                task.loss(hypernet, *task.draw(generator)).backward()
                optimiser.step()
        measures[form.removeprefix("magnitude-")] = slope
    return measures, rows


@paper.claim(
    "The weights that a plain hypernetwork writes are proportional to its input at the start; those of the "
    "magnitude-invariant form are not.",
    expect={"plain": within(0.01, of=1.0), "invariant": within(0.1, of=0.0)},
    reported={
        "plain": Reported("1: the norm of θ is proportional to that of γ", where="abstract; shown for zero biases")
    },
)
def proportionality_at_start(trial: Trial) -> Result:
    """Slopes before training; see `output_scales`."""
    return output_scales(trial, steps=0)


@paper.claim(
    "The proportionality of the plain form stays during training; the magnitude-invariant form stays free of it.",
    expect={"plain": above(0.5), "invariant": within(0.1, of=0.0)},
    why=(
        "What the last layer adds to its bias stays close to proportional to the input for hundreds of steps. But the "
        "bias, which no input changes, is learned too and takes a growing share of the weights: the slope of the whole "
        "falls, and soonest in the runs that learn most."
    ),
)
def proportionality_in_training(trial: Trial) -> Result:
    """Slopes after 600 steps; see `output_scales`."""
    return output_scales(trial, steps=trial.pick(smoke=10, laptop=600, full=6000))


def draw_scales(axes: "Axes", table: "pd.DataFrame") -> None:
    """Standard deviation of the weights against the condition, before and after training, beside proportionality."""
    last = table["step"].max()
    for (form, step), rows in table[table["step"].isin([0, last])].groupby(["form", "step"]):
        colour, marker = STYLES[str(form)]
        draw_spread(
            axes, rows, "condition", "deviation", color=colour, marker=marker,
            markerfacecolor="none" if last and not step else colour,
            label=f"{form}, {f'after {step} steps' if step else 'at the start'}" if last else form,
        )  # fmt: skip
    plain = table[(table["form"] == "plain") & (table["step"] == 0)].groupby("condition")["deviation"].mean()
    axes.plot(plain.index, plain.iloc[-1] * plain.index, color="black", label="proportional to γ")
    axes.set(xscale="log", yscale="log", xlabel="condition γ", ylabel="standard deviation of the weights")
    axes.set_ylim(bottom=table["deviation"].min() / 10)
    axes.legend(loc="lower right")


proportionality_at_start.figure(draw_scales)
proportionality_in_training.figure(draw_scales)


# --- Training

FEWER_STEPS = {"fastest": below(1.0), "average": below(1.0), "usable_rates": above(0.0)}
FASTER = {"fastest": Reported("faster convergence in every task", where="abstract")}
PLAIN_AND_INVARIANT: Mapping[str, Mapping[str, Any]] = {form: {"form": form} for form in FORMS}


@paper.claim(
    "A Bayesian network whose prior's weight is the condition trains in fewer steps in the magnitude-invariant form, "
    "and at more learning rates, than in the plain form.",
    expect=FEWER_STEPS,
    reported=FASTER,
)
def bayesian_network(trial: Trial) -> Result:
    """Six learning rates of Adam and six of SGD; see `compare`."""
    curves = train_forms(
        bayesian_task(trial), trial, PLAIN_AND_INVARIANT, steps=trial.pick(smoke=6, laptop=450, full=6000)
    )
    return compare(curves["magnitude-invariant"], curves["plain"]), best_curves(curves)


@bayesian_network.figure
def draw_bayesian_network(axes: "Axes", table: "pd.DataFrame") -> None:
    """Held-out loss at each form's best learning rate."""
    draw_curves(axes, table, "optimiser")


@paper.claim(
    "A convolutional network whose rescaling factor is the condition trains in fewer steps in the magnitude-invariant "
    "form, and at more learning rates, than in the plain form.",
    expect=FEWER_STEPS,
    reported=FASTER,
)
def rescaling_network(trial: Trial) -> Result:
    """Six learning rates of Adam and six of SGD; see `compare`."""
    curves = train_forms(
        rescaling_task(trial), trial, PLAIN_AND_INVARIANT, steps=trial.pick(smoke=6, laptop=600, full=6000)
    )
    return compare(curves["magnitude-invariant"], curves["plain"]), best_curves(curves)


@rescaling_network.figure
def draw_rescaling_network(axes: "Axes", table: "pd.DataFrame") -> None:
    """Held-out loss at each form's best learning rate."""
    draw_curves(axes, table, "optimiser")


@paper.claim(
    "The gain is not one of initial scale: it is there against a plain hypernetwork that starts with weights of the "
    "usual scale.",
    expect=FEWER_STEPS,
    reported={"fastest": Reported("the cause given is proportionality", where="abstract")},
)
def beyond_initial_scale(trial: Trial) -> Result:
    """Both tasks at every second learning rate, beside a plain form that starts at the primary network's own scale.

    See `compare`; the mean of both tasks.
    """
    rates = {kind: values[::2] for kind, values in RATES.items()}
    forms: Mapping[str, Mapping[str, Any]] = {
        "plain": {"form": "plain", "output_scale": "primary"},
        "magnitude-invariant": {"form": "magnitude-invariant"},
    }
    steps = {
        "bayesian": trial.pick(smoke=3, laptop=450, full=6000),
        "rescaling": trial.pick(smoke=3, laptop=600, full=6000),
    }
    found, series = [], dict[str, list[Any]]()
    for name, make in TASKS.items():
        curves = train_forms(make(trial), trial, forms, steps=steps[name], rates=rates)
        found.append(compare(curves["magnitude-invariant"], curves["plain"]))
        for column, values in best_curves(curves, task=name).items():
            series.setdefault(column, []).extend(values)
    measures = {
        "fastest": math.sqrt(found[0]["fastest"] * found[1]["fastest"]),
        "average": math.sqrt(found[0]["average"] * found[1]["average"]),
        "usable_rates": (found[0]["usable_rates"] + found[1]["usable_rates"]) / 2,
    }
    return measures, series


@beyond_initial_scale.figure
def draw_beyond_initial_scale(axes: "Axes", table: "pd.DataFrame") -> None:
    """Held-out loss with SGD at each form's best learning rate, of both tasks."""
    draw_curves(axes, table[table["optimiser"] == "sgd"], "task")


@paper.claim(
    "Each half of the parametrization helps: the constant-norm encoding and the additive output, alone and together.",
    expect={
        "encoding_alone": below(1.0),
        "additive_alone": below(1.0),
        "both_beside_encoding": below(1.0),
        "both_beside_additive": below(1.0),
    },
    why=(
        "The encoding alone is hardly faster than the plain form because both start, as the authors have it, with "
        "weights far smaller than usual in every layer. In two seeds tried apart it nearly matched the full form once "
        "its output started at the primary network's scale. The additive output mends that scale by itself, and does "
        "as well or better with raw conditions as with encoded ones on this task."
    ),
)
def each_half(trial: Trial) -> Result:
    """The Bayesian network; ratios of the fewest steps, as `fastest` in `compare`, of the half alone to the plain form."""
    forms: Mapping[str, Mapping[str, Any]] = {form: {"form": form} for form in STYLES}
    curves = train_forms(bayesian_task(trial), trial, forms, steps=trial.pick(smoke=6, laptop=450, full=6000))
    plain, encoded, additive, both = (curves[f] for f in ("plain", "encoded", "additive", "magnitude-invariant"))
    measures = {
        "encoding_alone": compare(encoded, plain)["fastest"],
        "additive_alone": compare(additive, plain)["fastest"],
        "both_beside_encoding": compare(both, encoded)["fastest"],
        "both_beside_additive": compare(both, additive)["fastest"],
    }
    return measures, best_curves(curves)


@each_half.figure
def draw_each_half(axes: "Axes", table: "pd.DataFrame") -> None:
    """Held-out loss with Adam at each form's best learning rate."""
    draw_curves(axes, table[table["optimiser"] == "adam"], "optimiser")


# --- Other hypernetworks

SCENARIOS: Mapping[str, Mapping[str, Any]] = {
    "LeakyReLU": {},
    "Tanh": {"activation": nn.Tanh},
    "SiLU": {"activation": nn.SiLU},
    "one hidden layer": {"hidden": (32,)},
    "three hidden layers": {"hidden": (16, 16, 32)},
    "two conditions": {"conditions": 2},
}
"""Options of the hypernetwork in each scenario."""

SHALLOW = "primary of 2 layers (not judged)"


@paper.claim(
    "The magnitude-invariant form trains faster whatever the activation, the depth and the number of inputs of the "
    "hypernetwork.",
    expect={"slowest_scenario": below(1.0), "mean_scenario": below(1.0)},
    reported={"slowest_scenario": Reported("training improves in all scenarios", where="abstract")},
)
def every_scenario(trial: Trial) -> Result:
    """The Bayesian network with Adam at six learning rates: ratio of the fewest steps, as `fastest` in `compare`."""
    rates = {"adam": RATES["adam"]}
    steps = trial.pick(smoke=3, laptop=250, full=6000)
    ratios: dict[str, float] = {}
    for name, options in {**SCENARIOS, SHALLOW: {}}.items():
        task = bayesian_task(trial, options.get("conditions", 1), depth=2 if name == SHALLOW else 5)
        forms: dict[str, Mapping[str, Any]] = {form: {"form": form, **options} for form in FORMS}
        curves = train_forms(task, trial, forms, steps=steps, rates=rates)
        ratios[name] = compare(curves["magnitude-invariant"], curves["plain"])["fastest"]
    judged = [ratios[name] for name in SCENARIOS]
    measures = {"slowest_scenario": max(judged), "mean_scenario": math.exp(float(np.log(judged).mean()))}
    return measures, {"scenario": list(ratios), "ratio": list(ratios.values())}


@every_scenario.figure
def draw_every_scenario(axes: "Axes", table: "pd.DataFrame") -> None:
    """Ratio of steps in each scenario: a point a seed, and their mean."""
    names = [*SCENARIOS, SHALLOW]
    for place, name in enumerate(names):
        values = table.loc[table["scenario"] == name, "ratio"]
        axes.plot(values, [place] * len(values), color="tab:blue", marker="o", linestyle="none", alpha=0.6)
        axes.plot(np.exp(np.log(values).mean()), place, color="black", marker="|", markersize=18)
    axes.axvline(1.0, color="black", linestyle="--")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set(xlabel="steps, magnitude-invariant / plain", ylabel="hypernetwork", xlim=(0, None))
