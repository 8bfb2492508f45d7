# Neural collapse, measured: variability within classes, frames of means and weights, their duality, the nearest mean
from .collapse import (
    CollapseMetrics as CollapseMetrics,
    class_means as class_means,
    class_scatter as class_scatter,
    collapse_metrics as collapse_metrics,
    duality_distance as duality_distance,
    frame_distance as frame_distance,
    nearest_mean_agreement as nearest_mean_agreement,
    orthogonal_frame as orthogonal_frame,
    simplex_frame as simplex_frame,
    within_class_variability as within_class_variability,
)

# Where deep linear networks over free features end
from .deep_linear_minimizer import (
    DeepLinearMinimizer as DeepLinearMinimizer,
    deep_linear_minimizer as deep_linear_minimizer,
)
from .deep_linear_features import (
    DeepLinearFeatures as DeepLinearFeatures,
    deep_linear_loss as deep_linear_loss,
    descend_deep_linear as descend_deep_linear,
    layerwise_collapse as layerwise_collapse,
    linear_layers as linear_layers,
)
from .logit_shapes import ScaledShape as ScaledShape, scale_logit_shape as scale_logit_shape

# Descent to where the gradient vanishes
from .lbfgs_descent import Descent as Descent, lbfgs_descent as lbfgs_descent

# Features held near given ones: how far from collapse they end
from .near_collapse_model import (
    NearCollapseModel as NearCollapseModel,
    unconstrained_frame as unconstrained_frame,
)

# Two-layer ReLU networks trained to a global optimum by convex programmes
from .activation_patterns import (
    activation_patterns as activation_patterns,
    sampled_patterns as sampled_patterns,
)
from .convex_relu_admm import ConvexReluSolution as ConvexReluSolution, convex_relu_admm as convex_relu_admm
from .convex_relu_interior import convex_relu_interior as convex_relu_interior
from .convex_relu import (
    ConvexReluClassifier as ConvexReluClassifier,
    ConvexReluRegressor as ConvexReluRegressor,
)
from .robust_convex_relu import robust_convex_relu as robust_convex_relu

# Training in random subspaces, and how large they must be
from .subspace_projections import (
    DenseProjection as DenseProjection,
    FastfoodProjection as FastfoodProjection,
    SparseProjection as SparseProjection,
    hadamard_transform as hadamard_transform,
    random_projection as random_projection,
)
from .subspace_training import (
    SubspaceTraining as SubspaceTraining,
    dimension_at_score as dimension_at_score,
    train_in_subspaces as train_in_subspaces,
)
from .subspace_classifier import SubspaceClassifier as SubspaceClassifier

# Paths between trained nets: segments, barriers, Bézier curves; permutations of units that bring nets near each other
from .paths import (
    Barrier as Barrier,
    BezierCurve as BezierCurve,
    barrier as barrier,
    interpolate as interpolate,
    losses_along as losses_along,
)
from .permutation_alignment import (
    Alignment as Alignment,
    activation_matching as activation_matching,
    permute_units as permute_units,
    weight_matching as weight_matching,
)

# Why barriers are there: curvature along the segment, and runs that fork
from .curvature_barrier import (
    CurvatureBarrier as CurvatureBarrier,
    barrier_from_curvature as barrier_from_curvature,
    curvature_along as curvature_along,
)
from .forks import forked_batches as forked_batches
from .connected_layers import average_connected_layers as average_connected_layers

# Zoos of models over grids of settings, and the phases of their loss landscapes
from .landscape_phases import (
    LandscapeMetrics as LandscapeMetrics,
    PhaseThresholds as PhaseThresholds,
    landscape_metrics as landscape_metrics,
    phase_of as phase_of,
)
from .model_zoo import ModelZoo as ModelZoo, ZooBlock as ZooBlock

# Starts of low rank, and how far the tangent kernel turns from there
from .low_rank_initialization import (
    aligned_low_rank as aligned_low_rank,
    effective_rank as effective_rank,
    low_rank_initialization_ as low_rank_initialization_,
)
from .linear_kernel_change import (
    LearnedLinear as LearnedLinear,
    expected_alignment as expected_alignment,
    small_weight_alignment as small_weight_alignment,
    two_layer_flow as two_layer_flow,
)
from .decision_network import (
    DecisionNetwork as DecisionNetwork,
    perceptual_decisions as perceptual_decisions,
)

# Examples that carry a loss's spikes, and a toy in which they do
from .opposing_groups import (
    LossSpikeTracker as LossSpikeTracker,
    OpposingGroups as OpposingGroups,
    find_opposing_groups as find_opposing_groups,
    groups_of_equal_loss as groups_of_equal_loss,
)
from .opposing_toy import OpposingToy as OpposingToy, ToyPath as ToyPath

# Networks composed of what training changed in others, with a learned scale a block
from .task_vectors import TaskVector as TaskVector
from .anisotropic_composition import AnisotropicComposition as AnisotropicComposition, learn_scales as learn_scales
