"""A stack from your own code: the spec, planned, applied and invoked as the command does it."""
