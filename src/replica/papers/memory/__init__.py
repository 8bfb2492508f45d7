"""Papers of the memory wing."""
