"""Execute a plan without deciding anything more."""
