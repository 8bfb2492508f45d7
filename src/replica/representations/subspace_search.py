"""Distributed alignment search: a subspace whose patch gives the output that one asks for, found by gradient descent.

Geiger et al. 2023; the procedure that Makelov, Lange & Nanda 2024 show to find dormant paths as readily as true ones.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .activations import captured_activations
from .patching import patched_activations


def learn_subspace(
    model: nn.Module,
    layer: str,
    base: Any,
    source: Any,
    loss: Callable[[Any], Tensor],
    *,
    directions: int = 1,
    steps: int = 200,
    rate: float = 0.05,
    unit_axis: int = 1,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "units directions"]:
    """Orthonormal directions of a layer along which patching the source's activations into the base's lowers a loss.

    Adam on a free matrix whose span is patched (`patched_activations`), from a random start; its rate falls linearly to a
    tenth. The model's weights and their gradients are left alone. The loss is not convex: other starts may end elsewhere.

    Args:
        model: any network, run as it is (evaluation mode is the caller's to set).
        layer: dotted name of the module that is patched.
        base: inputs of the run to change.
        source: inputs, one for each of the base's, of the run whose activations come in.
        loss: of the model's patched output, a tensor of one element, such as the cross-entropy with the sources' labels.
        directions: dimension of the subspace.
        steps: of Adam, each on all pairs.
        rate: of Adam at the start.
        unit_axis: See `patched_activations`.
        generator: source of the start, on the CPU.

    Returns:
        An orthonormal basis of the subspace, without gradient.

    Raises:
        ValueError: if a number is out of range or `layer` is no submodule's name.

    Example:
        >>> import torch
        >>> from replica.representations import learn_subspace
        >>> model = torch.nn.Sequential(torch.nn.Identity(), torch.nn.Flatten())
        >>> base, source = torch.zeros(3, 2), torch.ones(3, 2)
        >>> want_second = lambda output: (output - torch.tensor([0.0, 1.0])).square().mean()
        >>> found = learn_subspace(model, "0", base, source, want_second, generator=torch.Generator().manual_seed(0))
        >>> found.abs().round(decimals=2)
        tensor([[0.],
                [1.]])
    """
    if steps < 1 or not rate > 0:
        raise ValueError(f"{'steps' if steps < 1 else 'rate'}: got {steps if steps < 1 else rate}, want it positive")
    with torch.no_grad(), captured_activations(model, [layer]) as kept:
        model(source)
    sources = dict(kept)
    units = sources[layer].shape[unit_axis]
    if not 1 <= directions <= units:
        raise ValueError(f"directions: got {directions}, want 1 to {units}, the units of {layer!r}")
    free = torch.randn(units, directions, generator=generator).to(sources[layer]).requires_grad_()
    optimiser = torch.optim.Adam([free], rate)
    slower = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.1, steps)
    for _ in range(steps):
        # Only the span counts; unit columns keep the step's size the same all along.
        with torch.no_grad():
            free.div_(free.norm(dim=0))
        with patched_activations(model, sources, subspace=free, unit_axis=unit_axis):
            value = loss(model(base))
        (free.grad,) = torch.autograd.grad(value, free)
        optimiser.step()
        slower.step()
    return torch.linalg.qr(free.detach())[0]
