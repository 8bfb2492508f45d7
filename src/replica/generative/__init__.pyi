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
from .sampler import sample_path as sample_path

# Entropic transport between clouds of points
from .sinkhorn import (
    EntropicTransport as EntropicTransport,
    sinkhorn as sinkhorn,
    sinkhorn_divergence as sinkhorn_divergence,
    squared_distance as squared_distance,
)

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
