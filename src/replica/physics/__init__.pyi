# Networks that learn the solution map of a differential equation: multigrid, Fourier
from .multigrid_operator import (
    MgNO as MgNO,
    MultigridOperator as MultigridOperator,
    OperatorLayer as OperatorLayer,
    meet_boundary as meet_boundary,
)
from .unet import UNet as UNet
from .fourier_operator import FourierOperator as FourierOperator, SpectralConvolution as SpectralConvolution
