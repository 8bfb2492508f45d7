"""Noci, Meterez, Hofmann, Orvieto 2024: Why do Learning Rates Transfer? Reconciling Optimization and Scaling Limits.

A learning rate found on a small network serves a large one where the sharpness along training is that of the small one: under μP
and its extension to depth, not in the tangent regime.
"""

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from replica.data import digits, mnist
from replica.kernels import ResidualPerceptron, SharpnessTracker
from replica.kernels.residual_perceptron import Form
from replica.lab.claims import Choice, Paper, Trial
from replica.lab.studies import Arena, dots, lines
from replica.training import Replicas, train_replicas

paper = Paper("learning_rate_transfer")
Rows = list[dict[str, Any]]
WIDTH, DEPTH = 64, 2
RATE = 4.0
"""Of the sharpness: the narrowest network's, below half of the stable ones on a seed from 100 up."""


@paper.entry("scaling", name="depth-mup", space={"base_width": Choice((16, 32, 64)), "base_depth": Choice((1, 2, 4))})
class DepthMup:
    """Residual perceptrons of ReLUs under μP, whose branches fall with depth; the readout starts at 0.

    Args:
        trial: Not used: the problem gives the generator.
        base_width: The width from which powers count.
        base_depth: The depth, likewise.
        form: How outputs, branches and rates scale.
    """

    def __init__(self, trial: Trial, base_width: int = 32, base_depth: int = 2, form: Form = "depth-mup") -> None:
        self.shape: dict[str, Any] = {"base_width": base_width, "base_depth": base_depth, "form": form}

    def build(
        self, inputs: int, outputs: int, width: int, depth: int, generator: torch.Generator, optimiser: str
    ) -> tuple[nn.Module, list[dict[str, Any]]]:
        """A network of ``depth`` residual layers."""
        net = ResidualPerceptron(
            inputs, outputs, width, depth, zero_readout=True, generator=generator, **self.shape
        ).to(generator.device)
        groups = net.parameter_groups(1.0, "adam" if optimiser == "adam" else "sgd")
        return net, [{"params": group["params"], "lr_scale": group["lr"]} for group in groups]


def of(form: Form) -> tuple[type[DepthMup], dict[str, Any]]:
    """A form, counted from the smallest network."""
    return DepthMup, {"base_width": WIDTH, "base_depth": DEPTH, "form": form}


DIGITS = partial(
    Arena, "scaling", data="mnist", optimiser="sgd", train=2000, steps=120, batch=32, rates=15, smoke={"data": "digits"}
)
widths = DIGITS(width="64,128,256,512", depth="3", low=2.0**-6, high=2.0**8).compare(
    {"μP": of("mup"), "NTK": of("ntk"), "standard": of("standard")}
)
depths = DIGITS(width="64", depth="2,4,8,16", low=2.0**-6, high=2.0**8).compare(
    {"depth-μP": of("depth-mup"), "μP": of("mup")}
)


octaves = dots("method", "drift", xlabel="form", ylabel="drift of the best rate (octaves)")


@paper.claim(widths, figure=octaves)
def width_transfer(table):
    """How far the best rate moves with width."""
    found = table.set_index("method")
    return {
        "drift": found.loc["μP", "drift"],
        "less_than_ntk": found.loc["NTK", "drift"] - found.loc["μP", "drift"],
        "regret": found.loc["μP", "regret"],
        "drift_of_standard": found.loc["standard", "drift"],
        "censored": found["censored"].max(),
        "loss": found.loc["μP", "loss"],
    }


@paper.claim(depths, figure=octaves)
def depth_transfer(table):
    """How far it moves with depth."""
    found = table.set_index("method")
    return {
        "drift": found.loc["depth-μP", "drift"],
        "regret": found.loc["depth-μP", "regret"],
        "drift_without": found.loc["μP", "drift"],
        "censored": found["censored"].max(),
        "loss": found.loc["depth-μP", "loss"],
    }


def sharpness_by_width(trial: Trial) -> Rows:
    """Rate times sharpness along descent on all images at once, by form and width; means over networks, of logarithms."""
    nets = trial.pick(
        smoke={8: 2, 16: 1}, laptop={64: 16, 128: 4, 256: 2, 512: 1}, full={64: 16, 256: 4, 1024: 2, 4096: 1}
    )
    steps, every, count = trial.pick(smoke=(4, 2, 20), laptop=(120, 12, 500), full=(1000, 20, 5000))
    images = digits() if trial.scale == "smoke" else mnist()
    chosen = trial.rng("images").permutation(len(images.labels))[:count]
    inputs = torch.from_numpy(images.values[chosen].reshape(count, -1))
    batch = ((inputs - inputs.mean()) / inputs.std(), torch.from_numpy(images.labels[chosen]))
    base, *wider = nets
    rows = []
    for form, width in [("mup", base), *((form, width) for form in ("mup", "ntk") for width in wider)]:
        course = sharpness_course(trial, form, width, nets[width], base, batch, steps, every)
        # At the base width all forms are one.
        shown = ("mup", "ntk") if width == base else (form,)
        rows += [{"form": name, "width": width, **row} for name in shown for row in course]
    return rows


def sharpness_course(
    trial: Trial, form: Any, width: int, count: int, base: int, batch: tuple[Tensor, Tensor], steps: int, every: int
) -> Rows:
    """Of networks side by side, each from a start of its own."""
    generator = trial.generator(f"weights {width}")
    inputs = batch[0].shape[1]
    nets = [
        ResidualPerceptron(inputs, 10, width, 3, form=form, base_width=base, zero_readout=True, generator=generator)
        for _ in range(count)
    ]
    rate = RATE * nets[0].parameter_groups(1.0)[0]["lr"]
    replicas = Replicas(nets)
    tracker = SharpnessTracker(cross_entropy, [batch], rates=rate, generator=trial.generator("start"), most=60)
    rows: Rows = []

    def look(step: int) -> None:
        if step % every == 0:
            with torch.no_grad():
                left = replicas.losses(cross_entropy, batch).mean()
            rows.append(
                {
                    "step": step,
                    "sharpness": float(tracker.measure(replicas).log().mean().exp()),
                    "loss": float(left),
                }
            )

    look(0)
    train_replicas(replicas, cross_entropy, [batch], steps=steps, rates=rate, after_step=look)
    return rows


def cross_entropy(net: Any, inputs: Tensor, labels: Tensor) -> Tensor:
    return nn.functional.cross_entropy(net(inputs), labels)


def draw_courses(axes, table):
    """Rate times sharpness against steps: the narrowest network, where forms are one, and the widest of each form."""
    narrow, wide = table["width"].min(), table["width"].max()
    named = table[(table["width"] == wide) | ((table["width"] == narrow) & (table["form"] == "mup"))]
    forms = named["form"].map({"mup": "μP", "ntk": "NTK"}).where(named["width"] == wide, "both")
    named = named.assign(form=forms + named["width"].map(", {} units".format))
    lines("step", "sharpness", "form", xlabel="steps", ylabel="rate × sharpness")(axes, named)


@paper.claim(sharpness_by_width, figure=draw_courses)
def sharpness_over_time(table):
    """How far the courses of the widest and the narrowest network are apart, and how far they rise."""
    logs = np.log(table.pivot(index="step", columns=["form", "width"], values="sharpness"))
    narrow, wide = table["width"].min(), table["width"].max()
    gaps = {form: (logs[form, wide] - logs[form, narrow]).abs().mean() for form in ("mup", "ntk")}
    rises = logs.iloc[-1] - logs.iloc[0]
    losses = table.pivot(index="step", columns=["form", "width"], values="loss")
    return {
        "closer_than_ntk": np.log(gaps["ntk"] / gaps["mup"]),
        "gap": gaps["mup"],
        "gap_of_ntk": gaps["ntk"],
        "rise": rises["mup", wide],
        "rise_over_ntk": rises["mup", wide] - rises["ntk", wide],
        "rise_at_narrowest": rises["mup", narrow],
        "rate_times_sharpness": np.exp(logs.iloc[0]).max(),
        "least_loss_removed": (1 - losses.iloc[-1] / losses.iloc[0]).min(),
    }
