"""The command line: one file per verb. Only this package reads the environment, prints or asks."""
