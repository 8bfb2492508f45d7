# Homeostatic learning: what a network perceives acts on its learning rate (Man et al., 2022)
from .homeostatic import HomeostaticLearner as HomeostaticLearner
from .concept_shift import LabelSwaps as LabelSwaps

# Blocks that learn by losses of their own: AugLocal, momentum auxiliary networks
from .local_training import LocalTraining as LocalTraining
from .auglocal import AugLocal as AugLocal, selected_layers as selected_layers, tapered_depths as tapered_depths
from .momentum_auxiliary import FollowedLayer as FollowedLayer, MomentumAuxiliary as MomentumAuxiliary

# Equilibrium propagation: errors from how a network at rest answers a nudge
from .equilibrium import LayeredDynamics as LayeredDynamics
from .settling import Settling as Settling
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

# Two networks that run against each other, and targets carried down by inverses
from .counter_current import (
    CounterCurrentLearning as CounterCurrentLearning,
    counter_current_loss as counter_current_loss,
)
from .target_propagation import DifferenceTargetPropagation as DifferenceTargetPropagation
from .mirrored_layers import MirroredLayer as MirroredLayer

# Layers that fit random projections of the label in the forward pass
from .target_projection import TargetProjection as TargetProjection

# Any of these as a learning rule that gets its network later
from .learning_rule import LearningRule as LearningRule, adam as adam
