"""Estimators around a network: every network gets one training, so that nets differ and not the care they are given."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from .batches import Minibatches
from .loop import fit

EPOCHS = 15
"""Passes over the training rows where nobody asks for another number."""

MakeModule = Callable[[int, int, tuple[int, ...]], nn.Module]


class NetworkEstimator:
    """Turns a network into a method with ``fit`` and ``predict``; subclasses say what it learns.

    The optimiser is AdamW, its rate rises for a quarter of the steps and then falls along a cosine to zero (see `rate_share`),
    and gradients are clipped at norm 1. If the network has ``parameter_groups(learning_rate)``, the optimiser gets these, which
    may have rates of their own.

    Args:
        make_module: Builds the network when `fit` is called, from two sizes and a shape that the subclass names.
        generator: Gives, on the CPU, the one seed of initial weights and batches; PyTorch's own where None.
        epochs: Passes over the rows; what ``fit`` is asked for goes first.
        learning_rate: The highest of the cycle.
        batch_size: Rows a step.
        weight_decay: AdamW's.

    Attributes:
        module: The network, once ``fit`` was called.
        losses: The mean loss of each epoch.

    Raises:
        ValueError: If a number is out of range.
    """

    rows_at_once: ClassVar[int] = 250
    """Rows that `predict` gives the network at once."""

    def __init__(
        self,
        make_module: MakeModule,
        generator: torch.Generator | None = None,
        *,
        epochs: int | None = None,
        learning_rate: float = 4e-3,
        batch_size: int = 50,
        weight_decay: float = 1e-4,
    ) -> None:
        for name, value, ok in (
            ("epochs", epochs, epochs is None or epochs >= 1),
            ("learning_rate", learning_rate, learning_rate > 0),
            ("batch_size", batch_size, batch_size >= 1),
            ("weight_decay", weight_decay, weight_decay >= 0),
        ):
            if not ok:
                raise ValueError(f"{type(self).__name__}: {name} is {value!r}, which is too small.")
        self.make_module = make_module
        self.generator = generator
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.weight_decay = weight_decay
        self.module: nn.Module
        self.losses: list[float]

    def loss(self, module: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        """The mean loss of a batch."""
        raise NotImplementedError

    def _train(
        self,
        sizes: tuple[int, int, tuple[int, ...]],
        inputs: Tensor,
        targets: Tensor,
        epochs: int | None,
        after_epoch: Callable[[int], None] | None,
    ) -> Self:
        seed = int(torch.randint(2**62, (), generator=self.generator))
        with torch.random.fork_rng(devices=[]):  # layers draw their weights from the global generator
            torch.manual_seed(seed)
            module = self.make_module(*sizes)
        self.module = module.to(inputs.device)
        epochs = self.epochs_for(epochs)
        groups = getattr(self.module, "parameter_groups", None)
        learned = groups(self.learning_rate) if callable(groups) else self.module.parameters()
        optimiser = torch.optim.AdamW(learned, lr=self.learning_rate, weight_decay=self.weight_decay)
        shuffle = torch.Generator().manual_seed(seed)
        batches = Minibatches(inputs, targets, size=self.batch_size, generator=shuffle)
        steps = epochs * len(batches)

        def after_step(done: int) -> None:
            if after_epoch is not None and done % len(batches) == 0:
                after_epoch(done // len(batches))
                self.module.train()  # it may have been asked for predictions

        history = fit(
            self.module,
            self.loss,
            batches,
            optimiser=optimiser,
            steps=steps,
            schedule=torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate_share(step, steps)),
            clip_norm=1.0,
            after_step=after_step,
        )
        sizes_of = torch.tensor([len(rows) for rows in torch.arange(len(inputs)).split(self.batch_size)])
        losses = torch.tensor(history.losses, dtype=torch.float64).view(epochs, -1)
        self.losses = ((losses * sizes_of).sum(dim=1) / len(inputs)).tolist()
        return self

    def epochs_for(self, asked: int | None) -> int:
        """Passes over the rows: what ``fit`` is asked for, else the constructor's, else `EPOCHS`."""
        return next(number for number in (asked, self.epochs, EPOCHS) if number is not None)


class GridRegressor(NetworkEstimator):
    """A network that maps functions on a grid to functions, in the protocol of the problem operator.

    Inputs and outputs are standardised by the mean and standard deviation of each channel over samples and grid. The loss is the
    relative L2 error ‖û − u‖ / ‖u‖ of the outputs as they are, averaged over a batch (Li et al., 2021).

    Args:
        make_module: ``make_module(in_channels, out_channels, grid)`` builds the network, which maps ``(batch, in_channels,
            *grid)`` to ``(batch, out_channels, *grid)``.
        generator: See `NetworkEstimator`, as for all that follows.
        epochs: Passes over the training samples.
        learning_rate: The highest of the cycle.
        batch_size: Samples a step.
        weight_decay: AdamW's.

    Example:
        >>> import torch
        >>> make = lambda inside, outside, grid: torch.nn.Conv2d(inside, outside, 3, padding=1)
        >>> method = GridRegressor(make, torch.Generator().manual_seed(0), epochs=2)
        >>> method.fit(torch.rand(8, 1, 9, 9), torch.rand(8, 1, 9, 9)).predict(torch.rand(3, 1, 17, 17)).shape
        torch.Size([3, 1, 17, 17])
    """

    rows_at_once = 32

    def __init__(
        self, make_module: MakeModule, generator: torch.Generator | None = None, *, batch_size: int = 10, **others: Any
    ) -> None:
        super().__init__(make_module, generator, batch_size=batch_size, **others)

    def loss(self, module: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        """The relative L2 error of standardised inputs and outputs as they are."""
        return relative_l2(self._outputs.restore(module(inputs)), targets).mean()

    def fit(
        self,
        inputs: Tensor,
        outputs: Tensor,
        *,
        epochs: int | None = None,
        after_epoch: Callable[[int], None] | None = None,
    ) -> Self:
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
        self._inputs, self._outputs = _Scaling(inputs), _Scaling(outputs)
        sizes = (inputs.shape[1], outputs.shape[1], tuple(inputs.shape[2:]))
        return self._train(sizes, self._inputs.standardise(inputs), outputs, epochs, after_epoch)

    @torch.no_grad()
    def predict(self, inputs: Tensor) -> Tensor:
        """Give the outputs for ``(count, channels, *grid)`` inputs on any grid."""
        self.module.eval()
        batches = torch.split(inputs, self.rows_at_once)
        return torch.cat([self._outputs.restore(self.module(self._inputs.standardise(batch))) for batch in batches])


class EventClassifier(NetworkEstimator):
    """A network that tells the class of a recording of events, in the protocol of the problem events.

    The loss is the cross-entropy of the network's scores.

    Args:
        make_module: ``make_module(steps, classes, shape)`` builds the network, which maps ``(batch, time, units)`` to
            ``(batch, classes)``. If it has ``operations(events)``, that tells the cost of an inference, else PyTorch's
            multiply-accumulates are counted.
        generator: See `NetworkEstimator`, as for all that follows.
        epochs: Passes over the recordings.
        learning_rate: The highest of the cycle.
        batch_size: Recordings a step.
        weight_decay: AdamW's.

    Example:
        >>> import torch
        >>> make = lambda steps, classes, shape: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(5 * 3, classes))
        >>> method = EventClassifier(make, torch.Generator().manual_seed(0), epochs=2)
        >>> _ = method.fit(torch.ones(8, 5, 3), torch.arange(8) % 2, shape=(3,))
        >>> method.predict(torch.ones(4, 5, 3)).shape, method.operations(torch.ones(4, 5, 3))
        (torch.Size([4, 2]), {'operations': 30.0, 'spikes': 0.0})
    """

    def loss(self, module: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        """The cross-entropy of the scores."""
        return nn.functional.cross_entropy(module(inputs), targets)

    def fit(
        self,
        events: Tensor,
        labels: Tensor,
        *,
        shape: tuple[int, ...] | None = None,
        epochs: int | None = None,
        after_epoch: Callable[[int], None] | None = None,
    ) -> Self:
        """Build the network and train it.

        Args:
            events: Shape ``(count, time, units)``.
            labels: Class numbers from 0, shape ``(count,)``.
            shape: How the units are arranged; ``(units,)`` by default.
            epochs: Passes over the recordings; None takes the one of the constructor, else `EPOCHS`.
            after_epoch: Called with the number of epochs done; it may call `predict`, and raise to end the training.

        Raises:
            ValueError: If the two differ in count.
        """
        if len(events) != len(labels):
            raise ValueError(f"labels: got {len(labels)} for {len(events)} recordings, want one each")
        arranged = tuple(shape) if shape is not None else (events.shape[2],)
        return self._train((events.shape[1], int(labels.max()) + 1, arranged), events, labels, epochs, after_epoch)

    @torch.no_grad()
    def predict(self, events: Tensor) -> Tensor:
        """Give scores of shape ``(count, classes)`` for recordings of the same length and units."""
        self.module.eval()
        return torch.cat([self.module(batch) for batch in torch.split(events, self.rows_at_once)])

    def operations(self, events: Tensor) -> Mapping[str, float]:
        """The operations and spikes of one inference, mean over the recordings: the network's own count where it has one."""
        own = getattr(self.module, "operations", None)
        if callable(own):
            self.module.eval()
            with torch.no_grad():
                counted: Mapping[str, float] = own(events)
            return counted
        return {"operations": multiply_accumulates(lambda: self.predict(events)) / len(events), "spikes": 0.0}


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


def relative_l2(predicted: Tensor, truth: Tensor) -> Tensor:
    """Give ‖û − u‖ / ‖u‖ of each sample, both of shape ``(count, channels, *grid)``.

    Where a sample's truth is zero the norm of the error itself is given.

    Example:
        >>> relative_l2(torch.zeros(2, 1, 5), torch.ones(2, 1, 5)).tolist()
        [1.0, 1.0]
    """
    size: Tensor = truth.flatten(1).norm(dim=1)
    ratio: Tensor = (predicted - truth).flatten(1).norm(dim=1) / torch.where(size > 0, size, torch.ones_like(size))
    return ratio


def multiply_accumulates(call: Callable[[], Any]) -> float:
    """Count the multiply-accumulates of matrix products and convolutions in a call, half of PyTorch's own count of FLOPs.

    What is computed outside of PyTorch, and sums and functions of single values, are not seen.

    Example:
        >>> import torch
        >>> multiply_accumulates(lambda: torch.nn.Linear(4, 3)(torch.zeros(5, 4)))
        60.0
    """
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        call()
    return float(counter.get_total_flops()) / 2
