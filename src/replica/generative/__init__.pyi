# Paths from noise to data, and what can be predicted along them
from .gaussian_paths import (
    CosinePath as CosinePath,
    GaussianPath as GaussianPath,
    StraightPath as StraightPath,
    VarianceExplodingPath as VarianceExplodingPath,
    VariancePreservingPath as VariancePreservingPath,
)

# Denoisers that need no training: of finite sets and of Gaussian mixtures
from .finite_set_denoiser import FiniteSetDenoiser as FiniteSetDenoiser
from .mixture_denoiser import MixtureDenoiser as MixtureDenoiser

# Denoisers that are trained
from .denoiser import (
    DenoisingMLP as DenoisingMLP,
    PreconditionedDenoiser as PreconditionedDenoiser,
    denoising_loss as denoising_loss,
)

# From noise to samples
from .sampler import sample_karras as sample_karras, sample_path as sample_path

# Entropic transport between clouds of points
from .sinkhorn import (
    EntropicTransport as EntropicTransport,
    sinkhorn as sinkhorn,
    sinkhorn_divergence as sinkhorn_divergence,
    squared_distance as squared_distance,
)

# Preferences of many people
from .ideal_point_mixture import IdealPointMixture as IdealPointMixture

# Lists of sequences from stepwise models
from .diverse_beam_search import Beams as Beams, diverse_beam_search as diverse_beam_search

# Scores of data on a subspace, guidance, and optimisation as conditional sampling
from .reward_conditioned_sampler import (
    RewardConditionedSampler as RewardConditionedSampler,
    ascend_reward as ascend_reward,
)
from .subspace_score import SubspaceScore as SubspaceScore, guided_score as guided_score

# Paths of populations between snapshots
from .reference_bridge import (
    IterativeReferenceBridge as IterativeReferenceBridge,
    LinearisedFlow as LinearisedFlow,
    entropic_bridge as entropic_bridge,
)

# The path of least kinetic energy for a data set
from .kinetic_path import (
    DataSeparation as DataSeparation,
    KineticOptimalPath as KineticOptimalPath,
    data_separation as data_separation,
    kinetic_energy as kinetic_energy,
    normalised as normalised,
)

# Poisson flow: heavier noise, between electric fields and diffusion
from .poisson_flow import (
    PoissonFlowDenoiser as PoissonFlowDenoiser,
    PoissonFlowKernel as PoissonFlowKernel,
    align_radius as align_radius,
)

# Noise and descent by factors: no sign ever changes
from .exponentiated_gradient import ExponentiatedGradient as ExponentiatedGradient
from .geometric_brownian import GeometricBrownian as GeometricBrownian, dale_langevin as dale_langevin
from .multiplicative_score_matching import multiplicative_score_loss as multiplicative_score_loss

# Maps of any network that are cheap for any cost
from .monge_gap import (
    MongeGapMap as MongeGapMap,
    monge_gap as monge_gap,
)

# What a sampler's path tells of its end
from .trajectory_variance import TrajectoryVariance as TrajectoryVariance, keep_steadiest as keep_steadiest
from .fourier_denoiser import FourierDenoisingMLP as FourierDenoisingMLP

# Masked sequences of a Markov chain; reverse diffusion step by step, and steered by values of its draws
from .markov_chain_denoiser import MarkovChainDenoiser as MarkovChainDenoiser
from .reverse_steps import (
    AncestralSteps as AncestralSteps,
    ReverseSteps as ReverseSteps,
    UnmaskingSteps as UnmaskingSteps,
)
from .soft_value_decoder import (
    SoftValueDecoder as SoftValueDecoder,
    posterior_mean_value as posterior_mean_value,
)
