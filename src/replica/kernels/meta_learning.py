"""First-order meta-learning (MAML) of networks, and of the kernel limits of networks, where it is exact.

A task has examples to learn from (support) and others to be told (query). Each meta-step adapts to tasks by a gradient step on
their support, takes the gradient of the query's loss where that led, and moves the start along its mean over tasks (Finn, Abbeel
and Levine 2017, arXiv 1703.03400, Section 5.2). The loss is the cross-entropy.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from replica.training import Replicas


class NetworkMaml:
    """Meta-learning of many networks of one form at once, all on the same tasks.

    Args:
        replicas: the starts; they are meta-learned in place. Their networks map (batch, …) to (batch, classes).
        rates: of the meta-steps, one a replica.
        step: of the adaptation to a task.
        clip_norm: largest norm of a meta-step's gradient.

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
        self, replicas: Replicas, rates: Float[Tensor, " replicas"], *, step: float = 0.4, clip_norm: float = 0.5
    ) -> None:
        if len(rates) != replicas.count:
            raise ValueError(f"rates: got {len(rates)}, want {replicas.count}, one a replica")
        self.replicas = replicas
        self.rates = rates
        self.step = step
        self.clip_norm = clip_norm
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
            {name: tensor.detach() for name, tensor in weights.items()}, support, support_labels, query, query_labels
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
        return vmap(vmap(of_task, (None, 0, 0, 0)), (0, None, None, None))(weights, support, support_labels, query)

    def only(self, index: int) -> "NetworkMaml":
        """One replica alone, a copy."""
        rates = self.rates[index : index + 1]
        return NetworkMaml(Replicas([self.replicas.model(index)]), rates, step=self.step, clip_norm=self.clip_norm)

    def _loss(self, own: Mapping[str, Tensor], inputs: Tensor, labels: Tensor) -> Tensor:
        return nn.functional.cross_entropy(functional_call(self._form, dict(own), (inputs,)), labels)

    def _adapted(self, own: Mapping[str, Tensor], inputs: Tensor, labels: Tensor, steps: int) -> Mapping[str, Tensor]:
        for _ in range(steps):
            slope = grad(self._loss)(own, inputs, labels)
            own = {name: tensor - self.step * slope[name] for name, tensor in own.items()}
        return own


class KernelMaml:
    """Meta-learning of a network that is a kernel method: exact, in functions f = Σ_i K(·, x_i) c_i on a pool of points.

    Training a network with a fixed tangent kernel K moves f by −η Σ K(·, x) ∂loss/∂f(x), and gradients have the norm of the
    kernel's Hilbert space.

    Args:
        gram: K of the pool; it is held as it is.
        classes: outputs of f; they share the kernel and start at 0.
        rates: of the meta-steps; a function is learned at each.
        step: of the adaptation to a task.
        clip_norm: largest norm of a meta-step's gradient.

    Attributes:
        coefficients: c, ``(rates, points, classes)``.

    Raises:
        ValueError: if the kernel is no square matrix.
    """

    def __init__(
        self,
        gram: Float[Tensor, "points points"],
        classes: int,
        rates: Float[Tensor, " rates"],
        *,
        step: float = 0.4,
        clip_norm: float = 0.5,
    ) -> None:
        if gram.dim() != 2 or gram.shape[0] != gram.shape[1]:
            raise ValueError(f"gram: got shape {tuple(gram.shape)}, want a square matrix")
        self.gram = gram
        self.rates = rates
        self.step = step
        self.clip_norm = clip_norm
        self.coefficients = gram.new_zeros(len(rates), len(gram), classes)

    def learn(
        self,
        support: Int[Tensor, "tasks examples"],
        support_labels: Int[Tensor, "tasks examples"],
        query: Int[Tensor, "tasks queries"],
        query_labels: Int[Tensor, "tasks queries"],
    ) -> None:
        """One meta-step; points are given by their numbers in the pool."""
        scores = self.scores(support, support_labels, query, steps=1)
        slopes = _slope(scores, query_labels).flatten(1, 2) / len(query)
        points = query.flatten()
        norms = (slopes * (self.gram[points][:, points] @ slopes)).sum((1, 2)).clamp_min(1e-24).sqrt()
        share = self.rates * (self.clip_norm / norms).clamp(max=1)
        self.coefficients.index_add_(1, points, -share[:, None, None] * slopes)

    def scores(
        self,
        support: Int[Tensor, "tasks examples"],
        support_labels: Int[Tensor, "tasks examples"],
        query: Int[Tensor, "tasks queries"],
        *,
        steps: int,
    ) -> Float[Tensor, "rates tasks queries classes"]:
        """What each function says of the queries after so many steps on the support."""
        first, asked = (self.gram[points] @ self.coefficients[:, None] for points in (support, query))
        inside = self.gram[support[:, :, None], support[:, None]]
        across = self.gram[query[:, :, None], support[:, None]]
        moved = torch.zeros_like(first)
        for _ in range(steps):
            moved = moved - self.step * _slope(first + inside @ moved, support_labels)
        return asked + across @ moved

    def only(self, index: int) -> "KernelMaml":
        """One function alone, a copy."""
        rates = self.rates[index : index + 1]
        one = KernelMaml(self.gram, self.coefficients.shape[-1], rates, step=self.step, clip_norm=self.clip_norm)
        one.coefficients = self.coefficients[index : index + 1].clone()
        return one


def _slope(scores: Tensor, labels: Tensor) -> Tensor:
    """∂/∂scores of the mean cross-entropy of each task."""
    right = nn.functional.one_hot(labels, scores.shape[-1])
    return (scores.softmax(-1) - right) / labels.shape[-1]
