"""Papers of the wing generative."""
