"""Papers of the physics wing."""
