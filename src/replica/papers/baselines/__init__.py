"""Competitors that belong to no paper, one file a problem, entered like any other."""
