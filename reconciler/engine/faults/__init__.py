"""Latencies, assumptions about Fly, and what goes wrong on purpose.

`settings.py` lists latencies and assumptions, `rules.py` the faults; `config.py` reads the file of `--adversity`.
"""
