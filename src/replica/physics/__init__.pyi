# Networks that learn the solution map of a differential equation: multigrid, Fourier
from .multigrid_network import MgNO as MgNO, OperatorLayer as OperatorLayer
from .multigrid_operator import MultigridOperator as MultigridOperator
from .grid_boundaries import meet_boundary as meet_boundary
from .unet import UNet as UNet
from .fourier_operator import FourierOperator as FourierOperator, SpectralConvolution as SpectralConvolution
