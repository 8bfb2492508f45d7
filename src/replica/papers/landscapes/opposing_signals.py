"""Rosenfeld, Risteski 2024: Outliers with Opposing Signals Have an Outsized Effect on Neural Network Optimization.

Who carries the rises of a training loss at the edge of stability: two small groups of examples that pull in opposite directions?
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from replica.data import digits, mnist
from replica.kernels import SharpnessTracker
from replica.lab.claims import Paper, Trial
from replica.lab.studies import dots, lines
from replica.landscapes import (
    LossSpikeTracker,
    OpposingGroups,
    OpposingToy,
    find_opposing_groups,
    groups_of_equal_loss,
)
from replica.training import full_batch_descent, mlp

paper = Paper("opposing_signals")
Rows = list[dict[str, Any]]
EDGE, START = 0.9, 0.1
ROUNDING = 1e-6
"""2 over the rate as a share of the sharpness at the end of gradient flow; the toy's weights at the start; rises that count."""


def toy_paths(trial: Trial) -> Rows:
    """Descent on the toy with and without outliers at one rate, and gradient flow, as descent at a small rate, over ‖β‖."""
    steps, slow = trial.pick(smoke=(300, 2e-3), laptop=(1000, 2e-4), full=(1000, 2e-5))
    rows: Rows = []
    for name, share in (("outliers", 0.02), ("no outliers", 0.0)):
        made = OpposingToy(outlier=40.0, share=share)
        rate = 2 / (EDGE * 0.02 * made.outlier**2)
        path = made.descend((START, START, 1e-3), rate=rate, steps=steps)
        for step in range(steps):
            losses = {"loss": float(path.losses[step]), "sharpness": rate * float(path.sharpness[step])}
            # Rows are rounded, so that differences of what is recorded would be lost.
            gap, rise = path.group_losses[step].diff(), path.losses[step + 1] - path.losses[step]
            rows.append({"data": name, "step": step, "gap": float(gap), "rise": float(rise)} | losses)
    for signal in (0.5, 1.0, 2.0):
        made = OpposingToy(signal=signal, outlier=40.0)
        flow = made.descend((START, START, 0.0), rate=slow, steps=int(10 / (signal * slow)))
        closed = made.flow_curvature(slow * torch.arange(len(flow.losses)), START)
        error = (made.hessian(flow.states)[:, 2, 2] / closed).log().abs().max()
        rows.append({"data": "flow", "signal": signal, "end": float(flow.sharpness[-1]), "error": float(error)})
    return rows


@paper.claim(toy_paths, figure=lines("step", "loss", "data", xlabel="step", ylabel="loss of the toy"))
def toy(table):
    """Alternation of the groups, rises of the loss, and how sharpness at the end grows with the signal."""
    with_outliers, without = (table[table["data"] == name].sort_values("step") for name in ("outliers", "no outliers"))
    gaps, times_sharpness = with_outliers["gap"].to_numpy(), with_outliers["sharpness"].to_numpy()[:-1]
    changes = gaps[1:] * gaps[:-1] < 0
    flow = table[table["data"] == "flow"]
    return {
        "alternation": changes[times_sharpness > 2].mean(),
        "alternation_below_half_the_edge": changes[times_sharpness < 1].mean(),
        "largest_rise": with_outliers["rise"].max(),
        "largest_rise_without_outliers": without["rise"].max(),
        "sharpness_exponent": np.polyfit(np.log(flow["signal"]), np.log(flow["end"]), 1)[0],
        "closed_form_error": flow["error"].max(),
    }


def training_images(trial: Trial) -> tuple[Tensor, Tensor]:
    """Standardised inputs and labels."""
    kind, count = trial.pick(smoke=("digits", 60), laptop=("mnist", 1000), full=("mnist", 5000))
    images = digits() if kind == "digits" else mnist("test")
    chosen = trial.rng("images").choice(len(images.values), count, replace=False)
    values, labels = torch.from_numpy(images.values[chosen]), torch.from_numpy(images.labels[chosen])
    if kind == "mnist":
        values = nn.functional.avg_pool2d(values[:, None], 2)[:, 0]
    return ((values - values.mean()) / values.std()).flatten(1), labels


def squared(model: Any, inputs: Tensor, labels: Tensor) -> Tensor:
    """Half the squared error of each example, of ten outputs for one-hot targets."""
    return (model(inputs) - nn.functional.one_hot(labels, 10)).square().sum(-1) / 2


def spiking_descent(trial: Trial) -> Rows:
    """Groups found in half of a training's spikes, and their null, judged in the other half."""
    steps, rate, width = trial.pick(smoke=(100, 0.35, 16), laptop=(1000, 0.1, 64), full=(5000, 0.05, 200))
    inputs, labels = training_images(trial)
    net = mlp((inputs.shape[1], width, width, 10), activation=nn.Tanh, generator=trial.generator("net"))
    tracker, risen = LossSpikeTracker(), {}
    before = math.inf

    def keep(done: int, losses: Tensor) -> None:
        nonlocal before
        tracker.record(losses)
        now = float(losses.mean())
        if now > before:
            risen[done - 1] = {name: weight.detach().clone() for name, weight in net.named_parameters()}
        before = now

    descent = torch.optim.SGD(net.parameters(), rate)
    full_batch_descent(net, squared, (inputs, labels), optimiser=descent, steps=steps, before_step=keep)
    accuracy = float((net(inputs).argmax(-1) == labels).double().mean())
    spikes = tracker.spikes()
    if len(spikes) < 2:
        raise ValueError(f"spiking_descent: got {len(spikes)} spikes, want 2 or more; raise the rate or the steps")
    picked, judged = ([step for spike in part for step in spike] for part in (spikes[::2], spikes[1::2]))
    groups = find_opposing_groups(tracker.changes[picked], max(len(labels) // 100, 1))
    mean_losses = tracker.losses[judged].mean(0)
    start = trial.generator("sharpness")
    sharpness = SharpnessTracker(lambda *each: squared(*each).mean(), [(inputs, labels)], rates=rate, generator=start)
    looked = judged[:: max(len(judged) // 20, 1)]
    rows: Rows = []
    for name, two in (("found", groups), ("equal loss", groups_of_equal_loss(groups, mean_losses))):
        cosines, products = [], []
        for step in looked:
            net.load_state_dict(risen[step])
            cosines.append(cosine(net, squared(net, inputs, labels), two))
            if name == "found" and step in looked[::5]:
                products.append(float(sharpness.measure(net)))
        row = {"groups": name, "share": tracker.share_of_rises(two.members, judged), "cosine": float(np.mean(cosines))}
        row |= {"loss": float(mean_losses[two.members].mean()), "number": len(two.members)}
        if products:
            row |= {"spikes": len(picked) + len(judged), "sharpness": float(np.mean(products)), "accuracy": accuracy}
        rows.append(row)
    return rows


def cosine(net: nn.Module, losses: Tensor, groups: OpposingGroups) -> float:
    """Between the gradients of the mean losses of two groups."""
    sides = []
    for group in groups:
        slopes = torch.autograd.grad(losses[group].mean(), list(net.parameters()), retain_graph=True)
        sides.append(torch.cat([part.flatten() for part in slopes]))
    return float(nn.functional.cosine_similarity(sides[0], sides[1], dim=0))


def model_outliers(trial: Trial) -> Rows:
    """How many of the model's outliers are found by their losses in the spike of a linear network, and by high loss."""
    count, dim, steps = trial.pick(smoke=(100, 5, 150), laptop=(1000, 20, 300), full=(10_000, 50, 1000))
    weight, norm, rare = 40.0, 3.0, count // 50
    drawn = trial.generator("data")
    common, noise = torch.randn(count, dim, generator=drawn), torch.randn(count, generator=drawn)
    target = norm * nn.functional.normalize(torch.randn(dim, generator=drawn), dim=0)
    sign = torch.zeros(count)
    sign[:rare:2], sign[1:rare:2] = 1.0, -1.0
    inputs = torch.cat([common, sign[:, None] * math.sqrt(weight * count / rare)], 1)
    targets = common @ target + sign.abs() + noise
    net = mlp((dim + 1, 20, 1), activation=nn.Identity, bias=False, generator=trial.generator("net"))
    tracker, before = LossSpikeTracker(), math.inf
    cosines: dict[int, float] = {}
    planted = OpposingGroups(torch.arange(0, rare, 2), torch.arange(1, rare, 2))

    def each(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        return (model(inputs)[:, 0] - targets).square() / 2

    def keep(done: int, losses: Tensor) -> None:
        nonlocal before
        tracker.record(losses)
        now = float(losses.mean())
        if now > before + ROUNDING:
            cosines[done - 1] = cosine(net, each(net, inputs, targets), planted)
        before = now

    descent = torch.optim.SGD(net.parameters(), 2 / (EDGE * weight * norm))
    full_batch_descent(net, each, (inputs, targets), optimiser=descent, steps=steps, before_step=keep)
    spike = max(tracker.spikes(ROUNDING), key=len)
    found, over_all = (find_opposing_groups(tracker.changes[steps], rare // 2) for steps in (spike[0], list(spike)))
    hits = [[int(torch.isin(group, side).sum()) for side in planted] for group in found]
    all_hits, aside = sum(map(sum, hits)), max(hits[0][0] + hits[1][1], hits[0][1] + hits[1][0])
    loudest = tracker.losses[spike[0]].topk(rare).indices
    row: dict[str, Any] = {"how": "rises and falls", "recall": all_hits / rare}
    row |= {"sides": aside / max(all_hits, 1), "spikes": len(spike)}
    row |= {"recall_over_spike": float((over_all.members < rare).double().mean())}
    row |= {"cosine": float(np.mean([cosines[step] for step in spike]))}
    row |= {"share": tracker.share_of_rises(planted.members, spike)}
    return [row, {"how": "highest loss", "recall": float((loudest < rare).double().mean())}]


def sides(table):
    """Rows of the groups found and of their null, and the gates that claims share."""
    found, null = (table[table["groups"] == name].iloc[0] for name in ("found", "equal loss"))
    return found, null, {"spikes": found["spikes"], "rate_times_sharpness": found["sharpness"]}


@paper.claim(spiking_descent, figure=dots("groups", "share", ylabel="share of all rises of examples' losses"))
def outliers_carry_the_spikes(table):
    """Shares of rises in the judged spikes."""
    found, null, gates = sides(table)
    return gates | {
        "gain_over_equal_loss": found["share"] - null["share"],
        "share_of_rises": found["share"],
        "share_of_equal_loss": null["share"],
        "log_loss_over_equal_loss": math.log(found["loss"] / null["loss"]),
        "accuracy": found["accuracy"],
    }


@paper.claim(spiking_descent, figure=dots("groups", "cosine", ylabel="cosine of the two groups' gradients"))
def groups_oppose(table):
    """Cosines at the ends of judged rises."""
    found, null, gates = sides(table)
    difference = found["cosine"] - null["cosine"]
    return gates | {"cosine": found["cosine"], "below_equal_loss": difference, "cosine_of_equal_loss": null["cosine"]}


@paper.claim(model_outliers, figure=dots("how", "recall", xlabel="groups by", ylabel="outliers found", percent=True))
def outliers_of_the_model_are_found(table):
    """How many of the planted are in the groups, on which side, and what they do in the spike."""
    found, by_loss = (table[table["how"] == how].iloc[0] for how in ("rises and falls", "highest loss"))
    shown = {name: found[name] for name in ("recall", "recall_over_spike", "sides", "cosine", "spikes")}
    return shown | {"share_of_rises": found["share"], "recall_by_loss": by_loss["recall"]}
