"""The applier: executes a plan without deciding anything more."""
