# Equilibrium propagation: errors from how a network at rest answers a nudge (jacobian_homeostasis)
from .equilibrium import LayeredDynamics as LayeredDynamics, Settling as Settling
from .equilibrium_propagation import (
    EquilibriumPropagation as EquilibriumPropagation,
    RecurrentBackpropagation as RecurrentBackpropagation,
)
from .holomorphic import (
    cauchy_derivative as cauchy_derivative,
    double_silu as double_silu,
    shifted_sigmoid as shifted_sigmoid,
    soft_relu as soft_relu,
)
from .jacobian_homeostasis import homeostatic_loss as homeostatic_loss, symmetry as symmetry
