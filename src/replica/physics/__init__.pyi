# Networks that learn the solution map of a differential equation: multigrid, Fourier
from .multigrid_operator import MultigridOperator as MultigridOperator, smoothing_levels as smoothing_levels
from .multigrid_network import MgNO as MgNO, OperatorLayer as OperatorLayer
from .grid_boundaries import meet_boundary as meet_boundary
from .unet import UNet as UNet
from .fourier_operator import FourierOperator as FourierOperator, SpectralConvolution as SpectralConvolution

# Errors and equations that are known
from .sobolev_error import relative_h1 as relative_h1
from .screened_poisson import screened_poisson_inverse as screened_poisson_inverse
