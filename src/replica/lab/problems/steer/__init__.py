"""The problem steer."""
