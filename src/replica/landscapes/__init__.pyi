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
