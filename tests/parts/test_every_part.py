"""What every part must pass, by being declared here: a module that a wing exports and that is not declared fails.

Estimators of scikit-learn's form are found by themselves and pass scikit-learn's own battery.
"""

from __future__ import annotations

import copy
import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import Tensor, nn

import replica
from replica.architectures import Hypernetwork
from replica.generative import (
    DenoisingMLP,
    FiniteSetDenoiser,
    FourierDenoisingMLP,
    MarkovChainDenoiser,
    MixtureDenoiser,
    MongeGapMap,
    PoissonFlowDenoiser,
    PreconditionedDenoiser,
    SubspaceScore,
)
from replica.kernels import (
    AbcParametrization,
    BundledNetwork,
    HermiteActivation,
    InContextAttention,
    InfiniteLinearNetwork,
    KernelAdapter,
    PatchNetwork,
    ResidualPerceptron,
    ScalableKernelLayer,
    SineActivation,
    SingularKernel,
    TwoLayerScoreNet,
    UniversalRandomFeatures,
    WideNetwork,
    bundle,
    optimal_activation,
)
from replica.landscapes import (
    AnisotropicComposition,
    DecisionNetwork,
    DenseProjection,
    FastfoodProjection,
    SparseProjection,
    SubspaceTraining,
    TaskVector,
)
from replica.memory import (
    ActiveDendriteNeuron,
    ActiveDendriteSegments,
    CodebookLayer,
    ConvolutionalMonotoneBoltzmann,
    DenseHebbianMemory,
    DiscreteKeyValueBottleneck,
    HopfieldAssociation,
    HopfieldLookup,
    HopfieldPooling,
    Hopular,
    HopularBlock,
    LabelField,
    MemoryController,
    ModernHopfield,
    MonotoneBoltzmann,
    MultitaskingMemory,
    SparseyLayer,
    SparseyMemory,
    SparseyNetwork,
    StateFeedback,
    SyntheticGradient,
    TableColumns,
)
from replica.physics import FourierOperator, MgNO, MultigridOperator, OperatorLayer, SpectralConvolution, UNet
from replica.plasticity import (
    AugLocal,
    CounterCurrentLearning,
    DifferenceTargetPropagation,
    FollowedLayer,
    LayeredDynamics,
    LocalTraining,
    MirroredLayer,
    MomentumAuxiliary,
    TargetProjection,
)
from replica.representations import (
    BrickRouter,
    MaskedAutoencoder,
    PrototypeHead,
    RelativeEncoder,
    RelativeProjection,
    ReweightingHead,
    SelfDistillation,
    UnitStatistics,
    grow_brick,
)
from replica.spiking import (
    AlignedProjections,
    DelayedLinear,
    DelayedSpikingNetwork,
    LeakyIntegrateAndFire,
    LeakyIntegrator,
    PlaceEnsemble,
    RecurrentLeakyIntegrateAndFire,
    ResistiveLinear,
    ResistiveLiquid,
    SpatialLiquid,
    SpikeGPT,
    SpikeGPTBlock,
    WinnerTakeAllNetwork,
)
from replica.training import CausalTransformer, SmallNet, conv_net, mlp

Draw = Callable[..., Tensor]
"""Normal numbers of a shape: the first is the batch's."""


@dataclass(frozen=True)
class Part:
    """A module and how it is used.

    Args:
        make: Builds it; all randomness from the generator.
        inputs: Its inputs for a batch of this size, from ``draw(*shape)``.
        use: How it is called, where that is not ``module(*inputs)``.
        wrong: Arguments that its call or constructor must refuse, as a function that raises, with what the message names.
        drawn: Whether its start is random (two seeds differ).
        smooth: Whether gradients flow from outputs to inputs.
        meta: Whether its steps do not depend on values, so that it runs on the meta device, which proves that no tensor
            is made on a device of its own.
        near: How far half precision may be from single, in every number; None where rounding can turn over a spike.
        breaks: Why ``torch.compile`` needs more than one graph for it.
        stays: Why ``torch.export`` refuses it.
    """

    make: Callable[[torch.Generator], nn.Module]
    inputs: Callable[[int, Draw], tuple[Tensor, ...]]
    wrong: tuple[tuple[Callable[[], Any], str], ...] = ()
    use: Callable[..., Tensor] = field(default=lambda module, *inputs: module(*inputs))
    drawn: bool = True
    smooth: bool = True
    meta: bool = True
    near: float | None = 0.05
    breaks: str = ""
    stays: str = ""


def moved_limit(generator: torch.Generator) -> nn.Module:
    # Its start gives 0 for all inputs.
    limit = InfiniteLinearNetwork(4, 2, bias=0.5)
    with torch.no_grad():
        limit.readout += 0.1 * torch.randn(2, 6, generator=generator)
    return limit


def memory_of(kind: Callable[..., Any], **options: Any) -> Callable[[torch.Generator], nn.Module]:
    def make(generator: torch.Generator) -> nn.Module:
        memory = kind(**options)
        memory.store(torch.randn(5, 16, generator=generator).sign())
        return memory

    return make


def learned_feedback(module: nn.Module, generator: torch.Generator) -> nn.Module:
    """Synthetic gradients are zero until something is learned: here as if they had learned something."""
    for part in module.modules():
        if isinstance(part, SyntheticGradient):
            nn.init.normal_(part.net[-1].weight, generator=generator)
            part.mean_square.fill_(1.0)
            part.seen.fill_(1.0)
    return module


def drawn_globally(make: Callable[[], nn.Module]) -> Callable[[torch.Generator], nn.Module]:
    """For modules that draw their weights as PyTorch's own do: from the global generator, here set to the other's seed."""

    def made_from(generator: torch.Generator) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(generator.initial_seed())
            return make()

    return made_from


def unpaired(module: nn.Module, generator: torch.Generator) -> nn.Module:
    """Paired units give zero until something is learned: here as if they had learned something."""
    with torch.no_grad():
        module.weight.add_(torch.randn(module.weight.shape, generator=generator))
    return module


def kernel_adapter(generator: torch.Generator) -> nn.Module:
    """Adapters change nothing until something is learned: here as if they had learned something."""
    adapter = KernelAdapter(4, 6, generator=generator)
    nn.init.normal_(adapter.weight, generator=generator)
    return adapter


def sparsey_layer(generator: torch.Generator) -> nn.Module:
    layer = SparseyLayer(20, 4, 5)
    layer.store((torch.rand(6, 20, generator=generator) < 0.4).float(), generator=generator)
    return layer


def sparsey_network(generator: torch.Generator) -> nn.Module:
    network = SparseyNetwork([SparseyLayer(20, 4, 5, lateral=True, above=18), SparseyLayer(20, 3, 6)])
    network.store((torch.rand(4, 3, 20, generator=generator) < 0.4).float(), generator=generator)
    return network


def sparsey_memory(generator: torch.Generator) -> nn.Module:
    memory = SparseyMemory(6, 8, generator=generator)
    memory.store(torch.randn(5, 16, generator=generator).sign())
    return memory


def label_field(generator: torch.Generator) -> nn.Module:
    field = LabelField(6, 3)
    field.store((torch.rand(4, 6, generator=generator) < 0.5).float(), torch.tensor([0, 1, 2, 0]))
    return field


def bottleneck(generator: torch.Generator) -> nn.Module:
    module = DiscreteKeyValueBottleneck(8, 3, codebooks=4, pairs=6, key_dim=3, generator=generator)
    module.values.data.normal_(generator=generator)
    return module


def statistics(generator: torch.Generator) -> nn.Module:
    return UnitStatistics(3, 4)


def grown_brick(generator: torch.Generator) -> nn.Module:
    """New bricks give zero until something is learned: here as if they had learned something."""
    grown = grow_brick(mlp((4, 12, 3), generator=generator), 5, generator=generator)
    nn.init.normal_(grown.brick[2].weight, generator=generator)
    return grown


def accumulate(module: nn.Module, first: Tensor, second: Tensor) -> Tensor:
    fresh = copy.deepcopy(module)
    fresh.update(first, second)
    return fresh.correlation


def place_ensemble(generator: torch.Generator) -> nn.Module:
    ensemble = PlaceEnsemble(6, 2, places=3, units=4, drive=0.4, generator=generator)
    ensemble.fit(torch.rand(6, 6, generator=generator), torch.arange(6), epochs=1, generator=generator)
    return ensemble


def local_blocks(network: nn.Sequential, auxiliary: nn.Module) -> nn.Module:
    return LocalTraining(network, [network[:2], network[2:]], [auxiliary])


def every_block(module: Any, inputs: Tensor) -> Tensor:
    return torch.stack(list(module.block_scores(inputs)), dim=1)


def over_time(module: nn.Module, currents: Tensor) -> Tensor:
    return module(currents.transpose(0, 1)).transpose(0, 1)


def one_row(call: Callable[..., Any], *shape: int) -> Callable[[], Any]:
    return lambda: call(torch.zeros(*shape))


def composition(generator: torch.Generator) -> AnisotropicComposition:
    """Two vectors, blocks in two groups."""
    base, *tuned = (mlp((4, 5, 3), generator=generator) for _ in range(3))
    vectors = [TaskVector.between(base, net) for net in tuned]
    return AnisotropicComposition(base, vectors, partitions=2, generator=generator)


PARTS: dict[str, Part] = {
    "memory.ModernHopfield": Part(
        lambda g: ModernHopfield(torch.randn(6, 8, generator=g), beta=2.0, steps=3),
        lambda n, draw: (draw(n, 8),),
        ((lambda: ModernHopfield(torch.zeros(3, 4), steps=-1), "steps"), (one_row(ModernHopfield(torch.zeros(3, 4)), 2, 5), "4")),
        meta=False,  # stops where all have converged
    ),
    "memory.HopfieldAssociation": Part(
        lambda g: HopfieldAssociation(8, heads=2, generator=g),
        lambda n, draw: (draw(n, 3, 8), draw(n, 5, 8)),
        ((lambda: HopfieldAssociation(8, heads=3), "heads"),),
    ),
    "memory.HopfieldPooling": Part(
        lambda g: HopfieldPooling(8, pools=2, generator=g),
        lambda n, draw: (draw(n, 5, 8),),
        ((lambda: HopfieldPooling(8, pools=0), "pools"),),
    ),
    "memory.HopfieldLookup": Part(
        lambda g: HopfieldLookup(8, count=4, generator=g),
        lambda n, draw: (draw(n, 8),),
        ((lambda: HopfieldLookup(8), "count"), (lambda: HopfieldLookup(8, count=4)(torch.zeros(2, 7)), "state: got")),
    ),
    "memory.DenseHebbianMemory": Part(
        memory_of(DenseHebbianMemory, order=4),
        lambda n, draw: (draw(n, 16).sign(),),
        ((lambda: DenseHebbianMemory(order=1), "order"),),
        use=lambda module, cues: module.recall(cues),
        smooth=False,
        meta=False,
        breaks="who moves is chosen by values",
        stays="cues that cycle are relaxed again in other ways, until all are at rest",
    ),
    "memory.MultitaskingMemory": Part(
        memory_of(MultitaskingMemory, max_steps=5),
        lambda n, draw: (draw(n, 16).sign(),),
        ((lambda: MultitaskingMemory(temperature=-1.0), "temperature"),),
        use=lambda module, cues: module.recall(cues),
        smooth=False,
        meta=False,
        breaks="stops where nothing moves",
    ),
    "memory.Hopular": Part(
        lambda g: Hopular(
            (1, 1, 3), width=4, heads=2, blocks=2, input_dropout=0, lookup_dropout=0, output_dropout=0, generator=g
        ),
        lambda n, draw: (draw(n, 5),),
        ((lambda: Hopular((1, 0)), "sizes"), (lambda: Hopular((1, 1), heads=0), "heads")),
        use=lambda module, rows: module(rows, torch.linspace(-1, 1, 30).view(6, 5).to(rows)),
    ),
    "memory.HopularBlock": Part(
        lambda g: HopularBlock(3, 4, heads=2, dropout=0, generator=g),
        lambda n, draw: (draw(n, 3, 4), draw(n, 3, 4)),
        ((lambda: HopularBlock(3, 4, scaling=-1.0), "scaling"),),
        use=lambda module, state, own: module(state, own, torch.linspace(-1, 1, 60).view(5, 3, 4).to(state)),
    ),
    "memory.TableColumns": Part(
        lambda g: TableColumns((1, 1)),
        lambda n, draw: (draw(n, 2),),
        ((lambda: TableColumns(()), "sizes"), (one_row(TableColumns((1, 2)).encode, 1, 3), "2")),
        use=lambda module, table: module.encode(table),
        drawn=False,
    ),
    "memory.ActiveDendriteSegments": Part(
        lambda g: ActiveDendriteSegments(40, threshold=2, synapses_per_pattern=6).store(
            torch.rand(5, 40, generator=g) < 0.4, generator=g
        ),
        lambda n, draw: (draw(n, 40),),
        (
            (lambda: ActiveDendriteSegments(40, threshold=0, synapses_per_pattern=6), "threshold"),
            (one_row(ActiveDendriteSegments(40, threshold=2, synapses_per_pattern=6), 2, 39), "40"),
        ),
        use=lambda module, patterns: module.overlaps(patterns),
    ),
    "memory.ActiveDendriteNeuron": Part(
        lambda g: ActiveDendriteNeuron(40, threshold=2, synapses_per_pattern=6, patterns_per_segment=2).store(
            torch.rand(5, 40, generator=g) < 0.4, generator=g
        ),
        lambda n, draw: (draw(n, 40),),
        ((lambda: ActiveDendriteNeuron(40, threshold=2, synapses_per_pattern=6, patterns_per_segment=0), "patterns_per"),),
        use=lambda module, patterns: module.evidence(patterns),
    ),
    "memory.MemoryController": Part(
        lambda g: MemoryController(4, 3, hidden=5, slots=4, generator=g),
        lambda n, draw: (draw(n, 6, 4), draw(n, 6, 3)),
        (
            (lambda: MemoryController(4, 3, slots=0), "slots"),
            (lambda: MemoryController(4, 3)(torch.zeros(2, 4), torch.zeros(2, 3)), "inputs: got"),
        ),
        use=lambda module, inputs, targets: module(inputs, targets)[0],
        breaks="PyTorch keeps recurrent networks out of graphs",
    ),
    "memory.SyntheticGradient": Part(
        lambda g: learned_feedback(SyntheticGradient(4, context_dim=2, hidden=8, generator=g), g),
        lambda n, draw: (draw(n, 4), draw(n, 2)),
        ((lambda: SyntheticGradient(4, hidden=-1), "hidden"), (one_row(SyntheticGradient(4), 2, 5), "activity: got")),
    ),
    "memory.StateFeedback": Part(
        lambda g: learned_feedback(StateFeedback((4, 3), context_dim=2, hidden=8, generator=g), g),
        lambda n, draw: (draw(n, 4), draw(n, 5, 3), draw(n, 2)),
        ((lambda: StateFeedback(()), "dims"), (lambda: StateFeedback((4,))(()), "state: got")),
        use=lambda module, one, two, context: torch.cat([part.flatten(1) for part in module((one, two), context)], 1),
    ),
    "memory.CodebookLayer": Part(
        lambda g: CodebookLayer(8, 20, active=2, groups=2, generator=g),
        lambda n, draw: (draw(n, 3, 8),),
        ((lambda: CodebookLayer(8, 20, active=21), "active"), (one_row(CodebookLayer(8, 20), 2, 7), "8")),
    ),
    "memory.SparseyLayer": Part(
        sparsey_layer,
        lambda n, draw: (draw(n, 20),),
        ((lambda: SparseyLayer(3, 0, 2), "modules"), (one_row(SparseyLayer(3, 2, 2), 1, 4), "inputs: got")),
        use=lambda module, inputs: module((inputs > 0).to(inputs.dtype)),
        smooth=False,
        meta=False,  # only active inputs are gone through
    ),
    "memory.SparseyNetwork": Part(
        sparsey_network,
        lambda n, draw: (draw(n, 3, 20),),
        ((lambda: SparseyNetwork([]), "layers"),),
        use=lambda module, inputs: module((inputs > 0).to(inputs.dtype)),
        smooth=False,
        meta=False,
    ),
    "memory.SparseyMemory": Part(
        sparsey_memory,
        lambda n, draw: (draw(n, 16).sign(),),
        ((lambda: SparseyMemory(2, 1), "units"),),
        use=lambda module, cues: module.recall(cues),
        smooth=False,
        meta=False,
    ),
    "memory.LabelField": Part(
        label_field,
        lambda n, draw: (draw(n, 6),),
        ((lambda: LabelField(6, 1), "classes"),),
        use=lambda module, codes: module((codes > 0).to(codes.dtype)),
        smooth=False,
        meta=False,
    ),
    "memory.MonotoneBoltzmann": Part(
        lambda g: MonotoneBoltzmann([(4, 2), (3, 3)], tolerance=1e-7, generator=g),
        lambda n, draw: (draw(n, 4, 2),),
        (
            (lambda: MonotoneBoltzmann([(4, 1)]), "layers"),
            (lambda: MonotoneBoltzmann([(4, 2)], margin=1.0), "margin"),
            (lambda: MonotoneBoltzmann([(4, 2)])(torch.zeros(2, 3, dtype=torch.long)), "states"),
        ),
        use=lambda module, fields: module.readout(module.infer(fields=(fields,)))[1],
        meta=False,  # stops where all have converged
        breaks="its solver stops where all have converged",
        stays="its solver stops where all have converged, at a step size that follows from the weights",
    ),
    "memory.ConvolutionalMonotoneBoltzmann": Part(
        lambda g: ConvolutionalMonotoneBoltzmann((4, 4), 2, 3, hidden=(2, 2), rank=4, label_rank=4, tolerance=1e-5, generator=g),
        lambda n, draw: (draw(n, 16, 2),),
        ((lambda: ConvolutionalMonotoneBoltzmann((4, 5), 2, 3), "cell"),),
        use=lambda module, fields: module.readout(module.infer(fields=(fields,)))[2],
        meta=False,  # stops where all have converged
        breaks="its solver stops where all have converged",
        stays="its solver stops where all have converged, at a step size that follows from the weights",
    ),
    "memory.DiscreteKeyValueBottleneck": Part(
        bottleneck,
        lambda n, draw: (draw(n, 8),),
        (
            (lambda: DiscreteKeyValueBottleneck(8, 0), "outputs"),
            (one_row(DiscreteKeyValueBottleneck(8, 2), 2, 7), "inputs"),
        ),
        smooth=False,
    ),
    "architectures.Hypernetwork": Part(
        lambda g: Hypernetwork(mlp((4, 8, 3), generator=g), conditions=2, generator=g),
        lambda n, draw: (draw(n, 4), draw(n, 2).sigmoid()),
        ((lambda: Hypernetwork(nn.Linear(2, 2), form="none"), "form"), (lambda: Hypernetwork(nn.ReLU()), "parameters")),
        meta=False,  # conditions are checked to lie in their range
    ),
    "kernels.HermiteActivation": Part(
        lambda g: HermiteActivation((0.0, 0.6, 0.8)),
        lambda n, draw: (draw(n, 5),),
        ((lambda: HermiteActivation(()), "coefficients"),),
        drawn=False,
    ),
    "kernels.SineActivation": Part(
        lambda g: SineActivation(1.5),
        lambda n, draw: (draw(n, 5),),
        ((lambda: SineActivation(0.0), "frequency"),),
        drawn=False,
    ),
    "kernels.SingularKernel": Part(
        lambda g: SingularKernel(optimal_activation(3)),
        lambda n, draw: (draw(n, 5).sigmoid(),),
        (
            (lambda: SingularKernel(), "activation"),
            (lambda: SingularKernel(optimal_activation(3))(torch.tensor([0.5, torch.nan])), "gap: got NaN"),
        ),
        drawn=False,
        meta=False,  # a table is searched
    ),
    "kernels.InContextAttention": Part(
        lambda g: InContextAttention(4, 2, generator=g),
        lambda n, draw: (draw(n, 6, 4), draw(n, 6), draw(n, 4)),
        (
            (lambda: InContextAttention(4, 0), "heads"),
            (lambda: InContextAttention(4, 2)(torch.zeros(2, 6, 3), torch.zeros(2, 6), torch.zeros(2, 4)), "inputs"),
            (lambda: InContextAttention(4, 2)(torch.zeros(2, 6, 4), torch.zeros(2, 5), torch.zeros(2, 4)), "targets"),
            (lambda: InContextAttention(4, 2)(torch.zeros(2, 6, 4), torch.zeros(2, 6), torch.zeros(1, 4)), "queries"),
        ),
    ),
    "kernels.TwoLayerScoreNet": Part(
        lambda g: unpaired(TwoLayerScoreNet(3, 8, generator=g), g),
        lambda n, draw: (draw(n, 3), draw(n).abs()),
        ((lambda: TwoLayerScoreNet(3, 7), "width"),),
    ),
    "kernels.AbcNetwork": Part(
        lambda g: AbcParametrization.mup(3).network(4, 2, 32, activation=torch.tanh, base_width=8, generator=g),
        lambda n, draw: (draw(n, 4),),
        ((lambda: AbcParametrization.mup(3).network(4, 2, 0), "width"),),
    ),
    "kernels.ResidualPerceptron": Part(
        lambda g: ResidualPerceptron(4, 2, 16, 3, activation=torch.tanh, base_width=8, generator=g),
        lambda n, draw: (draw(n, 4),),
        ((lambda: ResidualPerceptron(4, 2, 0, 3), "width"), (lambda: ResidualPerceptron(4, 2, 8, 3, form="mu"), "form")),
    ),
    "kernels.InfiniteLinearNetwork": Part(
        moved_limit, lambda n, draw: (draw(n, 4),), ((lambda: InfiniteLinearNetwork(4, 0), "outputs"),)
    ),
    "kernels.LinearNetwork": Part(
        lambda g: InfiniteLinearNetwork(4, 2).sample(16, g),
        lambda n, draw: (draw(n, 4),),
        ((lambda: InfiniteLinearNetwork(4, 2).sample(0, torch.Generator()), "width"),),
    ),
    "kernels.UniversalRandomFeatures": Part(
        lambda g: UniversalRandomFeatures(4, 6, "sin", generator=g),
        lambda n, draw: (draw(n, 4),),
        (
            (lambda: UniversalRandomFeatures(4, 5, "sin"), "features"),
            (lambda: UniversalRandomFeatures(4, 4, "tanh"), "activation"),
        ),
    ),
    "kernels.ScalableKernelLayer": Part(
        lambda g: ScalableKernelLayer(4, 3, 6, generator=g), lambda n, draw: (draw(n, 4),)
    ),
    "kernels.KernelAdapter": Part(
        kernel_adapter, lambda n, draw: (draw(n, 4),)
    ),
    **{
        f"landscapes.{projection.__name__}": Part(
            lambda g, projection=projection: projection(6, 40, generator=g),
            lambda n, draw: (draw(n, 6),),
            ((lambda projection=projection: projection(0, 40), "dim, size"),),
        )
        for projection in (DenseProjection, SparseProjection, FastfoodProjection)
    },
    "landscapes.SubspaceTraining": Part(
        lambda g: SubspaceTraining(mlp((4, 5, 3), generator=g), 6, "fastfood", generator=g),
        lambda n, draw: (draw(n, 4),),
        ((lambda: SubspaceTraining(nn.ReLU(), 3), "module"),),
    ),
    "kernels.BundledNetwork": Part(
        lambda g: bundle(mlp((4, 5, 3), generator=g), 6, "relu", generator=g),
        lambda n, draw: (draw(n, 4),),
        ((lambda: BundledNetwork([UniversalRandomFeatures(4, 4)], [torch.zeros(2, 4)], 2), "values"),),
    ),
    "kernels.PatchNetwork": Part(
        lambda g: PatchNetwork(4, 3, "lcn", generator=g),
        lambda n, draw: (draw(n, 4, 3),),
        (
            (lambda: PatchNetwork(4, 3, "cnn", threshold=0.0), "threshold"),
            (one_row(PatchNetwork(4, 3, "fcn"), 3, 4, 2), "inputs: got"),
        ),
    ),
    "kernels.WideNetwork": Part(
        lambda g: WideNetwork(4, 32, 3, torch.tanh, generator=g),
        lambda n, draw: (nn.functional.normalize(draw(n, 4), dim=-1),),
        ((lambda: WideNetwork(4, 0, 3, torch.tanh), "width"),),
    ),
    "physics.MultigridOperator": Part(
        lambda g: MultigridOperator(2, 3, smoothing=((1, 1), (2, 0)), generator=g),
        lambda n, draw: (draw(n, 2, 9, 9),),
        ((lambda: MultigridOperator(2, 3, boundary="open"), "boundary"), (one_row(MultigridOperator(2, 3), 1, 3, 33, 33), "2")),
    ),
    "physics.OperatorLayer": Part(
        lambda g: OperatorLayer(2, 3, smoothing=((1, 1), (2, 0)), generator=g),
        lambda n, draw: (draw(n, 2, 9, 9),),
        ((lambda: OperatorLayer(0, 3), "in_channels"),),
    ),
    "physics.MgNO": Part(
        lambda g: MgNO(channels=4, layers=2, smoothing=((1, 0), (1, 0)), boundary="neumann", generator=g),
        lambda n, draw: (draw(n, 1, 9, 9),),
        ((lambda: MgNO(layers=0), "layers"),),
    ),
    "physics.FourierOperator": Part(
        lambda g: FourierOperator(channels=4, modes=3, layers=2, hidden=8, generator=g),
        lambda n, draw: (draw(n, 1, 9, 9),),
        ((lambda: FourierOperator(modes=0), "modes"),),
    ),
    "physics.SpectralConvolution": Part(
        lambda g: SpectralConvolution(2, 3, modes=3, generator=g),
        lambda n, draw: (draw(n, 2, 9, 9),),
        ((lambda: SpectralConvolution(2, 3, modes=0), "modes"),),
    ),
    "plasticity.LocalTraining": Part(
        lambda g: local_blocks(mlp((4, 6, 3), generator=g), mlp((6, 3), generator=g)),
        lambda n, draw: (draw(n, 4),),
        ((lambda: LocalTraining(nn.ReLU(), [nn.ReLU(), nn.ReLU()], []), "auxiliaries"),),
        use=every_block,
    ),
    "plasticity.AugLocal": Part(
        lambda g: AugLocal(conv_net((1, 4, 4, 8), 3, generator=g), torch.zeros(1, 1, 6, 6), depth=2, generator=g),
        lambda n, draw: (draw(n, 1, 6, 6),),
        ((lambda: AugLocal(mlp((4, 8, 3)), torch.zeros(1, 4), taper=2.0), "taper"),),
        use=every_block,
    ),
    "plasticity.FollowedLayer": Part(
        lambda g: FollowedLayer(mlp((4, 6, 3), generator=g), generator=g),
        lambda n, draw: (draw(n, 4),),
        ((lambda: FollowedLayer(nn.Linear(2, 2), momentum=2.0), "momentum"),),
    ),
    "plasticity.MomentumAuxiliary": Part(
        lambda g: MomentumAuxiliary(conv_net((1, 4, 4, 8), 3, generator=g), torch.zeros(1, 1, 6, 6), generator=g),
        lambda n, draw: (draw(n, 1, 6, 6),),
        ((lambda: MomentumAuxiliary(mlp((4, 8, 3)), torch.zeros(1, 4), blocks=2), "blocks"),),
        use=every_block,
    ),
    "spiking.LeakyIntegrateAndFire": Part(
        lambda g: LeakyIntegrateAndFire(5, learn_decay=True),
        lambda n, draw: (draw(n, 7, 5).abs(),),
        ((lambda: LeakyIntegrateAndFire(decay=2.0), "decay"), (one_row(LeakyIntegrateAndFire(4), 3, 1, 5), "currents")),
        use=over_time,
        drawn=False,
    ),
    "spiking.LeakyIntegrator": Part(
        lambda g: LeakyIntegrator(0.8),
        lambda n, draw: (draw(n, 7, 5),),
        ((lambda: LeakyIntegrator(-0.1), "decay"),),
        use=over_time,
        drawn=False,
    ),
    "spiking.DelayedLinear": Part(
        lambda g: DelayedLinear(5, 4, 6, bias=True, generator=g),
        lambda n, draw: (draw(n, 7, 5),),
        ((lambda: DelayedLinear(5, 4, -1), "max_delay"), (one_row(DelayedLinear(4, 3, 2), 3, 1, 5), "inputs")),
        use=over_time,
    ),
    "spiking.DelayedSpikingNetwork": Part(
        lambda g: DelayedSpikingNetwork(5, (8,), 3, max_delay=3, generator=g),
        lambda n, draw: (draw(n, 7, 5),),
        ((lambda: DelayedSpikingNetwork(5, (8,), 3, max_delay=4, dropout=1.0), "dropout"),),
        use=over_time,
        near=None,
    ),
    "spiking.RecurrentLeakyIntegrateAndFire": Part(
        lambda g: RecurrentLeakyIntegrateAndFire(5, generator=g),
        lambda n, draw: (draw(n, 7, 5).abs(),),
        ((lambda: RecurrentLeakyIntegrateAndFire(5, threshold=-1.0), "threshold"),),
        use=over_time,
    ),
    "spiking.SpatialLiquid": Part(
        lambda g: SpatialLiquid(5, (3, 3, 3), threshold=3.0, input_density=0.5, generator=g),
        lambda n, draw: (draw(n, 12, 5).abs(),),
        ((lambda: SpatialLiquid(5, length=0.0), "length"), (one_row(SpatialLiquid(5, (2, 2, 2)), 3, 1, 4), "events: got")),
        use=over_time,
        smooth=False,
        near=None,
    ),
    "spiking.SpikeGPT": Part(
        lambda g: SpikeGPT(7, dim=8, layers=1, generator=g),
        lambda n, draw: (draw(n, 5).abs().long().clamp(max=6),),
        ((lambda: SpikeGPT(7, dim=1, layers=2), "dim"),),
        smooth=False,  # tokens are numbers of rows
    ),
    "spiking.SpikeGPTBlock": Part(
        lambda g: SpikeGPTBlock(8, spiking=False, generator=g),
        lambda n, draw: (draw(n, 5, 8),),
        ((lambda: SpikeGPTBlock(8, layer=3, layers=2), "layer"),),
        use=over_time,
    ),
    "spiking.ResistiveLinear": Part(
        lambda g: ResistiveLinear(6, 5, generator=g),
        lambda n, draw: (draw(n, 6),),
        ((lambda: ResistiveLinear(6, 0), "outputs"), (one_row(ResistiveLinear(6, 5), 3, 7), "inputs")),
    ),
    "spiking.ResistiveLiquid": Part(
        lambda g: ResistiveLiquid(6, 12, input_gain=2.0, generator=g),
        lambda n, draw: (draw(n, 7, 6).abs(),),
        ((lambda: ResistiveLiquid(6, 5, input_gain=0.0), "input_gain"), (one_row(ResistiveLiquid(6, 5), 3, 2, 7), "events")),
        use=lambda module, events: module(events.transpose(0, 1)),
        near=None,
    ),
    "spiking.AlignedProjections": Part(
        lambda g: AlignedProjections(6, 5, dim=4, generator=g),
        lambda n, draw: (draw(n, 6), draw(n, 5)),
        ((lambda: AlignedProjections(6, 5, dim=0), "dim"),),
        use=lambda module, *inputs: torch.cat(module(*inputs), dim=1),
    ),
    "spiking.WinnerTakeAllNetwork": Part(
        lambda g: WinnerTakeAllNetwork(6, 4, 2, drive=0.4, generator=g),
        lambda n, draw: ((draw(n, 9, 6) > 0).to(draw(0).dtype),),
        (
            (lambda: WinnerTakeAllNetwork(6, 4, inhibition=2.0), "inhibition"),
            (one_row(WinnerTakeAllNetwork(6, 4), 3, 1, 5), "spikes"),
        ),
        use=lambda module, spikes: module(spikes.transpose(0, 1)),
        smooth=False,  # counts of spikes
    ),
    "spiking.PlaceEnsemble": Part(
        place_ensemble,
        lambda n, draw: ((draw(n, 9, 6) > 0).to(draw(0).dtype),),
        (
            (lambda: PlaceEnsemble(6, 0), "regions"),
            (lambda: PlaceEnsemble(6, 1).match(torch.zeros(1, 5)), "images"),
        ),
        use=lambda module, spikes: module(spikes.transpose(0, 1)),
        smooth=False,  # counts of spikes
    ),
    "plasticity.LayeredDynamics": Part(
        lambda g: LayeredDynamics.of_sizes((4, 6, 5), 3, feedback_gain=0.3, sweeps=40, generator=g),
        lambda n, draw: (draw(n, 4),),
        ((lambda: LayeredDynamics.of_sizes((4, 6), 3, damping=2.0), "damping"),),
        meta=False,  # whether it rests is looked at
        breaks="stops where all are at rest",
    ),
    "plasticity.CounterCurrentLearning": Part(
        lambda g: CounterCurrentLearning(
            mlp((4, 8, 3), activation=nn.Identity, generator=g)[::2], torch.zeros(1, 4), generator=g
        ),
        lambda n, draw: (draw(n, 4),),
        ((lambda: CounterCurrentLearning(nn.Sequential(nn.ReLU()), torch.zeros(1, 4)), "layer"),),
        smooth=False,  # the feedback network has no part in the scores
    ),
    "plasticity.DifferenceTargetPropagation": Part(
        lambda g: DifferenceTargetPropagation(
            mlp((4, 8, 8, 3), activation=nn.Identity, generator=g)[::2], torch.zeros(1, 4), generator=g
        ),
        lambda n, draw: (draw(n, 4),),
        ((lambda: DifferenceTargetPropagation(mlp((4, 3)), torch.zeros(1, 4), step_size=0.0), "step_size"),),
        smooth=False,  # nor have the inverses
    ),
    "plasticity.MirroredLayer": Part(
        lambda g: MirroredLayer(
            nn.utils.skip_init(nn.Conv2d, 2, 3, 3, stride=2, padding=1), torch.zeros(1, 2, 5, 5), generator=g
        ),
        lambda n, draw: (draw(n, 3, 3, 3),),
        ((lambda: MirroredLayer(nn.ReLU(), torch.zeros(1, 4)), "layer"),),
    ),
    "plasticity.TargetProjection": Part(
        lambda g: TargetProjection(mlp((4, 8, 3), activation=nn.Tanh, generator=g), torch.zeros(1, 4), generator=g),
        lambda n, draw: (draw(n, 4),),
        ((lambda: TargetProjection(mlp((4, 3)), torch.zeros(1, 4), scale=0.0), "scale"),),
    ),
    "representations.RelativeProjection": Part(
        lambda g: RelativeProjection(torch.randn(5, 4, generator=g)),
        lambda n, draw: (draw(n, 4),),
        ((lambda: RelativeProjection(torch.zeros(4)), "anchors"),),
    ),
    "representations.RelativeEncoder": Part(
        lambda g: RelativeEncoder(mlp((4, 8, 3), generator=g), torch.randn(5, 4, generator=g)),
        lambda n, draw: (draw(n, 4),),
        ((lambda: RelativeEncoder(nn.Identity(), torch.zeros(0, 4)), "anchors"),),
    ),
    "representations.UnitStatistics": Part(
        statistics,
        lambda n, draw: (draw(10 * n, 3), draw(10 * n, 4)),
        ((lambda: UnitStatistics(0, 4), "first"),),
        use=accumulate,
        drawn=False,
        smooth=False,
        meta=False,
        breaks="it accumulates, and has no call",
        stays="it accumulates, and has no call",
    ),
    "physics.UNet": Part(
        drawn_globally(lambda: UNet(1, 2, 2, width=4, levels=2)),
        lambda n, draw: (draw(n, 1, 9, 9),),
        ((lambda: UNet(1, 1, 3), "dimensions"),),
    ),
    "training.SmallNet": Part(
        drawn_globally(lambda: SmallNet((8, 8), 3, width=4)), lambda n, draw: (draw(n, 8, 8),)
    ),
    "training.mlp": Part(
        lambda g: mlp((4, 8, 3), generator=g), lambda n, draw: (draw(n, 4),), ((lambda: mlp((4,)), "sizes"),)
    ),
    "training.CausalTransformer": Part(
        lambda g: CausalTransformer(7, dim=8, layers=2, heads=2, context=5, generator=g),
        lambda n, draw: (draw(n, 5).abs().long().clamp(max=6),),
        ((lambda: CausalTransformer(7, dim=8, layers=2, heads=3, context=5), "heads"),),
        smooth=False,  # tokens are numbers of rows
    ),
    "training.conv_net": Part(
        lambda g: conv_net((1, 4, 8), 3, generator=g), lambda n, draw: (draw(n, 1, 8, 8),)
    ),
    "generative.FiniteSetDenoiser": Part(
        lambda g: FiniteSetDenoiser(torch.randn(7, 3, generator=g)),
        lambda n, draw: (draw(n, 3), draw(n).abs() + 0.5, draw(n).abs() + 0.5),
        ((lambda: FiniteSetDenoiser(torch.zeros(0, 3)), "points"),),
    ),
    "generative.MixtureDenoiser": Part(
        lambda g: MixtureDenoiser(torch.randn(4, 3, generator=g), 0.5),
        lambda n, draw: (draw(n, 3), draw(n).abs() + 0.5, draw(n).abs() + 0.5),
        (
            (lambda: MixtureDenoiser(torch.zeros(3), 1.0), "means"),
            (lambda: MixtureDenoiser(torch.zeros(2, 3), -1.0), "covariances"),
            (lambda: MixtureDenoiser(torch.zeros(2, 3), 1.0, torch.zeros(2)), "weights"),
        ),
    ),
    "generative.DenoisingMLP": Part(
        lambda g: DenoisingMLP(3, width=16, condition_dim=2, generator=g),
        lambda n, draw: (draw(n, 3), draw(n), draw(n, 2)),
        ((lambda: DenoisingMLP(3, width=0), "width"),),
    ),
    "generative.PreconditionedDenoiser": Part(
        lambda g: PreconditionedDenoiser(DenoisingMLP(3, width=16, generator=g)),
        lambda n, draw: (draw(n, 3), draw(n).abs() + 0.5, draw(n).abs() + 0.5),
        ((lambda: PreconditionedDenoiser(nn.ReLU(), data_scale=0), "data_scale"),),
    ),
    "generative.MongeGapMap": Part(
        lambda g: MongeGapMap(mlp((3, 16, 3), activation=nn.SiLU, generator=g), residual=True),
        lambda n, draw: (draw(n, 3),),
        wrong=((lambda: MongeGapMap(nn.ReLU(), strength=-1.0), "strength"),),
    ),
    "generative.FourierDenoisingMLP": Part(
        lambda g: FourierDenoisingMLP(3, features=4, scale=0.3, width=16, generator=g),
        lambda n, draw: (draw(n, 3), draw(n)),
        (
            (lambda: FourierDenoisingMLP(3, features=0), "features"),
            (lambda: FourierDenoisingMLP(3, scale=0.0), "scale"),
            (lambda: FourierDenoisingMLP(0), "dim"),
        ),
    ),
    "generative.SubspaceScore": Part(
        lambda g: SubspaceScore(5, 3, width=16, condition_dim=2, generator=g),
        lambda n, draw: (draw(n, 5), draw(n).abs() + 0.5, draw(n).abs() + 0.5, draw(n, 2)),
        ((lambda: SubspaceScore(5, 6), "intrinsic"),),
    ),
    "representations.BrickRouter": Part(
        lambda g: BrickRouter(mlp((4, 12, 3), generator=g), torch.arange(12) % 4, kept=2),
        lambda n, draw: (draw(n, 4),),
        (
            (lambda: BrickRouter(mlp((4, 12, 3)), torch.arange(12) % 5, kept=2), "bricks"),
            (lambda: BrickRouter(mlp((4, 12, 3)), torch.arange(12) % 4, kept=5), "kept"),
            (lambda: BrickRouter(nn.Sequential(nn.ReLU()), torch.zeros(1, dtype=torch.int64), kept=1), "ffn"),
        ),
        near=None,  # rounding can turn over which bricks are kept
    ),
    "representations.GrownBrick": Part(
        grown_brick,
        lambda n, draw: (draw(n, 4),),
        ((lambda: grow_brick(mlp((4, 12, 3)), 0), "neurons"),),
    ),
    "landscapes.DecisionNetwork": Part(
        lambda g: DecisionNetwork(torch.randn(5, 5, generator=g), generator=g),
        lambda n, draw: (draw(n, 4, 3),),
        (
            (lambda: DecisionNetwork(torch.zeros(2, 3)), "recurrent"),
            (one_row(DecisionNetwork(torch.eye(2)), 1, 3, 4), "inputs: got"),
        ),
    ),
    "landscapes.AnisotropicComposition": Part(
        composition,
        lambda n, draw: (draw(n, 4),),
        (
            (lambda: AnisotropicComposition(nn.Linear(2, 1), []), "vectors"),
            (lambda: AnisotropicComposition(nn.Linear(2, 1), [TaskVector({})]), "vectors"),
        ),
    ),
    "representations.ReweightingHead": Part(
        lambda g: ReweightingHead(4, 1.1),
        lambda n, draw: (draw(n, 4),),
        ((lambda: ReweightingHead(4, 0.0), "kappa"), (lambda: ReweightingHead(4)(torch.zeros(2, 3)), "features")),
        drawn=False,
    ),
    "representations.SelfDistillation": Part(
        lambda g: SelfDistillation(mlp((6, 5), generator=g), 5, prototypes=7, hidden=8, bottleneck=4, generator=g),
        lambda n, draw: (draw(n, 6),),
        (
            (lambda: SelfDistillation(nn.Identity(), 4, teacher_temperature=0.2), "teacher_temperature"),
            (lambda: SelfDistillation(nn.Identity(), 4, momentum=1.5), "momentum"),
            (lambda: SelfDistillation(nn.Identity(), 4, prototypes=1), "prototypes"),
        ),
    ),
    "representations.MaskedAutoencoder": Part(
        lambda g: MaskedAutoencoder(
            nn.Sequential(nn.Flatten(), mlp((16, 5), generator=g)), 5, (1, 4, 4), hidden=8, generator=g
        ),
        lambda n, draw: (draw(n, 1, 4, 4),),
        (
            (lambda: MaskedAutoencoder(nn.Flatten(), 9, (1, 3, 3)), "patch"),
            (lambda: MaskedAutoencoder(nn.Flatten(), 16, (1, 4, 4), share=1.0), "share"),
        ),
    ),
    "generative.MarkovChainDenoiser": Part(
        lambda g: MarkovChainDenoiser(*torch.rand(1, 3, generator=g).softmax(1), torch.rand(3, 3, generator=g).softmax(1)),
        lambda n, draw: (draw(n, 5).mul(4).abs().round().long().clamp(max=3),),
        (
            (lambda: MarkovChainDenoiser(torch.ones(2), torch.eye(2)), "initial"),
            (lambda: MarkovChainDenoiser(torch.ones(1), torch.eye(2)), "transition"),
            (lambda: MarkovChainDenoiser(torch.ones(1), torch.ones(1, 1))(torch.zeros(2, 3)), "tokens"),
        ),
        smooth=False,  # tokens are letters
    ),
    "representations.PrototypeHead": Part(
        lambda g: PrototypeHead(4, 7, widths=(6, 5), generator=g),
        lambda n, draw: (draw(n, 4),),
        ((lambda: PrototypeHead(4, 0), "prototypes"), (lambda: PrototypeHead(4, 7, widths=()), "widths")),
    ),
    "generative.PoissonFlowDenoiser": Part(
        lambda g: PoissonFlowDenoiser(torch.randn(7, 3, generator=g), 4.0),
        lambda n, draw: (draw(n, 3), draw(n).abs() + 0.5, draw(n).abs() + 0.5),
        ((lambda: PoissonFlowDenoiser(torch.zeros(2, 3), 0.0), "extra_dim"),),
    ),
}  # fmt: skip
BATCHED = {
    name: part for name, part in PARTS.items() if name != "representations.UnitStatistics"
}  # its batch is a sample

every_part = pytest.mark.parametrize("name", PARTS)


def exported() -> dict[str, Any]:
    """Everything that a wing exports, as ``wing.name``."""
    root = Path(replica.__file__).parent
    wings = sorted(path.parent.name for path in root.glob("*/__init__.pyi"))
    modules = {wing: importlib.import_module(f"replica.{wing}") for wing in wings}
    return {f"{wing}.{name}": getattr(module, name) for wing, module in modules.items() for name in dir(module)}


EXPORTED = exported()
SETTINGS: dict[str, dict[str, Any]] = {
    **{
        f"kernels.DeepKernelMachine{kind}": {"depth": 1, "inducing": 10, "steps": 10}
        for kind in ("Classifier", "Regressor")
    },
    "landscapes.SubspaceClassifier": {"dim": 40, "width": 16, "steps": 60},
    "kernels.ScaleMixtureRegressor": {"bias_variance": 0.1},
    **{
        f"memory.{name}": {"width": 8, "heads": 1, "blocks": 1, "steps": 20, "features": False}
        for name in ("HopularClassifier", "HopularRegressor")
    },
    "representations.BonsaiFeatures": {"width": 8, "steps": 10},
    "representations.InvariantClassifier": {"width": 8, "learning_rate": 0.02},
}
"""For estimators that are slow as they come: the least that scikit-learn's checks, a hundred fits, take for learning."""
ESTIMATORS = [
    thing(**SETTINGS.get(name, {}))
    for name, thing in EXPORTED.items()
    if inspect.isclass(thing) and issubclass(thing, BaseEstimator)
]


def made(part: Part, seed: int = 0, dtype: torch.dtype = torch.float32) -> nn.Module:
    return part.make(torch.Generator().manual_seed(seed)).to(dtype)


def given(part: Part, batch: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    return part.inputs(batch, lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype))


def test_every_exported_module_is_declared() -> None:
    modules = {name for name, thing in EXPORTED.items() if inspect.isclass(thing) and issubclass(thing, nn.Module)}
    assert modules <= set(PARTS), f"declare {sorted(modules - set(PARTS))} in {Path(__file__).name}"
    assert set(PARTS) <= set(EXPORTED)


@pytest.mark.parametrize("name", EXPORTED)
def test_every_export_says_what_it_is(name: str) -> None:
    thing = EXPORTED[name]
    assert not callable(thing) or inspect.getdoc(thing), f"{name} has no docstring"


@every_part
def test_the_same_seed_gives_the_same_numbers_and_leaves_the_global_state_alone(name: str) -> None:
    part = PARTS[name]
    before = torch.random.get_rng_state()
    first, second = (part.use(made(part), *given(part, 3)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.isfinite(first).all()
    assert torch.equal(before, torch.random.get_rng_state())
    if part.drawn:
        assert not torch.equal(first, part.use(made(part, seed=7), *given(part, 3)))


@every_part
def test_state_dict_goes_round(name: str) -> None:
    part = PARTS[name]
    source, target = made(part), made(part, seed=7)
    target.load_state_dict(source.state_dict())
    assert torch.equal(part.use(source, *given(part, 3)), part.use(target, *given(part, 3)))
    assert torch.equal(part.use(copy.deepcopy(source), *given(part, 3)), part.use(source, *given(part, 3)))


@pytest.mark.parametrize("name", BATCHED)
def test_a_batch_is_its_rows_one_by_one(name: str) -> None:
    part = PARTS[name]
    module, inputs = made(part, dtype=torch.float64).eval(), given(part, 4, torch.float64)
    together = part.use(module, *inputs)
    assert together.shape[0] == 4
    for i in range(4):
        alone = part.use(module, *(value[i : i + 1] for value in inputs))
        torch.testing.assert_close(alone, together[i : i + 1])


@every_part
def test_single_and_double_precision_agree(name: str) -> None:
    part = PARTS[name]
    double = made(part).to(torch.float64)
    exact = part.use(double, *given(part, 3, torch.float64))
    single = part.use(made(part), *given(part, 3))
    assert exact.dtype == torch.float64
    assert single.dtype == torch.float32 or name == "representations.UnitStatistics"  # sums are always double
    torch.testing.assert_close(single.to(torch.float64), exact, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("name", [name for name, part in PARTS.items() if part.meta])
def test_it_moves_to_another_device_whole(name: str) -> None:
    part = PARTS[name]
    module = made(part).to("meta")
    output = part.use(module, *(value.to("meta") for value in given(part, 3)))
    assert output.device.type == "meta"
    assert output.shape == part.use(made(part), *given(part, 3)).shape


@pytest.mark.parametrize("name", PARTS if torch.cuda.is_available() else [])
def test_a_gpu_gives_the_numbers_of_the_processor(name: str) -> None:
    """In double precision, within a relative 1e-9 and an absolute 1e-10: only the order of sums differs."""
    part = PARTS[name]
    module, inputs = made(part, dtype=torch.float64), given(part, 3, torch.float64)
    expected = part.use(module, *inputs)
    found = part.use(copy.deepcopy(module).to("cuda"), *(value.to("cuda") for value in inputs))
    assert found.device.type == "cuda"
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", [name for name, part in PARTS.items() if part.smooth])
def test_gradients_reach_inputs_and_parameters(name: str) -> None:
    part = PARTS[name]
    module = made(part)
    inputs = tuple(value.requires_grad_() for value in given(part, 3))
    output = part.use(module, *inputs)
    (output * torch.linspace(0.5, 1.5, output.numel()).reshape(output.shape)).sum().backward()
    for value in (*inputs, *module.parameters()):
        if value.requires_grad:
            assert value.grad is not None
            assert torch.isfinite(value.grad).all()
    assert all(float(value.grad.abs().max()) > 0 for value in inputs)


@pytest.mark.parametrize(
    ("call", "named"),
    [pytest.param(*wrong, id=f"{name}-{wrong[1]}") for name, part in PARTS.items() for wrong in part.wrong],
)
def test_bad_arguments_are_named_in_one_line(call: Callable[[], Any], named: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # what it says is looked at
        call()
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


@parametrize_with_checks(ESTIMATORS)
def test_estimators_are_scikit_learns(estimator: Any, check: Any) -> None:
    check(estimator)
