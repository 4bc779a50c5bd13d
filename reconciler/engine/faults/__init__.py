"""Faults on purpose: rules, their file, the engine's settings."""
