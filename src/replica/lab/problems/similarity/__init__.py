"""The problem similarity."""
