# Blocks that learn by losses of their own: AugLocal, momentum auxiliary networks
from .local_training import LocalTraining as LocalTraining
from .auglocal import AugLocal as AugLocal, selected_layers as selected_layers, tapered_depths as tapered_depths
from .momentum_auxiliary import FollowedLayer as FollowedLayer, MomentumAuxiliary as MomentumAuxiliary
