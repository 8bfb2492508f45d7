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

# What a sampler's path tells of its end
from .trajectory_variance import TrajectoryVariance as TrajectoryVariance, keep_steadiest as keep_steadiest
from .fourier_denoiser import FourierDenoisingMLP as FourierDenoisingMLP
