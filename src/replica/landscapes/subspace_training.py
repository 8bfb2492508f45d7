"""Networks trained in a random subspace of their parameters, and how large it must be."""

import copy
import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.func import functional_call

from replica.training import Replicas

from .subspace_projections import Projection, random_projection


class SubspaceTraining(nn.Module):
    """Any module with θ = θ₀ + P ϑ for its parameters: only ϑ, `dim` numbers that start at 0, is learned (Li and others 2018).

    θ₀ and what P is made of are buffers, so that `parameters()` gives ϑ alone. With a seed for both, ϑ is all there is to
    keep or send.

    Args:
        module: what is trained; it is copied, and the copy's parameters become buffers.
        dim: d.
        projection: P: ``"dense"``, ``"sparse"`` or ``"fastfood"``, see there.
        generator: of P.

    Raises:
        ValueError: if the module has no parameters, `dim` is below 1, or `projection` is unknown.

    Example:
        >>> import torch
        >>> from replica.landscapes import SubspaceTraining
        >>> net = SubspaceTraining(torch.nn.Linear(10, 4), 3, generator=torch.Generator().manual_seed(0))
        >>> net(torch.zeros(2, 10)).shape, sum(p.numel() for p in net.parameters())
        (torch.Size([2, 4]), 3)
    """

    def __init__(
        self,
        module: nn.Module,
        dim: int,
        projection: Projection = "dense",
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        owned = dict(module.named_parameters())
        if not owned:
            raise ValueError("module: got no parameters, want one or more to train")
        places = {id(parameter): name for name, parameter in owned.items()}
        # Parameters that are tied get the same values, under each of their names.
        tied = [(name, places[id(each)]) for name, each in module.named_parameters(remove_duplicate=False)]
        self._shapes = {name: parameter.shape for name, parameter in owned.items()}
        self._names = tied
        self.module = copy.deepcopy(module)
        for name, _ in tied:
            path, _, own = name.rpartition(".")
            holder = self.module.get_submodule(path)
            value = getattr(holder, own).detach().clone()
            delattr(holder, own)
            holder.register_buffer(own, value)
        size = sum(parameter.numel() for parameter in owned.values())
        self.projection = random_projection(projection, dim, size, generator=generator)
        first = next(iter(owned.values()))
        self.projection.to(first.device, first.dtype)
        self.coordinates = nn.Parameter(torch.zeros(dim, device=first.device, dtype=first.dtype))

    def values(self) -> dict[str, Tensor]:
        """θ by name: where the module's parameters are now."""
        moves = self.projection(self.coordinates)
        moved, start = {}, 0
        for name, shape in self._shapes.items():
            stop = start + math.prod(shape)
            path, _, own = name.rpartition(".")
            moved[name] = getattr(self.module.get_submodule(path), own) + moves[start:stop].view(shape)
            start = stop
        return moved

    def forward(self, *args: object, **options: object) -> object:
        """What the module gives at θ."""
        values = self.values()
        return functional_call(self.module, {name: values[first] for name, first in self._names}, args, options)


def train_in_subspaces(
    module: nn.Module,
    dims: Sequence[int],
    loss: Callable[..., Tensor],
    batches: Iterable[tuple[Tensor, ...]],
    *,
    steps: int,
    rates: float | Sequence[float] = 0.03,
    projection: Projection = "dense",
    generator: torch.Generator | None = None,
) -> tuple[Replicas, Float[Tensor, " dims"]]:
    """Trains a module in subspaces of several sizes side by side, by Adam, all from the module's own parameters.

    Subspaces are nested: that of d numbers is spanned by the first d directions of the largest.

    Args:
        module: what is trained; left as it is.
        dims: sizes, any order.
        loss: ``loss(model, *batch)``, a number; the model comes as a function.
        batches: tuples, passed over again and again until the steps are done.
        steps: gradient steps.
        rates: of Adam; one each, or one for all. They fall to 0 along a cosine.
        projection: as `SubspaceTraining` takes it.
        generator: of the directions.

    Returns:
        The nets, one a size, and each one's mean loss over the last tenth of the steps.

    Raises:
        ValueError: if a number is out of range, or there are no batches.
    """
    if not len(dims) or min(dims) < 1 or steps < 1:
        raise ValueError(f"dims, steps: got {list(dims)} and {steps}, want sizes and steps of 1 or more")
    replicas = Replicas.of(module, len(dims))
    starts = {name: tensor.detach() for name, tensor in module.named_parameters()}
    first = next(iter(starts.values()))
    project = random_projection(projection, max(dims), sum(t.numel() for t in starts.values()), generator=generator)
    project.to(first.device, first.dtype)
    mask = (torch.arange(max(dims)) < torch.tensor(list(dims))[:, None]).to(first.device, first.dtype)
    coordinates = torch.zeros_like(mask).requires_grad_()
    own = torch.as_tensor(rates, dtype=first.dtype, device=first.device).expand(len(dims))[:, None]
    mean, square = torch.zeros_like(mask), torch.zeros_like(mask)

    def placed(places: Tensor) -> dict[str, Tensor]:
        parts = project(places * mask).split([tensor.numel() for tensor in starts.values()], -1)
        return {
            name: tensor + part.view(-1, *tensor.shape)
            for (name, tensor), part in zip(starts.items(), parts, strict=True)
        }

    tail, done = torch.zeros(len(dims), dtype=first.dtype, device=first.device), 0
    last = max(1, steps // 10)
    while done < steps:
        before = done
        for batch in batches:
            losses = replicas.losses(loss, batch, parameters=placed(coordinates))
            (slopes,) = torch.autograd.grad(losses.sum(), coordinates)
            with torch.no_grad():
                mean.lerp_(slopes, 0.1)
                square.lerp_(slopes.square(), 0.001)
                share = (1 + math.cos(math.pi * done / steps)) / 2
                done += 1
                scale = (square / (1 - 0.999**done)).sqrt() + 1e-8
                coordinates -= own * share * mean / (1 - 0.9**done) / scale
                if done > steps - last:
                    tail += losses.detach() / last
            if done == steps:
                break
        if done == before:
            raise ValueError("batches: got none or one pass only, want an iterable that can be passed over again")
    with torch.no_grad():
        replicas.parameters = {name: value.requires_grad_() for name, value in placed(coordinates).items()}
    return replicas, tail


def dimension_at_score(dims: ArrayLike, scores: ArrayLike, goal: float) -> float:
    """The subspace size at which a score reaches its goal, d_int90 for a goal of 0.9 times the directly trained net's.

    Scores that fall with the size are noise: neighbours out of order are pooled. Between sizes the score is taken to be straight
    in ln d.

    Args:
        dims: sizes, rising.
        scores: at each, higher is better.
        goal: what is to be reached.

    Returns:
        The size; the smallest tried where it reaches the goal, infinity where none does.

    Raises:
        ValueError: if lengths differ, or sizes do not rise.

    Example:
        >>> from replica.landscapes import dimension_at_score
        >>> round(dimension_at_score([10, 100, 1000], [0.5, 0.7, 0.9], 0.8))
        316
    """
    from scipy.optimize import isotonic_regression

    sizes, values = np.asarray(dims, np.float64), np.asarray(scores, np.float64)
    if sizes.shape != values.shape or sizes.ndim != 1 or not len(sizes) or (np.diff(sizes) <= 0).any() or sizes[0] <= 0:
        raise ValueError(
            f"dims: got {sizes.tolist()} for {values.size} scores, want as many sizes, rising from above 0"
        )
    rising = isotonic_regression(values).x
    reached = np.flatnonzero(rising >= goal - 1e-12)
    if not len(reached):
        return math.inf
    here = int(reached[0])
    if here == 0:
        return float(sizes[0])
    share = (goal - rising[here - 1]) / (rising[here] - rising[here - 1])
    return float(np.exp(np.log(sizes[here - 1]) + share * np.log(sizes[here] / sizes[here - 1])))
