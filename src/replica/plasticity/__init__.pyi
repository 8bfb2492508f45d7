# Two networks that run against each other, and targets carried down by inverses (counter_current)
from .counter_current import (
    CounterCurrentLearning as CounterCurrentLearning,
    counter_current_loss as counter_current_loss,
)
from .target_propagation import DifferenceTargetPropagation as DifferenceTargetPropagation
from .mirrored_layers import MirroredLayer as MirroredLayer

# Layers that fit random projections of the label in the forward pass (target_projection)
from .target_projection import TargetProjection as TargetProjection
