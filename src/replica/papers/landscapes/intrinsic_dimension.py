"""Li, Farkhoor, Liu, Yosinski 2018: Measuring the Intrinsic Dimension of Objective Landscapes.

Networks trained in random subspaces of their parameters: how large must one be, and does that depend on the network's width?
"""

import math
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from replica.lab.claims import Integer, LogUniform, Paper, Trial
from replica.lab.studies import lines
from replica.landscapes import (
    SubspaceClassifier,
    SubspaceTraining,
    dimension_at_score,
    lbfgs_descent,
    train_in_subspaces,
)
from replica.training import Minibatches, mlp

paper = Paper("intrinsic_dimension")
Rows = list[dict[str, Any]]


@paper.entry(
    "classification",
    name="subspace-classifier",
    space={"dim": Integer(20, 2000), "width": Integer(32, 256), "rate": LogUniform(0.01, 1.0)},
)
def subspace_classifier(trial: Trial, dim: int = 200, width: int = 128, rate: float = 0.1) -> Any:
    """A perceptron of which a few hundred numbers are learned, in a random subspace."""
    return SubspaceClassifier(dim, width=width, rate=rate, random_state=int(trial.rng("subspace").integers(2**31)))


class Sums(nn.Module):
    """Ten groups of parameters; the k-th should sum to k."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.numbers = nn.Parameter(torch.zeros(10, size // 10, dtype=torch.float64))

    def forward(self) -> Tensor:
        """Half the squared error of the sums, mean of groups."""
        return (self.numbers.sum(1) - torch.arange(1, 11).double()).square().mean() / 2


def sums(trial: Trial) -> Rows:
    """The share of the loss that is left in subspaces of 1 to 15 dimensions."""
    rows = []
    for size in trial.pick(smoke=(100,), laptop=(1000, 10_000), full=(1000, 10_000, 100_000)):
        for dim in trial.pick(smoke=(9, 10, 11), laptop=range(1, 16), full=range(1, 16)):
            net = SubspaceTraining(Sums(size), dim, generator=trial.generator(f"toy {size} {dim}"))

            def loss(coordinates: Tensor, net: nn.Module = net) -> Tensor:
                return torch.func.functional_call(net, {"coordinates": coordinates}, ())

            end = lbfgs_descent(loss, [net.coordinates.detach()], steps=2000)
            rows.append({"parameters": size, "dim": dim, "left": end.loss / float(net().detach())})
    return rows


@paper.claim(sums, figure=lines("dim", "left", "parameters", log="y", xlabel="dimension", ylabel="share of loss left"))
def toy(table):
    """The smallest dimension that solves it, mean over numbers of parameters."""
    solved = table[table["left"] < 1e-8].groupby("parameters")["dim"].min()
    below = table[table["dim"] == 9]["left"]
    return {"dimension": solved.mean(), "log_loss_left_below": np.log(below).min()}


def entropy(model: Any, inputs: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy."""
    return nn.functional.cross_entropy(model(inputs), labels)


def digits(trial: Trial) -> Rows:
    """Test accuracy over subspace sizes, with direct training's, for perceptrons of three widths."""
    images, labels = load_digits(return_X_y=True)
    order = trial.rng("rows").permutation(len(images))
    X, Y = torch.from_numpy(images[order] / 16 - 0.3).float() * 2, torch.from_numpy(labels[order])
    held, steps = trial.pick(smoke=(1600, 5), laptop=(500, 400), full=(500, 4000))
    widths = trial.pick(smoke=(4, 8), laptop=(32, 72, 160), full=(32, 64, 128, 256, 512, 1024))
    dims = trial.pick(smoke=(4, 8), laptop=(28, 40, 56, 80, 112, 160, 224), full=tuple(range(10, 400, 10)))
    rates = (0.03, 0.1)
    rows = []
    for width in widths:
        net = mlp((64, width, width, 10), generator=trial.generator(f"net {width}"))

        def batches(name: str, width: int = width) -> Minibatches:
            return Minibatches(X[held:], Y[held:], size=128, generator=trial.generator(f"{name} {width}"))

        def right(model: Any) -> Tensor:
            with torch.no_grad():
                return (model(X[:held]).argmax(-1) == Y[:held]).double().mean(-1)

        untrained = float(right(net))
        every = [dim for dim in dims for _ in rates]
        directions = trial.generator(f"subspace {width}")
        nets, losses = train_in_subspaces(
            net, every, entropy, batches("order"), steps=steps, rates=list(rates) * len(dims), generator=directions
        )
        best = losses.view(len(dims), len(rates)).argmin(1)
        accuracies = right(nets).view(len(dims), len(rates))[torch.arange(len(dims)), best]
        optimiser = torch.optim.Adam(net.parameters(), 0.003)
        passes, done = batches("order"), 0
        while done < steps:
            for batch in passes:
                optimiser.zero_grad()
                entropy(net, *batch).backward()
                optimiser.step()
                done += 1
        known: dict[str, Any] = {"width": width, "parameters": sum(each.numel() for each in net.parameters())}
        known |= {"direct": float(right(net)), "untrained": untrained}
        rows += [known | {"dim": dim, "accuracy": float(value)} for dim, value in zip(dims, accuracies, strict=True)]
    return rows


by_dim = lines("dim", "accuracy", "width", log="x", xlabel="dimension of the subspace", ylabel="test accuracy")


def dimensions(table):
    """d_int90, parameters and accuracies by width."""
    widths = table.groupby("width")
    found = widths[["parameters", "direct", "untrained"]].first()
    found["goal"] = 0.9 * found["direct"]
    found["dimension"] = [
        dimension_at_score(rows["dim"], rows["accuracy"], found.loc[width, "goal"]) for width, rows in widths
    ]
    ends = table["dim"].min(), table["dim"].max()
    found["outside"] = ~found["dimension"].between(*ends, inclusive="neither")
    found["dimension"] = found["dimension"].clip(*ends)
    return found


@paper.claim(digits, figure=by_dim)
def nearly_constant(table):
    """Logarithms of ratios over widths."""
    found = dimensions(table)
    logs = np.log(found["dimension"])
    return {
        "log_ratio": logs.max() - logs.min(),
        "log_ratio_of_ends": logs.iloc[-1] - logs.iloc[0],
        "log_ratio_of_parameters": math.log(found["parameters"].max() / found["parameters"].min()),
        "accuracy": found["direct"].min(),
        "not_reached": found["outside"].mean(),
    }


@paper.claim(digits, figure=by_dim)
def far_fewer_than_parameters(table):
    """d_int90 over the number of parameters."""
    found = dimensions(table)
    shares = found["dimension"] / found["parameters"]
    return {
        "share": shares.max(),
        "share_of_widest": shares.iloc[-1],
        "accuracy": found["direct"].min(),
        "not_reached": found["outside"].mean(),
        "untrained_share_of_goal": (found["untrained"] / found["goal"]).max(),
    }
