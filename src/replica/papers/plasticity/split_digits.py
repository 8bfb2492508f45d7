"""Rows that several papers of this wing learn from: digits, split anew for every trial; MNIST at full scale. No paper itself."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from replica.lab.claims import Trial
from replica.data import digits, mnist
from replica.lab.problems.credit.networks import arrange

Split = tuple[
    Float[Tensor, "learned *shape"], Int[Tensor, " learned"], Float[Tensor, "asked *shape"], Int[Tensor, " asked"]
]


def split(trial: Trial, number: int, form: str) -> Split:
    """Inputs and labels to learn from, and to be asked, standardised by the first.

    Args:
        trial: Where the order comes from.
        number: Which of the trial's splits.
        form: What the network takes: see `arrange`.
    """
    if trial.scale == "full":
        sets = [mnist(split="train"), mnist(split="test")]
        values = torch.cat([torch.tensor(part.values) for part in sets])
        labels = torch.cat([torch.tensor(part.labels) for part in sets])
        order, known = torch.arange(len(values)), len(sets[0])
    else:
        data = digits()
        values, labels = torch.tensor(data.values), torch.tensor(data.labels)
        order = torch.as_tensor(trial.rng(f"split-{number}").permutation(len(values)))
        known = trial.pick(smoke=64, laptop=len(values) // 2, full=0)
        order = order[: trial.pick(smoke=2 * known, laptop=len(values), full=0)]
    values = (values - values[order[:known]].mean()) / values[order[:known]].std()
    values = arrange(values, form)[order].to(trial.device)
    labels = labels[order].to(trial.device)
    return values[:known], labels[:known], values[known:], labels[known:]
