"""Papers of the landscapes wing."""
