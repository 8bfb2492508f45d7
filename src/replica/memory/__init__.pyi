# Attention as memory: continuous states, exponentially many patterns
from .modern_hopfield import (
    FixedPointKind as FixedPointKind,
    ModernHopfield as ModernHopfield,
    Retrieval as Retrieval,
    storage_bound as storage_bound,
)
from .hopfield_layers import (
    HopfieldAssociation as HopfieldAssociation,
    HopfieldLookup as HopfieldLookup,
    HopfieldPooling as HopfieldPooling,
)

# Hebbian networks of binary neurons: dense interactions, and diluted patterns recalled together
from .dense_hebbian import DenseHebbianMemory as DenseHebbianMemory
from .dense_hebbian_equations import (
    critical_load as critical_load,
    dataset_entropy as dataset_entropy,
    dense_hebbian_equations as dense_hebbian_equations,
    examples_needed as examples_needed,
)
from .multitasking import (
    MultitaskingMemory as MultitaskingMemory,
    diluted_patterns as diluted_patterns,
    noisy_examples as noisy_examples,
)
from .multitasking_equations import (
    critical_dilution as critical_dilution,
    hierarchical_overlaps as hierarchical_overlaps,
    learning_threshold as learning_threshold,
    parallel_overlap as parallel_overlap,
)

# The physics of storage: replica-symmetric and one-step-broken theory of dense networks (dense_rsb)

# Sparse codes and cell assemblies: dendrites that detect patterns, macrocolumns that store in one trial (active_dendrites)

# Cell assemblies with familiarity-scaled noise (sparsey)

# Discrete memories inside networks: key-value bottlenecks (key_value_bottleneck)

# Codebook features: hidden states as sums of a few codes (codebook_features)

# Memory controllers: networks that read and write an external memory (fast_slow_memory)

# Memories that learn whole tables (hopular)

# Boltzmann machines with one mean-field fixed point (monotone_boltzmann)
