"""Find out how far a server of the Machines API is what we assume.

Each probe is a few calls on machines that are made for it, and a judgement of what was seen. `assumptions` and
`run_assumptions` hold those of A1 to A19, `states` and `held_leases` ask for the rows of the local engine's tables,
`answers` and `lists` for the rest that we rely on. `calls` and `laboratory` make the machines, `runner` makes and
deletes the app.
"""
