"""The problem operator."""
