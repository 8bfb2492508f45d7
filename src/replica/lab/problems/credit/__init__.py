"""The problem credit."""
