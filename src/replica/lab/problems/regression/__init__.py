"""The problem regression."""
