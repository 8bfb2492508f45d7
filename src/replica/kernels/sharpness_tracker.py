"""The sharpness of a loss along training, in the coordinates in which gradient descent steps."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from replica.training import Eigenpairs, Hessian, Replicas, top_eigenvalues


class SharpnessTracker:
    """Rate times sharpness, measured again and again along training: gradient descent is stable where it is below 2.

    The sharpness is the largest eigenvalue of the Hessian H of the mean loss. Where parameters have rates D of their own, that of
    D^(1/2) H D^(1/2) is measured: the sharpness in coordinates in which all rates are 1, the same for all ways to write one
    training. Each search starts at the last eigenvector, which saves most products.

    Args:
        loss: ``loss(model, *batch)``, the mean over the batch; the model comes as a function.
        batches: tuples of tensors; each counts by its rows.
        rates: learning rate of all parameters, or by name. Default 1: the sharpness itself.
        generator: draws the first start.
        tolerance: largest residual as a share of the eigenvalue; its error is near the square of that.
        most: products after which a search stops.

    Attributes:
        last: the eigenpairs that were found last, None before.

    Raises:
        ValueError: if a rate is not above 0.

    Source: Noci, Meterez, Hofmann and Orvieto 2024, arXiv 2402.17457, Section 3.

    Example:
        >>> import torch
        >>> from replica.kernels import SharpnessTracker
        >>> model = torch.nn.Linear(2, 1, bias=False)
        >>> squared = lambda model, x, y: (model(x) - y).square().mean()
        >>> batch = torch.diag(torch.tensor([1.0, 2.0])), torch.zeros(2, 1)
        >>> tracker = SharpnessTracker(squared, [batch], rates=0.25, generator=torch.Generator().manual_seed(0))
        >>> tracker.measure(model)
        tensor(1.)
    """

    def __init__(
        self,
        loss: Callable[..., Tensor],
        batches: Iterable[tuple[Any, ...]],
        *,
        rates: float | Mapping[str, float] = 1.0,
        generator: torch.Generator,
        tolerance: float = 0.03,
        most: int = 100,
    ) -> None:
        numbers = list(rates.values()) if isinstance(rates, Mapping) else [rates]
        if not all(math.isfinite(rate) and rate > 0 for rate in numbers):
            raise ValueError(f"rates: got {numbers}, want numbers above 0")
        self.loss = loss
        self.batches = list(batches)
        self.rates = rates
        self.generator = generator
        self.tolerance = tolerance
        self.most = most
        self.last: Eigenpairs | None = None

    def measure(self, model: nn.Module | Replicas) -> Float[Tensor, "*replicas"]:
        """Rate times sharpness of a net, or of each of its replicas, as they are now; NaN where a loss is not finite.

        Raises:
            ValueError: if a parameter has no rate.
        """
        if isinstance(model, Replicas):
            hessian = model.hessian(self.loss, self.batches)
        else:
            hessian = Hessian.of(model, self.loss, self.batches)
        known = self.rates if isinstance(self.rates, Mapping) else dict.fromkeys(hessian.parameters, self.rates)
        if missing := [name for name in hessian.parameters if name not in known]:
            raise ValueError(f"rates: got none for {missing}, want one for each parameter")
        lead = len(hessian.matrices)
        root = hessian.flatten(
            {name: torch.full_like(tensor, math.sqrt(known[name])) for name, tensor in hessian.parameters.items()}
        )
        start = hessian.random(self.generator)
        if self.last is not None:
            before = self.last.vectors.select(lead, 0)
            start = torch.where(before.isfinite().all(-1, keepdim=True), before, start)
        self.last = top_eigenvalues(
            lambda vector: root * hessian(root * vector), start, tolerance=self.tolerance, most=self.most
        )
        return self.last.values[..., 0]
