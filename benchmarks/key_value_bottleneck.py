"""A training step of the key-value bottleneck beside a loop over codebooks, and beside the same with dense gradients.

The arithmetic limit is that of the nearest keys: 2 · batch · features · key_dim for every head, and 2 · batch · pairs ·
key_dim for its distances.
"""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

from replica.memory import DiscreteKeyValueBottleneck

from .case import Case

FEATURES, OUTPUTS, KEY_DIM = 512, 10, 14


def loop(module: DiscreteKeyValueBottleneck, inputs: Tensor) -> Tensor:
    """One codebook after the other: project, distances, the nearest key's value."""
    pairs = module.keys.shape[1]
    votes = []
    for place, (projection, keys) in enumerate(zip(module.projection, module.keys, strict=True)):
        chosen = torch.cdist(inputs @ projection, keys).argmin(1)
        votes.append(module.values[place * pairs + chosen])
    return torch.stack(votes).mean(0)


def step(module: DiscreteKeyValueBottleneck, optimiser: torch.optim.SGD, forward: partial, labels: Tensor) -> None:
    """Forward, backward, update."""
    optimiser.zero_grad()
    nn.functional.cross_entropy(forward(), labels).backward()
    optimiser.step()


def cases(device: str = "cpu") -> Iterator[Case]:
    """The claims' size, and the paper's."""
    for codebooks, pairs, batch in ((128, 256, 32), (256, 4096, 32)):
        generator = torch.Generator(device).manual_seed(0)
        inputs = torch.randn(batch, FEATURES, generator=generator, device=device)
        labels = torch.randint(OUTPUTS, (batch,), generator=generator, device=device)
        steps = []
        for sparse, run in ((True, None), (True, loop), (False, None)):
            module = DiscreteKeyValueBottleneck(
                FEATURES, OUTPUTS, codebooks=codebooks, pairs=pairs, key_dim=KEY_DIM, sparse=sparse, generator=generator
            )
            optimiser = torch.optim.SGD(module.parameters(), 1.0)
            forward = partial(module, inputs) if run is None else partial(run, module, inputs)
            steps.append(partial(step, module, optimiser, forward, labels))
        size = f"{codebooks} codebooks × {pairs:,} pairs, {batch} rows"
        arithmetic = 2.0 * batch * codebooks * KEY_DIM * (FEATURES + pairs)
        yield Case(f"a step beside a loop over codebooks ({size})", steps[0], steps[1], arithmetic, 1.0)
        yield Case(f"a step beside dense gradients ({size})", steps[0], steps[2], arithmetic, 1.0)
