"""Papers of the kernels wing."""
