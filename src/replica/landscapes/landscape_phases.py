"""Phases of loss landscapes: loss, curvature, connectivity and similarity of models trained alike, and the phase they tell."""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from replica.kernels import linear_cka
from replica.training import Replicas

from .net_pairs import Batch, Loss, NetPairs
from .paths import BezierCurve

Phase = Literal["I", "II", "III", "IV-A", "IV-B"]


class LandscapeMetrics(NamedTuple):
    """What is measured of each pair of networks that differ in their seed alone.

    Attributes:
        loss: mean of the two.
        sharpness: largest eigenvalue of the Hessian, of the first.
        trace: of the Hessian, of the first, estimated.
        connectivity: ½ (E_0 + E_1) − E(t) where E, the error along a trained Bézier curve, is farthest from the mean of its
            ends: negative where a barrier is left, positive where the curve finds better models than its ends.
        similarity: centred kernel alignment of the two networks' layers, mean over layers; 0 for a layer that is dead in either.
    """

    loss: Float[Tensor, " pairs"]
    sharpness: Float[Tensor, " pairs"]
    trace: Float[Tensor, " pairs"]
    connectivity: Float[Tensor, " pairs"]
    similarity: Float[Tensor, " pairs"]


def landscape_metrics(
    first: Replicas,
    second: Replicas,
    loss: Loss,
    batches: Iterable[Batch],
    *,
    layers: Sequence[str],
    generator: torch.Generator,
    error: Loss | None = None,
    bend_steps: int = 100,
    bend_rate: float = 0.01,
    points: int = 11,
    probes: int = 4,
    products: int = 20,
) -> LandscapeMetrics:
    """Loss, curvature, connectivity and similarity of pairs of networks, all pairs at once.

    Args:
        first: a network of each pair; for many seeds each with the next one's (see `ZooBlock.pairs`).
        second: the other.
        loss: ``loss(model, *batch)``, the mean over the batch.
        batches: training rows as tuples (inputs, …); curvature is that of the first batch, to save time.
        layers: names of modules whose outputs are compared.
        generator: draws places on curves and the starts of the curvature's estimates.
        error: what connectivity counts along the curve, such as the share of wrong answers. Default the loss.
        bend_steps: steps by which a curve is trained.
        bend_rate: their rate.
        points: at which a curve is looked at, ends included.
        probes: of the trace.
        products: with the Hessian, at most, for the sharpness.

    Raises:
        ValueError: if the networks differ in more than numbers, or points are fewer than 3.

    Source: Yang, Hodgkinson, Theisen, Zou, Gonzalez, Ramchandran, Mahoney 2021, Section 3; Schürholt et al. 2025.

    Example:
        >>> import torch
        >>> from replica.landscapes import landscape_metrics
        >>> from replica.training import Replicas, mlp
        >>> net = mlp((2, 3, 1), generator=torch.Generator().manual_seed(0))
        >>> squared = lambda model, x, y: (model(x) - y).square().mean()
        >>> x = torch.randn(9, 2, generator=torch.Generator().manual_seed(1))
        >>> twin = Replicas([net])
        >>> found = landscape_metrics(
        ...     twin, twin, squared, [(x, net(x).detach())], layers=["1"], generator=torch.Generator().manual_seed(2)
        ... )
        >>> found.loss, found.connectivity.abs() < 1e-3, found.similarity.round(decimals=3)
        (tensor([0.]), tensor([True]), tensor([1.]))
    """
    if points < 3:
        raise ValueError(f"points: got {points}, want 3 or more")
    batches = list(batches)
    pairs = NetPairs(first, second)
    with torch.no_grad():
        losses = [pairs.losses(state, loss, batches) for state in (pairs.start, pairs.end)]
    hessian = first.hessian(loss, batches[:1])
    sharpness = hessian.top(1, generator=generator, tolerance=0.02, most=products).values[..., 0]
    curve = BezierCurve(first, second)
    curve.train(loss, batches, steps=bend_steps, rate=bend_rate, generator=generator)
    errors = curve.losses(error or loss, batches, pairs.checked(torch.linspace(0, 1, points)))
    rises = errors[[0, -1]].mean(0) - errors
    connectivity = rises.gather(0, rises.abs().argmax(0, keepdim=True))[0]
    inputs = torch.cat([batch[0] for batch in batches])
    seen = [_outputs(nets, layers, inputs) for nets in (first, second)]
    similarity = torch.stack([_alike(ours, theirs) for ours, theirs in zip(*seen, strict=True)]).mean(0)
    return LandscapeMetrics(
        torch.stack(losses).mean(0), sharpness, hessian.trace(probes, generator), connectivity, similarity
    )


class PhaseThresholds(NamedTuple):
    """Where phases part.

    Attributes:
        loss: training loss above which a model is underfitted.
        barrier: connectivity below minus this is a barrier.
        similarity: above which models are similar.
    """

    loss: float
    barrier: float
    similarity: float


def phase_of(loss: float, connectivity: float, similarity: float, thresholds: PhaseThresholds) -> Phase:
    """The phase of models: I loss high, a barrier; II loss high, connected; III loss small, a barrier; IV loss small, connected.

    Models of IV-A are not similar (overfitted), of IV-B they are.

    Args:
        loss: of training.
        connectivity: See `LandscapeMetrics`.
        similarity: likewise.
        thresholds: where phases part.

    Raises:
        ValueError: if a number is NaN.

    Source: Yang et al. 2021, Figure 1; Schürholt et al. 2025, table of phases.

    Example:
        >>> from replica.landscapes import PhaseThresholds, phase_of
        >>> thresholds = PhaseThresholds(loss=0.5, barrier=0.02, similarity=0.9)
        >>> phase_of(0.1, 0.0, 0.95, thresholds), phase_of(0.1, -0.3, 0.95, thresholds)
        ('IV-B', 'III')
    """
    for name, value in (("loss", loss), ("connectivity", connectivity), ("similarity", similarity)):
        if value != value:
            raise ValueError(f"{name}: got NaN, want a number")
    parted = connectivity < -thresholds.barrier
    if loss > thresholds.loss:
        return "I" if parted else "II"
    if parted:
        return "III"
    return "IV-B" if similarity > thresholds.similarity else "IV-A"


def _alike(
    ours: Float[Tensor, "nets samples units"], theirs: Float[Tensor, "nets samples others"]
) -> Float[Tensor, " nets"]:
    """Linear centred kernel alignment, 0 where one of the two is constant."""
    dead = (ours == ours[:, :1]).all((1, 2)) | (theirs == theirs[:, :1]).all((1, 2))
    found = ours.new_zeros(len(ours))
    if not dead.all():
        found[~dead] = linear_cka(ours[~dead], theirs[~dead])
    return found


def _outputs(nets: Replicas, layers: Sequence[str], inputs: Tensor) -> list[Float[Tensor, "nets samples units"]]:
    """What the layers of each network give."""
    seen: list[dict[str, Tensor]] = []
    for index in range(nets.count):
        model = nets.model(index)
        found: dict[str, Tensor] = {}
        for name in layers:
            model.get_submodule(name).register_forward_hook(
                lambda _, __, output, name=name, found=found: found.update({name: output.detach().flatten(1)})
            )
        with torch.no_grad():
            model(inputs)
        seen.append(found)
    return [torch.stack([found[name] for found in seen]) for name in layers]
