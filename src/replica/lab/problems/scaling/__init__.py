"""The problem scaling."""
