"""Papers of the generative wing."""
