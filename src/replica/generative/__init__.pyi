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

# The path of least kinetic energy for a data set
from .kinetic_path import (
    DataSeparation as DataSeparation,
    KineticOptimalPath as KineticOptimalPath,
    data_separation as data_separation,
    kinetic_energy as kinetic_energy,
    normalised as normalised,
)

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
