"""The problem events."""
