"""What goes on besides calls: the proxy, health checks, schedules.

`background.py` starts all of it; `declared.py` reads services out of configs and chooses machines for connections.
"""
