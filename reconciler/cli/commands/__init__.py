"""The verbs of the command, a file for each."""
