"""Equilibrium propagation beside its peers: all layers updated at once, and a Jacobian that is formed to be measured.

The operations of a step are those of the least number of updates that carry an error up and down: one pass each for the free
phase and for the nudged ones.
"""

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from replica.plasticity import EquilibriumPropagation, LayeredDynamics, homeostatic_loss, shifted_sigmoid

from .case import Case


def cases() -> Iterator[Case]:
    """Errors by two nudges in the paper's network, and the homeostatic loss with its gradient."""
    generator = torch.Generator().manual_seed(0)
    sizes = (784, 256, 256, 10)
    tolerance, radius = 1e-4, 0.5
    net = LayeredDynamics.of_sizes(sizes, 10, angle=90.0, tolerance=tolerance, sweeps=400, generator=generator)
    inputs = torch.rand(50, 784, generator=generator)
    labels = torch.arange(50) % 10
    trainer = EquilibriumPropagation(net, points=2, radius=radius)

    @torch.no_grad()
    def at_once() -> list[Tensor]:
        drive, target = net.layers[0](inputs), nn.functional.one_hot(labels, 10)

        def settle(states: list[Tensor], nudge: float) -> list[Tensor]:
            for _ in range(400):
                pushed = (net.readout(states[2]).softmax(-1) - target) @ net.readout.weight
                new = [
                    shifted_sigmoid(drive + net.feedback[0](states[1])),
                    shifted_sigmoid(net.layers[1](states[0]) + net.feedback[1](states[2])),
                    shifted_sigmoid(net.layers[2](states[1]) + nudge * pushed),
                ]
                change = max(float((one - other).abs().max()) for one, other in zip(new, states, strict=True))
                states = new
                if change <= tolerance:
                    break
            return states

        free = settle(net.silent(50), 0.0)
        ends = [settle(free, nudge) for nudge in (radius, -radius)]
        return [(one - other) / (2 * radius) for one, other in zip(*ends, strict=True)]

    pairs = sum(a * b for a, b in itertools.pairwise(sizes[1:]))
    operations = 2.0 * 50 * (784 * 256 + 3 * 2 * pairs)
    yield Case(
        "errors, 2 nudges, 50 of 784-256-256-10, all at once",
        lambda: trainer.errors(inputs, labels),
        at_once,
        operations,
        1.0,
    )

    units = sum(sizes[1:])
    probes = torch.randn(5, units, generator=generator)
    learned = [layer.weight for layer in [*net.layers[1:], *net.feedback]]

    def by_probes() -> object:
        return torch.autograd.grad(homeostatic_loss(net.jacobian_product, probes), learned)

    def formed() -> object:
        jacobian = net.jacobian_product(torch.eye(units)).T
        return torch.autograd.grad((jacobian - jacobian.T).square().sum() / (2 * units), learned)

    yield Case(
        "homeostatic gradient, 522 units, 5 probes, formed",
        by_probes,
        formed,
        2.0 * 6 * 5 * 2 * pairs,
        1.0,
        memory=True,
    )
