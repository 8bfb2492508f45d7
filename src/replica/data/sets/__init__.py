"""Data sets by name: real ones, and ones made on the spot."""
