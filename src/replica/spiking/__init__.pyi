# Neurons: spikes from currents, whole sequences at once, with surrogate gradients
from .leaky_integrate_and_fire import (
    LeakyIntegrateAndFire as LeakyIntegrateAndFire,
    LeakyIntegrator as LeakyIntegrator,
)
from .surrogates import (
    ArcTangent as ArcTangent,
    FastSigmoid as FastSigmoid,
    Logistic as Logistic,
    Rectangle as Rectangle,
    Surrogate as Surrogate,
    Triangle as Triangle,
)
from .recurrent_neurons import RecurrentLeakyIntegrateAndFire as RecurrentLeakyIntegrateAndFire

# Spike trains: made from numbers, and read
from .spike_encoders import (
    change_spikes as change_spikes,
    latency_spikes as latency_spikes,
    population_rates as population_rates,
    rate_spikes as rate_spikes,
)
from .spike_statistics import (
    Operations as Operations,
    branching_factor as branching_factor,
    energy_ratio as energy_ratio,
    firing_rates as firing_rates,
    interval_variation as interval_variation,
    synaptic_operations as synaptic_operations,
    synchrony as synchrony,
)

# Delays at synapses, learned as positions of taps in a convolution along time (Hammouamri et al., 2024)
from .delayed_linear import (
    DelayedLinear as DelayedLinear,
    NarrowingSchedule as NarrowingSchedule,
)
from .delayed_spiking_network import DelayedSpikingNetwork as DelayedSpikingNetwork

# Attacks on spiking networks whose surrogate gradient nobody knows (Lun et al., 2025)
from .potential_dependent_surrogate import (
    PotentialDependent as PotentialDependent,
    replaced_surrogates as replaced_surrogates,
)
from .rate_gradients import rate_gradients as rate_gradients
from .gradient_attacks import (
    fast_gradient_sign as fast_gradient_sign,
    projected_gradient as projected_gradient,
)
from .sparse_dynamic_attack import SparseDynamicAttack as SparseDynamicAttack
from .flip_attacks import (
    FlipAttack as FlipAttack,
    gradient_flips as gradient_flips,
    random_flips as random_flips,
)

# Liquids in space, tuned by an astrocyte (Ivanov and Michmizos, 2021)
from .astrocyte import Astrocyte as Astrocyte, SpikeTimingPlasticity as SpikeTimingPlasticity
from .local_branching import local_branching_factor as local_branching_factor
from .spatial_liquid import LiquidRun as LiquidRun, SpatialLiquid as SpatialLiquid

# SpikeGPT: a language model of spikes, and the recurrence in place of attention
from .spike_gpt import BlockState as BlockState, SpikeGPT as SpikeGPT, SpikeGPTBlock as SpikeGPTBlock
from .weighted_key_value import (
    WeightedState as WeightedState,
    weighted_key_value as weighted_key_value,
    weighted_key_value_step as weighted_key_value_step,
)

# Resistive liquid (Lin et al. 2023): fixed random weights of resistive memory, and projections that align two modalities
from .resistive_memory import (
    ResistiveCells as ResistiveCells,
    ResistiveLinear as ResistiveLinear,
)
from .resistive_liquid import ResistiveLiquid as ResistiveLiquid
from .contrastive_alignment import (
    AlignedProjections as AlignedProjections,
    contrastive_loss as contrastive_loss,
    match_accuracy as match_accuracy,
    same_class_rows as same_class_rows,
)

# Places recognised by an ensemble of small networks, without the units that answer everywhere (place_recognition_snn)
from .place_ensemble import (
    PlaceEnsemble as PlaceEnsemble,
    absolute_differences as absolute_differences,
    area_under_precision_recall as area_under_precision_recall,
    choose_share as choose_share,
    match_precision as match_precision,
    patch_normalise as patch_normalise,
    precision_recall as precision_recall,
)
from .winner_take_all import WinnerTakeAllNetwork as WinnerTakeAllNetwork
