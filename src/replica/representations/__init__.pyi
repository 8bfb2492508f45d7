# Features learned before a task and then left alone
from .frozen_features import FrozenFeatures as FrozenFeatures

# What units do: activations of any two networks, and their joint statistics in one pass
from .activations import (
    captured_activations as captured_activations,
    compare_layers as compare_layers,
    unit_samples as unit_samples,
)
from .unit_statistics import UnitStatistics as UnitStatistics
from .mutual_information import mutual_information as mutual_information

# Alignment of two networks: one to one, few to one, many to many, and span to span
from .matching import UnitMatching as UnitMatching, match_units as match_units
from .unit_prediction import (
    UnitMap as UnitMap,
    dense_map as dense_map,
    few_to_one_map as few_to_one_map,
    sparse_map as sparse_map,
)
from .lasso import (
    covariance_lasso as covariance_lasso,
    geometric_penalties as geometric_penalties,
    lasso_path as lasso_path,
)
from .unit_clusters import (
    UnitClusters as UnitClusters,
    cluster_units as cluster_units,
    spectral_embedding as spectral_embedding,
)
from .subspaces import (
    canonical_correlations as canonical_correlations,
    mean_canonical_correlation as mean_canonical_correlation,
)
from .procrustes import procrustes_distance as procrustes_distance

# Geometry: which stimuli a layer holds apart, and whether two layers agree on it (kernels.linear_cka is their kin)
from .dissimilarity import (
    average_ranks as average_ranks,
    dissimilarities as dissimilarities,
    rdm_correlation as rdm_correlation,
)

# Topology: who is near and who is far, and less of how much
from .topological_rsa import (
    LayerIdentification as LayerIdentification,
    geodesic_distances as geodesic_distances,
    geotopological_transform as geotopological_transform,
    layer_identification as layer_identification,
)

# Relative to anchors: spaces of networks trained apart that can be exchanged
from .relative_projection import (
    LatentAgreement as LatentAgreement,
    RelativeEncoder as RelativeEncoder,
    RelativeProjection as RelativeProjection,
    latent_agreement as latent_agreement,
    stitch as stitch,
)

# What activations cause: patched from another run, whole, by units or along a subspace; and patches that mislead
from .patching import (
    interchange as interchange,
    patch_subspace as patch_subspace,
    patched_activations as patched_activations,
)
from .subspace_search import learn_subspace as learn_subspace
from .dormant_paths import DormantDecomposition as DormantDecomposition, dormant_decomposition as dormant_decomposition

# How many different features a layer has, and nets with some units only
from .feature_merging import (
    FeatureComplexity as FeatureComplexity,
    iterative_feature_merging as iterative_feature_merging,
)
from .unit_layers import keep_units as keep_units

# Disentangled or not: tasks of known geometry, and whether a variable's code is the same in all contexts
from .condition_geometry import (
    cross_condition_generalization as cross_condition_generalization,
    parallelism_score as parallelism_score,
)
from .latent_task import LatentTask as LatentTask, latent_task as latent_task

# Modules inside a feed-forward layer: neurons of a function, groups that fire together, and what can be done with them
from .neuron_functionality import (
    neuron_functionality as neuron_functionality,
    partition_neurons as partition_neurons,
)
from .bricks import (
    BrickRouter as BrickRouter,
    GrownBrick as GrownBrick,
    grow_brick as grow_brick,
    merge_bricks as merge_bricks,
    prune_neurons as prune_neurons,
)

# Learned without labels: the loop and the two-view form that objectives share, and Barlow Twins
from .encoder_training import (
    EncoderTraining as EncoderTraining,
    TwoViews as TwoViews,
    projection_head as projection_head,
)
from .barlow_twins import BarlowTwins as BarlowTwins, barlow_twins_loss as barlow_twins_loss

# Nodes and edges: the local interaction basis of layers, principal components, and networks with few of either
from .interaction_basis import (
    LayerBasis as LayerBasis,
    local_interaction_basis as local_interaction_basis,
    principal_basis as principal_basis,
)
from .interaction_edges import (
    ablate_edges as ablate_edges,
    ablate_nodes as ablate_nodes,
    interaction_edges as interaction_edges,
    strongest_edges as strongest_edges,
)

# Guidance: learning to represent as a network of another architecture does
from .guidance import (
    Guidance as Guidance,
    Guided as Guided,
    guidance_loss as guidance_loss,
    pair_layers as pair_layers,
)

# What contrastive losses weigh, layer by layer, before a projection head and after it
from .feature_weighting import (
    LayerwiseWeights as LayerwiseWeights,
    ReweightingHead as ReweightingHead,
    feature_weights as feature_weights,
    layerwise_weights_closed_form as layerwise_weights_closed_form,
    linear_spectral_loss as linear_spectral_loss,
    spectral_contrastive_loss as spectral_contrastive_loss,
)
from .head_training import HeadTraining as HeadTraining

# A child's view: frames of a drifting camera, and objectives that learn from them without labels
from .camera_stream import (
    CameraStream as CameraStream,
    camera_stream as camera_stream,
    temporal_pairs as temporal_pairs,
)
from .self_distillation import SelfDistillation as SelfDistillation
from .stream_distillation import StreamDistillation as StreamDistillation
from .masked_autoencoder import MaskedAutoencoder as MaskedAutoencoder, MaskedTraining as MaskedTraining

# Shifts: learners of several environments whose cues may turn, and features rich enough for them
from .invariance import (
    environment_risks as environment_risks,
    environment_shares as environment_shares,
    group_dro as group_dro,
    irm_penalty as irm_penalty,
    vrex_penalty as vrex_penalty,
)
from .invariant_training import train_invariant as train_invariant
from .invariant_classifier import InvariantClassifier as InvariantClassifier
from .rich_features import RichNets as RichNets, rich_nets as rich_nets
from .bonsai_features import BonsaiFeatures as BonsaiFeatures

# Distilled from a teacher, such as one that was never trained
from .distillation import (
    distil as distil,
    distillation_loss as distillation_loss,
    frozen_outputs as frozen_outputs,
    interpolated_start as interpolated_start,
)
from .prototype_head import PrototypeHead as PrototypeHead
from .random_teacher import RandomTeacher as RandomTeacher
