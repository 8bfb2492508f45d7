"""Rich features: nets found one after another so that none may rest on what the others use, and one net that holds them all."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from replica.training import Replicas, mlp

from .invariance import group_dro
from .invariant_training import descend


class RichNets(NamedTuple):
    """What `rich_nets` gives.

    Attributes:
        features: nets up to their last hidden layer, ``(rows, inputs)`` to ``(rows, width)``.
        heads: for each a linear layer that averages its heads over rounds, from where a learner starts.
        found: the class that each round's net gives each row, shape (rounds, restarts, rows).
    """

    features: list[nn.Sequential]
    heads: list[nn.Linear]
    found: Int[Tensor, "rounds restarts rows"]


def rich_nets(
    inputs: Float[Tensor, "rows inputs"],
    labels: Int[Tensor, " rows"],
    *,
    rounds: int = 2,
    restarts: int = 1,
    width: int = 64,
    first_steps: int = 30,
    steps: int = 150,
    learning_rate: float = 2e-3,
    weight_decay: float = 1e-3,
    generator: torch.Generator | None = None,
) -> RichNets:
    """Rich feature construction, or Bonsai (Zhang et al. 2022, Section 4 and algorithm 1), in several restarts side by side.

    Discovery: the first net makes the mean risk small, in few steps. Every later one starts anew and makes the largest risk of
    2 k groups small: the rows that each of the k nets before tells right, and those that it tells wrong. Whatever they rest on
    helps in one group and harms in the other, so it has to find something else. Synthesis: a fresh net with a head a round is
    distilled from what the nets told (hard labels); rows that all tell right or all wrong count for a half together, the others
    for the other half.

    Args:
        inputs: all rows, of all environments: which is which is not used.
        labels: numbers of classes from 0.
        rounds: nets that are found.
        restarts: how often all this is done, from other weights.
        width: units of each of two hidden layers.
        first_steps: of the first net; few, so that it rests on what is found first.
        steps: of each later net, and of the synthesis.
        learning_rate: Adam's, on all rows at once.
        weight_decay: L2.
        generator: source of all weights.

    Raises:
        ValueError: if a count is below 1, or labels are not one a row.

    Example:
        >>> import torch
        >>> from replica.representations import rich_nets
        >>> bits = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 2).repeat(50, 1)
        >>> labels = (bits[:, 0] > 0).long()
        >>> bits[::9, 0] *= -1  # the first bit tells the label, but for a ninth; the second tells nothing yet
        >>> bits[:, 1] = bits[:, 1].where(torch.arange(200) % 5 == 0, 2.0 * labels - 1)  # now it does, but for a tenth
        >>> made = rich_nets(bits, labels, width=8, steps=100, generator=torch.Generator().manual_seed(0))
        >>> made.found.shape, made.features[0](bits).shape
        (torch.Size([2, 1, 200]), torch.Size([200, 8]))
    """
    for name, value in (("rounds", rounds), ("restarts", restarts), ("width", width), ("steps", steps)):
        if value < 1:
            raise ValueError(f"{name}: got {value}, want 1 or more")
    if labels.shape != inputs.shape[:1]:
        raise ValueError(f"labels: got shape {tuple(labels.shape)} for {len(inputs)} rows, want one each")
    classes = int(labels.max()) + 1
    budget: dict[str, Any] = {"learning_rate": learning_rate, "weight_decay": weight_decay}

    def fresh(outputs: int) -> Replicas:
        sizes = (inputs.shape[1], width, width, outputs)
        return Replicas([mlp(sizes, generator=generator, device=inputs.device) for _ in range(restarts)])

    def risk(model: Any, shares: Tensor) -> Tensor:
        return group_dro(model(inputs), labels, shares)

    found: list[Tensor] = []
    groups = torch.full((restarts, 1, len(inputs)), 1 / len(inputs), dtype=inputs.dtype, device=inputs.device)
    for number in range(rounds):
        nets = fresh(classes)
        descend(nets, risk, (groups,), steps=steps if number else first_steps, shared=False, **budget)
        with torch.no_grad():
            found.append(nets(inputs).argmax(-1))
        right = torch.stack(found, 1) == labels
        groups = torch.cat([right, ~right], 1).to(inputs)
        groups = groups / groups.sum(2, keepdim=True).clamp(min=1)  # a group without rows has risk 0, never the largest
    told = torch.stack(found, 1)
    agree = right.all(1) | ~right.any(1)
    parts = torch.stack([agree, ~agree], 1).to(inputs)
    weights = (parts / parts.sum(2, keepdim=True).clamp(min=1)).sum(1)
    weights = weights / weights.sum(1, keepdim=True)

    def distilled(model: Any, targets: Tensor, weight: Tensor) -> Tensor:
        logits = model(inputs).unflatten(1, (rounds, classes)).transpose(1, 2)
        return weight @ functional.cross_entropy(logits, targets.T, reduction="none").mean(1)

    nets = fresh(rounds * classes)
    descend(nets, distilled, (told, weights), steps=steps, shared=False, **budget)
    whole: list[Any] = [nets.model(index).requires_grad_(False) for index in range(restarts)]
    return RichNets([net[:-1] for net in whole], [_averaged(net[-1], rounds) for net in whole], told.transpose(0, 1))


def _averaged(head: nn.Linear, rounds: int) -> nn.Linear:
    """One head, the mean of those of all rounds."""
    weight, bias = (part.detach().unflatten(0, (rounds, -1)).mean(0) for part in (head.weight, head.bias))
    mean = nn.utils.skip_init(nn.Linear, weight.shape[1], len(weight), device=weight.device, dtype=weight.dtype)
    mean.load_state_dict({"weight": weight, "bias": bias})
    return mean
