"""One run of a task: claim a machine, start it, learn its end."""
