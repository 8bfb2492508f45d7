"""The problem merge."""
