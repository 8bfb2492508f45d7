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
