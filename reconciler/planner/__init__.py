"""The planner: a spec and a snapshot of the world in, a plan out. It never talks."""
