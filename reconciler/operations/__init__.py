"""The use cases: load, observe, plan, apply, drift, diff, destroy, build, invoke.

Also runs and saved plans. Commands, the library and tests all call the same functions. Nothing here reads the process's
environment, prints or asks: what is needed is an argument, and what is found is returned.
"""
