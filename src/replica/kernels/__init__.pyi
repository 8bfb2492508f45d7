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

# Kernels of infinitely wide networks at finite depth: on the unit sphere, and for any inputs; and the networks themselves
from .tangent_kernel import (
    neural_tangent_kernel as neural_tangent_kernel,
    nngp_kernel as nngp_kernel,
    tangent_kernel_at_one as tangent_kernel_at_one,
)
from .wide_network import WideNetwork as WideNetwork
from .empirical_kernel import empirical_tangent_kernel as empirical_tangent_kernel
from .fully_connected import (
    WideKernels as WideKernels,
    through_layers as through_layers,
    wide_kernel as wide_kernel,
    wide_kernel_diagonal as wide_kernel_diagonal,
    wide_kernels as wide_kernels,
)
from .layer_moments import WideLayer as WideLayer
from .wide_layers import wide_layer as wide_layer

# Kernels of wide convolutional networks, their spectra, and how well one learns what another has made
from .convolutional_kernel import ConvolutionalKernel as ConvolutionalKernel
from .circle_spectrum import circle_spectrum as circle_spectrum
from .mismatched_error import mismatched_error as mismatched_error

# Kernel least squares: ridge with exact leave-one-out errors, gradient flow, random features
from .kernel_regressor import KernelRegressor as KernelRegressor
from .kernel_classifier import KernelClassifier as KernelClassifier
from .kernel_functions import NamedKernel as NamedKernel
from .ridge_path import RidgePath as RidgePath, ridge_path as ridge_path
from .gradient_flow import kernel_gradient_flow as kernel_gradient_flow
from .scale_mixture import ScaleMixtureRegressor as ScaleMixtureRegressor
from .scale_posterior import (
    ImportanceLaw as ImportanceLaw,
    ScaleLaw as ScaleLaw,
    inverse_gamma_law as inverse_gamma_law,
)
from .student_t_process import (
    StudentTProcess as StudentTProcess,
    student_t_process as student_t_process,
)
from .feature_ridge import (
    FeatureRidge as FeatureRidge,
    ridge_by_leave_one_out as ridge_by_leave_one_out,
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

# Deep kernel machines: Gram matrices that are learned layer by layer
from .deep_kernel_machine import (
    DeepKernelMachineClassifier as DeepKernelMachineClassifier,
    DeepKernelMachineRegressor as DeepKernelMachineRegressor,
)
from .deep_kernel import (
    OptimalGrams as OptimalGrams,
    optimal_grams as optimal_grams,
    sparse_log_likelihood as sparse_log_likelihood,
    through_gram_layers as through_gram_layers,
)
from .deep_process import (
    deep_process_grams as deep_process_grams,
    targets_given_features as targets_given_features,
)
from .gram_layers import (
    GramBlocks as GramBlocks,
    gram_divergence as gram_divergence,
    gram_kernel as gram_kernel,
    gram_layer as gram_layer,
)

# Hidden weights that stay as they were drawn: from a bounded range
from .random_weights import RandomWeightRegressor as RandomWeightRegressor
from .extended_precision import (
    ExtendedFit as ExtendedFit,
    refit_in_digits as refit_in_digits,
)
from .ridgelets import (
    band_loss as band_loss,
    band_response as band_response,
    bandlimit_lower_bound as bandlimit_lower_bound,
    ridgelet_constant as ridgelet_constant,
    ridgelet_transform as ridgelet_transform,
)

# Attention whose query-key weights stay as they were drawn
from .random_attention import (
    RandomFeatureAttention as RandomFeatureAttention,
    attention_features as attention_features,
)

# One layer of softmax attention that learns linear regression in context
from .incontext_attention import (
    AttentionCircuits as AttentionCircuits,
    InContextAttention as InContextAttention,
    attention_circuits as attention_circuits,
    attention_risk as attention_risk,
    debiased_gradient_step as debiased_gradient_step,
)

# Networks of finite width at their start: how signals flow with depth, and starts at which they live
from .criticality import (
    CriticalInitialization as CriticalInitialization,
    critical_initialization as critical_initialization,
    initialize_critically as initialize_critically,
    universality_class as universality_class,
)
from .finite_width import (
    KernelFlow as KernelFlow,
    VertexFlow as VertexFlow,
    kernel_recursion as kernel_recursion,
    vertex_recursion as vertex_recursion,
)

# How much inductive bias a task needs of a space of hypotheses
from .inductive_bias import (
    ErrorLaw as ErrorLaw,
    KernelHypotheses as KernelHypotheses,
    fit_error_law as fit_error_law,
    inductive_bias as inductive_bias,
)
from .quadratic_form import quadratic_form_log_cdf as quadratic_form_log_cdf

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

# Linear networks over training time: random spectra, errors in closed form, exact paths, early stopping
from .marchenko_pastur import MarchenkoPastur as MarchenkoPastur
from .linear_dynamics import (
    StoppingTime as StoppingTime,
    generalization_error as generalization_error,
    linear_dynamics as linear_dynamics,
    optimal_stopping_time as optimal_stopping_time,
    training_error as training_error,
)
from .early_stopped_regressor import EarlyStoppedRegressor as EarlyStoppedRegressor

# Three layers, trained one after the other
from .layerwise_network import LayerwiseThreeLayerNetwork as LayerwiseThreeLayerNetwork

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
from .meta_learning import NetworkMaml as NetworkMaml
from .kernel_meta_learning import KernelMaml as KernelMaml
from .few_shot_tasks import FewShotTasks as FewShotTasks, one_shot_tasks as one_shot_tasks
from .tangent_descent import tangent_descent as tangent_descent
from .residual_perceptron import ResidualPerceptron as ResidualPerceptron
from .sharpness_tracker import SharpnessTracker as SharpnessTracker

# Locality and weight sharing: one hidden layer over patches
from .patch_network import PatchNetwork as PatchNetwork, soft_threshold as soft_threshold

# Layers as dot products of features of inputs and of weights
from .scalable_layers import (
    BundledNetwork as BundledNetwork,
    KernelAdapter as KernelAdapter,
    ScalableKernelLayer as ScalableKernelLayer,
    UniversalRandomFeatures as UniversalRandomFeatures,
    bundle as bundle,
)

# How alike two kernels are, and two representations through theirs
from .kernel_alignment import (
    kernel_alignment as kernel_alignment,
    linear_cka as linear_cka,
    pairwise_linear_cka as pairwise_linear_cka,
)
