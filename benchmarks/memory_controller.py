"""A memory controller on a batch of streams beside a loop over streams, and decoupled updates beside backpropagation.

The floating-point operations counted are those of the weights, 2 a weight and step, three times that with a backward
pass; attention over a few slots adds little. Decoupled updates do all of backpropagation's work, and predict and learn to
predict gradients besides, a third more arithmetic at these sizes: what they cost for holding one chunk at a time.
"""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from replica.memory import MemoryController, StateFeedback, cut, decoupled_backward

from .case import Case

DIM, CLASSES = 32, 5


def together(network: MemoryController, inputs: Tensor, targets: Tensor) -> None:
    """All streams at once, forward and backward."""
    network.zero_grad()
    network(inputs, targets)[0].square().mean().backward()


def one_by_one(network: MemoryController, inputs: Tensor, targets: Tensor) -> None:
    """The same gradient, a stream at a time."""
    network.zero_grad()
    for stream, told in zip(inputs, targets, strict=True):
        (network(stream[None], told[None])[0].square().mean() / len(inputs)).backward()


def decoupled(network: MemoryController, feedback: StateFeedback, chunk: int, inputs: Tensor, targets: Tensor) -> None:
    """Chunk by chunk, with predicted gradients, and the feedback's own training."""
    network.zero_grad()
    feedback.zero_grad()
    state = network.initial_state(len(inputs))
    for begin in range(0, inputs.shape[1], chunk):
        start = cut(state[:3])
        state = state._replace(read=start[0], write=start[1], memory=start[2])
        answers, state = network(inputs[:, begin : begin + chunk], targets[:, begin : begin + chunk], state)
        with torch.no_grad():
            predicted = feedback(state[:3])
        given = decoupled_backward(answers.square().mean((1, 2)), start, state[:3], predicted)
        feedback.error([part.detach() for part in start], given).backward()


def cases(device: str = "cpu") -> Iterator[Case]:
    """16 streams of 24 steps; 16 streams of 256 steps in chunks of 8."""
    draw = torch.Generator(device).manual_seed(0)
    network = MemoryController(DIM, CLASSES, generator=draw)
    feedback = StateFeedback((64, 64, 64), generator=draw)
    weights = sum(parameter.numel() for parameter in network.parameters())
    for batch, length in ((16, 24), (16, 256)):
        inputs = torch.randn(batch, length, DIM, generator=draw, device=device)
        targets = torch.rand(batch, length, CLASSES, generator=draw, device=device)
        operations = 6.0 * weights * batch * length
        whole = partial(together, network, inputs, targets)
        size = f"{batch} streams of {length}"
        if length < 100:
            loop = partial(one_by_one, network, inputs, targets)
            yield Case(f"controller, {size}, beside a loop over streams", whole, loop, operations, 0.25)
        else:
            ours = partial(decoupled, network, feedback, 8, inputs, targets)
            # Predicted once and learned once a chunk, for one row of each controller's state and one for each slot.
            rows = batch * (2 + network.slots) * length / 8
            predictor = sum(parameter.numel() for parameter in feedback.parts[0].parameters())
            yield Case(
                f"decoupled, {size}, beside backpropagation", ours, whole, operations + 6.0 * predictor * rows, 1.5,
                memory=True, other_work=True,
            )  # fmt: skip
