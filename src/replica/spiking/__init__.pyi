# Neurons: spikes from currents, whole sequences at once, with surrogate gradients
from .leaky_integrate_and_fire import (
    LeakyIntegrateAndFire as LeakyIntegrateAndFire,
    LeakyIntegrator as LeakyIntegrator,
)
from .surrogates import (
    ArcTangent as ArcTangent,
    FastSigmoid as FastSigmoid,
    Logistic as Logistic,
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
