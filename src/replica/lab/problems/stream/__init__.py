"""The problem stream."""
