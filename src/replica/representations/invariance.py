"""What a learner of several environments pays besides its risk: penalties on how risks and optimal scales differ."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

Environments = Int[Tensor, " rows"] | Float[Tensor, "environments rows"]
"""The number of each row's environment, from 0; or each environment's weights of the rows, which add up to 1."""


def environment_shares(
    environment: Environments, dtype: torch.dtype = torch.float32
) -> Float[Tensor, "environments rows"]:
    """Each environment's weights of the rows: 1 / size for its own, 0 for others.

    Args:
        environment: See `Environments`; weights are given back as they are.
        dtype: of the weights.

    Raises:
        ValueError: if numbers are below 0, or one up to the largest has no row.

    Example:
        >>> import torch
        >>> from replica.representations import environment_shares
        >>> environment_shares(torch.tensor([0, 1, 1, 0]))
        tensor([[0.5000, 0.0000, 0.0000, 0.5000],
                [0.0000, 0.5000, 0.5000, 0.0000]])
    """
    if environment.is_floating_point():
        return environment.to(dtype)
    if not len(environment) or environment.min() < 0:
        raise ValueError(f"environment: got {environment.tolist()[:8]}, want numbers from 0, one a row")
    members = environment == torch.arange(int(environment.max()) + 1, device=environment.device)[:, None]
    sizes = members.sum(1, keepdim=True)
    if not sizes.all():
        raise ValueError(f"environment: got no row of number {int(sizes.argmin())}, want rows of all up to the largest")
    return members.to(dtype) / sizes


def environment_risks(
    logits: Float[Tensor, "rows classes"], labels: Int[Tensor, " rows"], environment: Environments
) -> Float[Tensor, " environments"]:
    """Mean cross-entropy in each environment, in nats.

    Example:
        >>> import torch
        >>> from replica.representations import environment_risks
        >>> environment_risks(torch.zeros(3, 2), torch.tensor([0, 1, 1]), torch.tensor([0, 1, 1]))
        tensor([0.6931, 0.6931])
    """
    losses = functional.cross_entropy(logits, labels, reduction="none")
    return environment_shares(environment, losses.dtype) @ losses


def irm_penalty(
    logits: Float[Tensor, "rows classes"], labels: Int[Tensor, " rows"], environment: Environments
) -> Float[Tensor, ""]:
    """IRMv1: the squared slope of each environment's risk over a scale of the logits, at 1; mean over environments.

    It is 0 where no scale is better than 1 in any environment (Arjovsky et al. 2019, "Invariant Risk Minimization", Section 3.1).
    The slope of the mean cross-entropy of w·z has a closed form, the mean of (softmax(z) − onehot(y))·z, so one pass of
    automatic differentiation is enough, under `torch.vmap` too.

    Args:
        logits: z.
        labels: y, numbers of classes.
        environment: See `Environments`.

    Example:
        >>> import torch
        >>> from replica.representations import irm_penalty
        >>> z = torch.tensor([[0.0, 2.0], [0.0, 2.0]])
        >>> round(float(irm_penalty(z, torch.tensor([1, 0]), torch.tensor([0, 0]))), 4)  # (2 σ(2) − 1)²
        0.58
    """
    errors = logits.softmax(1) - functional.one_hot(labels, logits.shape[1]).to(logits)
    slopes = environment_shares(environment, logits.dtype) @ (errors * logits).sum(1)
    return slopes.square().mean()


def vrex_penalty(
    logits: Float[Tensor, "rows classes"], labels: Int[Tensor, " rows"], environment: Environments
) -> Float[Tensor, ""]:
    """V-REx: the variance of the risks over environments (Krueger et al. 2021, equation 8), divided by their number.

    Example:
        >>> import torch
        >>> from replica.representations import vrex_penalty
        >>> z = torch.tensor([[0.0, 2.0], [0.0, 2.0]])
        >>> round(float(vrex_penalty(z, torch.tensor([1, 0]), torch.tensor([0, 1]))), 4)  # risks differ by 2
        1.0
    """
    return environment_risks(logits, labels, environment).var(correction=0)


def group_dro(
    logits: Float[Tensor, "rows classes"], labels: Int[Tensor, " rows"], environment: Environments
) -> Float[Tensor, ""]:
    """The risk of the environment that has the largest: what GroupDRO makes small (Sagawa et al. 2020, equation 4).

    Example:
        >>> import torch
        >>> from replica.representations import group_dro
        >>> z = torch.tensor([[0.0, 2.0], [0.0, 2.0]])
        >>> round(float(group_dro(z, torch.tensor([1, 0]), torch.tensor([0, 1]))), 4)
        2.1269
    """
    return environment_risks(logits, labels, environment).max()
