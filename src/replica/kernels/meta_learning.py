"""First-order meta-learning (MAML) of networks.

A task has examples to learn from (support) and others to be told (query). Each meta-step adapts to tasks by a gradient step on
their support, takes the gradient of the query's loss where that led, and moves the start along its mean over tasks (Finn, Abbeel
and Levine 2017, arXiv 1703.03400, Section 5.2). The loss is the cross-entropy.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Self

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from replica.training import Replicas

_AT_ONCE = 25
"""Tasks whose accuracy is measured at once."""


class Maml(ABC):
    """Meta-learning at several settings side by side."""

    @abstractmethod
    def scores(self, support: Tensor, support_labels: Tensor, query: Tensor, *, steps: int) -> Tensor:
        """What each setting says of the queries after so many steps on the support."""

    def accuracy(
        self, support: Tensor, support_labels: Tensor, query: Tensor, query_labels: Tensor, *, steps: int
    ) -> Float[Tensor, " settings"]:
        """Share of queries that each setting tells right after so many steps on the support."""
        right = [
            self.scores(s, y, q, steps=steps).argmax(-1) == asked
            for s, y, q, asked in zip(
                *(part.split(_AT_ONCE) for part in (support, support_labels, query, query_labels)), strict=True
            )
        ]
        return torch.cat(right, 1).double().mean((1, 2))


class NetworkMaml(Maml):
    """Meta-learning of many networks of one form at once, all on the same tasks.

    Args:
        replicas: the starts; they are meta-learned in place. Their networks map (batch, …) to (batch, classes).
        rates: of the meta-steps, one a replica.
        step: of the adaptation to a task.
        clip_norm: largest norm of a meta-step's gradient.
        pool: ``(points, …)``, where tasks give points by their numbers, as `KernelMaml`'s do; None where they give points.

    Raises:
        ValueError: if the number of rates is not that of the replicas.

    Example:
        >>> import torch
        >>> from replica.kernels import InfiniteLinearNetwork, NetworkMaml
        >>> from replica.training import Replicas
        >>> maml = NetworkMaml(Replicas.of(InfiniteLinearNetwork(4, 3), 2), torch.tensor([0.1, 1.0]))
        >>> tasks, labels = torch.rand(7, 3, 4), torch.arange(3).expand(7, 3)
        >>> maml.learn(tasks, labels, tasks, labels)
        >>> maml.scores(tasks, labels, torch.rand(7, 5, 4), steps=2).shape
        torch.Size([2, 7, 5, 3])
    """

    def __init__(
        self,
        replicas: Replicas,
        rates: Float[Tensor, " replicas"],
        *,
        step: float = 0.4,
        clip_norm: float = 0.5,
        pool: Tensor | None = None,
    ) -> None:
        if len(rates) != replicas.count:
            raise ValueError(f"rates: got {len(rates)}, want {replicas.count}, one a replica")
        self.replicas = replicas
        self.rates = rates
        self.step = step
        self.clip_norm = clip_norm
        self.pool = pool
        self._form = replicas.model(0)

    @torch.no_grad()
    def learn(
        self,
        support: Float[Tensor, "tasks examples ..."],
        support_labels: Int[Tensor, "tasks examples"],
        query: Float[Tensor, "tasks queries ..."],
        query_labels: Int[Tensor, "tasks queries"],
    ) -> None:
        """One meta-step."""

        def slope(own: Mapping[str, Tensor], *task: Tensor) -> Mapping[str, Tensor]:
            return grad(self._loss)(self._adapted(own, task[0], task[1], 1), task[2], task[3])

        weights = self.replicas.parameters
        over_tasks = vmap(slope, (None, 0, 0, 0, 0))
        slopes = vmap(over_tasks, (0, None, None, None, None))(
            {name: tensor.detach() for name, tensor in weights.items()},
            self._points(support),
            support_labels,
            self._points(query),
            query_labels,
        )
        means = {name: tensor.mean(1) for name, tensor in slopes.items()}
        norms = torch.stack([mean.flatten(1).square().sum(1) for mean in means.values()]).sum(0).sqrt()
        share = self.rates * (self.clip_norm / norms.clamp_min(1e-12)).clamp(max=1)
        for name, mean in means.items():
            weights[name].sub_(share.view(-1, *[1] * (mean.dim() - 1)) * mean)

    def scores(
        self,
        support: Float[Tensor, "tasks examples ..."],
        support_labels: Int[Tensor, "tasks examples"],
        query: Float[Tensor, "tasks queries ..."],
        *,
        steps: int,
    ) -> Float[Tensor, "replicas tasks queries classes"]:
        """What each replica says of the queries after so many steps on the support."""

        def of_task(own: Mapping[str, Tensor], *task: Tensor) -> Tensor:
            return functional_call(self._form, dict(self._adapted(own, task[0], task[1], steps)), (task[2],))

        weights = {name: tensor.detach() for name, tensor in self.replicas.parameters.items()}
        return vmap(vmap(of_task, (None, 0, 0, 0)), (0, None, None, None))(
            weights, self._points(support), support_labels, self._points(query)
        )

    def only(self, index: int) -> Self:
        """One replica alone, a copy."""
        one, rates = Replicas([self.replicas.model(index)]), self.rates[index : index + 1]
        return type(self)(one, rates, step=self.step, clip_norm=self.clip_norm, pool=self.pool)

    def _points(self, given: Tensor) -> Tensor:
        return given if self.pool is None else self.pool[given]

    def _loss(self, own: Mapping[str, Tensor], inputs: Tensor, labels: Tensor) -> Tensor:
        return nn.functional.cross_entropy(functional_call(self._form, dict(own), (inputs,)), labels)

    def _adapted(self, own: Mapping[str, Tensor], inputs: Tensor, labels: Tensor, steps: int) -> Mapping[str, Tensor]:
        for _ in range(steps):
            slope = grad(self._loss)(own, inputs, labels)
            own = {name: tensor - self.step * slope[name] for name, tensor in own.items()}
        return own
