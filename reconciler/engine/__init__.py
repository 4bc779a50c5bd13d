"""The local engine: the Machines API on loopback, which really runs commands.

A request comes in through `http` and becomes a method call of `Engine` (engine.py), which works on the records of
machines (models.py) and keeps them in the `store`. The sub-packages:

- `server`: the engine's process: start, stop, files of its home, the HTTP server, the dashboard in the browser.
- `http`: what answers requests: authentication, rate limits, routes, and records as the API spells them.
- `graphql`: what Fly's own client asks of the platform beside the Machines API, as a table of queries.
- `machines`: states, leases, waits, restarts and events of machines.
- `runtime`: how commands run: as processes of this host, or in containers; their logs.
- `services`: what goes on besides calls: the proxy of services, health checks, schedules.
- `store`: the SQLite database.
- `config`: what a machine config says, and what Fly adds to it when it gives it back.
- `faults`: latencies, assumptions, and what goes wrong on purpose.

Where is it decided that a call is refused, a start for example? In this order:

1. `http/app.py`, `_Api`: host, token and rate limits (`http/admission.py`), an app that is too new.
   Before that, `http/fault_replies.py` may answer an error by a fault rule.
2. `engine.py`, `Engine._reachable`: no such app or machine, or its host is down.
3. `machines/leases.py`, `Leases.admit`: someone else holds the lease, by the table LEASE_RULES.
4. `machines/call_rules.py`, `decide`: the machine's state does not allow it, by the table CALL_RULES.
5. `machines/transitions.py`, `Transitions.start`: a config without a command, where the runtime uses no image.

The package is an independent reading of the wire format: it imports nothing of the tool that talks to it.
"""
