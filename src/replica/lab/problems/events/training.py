"""One training for every network that reads events: nets differ, and not the care they are given."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from replica.lab.claims import Trial
from replica.lab.problems.events.operations import multiply_accumulates
from replica.lab.problems.operator.training import rate_share

MakeModule = Callable[[int, int, tuple[int, ...]], nn.Module]
"""Builds a network from the time steps, the classes and how the units are arranged."""

EPOCHS = 15
"""Passes over the recordings where nobody asks for another number."""

_PREDICT_BATCH = 250


class EventClassifier:
    """Turns a network into a method of the problem events: ``fit`` trains it as all others are trained.

    The loss is the cross-entropy of the network's scores; the optimiser is AdamW, its rate rises for a quarter of the steps
    and then falls along a cosine to zero, and gradients are clipped at norm 1.

    Args:
        make_module: ``make_module(steps, classes, shape)`` builds the network, which maps ``(batch, time, units)`` to
            ``(batch, classes)``; it is called by ``fit``, under a seed of the trial's. If the network has ``operations(events)``,
            that tells the cost of an inference, else PyTorch's multiply-accumulates are counted; if it has
            ``parameter_groups(learning_rate)``, the optimiser gets these, which may have rates of their own.
        trial: Where initial weights and batches come from. Without one they come from PyTorch's own generator, which a run
            seeds for each trial.
        epochs: Passes over the recordings; what ``fit`` is asked for goes first.
        learning_rate: The highest of the cycle.
        batch_size: Recordings a step.
        weight_decay: AdamW's.

    Attributes:
        module: The network, once ``fit`` was called.
        losses: The mean loss of each epoch.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> import torch
        >>> from replica.lab.claims import Trial
        >>> make = lambda steps, classes, shape: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(5 * 3, classes))
        >>> method = EventClassifier(make, Trial(0), epochs=2)
        >>> method.fit(torch.ones(8, 5, 3), torch.arange(8) % 2, shape=(3,))
        >>> method.predict(torch.ones(4, 5, 3)).shape, method.operations(torch.ones(4, 5, 3))
        (torch.Size([4, 2]), {'operations': 30.0, 'spikes': 0.0})
    """

    def __init__(
        self,
        make_module: MakeModule,
        trial: Trial | None = None,
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
                raise ValueError(f"EventClassifier: {name} is {value!r}, which is too small.")
        self.make_module = make_module
        self.trial = trial
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.weight_decay = weight_decay
        self.module: nn.Module
        self.losses: list[float]

    def fit(
        self,
        events: Tensor,
        labels: Tensor,
        *,
        shape: tuple[int, ...] | None = None,
        epochs: int | None = None,
        after_epoch: Callable[[int], None] | None = None,
    ) -> None:
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
        given = None if self.trial is None else self.trial.generator("weights", "cpu")
        seed = int(torch.randint(2**62, (), generator=given))
        arranged = tuple(shape) if shape is not None else (events.shape[2],)
        with torch.random.fork_rng(devices=[]):  # layers draw their weights from the global generator
            torch.manual_seed(seed)
            module = self.make_module(events.shape[1], int(labels.max()) + 1, arranged)
        self.module = module.to(events.device)
        shuffle = torch.Generator().manual_seed(seed)
        epochs = next(number for number in (epochs, self.epochs, EPOCHS) if number is not None)
        groups = getattr(self.module, "parameter_groups", None)
        learned = groups(self.learning_rate) if callable(groups) else self.module.parameters()
        optimiser = torch.optim.AdamW(learned, lr=self.learning_rate, weight_decay=self.weight_decay)
        steps = epochs * -(-len(events) // self.batch_size)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate_share(step, steps))
        self.losses = []
        for _ in range(epochs):
            self.module.train()  # it may have been asked for predictions in between
            total = torch.zeros((), device=events.device)
            order = torch.randperm(len(events), generator=shuffle).to(events.device)
            for rows in torch.split(order, self.batch_size):
                loss = nn.functional.cross_entropy(self.module(events[rows]), labels[rows])
                optimiser.zero_grad()
                torch.autograd.backward(loss)
                nn.utils.clip_grad_norm_(self.module.parameters(), 1.0)
                optimiser.step()
                schedule.step()
                total += loss.detach() * len(rows)
            self.losses.append(float(total) / len(events))
            if after_epoch is not None:
                after_epoch(len(self.losses))

    @torch.no_grad()
    def predict(self, events: Tensor) -> Tensor:
        """Give scores of shape ``(count, classes)`` for recordings of the same length and units."""
        self.module.eval()
        return torch.cat([self.module(batch) for batch in torch.split(events, _PREDICT_BATCH)])

    def operations(self, events: Tensor) -> Mapping[str, float]:
        """The operations and spikes of one inference, mean over the recordings: the network's own count where it has one."""
        own = getattr(self.module, "operations", None)
        if callable(own):
            self.module.eval()
            with torch.no_grad():
                counted: Mapping[str, float] = own(events)
            return counted
        return {"operations": multiply_accumulates(lambda: self.predict(events)) / len(events), "spikes": 0.0}
