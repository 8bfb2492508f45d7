"""Many replicas of a small net trained side by side as one tensor program: other seeds, rates, data or starts in each."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

from .curvature import Hessian

Batch = tuple[Any, ...]
Shared = bool | Sequence[bool]


class Replicas:
    """Nets of one architecture, their parameters stacked in front: what one net does, all do at once.

    Args:
        models: nets that differ in the values of their parameters and buffers only; they are left as they are. What they
            do must work under `torch.vmap`.

    Attributes:
        parameters: ``(replicas, *shape)`` by name, leaves of autograd.
        buffers: likewise.
        count: replicas.

    Raises:
        ValueError: without models.

    Example:
        >>> import torch
        >>> from replica.training import Replicas, mlp
        >>> nets = Replicas([mlp((2, 3, 1), generator=torch.Generator().manual_seed(seed)) for seed in range(5)])
        >>> nets(torch.zeros(7, 2)).shape
        torch.Size([5, 7, 1])
    """

    def __init__(self, models: Sequence[nn.Module]) -> None:
        if not models:
            raise ValueError("models: got none, want at least one")
        self.count = len(models)
        self._skeleton = copy.deepcopy(models[0])
        stacked, buffers = stack_module_state(list(models))
        self.parameters: dict[str, Tensor] = {
            name: tensor.detach().requires_grad_() for name, tensor in stacked.items()
        }
        self.buffers: dict[str, Tensor] = buffers

    @classmethod
    def of(cls, model: nn.Module, count: int) -> Self:
        """Replicas of one net, all with its weights.

        Raises:
            ValueError: if the count is below 1.
        """
        if count < 1:
            raise ValueError(f"count: got {count}, want 1 or more")
        one = cls([model])
        one.count = count
        one.parameters = {name: _repeated(tensor, count).requires_grad_() for name, tensor in one.parameters.items()}
        one.buffers = {name: _repeated(tensor, count) for name, tensor in one.buffers.items()}
        return one

    def __call__(self, *inputs: Any, shared: Shared = True) -> Any:
        """What each net gives: outputs with the replicas in front.

        Args:
            *inputs: inputs of the net.
            shared: whether all replicas get an input as it is; else it has the replicas in front. One for all, or one each.
        """
        return self.losses(lambda model, *batch: model(*batch), inputs, shared=shared)

    def losses(
        self,
        loss: Callable[..., Tensor],
        batch: Batch,
        *,
        shared: Shared = True,
        parameters: Mapping[str, Tensor] | None = None,
    ) -> Float[Tensor, " replicas"]:
        """The loss of each replica, or whatever else a function of net and batch gives.

        Args:
            loss: ``loss(model, *batch)``; the model comes as a function.
            batch: its further arguments.
            shared: See `__call__`.
            parameters: stacked parameters in place of the replicas' own.
        """

        def one(weights: Mapping[str, Tensor], buffers: Mapping[str, Tensor], *own: Any) -> Tensor:
            values = {**weights, **buffers}
            return loss(lambda *args, **options: functional_call(self._skeleton, values, args, options), *own)

        flags = [shared] * len(batch) if isinstance(shared, bool) else list(shared)
        if len(flags) != len(batch):
            raise ValueError(f"shared: got {len(flags)} for a batch of {len(batch)}, want one each")
        over = (0, 0, *[None if flag else 0 for flag in flags])
        weights = self.parameters if parameters is None else parameters
        return torch.vmap(one, over, randomness="different")(weights, self.buffers, *batch)

    def hessian(
        self, loss: Callable[..., Tensor], batches: Iterable[Batch], *, shared: Shared = True, keep: bool = True
    ) -> Hessian:
        """The Hessian of each replica's loss, all at once; batches count by the rows of their first tensor."""
        batches = list(batches)
        first = shared if isinstance(shared, bool) else shared[0]
        rows = [len(batch[0] if first else batch[0][0]) for batch in batches]
        return Hessian(
            lambda weights, *batch: self.losses(loss, batch, shared=shared, parameters=weights),
            self.parameters,
            batches,
            shares=[count / sum(rows) for count in rows],
            keep=keep,
        )

    def model(self, index: int) -> nn.Module:
        """One replica as a net of its own."""
        model = copy.deepcopy(self._skeleton)
        values = {name: tensor[index] for name, tensor in {**self.parameters, **self.buffers}.items()}
        with torch.no_grad():
            for name, tensor in (*model.named_parameters(), *model.named_buffers()):
                tensor.copy_(values[name])
        return model


class ReplicaMinibatches:
    """Minibatches in an order of its own for each replica: tensors ``(replicas, size, …)``; use them with ``shared=False``.

    Args:
        *tensors: tensors of one length, shared by all.
        size: rows a batch; the last one of an epoch may be smaller.
        generators: one a replica, which shuffles each epoch anew, as that of `Minibatches` does.

    Raises:
        ValueError: without tensors or generators, with tensors of different lengths or none, or a size below 1.
    """

    def __init__(self, *tensors: Tensor, size: int, generators: Sequence[torch.Generator]) -> None:
        lengths = sorted({len(tensor) for tensor in tensors})
        if len(lengths) != 1 or not lengths[0]:
            raise ValueError(f"tensors: got lengths {lengths}, want one length of 1 or more")
        if size < 1:
            raise ValueError(f"size: got {size}, want 1 or more")
        if not generators:
            raise ValueError("generators: got none, want one a replica")
        self.tensors = tensors
        self.size = size
        self.generators = list(generators)

    def __len__(self) -> int:
        """Batches an epoch."""
        return -(-len(self.tensors[0]) // self.size)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        """One epoch."""
        count = len(self.tensors[0])
        orders = torch.stack(
            [
                torch.randperm(count, generator=generator, device=generator.device).to(self.tensors[0].device)
                for generator in self.generators
            ]
        )
        for rows in orders.split(self.size, 1):
            yield tuple(tensor[rows] for tensor in self.tensors)


def train_replicas(
    replicas: Replicas,
    loss: Callable[..., Tensor],
    batches: Iterable[Batch],
    *,
    steps: int,
    rates: float | Sequence[float] | Float[Tensor, " replicas"],
    optimiser: Literal["sgd", "adam"] = "sgd",
    momentum: float = 0.0,
    betas: tuple[float, float] = (0.9, 0.999),
    epsilon: float = 1e-8,
    multiples: Mapping[str, float] | None = None,
    schedule: Callable[[int], float] | None = None,
    clip_norm: float | None = None,
    shared: Shared = True,
    after_step: Callable[[int], None] | None = None,
) -> Float[Tensor, "steps replicas"]:
    """Trains replicas side by side: each as it would train alone, to rounding.

    A replica that diverges goes on as NaN by itself, and leaves the others alone.

    Args:
        replicas: trained in place.
        loss: ``loss(model, *batch)``, a number; the model comes as a function.
        batches: tuples, passed over again and again until the steps are done.
        steps: gradient steps.
        rates: learning rate of each replica, or of all.
        optimiser: stochastic gradient descent, or Adam, as PyTorch's.
        momentum: of gradient descent.
        betas: Adam's decays of the gradient's mean and square.
        epsilon: Adam's.
        multiples: factor of the rate by parameter's name; 1 where there is none, and 0 leaves a parameter as it is.
        schedule: factor of all rates at step 0, 1, ….
        clip_norm: largest norm of a replica's whole gradient.
        shared: whether all replicas get a batch's tensor as it is, see `Replicas`.
        after_step: called with the number of steps done, after each.

    Returns:
        Each replica's loss before each step.

    Raises:
        ValueError: if a number is out of range, a name unknown, or there are no batches.

    Example:
        >>> import torch
        >>> from replica.training import Replicas, mlp, train_replicas
        >>> nets = Replicas.of(mlp((1, 1), generator=torch.Generator().manual_seed(0)), 3)
        >>> squared = lambda model, x, y: (model(x) - y).square().mean()
        >>> x = torch.linspace(-1, 1, 8)[:, None]
        >>> losses = train_replicas(nets, squared, [(x, 3 * x)], steps=50, rates=(0.01, 0.3, 1e3))
        >>> losses.shape, losses[-1] < 1e-6
        (torch.Size([50, 3]), tensor([False,  True, False]))
    """
    if steps < 1:
        raise ValueError(f"steps: got {steps}, want 1 or more")
    if optimiser not in ("sgd", "adam"):
        raise ValueError(f"optimiser: got {optimiser!r}, want 'sgd' or 'adam'")
    names, leaves = list(replicas.parameters), list(replicas.parameters.values())
    if unknown := set(multiples or {}) - set(names):
        raise ValueError(f"multiples: got {sorted(unknown)}, want names of {names}")
    given = torch.as_tensor(rates, dtype=leaves[0].dtype, device=leaves[0].device)
    if given.dim() > 1 or (given.dim() and len(given) != replicas.count):
        raise ValueError(f"rates: got shape {tuple(given.shape)}, want one number or {replicas.count}")
    own = given.expand(replicas.count)
    of_leaf = [
        (multiples or {}).get(name, 1.0) * own.view(-1, *[1] * (leaf.dim() - 1))
        for name, leaf in zip(names, leaves, strict=True)
    ]
    step_by = _adam(leaves, of_leaf, betas, epsilon) if optimiser == "adam" else _descent(leaves, of_leaf, momentum)
    seen: list[Tensor] = []
    while len(seen) < steps:
        before = len(seen)
        for batch in batches:
            losses = replicas.losses(loss, batch, shared=shared)
            gradients = list(torch.autograd.grad(losses.sum(), leaves, allow_unused=True, materialize_grads=True))
            seen.append(losses.detach())
            with torch.no_grad():
                if clip_norm is not None:
                    gradients = _clipped(gradients, clip_norm)
                step_by(gradients, 1.0 if schedule is None else schedule(len(seen) - 1))
            if after_step is not None:
                after_step(len(seen))
            if len(seen) == steps:
                break
        if len(seen) == before:
            raise ValueError("batches: got none or one pass only, want an iterable that can be passed over again")
    return torch.stack(seen)


Step = Callable[[list[Tensor], float], None]


def _descent(leaves: Sequence[Tensor], rates: Sequence[Tensor], momentum: float) -> Step:
    velocities: list[Tensor] = []

    def step(gradients: list[Tensor], share: float) -> None:
        moves = gradients
        if momentum:
            if velocities:
                torch._foreach_mul_(velocities, momentum)
                torch._foreach_add_(velocities, gradients)
            else:
                velocities.extend(gradient.clone() for gradient in gradients)
            moves = velocities
        for leaf, move, rate in zip(leaves, moves, rates, strict=True):
            leaf.addcmul_(move, rate, value=-share)

    return step


def _adam(leaves: Sequence[Tensor], rates: Sequence[Tensor], betas: tuple[float, float], epsilon: float) -> Step:
    means, squares = ([torch.zeros_like(leaf) for leaf in leaves] for _ in range(2))
    done = 0

    def step(gradients: list[Tensor], share: float) -> None:
        nonlocal done
        done += 1
        torch._foreach_lerp_(means, gradients, 1 - betas[0])
        torch._foreach_mul_(squares, betas[1])
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - betas[1])
        scales = torch._foreach_sqrt(squares)
        torch._foreach_div_(scales, math.sqrt(1 - betas[1] ** done))
        torch._foreach_add_(scales, epsilon)
        factor = -share / (1 - betas[0] ** done)
        for leaf, mean, scale, rate in zip(leaves, means, scales, rates, strict=True):
            leaf.addcmul_(mean / scale, rate, value=factor)

    return step


def _clipped(gradients: list[Tensor], largest: float) -> list[Tensor]:
    norms = torch.stack([gradient.flatten(1).square().sum(1) for gradient in gradients]).sum(0).sqrt()
    factor = (largest / (norms + 1e-6)).clamp(max=1)
    return [gradient * factor.view(-1, *[1] * (gradient.dim() - 1)) for gradient in gradients]


def _repeated(tensor: Tensor, count: int) -> Tensor:
    return tensor.detach().expand(count, *tensor.shape[1:]).clone()
