# The classifier: infinitely deep by default, any depth by choice
from .optimal_classifier import OptimalKernelClassifier as OptimalKernelClassifier
from .sphere import (
    SphereProjection as SphereProjection,
    intrinsic_dimension as intrinsic_dimension,
)

# Which classifier an infinitely wide and deep network is, and the activations for which it is optimal
from .limit_types import (
    LimitKind as LimitKind,
    LimitType as LimitType,
    limit_classifier_type as limit_classifier_type,
)
from .activations import (
    HermiteActivation as HermiteActivation,
    SineActivation as SineActivation,
    optimal_activation as optimal_activation,
)
from .singular_kernel import (
    LimitKernel as LimitKernel,
    SingularKernel as SingularKernel,
    limit_kernel as limit_kernel,
)

# Kernels of infinitely wide networks at finite depth, and the networks themselves
from .tangent_kernel import (
    WideNetwork as WideNetwork,
    empirical_tangent_kernel as empirical_tangent_kernel,
    neural_tangent_kernel as neural_tangent_kernel,
    nngp_kernel as nngp_kernel,
    tangent_kernel_at_one as tangent_kernel_at_one,
)
from .kernel_interpolation import (
    KernelInterpolation as KernelInterpolation,
    ScaledPredictions as ScaledPredictions,
)
from .dual_activations import (
    DualActivation as DualActivation,
    PowerSeriesDual as PowerSeriesDual,
    dual_activation as dual_activation,
)
from .hermite import hermite_coefficients as hermite_coefficients

# One layer of softmax attention that learns linear regression in context
from .incontext_attention import (
    AttentionCircuits as AttentionCircuits,
    InContextAttention as InContextAttention,
    attention_circuits as attention_circuits,
    attention_risk as attention_risk,
    debiased_gradient_step as debiased_gradient_step,
)

# Score estimation as kernel regression with noisy labels
from .score_regression import (
    DenoisingPairs as DenoisingPairs,
    ScoreRegression as ScoreRegression,
    TwoLayerScoreNet as TwoLayerScoreNet,
    denoising_pairs as denoising_pairs,
    score_kernel as score_kernel,
    score_of as score_of,
    signal_and_noise as signal_and_noise,
)

# How weights and learning rate scale with width, and what they make of a wide network
from .abc_parametrization import (
    AbcClass as AbcClass,
    AbcNetwork as AbcNetwork,
    AbcParametrization as AbcParametrization,
    classify as classify,
)
from .infinite_linear_network import (
    InfiniteLinearNetwork as InfiniteLinearNetwork,
    LinearNetwork as LinearNetwork,
)
from .meta_learning import (
    KernelMaml as KernelMaml,
    NetworkMaml as NetworkMaml,
)
