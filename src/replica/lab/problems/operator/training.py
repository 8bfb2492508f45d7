"""One training for every network on grids: nets differ, and not the care they are given."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from replica.lab.claims import Trial
from replica.lab.problems.operator.relative_errors import relative_l2

MakeModule = Callable[[int, int, tuple[int, ...]], nn.Module]
"""Builds a network from the input's channels, the output's channels and the training grid."""

EPOCHS = 15
"""Passes over the training samples where nobody asks for another number."""

_PREDICT_BATCH = 32


class GridRegressor:
    """Turns a network into a method of the problem operator: ``fit`` trains it as all others are trained, ``predict`` applies it.

    Inputs and outputs are standardised by the mean and standard deviation of each channel over samples and grid. The loss
    is the relative L2 error ‖û − u‖ / ‖u‖ of the outputs as they are, averaged over a batch (Li et al., 2021); the
    optimiser is AdamW, its rate rises for a quarter of the steps and then falls along a cosine to zero, and gradients are
    clipped at norm 1.

    Args:
        make_module: ``make_module(in_channels, out_channels, grid)`` builds the network, which maps ``(batch, in_channels,
            *grid)`` to ``(batch, out_channels, *grid)``; it is called by ``fit``, under a seed of the trial's.
        trial: Where initial weights and batches come from. Without one they come from PyTorch's own generator, which a
            run seeds for each trial.
        epochs: Passes over the training samples; what ``fit`` is asked for goes first.
        learning_rate: The highest of the cycle.
        batch_size: Samples a step.
        weight_decay: AdamW's.

    Attributes:
        module: The network, once ``fit`` was called.
        losses: The mean loss of each epoch.
        seconds: How long the training took.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> import torch
        >>> from replica.lab.claims import Trial
        >>> make = lambda inside, outside, grid: torch.nn.Conv2d(inside, outside, 3, padding=1)
        >>> method = GridRegressor(make, Trial(0), epochs=2)
        >>> method.fit(torch.rand(8, 1, 9, 9), torch.rand(8, 1, 9, 9))
        >>> method.predict(torch.rand(3, 1, 17, 17)).shape
        torch.Size([3, 1, 17, 17])
    """

    def __init__(
        self,
        make_module: MakeModule,
        trial: Trial | None = None,
        *,
        epochs: int | None = None,
        learning_rate: float = 4e-3,
        batch_size: int = 10,
        weight_decay: float = 1e-4,
    ) -> None:
        for name, value, ok in (
            ("epochs", epochs, epochs is None or epochs >= 1),
            ("learning_rate", learning_rate, learning_rate > 0),
            ("batch_size", batch_size, batch_size >= 1),
            ("weight_decay", weight_decay, weight_decay >= 0),
        ):
            if not ok:
                raise ValueError(f"GridRegressor: {name} is {value!r}, which is too small.")
        self.make_module = make_module
        self.trial = trial
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.weight_decay = weight_decay
        self.module: nn.Module
        self.losses: list[float]
        self.seconds: float

    def fit(
        self,
        inputs: Tensor,
        outputs: Tensor,
        *,
        epochs: int | None = None,
        after_epoch: Callable[[int], None] | None = None,
    ) -> None:
        """Build the network and train it on ``(count, channels, *grid)`` inputs and outputs.

        Args:
            inputs: Functions on the training grid.
            outputs: Their images, on the same grid.
            epochs: Passes over the samples; None takes the one of the constructor, else `EPOCHS`.
            after_epoch: Called with the number of epochs done; it may call `predict`, and raise to end the training.

        Raises:
            ValueError: If the two differ in count or grid.
        """
        if len(inputs) != len(outputs) or inputs.shape[2:] != outputs.shape[2:]:
            raise ValueError(
                f"outputs: got shape {tuple(outputs.shape)} for inputs of {tuple(inputs.shape)}; want one count and grid."
            )
        seed = int(
            torch.randint(2**62, (), generator=None if self.trial is None else self.trial.generator("weights", "cpu"))
        )
        with torch.random.fork_rng(devices=[]):  # layers draw their weights from the global generator
            torch.manual_seed(seed)
            module = self.make_module(inputs.shape[1], outputs.shape[1], tuple(inputs.shape[2:]))
        self.module = module.to(inputs.device)
        self._inputs, self._outputs = _Scaling(inputs), _Scaling(outputs)
        self.losses, self.seconds = fit_network(
            self.module,
            self._inputs.standardise(inputs),
            outputs,
            self._outputs.restore,
            epochs=next(number for number in (epochs, self.epochs, EPOCHS) if number is not None),
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            weight_decay=self.weight_decay,
            generator=torch.Generator().manual_seed(seed),
            after_epoch=after_epoch,
        )

    @torch.no_grad()
    def predict(self, inputs: Tensor) -> Tensor:
        """Give the outputs for ``(count, channels, *grid)`` inputs on any grid."""
        self.module.eval()
        batches = torch.split(inputs, _PREDICT_BATCH)
        return torch.cat([self._outputs.restore(self.module(self._inputs.standardise(batch))) for batch in batches])


class _Scaling:
    """Mean and standard deviation of each channel, over samples and grid."""

    def __init__(self, values: Tensor) -> None:
        axes = [0, *range(2, values.ndim)]
        self.mean = values.mean(dim=axes, keepdim=True)
        deviation = values.std(dim=axes, keepdim=True, correction=0)
        # A constant channel has nothing to scale, only rounding.
        self.deviation = torch.where(deviation > 1e-6 * self.mean.abs(), deviation, torch.ones_like(deviation))

    def standardise(self, values: Tensor) -> Tensor:
        return (values - self.mean) / self.deviation

    def restore(self, values: Tensor) -> Tensor:
        return values * self.deviation + self.mean


def fit_network(
    module: nn.Module,
    inputs: Tensor,
    outputs: Tensor,
    restore: Callable[[Tensor], Tensor] = lambda values: values,
    *,
    epochs: int,
    learning_rate: float,
    batch_size: int,
    weight_decay: float,
    generator: torch.Generator | None = None,
    after_epoch: Callable[[int], None] | None = None,
) -> tuple[list[float], float]:
    """Train a network as `GridRegressor` tells.

    Args:
        module: Maps batches of inputs to standardised outputs, in place on the inputs' device.
        inputs: Shape ``(count, channels, *grid)``.
        outputs: Shape ``(count, channels, *grid)``, as they are.
        restore: Takes what the module gives back to the outputs' scale.
        epochs: Passes over the samples.
        learning_rate: The highest of the cycle.
        batch_size: Samples a step.
        weight_decay: AdamW's.
        generator: Shuffles the samples; on the CPU.
        after_epoch: Called with the number of epochs done.

    Returns:
        The mean loss of each epoch, and the wall seconds.
    """
    start = time.perf_counter()
    optimiser = torch.optim.AdamW(module.parameters(), lr=learning_rate, weight_decay=weight_decay)
    steps = epochs * -(-len(inputs) // batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate_share(step, steps))
    losses: list[float] = []
    for _ in range(epochs):
        module.train()  # it may have been asked for predictions in between
        total = torch.zeros((), device=inputs.device)
        order = torch.randperm(len(inputs), generator=generator).to(inputs.device)
        for rows in torch.split(order, batch_size):
            loss = relative_l2(restore(module(inputs[rows])), outputs[rows]).mean()
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            total += loss.detach() * len(rows)
        losses.append(float(total) / len(inputs))
        if after_epoch is not None:
            after_epoch(len(losses))
    return losses, time.perf_counter() - start


def rate_share(step: int, steps: int) -> float:
    """Give the share of the highest learning rate in a step: up a straight line for a quarter of the steps, then down a cosine.

    Example:
        >>> [round(rate_share(step, 8), 2) for step in range(8)]
        [0.33, 0.67, 1.0, 0.93, 0.75, 0.5, 0.25, 0.07]
    """
    rise = steps // 4
    if step < rise:
        return (step + 1) / (rise + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / (steps - rise)))
