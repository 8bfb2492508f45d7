"""The problem shift."""
