"""Curvature of a loss over a net's parameters: Hessian and Gauss–Newton matrix by their products, and the sharpness."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from .lanczos import Eigenpairs, top_eigenvalues

Batch = tuple[Any, ...]
Weights = Mapping[str, Tensor]
Product = Callable[[Sequence[Tensor], bool], Sequence[Tensor]]


class _Curvature(ABC):
    """A symmetric matrix over named parameters, laid out in their order, of which only products are taken."""

    def __init__(
        self, parameters: Weights, batches: Iterable[Batch], shares: Sequence[float] | None, keep: bool
    ) -> None:
        if not parameters:
            raise ValueError("parameters: got none, want at least one")
        self.batches = list(batches)
        if not self.batches:
            raise ValueError("batches: got none, want at least one")
        self.shares = [1.0] * len(self.batches) if shares is None else list(shares)
        if len(self.shares) != len(self.batches):
            raise ValueError(f"shares: got {len(self.shares)} for {len(self.batches)} batches, want one each")
        self.parameters = {name: tensor.detach().requires_grad_() for name, tensor in parameters.items()}
        self.keep = keep
        self._kept: list[Product] = []
        self._matrices: tuple[int, ...] | None = None

    @abstractmethod
    def _linearised(self, batch: Batch, share: float) -> Product:
        """The product of one batch's matrix, whose graph may be used again where `keep` says so."""

    @property
    def size(self) -> int:
        """Rows of a matrix."""
        return sum(map(torch.Tensor.numel, self.parameters.values())) // math.prod(self.matrices)

    @property
    def matrices(self) -> tuple[int, ...]:
        """() for one matrix, (replicas,) where the loss has a value for each replica."""
        if self._matrices is None:
            self._kept.append(self._linearised(self.batches[0], self.shares[0]))
            if not self.keep:
                self._kept.clear()
        assert self._matrices is not None
        return self._matrices

    def flatten(self, tensors: Weights) -> Float[Tensor, "*matrices size"]:
        """One vector of a tensor a parameter, by name."""
        lead = len(self.matrices)
        return torch.cat([tensors[name].flatten(lead) for name in self.parameters], -1)

    def unflatten(self, vector: Float[Tensor, "... size"]) -> dict[str, Tensor]:
        """The parameters' shapes again."""
        lead = len(self.matrices)
        shapes = [tensor.shape[lead:] for tensor in self.parameters.values()]
        parts = vector.split([shape.numel() for shape in shapes], -1)
        return {
            name: part.unflatten(-1, shape) if shape else part.squeeze(-1)
            for name, shape, part in zip(self.parameters, shapes, parts, strict=True)
        }

    def __call__(self, vectors: Float[Tensor, "*matrices size"]) -> Float[Tensor, "*matrices size"]:
        """The product with a vector, or with each of several at once: ``(vectors, *matrices, size)``.

        Raises:
            ValueError: if the shape is another.
        """
        matrices = self.matrices
        if vectors.shape[vectors.dim() - len(matrices) - 1 :] != (*matrices, self.size) or (
            vectors.dim() > len(matrices) + 2
        ):
            raise ValueError(f"vectors: got shape {tuple(vectors.shape)}, want (..., {(*matrices, self.size)})")
        many = vectors.dim() == len(matrices) + 2
        parts = list(self.unflatten(vectors).values())
        total = torch.zeros_like(vectors)
        for index, (batch, share) in enumerate(zip(self.batches, self.shares, strict=True)):
            if index == len(self._kept) and self.keep:
                self._kept.append(self._linearised(batch, share))
            product = self._kept[index] if self.keep else self._linearised(batch, share)
            total += torch.cat([found.flatten(len(matrices) + many) for found in product(parts, many)], -1)
        return total

    def quadratic(self, vectors: Float[Tensor, "*matrices size"]) -> Float[Tensor, "*matrices"]:
        """vᵀ H v."""
        return (vectors * self(vectors)).sum(-1)

    def dense(self) -> Float[Tensor, "*matrices size size"]:
        """The matrix itself, for small nets."""
        eye = torch.eye(self.size, dtype=self._like.dtype, device=self._like.device)
        many = eye.reshape(self.size, *[1] * len(self.matrices), self.size).expand(-1, *self.matrices, -1)
        return self(many.contiguous()).movedim(0, -1)

    def trace(self, samples: int, generator: torch.Generator) -> Float[Tensor, "*matrices"]:
        """Hutchinson's estimate of the trace: the mean of vᵀ H v over random signs v.

        Its variance is 2 (‖H‖² − Σ H_ii²) / samples. Source: Hutchinson 1990.
        """
        if samples < 1:
            raise ValueError(f"samples: got {samples}, want 1 or more")
        total = sum(self.quadratic(self.random(generator).sign()) for _ in range(samples))
        assert isinstance(total, Tensor)
        return total / samples

    def random(self, generator: torch.Generator) -> Float[Tensor, "*matrices size"]:
        """A vector of normal numbers, drawn on the generator's device."""
        shape = (*self.matrices, self.size)
        return torch.randn(shape, generator=generator, device=generator.device, dtype=self._like.dtype).to(self._like)

    def top(
        self,
        count: int = 1,
        *,
        generator: torch.Generator | None = None,
        start: Float[Tensor, "*matrices size"] | None = None,
        tolerance: float = 1e-3,
        most: int = 100,
    ) -> Eigenpairs:
        """The largest eigenvalues, see `top_eigenvalues`; the start is given, or drawn from the generator.

        Raises:
            ValueError: if neither or both of the two are given.
        """
        if (generator is None) == (start is None):
            raise ValueError("start: want either a start or a generator that draws it")
        if start is None:
            assert generator is not None
            start = self.random(generator)
        return top_eigenvalues(self, start, count, tolerance=tolerance, most=most)

    def linear_operator(self) -> Any:
        """The matrix as a SciPy ``LinearOperator``, for its solvers."""
        from scipy.sparse.linalg import LinearOperator

        if self.matrices:
            raise ValueError(f"linear_operator: got {self.matrices[0]} matrices, want one")

        def product(vector: np.ndarray) -> np.ndarray:
            given = torch.from_numpy(np.ascontiguousarray(vector.reshape(-1)))
            return self(given.to(self._like)).cpu().numpy()

        dtype = torch.empty(0, dtype=self._like.dtype).numpy().dtype
        return LinearOperator((self.size, self.size), matvec=product, dtype=dtype)

    @property
    def _like(self) -> Tensor:
        return next(iter(self.parameters.values()))


class Hessian(_Curvature):
    """The Hessian of a loss, summed over batches: a symmetric matrix known by its products.

    The gradient's graph of each batch is kept, and a product is one more pass backward through it. That costs half of
    forward over reverse, which computes the gradient anew each time. Without `keep` memory is that of one batch.

    Args:
        loss: ``loss(parameters, *batch)``, a number, or ``(replicas,)`` where each parameter has replicas in front and the
            replicas are independent: then there is a matrix for each.
        parameters: where the Hessian is taken; only these count.
        batches: what the loss is summed over.
        shares: factor of each batch. Default 1.
        keep: whether graphs are kept from one product to the next.

    Raises:
        ValueError: if there are no parameters or batches, or the number of shares is not that of the batches.

    Source: Pearlmutter 1994, "Fast Exact Multiplication by the Hessian".

    Example:
        >>> import torch
        >>> from replica.training import Hessian
        >>> hessian = Hessian(lambda w: (w["x"] ** 2 * torch.tensor([1.0, 3.0])).sum(), {"x": torch.ones(2)})
        >>> hessian(torch.tensor([1.0, 1.0])), hessian.dense()
        (tensor([2., 6.]), tensor([[2., 0.],
                [0., 6.]]))
    """

    def __init__(
        self,
        loss: Callable[..., Tensor],
        parameters: Weights,
        batches: Iterable[Batch] = ((),),
        *,
        shares: Sequence[float] | None = None,
        keep: bool = True,
    ) -> None:
        super().__init__(parameters, batches, shares, keep)
        self.loss = loss

    @classmethod
    def of(
        cls,
        model: nn.Module,
        loss: Callable[..., Tensor],
        batches: Iterable[Batch],
        *,
        names: Iterable[str] | None = None,
        keep: bool = True,
    ) -> Self:
        """The Hessian of a net's mean loss over all rows of the batches.

        Args:
            model: taken in the mode that it is in.
            loss: ``loss(model, *batch)``, the mean over the batch; the model comes as a function.
            batches: tuples of tensors; each counts by its rows.
            names: parameters that count. Default all that learn.
            keep: see the class.
        """
        batches = list(batches)
        chosen, call = _chosen(model, names)
        return cls(
            lambda weights, *batch: loss(call(weights), *batch), chosen, batches, shares=_shares(batches), keep=keep
        )

    def _linearised(self, batch: Batch, share: float) -> Product:
        leaves = list(self.parameters.values())
        losses = self.loss(self.parameters, *batch)
        self._matrices = tuple(losses.shape)
        gradients = torch.autograd.grad(losses.sum() * share, leaves, create_graph=True, allow_unused=True)

        def product(parts: Sequence[Tensor], many: bool) -> Sequence[Tensor]:
            return _pull(gradients, parts, leaves, many)

        return product


class GaussNewton(_Curvature):
    """The generalised Gauss–Newton matrix JᵀBJ, with B the Hessian of the criterion in the net's outputs.

    It is the Hessian without the outputs' own curvature, and has no negative eigenvalue where the criterion is convex.

    Args:
        outputs: ``outputs(parameters, *inputs)``.
        criterion: ``criterion(outputs, target)``, a number.
        parameters: See `Hessian`, as for all that follows.
        batches: tuples (*inputs, target).
        shares: factor of each batch.
        keep: whether graphs are kept.

    Source: Schraudolph 2002, "Fast Curvature Matrix-Vector Products for Second-Order Gradient Descent".

    Example:
        >>> import torch
        >>> from replica.training import GaussNewton
        >>> squared = lambda output, target: (output - target).square().sum() / 2
        >>> matrix = GaussNewton(lambda w, x: w["a"] * x, squared, {"a": torch.ones(2)}, [(torch.tensor([1.0, 2.0]), 0.0)])
        >>> matrix(torch.ones(2))
        tensor([1., 4.])
    """

    def __init__(
        self,
        outputs: Callable[..., Tensor],
        criterion: Callable[[Tensor, Any], Tensor],
        parameters: Weights,
        batches: Iterable[Batch],
        *,
        shares: Sequence[float] | None = None,
        keep: bool = True,
    ) -> None:
        super().__init__(parameters, batches, shares, keep)
        self.outputs = outputs
        self.criterion = criterion
        self._matrices = ()

    @classmethod
    def of(
        cls,
        model: nn.Module,
        criterion: Callable[[Tensor, Any], Tensor],
        batches: Iterable[Batch],
        *,
        names: Iterable[str] | None = None,
        keep: bool = True,
    ) -> Self:
        """The matrix of a net's mean loss over all rows of the batches; see `Hessian.of`."""
        batches = list(batches)
        chosen, call = _chosen(model, names)
        return cls(
            lambda weights, *inputs: call(weights)(*inputs),
            criterion,
            chosen,
            batches,
            shares=_shares(batches),
            keep=keep,
        )

    def _linearised(self, batch: Batch, share: float) -> Product:
        leaves = list(self.parameters.values())
        *inputs, target = batch
        outputs = self.outputs(self.parameters, *inputs)
        free = outputs.detach().requires_grad_()
        (slope,) = torch.autograd.grad(self.criterion(free, target) * share, free, create_graph=True)
        # Jᵀu is linear in u, and its own transpose is J: two passes backward are one forward.
        dual = torch.zeros_like(outputs, requires_grad=True)
        pulled = torch.autograd.grad(outputs, leaves, dual, create_graph=True, materialize_grads=True)

        def product(parts: Sequence[Tensor], many: bool) -> Sequence[Tensor]:
            pushed = _pull(pulled, parts, [dual], many)
            return _pull([outputs], _pull([slope], pushed, [free], many), leaves, many)

        return product


def sharpness(
    model: nn.Module,
    loss: Callable[..., Tensor],
    batches: Iterable[Batch],
    *,
    generator: torch.Generator | None = None,
    start: Float[Tensor, " size"] | None = None,
    tolerance: float = 1e-3,
    most: int = 100,
    names: Iterable[str] | None = None,
) -> Eigenpairs:
    """The sharpness: the largest eigenvalue of the Hessian of a net's mean loss over all rows.

    Args:
        model: See `Hessian.of`, as for the loss, batches and names.
        loss: ``loss(model, *batch)``, the mean over the batch.
        batches: tuples of tensors; each counts by its rows.
        generator: draws the start of Lanczos's method.
        start: the start itself, such as the eigenvector of some steps ago, ``vectors[0]``: it saves most products.
        tolerance: See `top_eigenvalues`, as for `most`.
        most: products after which it stops.
        names: parameters that count. Default all that learn.

    Returns:
        One eigenpair; ``values[0]`` is the sharpness, and `converged` says whether it is known to the tolerance.

    Example:
        >>> import torch
        >>> from replica.training import sharpness
        >>> model = torch.nn.Linear(2, 1, bias=False)
        >>> squared = lambda model, x, y: (model(x) - y).square().mean()
        >>> batch = torch.diag(torch.tensor([1.0, 2.0])), torch.zeros(2, 1)
        >>> sharpness(model, squared, [batch], generator=torch.Generator().manual_seed(0)).values
        tensor([4.])
    """
    hessian = Hessian.of(model, loss, batches, names=names)
    return hessian.top(generator=generator, start=start, tolerance=tolerance, most=most)


def _pull(
    outputs: Sequence[Tensor | None], vectors: Sequence[Tensor], inputs: Sequence[Tensor], many: bool
) -> list[Tensor]:
    """Σ vᵀ ∂output/∂input for each input; 0 where there is no way from one to the other."""
    # What is linear in its inputs has a derivative without a graph.
    curved = [
        (output, vector)
        for output, vector in zip(outputs, vectors, strict=True)
        if output is not None and output.requires_grad
    ]
    found: Sequence[Tensor | None] = [None] * len(inputs)
    if curved:
        tails, heads = zip(*curved, strict=True)
        found = torch.autograd.grad(tails, inputs, heads, retain_graph=True, allow_unused=True, is_grads_batched=many)
    lead = vectors[0].shape[:1] if many else ()
    return [
        value.new_zeros((*lead, *value.shape)) if one is None else one for one, value in zip(found, inputs, strict=True)
    ]


def _chosen(
    model: nn.Module, names: Iterable[str] | None
) -> tuple[dict[str, Tensor], Callable[[Weights], Callable[..., Any]]]:
    known = dict(model.named_parameters())
    wanted = [name for name, tensor in known.items() if tensor.requires_grad] if names is None else list(names)
    if unknown := [name for name in wanted if name not in known]:
        raise ValueError(f"names: got {unknown}, want some of {list(known)}")
    # Statistics that a forward pass updates must not move with products.
    fixed = {name: tensor.detach() for name, tensor in known.items() if name not in wanted}
    buffers = {name: tensor.clone() for name, tensor in model.named_buffers()}

    def call(weights: Weights) -> Callable[..., Any]:
        return lambda *args, **options: functional_call(model, {**fixed, **buffers, **weights}, args, options)

    return {name: known[name] for name in wanted}, call


def _shares(batches: Sequence[Batch]) -> list[float]:
    rows = [len(batch[0]) for batch in batches]
    return [count / sum(rows) for count in rows]
