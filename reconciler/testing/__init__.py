"""An engine on virtual time, with scripted commands, for tests."""
