"""The use cases: load, observe, plan, apply, drift, diff, destroy, build, invoke, runs, saved plans.

Commands, the library and tests all do a thing by the same function. Nothing here reads the process's environment,
prints or asks: what is needed comes as a value, and what is found goes back as one.
"""
