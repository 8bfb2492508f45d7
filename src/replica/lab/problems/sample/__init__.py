"""The problem sample."""
