"""The problem classification."""
