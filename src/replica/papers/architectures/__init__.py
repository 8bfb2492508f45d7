"""Papers of the architectures wing."""
