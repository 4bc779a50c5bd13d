"""Machines in the engine: states, leases, waits, events."""
