"""Training on several environments at once: by mean risk, by the largest, or with a penalty on how they differ."""

from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from replica.training import Replicas

from .invariance import Environments, environment_risks, environment_shares, group_dro, irm_penalty, vrex_penalty

Objective = Literal["erm", "group_dro", "irm", "vrex"]
PENALTIES = {"irm": irm_penalty, "vrex": vrex_penalty}


def descend(
    nets: Replicas,
    loss: Callable[..., Any],
    batch: tuple[Any, ...],
    *,
    steps: int,
    learning_rate: float,
    weight_decay: float = 0.0,
    shared: bool | tuple[bool, ...] = True,
    after_step: Callable[[int], None] | None = None,
) -> None:
    """Adam on all rows at once, in every net: the loss and ``weight_decay`` ‖θ‖² (L2 in the loss, as Zhang et al. have it).

    Args:
        nets: trained in place.
        loss: ``loss(model, *batch)``, a number, or a number and what to divide both by.
        batch: its further arguments.
        steps: gradient steps.
        learning_rate: Adam's.
        weight_decay: of all weights and biases.
        shared: whether all nets get an argument as it is, see `Replicas`.
        after_step: called with the number of steps done.
    """
    leaves = list(nets.parameters.values())
    optimiser = torch.optim.Adam(leaves, learning_rate)
    for step in range(1, steps + 1):
        found: Any = nets.losses(loss, batch, shared=shared)
        losses, scales = found if isinstance(found, tuple) else (found, 1.0)
        norms = torch.stack([leaf.flatten(1).square().sum(1) for leaf in leaves]).sum(0)
        optimiser.zero_grad()
        torch.autograd.backward(((losses + weight_decay * norms) / scales).sum())
        optimiser.step()
        if after_step is not None:
            after_step(step)


def train_invariant(
    nets: Replicas,
    inputs: Float[Tensor, "*replicas rows features"],
    labels: Int[Tensor, " rows"],
    environment: Environments,
    objective: Objective = "irm",
    *,
    penalty: float = 1e4,
    warmup: int = 0,
    steps: int = 300,
    learning_rate: float = 1e-3,
    weight_decay: float = 1e-3,
    after_step: Callable[[int], None] | None = None,
) -> None:
    """Train nets on all environments: the mean risk and a multiple of a penalty, or the largest risk (``group_dro``).

    After the warm-up, which has the penalty's weight at 1, the whole loss is divided by that weight where it is above 1, as the
    authors of IRM do: it keeps gradients of one size. Adam starts anew after the warm-up: what it remembers of gradients before
    the jump would hold it still.

    Args:
        nets: trained in place, side by side.
        inputs: shared by all nets, or with the nets in front where each has features of its own.
        labels: numbers of classes.
        environment: See `Environments`.
        objective: ``"erm"``, ``"group_dro"``, ``"irm"`` or ``"vrex"``.
        penalty: λ, the weight of the penalty.
        warmup: steps before it.
        steps: all steps, on all rows each.
        learning_rate: Adam's.
        weight_decay: L2, before the division.
        after_step: called with the number of steps done.

    Raises:
        ValueError: if the objective is unknown or a number below 0.

    Example:
        >>> import torch
        >>> from replica.representations import train_invariant
        >>> from replica.training import Replicas, mlp
        >>> seeded = torch.Generator().manual_seed(0)
        >>> environment, labels = torch.arange(8000) // 4000, torch.randint(2, (8000,), generator=seeded)
        >>> wrong = torch.tensor([[0.25, 0.1], [0.25, 0.3]])  # how often a cause, and a better but unsteady cue, mislead
        >>> cues = 2.0 * ((torch.rand(8000, 2, generator=seeded) < wrong[environment]) ^ labels[:, None].bool()) - 1
        >>> shares = []
        >>> for objective in ("erm", "irm"):
        ...     nets = Replicas([mlp((2, 2), generator=seeded)])
        ...     train_invariant(nets, cues, labels, environment, objective, warmup=50, steps=400, learning_rate=0.03)
        ...     cause, cue = (nets.parameters["0.weight"][0, 1] - nets.parameters["0.weight"][0, 0]).tolist()
        ...     shares.append(cue / (cause + cue))
        >>> shares[0] > 0.5, abs(shares[1]) < 0.2
        (True, True)
    """
    if objective not in get_args(Objective):
        raise ValueError(f"objective: got {objective!r}, want one of {', '.join(get_args(Objective))}")
    for name, value in (("penalty", penalty), ("warmup", warmup), ("steps", steps), ("weight_decay", weight_decay)):
        if not value >= 0:
            raise ValueError(f"{name}: got {value}, want 0 or more")
    shares = environment_shares(environment, inputs.dtype)

    def loss(model: Callable[[Tensor], Tensor], rows: Tensor, weight: Tensor) -> Any:
        logits = model(rows)
        if objective == "group_dro":
            return group_dro(logits, labels, shares)
        risk = environment_risks(logits, labels, shares).mean()
        if objective == "erm":
            return risk
        return risk + weight * PENALTIES[objective](logits, labels, shares), weight.clamp(min=1)

    before = min(warmup, steps) if objective in PENALTIES else 0
    for first, count, weight in ((0, before, min(penalty, 1.0)), (before, steps - before, penalty)):
        batch = inputs, torch.tensor(weight, dtype=inputs.dtype, device=inputs.device)
        descend(
            nets, loss, batch, steps=count, learning_rate=learning_rate, weight_decay=weight_decay,
            shared=(inputs.dim() == 2, True),
            after_step=None if after_step is None else lambda step, first=first: after_step(first + step),  # type: ignore[misc]
        )  # fmt: skip
