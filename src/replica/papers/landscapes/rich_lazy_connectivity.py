"""Liu, Baratin, Cornford, Mihalas, Shea-Brown, Lajoie 2024: How connectivity structure shapes rich and lazy learning.

Networks that start from weights of low and of high rank and of one norm: whose tangent kernel turns further while they learn?
"""

from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.func import functional_call

from replica.kernels import empirical_tangent_kernel, kernel_alignment
from replica.lab.claims import Paper, Trial
from replica.lab.studies import dots, lines
from replica.landscapes import (
    DecisionNetwork,
    aligned_low_rank,
    effective_rank,
    expected_alignment,
    low_rank_initialization_,
    perceptual_decisions,
    small_weight_alignment,
    two_layer_flow,
)
from replica.training import Replicas, train_replicas

paper = Paper("rich_lazy_connectivity")
Rows = list[dict[str, Any]]
GAIN, RATE, GOAL = 1.25, 0.01, 0.05
"""Of recurrent weights; of descent with momentum; and the cross-entropy at which recurrent networks are compared."""


def drawn_weights(count: int, size: int, rank: int, generator: torch.Generator, gain: float = 1.0) -> Tensor:
    """Square matrices of a rank, ``(count, size, size)``, in double precision."""
    empty = torch.empty(count, size, size, dtype=torch.float64)
    return torch.stack([low_rank_initialization_(each, rank, gain=gain, generator=generator) for each in empty])


def drawn_tasks(count: int, size: int, generator: torch.Generator) -> Tensor:
    """Linear maps of norm 1, all directions alike."""
    tasks = torch.randn(count, size, generator=generator, dtype=torch.float64)
    return nn.functional.normalize(tasks, dim=-1)


def ranks(trial: Trial) -> Rows:
    """Alignment of linear networks' kernels over the rank of weights, small and of the usual size, means over tasks."""
    count, size, steps = trial.pick(smoke=(2, 4, 60), laptop=(30, 20, 300), full=(400, 50, 600))
    rows = []
    for rank in trial.pick(smoke=(1, 4), laptop=(1, 2, 5, 10, 20), full=(1, 2, 5, 10, 20, 30, 40, 50)):
        weights = drawn_weights(count, size, rank, trial.generator("weights"))
        tasks = drawn_tasks(count, size, trial.generator("tasks"))
        known: dict[str, Any] = {"rank": rank, "effective_rank": float(effective_rank(weights).mean())}
        for name, scale, time in (("small", 1e-3, 40.0), ("usual", 0.3, 300.0)):
            end = two_layer_flow(scale * weights, tasks, time=time, steps=steps if name == "small" else 3 * steps)
            row = {"weights": name, "alignment": float(end.alignment.mean()), "loss": float(end.loss.mean())}
            rows.append(known | row)
            if name == "small":
                rows[-1]["theory"] = float(expected_alignment(weights).mean())
    return rows


by_rank = lines("effective_rank", "alignment", "weights", theory="theory", xlabel="effective rank of initial weights")


@paper.claim(ranks, figure=by_rank)
def rank_makes_linear_networks_lazy(table):
    """The slope of ln alignment, errors of the closed form, and the gain at the usual size of weights."""
    small, usual = (table[table["weights"] == name].set_index("rank").sort_index() for name in ("small", "usual"))
    return {
        "slope": np.polyfit(np.log(small["effective_rank"]), np.log(small["alignment"]), 1)[0],
        "closed_form_error": np.log(small["alignment"] / small["theory"]).abs().mean(),
        "gain_at_usual_weights": usual["alignment"].iloc[-1] - usual["alignment"].iloc[0],
        "loss_left": table["loss"].max(),
        "change_at_rank_1": 1 - small["alignment"].iloc[0],
    }


def aligned(trial: Trial) -> Rows:
    """Alignment of kernels from aligned and random weights of low rank, on white inputs and on inputs with strong features."""
    count, size, steps = trial.pick(smoke=(2, 4, 100), laptop=(30, 20, 600), full=(400, 50, 1200))
    weak, strong = torch.ones(size, dtype=torch.float64), torch.ones(size, dtype=torch.float64)
    strong[: size // 2] = 9.0
    tasks, others = (drawn_tasks(count, size, trial.generator(name)) for name in ("tasks", "other tasks"))
    rows = []
    for inputs, variances in (("white", weak), ("strong features", strong)):
        covariance = torch.diag(variances / variances.mean())
        for rank in trial.pick(smoke=(1, 2, 4), laptop=(1, 5, size), full=(1, 5, size)):
            start: dict[str, Tensor] = {"random": drawn_weights(count, size, rank, trial.generator("weights"))}
            if rank < size:
                for name, goal in (("aligned", tasks), ("other task", others)):
                    frame = trial.generator("frame")
                    start[name] = aligned_low_rank(goal, rank, size, covariance=covariance, generator=frame)
            for name, weights in start.items():
                end = two_layer_flow(1e-3 * weights, tasks, covariance=covariance, time=60.0, steps=steps)
                closed = small_weight_alignment(weights, tasks, covariance=covariance).mean()
                row = {
                    "alignment": float(end.alignment.mean()),
                    "theory": float(closed),
                    "loss": float(end.loss.mean()),
                }
                case = "full rank" if rank == size else f"rank {rank}, {name}"
                rows.append({"inputs": inputs, "rank": rank, "start": name, "case": case} | row)
    return rows


@paper.claim(aligned, figure=dots("case", "alignment", "inputs", xlabel="initial weights", ylabel="kernel alignment"))
def aligned_low_rank_is_lazier(table):
    """Gains of alignment with the task over random weights, over another task's, and over full rank."""
    full = table["rank"] == table["rank"].max()
    mean = table[~full].groupby("start")["alignment"].mean()
    strong = table[(table["inputs"] == "strong features") & (table["start"] != "other task")].set_index(
        ["rank", "start"]
    )
    low, high = sorted(set(table["rank"]))[-2:]
    return {
        "gain_of_alignment": mean["aligned"] - mean["random"],
        "gain_of_own_task": mean["aligned"] - mean["other task"],
        "gain_over_full_rank_in_strong_features": strong["alignment"][low, "aligned"]
        - strong["alignment"][high, "random"],
        "closed_form_error": np.log(table["alignment"] / table["theory"]).abs().mean(),
        "loss_left": table["loss"].max(),
        "change_of_random": 1 - mean["random"],
    }


class AtDecision(nn.Module):
    """Scores at the last step as a function of the recurrent weights, to which the authors' kernel belongs."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.recurrent: Any = network.recurrent
        self.others: Any = [network]  # in a list its other weights are no parameters of this module

    def forward(self, inputs: Tensor) -> Tensor:
        """Scores, ``(batch, 3)``."""
        return functional_call(self.others[0], {"recurrent": self.recurrent}, (inputs,))[:, -1]


def alignments(before: Any, after: Any, inputs: Tensor) -> dict[str, float]:
    """Of the kernels of two networks and of their states at the decision, and how far the weights are apart."""
    kernels, states = [], []
    for network in (before, after):
        kernel = empirical_tangent_kernel(AtDecision(network), inputs, outputs="all")
        kernels.append(kernel.detach().transpose(1, 2).flatten(2).flatten(0, 1))
        last = network.states(inputs)[:, -1].detach()
        states.append(last @ last.T)
    found = (float(kernel_alignment(*pair, centring="none")) for pair in (kernels, states))
    names = ("kernel_alignment", "representation_alignment")
    moved = float((after.recurrent - before.recurrent).norm().detach())
    return dict(zip(names, found, strict=True)) | {"weight_change": moved}


def entropy(model: Any, inputs: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy, mean over steps."""
    return nn.functional.cross_entropy(model(inputs).flatten(0, 1), labels.flatten())


def decisions(trial: Trial) -> Rows:
    """Recurrent networks once the held-out loss is low enough, compared with what they were; means over draws."""
    size, draws, steps, held = trial.pick(smoke=(10, 2, 20, 10), laptop=(100, 4, 400, 200), full=(300, 20, 4000, 1000))
    starts: tuple[int, ...] = trial.pick(smoke=(1, 2, 10), laptop=(1, 5, 30, 100), full=(1, 5, 30, 100, 300))
    networks = []
    for draw in range(draws):
        for rank in starts:
            drawn, others = (trial.generator(f"{kind} {draw}") for kind in ("recurrent", "other weights"))
            weights = low_rank_initialization_(torch.empty(size, size), rank, gain=GAIN, generator=drawn)
            networks.append(DecisionNetwork(weights, generator=others))
    replicas = Replicas(networks)
    probe = perceptual_decisions(held, generator=trial.generator("held out"))
    fresh = trial.generator("trials")
    batches = [perceptual_decisions(32, generator=fresh) for _ in range(steps)]
    stopped: dict[int, tuple[Any, float, int]] = {}

    def look(done: int) -> None:
        if done % 10 and done < steps:
            return
        with torch.no_grad():
            losses = replicas.losses(entropy, probe).tolist()
        for index, loss in enumerate(losses):
            if index not in stopped and (loss < GOAL or done == steps):
                stopped[index] = replicas.model(index), loss, done

    train_replicas(replicas, entropy, batches, steps=steps, rates=RATE, momentum=0.9, after_step=look)
    rows: Rows = []
    for index, before in enumerate(networks):
        after, loss, done = stopped[index]
        right = after(probe[0])[:, -1].argmax(-1) == probe[1][:, -1]
        row: dict[str, Any] = {"rank": starts[index % len(starts)], "steps": done, "loss": loss}
        row |= {"accuracy": float(right.double().mean()), "reached": float(loss < GOAL)}
        row |= {"effective_rank": float(effective_rank(before.recurrent.detach()))}
        rows.append(row | alignments(before, after, probe[0][:40]))
    means: Any = pd.DataFrame(rows).groupby("rank").mean().reset_index()
    return list(means.to_dict("records"))


@paper.claim(decisions, figure=lines("effective_rank", "kernel_alignment", None, log="x", ylabel="kernel alignment"))
def rank_makes_recurrent_networks_lazy(table):
    """Full rank less the mean of the two lowest; weight changes as logarithms."""
    found = table.assign(log_change=np.log(table["weight_change"])).sort_values("rank")
    full, low = found.iloc[-1], found.iloc[:2].mean()
    return {
        "gain": full["kernel_alignment"] - low["kernel_alignment"],
        "gain_over_rank_30": full["kernel_alignment"] - found["kernel_alignment"].iloc[-2],
        "gain_of_representation": full["representation_alignment"] - low["representation_alignment"],
        "log_ratio_of_weight_change": full["log_change"] - low["log_change"],
        "accuracy": found["accuracy"].min(),
        "reached": found["reached"].min(),
        "change_at_low_rank": 1 - low["kernel_alignment"],
    }
