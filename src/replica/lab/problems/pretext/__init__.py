"""The problem pretext."""
