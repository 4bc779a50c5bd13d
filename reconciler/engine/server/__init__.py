"""Serve the engine: its process, its files, and the pages for people."""
