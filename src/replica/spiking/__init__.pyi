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

# Delays at synapses, learned as positions of taps in a convolution along time (Hammouamri et al., 2024)
from .delayed_linear import (
    DelayedLinear as DelayedLinear,
    NarrowingSchedule as NarrowingSchedule,
)
from .delayed_spiking_network import DelayedSpikingNetwork as DelayedSpikingNetwork
