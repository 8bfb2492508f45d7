"""Gradient descent of a network's first-order expansion at its start: kernel descent with the tangent kernel it has there."""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vjp


def tangent_descent(
    network: nn.Module,
    criterion: Callable[[Tensor], Tensor],
    inputs: Float[Tensor, "batch ..."],
    *,
    rates: float | Mapping[str, float],
    steps: int,
) -> Float[Tensor, "batch ..."]:
    """f_0 + ∂f_0/∂θ · (θ_T − θ_0) after steps of gradient descent on that: what training would give were the features to stay.

    No kernel is made: a step is a product with the Jacobian and one with its transpose, as costly as one of the network.

    Args:
        network: taken as it is and left so.
        criterion: the loss, of the outputs alone.
        inputs: those on which it is trained.
        rates: learning rate of all parameters, or by name.
        steps: of descent, 0 or more.

    Returns:
        Outputs of the expansion at the inputs.

    Raises:
        ValueError: if the steps are below 0, or a parameter has no rate.

    Source: Jacot, Gabriel and Hongler 2018, arXiv 1806.07572; the linearised network of Lee et al. 2019, arXiv 1902.06720.

    Example:
        >>> import torch
        >>> from replica.kernels import tangent_descent
        >>> layer = torch.nn.Linear(1, 1, bias=False)
        >>> tangent_descent(layer, lambda f: (f - 3).square().sum() / 2, torch.ones(1, 1), rates=1.0, steps=1)
        tensor([[3.]])
    """
    if steps < 0:
        raise ValueError(f"steps: got {steps}, want 0 or more")
    start = {name: tensor.detach() for name, tensor in network.named_parameters()}
    known = rates if isinstance(rates, Mapping) else dict.fromkeys(start, rates)
    if missing := [name for name in start if name not in known]:
        raise ValueError(f"rates: got none for {missing}, want one for each parameter")

    def output(weights: dict[str, Tensor]) -> Tensor:
        found: Tensor = functional_call(network, weights, (inputs,))
        return found

    first, pull = vjp(output, start)  # type: ignore[misc]
    moved = {name: torch.zeros_like(tensor) for name, tensor in start.items()}
    slope = grad(criterion)
    now: Tensor = first
    for _ in range(steps):
        (back,) = pull(slope(now))
        moved = {name: moved[name] - known[name] * back[name] for name in moved}
        now = first + jvp(output, (start,), (moved,))[1]
    return now.detach()
