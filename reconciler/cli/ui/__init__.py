"""Terminal, streams, signals and progress of the command."""
