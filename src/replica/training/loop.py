"""The training loop that papers share: gradient steps, a validation score, early stopping at its best."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

Batch = tuple[Any, ...]
Loss = Callable[..., Tensor]
"""``loss(model, *batch)`` gives the mean loss of a batch, a tensor of one element."""


@dataclass
class History:
    """What happened in a training run.

    Attributes:
        losses: training loss before each step.
        scores: (step, score) of each validation, lower is better.
        steps: steps done.
        best_step: step whose weights the model has now: that of the lowest score, or the last without
            validation.
        stopped_early: whether patience ran out before the steps did.
    """

    losses: list[float] = field(default_factory=list)
    scores: list[tuple[int, float]] = field(default_factory=list)
    steps: int = 0
    best_step: int = 0
    stopped_early: bool = False

    @property
    def best_score(self) -> float:
        """Lowest validation score; NaN without validation."""
        return min((score for _, score in self.scores), default=float("nan"))


def fit(
    model: nn.Module,
    loss: Loss,
    batches: Iterable[Batch],
    *,
    optimiser: torch.optim.Optimizer,
    steps: int,
    schedule: torch.optim.lr_scheduler.LRScheduler | None = None,
    clip_norm: float | None = None,
    validate: Callable[[], float] | None = None,
    every: int = 50,
    patience: int | None = None,
    after_step: Callable[[int], None] | None = None,
) -> History:
    """Trains a model by minibatch gradient steps; with validation, leaves it at its best weights.

    All randomness is in what is passed in: give `Minibatches` a generator, and build the model with one.

    Args:
        model: set to training mode for the steps, to evaluation mode for validation and at the end.
        loss: ``loss(model, *batch)``, a tensor of one element.
        batches: tuples of tensors, passed over again and again until the steps are done.
        optimiser: any PyTorch optimiser over the parameters to train.
        steps: most gradient steps.
        schedule: its ``step()`` is called after each gradient step.
        clip_norm: largest norm of the whole gradient.
        validate: score of the model as it is, lower is better, such as ``lambda: mean_loss(model, loss,
            held_out)``. Called without gradients, before the first step, every `every` steps, and after the
            last.
        every: steps from one validation to the next.
        patience: validations in a row without a better score after which training stops. Default never.
        after_step: called with the number of steps done, after each: to project weights, log, or prune.

    Returns:
        The history of losses and scores.

    Raises:
        ValueError: if a number is out of range, there are no batches, or patience comes without `validate`.
        FloatingPointError: if a loss or score is NaN or infinite; names the step.

    Example:
        >>> import torch
        >>> from replica.training import Minibatches, fit
        >>> inputs = torch.linspace(-1, 1, 64)[:, None]
        >>> model = torch.nn.Linear(1, 1)
        >>> batches = Minibatches(inputs, 3 * inputs, size=16, generator=torch.Generator().manual_seed(0))
        >>> squared = lambda model, x, y: (model(x) - y).square().mean()
        >>> descent = torch.optim.SGD(model.parameters(), 0.3)
        >>> history = fit(model, squared, batches, optimiser=descent, steps=200)
        >>> history.losses[-1] < 1e-6
        True
    """
    if steps < 1 or every < 1:
        name, value = ("steps", steps) if steps < 1 else ("every", every)
        raise ValueError(f"{name}: got {value}, want 1 or more")
    if patience is not None and (validate is None or patience < 1):
        raise ValueError(f"patience: got {patience}, want 1 or more, together with validate")
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    history = History()
    pending: list[Tensor] = []
    best: dict[str, Tensor] = {}
    worse = 0

    def assess() -> None:
        nonlocal best, worse
        _collect(pending, history)
        if validate is None:
            return
        model.eval()
        with torch.no_grad():
            score = float(validate())
        if not math.isfinite(score):
            raise FloatingPointError(f"validation score is {score} after {history.steps} steps")
        improved = not history.scores or score < history.best_score
        history.scores.append((history.steps, score))
        worse = 0 if improved else worse + 1
        if improved:
            history.best_step = history.steps
            best = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}

    assess()
    model.train()
    for batch in _repeat(batches):
        optimiser.zero_grad(set_to_none=True)
        batch_loss = loss(model, *batch)
        batch_loss.backward()
        if clip_norm is not None:
            nn.utils.clip_grad_norm_(parameters, clip_norm)
        optimiser.step()
        if schedule is not None:
            schedule.step()
        pending.append(batch_loss.detach())
        history.steps += 1
        if after_step is not None:
            after_step(history.steps)
        if history.steps % every == 0 or history.steps == steps:
            assess()
            if history.steps == steps:
                break
            if patience is not None and worse >= patience:
                history.stopped_early = True
                break
            model.train()
    model.eval()
    if best:
        model.load_state_dict(best)
    else:
        history.best_step = history.steps
    return history


def mean_loss(model: nn.Module, loss: Loss, batches: Iterable[Batch]) -> float:
    """Loss over all batches, each weighted by its rows: a score for `fit`'s validation. No gradients.

    Raises:
        ValueError: if there are no batches.
    """
    total, rows = 0.0, 0
    with torch.no_grad():
        for batch in batches:
            total += float(loss(model, *batch)) * len(batch[0])
            rows += len(batch[0])
    if not rows:
        raise ValueError("batches: got none, want at least one")
    return total / rows


def _repeat(batches: Iterable[Batch]) -> Iterator[Batch]:
    while True:
        batch = None
        for batch in batches:
            yield batch
        if batch is None:
            raise ValueError("batches: got none or one pass only, want an iterable that can be passed over again")


def _collect(pending: list[Tensor], history: History) -> None:
    # Losses are read in bulk: reading each would make the host wait for the device at every step.
    if not pending:
        return
    losses = torch.stack([value.reshape(()) for value in pending]).tolist()
    pending.clear()
    for loss in losses:
        history.losses.append(loss)
        if not math.isfinite(loss):
            raise FloatingPointError(f"training loss is {loss} at step {len(history.losses)}: lower the learning rate")
