"""Run the commands of machines: as processes of this host, or in containers.

`base.py` is the protocol of a runtime; `process*.py`, `child.py` and `procfs.py` are one, `container*.py` the other.
"""
