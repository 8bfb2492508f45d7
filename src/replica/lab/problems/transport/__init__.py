"""The problem transport."""
