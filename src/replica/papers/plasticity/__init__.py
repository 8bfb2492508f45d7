"""Papers of the plasticity wing."""
