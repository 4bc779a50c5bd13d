"""The engine's process: start and stop it, its files, and the dashboard."""
