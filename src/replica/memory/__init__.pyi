# Attention as memory: continuous states, exponentially many patterns
from .modern_hopfield import ModernHopfield as ModernHopfield
from .hopfield_retrieval import FixedPointKind as FixedPointKind, Retrieval as Retrieval
from .hopfield_capacity import storage_bound as storage_bound
from .hopfield_association import HopfieldAssociation as HopfieldAssociation
from .hopfield_layers import HopfieldLookup as HopfieldLookup, HopfieldPooling as HopfieldPooling

# Hebbian networks of binary neurons: dense interactions, and diluted patterns recalled together
from .dense_hebbian import DenseHebbianMemory as DenseHebbianMemory
from .dense_hebbian_equations import (
    critical_load as critical_load,
    dataset_entropy as dataset_entropy,
    dense_hebbian_equations as dense_hebbian_equations,
    examples_needed as examples_needed,
)
from .multitasking import MultitaskingMemory as MultitaskingMemory
from .multitasking_patterns import diluted_patterns as diluted_patterns, noisy_examples as noisy_examples
from .multitasking_equations import hierarchical_overlaps as hierarchical_overlaps, parallel_overlap as parallel_overlap
from .multitasking_phases import critical_dilution as critical_dilution
from .multitasking_thresholds import learning_threshold as learning_threshold

# The physics of storage: replica-symmetric and one-step-broken theory of dense networks
from .replica_symmetric import (
    ReplicaSymmetric as ReplicaSymmetric,
    replica_symmetric as replica_symmetric,
    replica_symmetric_free_energy as replica_symmetric_free_energy,
    retrieval_limit as retrieval_limit,
)
from .broken_replica_symmetry import OneStepBroken as OneStepBroken, one_step_broken as one_step_broken
from .broken_phase_boundaries import (
    RetrievalBranch as RetrievalBranch,
    glass_temperature as glass_temperature,
    one_step_retrieval_branch as one_step_retrieval_branch,
)
from .broken_free_energy import one_step_free_energy as one_step_free_energy
from .parallel_tempering import (
    Tempered as Tempered,
    energies_of_all_states as energies_of_all_states,
    gaussian_couplings as gaussian_couplings,
    groups_of as groups_of,
    hebbian_couplings as hebbian_couplings,
    parallel_tempering as parallel_tempering,
    symmetric_tensor as symmetric_tensor,
)

# Sparse codes: dendrites that detect patterns with few synapses
from .active_dendrites import (
    ActiveDendriteNeuron as ActiveDendriteNeuron,
    ActiveDendriteSegments as ActiveDendriteSegments,
    sparse_patterns as sparse_patterns,
    swap_active as swap_active,
)
from .dendrite_laws import (
    log_any_match as log_any_match,
    log_false_match as log_false_match,
    log_false_negative as log_false_negative,
    log_overlap as log_overlap,
    threshold_range as threshold_range,
)
from .dendrite_unions import (
    expected_union_synapses as expected_union_synapses,
    log_union_false_match as log_union_false_match,
    union_capacity as union_capacity,
    union_synapses as union_synapses,
)

# Cell assemblies with familiarity-scaled noise
from .sparsey import SparseyLayer as SparseyLayer
from .sparsey_codes import FamiliarityRamp as FamiliarityRamp, SparseyCode as SparseyCode
from .sparsey_memory import SparseyMemory as SparseyMemory
from .sparsey_network import LabelField as LabelField, SequenceCodes as SequenceCodes, SparseyNetwork as SparseyNetwork

# Discrete memories inside networks: key-value bottlenecks
from .key_value_bottleneck import DiscreteKeyValueBottleneck as DiscreteKeyValueBottleneck

# Codebook features: hidden states as sums of a few codes
from .codebook_layer import CodebookLayer as CodebookLayer
from .codebook_transformer import codebook_transformer as codebook_transformer, train_codebooks as train_codebooks
from .codebook_wrapping import (
    ablate_codes as ablate_codes,
    activate_code as activate_code,
    activate_codes as activate_codes,
    attach_codebooks as attach_codebooks,
    bypass_codebooks as bypass_codebooks,
    codebooks_of as codebooks_of,
    initialize_codebooks as initialize_codebooks,
    reconstruction_loss as reconstruction_loss,
    record_codes as record_codes,
    replace_dead_codes as replace_dead_codes,
)

# Memory controllers: networks that read and write an external memory
from .memory_controller import ControllerState as ControllerState, MemoryController as MemoryController
from .synthetic_gradients import (
    StateFeedback as StateFeedback,
    SyntheticGradient as SyntheticGradient,
    cut as cut,
    decoupled_backward as decoupled_backward,
    substitute_gradient as substitute_gradient,
)

# Memories that learn whole tables: Hopular
from .hopular import Hopular as Hopular, HopularBlock as HopularBlock
from .hopular_estimators import HopularClassifier as HopularClassifier, HopularRegressor as HopularRegressor
from .lamb import Lamb as Lamb
from .table_columns import TableColumns as TableColumns

# Boltzmann machines with one mean-field fixed point
from .mean_field_prox import softmax_prox as softmax_prox
from .mean_field_solvers import (
    MeanField as MeanField,
    NodeLayout as NodeLayout,
    attach_gradient as attach_gradient,
    forward_backward as forward_backward,
    mean_field as mean_field,
)
from .monotone_boltzmann import (
    ConvolutionalMonotoneBoltzmann as ConvolutionalMonotoneBoltzmann,
    MonotoneBoltzmann as MonotoneBoltzmann,
)
