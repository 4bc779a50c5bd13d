"""Compute a plan from a spec and a snapshot of the world. It never talks."""
