"""Papers of the representations wing."""
