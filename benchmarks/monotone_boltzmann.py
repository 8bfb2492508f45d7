"""Mean-field inference in a monotone machine: beside the plain step-by-step forms of the same work, to the same residual.

The prox beside bisection on its multiplier; the solver beside damped mean field, whose damping must be strong enough for the
couplings; the gradient beside one through the solver's unrolled steps. An update of ours is some three steps of Newton's method
at every node where damped mean field takes one softmax: it gains where couplings are strong and updates many, and where they are
weak a third fewer updates take as long.
"""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from replica.memory import MonotoneBoltzmann, forward_backward, mean_field, softmax_prox

from .case import Case


def by_bisection(points: Tensor, step: float) -> Tensor:
    """The multiplier by bisection, each probability by Newton's method from above: the equations as they stand."""
    low, high = -points.amax(-1, keepdim=True) + step - 5.0, -points.amin(-1, keepdim=True) + 2.0
    for _ in range(40):
        middle = (low + high) / 2
        values = points + middle
        logarithm = torch.minimum(values / step, values - 1 + step)
        for _ in range(6):
            x = logarithm.exp()
            logarithm = logarithm - (step * logarithm + (1 - step) * x - values) / (step + (1 - step) * x)
        over = logarithm.exp().sum(-1, keepdim=True) > 1
        low, high = torch.where(over, low, middle), torch.where(over, middle, high)
    x = logarithm.exp()
    return x / x.sum(-1, keepdim=True)


def unrolled(machine: MonotoneBoltzmann, unary: Tensor, updates: int, damping: float) -> None:
    """Mean field with the graph of every update kept, and back through all of them."""
    couple, _ = machine.coupling()
    q = machine.layout.softmax(torch.zeros_like(unary))
    for _ in range(updates):
        q = torch.lerp(machine.layout.softmax(couple(q) + unary), q, damping)
    machine.zero_grad()
    q.square().sum().backward()


def implicit(machine: MonotoneBoltzmann, fields: Tensor) -> None:
    """Inference and the gradient of the fixed point."""
    marginals = machine(fields=(fields,))
    machine.zero_grad()
    torch.stack([part.square().sum() for part in marginals]).sum().backward()


def cases(device: str = "cpu") -> Iterator[Case]:
    """The prox; inference where couplings are weak and strong; inference with its gradient."""
    draw = torch.Generator(device).manual_seed(0)
    for states in (2, 10):
        points = torch.randn(100_000 // states, states, generator=draw, device=device)
        yield Case(
            f"prox beside bisection ({states} states, 100,000 entries)",
            partial(softmax_prox, points, 0.2), partial(by_bisection, points, 0.2), 6 * 10.0 * 100_000, 0.2,
        )  # fmt: skip
    for rank in (64, 8):
        machine = MonotoneBoltzmann([(200, 2), (1, 10)], rank=rank, gain=1.0, tolerance=1e-4, generator=draw)
        unary = torch.randn(64, machine.layout.entries, generator=draw, device=device)
        with torch.no_grad():
            couple, lipschitz = machine.coupling()
        # Damped iteration is sure to converge where every eigenvalue of (1 − η)(I − J Φ) lies below 2, J at most ½.
        damping = max(0.0, 1 - 2 / (1 + (lipschitz - 1) / 2))
        ours = partial(
            forward_backward, couple, unary, machine.layout, lipschitz=lipschitz, margin=machine.margin, tolerance=1e-4
        )
        peer = partial(mean_field, couple, unary, machine.layout, damping=damping, tolerance=1e-4)
        updates = int(ours().steps.max())
        yield Case(
            f"inference beside damped mean field (rank {rank}, ‖A‖² = {lipschitz - 1:.0f}: {updates} updates beside "
            f"{int(peer().steps.max())})",
            ours, peer, updates * 2.0 * unary.numel() * unary.shape[1], 1.2,
        )  # fmt: skip
    machine = MonotoneBoltzmann([(200, 2)], rank=32, gain=1.0, tolerance=1e-4, generator=draw)
    fields = torch.randn(64, 200, 2, generator=draw, device=device)
    damping = max(0.0, 1 - 2 / (1 + (machine.coupling()[1] - 1) / 2))
    updates = int(
        mean_field(
            machine.coupling()[0], fields.flatten(1), machine.layout, damping=damping, tolerance=1e-4
        ).steps.max()
    )
    yield Case(
        f"inference with its gradient beside unrolled damped mean field ({updates} updates)",
        partial(implicit, machine, fields), partial(unrolled, machine, fields.flatten(1), updates, damping),
        4.0 * updates * fields.numel() * 400, 1.2, memory=True,
    )  # fmt: skip
