"""Declarative Fly Machines for short-lived tasks."""
