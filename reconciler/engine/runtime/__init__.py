"""Run the commands of machines: as processes or in containers."""
