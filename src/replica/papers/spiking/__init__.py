"""Papers of the spiking wing."""
