"""Machines: the calls that change them, their runs, leases, waits and events.

`call_rules.py` and `leases.py` decide whether a call is accepted, `transitions.py` carries it out, `runner.py` runs the
commands, `exit_events.py` decides what the end of a run means, and `recorder.py` writes it all down. `recovery.py`
settles what a killed engine left.
"""
